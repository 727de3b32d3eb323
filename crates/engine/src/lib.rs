//! The path of a call: from a frame to an answer, every step in one function, each consuming the last.
//!
//! In scope: the order of things, and the ports that edges implement. Out of scope: sockets, files, SQL, clocks.
//! The path itself is [`Engine::call_tool`](engine::Engine), in `engine.rs`; what each step produces is in `stages.rs`.

mod asked;
pub mod authorize;
mod drift;
mod engine;
pub mod front;
mod join;
mod listing;
mod observe;
pub mod ports;
mod question;
mod refusal;
mod relay;
mod seal;
mod stages;
mod stepup;
mod trace;
mod world;

pub use asked::Question;
pub use engine::{Engine, Ports};
pub use observe::{Observed, Observer};
pub use trace::Trace;
pub use world::{Quarantine, Settings, World};
