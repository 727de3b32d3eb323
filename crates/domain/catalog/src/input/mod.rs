//! Arguments against the approved input schema.
//!
//! In scope: JSON Schema 2020-12 (what MCP says), and 2019-09, 7, 6 and 4 where `$schema` names them,
//! checked in place on the arguments' bytes: no copy, no allocation where they fit. What a regular
//! expression, a format or an exact division is, the `jsonschema` crate says; so does it for whole
//! schemas with `unevaluatedProperties` or `unevaluatedItems`.
//! Out of scope: anything outside the schema (no reference is followed out of it), `$dynamicRef`,
//! `$recursiveRef` and anchors, which are refused when the schema is compiled.
//!
//! One deliberate difference: `"nullable": true` (OpenAPI) beside `type` admits null, as the authors of
//! such schemas mean it to.
//!
//! A schema is foreign text. Compiling it is linear in its size, and checking has a budget that follows
//! the size of the arguments, so that no schema can make a small call expensive.

mod check;
mod compile;
mod foreign;
mod number;
mod rules;
mod shape;

#[cfg(test)]
mod tests;

pub use shape::Shape;

use interlock_model::json::{Json, Kind, Limits, View};
use rules::Rules;

/// A compiled input schema.
#[derive(Debug)]
pub struct InputSchema {
    rules: Rules,
    shape: Shape,
    /// What absent arguments are checked as.
    none: Json<&'static [u8]>,
}

/// Why arguments do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if pointer.is_empty() { "the arguments" } else { pointer })]
pub struct Violation {
    /// Where in the arguments (RFC 6901); empty for the arguments as a whole. Hidden characters are made
    /// visible, and a long one is cut.
    pub pointer: String,
    /// What is wrong there. Names what the schema asks for, never a value.
    pub message: String,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", if pointer.is_empty() { "the schema" } else { pointer })]
pub struct SchemaError {
    /// Where in the schema (RFC 6901).
    pub pointer: String,
    /// What is wrong there.
    pub fault: SchemaFault,
}

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// A keyword's value is not one that it can have.
    #[error("`{keyword}` must be {expected}")]
    Keyword {
        /// The keyword.
        keyword: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Not a schema.
    #[error("a schema must be an object or a boolean")]
    Form,
    /// Arguments are objects, and the schema allows none.
    #[error("an input schema must allow an object")]
    NotAnObject,
    /// Another language.
    #[error("`$schema` names a dialect other than JSON Schema 4, 6, 7, 2019-09 or 2020-12")]
    Dialect,
    /// A reference out of the schema.
    #[error("`$ref` leads out of the schema, and nothing is fetched: put the target under `$defs`")]
    External,
    /// A reference to nothing.
    #[error("`$ref` leads to nothing in the schema")]
    Dangling,
    /// A keyword that changes what other schemas mean.
    #[error("`{0}` is not supported")]
    Unsupported(&'static str),
    /// Applying the schema never ends, or takes too long.
    #[error("the schema refers to itself without end, or nests too many references")]
    Endless,
    /// Over a limit.
    #[error("the schema is too large: at most {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A regular expression that does not compile or is too large, or a divisor that is none.
    #[error("`{0}` has a value that cannot be used")]
    Value(&'static str),
}

impl InputSchema {
    /// Compiles `schema`.
    ///
    /// # Errors
    ///
    /// [`SchemaError`]: the schema is not one, refers to something outside it, or could not be bounded.
    pub fn compile(schema: View<'_>) -> Result<Self, SchemaError> {
        let rules = compile::compile(schema)?;
        let shape = shape::of(&rules);
        let whole = |fault| SchemaError { pointer: String::new(), fault };
        let none = Json::parse(&b"{}"[..], Limits::REQUEST).map_err(|_| whole(SchemaFault::Form))?;
        Ok(Self { rules, shape, none })
    }

    /// Whether `arguments` fit; absent ones are checked as `{}`.
    ///
    /// Linear in the arguments; allocates nothing where they fit, unless the schema has patterns, formats
    /// or the like, or a string with escapes is compared.
    ///
    /// # Errors
    ///
    /// [`Violation`] for the first place where they do not.
    pub fn check(&self, arguments: Option<View<'_>>) -> Result<(), Violation> {
        let value = arguments.unwrap_or_else(|| self.none.root());
        if value.kind() != Kind::Object {
            return Err(Violation { pointer: String::new(), message: "must be an object".to_owned() });
        }
        check::check(&self.rules, value)
    }

    /// The structure, for types.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }
}
