//! One tool as a server describes it, in one spelling.
//!
//! In scope: the strict reading of a tool object, its canonical bytes and their digest.
//! Out of scope: what its schema means (`input`), whether anyone should trust it (`propose`, `lookalike`).
//! Source: MCP 2026-07-28, server/tools, "Data Types".

use interlock_model::json::{Json, JsonError, Kind, Limits, View, canonical};
use interlock_model::{Digest, ToolName, id::InvalidName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// A tool object, checked once and kept whole: members nobody here knows (icons, `execution`, `_meta`)
/// are part of what is approved, and of the digest. Cheap to clone.
#[derive(Clone)]
pub struct Definition(Arc<Inner>);

struct Inner {
    name: ToolName,
    digest: Digest,
    canonical: Json<Vec<u8>>,
}

/// Why a tool object is not a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Over [`Definition::MAX_LEN`].
    #[error("a tool definition of {len} bytes is over {max}", max = Definition::MAX_LEN)]
    TooLarge {
        /// Bytes found.
        len: usize,
    },
    /// Not one JSON text within the limits.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The name is not one that a tool may have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A member is absent or has the wrong type.
    #[error("`{member}` of a tool definition must be {expected}")]
    Member {
        /// Which.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A member that differs from a reserved one only in case: readers disagree on which of them counts.
    #[error("a tool definition has a member that differs from `{member}` only in case")]
    CaseVariant {
        /// The reserved spelling.
        member: &'static str,
    },
}

/// What a server claims about its tool. Hints are untrusted (MCP server/tools, "Annotations"): they start
/// a proposal and decide nothing. A hint that is not a boolean counts as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// `readOnlyHint`
    pub read_only: Option<bool>,
    /// `destructiveHint`
    pub destructive: Option<bool>,
    /// `idempotentHint`
    pub idempotent: Option<bool>,
    /// `openWorldHint`
    pub open_world: Option<bool>,
}

const RESERVED: [&str; 8] =
    ["name", "title", "description", "inputSchema", "outputSchema", "annotations", "execution", "icons"];

impl Definition {
    /// Most bytes of a tool object.
    pub const MAX_LEN: usize = 256 * 1024;

    const LIMITS: Limits = Limits { depth: 48, nodes: 32_768, lone_surrogates: false };

    /// Reads one tool object as a server sent it.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] with the first fault.
    pub fn parse(raw: &[u8]) -> Result<Self, DefinitionError> {
        if raw.len() > Self::MAX_LEN {
            return Err(DefinitionError::TooLarge { len: raw.len() });
        }
        let received = Json::parse(raw, Self::LIMITS)?;
        let name = check(received.root())?;
        let canonical = canonical::respell(received.root());
        let digest = Digest::of(&canonical);
        // The canonical spelling of a text within the limits is within them.
        let canonical = Json::parse(canonical, Self::LIMITS)?;
        Ok(Self(Arc::new(Inner { name, digest, canonical })))
    }

    /// The server's own name for the tool.
    #[must_use]
    pub fn name(&self) -> &ToolName {
        &self.0.name
    }

    /// SHA-256 of the canonical bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The whole object in its one spelling (RFC 8785, numbers kept as written where a double would round them).
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        self.0.canonical.text()
    }

    /// The canonical object, to be read in place.
    #[must_use]
    pub fn root(&self) -> View<'_> {
        self.0.canonical.root()
    }

    /// The name for people: `title`, or else `annotations.title`.
    #[must_use]
    pub fn title(&self) -> Option<Cow<'_, str>> {
        let own = self.root().get("title").and_then(|t| t.as_str());
        own.or_else(|| self.root().get("annotations")?.get("title")?.as_str())
    }

    /// The description that a model reads.
    #[must_use]
    pub fn description(&self) -> Option<Cow<'_, str>> {
        self.root().get("description")?.as_str()
    }

    /// What the server claims the tool does.
    #[must_use]
    pub fn annotations(&self) -> Annotations {
        let hint = |name| self.root().get("annotations")?.get(name)?.as_bool();
        Annotations {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        }
    }

    /// The input schema: an object, checked when the definition was read.
    #[must_use]
    pub fn input_schema(&self) -> View<'_> {
        self.root().get("inputSchema").unwrap_or_else(|| self.root())
    }

    /// The canonical object with another name in its place, all other bytes as they are.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Vec<u8> {
        let text = self.canonical();
        let span = self.root().get("name").map_or(0..0, |n| n.span());
        let (before, after) = (text.get(..span.start), text.get(span.end..));
        // A name needs no escapes: exposed names are letters, digits, `_` and `-`.
        [before.unwrap_or_default(), b"\"", name.as_bytes(), b"\"", after.unwrap_or_default()].concat()
    }
}

fn check(root: View<'_>) -> Result<ToolName, DefinitionError> {
    let must = |member, expected| DefinitionError::Member { member, expected };
    if root.kind() != Kind::Object {
        return Err(must("(the definition)", "an object"));
    }
    for (key, _) in root.members() {
        let key = key.as_str().unwrap_or_default();
        if let Some(member) = RESERVED.iter().find(|r| r.eq_ignore_ascii_case(&key) && **r != key) {
            return Err(DefinitionError::CaseVariant { member });
        }
    }
    for member in ["title", "description"] {
        if root.get(member).is_some_and(|v| v.kind() != Kind::String) {
            return Err(must(member, "a string where present"));
        }
    }
    if root.get("annotations").is_some_and(|v| v.kind() != Kind::Object) {
        return Err(must("annotations", "an object where present"));
    }
    if root.get("inputSchema").is_none_or(|v| v.kind() != Kind::Object) {
        return Err(must("inputSchema", "an object"));
    }
    let name = root.get("name").and_then(|n| n.as_str()).ok_or(must("name", "a string"))?;
    Ok(ToolName::new(&name)?)
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Definition {}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Definition({}, {})", self.0.name, self.0.digest)
    }
}

impl Serialize for Definition {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(self.canonical()).map_err(serde::ser::Error::custom)?;
        <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(text))
            .map_err(serde::ser::Error::custom)?
            .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        Self::parse(raw.get().as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> String {
        Definition::parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn digest_vectors() {
        // (as sent, canonical, SHA-256 of the canonical bytes)
        for (sent, canonical, digest) in [
            (
                "{ \"name\": \"add\", \"inputSchema\": {\"type\": \"object\"} }",
                "{\"inputSchema\":{\"type\":\"object\"},\"name\":\"add\"}",
                "sha256:da82aa5e1df52779753ce2009992a31e74c537a5c74a111765aa1a0b3725d4a5",
            ),
            (
                "{\"name\":\"t\",\"_meta\":{\"b\":1.10,\"a\":12345678901234567890},\"inputSchema\":{},\"title\":\"\\u0041\\/\"}",
                "{\"_meta\":{\"a\":12345678901234567890,\"b\":1.10},\"inputSchema\":{},\"name\":\"t\",\"title\":\"A/\"}",
                "sha256:eebd3ebc5201dc7e5ae780d5a06003a164175b0f820afcd61042c19e650854ec",
            ),
        ] {
            let definition = Definition::parse(sent.as_bytes()).unwrap();
            assert_eq!(std::str::from_utf8(definition.canonical()).unwrap(), canonical);
            assert_eq!(definition.digest().to_string(), digest);
        }
    }

    #[test]
    fn what_is_no_definition() {
        for (text, expected) in [
            ("[]", "`(the definition)` of a tool definition must be an object"),
            (r#"{"inputSchema":{}}"#, "`name` of a tool definition must be a string"),
            (r#"{"name":"t"}"#, "`inputSchema` of a tool definition must be an object"),
            (r#"{"name":"t","inputSchema":true}"#, "`inputSchema` of a tool definition must be an object"),
            (r#"{"name":"a b","inputSchema":{}}"#, "not a tool name: the character at byte 1 is not allowed"),
            (r#"{"name":"t","name":"u","inputSchema":{}}"#, "a member that the object already has at byte 12"),
            (r#"{"name":"t","n\u0061me":"u","inputSchema":{}}"#, "a member that the object already has at byte 12"),
            (
                r#"{"name":"t","Description":"x","inputSchema":{}}"#,
                "a tool definition has a member that differs from `description` only in case",
            ),
            (
                r#"{"name":"t","description":null,"inputSchema":{}}"#,
                "`description` of a tool definition must be a string where present",
            ),
            (r#"{"name":"t","inputSchema":{},"x":"\ud800"}"#, "half a surrogate pair at byte 34"),
        ] {
            assert_eq!(fault(text), expected, "{text}");
        }
        let large = format!(r#"{{"name":"t","inputSchema":{{}},"x":"{}"}}"#, "y".repeat(Definition::MAX_LEN));
        assert!(fault(&large).ends_with("is over 262144"));
        assert!(fault(&format!("{}{}", "[".repeat(49), "]".repeat(49))).starts_with("nested too deep"));
    }

    #[test]
    fn what_it_says() {
        let text = br#"{"name":"t","inputSchema":{"x":1},"description":"d","annotations":{"title":"T","readOnlyHint":true,"openWorldHint":"no"}}"#;
        let definition = Definition::parse(text).unwrap();
        assert_eq!(definition.title().as_deref(), Some("T"));
        assert_eq!(definition.description().as_deref(), Some("d"));
        assert_eq!(definition.annotations(), Annotations { read_only: Some(true), ..Annotations::default() });
        assert_eq!(definition.input_schema().raw(), br#"{"x":1}"#);
        let renamed = String::from_utf8(definition.renamed("s__t")).unwrap();
        assert_eq!(
            renamed,
            std::str::from_utf8(definition.canonical()).unwrap().replace(r#""name":"t""#, r#""name":"s__t""#)
        );
    }

    #[test]
    fn a_name_elsewhere_is_left_alone() {
        let text = br#"{"name":"t","_meta":{"name":"t"},"inputSchema":{"properties":{"name":{}}}}"#;
        let renamed = Definition::parse(text).unwrap().renamed("s__t");
        assert_eq!(
            String::from_utf8(renamed).unwrap(),
            r#"{"_meta":{"name":"t"},"inputSchema":{"properties":{"name":{}}},"name":"s__t"}"#
        );
    }

    proptest! {
        #[test]
        fn spelling_does_not_matter_content_does(title in any::<String>(), other in any::<String>(), number in any::<f64>()) {
            let value = |title: &str| serde_json::json!({"name": "t", "title": title, "inputSchema": {"n": number, "a": [1, {}]}});
            let compact = Definition::parse(value(&title).to_string().as_bytes()).unwrap();
            let pretty = Definition::parse(serde_json::to_string_pretty(&value(&title)).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(compact.digest(), pretty.digest());
            let changed = Definition::parse(value(&other).to_string().as_bytes()).unwrap();
            prop_assert_eq!(changed == compact, title == other);
            // In the lock file it is the object itself.
            let locked = serde_json::to_string(&compact).unwrap();
            prop_assert_eq!(locked.as_bytes(), compact.canonical());
            prop_assert_eq!(serde_json::from_str::<Definition>(&locked).unwrap(), compact);
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Definition::parse(&bytes));
        }
    }
}
