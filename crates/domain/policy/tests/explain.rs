//! Explanations name what decided and what would have allowed the call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{Call, snapshot, tools};
use interlock_model::Tier;
use interlock_policy::Remedy;

const PERMIT: &str = r#"@id("p") permit(principal, action in Interlock::Action::"call", resource is Interlock::Tool);"#;

#[test]
fn an_approval_a_missing_forbid_or_a_mended_policy() {
    let forbid = |id: &str, more: &str, when: &str| {
        format!(
            r#"@id("{id}") {more} forbid(principal, action in Interlock::Action::"call", resource is Interlock::Tool) when {{ {when} }};"#
        )
    };
    for (policies, remedies) in [
        (PERMIT.to_owned(), vec![]),
        (
            format!("{PERMIT}{}", forbid("s", r#"@step_up("3")"#, "true")),
            vec![Remedy::Approval(Tier::try_from(3).unwrap())],
        ),
        (format!("{PERMIT}{}", forbid("f", "", "true")), vec![Remedy::WithoutForbid("f".into())]),
        (
            format!("{PERMIT}{}", forbid("e", "", "9223372036854775807 + context.session.calls > 0")),
            vec![Remedy::WithoutError("e".into())],
        ),
        (String::new(), vec![Remedy::NoPermit]),
    ] {
        let (snapshot, _) = snapshot(&policies).unwrap();
        let mut call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
        call.calls = 1;
        let explanation = snapshot.explain(&call.request());
        assert_eq!(explanation.remedies, remedies, "{policies}");
        assert_eq!(explanation.decision, call.decide(&snapshot));
    }
}

#[test]
fn near_permits_come_with_what_they_read() {
    let policies = r#"
        @id("far") permit(principal in Interlock::Role::"ops", action == Interlock::Action::"mail/send", resource == Interlock::Tool::"mail/send");
        @id("other-tool") permit(principal, action == Interlock::Action::"files/write", resource is Interlock::Tool);
        @id("small-srv") @advice("stay under /srv")
        permit(principal, action == Interlock::Action::"files/read", resource is Interlock::Tool)
        when { context.args.path like "/srv/*" && context.session.calls < 5 };
        @id("ops") permit(principal in Interlock::Role::"ops", action in Interlock::Action::"call", resource is Interlock::Tool);
    "#;
    let (snapshot, _) = snapshot(policies).unwrap();
    let explanation = snapshot.explain(&Call::new(&tools()[0], r#"{"path":"/etc/passwd"}"#).request());
    let near: Vec<(&str, &[&str])> = explanation
        .remedies
        .iter()
        .map(|remedy| match remedy {
            Remedy::Permit(near) => (&*near.policy.id, &*near.differs),
            other => panic!("{other:?}"),
        })
        .collect();
    // Conditions first, then one part of the scope; what differs in all three is not near.
    assert_eq!(near, [("small-srv", &[][..]), ("other-tool", &["action"]), ("ops", &["principal"])]);
    let text = explanation.to_string();
    for line in [
        "deny (policy_denied): no policy permits this call",
        "- the conditions of `small-srv` (main.cedar:4:9)",
        "with context.args.path = \"/etc/passwd\"",
        "advice: stay under /srv",
        "- `ops` (main.cedar:7:9), which is for another principal",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn the_deciding_policy_is_quoted() {
    let policies = format!(
        "{PERMIT}\n@id(\"etc\") @reason(\"not /etc\") forbid(principal, action == Interlock::Action::\"files/read\", resource)\nwhen {{ context.args.path like \"/etc/*\" }};"
    );
    let (snapshot, _) = snapshot(&policies).unwrap();
    let explanation = snapshot.explain(&Call::new(&tools()[0], r#"{"path":"/etc/passwd"}"#).request());
    assert_eq!(explanation.deciding.len(), 1);
    let policy = &explanation.deciding[0];
    assert_eq!(
        (&*policy.id, policy.place.as_str(), policy.reason.as_deref()),
        ("etc", "main.cedar:2:1", Some("not /etc"))
    );
    assert_eq!(policy.values, ["context.args.path = \"/etc/passwd\""]);
    assert!(policy.text.starts_with("@id(\"etc\")") && policy.text.ends_with("};"));
}
