//! What is and what is not a bundle, and where the fault is said to be.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{bundle, files, snapshot, tools};
use ed25519_dalek::{Signer as _, SigningKey};
use interlock_policy::{Bundle, MANIFEST, PolicySnapshot, SCHEMA, write_manifest};
use interlock_signature::{PublicKey, Signature, Signer};
use proptest::prelude::*;

const PERMIT: &str = r#"@id("p") permit(principal, action in Interlock::Action::"call", resource is Interlock::Tool);"#;

struct SoftSigner(SigningKey);

impl Signer for SoftSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }
    fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// Every diagnostic as one line.
fn faults(result: Result<impl Sized, interlock_policy::InvalidBundle>) -> Vec<String> {
    result.err().map(|e| e.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn faults_have_a_place_and_help() {
    let permit = |annotations: &str| format!("// one\n{annotations} {}", &PERMIT[9..]);
    let forbid = |annotations: &str| permit(annotations).replace("permit(", "forbid(");
    for (policies, expected) in [
        (permit(""), "main.cedar:2:2: a policy without an id; write `@id(\"some-name\")` before it"),
        (permit("@id(\"a b\")"), "main.cedar:2:1: `a b` is not an id; use 1 to 128 letters, digits and `._-`"),
        (
            format!("{PERMIT}\r\n  {PERMIT}"),
            "main.cedar:2:3: the id `p` is taken by the policy at main.cedar:1:1; ids are unique in a bundle",
        ),
        (
            permit("@id(\"p\") @step_up(\"2\")"),
            "main.cedar:2:1: `@step_up` stands on a permit; put it on the forbid that an approval is to lift",
        ),
        (
            forbid("@id(\"p\") @step_up(\"0\")"),
            "main.cedar:2:1: `0` is not a tier that can be asked for; use 1, 2, 3 or 4; tier 0 is no approval at all",
        ),
        (
            forbid("@id(\"p\") @step_up(\"5\")"),
            "main.cedar:2:1: `5` is not a tier that can be asked for; use 1, 2, 3 or 4; tier 0 is no approval at all",
        ),
        (
            forbid("@id(\"p\") @label(\"pii\")"),
            "main.cedar:2:1: `@label` stands on a forbid; obligations belong to the permit that allows the call",
        ),
        (
            permit("@id(\"p\") @label(\"A b\")"),
            "main.cedar:2:1: `A b` is not a list of labels; use lower-case letters, digits and `._:-`, separated by commas",
        ),
        (
            permit("@id(\"p\") @redact(\"email\")"),
            "main.cedar:2:1: no detector finds `email`, so nothing could redact it; remove `@redact`, or forbid the call: a promise that is not kept is worse than none",
        ),
        (
            permit("@id(\"p\") @stepup(\"2\")"),
            "main.cedar:2:1: `@stepup` is not an annotation that anything reads; known are `@id`, `@reason`, `@advice`, `@step_up`, `@redact`, `@label`",
        ),
        (permit("@id(\"p\") @reason(\"\")"), "main.cedar:2:1: `@reason` must have 1 to 500 bytes of text"),
        ("\n\n  permit(principal".to_owned(), "main.cedar:3:3: a policy that does not end: `;` is missing"),
        (
            format!(
                "@id(\"p\") permit(principal, action, resource) when {{ {}true{} }};",
                "(".repeat(150),
                ")".repeat(150)
            ),
            "main.cedar:1:84: nested deeper than the limit",
        ),
    ] {
        assert_eq!(faults(bundle(&policies)), [expected], "{policies}");
    }
    // Cedar's own words may change; the place may not.
    for (policies, place) in [
        ("\n@id(\"p\") permit(principal, action, resource) when { 1 + };", "main.cedar:2:"),
        ("@id(\"p\") permit(principal == ?principal, action, resource);", "main.cedar:1:"),
    ] {
        let found = faults(bundle(policies));
        assert!(found.len() == 1 && found[0].starts_with(place), "{found:?}");
    }
}

#[test]
fn strict_validation_finds_types_and_typos() {
    let permit = |action: &str, when: &str| {
        format!("// one\n@id(\"p\") permit(principal, {action}, resource is Interlock::Tool) when {{\n  {when} }};")
    };
    let call = r#"action in Interlock::Action::"call""#;
    let read = r#"action == Interlock::Action::"files/read""#;
    for (action, when, valid) in [
        (call, "resource.readOnly", true),
        (call, "resource.readonly", false),
        (call, "resource.effects == \"read\"", false),
        (read, r#"context.args.path like "/srv/*""#, true),
        (read, "context.args.path > 3", false),
        (read, "context.args.limit > 3", false),
        (read, "context.args has limit && context.args.limit > 3", true),
        (read, r#"context.args has ratio && context.args.ratio.lessThan(decimal("0.5"))"#, true),
        (read, r#"context.args has tags && context.args.tags.contains("x")"#, true),
        // Arguments have no type for the group, whatever tools there are.
        (call, r#"context.args.path like "/srv/*""#, false),
        // What nothing fills is not there to be read.
        (call, "context.flows.isEmpty()", false),
        ("action == Interlock::Action::\"files/erase\"", "true", false),
    ] {
        let result = snapshot(&permit(action, when));
        assert_eq!(result.is_ok(), valid, "{action} {when}: {:?}", faults(result));
        if !valid {
            let found = faults(snapshot(&permit(action, when)));
            assert!(
                found.iter().all(|f| f.starts_with("main.cedar:2:") || f.starts_with("main.cedar:3:")),
                "{found:?}"
            );
        }
    }
}

#[test]
fn policies_that_never_match_are_warned_of() {
    for (scope, expected) in [
        (r#"principal, action in Interlock::Action::"call", resource is Interlock::Tool"#, None),
        (r#"principal, action, resource"#, None),
        (
            r#"principal, action == Interlock::Action::"call", resource is Interlock::Tool"#,
            Some("can never match: no approved tool"),
        ),
        (
            r#"principal, action == Interlock::Action::"publish", resource is Interlock::Release"#,
            Some("can never match: no approved tool"),
        ),
        (
            r#"principal, action == Interlock::Action::"files/read", resource == Interlock::Tool::"mail/send""#,
            Some("can never match: no approved tool"),
        ),
        (
            r#"principal, action in Interlock::Action::"call", resource in Interlock::Server::"gone""#,
            Some("can never match: no approved tool"),
        ),
        (
            r#"principal in Interlock::Team::"blue", action in Interlock::Action::"call", resource"#,
            Some("agents are in no team"),
        ),
        (r#"principal, action == Interlock::Action::"list", resource"#, Some("which needs none")),
    ] {
        let (_, warnings) = snapshot(&format!("@id(\"p\") permit({scope});")).unwrap();
        match expected {
            None => assert_eq!(warnings, [], "{scope}"),
            Some(text) => {
                assert!(warnings.len() == 1 && warnings[0].to_string().contains(text), "{scope}: {warnings:?}")
            }
        }
    }
    let (_, warnings) = snapshot(&format!("{} when {{ false }};", &PERMIT[..PERMIT.len() - 1])).unwrap();
    assert_eq!(warnings.len(), 1, "Cedar's own warning: {warnings:?}");
}

#[test]
fn the_manifest_pins_every_file() {
    let good = files(&[("a.cedar", PERMIT), ("tests/a.json", "[]")]);
    assert!(Bundle::parse(&good).is_ok());
    for (name, change) in [
        ("a.cedar", Some("changed")),
        ("a.cedar", None),
        ("b.cedar", Some("")),
        ("tests/a.json", Some("[ ]")),
        ("readme.md", Some("")),
        ("../b.cedar", Some("")),
        (".hidden.cedar", Some("")),
        (MANIFEST, Some("{}")),
        (MANIFEST, Some(r#"{"version":1,"files":{},"more":1}"#)),
        (MANIFEST, None),
    ] {
        let mut files = good.clone();
        match change {
            Some(text) => files.insert(name.to_owned(), text.as_bytes().to_vec()),
            None => files.remove(name),
        };
        assert!(Bundle::parse(&files).is_err(), "{name} {change:?}");
    }
    let mut latin = good;
    latin.insert("a.cedar".to_owned(), b"// \xe4".to_vec());
    assert!(faults(Bundle::parse(&latin)).iter().any(|f| f.starts_with("a.cedar:1:1: not UTF-8")));
}

#[test]
fn a_signature_covers_version_and_files() {
    let signer = SoftSigner(SigningKey::from_bytes(&[3; 32]));
    let mut files = files(&[("a.cedar", PERMIT)]);
    files.insert(MANIFEST.to_owned(), write_manifest(&files, 7, Some(&signer)));
    let bundle = Bundle::parse(&files).unwrap();
    assert_eq!((bundle.version(), bundle.signed_by()), (7, Some(signer.public_key())));
    // The digest is the same with and without a signature: it names what is signed.
    let mut plain = files.clone();
    plain.insert(MANIFEST.to_owned(), write_manifest(&files, 7, None));
    let plain = Bundle::parse(&plain).unwrap();
    assert_eq!((plain.digest(), plain.signed_by()), (bundle.digest(), None));

    let text = String::from_utf8(files[MANIFEST].clone()).unwrap();
    files.insert(MANIFEST.to_owned(), text.replace("\"version\": 7", "\"version\": 8").into_bytes());
    let found = faults(Bundle::parse(&files));
    assert!(found.len() == 1 && found[0].contains("signature does not verify"), "{found:?}");
}

#[test]
fn byte_order_marks_and_carriage_returns_are_tolerated() {
    let text = format!("\u{feff}// Windows\r\n{}\r\n", PERMIT.replace(", ", ",\r\n  "));
    let case = "\u{feff}[\r\n]";
    let bundle = Bundle::parse(&files(&[("a.cedar", &text), ("tests/a.json", case)])).unwrap();
    assert!(PolicySnapshot::new(&bundle, &tools()).is_ok());
}

#[test]
fn the_schema_is_compared_with_what_the_catalog_yields() {
    let generated = interlock_policy::generate_schema(&tools());
    for (schema, warnings) in [(generated.clone(), 0), (generated.replace('\n', "\r\n"), 0), ("stale".to_owned(), 1)] {
        let mut files = files(&[("a.cedar", PERMIT)]);
        files.insert(SCHEMA.to_owned(), schema.into_bytes());
        let (snapshot, found) = PolicySnapshot::new(&Bundle::parse(&files).unwrap(), &tools()).unwrap();
        assert_eq!(found.len(), warnings, "{found:?}");
        assert_eq!(snapshot.schema(), generated);
    }
}

#[test]
fn the_schema_is_valid_for_hostile_names() {
    let schema = r#"{"a\"b":{"type":"string"},"":{"type":"integer"},"in":{"type":"boolean"},"\u0000\u202e":{"type":"number"},
        "o":{"type":"object","properties":{"x y":{"type":"array","items":{"type":"integer"}}},"required":["x y"]},
        "u":{"type":["string","null"]},"any":{}}"#;
    let tool = common::tool("odd/tool", schema, "[]", tools()[0].facts.clone());
    let policy = r#"@id("p") permit(principal, action == Interlock::Action::"odd/tool", resource)
        when { context.args has "a\"b" && context.args["a\"b"] == "x" && context.args has o && context.args.o["x y"].contains(1) };"#;
    let result = PolicySnapshot::new(&bundle(policy).unwrap(), &[tool]);
    assert!(result.is_ok(), "{:?}", faults(result));
}

#[test]
fn what_the_limits_let_through_does_not_overflow_a_stack() {
    // At every limit at once, on the stack of an ordinary thread once loaded.
    let nested = format!("{}true{}", "(".repeat(30), ")".repeat(30));
    for condition in [
        nested,
        vec!["true"; 500].join(" && "),
        vec!["principal.bound"; 250].join(" && "),
        vec!["principal.bound"; 250].join(" || "),
        format!("{}1 > 0", "1 + ".repeat(500)),
        format!("{} == []", "[".repeat(15) + &"]".repeat(15)),
        "if principal.bound then false else ".repeat(32) + "true",
        vec!["context.inspected"; 250].join(" || "),
        format!("{}context.session.calls > 0", "1 + ".repeat(500)),
        "!".repeat(4) + "context.inspected",
    ] {
        let text = format!("{} when {{ {condition} }};", &PERMIT[..PERMIT.len() - 1]);
        let parsed = bundle(&text);
        assert!(parsed.is_ok(), "{:?}", faults(parsed));
        if let Ok((snapshot, _)) = snapshot(&text) {
            let run = move || {
                let _ = common::Call::new(&tools()[0], r#"{"path":"/a"}"#).decide(&snapshot);
            };
            std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
        }
    }
}

proptest! {
    #[test]
    fn no_text_ends_the_process(text in "(permit|forbid|when|unless|if|then|else|in|has|like|context|principal|[(){}\\[\\]\";,.!&|=<>+*@ -]|\\PC){0,200}") {
        let _ = Bundle::parse_text(text.as_bytes());
    }

    #[test]
    fn no_bytes_end_the_process(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Bundle::parse_text(&bytes);
    }
}

#[test]
fn only_a_risen_version_whose_tests_pass_replaces_what_is_in_force() {
    let passes = r#"[{"name":"t","agent":{"id":"a","owner":"b"},"tool":"files/read","expect":{"outcome":"allow"}}]"#;
    let fails = passes.replace("allow", "deny");
    let make = |version: u64, case: &str, policy: &str| {
        let mut files = files(&[("a.cedar", policy), ("tests/a.json", case)]);
        files.insert(MANIFEST.to_owned(), write_manifest(&files, version, None));
        Bundle::parse(&files).unwrap()
    };
    let first = make(3, passes, PERMIT);
    let (current, _) = PolicySnapshot::activate(&first, &tools(), None).unwrap();
    let other = PERMIT.replace("\"p\"", "\"q\"");
    for (name, bundle, accepted) in [
        ("the same", make(3, passes, PERMIT), true),
        ("other policies, same version", make(3, passes, &other), false),
        ("an older one", make(2, passes, &other), false),
        ("a newer one", make(4, passes, &other), true),
        ("a newer one that fails its tests", make(4, &fails, &other), false),
        (
            "a newer one that does not validate",
            make(4, passes, &format!("{} when {{ resource.nope }};", &PERMIT[..PERMIT.len() - 1])),
            false,
        ),
    ] {
        assert_eq!(PolicySnapshot::activate(&bundle, &tools(), Some(&current)).is_ok(), accepted, "{name}");
    }
}
