"""What stands in the way of a bar that is not reached; printed beside it. Shares of CPU are those of `perf record` on the
server at 64 connections; a note without a share follows from the design and was not profiled."""

NOTES = {
    "read": (
        "of a read's CPU the kernel has 47 % (sockets, scheduler, the log's writes); by thread the log has 15 % and the "
        "publishing of its tiles 10 %"
    ),
    "write": (
        "of a write's CPU the kernel has 48 %; by thread the store's writer (SQLite's pages and its WAL) has 34 %, its "
        "checkpoints 7 %, the log 11 %; and it waits for two syncs in series, the store's and then the log's"
    ),
    "login batch": (
        "of a batch login's CPU its own work has 40 % (five cached rows opened and decoded, the token sealed, its record, the "
        "reply), HTTP, sockets and the scheduler 45 %, the log 15 %; and it waits for its record's sync, as a read does"
    ),
    "login service": "a login for a service token is a write of three rows: it waits for the store's sync and then the log's",
    "key": "what a read costs beside its value: HTTP, sockets, the token, the log and its sync; the cipher has little of it",
    "batch": "reading the request's JSON and base64 and writing the answer's; the cipher has little of it",
    "rsa": "wrk, HTTP and the log run on the cores that the library has to itself when it is alone",
    "list": "each row that a page looks at is opened, and each key that it shows read",
    "file": "AES-256-GCM, and the copies from and to the system's page cache",
    "move": "a sealed row and a record for each secret, and a record again for each value that leaves",
    "scan": "reading the files; then the search for keywords, which looks at each byte, and the patterns where one is found",
    "search": "each name is read from the store's index, in order; a page looks at 20,000 at most and tells where to go on",
    "backup": (
        "rows are read through the index, in the order of their keys, and lie in that of their writing; a restore reads all "
        "parts twice, and SQLite writes each row to its log and then to the database"
    ),
    "slow read": (
        "a read waits for a sync of the log that begins after its record, and one that just misses a sync waits for two; on two cores "
        "64 requests also take about as long as a slowed sync, in which as many cannot be waiting"
    ),
    "slow write": (
        "a write waits for the store's sync and then for the log's, in series, so that of connections / one sync time "
        "at most 0.5 is left"
    ),
    "scale": "the store is larger than the caches of entries and of SQLite's pages: a read goes through the system's page cache",
    "start": "opening SQLite, the log's first segment (8 MiB, zeroed) and the syncs of both",
    "memory": "the bounded caches of entries and tokens, SQLite's page caches (one a connection), and buffers of connections",
    "binary": "aws-lc, SQLite, axum with tokio, and clap",
}
