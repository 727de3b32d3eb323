//! The rules of a decision, one table each.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::{Call, principal, snapshot, tools};
use interlock_model::{Code, Outcome, Tier};
use interlock_policy::{ActionKind, PolicySnapshot, Subject};
use std::sync::Arc;

const PERMIT: &str = r#"@id("p") permit(principal, action in Interlock::Action::"call", resource is Interlock::Tool);"#;

fn with(policies: &str) -> PolicySnapshot {
    snapshot(policies).unwrap().0
}

fn ids(policies: &[Arc<str>]) -> Vec<&str> {
    policies.iter().map(|p| &**p).collect()
}

#[test]
fn outcomes() {
    let forbid = |id: &str, more: &str, when: &str| {
        format!(
            r#"@id("{id}") {more} forbid(principal, action in Interlock::Action::"call", resource is Interlock::Tool) when {{ {when} }};"#
        )
    };
    let step = |id: &str, tier: u8| forbid(id, &format!(r#"@step_up("{tier}") @reason("ask {tier}")"#), "true");
    let error = forbid("bad", "", "context.session.calls + 9223372036854775807 < 0");
    let late = forbid("late", "", "context.session.calls > 0");
    for (name, policies, approval, outcome, code, deciding, tier, reason) in [
        (
            "no policy",
            String::new(),
            None,
            Outcome::Deny,
            Some(Code::PolicyDenied),
            vec![],
            None,
            "no policy permits this call",
        ),
        ("a permit", PERMIT.to_owned(), None, Outcome::Allow, None, vec!["p"], None, "policy permits this call"),
        (
            "a forbid wins",
            format!("{PERMIT}{late}"),
            None,
            Outcome::Deny,
            Some(Code::PolicyDenied),
            vec!["late"],
            None,
            "policy forbids this call",
        ),
        (
            "step-up at the highest tier",
            format!("{PERMIT}{}{}", step("s2", 2), step("s3", 3)),
            None,
            Outcome::StepUp,
            Some(Code::ApprovalRequired),
            vec!["s2", "s3"],
            Some(3),
            "ask 2; ask 3",
        ),
        (
            "an approval lifts its tier",
            format!("{PERMIT}{}{}", step("s2", 2), step("s3", 3)),
            Some(3),
            Outcome::Allow,
            None,
            vec!["p"],
            Some(3),
            "policy permits this call",
        ),
        (
            "an approval lifts no higher tier",
            format!("{PERMIT}{}{}", step("s2", 2), step("s3", 3)),
            Some(2),
            Outcome::StepUp,
            Some(Code::ApprovalRequired),
            vec!["s3"],
            Some(3),
            "ask 3",
        ),
        (
            "step-up needs a permit",
            step("s2", 2),
            None,
            Outcome::Deny,
            Some(Code::PolicyDenied),
            vec![],
            None,
            "no policy permits this call",
        ),
        (
            "an approval is no permit",
            step("s2", 2),
            Some(4),
            Outcome::Deny,
            Some(Code::PolicyDenied),
            vec![],
            None,
            "no policy permits this call",
        ),
        (
            "an approval lifts no plain forbid",
            format!("{PERMIT}{late}"),
            Some(4),
            Outcome::Deny,
            Some(Code::PolicyDenied),
            vec!["late"],
            None,
            "policy forbids this call",
        ),
        (
            "a forbid beats a step-up",
            format!("{PERMIT}{late}{}", step("s2", 2)),
            None,
            Outcome::Deny,
            Some(Code::PolicyDenied),
            vec!["late"],
            None,
            "policy forbids this call",
        ),
        (
            "an error beats all",
            format!("{PERMIT}{late}{error}{}", step("s2", 2)),
            Some(4),
            Outcome::Deny,
            Some(Code::PolicyError),
            vec!["bad"],
            None,
            "a policy could not be evaluated: bad",
        ),
    ] {
        let snapshot = with(&policies);
        let mut call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
        call.calls = 1;
        call.approval = approval.map(|t: u8| Tier::try_from(t).unwrap());
        let decision = call.decide(&snapshot);
        assert_eq!(decision.outcome, outcome, "{name}");
        assert_eq!(decision.code, code, "{name}");
        assert_eq!(ids(&decision.policies), deciding, "{name}");
        assert_eq!(decision.tier.map(Tier::get), tier, "{name}");
        assert_eq!(decision.reason, reason, "{name}");
    }
}

#[test]
fn an_approval_names_what_it_lifted() {
    let snapshot = with(&format!(
        r#"{PERMIT} @id("s") @step_up("2") forbid(principal, action in Interlock::Action::"call", resource is Interlock::Tool);"#
    ));
    let mut call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
    assert_eq!(ids(&call.decide(&snapshot).lifted), [""; 0]);
    call.approval = Tier::try_from(2).ok();
    assert_eq!(ids(&call.decide(&snapshot).lifted), ["s"]);
}

#[test]
fn invariant_4_3_a_policy_that_fails_to_evaluate_denies() {
    // Cedar alone would skip the failed policy and allow: once where it is evaluated per call, once
    // where it is evaluated with the slice, and for permits as for forbids.
    for condition in [
        "context.session.calls + 9223372036854775807 < 0",
        "if principal.bound then 9223372036854775807 + 1 > 0 else false",
    ] {
        for effect in ["forbid", "permit"] {
            let snapshot = with(&format!(
                r#"{PERMIT} @id("bad") {effect}(principal, action in Interlock::Action::"call", resource is Interlock::Tool) when {{ {condition} }};"#
            ));
            let mut call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
            call.calls = 1;
            let decision = call.decide(&snapshot);
            assert_eq!((decision.outcome, decision.code), (Outcome::Deny, Some(Code::PolicyError)), "{condition}");
            assert_eq!(ids(&decision.policies), ["bad"]);
        }
    }
}

#[test]
fn invariant_4_3_a_tool_that_the_snapshot_does_not_know_is_denied() {
    let snapshot = with(PERMIT);
    let other =
        common::tool("files/other", "{}", "[]", common::facts(&[], interlock_catalog::Destination::Local, true));
    let changed = common::tool("files/read", "{}", "[]", tools()[0].facts.clone());
    for tool in [other, changed] {
        let call = Call::new(&tool, "{}");
        assert_eq!(call.decide(&snapshot).code, Some(Code::PolicyError));
        assert!(!snapshot.may_list(&call.principal, Subject::Tool(&call.tool)));
    }
    // The same definition and facts in another allocation are the same tool.
    assert_eq!(Call::new(&tools()[0], r#"{"path":"/a"}"#).decide(&snapshot).outcome, Outcome::Allow);
}

#[test]
fn invariant_t4_a_call_is_decided_by_one_immutable_snapshot() {
    // What a reload makes is another value; the first goes on answering as it did, also for slices it
    // has not made yet, and what another agent asked in between changes nothing.
    let before = with(PERMIT);
    let call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
    let (version, digest) = (before.version(), before.digest());
    let first = call.decide(&before);
    let after = with("");
    assert_eq!(call.decide(&after).outcome, Outcome::Deny);
    for id in ["one", "two"] {
        let mut other = call.clone();
        other.principal = principal(id, &[], false);
        assert_eq!(other.decide(&before).outcome, Outcome::Allow);
    }
    assert_eq!(call.decide(&before), first);
    assert_eq!((before.version(), before.digest()), (version, digest));
    assert_ne!(after.digest(), digest);
}

#[test]
fn opaque_arguments_deny_where_they_are_read() {
    let typed = |id: &str, effect: &str, when: &str| {
        format!(
            r#"@id("{id}") {effect}(principal, action == Interlock::Action::"files/read", resource is Interlock::Tool) when {{ {when} }};"#
        )
    };
    let limit = typed("limit", "forbid", "context.args has limit && context.args.limit > 10");
    let present = typed("present", "forbid", "context.args has limit");
    let tags = typed("tags", "forbid", r#"context.args has tags && context.args.tags.contains("x")"#);
    let opaque = typed("opaque", "forbid", r#"context.args_opaque.contains("/limit")"#);
    let whole = typed("whole", "forbid", "context == context");
    for (name, policy, arguments, code) in [
        ("held and small", &limit, r#"{"path":"/a","limit":5}"#, None),
        ("held and large", &limit, r#"{"path":"/a","limit":50}"#, Some(Code::PolicyDenied)),
        ("absent", &limit, r#"{"path":"/a"}"#, None),
        ("beyond 64 bits", &limit, r#"{"path":"/a","limit":99999999999999999999}"#, Some(Code::PolicyError)),
        ("null is not absent", &limit, r#"{"path":"/a","limit":null}"#, Some(Code::PolicyError)),
        ("`has` reads", &present, r#"{"path":"/a","limit":null}"#, Some(Code::PolicyError)),
        ("another argument", &tags, r#"{"path":"/a","limit":null}"#, None),
        ("a mixed array", &tags, r#"{"path":"/a","tags":["a",1]}"#, Some(Code::PolicyError)),
        ("a set", &tags, r#"{"path":"/a","tags":["a","x"]}"#, Some(Code::PolicyDenied)),
        ("its name may be read", &opaque, r#"{"path":"/a","limit":null}"#, Some(Code::PolicyDenied)),
        ("its name is not there", &opaque, r#"{"path":"/a","limit":1}"#, None),
        ("outside the schema", &limit, r#"{"path":"/a","extra":1}"#, None),
        ("the context as a whole", &whole, r#"{"path":"/a","extra":1}"#, Some(Code::PolicyError)),
    ] {
        let snapshot = with(&format!("{PERMIT}{policy}"));
        assert_eq!(Call::new(&tools()[0], arguments).decide(&snapshot).code, code, "{name}");
    }
}

#[test]
fn obligations_of_all_matching_permits_are_united() {
    let permit = |id: &str, labels: &str, when: &str| {
        format!(
            r#"@id("{id}") @label("{labels}") permit(principal, action in Interlock::Action::"call", resource is Interlock::Tool) when {{ {when} }};"#
        )
    };
    let snapshot = with(&format!(
        "{PERMIT}{}{}{}",
        permit("a", "internal, untrusted", "true"),
        permit("b", "internal,pii", "!context.inspected"),
        permit("c", "never", "context.inspected"),
    ));
    let decision = Call::new(&tools()[0], r#"{"path":"/a"}"#).decide(&snapshot);
    assert_eq!(decision.outcome, Outcome::Allow);
    assert_eq!(ids(&decision.obligations.labels), ["internal", "pii", "untrusted"]);
    assert_eq!(ids(&decision.policies), ["a", "b", "p"]);
}

#[test]
fn the_context_says_what_is_so() {
    for condition in [
        r#"context.session.labels.contains("pii") && context.session.calls == 7"#,
        r#"context.inspected && context.findings.contains("sql")"#,
        "context.approval.given && context.approval.tier == 2",
        r#"context.credential.kind == "key""#,
        // A Monday at noon.
        r#"context.time.weekday == 1 && context.time.hour == 12 && context.time.now == datetime("2026-01-05T12:00:00Z")"#,
        r#"context.environment.name == "test" && context.environment.mode == "enforcing""#,
        "!context.facts.secret_path && context.args_opaque.isEmpty()",
        r#"principal.id == "builder" && principal.owner == "ada@example.org" && principal in Interlock::Role::"dev""#,
        r#"principal in Interlock::Owner::"ada@example.org" && resource in Interlock::Server::"files""#,
        r#"action in Interlock::Action::"call" && action != Interlock::Action::"call""#,
        r#"resource.name == "read" && resource.server == "files" && resource.exposed == "files__read" && resource.readOnly"#,
        r#"resource.effects == ["read"] && resource.destination == "local" && !resource.outside && resource.sensitivity == "internal""#,
    ] {
        let snapshot = with(&format!(
            r#"@id("p") permit(principal, action in Interlock::Action::"call", resource is Interlock::Tool) when {{ {condition} }};"#
        ));
        let mut call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
        call.labels = vec!["pii".to_owned()];
        call.calls = 7;
        call.findings = Some(vec!["sql".to_owned()]);
        call.approval = Tier::try_from(2).ok();
        assert_eq!(call.decide(&snapshot).outcome, Outcome::Allow, "{condition}");
    }
}

#[test]
fn a_tool_is_listed_where_some_call_may_be_allowed() {
    let call = |policy: &str| {
        format!(r#"{policy}(principal, action in Interlock::Action::"call", resource is Interlock::Tool)"#)
    };
    let permit = call(r#"@id("p") permit"#);
    for (name, policies, listed) in [
        ("nothing permits", String::new(), false),
        ("a permit", format!("{permit};"), true),
        ("a permit for some arguments", format!(r#"{permit} when {{ context.session.calls < 0 }};"#), true),
        ("a permit that never holds for this tool", format!("{permit} when {{ !resource.readOnly }};"), false),
        ("an outright forbid", format!("{permit};{};", call(r#"@id("f") forbid"#)), false),
        ("a forbid for some arguments", format!("{permit};{} when {{ context.facts.secret_path }};", call(r#"@id("f") forbid"#)), true),
        ("a forbid in this environment", format!(r#"{permit};{} when {{ context.environment.name == "test" }};"#, call(r#"@id("f") forbid"#)), true),
        ("a forbid of everything to whoever has a key", format!(r#"{permit};@id("f") forbid(principal, action, resource is Interlock::Tool) when {{ context has credential && context.credential.kind == "key" }};"#), true),
        ("a step-up", format!("{permit};{};", call(r#"@id("f") @step_up("2") forbid"#)), true),
        ("a policy that always fails", format!("{permit};{} when {{ principal.bound && 9223372036854775807 + 1 > 0 }};", call(r#"@id("f") forbid"#)), false),
        ("an explicit forbid", format!(r#"{permit};@id("f") forbid(principal, action == Interlock::Action::"list", resource == Interlock::Tool::"files/read");"#), false),
        ("an explicit forbid for another", format!(r#"{permit};@id("f") forbid(principal, action == Interlock::Action::"list", resource in Interlock::Server::"mail");"#), true),
        ("another role's permit", r#"@id("p") permit(principal in Interlock::Role::"ops", action in Interlock::Action::"call", resource is Interlock::Tool);"#.to_owned(), false),
    ] {
        let snapshot = with(&policies);
        let call = Call::new(&tools()[0], "{}");
        assert_eq!(snapshot.may_list(&call.principal, Subject::Tool(&call.tool)), listed, "{name}");
        assert_eq!(snapshot.may_list(&call.principal, Subject::Tool(&call.tool)), listed, "{name}, asked again");
        let mut request = call.request();
        request.action = ActionKind::List;
        assert_eq!(snapshot.decide(&request).outcome == Outcome::Allow, listed, "{name}");
    }
}

#[test]
fn roles_and_binding_are_part_of_who_asks() {
    let snapshot = with(
        r#"@id("p") permit(principal in Interlock::Role::"ops", action in Interlock::Action::"call", resource is Interlock::Tool) when { principal.bound };"#,
    );
    let mut call = Call::new(&tools()[0], r#"{"path":"/a"}"#);
    for (roles, bound, outcome) in [
        (&["ops"][..], true, Outcome::Allow),
        (&["dev"], true, Outcome::Deny),
        (&["ops"], false, Outcome::Deny),
        (&["dev", "ops"], true, Outcome::Allow),
    ] {
        // The same agent id each time: a slice made before the roles changed must not answer.
        call.principal = principal("builder", roles, bound);
        assert_eq!(call.decide(&snapshot).outcome, outcome, "{roles:?} {bound}");
    }
}
