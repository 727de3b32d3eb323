//! The store: SQLite with group commit, the vault, the published log.

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
mod published;
mod prove;
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
