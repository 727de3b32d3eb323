//! YAML as JSON text, so that there is one reader of descriptions.
//!
//! Aliases are written out where they stand, within the limits on size. Nothing is included, no tag means anything,
//! and a key that an object already has is refused, as it is in JSON.
//!
//! Source: YAML 1.2.2, section 10.3 (Core Schema); OpenAPI 3.1.1, "Format".

use crate::import::DescriptionError;
use crate::limits::Limits;
use crate::quote::{key, quote};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Options};
use std::fmt;

/// The JSON text of one YAML document.
///
/// # Errors
///
/// [`DescriptionError::Yaml`]; [`DescriptionError::TooLarge`] if it is over the limit once its aliases are written out.
pub(crate) fn to_json(text: &[u8], limits: &Limits) -> Result<Vec<u8>, DescriptionError> {
    let fault = |message: String| DescriptionError::Yaml {
        message: message.chars().take(200).flat_map(char::escape_debug).collect(),
    };
    let text = std::str::from_utf8(text).map_err(|e| fault(e.to_string()))?;
    let mut out = Vec::with_capacity(text.len());
    let seed = Value { out: &mut out, max: limits.bytes };
    match serde_saphyr::with_deserializer_from_str_with_options(text, options(limits), |d| seed.deserialize(d)) {
        Ok(()) => Ok(out),
        Err(_) if out.len() > limits.bytes => Err(DescriptionError::TooLarge { len: out.len(), max: limits.bytes }),
        Err(error) => Err(fault(error.to_string())),
    }
}

fn options(limits: &Limits) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits.depth,
            max_nodes: limits.nodes,
            // A collection is two events, and the document some more.
            max_events: limits.nodes.saturating_mul(2).saturating_add(16),
            max_total_scalar_bytes: limits.bytes,
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // `no` and `on` are texts (YAML 1.2), as authors of enumerations mean them.
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Writes one value at the end of `out`.
struct Value<'o> {
    out: &'o mut Vec<u8>,
    max: usize,
}

impl Value<'_> {
    fn checked<E: Error>(self) -> Result<(), E> {
        if self.out.len() > self.max { Err(E::custom("too large once its aliases are written out")) } else { Ok(()) }
    }

    fn literal<E: Error>(self, text: &str) -> Result<(), E> {
        self.out.extend_from_slice(text.as_bytes());
        self.checked()
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.literal(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.literal(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.literal(&value.to_string())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<(), E> {
        self.literal(&value.to_string())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<(), E> {
        self.literal(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom("a number that JSON does not have"));
        }
        self.literal(&serde_json::Value::from(value).to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        quote(value, self.out);
        self.checked()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.literal("null")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.literal("null")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    // Recursion is bounded by the budget's depth.
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let start = self.out.len();
        loop {
            let mark = self.out.len();
            if mark > start {
                self.out.push(b',');
            }
            if elements.next_element_seed(Value { out: self.out, max: self.max })?.is_none() {
                self.out.truncate(mark);
                break;
            }
        }
        self.literal("]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        // Keys are texts, whatever type YAML would see in them: `200`, `yes`.
        while let Some(name) = members.next_key::<String>()? {
            key(&name, self.out);
            members.next_value_seed(Value { out: self.out, max: self.max })?;
        }
        self.literal("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<String, String> {
        let json = to_json(text.as_bytes(), &Limits { bytes: 4096, ..Limits::DEFAULT });
        json.map(|json| String::from_utf8(json).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn table() {
        for (text, expected) in [
            ("a: 1\nb: [x, 'y', \"z\\n\", null, ~, true, 1.5]", r#"{"a":1,"b":["x","y","z\n",null,null,true,1.5]}"#),
            ("200: ok\nyes: no\non: off", r#"{"200":"ok","yes":"no","on":"off"}"#),
            ("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#),
            ("a: 2026-01-01", r#"{"a":"2026-01-01"}"#),
            (
                "a: 18446744073709551615\nb: -9223372036854775808",
                r#"{"a":18446744073709551615,"b":-9223372036854775808}"#,
            ),
            ("a: []\nb: {}", r#"{"a":[],"b":{}}"#),
            ("a: !!python/object:os.system x", r#"{"a":"x"}"#),
            ("a: '3'", r#"{"a":"3"}"#),
        ] {
            assert_eq!(json(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refused() {
        let bomb = format!(
            "a: &a [{}]\nb: &b [{}]\nc: &c [{}]\nd: [{}]",
            "x,".repeat(50),
            "*a,".repeat(50),
            "*b,".repeat(50),
            "*c,".repeat(50)
        );
        let deep = format!("{}1", "a: {".repeat(100));
        let blocks: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        for text in [
            "a: 1\na: 2",
            "a: .inf",
            "a: [",
            "--- 1\n--- 2",
            "a: \u{1}",
            &bomb,
            &deep,
            &blocks,
            "[1, *x]",
            "? [1]\n: 2",
        ] {
            assert!(json(text).is_err(), "{text}: {:?}", json(text));
        }
        assert!(to_json(b"\xff", &Limits::DEFAULT).is_err());
        assert!(to_json("[".repeat(1 << 20).as_bytes(), &Limits::DEFAULT).is_err());
    }
}
