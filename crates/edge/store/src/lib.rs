//! SQLite store: group commit, vault, tiles on disk, recovery.
