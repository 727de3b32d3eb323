//! What a policy finds in nested arguments is what Cedar finds in the same values as expressions.
//!
//! The oracle is Cedar's public interface: `Context::from_pairs` over restricted expressions, checked against the
//! schema, and `is_authorized`. Of its own it has which paths a condition names.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, RestrictedExpression as Value,
    Schema,
};
use common::generated::{self, Drawn, PROPERTIES};
use common::{Call, Came, bundle, decided, facts, tool};
use interlock_catalog::{ApprovedTool, Destination};
use interlock_model::{Effect, Outcome, Tier};
use interlock_policy::PolicySnapshot;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Conditions, and what of the arguments each names: an opaque value there leaves it without an answer.
const CONDITIONS: [(&str, &[&[&str]]); 26] = [
    ("context.args has flag && context.args.flag", &[&["flag"]]),
    ("context.args has count && context.args.count > 3", &[&["count"]]),
    ("context.args has count && 3 >= context.args.count", &[&["count"]]),
    ("context.args has count && context.args.count + 9223372036854775800 > 0", &[&["count"]]),
    ("context.args has count && -context.args.count < 0 && context.args.count * 2 != 4", &[&["count"]]),
    (r#"context.args has ratio && context.args.ratio.lessThan(decimal("0.5"))"#, &[&["ratio"]]),
    (r#"context.args has ratio && context.args.ratio == decimal("1.0")"#, &[&["ratio"]]),
    (r#"context.args has name && context.args.name like "a*b""#, &[&["name"]]),
    (r#"context.args has name && ["a", "b", "ab"].contains(context.args.name)"#, &[&["name"]]),
    (r#"context.args has tags && context.args.tags.containsAny(["a", "b", ""])"#, &[&["tags"]]),
    (r#"context.args has tags && context.args.tags == ["a"]"#, &[&["tags"]]),
    ("context.args has grid && context.args.grid.contains([1, 2])", &[&["grid"]]),
    ("context.args has grid && context.args.grid.containsAll([[1]])", &[&["grid"]]),
    ("context.args has points && !context.args.points.isEmpty()", &[&["points"]]),
    (r#"context.args has points && context.args.points.contains({"x": 1, "y": decimal("0.5")})"#, &[&["points"]]),
    ("context.args has o.inner.n && context.args.o.inner.n < 4", &[&["o", "inner", "n"]]),
    ("context.args has o.inner.n && context.args.o.inner.n * 4611686018427387904 > 0", &[&["o", "inner", "n"]]),
    (r#"context.args has o && context.args.o has inner && context.args.o.inner has s"#, &[&["o"]]),
    (r#"context.args has o.inner.d && context.args.o.inner.d.greaterThan(decimal("0.0"))"#, &[&["o", "inner", "d"]]),
    ("context.args has o.inner.list && context.args.o.inner.list.containsAll([1, 2])", &[&["o", "inner", "list"]]),
    (r#"context.args has o && context.args.o has "a member's name of more bytes than fit in place""#, &[&["o"]]),
    (
        "if context.args has flag then context.args.flag || (context.args has count && context.args.count > 0) else true",
        &[&["flag"], &["count"]],
    ),
    ("context == context", &[&[]]),
    ("context.args == context.args", &[&[]]),
    ("context.args_opaque.isEmpty()", &[]),
    (r#"context.args_opaque.contains("/o/inner/n") || context.args_opaque.contains("/o/out~1of~0it")"#, &[]),
];

#[derive(Clone, Debug)]
struct Rule {
    permit: bool,
    tier: u8,
    conditions: Vec<(usize, bool)>,
}

impl Rule {
    fn text(&self, id: usize) -> String {
        let effect = match (self.permit, self.tier) {
            (true, _) => "permit".to_owned(),
            (false, 0) => "forbid".to_owned(),
            (false, tier) => format!("@step_up(\"{tier}\") forbid"),
        };
        let clauses = self.conditions.iter().map(|(i, unless)| {
            let clause = if *unless { "unless" } else { "when" };
            format!(" {clause} {{ {} }}", CONDITIONS[*i].0)
        });
        let clauses: String = clauses.collect();
        format!("@id(\"p{id}\") {effect}(principal, action == Interlock::Action::\"deep/call\", resource){clauses};")
    }

    fn names(&self, opaque: &[String]) -> bool {
        let named = self.conditions.iter().flat_map(|(i, _)| CONDITIONS[*i].1);
        named.into_iter().any(|path| path.iter().zip(opaque).all(|(a, b)| a == b))
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let conditions = proptest::collection::vec((0..CONDITIONS.len(), prop::bool::weighted(0.2)), 1..3);
    (prop::bool::weighted(0.7), 0..5_u8, conditions).prop_map(|(permit, tier, conditions)| Rule {
        permit,
        tier,
        conditions,
    })
}

fn deep() -> Arc<ApprovedTool> {
    tool("deep/call", PROPERTIES, "[]", facts(&[Effect::Read], Destination::Local, true))
}

fn call(arguments: &Drawn, approval: u8) -> Call {
    let mut call = Call::new(&deep(), &arguments.json);
    call.approval = (approval > 0).then(|| Tier::try_from(approval).unwrap());
    call
}

/// The whole context of [`call`].
fn context(arguments: &Drawn, approval: u8) -> Context {
    let text = |s: &str| Value::new_string(s.to_owned());
    let record = |members: Vec<(&str, Value)>| {
        Value::new_record(members.into_iter().map(|(name, value)| (name.to_owned(), value))).unwrap()
    };
    let pointer = |path: &Vec<String>| {
        text(&path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect::<String>())
    };
    let members = [
        ("args", arguments.held.clone().unwrap()),
        ("args_opaque", Value::new_set(arguments.opaque.iter().map(pointer))),
        ("session", record(vec![("labels", Value::new_set([])), ("calls", Value::new_long(0))])),
        ("inspected", Value::new_bool(false)),
        ("findings", Value::new_set([])),
        ("facts", record(vec![("secret_path", Value::new_bool(false)), ("asks_secret", Value::new_bool(false))])),
        (
            "approval",
            record(vec![("given", Value::new_bool(approval > 0)), ("tier", Value::new_long(approval.into()))]),
        ),
        ("credential", record(vec![("kind", text("key"))])),
        // Noon of a Monday.
        (
            "time",
            record(vec![
                ("now", Value::new_datetime("2026-01-05T12:00:00Z")),
                ("hour", Value::new_long(12)),
                ("weekday", Value::new_long(1)),
            ]),
        ),
        ("environment", record(vec![("name", text("test")), ("mode", text("enforcing"))])),
    ];
    Context::from_pairs(members.map(|(name, value)| (name.to_owned(), value))).unwrap()
}

fn oracle(rules: &[Rule], texts: &[String], arguments: &Drawn, approval: u8, schema: &Schema) -> Came {
    let uid = |kind: &str, id: &str| format!("Interlock::{kind}::\"{id}\"").parse::<EntityUid>().unwrap();
    let (agent, action, tool) = (uid("Agent", "builder"), uid("Action", "deep/call"), uid("Tool", "deep/call"));
    let request = Request::new(agent, action, tool, context(arguments, approval), Some(schema)).unwrap();
    let mut came = Came::default();
    for (i, (rule, text)) in rules.iter().zip(texts).enumerate() {
        let policy = Policy::parse(Some(PolicyId::new(i.to_string())), text).unwrap();
        let set = PolicySet::from_policies([policy]).unwrap();
        let response = Authorizer::new().is_authorized(&request, &set, &Entities::empty());
        if response.diagnostics().reason().next().is_some() {
            if rule.permit { &mut came.permits } else { &mut came.forbids }.insert(i);
        }
        let failed = response.diagnostics().errors().next().is_some();
        if failed || arguments.opaque.iter().any(|path| rule.names(path)) {
            came.errors.insert(i);
        }
    }
    came
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn nested_arguments_are_what_cedar_makes_of_them(
        rules in proptest::collection::vec(rule(), 1..10),
        asked in proptest::collection::vec((generated::arguments(), 0..5_u8), 1..8),
    ) {
        let texts: Vec<String> = rules.iter().enumerate().map(|(i, rule)| rule.text(i)).collect();
        let (snapshot, _) = PolicySnapshot::new(&bundle(&texts.join("\n")).unwrap(), &[deep()]).unwrap();
        let (schema, _) = Schema::from_cedarschema_str(snapshot.schema()).unwrap();
        for (arguments, approval) in &asked {
            let came = oracle(&rules, &texts, arguments, *approval, &schema);
            let decision = call(arguments, *approval).decide(&snapshot);
            let expected = came.expected(|i| rules[i].tier, *approval);
            prop_assert_eq!(decided(&decision), expected, "{}\n{}", arguments.json, texts.join("\n"));
        }
    }
}

/// The strategies reach what the property is about; otherwise it says little.
#[test]
fn the_cases_are_varied() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let rules: Vec<Rule> =
        (0..CONDITIONS.len()).map(|i| Rule { permit: true, tier: 0, conditions: vec![(i, false)] }).collect();
    let texts: Vec<String> = rules.iter().enumerate().map(|(i, rule)| rule.text(i)).collect();
    let (snapshot, _) = PolicySnapshot::new(&bundle(&texts.join("\n")).unwrap(), &[deep()]).unwrap();
    let (schema, _) = Schema::from_cedarschema_str(snapshot.schema()).unwrap();
    let (mut held, mut failed, mut outcomes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..2000 {
        let arguments = generated::arguments().new_tree(&mut runner).unwrap().current();
        let came = oracle(&rules, &texts, &arguments, 0, &schema);
        if arguments.opaque.is_empty() {
            failed.extend(came.errors.iter().copied());
            outcomes.insert(call(&arguments, 0).decide(&snapshot).outcome == Outcome::Allow);
        }
        held.extend(came.permits);
    }
    let missing: Vec<&str> = (0..rules.len()).filter(|i| !held.contains(i)).map(|i| CONDITIONS[i].0).collect();
    assert!(missing.is_empty(), "never held: {missing:?}");
    assert!(failed.len() >= 3, "failed at run time: {failed:?}");
    assert_eq!(outcomes.len(), 2);
}
