//! The store: SQLite with group commit, the vault, the published log.
//!
//! In scope: everything of one data directory, written by one process ([`Store`]) and read by any of its
//! user's ([`Reader`]). Out of scope: judging; what may follow what is the engine's and the ledger crate's.
//!
//! # Order of durable writes
//!
//! At the first open: the directories, `keys/log.key`, `keys/vault.key` (each: temporary file, sync, rename,
//! sync of the directory), the database with its schema (one transaction), the checkpoint of the empty log.
//! A crash between leaves a directory whose next open goes on from there; nothing was acknowledged yet.
//!
//! For each commit group, in one SQLite transaction (WAL, `synchronous=FULL`, so the commit is one sync):
//! conditional changes, entries, payloads, the checkpoint signed over exactly these entries. Only then is
//! memory changed (labels, approvals, sessions), and only then do callers hear of it.
//!
//! | the power goes | what is there afterwards | what the next open does |
//! |---|---|---|
//! | before the commit's sync | nothing of the group, which nobody was told of | nothing |
//! | after it, before a caller heard | the whole group | ends calls without outcome as `unknown` |
//! | during publication | full and partial tiles that no checkpoint covers yet | compares, goes on |
//! | before the checkpoint file's rename | the older checkpoint, and all tiles for it | goes on from it |
//! | while the WAL is copied | WAL and a database partly copied from it | SQLite copies it again |
//!
//! A statement that fails takes its group back; callers are refused, and the next group is tried as if
//! nothing had been. A commit that is not confirmed closes the store: what is in memory must be what is on
//! disk, and only opening it again tells.
//!
//! # Who can do what by writing to a file
//!
//! - `ledger.db`: entries and checkpoint are signed, rows that may change are sealed (HMAC under a key from
//!   `vault.key`), payloads are authenticated to session, call and slot. Changes are found: of sealed rows when
//!   they are read, of everything by [`Reader::verify`]. An older copy of a row that was once sealed passes for
//!   the newest until `verify` compares it with the entries; an older copy of the whole database is refused
//!   at open if the published checkpoint is newer. Removing payloads destroys them and nothing else.
//! - `log/`: public and derived; a file that is not what the rows hash to is reported at open or by `verify`,
//!   and never overwritten.
//! - `keys/log.key`: whoever reads it can sign another history; only a checkpoint that someone outside kept
//!   (an auditor, a witness) shows it. Changing it makes the next open refuse.
//! - `keys/vault.key`: whoever reads it, and the database, reads every payload and can seal rows. Changing it
//!   makes sealed rows unreadable: calls are refused.
//! - All of the directory at once, to an older state: only what was kept outside shows it.
//! - `lock`: nothing is read from it but the id in an error message.

mod command;
mod dir;
mod error;
mod fault;
#[cfg(test)]
mod faults_test;
mod find;
mod group;
mod keys;
mod memory;
mod open_intents;
mod prove;
mod published;
mod queue;
mod reader;
mod recovery;
mod rows;
mod schema;
mod search;
mod show;
mod store;
mod threads;
mod vault;
mod verify;

pub use dir::is_owned;
pub use error::{OpenError, ReadError};
pub use keys::log_signer;
pub use reader::{Reader, SessionInfo, Stored};
pub use recovery::Recovery;
pub use search::Filter;
pub use show::{Revealed, Shown};
pub use store::{CloseError, Store, StoreOptions};
pub use verify::{Fault, PayloadCounts, Report};

// The shared test support names this crate as other crates do.
#[cfg(test)]
extern crate self as interlock_store;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
