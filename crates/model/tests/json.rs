//! The strict walk against tables and against serde_json.

use interlock_model::json::{Fault, Json, JsonError, Kind, Limits, View, canonical};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

fn parse(text: &str) -> Result<(), Fault> {
    Json::parse(text, Limits::REQUEST).map(drop).map_err(|e| e.fault)
}

#[test]
fn refused_texts() {
    for (text, fault) in [
        ("", Fault::Truncated),
        ("{", Fault::Truncated),
        ("{\"a\"", Fault::Truncated),
        ("{\"a\":", Fault::Truncated),
        ("\"abc", Fault::Truncated),
        ("tru", Fault::Truncated),
        ("1.", Fault::Truncated),
        ("-", Fault::Truncated),
        ("tri", Fault::Grammar),
        ("01", Fault::Grammar),
        ("+1", Fault::Grammar),
        (".5", Fault::Grammar),
        ("[1,]", Fault::Grammar),
        ("{\"a\":1,}", Fault::Grammar),
        ("{a:1}", Fault::Grammar),
        ("[1}", Fault::Grammar),
        ("{\"a\":1]", Fault::Grammar),
        ("1 2", Fault::Grammar),
        ("\u{feff}{}", Fault::Grammar),
        ("\"\t\"", Fault::Grammar),
        ("\"\\x\"", Fault::Grammar),
        ("\"\\u12g4\"", Fault::Grammar),
        ("NaN", Fault::Grammar),
        ("'a'", Fault::Grammar),
        ("\"\\ud800\"", Fault::LoneSurrogate),
        ("\"\\udc00\"", Fault::LoneSurrogate),
        ("\"\\ud800\\u0041\"", Fault::LoneSurrogate),
        ("{\"a\":1,\"a\":2}", Fault::Duplicate),
        ("{\"a\":1,\"\\u0061\":2}", Fault::Duplicate),
        ("[[{\"x\":{\"y\":1,\"y\":1}}]]", Fault::Duplicate),
    ] {
        assert_eq!(parse(text), Err(fault), "{text:?}");
    }
}

#[test]
fn duplicates_among_many_members() {
    let mut text = String::from("{");
    for i in 0..100 {
        text.push_str(&format!("\"k{i}\":{i},"));
    }
    assert_eq!(parse(&format!("{text}\"last\":0}}")), Ok(()));
    assert_eq!(parse(&format!("{text}\"k42\":0}}")), Err(Fault::Duplicate));
}

#[test]
fn the_first_member_that_repeats_another_is_named() {
    // Around the numbers of members from which on the keys are compared in another way.
    for members in [2, 3, 8, 9, 23, 24, 25, 26, 60] {
        for name in
            [|i: usize| i.to_string(), |i| format!("begins alike {i:03} and ends alike"), |i| format!("\\u{i:04x}")]
        {
            for (first, again) in [(0, 1), (members / 3, members - 1), (members - 2, members - 1)] {
                let key = |i| format!("\"{}\"", name(if i >= again { first + i - again } else { i }));
                let mut text = String::from("[{");
                let mut at = 0;
                for i in 0..members {
                    at = if i == again { text.len() } else { at };
                    text.push_str(&format!("{}:[{{}}],", key(i)));
                }
                text.pop();
                let error = Json::parse(format!("{text}}}]"), Limits::REQUEST).map(drop);
                assert_eq!(error, Err(JsonError { fault: Fault::Duplicate, at }), "{text}");
            }
        }
    }
}

#[test]
fn whatever_ends_a_run_at_every_offset() {
    for (piece, read, fault) in [
        ("\"", "", None),
        ("\\\"", "\"", None),
        ("\\\\", "\\", None),
        ("\\n", "\n", None),
        ("\\u0022", "\"", None),
        ("\u{20}\u{7f}", " \u{7f}", None),
        ("\u{a2}\u{dc}\u{1f512}", "\u{a2}\u{dc}\u{1f512}", None),
        ("\\x", "", Some(Fault::Grammar)),
        ("\\ud800", "", Some(Fault::LoneSurrogate)),
        ("\0", "", Some(Fault::Grammar)),
        ("\n", "", Some(Fault::Grammar)),
        ("\u{1f}", "", Some(Fault::Grammar)),
    ] {
        for before in 0..70 {
            for after in [0, 1, 7, 8, 31, 40] {
                let (before, after) =
                    ("b".repeat(before), if piece == "\"" { String::new() } else { "a".repeat(after) });
                let end = if piece == "\"" { "" } else { "\"" };
                let text = format!("[\"{before}{piece}{after}{end}, 1]");
                let found = Json::parse(&text, Limits::REQUEST);
                match (found, fault) {
                    (Ok(json), None) => {
                        let string = json.root().elements().next().unwrap();
                        assert_eq!(string.as_str().unwrap(), format!("{before}{read}{after}"), "{text:?}");
                        assert_eq!(json.root().elements().count(), 2, "{text:?}");
                    }
                    (Err(error), Some(fault)) => {
                        assert_eq!(error, JsonError { fault, at: 2 + before.len() }, "{text:?}");
                    }
                    (found, _) => panic!("{text:?}: {found:?}"),
                }
                // Without its end.
                let cut = text.len() - ", 1]".len() - 1;
                let cut_short = Json::parse(&text[..cut], Limits::REQUEST).map(drop).map_err(|e| e.fault);
                assert_eq!(cut_short, Err(fault.unwrap_or(Fault::Truncated)), "{text:?}");
            }
        }
    }
}

#[test]
fn depth_is_counted_not_recursed() {
    let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(parse(&nest(64)), Ok(()));
    assert_eq!(parse(&nest(65)), Err(Fault::Depth));
    assert_eq!(parse(&"[".repeat(1_000_000)), Err(Fault::Depth));
}

#[test]
fn values_are_read_in_place() {
    let json =
        Json::parse(r#" {"a" : "x\u00e9\ud83d\ude00\n", "n":-1.50e3, "l":[1,[2],{}], "t":true} "#, Limits::REQUEST)
            .unwrap();
    let root = json.root();
    assert_eq!(root.get("a").unwrap().as_str().unwrap(), "x\u{e9}\u{1f600}\n");
    assert_eq!(root.get("n").unwrap().as_number(), Some("-1.50e3"));
    assert_eq!(root.get("n").unwrap().as_i64(), None);
    assert_eq!(
        root.get("l").unwrap().elements().map(|e| e.raw().to_vec()).collect::<Vec<_>>(),
        [&b"1"[..], b"[2]", b"{}"]
    );
    assert_eq!(root.get("t").unwrap().as_bool(), Some(true));
    assert!(root.get("missing").is_none());
}

#[test]
fn canonical_vectors() {
    for (text, canonical) in [
        // RFC 8785 section 3.2.3: sorting by UTF-16 code units.
        (
            "{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\",\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        ),
        ("[ 1 , -0 , 9007199254740993 , 1.10 , \"\\/\\u0001\" ]", "[1,0,9007199254740993,1.10,\"/\\u0001\"]"),
    ] {
        let json = Json::parse(text, Limits::REQUEST).unwrap();
        assert_eq!(String::from_utf8(canonical::respell(json.root())).unwrap(), canonical);
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 128, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..12)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A text that may be broken in a few places.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "\"", "\\", "\n", "\0", "{", "}", "[", "]", ",", ":", "0", "-", "e", "\\u00", " ", "\u{e9}",
    ]);
    let cut = (any::<prop::sample::Index>(), 0_usize..3, prop::option::of(piece));
    (value(), any::<bool>(), prop::collection::vec(cut, 0..3)).prop_map(|(value, pretty, cuts)| {
        let mut text = if pretty { format!("{value:#}") } else { value.to_string() }.into_bytes();
        for (at, len, piece) in cuts {
            let at = at.index(text.len() + 1);
            let end = text.len().min(at + len);
            text.splice(at..end, piece.unwrap_or_default().bytes());
        }
        text
    })
}

/// Whether `view` is what serde_json read.
fn same(view: View<'_>, value: &Value) -> bool {
    match value {
        Value::Null => view.kind() == Kind::Null,
        Value::Bool(b) => view.as_bool() == Some(*b),
        // serde_json rounds in the last bit otherwise than std does.
        Value::Number(n) => {
            view.as_number().and_then(|s| s.parse::<f64>().ok()).zip(n.as_f64()).is_some_and(|(ours, theirs)| {
                (ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs.abs() + f64::MIN_POSITIVE
            })
        }
        Value::String(s) => view.as_str().is_some_and(|found| found == s.as_str()) && view.is_str(s),
        Value::Array(list) => {
            view.elements().count() == list.len() && view.elements().zip(list).all(|(view, value)| same(view, value))
        }
        Value::Object(map) => {
            view.members().count() == map.len()
                && map.iter().all(|(key, value)| view.get(key).is_some_and(|view| same(view, value)))
        }
    }
}

proptest! {
    #[test]
    fn accepts_and_reads_what_serde_json_does(text in broken()) {
        let parsed = Json::parse(&text[..], Limits::REQUEST);
        // The grammar alone: serde_json's values have limits of their own.
        let grammatical = std::str::from_utf8(&text).is_ok() && serde_json::from_slice::<IgnoredAny>(&text).is_ok();
        match parsed {
            Ok(json) => {
                prop_assert!(grammatical);
                if let Ok(value) = serde_json::from_slice::<Value>(&text) {
                    prop_assert!(same(json.root(), &value));
                }
            }
            Err(JsonError { fault: Fault::Duplicate | Fault::LoneSurrogate, .. }) => {}
            Err(error) => {
                prop_assert!(!grammatical, "{}", error);
                prop_assert!(error.at <= text.len());
            }
        }
    }

    #[test]
    fn accepts_what_serde_json_writes_and_keeps_it(v in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&v).unwrap() } else { v.to_string() };
        let json = Json::parse(text.as_bytes(), Limits::REQUEST).unwrap();
        prop_assert_eq!(json.root().raw(), text.as_bytes());
        let respelled = canonical::respell(json.root());
        let back: serde_json::Value = serde_json::from_slice(&respelled).unwrap();
        prop_assert_eq!(back, serde_json::from_str::<serde_json::Value>(&text).unwrap());
        let again = Json::parse(&respelled, Limits::REQUEST).unwrap();
        prop_assert_eq!(canonical::respell(again.root()), respelled);
    }

    #[test]
    fn never_accepts_what_serde_json_refuses(text in r#"[ \[\]{}:,"\\u0-9a-f.eE+tn-]{0,40}"#) {
        if Json::parse(text.as_bytes(), Limits::RESULT).is_ok() {
            // serde_json refuses half surrogates, which results may hold.
            prop_assume!(Json::parse(text.as_bytes(), Limits::REQUEST).is_ok());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok() || text.contains('e') || text.contains('E'), "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Json::parse(bytes, Limits::REQUEST));
    }
}
