//! The walk: one value against one node, in place.

use super::foreign::{Foreign, Verdict};
use super::number::Number;
use super::rules::{
    ArrayRules, Bound, Count, Enumeration, General, Node, NodeId, NumberRules, ObjectRules, Rules, StringRules,
};
use super::{Violation, rules::Contains};
use crate::visible;
use interlock_model::json::{Kind, View};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Budget for arguments of no size, in visits of a node.
const BASE: u64 = 20_000;
/// Budget for each byte of arguments.
const PER_BYTE: u64 = 8;

pub(super) fn check(rules: &Rules, arguments: View<'_>) -> Result<(), Violation> {
    match &rules.whole {
        None => walk(rules, arguments),
        // Only the foreign validator knows what such a schema means; the walk may know what to say.
        Some(whole) if whole.value(arguments) == Verdict::Fits => Ok(()),
        Some(_) => walk(rules, arguments).and_then(|()| {
            let message = "has members or elements that no part of the schema evaluates".to_owned();
            Err(Violation { pointer: String::new(), message })
        }),
    }
}

fn walk(rules: &Rules, arguments: View<'_>) -> Result<(), Violation> {
    let budget = BASE.saturating_add(PER_BYTE.saturating_mul(arguments.raw().len() as u64));
    let mut walk = Walk { rules, budget, gave_up: None };
    let result = walk.visit(Rules::ROOT, arguments);
    // Giving up is no verdict: an alternative, or the inside of a `not`, must not turn it into one.
    let result = walk.gave_up.map_or(result, Err);
    result.map_err(|fault| violation(rules, arguments, &fault))
}

/// What is wrong and where; small, since alternatives produce and forget many. Text is made at the end.
#[derive(Clone, Copy, Debug)]
struct Fault {
    node: NodeId,
    /// Where the value starts in the text.
    at: usize,
    rule: Rule,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Type,
    Never,
    Enum,
    NoAlternative,
    SeveralAlternatives,
    Not,
    Least,
    Most,
    Length,
    Foreign(&'static str),
    Items,
    Contains,
    Members,
    Missing,
    Unexpected,
    Dependent,
    Unreadable,
    Budget,
}

struct Walk<'r> {
    rules: &'r Rules,
    budget: u64,
    gave_up: Option<Fault>,
}

impl<'r> Walk<'r> {
    // Recursion is bounded: by the depth of the text, times the longest chain of schemas applied in place.
    fn visit(&mut self, id: NodeId, value: View<'_>) -> Result<(), Fault> {
        let fault = |rule| Fault { node: id, at: value.span().start, rule };
        self.spend(1, fault(Rule::Budget))?;
        let Some(node) = self.rules.node(id) else { return Err(fault(Rule::Never)) };
        if !node.types.admits(value) {
            return Err(fault(Rule::Type));
        }
        match value.kind() {
            Kind::Null | Kind::Bool => {}
            Kind::Number => {
                if let Some(rules) = &node.number {
                    self.number(rules, value, fault)?;
                }
            }
            Kind::String => {
                if let Some(rules) = &node.string {
                    self.string(rules, value, fault)?;
                }
            }
            Kind::Array => {
                if let Some(rules) = &node.array {
                    self.array(rules, value, fault)?;
                }
            }
            Kind::Object => {
                if let Some(rules) = &node.object {
                    self.object(rules, value, fault)?;
                }
            }
        }
        for general in &node.general {
            self.general(general, value, fault)?;
        }
        Ok(())
    }

    fn spend(&mut self, cost: u64, fault: Fault) -> Result<(), Fault> {
        match self.budget.checked_sub(cost) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(self.give_up(fault)),
        }
    }

    fn give_up(&mut self, fault: Fault) -> Fault {
        self.budget = 0;
        *self.gave_up.get_or_insert(fault)
    }

    fn general(&mut self, general: &'r General, value: View<'_>, fault: impl Fn(Rule) -> Fault) -> Result<(), Fault> {
        match general {
            General::Never => Err(fault(Rule::Never)),
            General::Ref(node) => self.visit(*node, value),
            General::AllOf(nodes) => nodes.iter().try_for_each(|node| self.visit(*node, value)),
            General::AnyOf(nodes) => {
                let mut deepest = fault(Rule::NoAlternative);
                for node in nodes {
                    match self.visit(*node, value) {
                        Ok(()) => return Ok(()),
                        // The alternative that went furthest into the value is likely the one that was meant.
                        Err(other) if other.at > deepest.at => deepest = other,
                        Err(_) => {}
                    }
                }
                Err(deepest)
            }
            General::OneOf(nodes) => {
                let mut deepest = fault(Rule::NoAlternative);
                let mut fits = 0_u32;
                for node in nodes {
                    match self.visit(*node, value) {
                        Ok(()) => fits += 1,
                        Err(other) if other.at > deepest.at => deepest = other,
                        Err(_) => {}
                    }
                }
                match fits {
                    1 => Ok(()),
                    0 => Err(deepest),
                    _ => Err(fault(Rule::SeveralAlternatives)),
                }
            }
            General::Not(node) => match self.visit(*node, value) {
                Ok(()) => Err(fault(Rule::Not)),
                Err(_) => Ok(()),
            },
            General::If { test, then, otherwise } => {
                let chosen = if self.visit(*test, value).is_ok() { then } else { otherwise };
                chosen.map_or(Ok(()), |node| self.visit(node, value))
            }
            General::Enum(values) => {
                self.spend(values.others.len() as u64, fault(Rule::Budget))?;
                if among(values, value) { Ok(()) } else { Err(fault(Rule::Enum)) }
            }
        }
    }

    fn number(&mut self, rules: &NumberRules, value: View<'_>, fault: impl Fn(Rule) -> Fault) -> Result<(), Fault> {
        let Some(number) = Number::of(value) else { return Err(fault(Rule::Unreadable)) };
        let outside = |bound: &Bound, wrong: Ordering| match number.compare(bound.at) {
            Some(Ordering::Equal) => bound.open,
            Some(order) => order == wrong,
            None => true,
        };
        if rules.least.iter().any(|bound| outside(bound, Ordering::Less)) {
            return Err(fault(Rule::Least));
        }
        if rules.most.iter().any(|bound| outside(bound, Ordering::Greater)) {
            return Err(fault(Rule::Most));
        }
        rules.multiple.as_ref().map_or(Ok(()), |foreign| self.foreign(foreign, value, &fault))
    }

    fn string(&mut self, rules: &StringRules, value: View<'_>, fault: impl Fn(Rule) -> Fault) -> Result<(), Fault> {
        if !length_fits(value, rules.length) {
            return Err(fault(Rule::Length));
        }
        rules.foreign.iter().try_for_each(|foreign| self.foreign(foreign, value, &fault))
    }

    fn foreign(&mut self, foreign: &Foreign, value: View<'_>, fault: impl Fn(Rule) -> Fault) -> Result<(), Fault> {
        self.spend(foreign.cost, fault(Rule::Budget))?;
        match foreign.value(value) {
            Verdict::Fits => Ok(()),
            Verdict::Refused => Err(fault(Rule::Foreign(foreign.keyword))),
            Verdict::Unknown => Err(self.give_up(fault(Rule::Foreign(foreign.keyword)))),
        }
    }

    fn array(&mut self, rules: &ArrayRules, value: View<'_>, fault: impl Fn(Rule) -> Fault) -> Result<(), Fault> {
        let mut count = 0_u64;
        let mut prefix = rules.prefix.iter();
        for element in value.elements() {
            count += 1;
            if let Some(node) = prefix.next().copied().or(rules.items) {
                self.visit(node, element)?;
            }
        }
        if count < rules.length.least || count > rules.length.most {
            return Err(fault(Rule::Items));
        }
        if let Some(Contains { node, count }) = &rules.contains {
            let found = value.elements().filter(|e| self.visit(*node, *e).is_ok()).count() as u64;
            if found < count.least || found > count.most {
                return Err(fault(Rule::Contains));
            }
        }
        rules.unique.as_ref().map_or(Ok(()), |foreign| self.foreign(foreign, value, &fault))
    }

    fn object(&mut self, rules: &ObjectRules, value: View<'_>, fault: impl Fn(Rule) -> Fault) -> Result<(), Fault> {
        let (mut count, mut required) = (0_u64, 0);
        for (key, member) in value.members() {
            count += 1;
            let at_member = |rule| Fault { at: member.span().start, ..fault(rule) };
            let Some(name) = bytes(key) else { return Err(at_member(Rule::Unreadable)) };
            if let Some(names) = rules.names {
                self.visit(names, key).map_err(|_| at_member(Rule::Unexpected))?;
            }
            let known = rules.member(&name);
            // The text has no member twice, so counting is enough.
            required += usize::from(known.is_some_and(|m| m.required));
            // Models write null for what they leave out. What a call does not need may be null, whatever its schema says;
            // policy, which cannot hold null, sees such an argument named as opaque.
            let left_out = member.kind() == Kind::Null && fault(Rule::Type).node == Rules::ROOT;
            if left_out && known.is_some_and(|m| !m.required) {
                continue;
            }
            let mut matched = false;
            if let Some(node) = known.and_then(|m| m.node) {
                matched = true;
                self.visit(node, member)?;
            }
            for (pattern, node) in &rules.patterns {
                self.spend(pattern.cost, fault(Rule::Budget))?;
                match pattern.value(key) {
                    Verdict::Fits => {
                        matched = true;
                        self.visit(*node, member)?;
                    }
                    Verdict::Refused => {}
                    Verdict::Unknown => return Err(self.give_up(at_member(Rule::Foreign(pattern.keyword)))),
                }
            }
            if !matched {
                if rules.closed {
                    return Err(at_member(Rule::Unexpected));
                }
                if let Some(extra) = rules.extra {
                    self.visit(extra, member)?;
                }
            }
        }
        if required < rules.required {
            return Err(fault(Rule::Missing));
        }
        if count < rules.length.least || count > rules.length.most {
            return Err(fault(Rule::Members));
        }
        for (name, needed) in &rules.dependent_required {
            self.spend(1 + needed.len() as u64 * count, fault(Rule::Budget))?;
            if value.get(name).is_some() && needed.iter().any(|n| value.get(n).is_none()) {
                return Err(fault(Rule::Dependent));
            }
        }
        for (name, node) in &rules.dependent_schemas {
            self.spend(1 + count, fault(Rule::Budget))?;
            if value.get(name).is_some() {
                self.visit(*node, value)?;
            }
        }
        Ok(())
    }
}

/// Whether a string's length fits, counting characters only where the number of bytes does not settle it.
fn length_fits(value: View<'_>, length: Count) -> bool {
    let inner = value.raw().get(1..value.raw().len().saturating_sub(1)).unwrap_or_default();
    let bytes = inner.len() as u64;
    // A character takes at most twelve bytes (an escaped surrogate pair) and at least one.
    if bytes < length.least {
        return false;
    }
    if bytes / 12 >= length.least && bytes <= length.most {
        return true;
    }
    let characters = characters(inner);
    (length.least..=length.most).contains(&characters)
}

/// The number of characters of a checked string's inside.
fn characters(inner: &[u8]) -> u64 {
    let mut count = 0;
    let mut rest = inner;
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'\\').then(|| tail.first()).flatten();
        let used = match escape {
            Some(b'u') => {
                // The second half of a surrogate pair belongs to the character that the first half began.
                let low = matches!(tail.get(1..3), Some([b'd' | b'D', b'c'..=b'f' | b'C'..=b'F']));
                count += u64::from(!low);
                5
            }
            Some(_) => {
                count += 1;
                1
            }
            None => {
                count += u64::from(first & 0xC0 != 0x80);
                0
            }
        };
        rest = tail.get(used..).unwrap_or_default();
    }
    count
}

/// A string's UTF-8, borrowed unless it has escapes.
fn bytes(string: View<'_>) -> Option<Cow<'_, [u8]>> {
    match string.as_plain() {
        Some(plain) => Some(Cow::Borrowed(plain)),
        None => string.as_str().map(|text| Cow::Owned(text.into_owned().into_bytes())),
    }
}

fn among(values: &Enumeration, value: View<'_>) -> bool {
    match value.kind() {
        Kind::String => {
            let Some(text) = bytes(value) else { return false };
            values.strings.binary_search_by(|s| s.as_bytes().cmp(&text)).is_ok()
        }
        _ => values.others.iter().any(|other| same(other.root(), value)),
    }
}

/// Whether two values are equal as JSON Schema sees it: numbers by value, members in any order.
fn same(a: View<'_>, b: View<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool, Kind::Bool) => a.as_bool() == b.as_bool(),
        (Kind::Number, Kind::Number) => match (Number::of(a), Number::of(b)) {
            (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
            _ => false,
        },
        (Kind::String, Kind::String) => a.as_str().is_some() && a.as_str() == b.as_str(),
        (Kind::Array, Kind::Array) => {
            let (mut a, mut b) = (a.elements(), b.elements());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return true,
                    (Some(a), Some(b)) if same(a, b) => {}
                    _ => return false,
                }
            }
        }
        (Kind::Object, Kind::Object) => {
            // The members of `a`, the schema's, bound the work whatever the arguments hold.
            let members = a.members().count();
            b.members().take(members + 1).count() == members
                && a.members().all(|(key, value)| {
                    key.as_str().is_some_and(|key| b.get(&key).is_some_and(|other| same(value, other)))
                })
        }
        _ => false,
    }
}

fn violation(rules: &Rules, arguments: View<'_>, fault: &Fault) -> Violation {
    let (path, value) = locate(arguments, fault.at);
    let message = rules.node(fault.node).map_or_else(String::new, |node| message(node, fault.rule, value));
    Violation { pointer: shown(&path), message }
}

/// The pointer to the value that starts at byte `at`, and the value.
fn locate(root: View<'_>, at: usize) -> (String, View<'_>) {
    let mut pointer = String::new();
    let mut value = root;
    while value.span().start < at {
        let member = value.members().find(|(_, v)| v.span().end > at).map(|(k, v)| (k.as_str().unwrap_or_default(), v));
        let element =
            || value.elements().enumerate().find(|(_, v)| v.span().end > at).map(|(i, v)| (i.to_string().into(), v));
        let Some((key, inner)) = member.or_else(element) else { break };
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        value = inner;
    }
    (pointer, value)
}

/// A pointer has the agent's words in it: no hidden characters, no essays.
fn shown(pointer: &str) -> String {
    const MOST: usize = 200;
    let visible = visible::render(pointer);
    match visible.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", visible.get(..end).unwrap_or_default()),
        None => visible,
    }
}

fn message(node: &Node, rule: Rule, value: View<'_>) -> String {
    match rule {
        Rule::Type => format!("must be {}, is {}", node.types.describe(), value.kind().as_str()),
        Rule::Never => "is not allowed here".to_owned(),
        Rule::Enum => one_of(node),
        Rule::NoAlternative => "fits none of the alternatives that the schema allows".to_owned(),
        Rule::SeveralAlternatives => "fits more than one of the alternatives of which it must fit one".to_owned(),
        Rule::Not => "is what the schema excludes".to_owned(),
        Rule::Least => bound("must be at least", "must be more than", node.number.iter().flat_map(|n| &n.least)),
        Rule::Most => bound("must be at most", "must be less than", node.number.iter().flat_map(|n| &n.most)),
        Rule::Length => range("characters", node.string.as_ref().map(|s| s.length)),
        Rule::Foreign(keyword) => format!("does not fit the schema's `{keyword}`"),
        Rule::Items => range("elements", node.array.as_ref().map(|a| a.length)),
        Rule::Contains => "has too few or too many elements of the kind that the schema asks for".to_owned(),
        Rule::Members => range("members", node.object.as_ref().map(|o| o.length)),
        Rule::Missing => {
            let members = node.object.iter().flat_map(|o| &o.members).filter(|m| m.required);
            let missing: Vec<&str> =
                members.map(|m| &*m.name).filter(|name| value.get(name).is_none()).take(8).collect();
            format!("must have `{}`", visible::render(&missing.join("`, `")))
        }
        Rule::Unexpected => expected(node),
        Rule::Dependent => "lacks a member that another member asks for".to_owned(),
        Rule::Unreadable => "cannot be read".to_owned(),
        Rule::Budget => "takes too long to check against the schema".to_owned(),
    }
}

fn one_of(node: &Node) -> String {
    let values = node.general.iter().find_map(|g| if let General::Enum(values) = g { Some(values) } else { None });
    match values {
        Some(values) if values.others.is_empty() && values.strings.len() <= 16 => {
            let list = values.strings.iter().map(|s| visible::render(s)).collect::<Vec<_>>();
            format!("must be one of: {}", list.join(", "))
        }
        _ => "is not one of the values that the schema lists".to_owned(),
    }
}

fn expected(node: &Node) -> String {
    let known = node.object.iter().flat_map(|o| &o.members).filter(|m| m.node.is_some());
    let names: Vec<String> = known.map(|m| visible::render(&m.name)).take(17).collect();
    match names.len() {
        0 => "is not expected here: the schema names no members".to_owned(),
        1..=16 => format!("is not expected here; the schema has: {}", names.join(", ")),
        _ => "is not expected here".to_owned(),
    }
}

fn bound<'a>(closed: &str, open: &str, bounds: impl Iterator<Item = &'a Bound>) -> String {
    let said = bounds.map(|b| {
        let words = if b.open { open } else { closed };
        match b.at {
            Number::Integer(n) => format!("{words} {n}"),
            Number::Double(n) => format!("{words} {n}"),
        }
    });
    said.collect::<Vec<_>>().join(" and ")
}

fn range(what: &str, count: Option<Count>) -> String {
    match count.unwrap_or_default() {
        Count { least, most: u64::MAX } => format!("must have at least {least} {what}"),
        Count { least: 0, most } => format!("must have at most {most} {what}"),
        Count { least, most } => format!("must have {least} to {most} {what}"),
    }
}
