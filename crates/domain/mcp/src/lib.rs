//! MCP on the wire: JSON-RPC frames, protocol revisions, the names tools are exposed under.
//!
//! In scope: reading a message in place and writing the few that the gateway authors.
//! Out of scope: I/O, deciding. Source: MCP 2025-03-26 to 2026-07-28; JSON-RPC 2.0.

pub mod answer;
pub mod ask;
pub mod exposed;
pub mod frame;
pub mod mirrored;
pub mod namespace;
pub mod offers;
pub mod revision;

pub use answer::RpcError;
pub use ask::{Ask, Listed, NameAt, TaskVerb};
pub use exposed::ExposedName;
pub use frame::{Frame, FrameError, Id, Notification, Request, Response};
pub use mirrored::Mirrored;
pub use offers::Offers;
pub use revision::{Era, Revision};
