//! The strict walk against tables and against serde_json.

use interlock_model::json::{Fault, Json, Limits, canonical};
use proptest::prelude::*;

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

proptest! {
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
