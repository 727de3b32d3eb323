//! What the servers' tools are, as people approved them: definitions pinned by digest, the lock file that
//! holds them, what concerns a reviewer should see first, and what changed since.
//!
//! In scope: judging definitions, arguments against input schemas, the lock file's format, drift.
//! Out of scope: asking servers for their tools (edges), deciding calls (`policy`). No files, no clock.
//! Source: MCP 2025-03-26 to 2026-07-28, server/tools; JSON Schema 2020-12.

pub mod candidates;
pub mod catalog;
pub mod definition;
pub mod diff;
pub mod drift;
pub mod facts;
pub mod identity;
pub mod input;
pub mod lock;
pub mod lookalike;
mod pretty;
pub mod propose;
pub mod visible;

pub use candidates::{ApproveError, Candidate, Candidates, approve};
pub use catalog::{ApprovedTool, Catalog, CatalogError};
pub use definition::{Definition, DefinitionError};
pub use diff::{Change, diff};
pub use drift::{Drift, DriftKind, Live, drift};
pub use facts::{Destination, ToolFacts};
pub use identity::ServerIdentity;
pub use input::{InputSchema, SchemaError, Shape, Violation};
pub use lock::{Lock, LockError, LockedServer, LockedTool, VerifiedLock};
pub use lookalike::Concern;
pub use propose::{Proposal, propose, propose_for};
