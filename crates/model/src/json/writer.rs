//! Our own records as JSON: what `serde_json::to_vec` writes, to the byte, in half the time.
//!
//! Every call writes two entries of the ledger, mostly short strings, which serde_json looks through byte by byte.
//! In scope: strings, integers, booleans, lists, structs, enums, maps. What no record holds is handed on to serde_json.

use super::plain;
use crate::digest::pair;
use serde::ser::{self, Error as _, Serialize, Serializer};
use serde_json::Error;

/// Writes into a buffer.
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

/// Writes the members of an object or the elements of an array, and then what closes it.
pub(super) struct Parts<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    end: &'static [u8],
}

/// Writes a string: RFC 8785 section 3.2.2.2.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((run, after)) = rest.split_at_checked(plain::run(rest)) {
        out.extend_from_slice(run);
        let Some((byte, after)) = after.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&pair(*control));
            }
        }
        rest = after;
    }
    out.push(b'"');
}

fn integer(negative: bool, mut rest: u64, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    let mut digits = [0; 20];
    let mut len = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        len += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - len..).unwrap_or_default());
}

impl<'a> Writer<'a> {
    fn parts(self, start: u8, end: &'static [u8]) -> Parts<'a> {
        self.out.push(start);
        Parts { out: self.out, first: true, end }
    }

    /// The one member of an object, named for a variant.
    fn variant(self, name: &str) -> Self {
        self.out.push(b'{');
        string(name, self.out);
        self.out.push(b':');
        self
    }

    fn hand_on<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(self.out, value)
    }
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    fn serialize_bool(self, v: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if v { b"true" } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Result<(), Error> {
        self.serialize_i64(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result<(), Error> {
        self.serialize_i64(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result<(), Error> {
        self.serialize_i64(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result<(), Error> {
        integer(v < 0, v.unsigned_abs(), self.out);
        Ok(())
    }
    fn serialize_i128(self, v: i128) -> Result<(), Error> {
        self.hand_on(&v)
    }
    fn serialize_u8(self, v: u8) -> Result<(), Error> {
        self.serialize_u64(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result<(), Error> {
        self.serialize_u64(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result<(), Error> {
        self.serialize_u64(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result<(), Error> {
        integer(false, v, self.out);
        Ok(())
    }
    fn serialize_u128(self, v: u128) -> Result<(), Error> {
        self.hand_on(&v)
    }
    fn serialize_f32(self, v: f32) -> Result<(), Error> {
        self.hand_on(&v)
    }
    fn serialize_f64(self, v: f64) -> Result<(), Error> {
        self.hand_on(&v)
    }
    fn serialize_char(self, v: char) -> Result<(), Error> {
        self.hand_on(&v)
    }
    fn serialize_str(self, v: &str) -> Result<(), Error> {
        string(v, self.out);
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), Error> {
        self.hand_on(v)
    }
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let Self { out } = self.variant(variant);
        value.serialize(Writer { out: &mut *out })?;
        out.push(b'}');
        Ok(())
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'[', b"]"))
    }
    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'[', b"]"))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'[', b"]"))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant(variant).parts(b'[', b"]}"))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'{', b"}"))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        // So serde_json calls JSON that is not to be spelled again. It is not canonical, and no record has it.
        if name.starts_with("$serde_json::") {
            Err(Error::custom("raw JSON in a record"))
        } else {
            Ok(self.parts(b'{', b"}"))
        }
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant(variant).parts(b'{', b"}}"))
    }
}

impl Parts<'_> {
    fn next(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.next();
        value.serialize(Writer { out: &mut *self.out })
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.next();
        string(name, self.out);
        self.out.push(b':');
        value.serialize(Writer { out: &mut *self.out })
    }

    fn close(self) {
        self.out.extend_from_slice(self.end);
    }
}

impl ser::SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let start = self.out.len();
        key.serialize(Writer { out: &mut *self.out })?;
        // serde_json would write a number between quotes; our maps are keyed by strings.
        if self.out.get(start) == Some(&b'"') { Ok(()) } else { Err(Error::custom("a key that is no string")) }
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        value.serialize(Writer { out: &mut *self.out })
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.member(name, value)
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Parts<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.member(name, value)
    }
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::canonical::ordered;
    use proptest::{collection::vec, prelude::*};
    use serde::Serialize;
    use std::collections::BTreeMap;

    /// Every form that serde can hand over.
    #[derive(Debug, Serialize)]
    struct Record {
        bytes: (u8, i8, u16, i16, u32, i32),
        forms: Vec<Form>,
        large: (u64, i64, Option<u128>, i128),
        map: BTreeMap<String, Option<bool>>,
        nothing: ((), Unit),
        number: f64,
        single: (f32, char),
    }

    #[derive(Clone, Debug, Serialize)]
    enum Form {
        Unit,
        One(String),
        Many(u64, Vec<String>),
        #[serde(rename = "a \"name\"\n")]
        Members {
            #[serde(rename = "\u{1f}\u{7f}")]
            control: i64,
            text: Box<str>,
        },
    }

    #[derive(Debug, Serialize)]
    struct Unit;

    fn form() -> impl Strategy<Value = Form> {
        prop_oneof![
            Just(Form::Unit),
            any::<String>().prop_map(Form::One),
            (any::<u64>(), vec(any::<String>(), 0..3)).prop_map(|(n, v)| Form::Many(n, v)),
            (any::<i64>(), text()).prop_map(|(control, s)| Form::Members { control, text: s.into() }),
        ]
    }

    /// Strings that are mostly plain, of lengths around those that are looked at in one go.
    fn text() -> impl Strategy<Value = String> {
        vec(prop_oneof![40 => Just('a'), 1 => any::<char>(), 1 => prop::char::range('\0', '#'), 1 => Just('\\')], 0..80)
            .prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn writes_what_serde_json_writes(
            bytes in any::<(u8, i8, u16, i16, u32, i32)>(),
            forms in vec(form(), 0..5),
            large in any::<(u64, i64, Option<u128>, i128)>(),
            map in prop::collection::btree_map(text(), any::<Option<bool>>(), 0..5),
            number in any::<f64>(),
            single in any::<(f32, char)>(),
        ) {
            let record = Record { bytes, forms, large, map, nothing: ((), Unit), number, single };
            prop_assert_eq!(ordered(&record).unwrap(), serde_json::to_vec(&record).unwrap());
        }

        #[test]
        fn strings(text in text()) {
            prop_assert_eq!(ordered(&text).unwrap(), serde_json::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn ends_of_ranges() {
        let record = (
            (u64::MAX, i64::MIN, i64::MAX, u128::MAX),
            ("", "\0\u{7f}\u{2028}"),
            [(); 0],
            serde_json::json!({"a": [1]}),
        );
        assert_eq!(ordered(&record).unwrap(), serde_json::to_vec(&record).unwrap());
    }

    #[test]
    fn refuses_what_it_would_spell_otherwise() {
        let raw = serde_json::value::RawValue::from_string("{ }".into()).unwrap();
        assert!(ordered(&raw).is_err());
        assert!(ordered(&BTreeMap::from([(1, 2)])).is_err());
    }
}
