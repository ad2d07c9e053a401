"""What stands in the way of a bar that is not reached, by the profile; printed beside it."""

NOTES = {
    "read": (
        "the kernel's socket and scheduler work is 60 % of a read's CPU; then the log: each read's record is written and, "
        "synced, waits for a sync, which wakes it up; wiping memory on free is 3 %"
    ),
    "write": "SQLite's pages and its WAL; and two syncs in series, the store's and then the log's",
    "slow read": "a read waits for a sync of the log that begins after its record; one that just misses a sync waits for two",
    "slow write": (
        "a write waits for the store's sync and then for the log's, in series, so that of connections / one sync time "
        "at most 0.5 is left"
    ),
    "scale": "an index of the store that is larger than its page cache: deeper pages are read from the system's cache",
    "start": "opening SQLite, the log's first segment (8 MiB, zeroed) and the syncs of both",
    "memory": "the bounded caches of entries and tokens, SQLite's page caches (one a connection), and buffers of connections",
    "binary": "aws-lc, SQLite, axum with tokio, and clap",
}
