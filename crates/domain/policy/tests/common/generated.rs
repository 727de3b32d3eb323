//! Generated arguments: as JSON, and what Cedar should be given for them, written down without the code under test.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use cedar_policy::RestrictedExpression;
use proptest::prelude::*;

/// The properties of the tool that the arguments are for. None is required at the top.
pub(crate) const PROPERTIES: &str = r#"{
    "flag": {"type": "boolean"},
    "count": {"type": "integer"},
    "ratio": {"type": "number"},
    "name": {"type": "string"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "grid": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    "points": {"type": "array", "items": {"type": "object", "required": ["x", "y"],
        "properties": {"x": {"type": "integer"}, "y": {"type": "number"}}}},
    "free": {},
    "o": {"type": "object", "properties": {
        "flag": {"type": "boolean"},
        "a member's name of more bytes than fit in place": {"type": "integer"},
        "inner": {"type": "object", "properties": {
            "n": {"type": "integer"}, "s": {"type": "string"}, "d": {"type": "number"},
            "list": {"type": "array", "items": {"type": "integer"}}}}}}
}"#;

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) json: String,
    /// `None` if Cedar cannot hold it.
    pub(crate) held: Option<RestrictedExpression>,
    /// The members in it that Cedar cannot hold, by their paths from here.
    pub(crate) opaque: Vec<Vec<String>>,
}

impl Drawn {
    fn held(json: impl Into<String>, held: RestrictedExpression) -> Self {
        Self { json: json.into(), held: Some(held), opaque: vec![] }
    }

    fn opaque(json: &str) -> Self {
        Self { json: json.to_owned(), held: None, opaque: vec![] }
    }
}

/// Mostly what `held` yields, at times one of `others`, which Cedar cannot hold.
fn or_opaque(held: impl Strategy<Value = Drawn> + 'static, others: &'static [&'static str]) -> BoxedStrategy<Drawn> {
    prop_oneof![24 => held, 1 => prop::sample::select(others).prop_map(Drawn::opaque)].boxed()
}

fn flag() -> BoxedStrategy<Drawn> {
    let held = any::<bool>().prop_map(|b| Drawn::held(b.to_string(), RestrictedExpression::new_bool(b)));
    or_opaque(held, &["null", "0", "\"true\"", "[true]"])
}

fn count() -> BoxedStrategy<Drawn> {
    let number =
        prop_oneof![8 => 0..4_i64, 3 => -9..10_i64, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let held = (number, prop::sample::select(&["", "", ".0", ".000"][..]))
        .prop_map(|(n, end)| Drawn::held(format!("{n}{end}"), RestrictedExpression::new_long(n)));
    or_opaque(held, &["null", "1.5", "1e2", "9223372036854775808", "\"1\"", "{}"])
}

fn ratio() -> BoxedStrategy<Drawn> {
    let round = prop::sample::select(&[0, 5_000, 10_000, -5_000][..]);
    let units =
        prop_oneof![4 => round, 4 => -20_000..20_000_i64, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let held = (units, any::<bool>()).prop_map(|(units, short)| {
        let sign = if units < 0 { "-" } else { "" };
        let spelled = format!("{sign}{}.{:04}", units.unsigned_abs() / 10_000, units.unsigned_abs() % 10_000);
        let json = if short { spelled.trim_end_matches('0').trim_end_matches('.') } else { &spelled };
        Drawn::held(json, RestrictedExpression::new_decimal(&spelled))
    });
    or_opaque(held, &["null", "1e0", "0.12345", "922337203685477.5808", "-922337203685477.5809", "\"0.5\"", "[]"])
}

fn text() -> BoxedStrategy<Drawn> {
    let held = prop_oneof!["[ab]{0,3}", "[ -~\u{e9}\n\t\u{1f511}]{0,30}", "x{20,30}"]
        .prop_map(|s: String| Drawn::held(serde_json::to_string(&s).unwrap(), RestrictedExpression::new_string(s)));
    or_opaque(held, &["null", "7", "true", "[\"a\"]"])
}

/// One opaque element makes the array opaque.
fn array(element: BoxedStrategy<Drawn>) -> BoxedStrategy<Drawn> {
    let held = proptest::collection::vec(element, 0..6).prop_map(|elements| {
        let json = elements.iter().map(|e| e.json.as_str()).collect::<Vec<_>>().join(",");
        let whole = |e: Drawn| e.held.filter(|_| e.opaque.is_empty());
        let held = elements.into_iter().map(whole).collect::<Option<Vec<_>>>();
        Drawn { json: format!("[{json}]"), held: held.map(RestrictedExpression::new_set), opaque: vec![] }
    });
    or_opaque(held, &["null", "{}", "1"])
}

/// An object is held without its opaque members. `dense`: all members are there.
fn object(members: Vec<(&'static str, BoxedStrategy<Drawn>)>, dense: bool) -> impl Strategy<Value = Drawn> {
    let there = move || prop::bool::weighted(if dense { 1.0 } else { 0.5 });
    let members: Vec<_> = members.into_iter().map(|(name, value)| (Just(name), value, there())).collect();
    (members, prop::bool::weighted(0.03)).prop_map(|(members, extra)| {
        let extra = extra.then(|| ("out/of~it", Drawn::opaque("{\"a\":1}")));
        let there = members.into_iter().filter(|(.., there)| *there).map(|(name, value, _)| (name, value));
        let (mut json, mut held, mut opaque) = (vec![], vec![], vec![]);
        for (name, value) in there.chain(extra) {
            json.push(format!("{}:{}", serde_json::to_string(name).unwrap(), value.json));
            match value.held {
                Some(value) => held.push((name.to_owned(), value)),
                None => opaque.push(vec![name.to_owned()]),
            }
            opaque.extend(value.opaque.into_iter().map(|mut path| {
                path.insert(0, name.to_owned());
                path
            }));
        }
        let record = RestrictedExpression::new_record(held).unwrap();
        Drawn { json: format!("{{{}}}", json.join(",")), held: Some(record), opaque }
    })
}

/// Arguments for a tool with [`PROPERTIES`].
pub(crate) fn arguments() -> impl Strategy<Value = Drawn> {
    let inner = object(vec![("n", count()), ("s", text()), ("d", ratio()), ("list", array(count()))], false);
    let o = object(
        vec![
            ("flag", flag()),
            ("a member's name of more bytes than fit in place", count()),
            ("inner", or_opaque(inner, &["null", "[]"])),
        ],
        false,
    );
    let point = object(vec![("x", count()), ("y", ratio())], true);
    object(
        vec![
            ("flag", flag()),
            ("count", count()),
            ("ratio", ratio()),
            ("name", text()),
            ("tags", array(text())),
            ("grid", array(array(count()))),
            ("points", array(point.boxed())),
            ("o", or_opaque(o, &["null", "\"o\""])),
        ],
        false,
    )
}
