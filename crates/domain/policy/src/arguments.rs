//! Arguments as Cedar values, according to the tool's approved input schema.
//!
//! Integers become `Long`, other numbers of at most four decimals `decimal`, arrays of one kind sets,
//! objects records. What Cedar cannot hold (null, more decimals, an exponent, beyond 64 bits, mixed
//! arrays, members outside the schema) is *opaque*: it is left out, and named by its path.

use crate::evaluator::{self, Constructor, Record, Value};
use interlock_catalog::Shape;
use interlock_model::json::{Kind, View};
use std::collections::BTreeSet;
use std::iter;

/// Where an opaque value stands: member names from the top.
pub(crate) type Path = Vec<String>;

/// Deeper than this a schema is taken as opaque.
pub(crate) const DEPTH: usize = 12;

/// Which top-level arguments are to be built, by where they stand in the shape of all.
#[derive(Debug)]
pub(crate) struct Wanted(Vec<bool>);

impl Wanted {
    /// Those among `names`; `None` stands for all.
    pub(crate) fn new(names: Option<&BTreeSet<String>>, shape: &Shape) -> Self {
        let members = if let Shape::Object { members, .. } = shape { members.as_slice() } else { &[] };
        Self(members.iter().map(|(name, ..)| names.is_none_or(|names| names.contains(name))).collect())
    }
}

/// The record of those top-level arguments that are `wanted`; nothing is built for the others. With `all`, these
/// are looked at too, so that `opaque`, which gets the paths of what Cedar cannot hold, is complete.
pub(crate) fn record(
    arguments: Option<View<'_>>,
    shape: &Shape,
    wanted: &Wanted,
    all: bool,
    opaque: &mut Vec<Path>,
) -> Value {
    let mut record = Record::default();
    for (key, value) in arguments.iter().flat_map(View::members) {
        let Some(name) = key.as_str() else { continue };
        let found = member(shape, &name);
        let build = found.is_none_or(|(index, _)| wanted.0.get(index).copied().unwrap_or(true));
        if build || all {
            let at = At { name: &name, above: None };
            let held = Walk { build, opaque }.hold(Some(&at), value, found.map(|(_, shape)| shape), DEPTH - 1);
            if let Held::Value(Some(value)) = held {
                record.insert(&name, value);
            }
        }
    }
    record.into()
}

/// The shape of an object's member, and where it stands among the others.
fn member<'s>(shape: &'s Shape, name: &str) -> Option<(usize, &'s Shape)> {
    /// Up to here, names of other lengths are passed over faster than a search can halve.
    const FEW: usize = 16;
    let Shape::Object { members, .. } = shape else { return None };
    let index = if members.len() <= FEW {
        members.iter().position(|(member, ..)| member == name)?
    } else {
        members.binary_search_by(|(member, ..)| member.as_str().cmp(name)).ok()?
    };
    members.get(index).map(|(_, shape, _)| (index, shape))
}

/// What a value is to Cedar.
enum Held {
    /// The value, or `None` where only its being held was asked.
    Value(Option<Value>),
    /// Cedar cannot hold it.
    Opaque,
}

/// Where a walk is, innermost name first. Few calls have anything opaque, so few need a [`Path`].
struct At<'p> {
    name: &'p str,
    above: Option<&'p At<'p>>,
}

impl At<'_> {
    fn path(&self) -> Path {
        let mut path: Path = iter::successors(Some(self), |at| at.above).map(|at| at.name.to_owned()).collect();
        path.reverse();
        path
    }
}

/// A walk over one value.
struct Walk<'o> {
    build: bool,
    opaque: &'o mut Vec<Path>,
}

impl Walk<'_> {
    /// Converts one value; whatever is opaque, in it or as a whole, is noted.
    fn hold(&mut self, at: Option<&At<'_>>, value: View<'_>, shape: Option<&Shape>, depth: usize) -> Held {
        let held = match (shape, value.kind()) {
            (Some(_), _) if depth == 0 => Held::Opaque,
            (Some(shape @ Shape::Object { .. }), Kind::Object) => self.object(at, value, shape, depth),
            (Some(Shape::Array(element)), Kind::Array) => self.array(value, element, depth),
            (Some(shape), _) => scalar(value, shape, self.build),
            (None, _) => Held::Opaque,
        };
        if matches!(held, Held::Opaque) {
            self.opaque.push(at.map(At::path).unwrap_or_default());
        }
        held
    }

    /// An object is held whatever its members are. Their names are distinct: the strict walk refused others.
    fn object(&mut self, at: Option<&At<'_>>, value: View<'_>, shape: &Shape, depth: usize) -> Held {
        let mut record = Record::default();
        for (key, value) in value.members() {
            let Some(name) = key.as_str() else { continue };
            let at = At { name: &name, above: at };
            let shape = member(shape, &name).map(|(_, shape)| shape);
            if let Held::Value(Some(value)) = self.hold(Some(&at), value, shape, depth - 1) {
                record.insert(&name, value);
            }
        }
        Held::Value(self.build.then(|| record.into()))
    }

    /// An array is held if all of its elements are: a set with one missing would lie.
    fn array(&self, value: View<'_>, element: &Shape, depth: usize) -> Held {
        let (mut set, mut opaque) = (Vec::new(), Vec::new());
        for item in value.elements() {
            let mut walk = Walk { build: self.build, opaque: &mut opaque };
            match walk.hold(None, item, Some(element), depth - 1) {
                Held::Value(value) if opaque.is_empty() => set.extend(value),
                Held::Value(_) | Held::Opaque => return Held::Opaque,
            }
        }
        Held::Value(self.build.then(|| evaluator::set(set)))
    }
}

fn scalar(value: View<'_>, shape: &Shape, build: bool) -> Held {
    let number = || value.as_number();
    let held = match (shape, value.kind()) {
        (Shape::String, Kind::String) if !build => return Held::Value(None),
        (Shape::String, Kind::String) => value.as_str().map(|s| Value::from(&*s)),
        (Shape::Bool, Kind::Bool) => value.as_bool().map(Value::from),
        (Shape::Integer, Kind::Number) => number().and_then(integer).map(Value::from),
        (Shape::Number, Kind::Number) => match number().and_then(Decimal::read) {
            Some(_) if !build => return Held::Value(None),
            decimal => decimal.and_then(|decimal| Constructor::Decimal.read(&decimal.spelled())),
        },
        _ => None,
    };
    held.map_or(Held::Opaque, |value| Held::Value(build.then_some(value)))
}

/// An integer within 64 bits; `1.0` is one (JSON Schema 2020-12, validation, 6.1.1).
fn integer(literal: &str) -> Option<i64> {
    let (whole, fraction) = literal.split_once('.').unwrap_or((literal, ""));
    fraction.bytes().all(|b| b == b'0').then(|| whole.parse().ok()).flatten()
}

/// A number that fits Cedar's `decimal`.
struct Decimal<'a> {
    /// With its sign.
    whole: &'a str,
    /// Without zeros at its end.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    fn read(literal: &'a str) -> Option<Self> {
        let (whole, fraction) = literal.split_once('.').unwrap_or((literal, ""));
        let fraction = fraction.trim_end_matches('0');
        let zeros = 4_usize.checked_sub(fraction.len())?;
        // Cedar holds a decimal as a 64-bit number of ten-thousandths.
        let (negative, digits) = whole.strip_prefix('-').map_or((false, whole), |digits| (true, digits));
        let mut digits = digits.bytes().chain(fraction.bytes()).chain(iter::repeat_n(b'0', zeros));
        digits.try_fold(0_i64, |sum, digit| {
            let digit = i64::from(char::from(digit).to_digit(10)?);
            let sum = sum.checked_mul(10)?;
            if negative { sum.checked_sub(digit) } else { sum.checked_add(digit) }
        })?;
        Some(Self { whole, fraction })
    }

    /// In Cedar's spelling: `-?digits.digits`, one to four decimals.
    fn spelled(&self) -> String {
        format!("{}.{}", self.whole, if self.fraction.is_empty() { "0" } else { self.fraction })
    }
}

/// RFC 6901: the name of an opaque value in `context.args_opaque`.
pub(crate) fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::Context;
    use crate::generated;
    use cedar_policy_core::ast::ValueKind;
    use interlock_catalog::InputSchema;
    use interlock_model::json::{Json, Limits};
    use proptest::prelude::*;

    fn shape() -> Shape {
        let open = |members| Shape::Object { members, open: true };
        open(vec![
            ("any".to_owned(), Shape::Opaque, false),
            ("b".to_owned(), Shape::Bool, false),
            ("d".to_owned(), Shape::Number, false),
            ("list".to_owned(), Shape::Array(Box::new(Shape::Integer)), false),
            ("n".to_owned(), Shape::Integer, false),
            ("o".to_owned(), open(vec![("x/y".to_owned(), Shape::Integer, false)]), false),
            ("s".to_owned(), Shape::String, true),
        ])
    }

    #[test]
    fn what_cedar_cannot_hold_is_named() {
        for (json, held, opaque) in [
            (r#"{"s":"a\u00e9","n":1,"b":true}"#, vec!["s", "n", "b"], vec![]),
            (r#"{"n":-9223372036854775808,"d":-0.5}"#, vec!["n", "d"], vec![]),
            (r#"{"n":9223372036854775808}"#, vec![], vec!["/n"]),
            (r#"{"n":1.0,"d":1.50000}"#, vec!["n", "d"], vec![]),
            (r#"{"n":1.5,"d":1.00001}"#, vec![], vec!["/n", "/d"]),
            (r#"{"d":1e2}"#, vec![], vec!["/d"]),
            (r#"{"d":922337203685477.5807}"#, vec!["d"], vec![]),
            (r#"{"d":922337203685477.5808}"#, vec![], vec!["/d"]),
            (r#"{"s":null,"any":1,"new":1}"#, vec![], vec!["/s", "/any", "/new"]),
            (r#"{"list":[1,2,2]}"#, vec!["list"], vec![]),
            (r#"{"list":[1,"a"]}"#, vec![], vec!["/list"]),
            (r#"{"o":{"x/y":1,"z":2}}"#, vec!["o"], vec!["/o/z"]),
            (r#"{"o":{"x/y":null}}"#, vec!["o"], vec!["/o/x~1y"]),
        ] {
            let json = Json::parse(json.as_bytes(), Limits::REQUEST).unwrap();
            let (shape, mut found) = (shape(), Vec::new());
            let built = record(Some(json.root()), &shape, &Wanted::new(None, &shape), true, &mut found);
            let ValueKind::Record(members) = built.value_kind() else { panic!("not a record") };
            let names: BTreeSet<&str> = members.keys().map(|name| name.as_str()).collect();
            assert_eq!(names, held.into_iter().collect());
            assert_eq!(found.iter().map(|path| pointer(path)).collect::<Vec<_>>(), opaque);

            // Looking without building finds the same.
            let mut found = Vec::new();
            let none = Wanted::new(Some(&BTreeSet::new()), &shape);
            assert_eq!(record(Some(json.root()), &shape, &none, true, &mut found), Value::empty_record(None));
            assert_eq!(found.iter().map(|path| pointer(path)).collect::<Vec<_>>(), opaque);
        }
    }
    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]
        #[test]
        fn values_are_those_that_cedar_makes_of_expressions(drawn in generated::arguments()) {
            let shape = format!(r#"{{"type":"object","properties":{}}}"#, generated::PROPERTIES);
            let shape = Json::parse(shape.as_bytes(), Limits::REQUEST).unwrap();
            let shape = InputSchema::compile(shape.root()).unwrap();
            let json = Json::parse(drawn.json.as_bytes(), Limits::REQUEST).unwrap();
            let mut opaque = Vec::new();
            let wanted = Wanted::new(None, shape.shape());
            let built = record(Some(json.root()), shape.shape(), &wanted, true, &mut opaque);
            prop_assert_eq!(opaque, drawn.opaque, "{}", drawn.json);
            let expected = cedar_policy::Context::from_pairs(drawn.held.map(|held| ("args".to_owned(), held))).unwrap();
            let built = cedar_policy::Context::from(Context::from(Record::of([("args", built)])));
            prop_assert_eq!(built, expected, "{}", drawn.json);
        }
    }
}
