//! A sliced decision is that of plain Cedar over all policies, with the whole context, read from JSON
//! and checked against the schema.
//!
//! The oracle shares no code with slices and contexts. What it has of its own: the context as JSON, the
//! rule on opaque arguments by the policy's text, and the rules of the outcome.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use cedar_policy::{Authorizer, Context, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, Schema};
use common::{Call, Came, bundle, decided, principal, tools};
use interlock_model::{Code, Mode, Outcome, Tier};
use interlock_policy::PolicySnapshot;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The parts that random policies are made of: conditions for the group, and for `files/read` and `files/write`.
const GROUP: [&str; 30] = [
    "context.session.calls > 3 && resource.readOnly",
    "resource.readOnly || context.session.calls > 3",
    "context.session.calls + 9223372036854775800 > 0 && resource.readOnly",
    "context.session.calls + 9223372036854775800 > 0 || !principal.bound",
    "if principal.bound then context.facts.secret_path else !(resource.outside && context.inspected)",
    "!(context.inspected && principal.bound) && (9223372036854775807 + 1 > 0 || context.inspected)",
    "resource.readOnly",
    "!principal.bound",
    r#"resource.effects.contains("write")"#,
    r#"principal in Interlock::Role::"ops""#,
    r#"action == Interlock::Action::"files/read""#,
    r#"action in [Interlock::Action::"call"]"#,
    "9223372036854775807 + 1 > 0",
    "principal.bound || 9223372036854775807 + 1 > 0",
    r#"context.session.labels.contains("pii")"#,
    "context.session.calls > 3",
    "context.session.calls + 9223372036854775800 > 0",
    "context.facts.secret_path",
    "context.args_opaque.isEmpty()",
    r#"context.args_opaque.contains("/limit")"#,
    "context.inspected && !context.findings.isEmpty()",
    "context.time.hour < 8 || context.time.weekday > 5",
    "context.time.now < datetime(\"2026-01-06\")",
    "(if context.approval.given then context.approval.tier else 0) > 1",
    r#"context.credential.kind == "key" && context.environment.name != "prod""#,
    r#"context.environment.name == "prod" && context.session.calls > 3"#,
    r#"context.environment.mode == "advisory" || context.environment.mode == "silent""#,
    r#"context.environment.name == "test" || context.session.calls + 9223372036854775800 > 0"#,
    r#"if context.environment.name == "prod" then 9223372036854775807 + 1 > 0 else context.inspected"#,
    r#"context.environment == context.environment && context.session.calls > 3"#,
];
const TYPED: [&str; 10] = [
    "context.args has limit && context.args.limit > 5 && principal.bound",
    r#"context.args.path like "/srv/*""#,
    "context.args has limit",
    "context.args has limit && context.args.limit > 5",
    "context.args has limit && context.args.limit + 9223372036854775800 > 0",
    r#"context.args has ratio && context.args.ratio.lessThan(decimal("0.5"))"#,
    r#"context.args has tags && context.args.tags.contains("x")"#,
    "context.args == context.args",
    "context == context",
    r#"{"a": context}.a.args.path == "/srv/a""#,
];

#[derive(Clone, Debug)]
struct Drawn {
    effect: bool,
    principal: usize,
    typed: bool,
    action: usize,
    resource: usize,
    conditions: Vec<usize>,
    unless: bool,
    tier: u8,
    label: bool,
}

impl Drawn {
    fn scope(&self) -> String {
        let pick = |list: &[&str], i: usize| list[i % list.len()].to_owned();
        let principal = pick(
            &[
                "principal",
                "principal",
                "principal is Interlock::Agent",
                r#"principal == Interlock::Agent::"builder""#,
                r#"principal in Interlock::Role::"ops""#,
                r#"principal in Interlock::Owner::"ada@example.org""#,
                r#"principal is Interlock::Agent in Interlock::Role::"dev""#,
            ],
            self.principal,
        );
        let action = if self.typed {
            pick(
                &[
                    r#"action == Interlock::Action::"files/read""#,
                    r#"action in [Interlock::Action::"files/read", Interlock::Action::"files/write"]"#,
                ],
                self.action,
            )
        } else {
            pick(
                &[
                    r#"action in Interlock::Action::"call""#,
                    r#"action in [Interlock::Action::"call", Interlock::Action::"mail/send"]"#,
                    r#"action == Interlock::Action::"mail/send""#,
                ],
                self.action,
            )
        };
        let resource = pick(
            &[
                "resource is Interlock::Tool",
                "resource is Interlock::Tool",
                r#"resource == Interlock::Tool::"files/read""#,
                r#"resource in Interlock::Server::"files""#,
                r#"resource is Interlock::Tool in Interlock::Server::"mail""#,
            ],
            self.resource,
        );
        format!("({principal}, {action}, {resource})")
    }

    fn text(&self, id: usize) -> String {
        let condition = |i: usize| {
            if self.typed && i.is_multiple_of(2) { TYPED[i / 2 % TYPED.len()] } else { GROUP[i % GROUP.len()] }
        };
        let (effect, note) = match (self.effect, self.tier, self.label) {
            (true, _, true) => ("permit", format!("@label(\"l{}\")", id % 3)),
            (true, _, false) => ("permit", String::new()),
            (false, 0, _) => ("forbid", String::new()),
            (false, tier, _) => ("forbid", format!("@step_up(\"{tier}\")")),
        };
        let mut text = format!("@id(\"p{id}\") {note} {effect}{}", self.scope());
        for (n, i) in self.conditions.iter().enumerate() {
            let clause = if self.unless && n == 0 { "unless" } else { "when" };
            text.push_str(&format!(" {clause} {{ {} }}", condition(*i)));
        }
        text + ";"
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let scope = (0..7_usize, any::<bool>(), 0..6_usize, 0..5_usize);
    (
        scope,
        any::<bool>(),
        proptest::collection::vec(0..200_usize, 0..3),
        prop::bool::weighted(0.2),
        0..5_u8,
        any::<bool>(),
    )
        .prop_map(|((principal, typed, action, resource), effect, conditions, unless, tier, label)| Drawn {
            effect,
            principal,
            typed,
            action,
            resource,
            conditions,
            unless,
            tier,
            label,
        })
}

#[derive(Clone, Debug)]
struct Asked {
    tool: usize,
    path: &'static str,
    limit: Option<&'static str>,
    ratio: Option<&'static str>,
    tags: Option<&'static str>,
    extra: bool,
    ops: bool,
    bound: bool,
    pii: bool,
    calls: u64,
    findings: Option<bool>,
    approval: u8,
    now: u64,
    environment: &'static str,
    mode: Mode,
}

fn asked() -> impl Strategy<Value = Asked> {
    let option = |list: &'static [&'static str]| prop::option::of(prop::sample::select(list));
    let args = (
        0..3_usize,
        prop::sample::select(&["/srv/a", "/srv/.env", "/etc/x", "a\\u00e9\\n"][..]),
        option(&["1", "9", "-3", "7.0", "null", "1.5", "99999999999999999999"]),
        option(&["0.25", "0.7500000", "-1", "1e3", "0.12345"]),
        option(&["[]", "[\"x\",\"x\",\"y\"]", "[\"x\",1]", "null"]),
        prop::bool::weighted(0.2),
    );
    let who = (any::<bool>(), any::<bool>(), any::<bool>(), 0..12_u64, prop::option::of(any::<bool>()), 0..5_u8);
    let now = 1_767_484_800_000..1_768_000_000_000_u64;
    let place = (
        prop::sample::select(&["test", "prod"][..]),
        prop::sample::select(&[Mode::Enforcing, Mode::Advisory, Mode::Silent][..]),
    );
    (args, who, now, place).prop_map(
        |((tool, path, limit, ratio, tags, extra), (ops, bound, pii, calls, findings, approval), now, place)| Asked {
            tool,
            path,
            limit,
            ratio,
            tags,
            extra,
            ops,
            bound,
            pii,
            calls,
            findings,
            approval,
            now,
            environment: place.0,
            mode: place.1,
        },
    )
}

impl Asked {
    fn call(&self) -> Call {
        let mut members = if self.tool == 2 {
            vec![format!(r#""to":"{}""#, self.path)]
        } else {
            vec![format!(r#""path":"{}""#, self.path)]
        };
        if self.tool < 2 {
            let optional = [("limit", self.limit), ("ratio", self.ratio), ("tags", self.tags)];
            members.extend(optional.iter().filter_map(|(name, v)| v.map(|v| format!("\"{name}\":{v}"))));
        }
        if self.extra {
            members.push(r#""extra":{"a":1}"#.to_owned());
        }
        let mut call = Call::new(&tools()[self.tool], &format!("{{{}}}", members.join(",")));
        call.principal = principal("builder", if self.ops { &["dev", "ops"] } else { &["dev"] }, self.bound);
        call.labels = if self.pii { vec!["pii".to_owned()] } else { vec![] };
        call.calls = self.calls;
        call.findings = self.findings.map(|some| if some { vec!["sql".to_owned()] } else { vec![] });
        call.approval = (self.approval > 0).then(|| Tier::try_from(self.approval).unwrap());
        call.now = interlock_model::UnixMillis(self.now);
        (call.environment, call.mode) = (self.environment, self.mode);
        call
    }

    /// The arguments that Cedar cannot hold, by name.
    fn opaque(&self) -> Vec<&'static str> {
        let mut names = vec![];
        if self.tool < 2 {
            names.extend(matches!(self.limit, Some("null" | "1.5" | "99999999999999999999")).then_some("limit"));
            names.extend(matches!(self.ratio, Some("1e3" | "0.12345")).then_some("ratio"));
            names.extend(matches!(self.tags, Some("[\"x\",1]" | "null")).then_some("tags"));
        }
        names.extend(self.extra.then_some("extra"));
        names
    }

    fn context(&self) -> Value {
        let opaque = self.opaque();
        let path = self.path.replace("\\u00e9", "\u{e9}").replace("\\n", "\n");
        let mut args = if self.tool == 2 { json!({"to": path}) } else { json!({"path": path}) };
        if self.tool < 2 {
            if let Some(limit) = self.limit.filter(|_| !opaque.contains(&"limit")) {
                args["limit"] = json!(limit.trim_end_matches(".0").parse::<i64>().unwrap());
            }
            if let Some(ratio) = self.ratio.filter(|_| !opaque.contains(&"ratio")) {
                let spelled = match ratio {
                    "0.7500000" => "0.75",
                    "-1" => "-1.0",
                    other => other,
                };
                args["ratio"] = json!({"__extn": {"fn": "decimal", "arg": spelled}});
            }
            if let Some(tags) = self.tags.filter(|_| !opaque.contains(&"tags")) {
                args["tags"] = serde_json::from_str(tags).unwrap();
            }
        }
        let (days, ms) = (self.now / 86_400_000, self.now % 86_400_000);
        // 2026-01-04, day 20457, was a Sunday.
        let weekday = [7, 1, 2, 3, 4, 5, 6][usize::try_from(days - 20_457).unwrap() % 7];
        json!({
            "args": args,
            "args_opaque": opaque.iter().map(|n| format!("/{n}")).collect::<Vec<_>>(),
            "session": {"labels": if self.pii { vec!["pii"] } else { vec![] }, "calls": self.calls},
            "inspected": self.findings.is_some(),
            "findings": if self.findings == Some(true) { vec!["sql"] } else { vec![] },
            "facts": {"secret_path": self.path == "/srv/.env", "asks_secret": false},
            "approval": {"given": self.approval > 0, "tier": self.approval},
            "credential": {"kind": if self.bound { "key" } else { "none" }},
            "time": {
                "now": {"__extn": {"fn": "datetime", "arg": interlock_model::UnixMillis(self.now).to_rfc3339()}},
                "hour": ms / 3_600_000,
                "weekday": weekday,
            },
            "environment": {"name": self.environment, "mode": self.mode.as_str()},
        })
    }

    fn entities(&self) -> Value {
        let (name, server, effect, place, outside) = [
            ("read", "files", "read", "local", false),
            ("write", "files", "write", "local", false),
            ("send", "mail", "external", "internet", true),
        ][self.tool];
        let uid = |kind: &str, id: &str| json!({"type": format!("Interlock::{kind}"), "id": id});
        let mut parents = vec![uid("Owner", "ada@example.org"), uid("Role", "dev")];
        parents.extend(self.ops.then(|| uid("Role", "ops")));
        json!([
            {"uid": uid("Agent", "builder"), "parents": parents,
             "attrs": {"id": "builder", "owner": "ada@example.org", "bound": self.bound}},
            {"uid": uid("Tool", &format!("{server}/{name}")), "parents": [uid("Server", server)],
             "attrs": {"name": name, "server": server, "exposed": format!("{server}__{name}"), "effects": [effect],
                       "readOnly": effect == "read", "destination": place, "outside": outside,
                       "sensitivity": "internal", "confirmed": true}},
        ])
    }
}

/// What Cedar says of all policies.
fn oracle(texts: &[String], drawn: &[Drawn], asked: &Asked, schema: &Schema) -> Came {
    let id = ["files/read", "files/write", "mail/send"][asked.tool];
    let uid = |kind: &str, id: &str| format!("Interlock::{kind}::\"{id}\"").parse::<EntityUid>().unwrap();
    let action = uid("Action", id);
    let context = Context::from_json_value(asked.context(), Some((schema, &action))).unwrap();
    let request = Request::new(uid("Agent", "builder"), action, uid("Tool", id), context, Some(schema)).unwrap();
    let entities = Entities::from_json_value(asked.entities(), Some(schema)).unwrap();
    let ask = |text: &str, i: usize| {
        let policy = Policy::parse(Some(PolicyId::new(i.to_string())), text).unwrap();
        let response =
            Authorizer::new().is_authorized(&request, &PolicySet::from_policies([policy]).unwrap(), &entities);
        (response.diagnostics().reason().next().is_some(), response.diagnostics().errors().next().is_some())
    };
    let mut came = Came::default();
    for (i, text) in texts.iter().enumerate() {
        let (satisfied, mut failed) = ask(text, i);
        if satisfied {
            if drawn[i].effect { &mut came.permits } else { &mut came.forbids }.insert(i);
        }
        let names_it = |name: &&str| {
            text.contains(&format!("args has {name}"))
                || text.contains("context == context")
                || text.contains("args == context.args")
                || text.contains("{\"a\": context}")
        };
        if asked.opaque().iter().any(names_it) {
            failed |= ask(&format!("permit{};", drawn[i].scope()), i).0;
        }
        if failed {
            came.errors.insert(i);
        }
    }
    came
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn sliced_is_what_cedar_says(
        drawn in proptest::collection::vec(drawn(), 0..14),
        asked in proptest::collection::vec(asked(), 1..8),
    ) {
        let texts: Vec<String> = drawn.iter().enumerate().map(|(i, d)| d.text(i)).collect();
        let (snapshot, _) = PolicySnapshot::new(&bundle(&texts.join("\n")).unwrap(), &tools()).unwrap();
        let (schema, _) = Schema::from_cedarschema_str(snapshot.schema()).unwrap();
        for asked in &asked {
            let came = oracle(&texts, &drawn, asked, &schema);
            let decision = asked.call().decide(&snapshot);
            let expected = came.expected(|i| drawn[i].tier, asked.approval);
            let why = format!("{asked:?}\n{}", texts.join("\n"));
            prop_assert_eq!(decided(&decision), expected, "{}", why);
            if decision.outcome == Outcome::Allow {
                let labels: BTreeSet<String> = came.permits.iter().filter(|i| drawn[**i].label).map(|i| format!("l{}", i % 3)).collect();
                prop_assert!(decision.obligations.labels.iter().map(|l| l.to_string()).eq(labels), "{}", why);
            }
        }
    }
}

/// The strategy reaches every outcome; otherwise the property above says little.
#[test]
fn the_cases_are_varied() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let drawn = proptest::collection::vec(drawn(), 1..6).new_tree(&mut runner).unwrap().current();
        let asked = asked().new_tree(&mut runner).unwrap().current();
        let texts: Vec<String> = drawn.iter().enumerate().map(|(i, d)| d.text(i)).collect();
        let (snapshot, _) = PolicySnapshot::new(&bundle(&texts.join("\n")).unwrap(), &tools()).unwrap();
        let decision = asked.call().decide(&snapshot);
        seen.insert((decision.outcome.as_str(), decision.code.map(Code::as_str)));
    }
    for expected in [
        ("allow", None),
        ("deny", Some("policy_denied")),
        ("deny", Some("policy_error")),
        ("step_up", Some("approval_required")),
    ] {
        assert!(seen.contains(&expected), "{expected:?} not in {seen:?}");
    }
}
