-- What wrk sends: GETs of uniformly random secrets, updates of the same, creates of new ones, or the same POST: a login, or
-- what is asked of a key.
-- Arguments: kind (read, update, create, login, post), path before the number (of a login or a post: whole), how many,
-- token, name of the run, body of a login or a post.

local counter = 0

function setup(thread)
    counter = counter + 1
    thread:set("id", counter)
end

function init(args)
    local kind, path, token = args[1], args[2], args[4]
    count, random, format = tonumber(args[3]), math.random, string.format
    math.randomseed(id * 7919 + os.time())
    local fields = " HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Vault-Token: " .. token .. "\r\n"
    if kind == "read" then
        before, after = "GET " .. path, fields .. "\r\n"
        request = read_or_update
        return
    end
    if kind == "login" or kind == "post" then
        local body = args[6]
        -- A login needs no token.
        local head = kind == "login" and " HTTP/1.1\r\nHost: 127.0.0.1\r\n" or fields
        before = "POST " .. path .. head .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
        request = the_same
        return
    end
    local value = string.rep("0123456789abcdef", 32)
    local body = '{"data":{"value":"' .. value .. '"}}'
    before, after = "POST " .. path, fields .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
    request = read_or_update
    if kind == "create" then
        before = before .. args[5] .. "-" .. id .. "-"
        count = 0
        request = create
    end
end

function read_or_update()
    return before .. format("%07d", random(0, count - 1)) .. after
end

function the_same()
    return before
end

function create()
    count = count + 1
    return before .. format("%07d", count) .. after
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\nRESULT {"requests": %d, "us": %d, "p50": %d, "p99": %d, "status": %d, "lost": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.status, e.connect + e.read + e.write + e.timeout))
end
