//! Why a call was not turned into a request.

use crate::openapi::ValueFault;

/// Why there is no request for a call's arguments. Messages name arguments, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The arguments are something else than an object.
    #[error("the arguments must be an object")]
    NotAnObject,
    /// The tool has no such argument.
    #[error("the tool has no argument `{argument}`")]
    Unknown {
        /// Which; made visible and cut.
        argument: String,
    },
    /// A required argument is absent.
    #[error("the argument `{argument}` is required")]
    Missing {
        /// Which.
        argument: String,
    },
    /// The value cannot be sent where it would stand.
    #[error("the argument `{argument}` cannot be sent: {fault}")]
    Value {
        /// Which.
        argument: String,
        /// Why.
        fault: ValueFault,
    },
    /// The selection is not one of this field's.
    #[error("the selection is refused at byte {at}: {fault}")]
    Selection {
        /// Byte offset in the selection's text.
        at: usize,
        /// Why.
        fault: crate::graphql::SelectionFault,
    },
    /// Path and query, or headers, would be longer than servers take.
    #[error("the request would have {len} bytes of {what}, over {max}")]
    TooLong {
        /// What there is too much of.
        what: &'static str,
        /// Bytes found.
        len: usize,
        /// Most bytes.
        max: usize,
    },
}
