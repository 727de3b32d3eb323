//! What the `interlock` binary is made of, as a library, so that it can be tested without starting a process.
//!
//! In scope: configuration, the operator's key, `init`, `doctor` and how things look on a terminal.
//! Out of scope: the path of a call (`interlock-engine`) and everything that serves it (the edges).

pub mod config;
pub mod doctor;
pub mod init;
pub mod operator;
pub mod private_file;
pub mod term;
