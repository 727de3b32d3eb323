//! What a request is about: a tool, or what else a server offers or asks.
//!
//! Only tools have schemas and facts of their own. A resource is known by its address, a prompt by its name, and a
//! server's own questions (sampling, elicitation, roots) by the server that asks.

use crate::decide::ActionKind;
use crate::entity::{self, Placed};
use cedar_policy::Entity;
use interlock_catalog::{ApprovedTool, Shape};
use interlock_model::ServerName;

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An approved tool; it must be one that the snapshot was made for.
    Tool(&'a ApprovedTool),
    /// A resource, or the template of one.
    Resource {
        /// The server that has it.
        server: &'a ServerName,
        /// Its address, as the server spells it.
        uri: &'a str,
    },
    /// A prompt.
    Prompt {
        /// The server that has it.
        server: &'a ServerName,
        /// The server's own name for it.
        name: &'a str,
    },
    /// The server itself: it asks something of the agent's side, or is told how much to log.
    Server(&'a ServerName),
}

/// Without a schema every argument is one that Cedar does not hold.
static NO_SHAPE: Shape = Shape::Object { members: Vec::new(), open: true };

impl<'a> Subject<'a> {
    /// The shape of its arguments, as policies may read them.
    pub(crate) fn shape(&self) -> &'a Shape {
        match self {
            Self::Tool(tool) => tool.input.shape(),
            Self::Resource { .. } | Self::Prompt { .. } | Self::Server(_) => &NO_SHAPE,
        }
    }

    /// It and what it is in.
    pub(crate) fn placed(&self) -> Placed {
        match self {
            Self::Tool(tool) => entity::tool(tool),
            Self::Resource { server, uri } => entity::resource(server, uri),
            Self::Prompt { server, name } => entity::prompt(server, name),
            Self::Server(server) => entity::server(server),
        }
    }

    /// It with its attributes.
    ///
    /// # Errors
    ///
    /// Cedar's message, should it refuse an attribute.
    pub(crate) fn entity(&self, placed: &Placed) -> Result<Entity, String> {
        match self {
            Self::Tool(tool) => entity::tool_entity(tool, placed),
            Self::Resource { server, uri } => entity::resource_entity(server, uri, placed),
            Self::Prompt { server, name } => entity::prompt_entity(server, name, placed),
            Self::Server(_) => Ok(Entity::with_uid(placed.uid.clone())),
        }
    }

    /// The action's entity; `None` where the action is not one for this kind of subject.
    pub(crate) fn action(&self, kind: ActionKind) -> Option<Placed> {
        use ActionKind as A;
        match (self, kind) {
            (Self::Tool(tool), A::Call) => Some(entity::typed_action(tool)),
            (Self::Tool(_) | Self::Resource { .. } | Self::Prompt { .. }, A::List)
            | (Self::Resource { .. }, A::Read | A::Complete)
            | (Self::Prompt { .. }, A::Prompt | A::Complete)
            | (Self::Server(_), A::Sample | A::Elicit | A::Roots | A::Log) => Some(entity::plain_action(kind.as_str())),
            _ => None,
        }
    }

    /// The action that makes it worth listing.
    pub(crate) const fn use_of(&self) -> ActionKind {
        match self {
            Self::Tool(_) => ActionKind::Call,
            Self::Resource { .. } => ActionKind::Read,
            Self::Prompt { .. } => ActionKind::Prompt,
            Self::Server(_) => ActionKind::Log,
        }
    }
}
