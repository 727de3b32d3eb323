//! Arguments as Cedar values, according to the tool's approved input schema.
//!
//! Integers become `Long`, other numbers of at most four decimals `decimal`, arrays of one kind sets,
//! objects records. What Cedar cannot hold (null, more decimals, an exponent, beyond 64 bits, mixed
//! arrays, members outside the schema) is *opaque*: it is left out, and named by its path.

use cedar_policy::RestrictedExpression;
use interlock_catalog::Shape;
use interlock_model::json::{Kind, View};
use std::borrow::Cow;

/// Where an opaque value stands: member names from the top.
pub(crate) type Path = Vec<String>;

/// Deeper than this a schema is taken as opaque.
pub(crate) const DEPTH: usize = 12;

/// What a value is to Cedar.
enum Held {
    /// The value, or `None` where only its being held was asked.
    Value(Option<RestrictedExpression>),
    /// Cedar cannot hold it.
    Opaque,
}

/// A walk over the arguments of one call.
pub(crate) struct Arguments<'s, 'a> {
    shape: &'s Shape,
    opaque: Vec<Path>,
    at: Vec<Cow<'a, str>>,
}

impl<'s, 'a> Arguments<'s, 'a> {
    pub(crate) const fn new(shape: &'s Shape) -> Self {
        Self { shape, opaque: Vec::new(), at: Vec::new() }
    }

    /// The record of those top-level arguments that `wanted` names. With `all`, the others are looked
    /// at too, so that [`Self::opaque`] is complete.
    pub(crate) fn record(
        &mut self,
        arguments: Option<View<'a>>,
        wanted: impl Fn(&str) -> bool,
        all: bool,
    ) -> Vec<(String, RestrictedExpression)> {
        let mut pairs = Vec::new();
        for (key, value) in arguments.iter().flat_map(View::members) {
            let Some(name) = key.as_str() else { continue };
            let build = wanted(&name);
            if !build && !all {
                continue;
            }
            let shape = member(self.shape, &name);
            self.at.push(name);
            let held = self.hold(value, shape, build, DEPTH - 1);
            let name = self.at.pop().unwrap_or_default();
            if let Held::Value(Some(expression)) = held {
                pairs.push((name.into_owned(), expression));
            }
        }
        pairs
    }

    /// The values that Cedar cannot hold, among those looked at.
    pub(crate) fn opaque(self) -> Vec<Path> {
        self.opaque
    }

    /// Converts one value; whatever is opaque, in it or as a whole, is noted.
    fn hold(&mut self, value: View<'a>, shape: Option<&Shape>, build: bool, depth: usize) -> Held {
        let held = match (shape, value.kind()) {
            (Some(_), _) if depth == 0 => Held::Opaque,
            (Some(shape @ Shape::Object { .. }), Kind::Object) => return self.hold_object(value, shape, build, depth),
            (Some(Shape::Array(element)), Kind::Array) => hold_array(value, element, build, depth),
            (Some(shape), _) => hold_scalar(value, shape, build),
            (None, _) => Held::Opaque,
        };
        if matches!(held, Held::Opaque) {
            self.opaque.push(self.at.iter().map(|name| name.clone().into_owned()).collect());
        }
        held
    }

    fn hold_object(&mut self, value: View<'a>, shape: &Shape, build: bool, depth: usize) -> Held {
        let mut pairs = Vec::new();
        for (key, value) in value.members() {
            let Some(name) = key.as_str() else { continue };
            let shape = member(shape, &name);
            self.at.push(name);
            let held = self.hold(value, shape, build, depth - 1);
            let name = self.at.pop().unwrap_or_default();
            if let Held::Value(Some(expression)) = held {
                pairs.push((name.into_owned(), expression));
            }
        }
        // Names are distinct: the strict walk refused duplicates.
        Held::Value(build.then(|| RestrictedExpression::new_record(pairs).ok()).flatten())
    }
}

fn member<'s>(shape: &'s Shape, name: &str) -> Option<&'s Shape> {
    match shape {
        Shape::Object { members, .. } => {
            let at = members.binary_search_by(|(n, ..)| n.as_str().cmp(name)).ok()?;
            members.get(at).map(|(_, shape, _)| shape)
        }
        _ => None,
    }
}

/// An array is held if all of its elements are: a set with one missing would lie.
fn hold_array(value: View<'_>, element: &Shape, build: bool, depth: usize) -> Held {
    if depth == 0 {
        return Held::Opaque;
    }
    let mut set = Vec::new();
    for item in value.elements() {
        let mut inner = Arguments { shape: element, opaque: Vec::new(), at: Vec::new() };
        match inner.hold(item, Some(element), build, depth - 1) {
            Held::Value(expression) if inner.opaque.is_empty() => set.extend(expression),
            _ => return Held::Opaque,
        }
    }
    Held::Value(build.then(|| RestrictedExpression::new_set(set)))
}

fn hold_scalar(value: View<'_>, shape: &Shape, build: bool) -> Held {
    let built = match (shape, value.kind()) {
        (Shape::String, Kind::String) => {
            if !build {
                return Held::Value(None);
            }
            value.as_str().map(|s| RestrictedExpression::new_string(s.into_owned()))
        }
        (Shape::Bool, Kind::Bool) => value.as_bool().map(RestrictedExpression::new_bool),
        (Shape::Integer, Kind::Number) => value.as_number().and_then(integer).map(RestrictedExpression::new_long),
        (Shape::Number, Kind::Number) => value.as_number().and_then(decimal).map(RestrictedExpression::new_decimal),
        _ => None,
    };
    built.map_or(Held::Opaque, |expression| Held::Value(build.then_some(expression)))
}

/// An integer within 64 bits; `1.0` is one (JSON Schema 2020-12, validation, 6.1.1).
fn integer(literal: &str) -> Option<i64> {
    let (whole, fraction) = literal.split_once('.').unwrap_or((literal, ""));
    fraction.bytes().all(|b| b == b'0').then(|| whole.parse().ok()).flatten()
}

/// The literal in Cedar's spelling (`-?digits.digits`, one to four decimals), if its value fits.
fn decimal(literal: &str) -> Option<String> {
    let (sign, digits) = literal.strip_prefix('-').map_or(("", literal), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 4 || !plain(whole) || !plain(fraction) {
        return None;
    }
    // Cedar holds a decimal as a 64-bit number of ten-thousandths.
    format!("{sign}{whole}{fraction:0<4}").parse::<i64>().ok()?;
    Some(format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { fraction }))
}

/// RFC 6901: the name of an opaque value in `context.args_opaque`.
pub(crate) fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

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
            let shape = shape();
            let mut arguments = Arguments::new(&shape);
            let names: Vec<String> =
                arguments.record(Some(json.root()), |_| true, true).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, held);
            let found: Vec<String> = arguments.opaque().iter().map(|p| pointer(p)).collect();
            assert_eq!(found, opaque);

            // Looking without building finds the same.
            let mut arguments = Arguments::new(&shape);
            assert!(arguments.record(Some(json.root()), |_| false, true).is_empty());
            assert_eq!(arguments.opaque().iter().map(|p| pointer(p)).collect::<Vec<_>>(), opaque);
        }
    }
}
