//! Servers that are no MCP servers: an HTTP API whose OpenAPI description, or a GraphQL endpoint whose schema, is
//! presented as tools.
//!
//! In scope: reading the document, listing what comes of it, one HTTP request for each call. Out of scope: what tools a
//! document gives and what a call asks for (`interlock-adapter`), whether a call may be made.
//!
//! The document is a file of the operator's. It says which tools there are; where requests go and what they carry is
//! configured. There is no conversation: such a server is up once its document was read, and that the API behind it
//! cannot be reached is seen by the first call.

mod document;
mod peer;

pub use document::{Described, DocumentError, DocumentKind, examine};
pub(crate) use peer::{Peer, Place};
