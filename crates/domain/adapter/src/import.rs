//! What came of a description: its tools, and what is not among them or not as described.

use crate::openapi::{ParameterFault, TemplateFault, Widened};
use crate::refs::RefFault;
use interlock_model::json::JsonError;

/// The tools of one description, in its order, and what people should know about them. The same description gives the
/// same tools, byte for byte.
#[derive(Clone, Debug)]
pub struct Import<T> {
    /// The tools.
    pub tools: Vec<T>,
    /// What the description has and no tool was made of.
    pub left_out: Vec<LeftOut>,
    /// What differs from the description.
    pub notes: Vec<Note>,
    /// What the description calls the API.
    pub about: About,
}

/// What a description says of the API as a whole: foreign text, shown and never judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its title; empty where there is none.
    pub title: String,
    /// Its version; empty where there is none.
    pub version: String,
}

/// Something no tool was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Such as `GET /pets` or `Query.pets`; foreign text.
    pub what: String,
    /// Why.
    pub reason: Reason,
}

/// Why no tool was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Over [`crate::Limits::tools`].
    #[error("there are more operations than the limit")]
    TooMany,
    /// Over [`crate::Limits::definition_bytes`], or more values than a definition may have.
    #[error("the tool's definition would be too large")]
    TooLarge,
    /// Over [`crate::Limits::total_bytes`] or [`crate::Limits::work`].
    #[error("the description as a whole is too large to read further")]
    Exhausted,
    /// Not an object where one must be.
    #[error("not described as an operation")]
    Form,
    /// TRACE: its answer repeats the request's credentials.
    #[error("the method is not one that tools may use")]
    Method,
    /// The path.
    #[error(transparent)]
    Template(#[from] TemplateFault),
    /// A parameter that is required, or without which the call would mean something else.
    #[error("`{name}`: {fault}")]
    Parameter {
        /// The parameter's name, or its position.
        name: String,
        /// What is wrong with it.
        fault: ParameterFault,
    },
    /// A reference.
    #[error(transparent)]
    Reference(#[from] RefFault),
    /// A required request body that is neither JSON, a form nor plain text.
    #[error("the request body is required and in no media type that can be sent")]
    Body,
    /// Another tool has the name.
    #[error("no free name for the tool")]
    Name,
    /// Subscriptions are streams, and a tool call has one result.
    #[error("subscriptions are not tools")]
    Subscription,
    /// GraphQL reserves these for itself, or the name is none.
    #[error("not a name that a field or argument can have")]
    FieldName,
    /// A type that the schema does not have, or that cannot stand there.
    #[error("a type is missing in the schema or cannot stand there")]
    Type,
}

/// A difference between a tool and what the description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The tool's name.
    pub tool: String,
    /// What it is.
    pub kind: NoteKind,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteKind {
    /// The input schema admits more than the description does.
    #[error("{0}")]
    Widened(Widened),
    /// A parameter is set by the gateway, or by nobody.
    #[error("`{0}` is not an argument: it authenticates, frames or routes the request")]
    Reserved(String),
    /// An optional parameter cannot be filled.
    #[error("`{name}` is not an argument: {fault}")]
    Parameter {
        /// Its name, or its position.
        name: String,
        /// Why.
        fault: ParameterFault,
    },
    /// The request body is optional and in no media type that can be sent, or the method takes none.
    #[error("the request body cannot be sent")]
    Body,
    /// The operation names other servers than the description as a whole.
    #[error("the operation names servers of its own, which are not used")]
    Servers,
    /// The result is cut where selections end.
    #[error("the result has more levels than are selected by default")]
    Depth,
}

/// Why a description was not read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// Over [`crate::Limits::bytes`].
    #[error("a description of {len} bytes is over {max}")]
    TooLarge {
        /// Bytes found.
        len: usize,
        /// Most bytes.
        max: usize,
    },
    /// Not one JSON text within the limits.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not one YAML document within the limits.
    #[error("not valid YAML, or over its limits: {message}")]
    Yaml {
        /// What the reader says; made visible and cut.
        message: String,
    },
    /// Not a type system document of GraphQL.
    #[error("not a GraphQL schema at byte {at}")]
    Sdl {
        /// Byte offset in the text.
        at: usize,
    },
    /// Another version, or another kind of document.
    #[error("not an OpenAPI 3.0 or 3.1 description, but `{found}`")]
    Version {
        /// What `openapi` or `swagger` says, made visible; empty if there is neither.
        found: String,
    },
    /// A member is absent or not what it must be.
    #[error("`{member}` of the description must be {expected}")]
    Member {
        /// Which.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Over [`crate::Limits::work`] before anything could be made of it.
    #[error("the description takes too long to read")]
    Exhausted,
}
