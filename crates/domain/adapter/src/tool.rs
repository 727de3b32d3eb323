//! A tool, whichever kind of description it comes from.

use crate::call::CallError;
use crate::graphql::Field;
use crate::http::{HttpRequest, HttpResponse};
use crate::import::Import;
use crate::openapi::Operation;
use crate::result::ResultLimits;
use bytes::Bytes;
use interlock_model::json::View;

/// One tool.
#[derive(Clone, Debug)]
pub enum Tool {
    /// An operation of an OpenAPI description.
    OpenApi(Operation),
    /// A field of a GraphQL schema.
    GraphQl(Field),
}

impl Tool {
    /// The tool's name: 1 to 64 of `A-Z a-z 0-9 _ -`, unique among the tools of its description.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::OpenApi(operation) => operation.name(),
            Self::GraphQl(field) => field.name(),
        }
    }

    /// The tool object (MCP server/tools, "Tool"), as JSON.
    #[must_use]
    pub const fn definition(&self) -> &Bytes {
        match self {
            Self::OpenApi(operation) => operation.definition(),
            Self::GraphQl(field) => field.definition(),
        }
    }

    /// The request for a call; absent arguments are `{}`.
    ///
    /// # Errors
    ///
    /// [`CallError`]; nothing was sent then.
    pub fn request(&self, arguments: Option<View<'_>>) -> Result<HttpRequest, CallError> {
        match self {
            Self::OpenApi(operation) => operation.request(arguments),
            Self::GraphQl(field) => field.request(arguments),
        }
    }

    /// The tool result (a JSON object) for the response.
    #[must_use]
    pub fn result(&self, response: &HttpResponse<'_>, limits: &ResultLimits) -> Bytes {
        match self {
            Self::OpenApi(operation) => operation.result(response, limits),
            Self::GraphQl(field) => field.result(response, limits),
        }
    }
}

impl From<Operation> for Tool {
    fn from(operation: Operation) -> Self {
        Self::OpenApi(operation)
    }
}

impl From<Field> for Tool {
    fn from(field: Field) -> Self {
        Self::GraphQl(field)
    }
}

impl<T: Into<Tool>> Import<T> {
    /// The same, without the difference between kinds of descriptions.
    #[must_use]
    pub fn into_tools(self) -> Import<Tool> {
        let tools = self.tools.into_iter().map(Into::into).collect();
        Import { tools, left_out: self.left_out, notes: self.notes, about: self.about }
    }
}
