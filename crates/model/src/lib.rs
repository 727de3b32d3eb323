//! The words every other crate uses: ids, digests, instants, effects, codes, and JSON read once.
//!
//! In scope: values that are valid by construction, and their one canonical spelling.
//! Out of scope: protocols, policy, storage, clocks. Nothing here does I/O.

pub mod code;
pub mod digest;
pub mod effect;
pub mod id;
pub mod instant;
pub mod json;
pub mod mode;

pub use code::Code;
pub use digest::{Commitment, Digest, SessionKey};
pub use effect::{Effect, Effects, Sensitivity};
pub use id::{AgentId, ApprovalId, CallId, OwnerId, ServerName, SessionId, ToolName};
pub use instant::UnixMillis;
pub use mode::{Mode, Outcome, Tier};
