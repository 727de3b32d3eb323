//! Why a store cannot be opened, closed or read.

use interlock_ledger::entry::EntryError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store was not opened. Nothing was changed, but for files that were missing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no ledger to read.
    #[error("there is no ledger in `{}`: start the gateway once to make one", .0.display())]
    NoLedger(PathBuf),
    /// Another process owns it.
    #[error("`{}` is in use by {}: stop it first", dir.display(), holder(*pid))]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// The process that owns it, if it said so.
        pid: Option<u32>,
    },
    /// Others than its owner may read it.
    #[error("`{}` has mode {mode:04o}, so others may read it: set it to {want:04o}", path.display())]
    Permissions {
        /// The file or directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they must be.
        want: u32,
    },
    /// The ledger is there and a key it was made with is not. A new key would break every proof.
    #[error("the ledger exists but its key `{}` does not: restore the key from a backup", .0.display())]
    KeyMissing(PathBuf),
    /// Not a key file.
    #[error("`{}` is not a key file: restore it from a backup", .0.display())]
    KeyForm(PathBuf),
    /// A database of another program, or of another version of this one.
    #[error("`{}` is not a ledger this version reads (application {application}, schema {version})", path.display())]
    Schema {
        /// The database.
        path: PathBuf,
        /// Its application id.
        application: i64,
        /// Its schema version.
        version: i64,
    },
    /// What is stored contradicts itself or its signature; appending to it would sign a falsehood.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// The database would not answer.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file would not.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// Why the ledger could not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing there goes by that id or index.
    #[error("nothing in the ledger is called `{0}`")]
    NotFound(String),
    /// More than one does.
    #[error("`{0}` fits more than one: give more digits")]
    Ambiguous(String),
    /// Neither an index nor an id or the beginning of one.
    #[error("`{0}` is neither an index nor the beginning of an id")]
    BadId(String),
    /// What is stored there is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// An entry does not read.
    #[error("entry {index} does not read: {source}")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        source: EntryError,
    },
    /// The store is closed or could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database would not answer.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
