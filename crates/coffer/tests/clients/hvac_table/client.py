"""The methods and properties of the client itself that ask the server."""

from hvac.exceptions import Forbidden, InvalidRequest, VaultDown

from table import EMPTY, row, text

ROWS = []
client = lambda name: row(ROWS, f"client.{name}")


@client("read")
def _(t):
    path = f"{t.mount('kv')}/a"
    t.root.write(path, k="v")
    t.succeeds(path, gives={"data": {"k": "v"}})
    t.succeeds(path, wrap_ttl="60s", gives={"data": None, "wrap_info": {"ttl": 60}})
    t.succeeds(f"{path}/none", gives=None)
    t.forbidden(path)


@client("list")
def _(t):
    mount = t.mount("kv")
    t.root.write(f"{mount}/a", k="v")
    t.succeeds(mount, gives={"data": {"keys": ["a"]}})
    t.succeeds(f"{mount}/none", gives=None)
    t.forbidden(mount)


@client("write")
def _(t):
    path = f"{t.mount('kv')}/a"
    t.succeeds(path, k="v", gives=EMPTY)
    t.refused(InvalidRequest, path)
    t.forbidden(path, k="v")


@client("write_data")
def _(t):
    path = f"{t.mount('kv')}/a"
    t.succeeds(path, data={"path": "x", "wrap_ttl": 1}, gives=EMPTY)
    assert t.root.read(path)["data"] == {"path": "x", "wrap_ttl": 1}
    t.refused(InvalidRequest, path, data={})
    t.forbidden(path, data={"k": "v"})


@client("delete")
def _(t):
    path = f"{t.mount('kv')}/a"
    t.root.write(path, k="v")
    t.succeeds(path, gives=None)
    assert t.root.read(path) is None
    t.forbidden(path)


@client("get_policy")
def _(t):
    t.root.sys.create_or_update_policy("p-client", 'path "a" { policy = "read" }')
    t.succeeds("p-client", gives='path "a" { policy = "read" }')
    t.succeeds("none", gives=None)
    t.forbidden("p-client")


@client("lookup_token")
def _(t):
    made = t.root.auth.token.create(policies=["p"])["auth"]
    t.succeeds(made["client_token"], gives={"data": {"accessor": made["accessor"]}})
    t.succeeds(made["accessor"], accessor=True, gives={"data": {"accessor": made["accessor"], "id": ""}})
    t.succeeds(gives={"data": {"policies": ["root"]}})
    t.refused(Forbidden, "unknown")
    t.forbidden(made["client_token"])


@client("renew_token")
def _(t):
    made = t.token(policies=["p"], ttl="1h")
    t.succeeds(made, increment=60, gives={"auth": {"client_token": made, "lease_duration": 60}})
    t.refused(InvalidRequest, "unknown")
    t.forbidden(made)


@client("revoke_token")
def _(t):
    first, second, third = (t.root.auth.token.create(policies=["p"])["auth"] for _ in range(3))
    t.succeeds(first["client_token"], gives=None)
    t.succeeds(second["accessor"], accessor=True, gives=None)
    t.succeeds(third["client_token"], orphan=True, gives=None)
    for made in (first, second, third):
        assert not t.as_token(made["client_token"]).is_authenticated()
    t.refused(InvalidRequest, "unknown", orphan=True)
    t.forbidden("unknown")


@client("is_authenticated")
def _(t):
    t.succeeds(gives=True)
    # It catches the refusal and says no.
    t.succeeds(by=t.as_token("unknown"), gives=False)
    t.refused(VaultDown, by=t.as_token("any", t.shamir_url))


@client("login")
def _(t):
    mount = t.auth_mount("userpass")
    t.root.auth.userpass.create_or_update_user("alice", "pw", mount_point=mount)
    mine = t.as_token("")
    path = f"/v1/auth/{mount}/login/alice"
    t.succeeds(path, json={"password": "pw"}, by=mine, gives={"auth": {"client_token": text}})
    assert mine.is_authenticated()
    t.refused(InvalidRequest, path, json={"password": "wrong"}, by=t.nobody)


@client("logout")
def _(t):
    mine = t.as_token(t.token(policies=["default"]))
    made = mine.token
    t.succeeds(revoke_token=True, by=mine, gives=None)
    assert mine.token is None and not t.as_token(made).is_authenticated()
    t.refused(Forbidden, revoke_token=True, by=t.as_token(made))


@client("auth_cubbyhole")
def _(t):
    wrapped = t.root.auth.token.create(policies=["default"], wrap_ttl="60s")["wrap_info"]["token"]
    mine = t.as_token("")
    t.succeeds(wrapped, by=mine, gives={"auth": {"client_token": text}})
    assert mine.is_authenticated()
    t.refused(InvalidRequest, wrapped, by=t.as_token(""), says="wrapping token is not valid or does not exist")


@client("key_status")
def _(t):
    t.succeeds(gives={"term": int, "install_time": text})
    t.forbidden()
