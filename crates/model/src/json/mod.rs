//! JSON as it came: checked once, read in place, never rebuilt.
//!
//! In scope: the strict walk ([`Tape`]), reading values out of the checked text ([`View`]), and the
//! canonical spelling for what is hashed or signed ([`canonical`]). Out of scope: what the values mean.
//! Source: RFC 8259 (grammar), RFC 8785 (canonical form).

pub mod canonical;
mod plain;
mod tape;
mod view;

pub use tape::{Fault, JsonError, Limits, Tape};
pub use view::{Elements, Kind, Members, View};

/// A JSON text together with its tape.
#[derive(Clone, Debug)]
pub struct Json<B> {
    text: B,
    tape: Tape,
}

impl<B: AsRef<[u8]>> Json<B> {
    /// Checks `text` against the grammar and `limits`.
    ///
    /// # Errors
    ///
    /// [`JsonError`] with the byte offset of the first fault.
    pub fn parse(text: B, limits: Limits) -> Result<Self, JsonError> {
        let tape = Tape::parse(text.as_ref(), limits)?;
        Ok(Self { text, tape })
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> View<'_> {
        View::new(self.text.as_ref(), &self.tape)
    }

    /// The text, as it came.
    #[must_use]
    pub const fn text(&self) -> &B {
        &self.text
    }
}
