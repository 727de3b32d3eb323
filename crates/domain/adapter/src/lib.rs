//! Other APIs as MCP tools: OpenAPI descriptions and GraphQL schemas become tool definitions, calls of such tools
//! become HTTP requests, responses become tool results.
//!
//! In scope: reading descriptions under limits, spelling arguments so that none of them changes what is asked for,
//! shaping results. Out of scope: sending anything, credentials, judging calls. No I/O, no clock.
//!
//! A description is foreign text. It decides which tools there are, not where requests go or who makes them: the base
//! address and the credentials are configuration, and what it says about either is not read.
//!
//! Source: OpenAPI 3.1.1 and 3.0.4; GraphQL, October 2021; MCP 2026-07-28, server/tools.

pub mod call;
pub mod graphql;
pub mod http;
pub mod import;
pub mod limits;
mod media;
mod name;
pub mod openapi;
mod percent;
mod quote;
mod refs;
pub mod result;
pub mod tool;
mod yaml;

pub use call::CallError;
pub use http::{HttpRequest, HttpResponse, Method};
pub use import::{About, DescriptionError, Import, LeftOut, Note, NoteKind, Reason};
pub use limits::Limits;
pub use refs::RefFault;
pub use result::{ResultLimits, tool_result};
pub use tool::Tool;
