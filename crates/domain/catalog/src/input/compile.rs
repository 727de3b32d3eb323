//! From a schema's text to rules.

use super::foreign::{Foreign, Whole, knows_format, read};
use super::number::Number;
use super::rules::{
    ArrayRules, Bound, Contains, Count, Enumeration, General, Member, Node, NodeId, NumberRules, ObjectRules, Rules,
    StringRules, Types,
};
use super::{SchemaError, SchemaFault};
use interlock_model::json::{Json, Kind, Limits, View};
use jsonschema::Draft;
use std::collections::{BTreeMap, HashMap};

/// Most schemas within a schema.
const NODES: usize = 16_384;
/// Most keywords that get a validator of their own, each of which may hold a compiled pattern.
const FOREIGN: usize = 128;
/// Longest chain of schemas that apply to one value.
const IN_PLACE: usize = 16;
/// Most schemas that one walk of the whole can reach, counting each as often as it is referred to.
const UNFOLDED: u64 = 16_384;

/// Compiles `schema`. One pass over it, without recursion.
pub(super) fn compile(schema: View<'_>) -> Result<Rules, SchemaError> {
    let here = |fault| SchemaError { pointer: String::new(), fault };
    let draft = dialect(schema).map_err(here)?;
    let mut compiler = Compiler {
        root: schema,
        draft,
        nodes: Vec::new(),
        known: HashMap::new(),
        waiting: Vec::new(),
        foreign: 0,
        whole: false,
        pointer: String::new(),
    };
    compiler.schedule(schema, String::new())?;
    while let Some((id, view, pointer)) = compiler.waiting.pop() {
        compiler.pointer.clone_from(&pointer);
        let node = compiler.node(view).map_err(|fault| SchemaError { pointer, fault })?;
        if let Some(slot) = compiler.nodes.get_mut(id as usize) {
            *slot = node;
        }
    }
    let mut rules = Rules { nodes: compiler.nodes, whole: None };
    bounded(&rules).map_err(here)?;
    if rules.node(Rules::ROOT).is_some_and(|root| !root.types.has(Types::OBJECT)) {
        return Err(here(SchemaFault::NotAnObject));
    }
    if compiler.whole {
        unfolds(&rules).map_err(here)?;
        let whole = Whole::new(schema, draft).ok_or(here(SchemaFault::Form))?;
        rules.whole = Some(whole);
    }
    Ok(rules)
}

fn dialect(schema: View<'_>) -> Result<Draft, SchemaFault> {
    let Some(named) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let named = named.as_str().ok_or(SchemaFault::Dialect)?;
    let named = named.trim_end_matches('#').trim_end_matches('/');
    let named = named.strip_prefix("https://").or(named.strip_prefix("http://")).unwrap_or(named);
    match named {
        "json-schema.org/draft/2020-12/schema" => Ok(Draft::Draft202012),
        "json-schema.org/draft/2019-09/schema" => Ok(Draft::Draft201909),
        "json-schema.org/draft-07/schema" => Ok(Draft::Draft7),
        "json-schema.org/draft-06/schema" => Ok(Draft::Draft6),
        "json-schema.org/draft-04/schema" => Ok(Draft::Draft4),
        _ => Err(SchemaFault::Dialect),
    }
}

struct Compiler<'a> {
    root: View<'a>,
    draft: Draft,
    nodes: Vec<Node>,
    /// Where a schema stands in the text, and the node made of it: each is compiled once, however often it is referred to.
    known: HashMap<usize, NodeId>,
    waiting: Vec<(NodeId, View<'a>, String)>,
    foreign: usize,
    whole: bool,
    /// Where the schema stands that is being compiled.
    pointer: String,
}

type Fault = SchemaFault;

impl<'a> Compiler<'a> {
    fn schedule(&mut self, view: View<'a>, pointer: String) -> Result<NodeId, SchemaError> {
        if let Some(id) = self.known.get(&view.span().start) {
            return Ok(*id);
        }
        if self.nodes.len() >= NODES {
            let fault = Fault::TooLarge { what: "schemas", limit: NODES };
            return Err(SchemaError { pointer, fault });
        }
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node::any());
        self.known.insert(view.span().start, id);
        self.waiting.push((id, view, pointer));
        Ok(id)
    }

    /// A schema below the one being compiled.
    fn child(&mut self, view: View<'a>, path: &str) -> Result<NodeId, Fault> {
        let pointer = format!("{}/{path}", self.pointer);
        self.schedule(view, pointer).map_err(|e| e.fault)
    }

    fn node(&mut self, view: View<'a>) -> Result<Node, Fault> {
        let mut node = Node::any();
        match view.kind() {
            Kind::Bool => {
                if view.as_bool() == Some(false) {
                    node.general.push(General::Never);
                }
                return Ok(node);
            }
            Kind::Object => {}
            _ => return Err(Fault::Form),
        }
        self.refuse_unsupported(view)?;
        if let Some(reference) = view.get("$ref") {
            node.general.push(General::Ref(self.reference(reference)?));
            // Up to draft 7, nothing beside `$ref` counts.
            if self.is_up_to_7() {
                return Ok(node);
            }
        }
        node.types = types(view)?;
        node.number = self.number(view)?;
        node.string = self.string(view)?;
        node.array = self.array(view)?;
        node.object = self.object(view)?;
        self.general(view, &mut node.general)?;
        Ok(node)
    }

    fn is_up_to_7(&self) -> bool {
        matches!(self.draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7)
    }

    fn refuse_unsupported(&mut self, view: View<'a>) -> Result<(), Fault> {
        for keyword in ["$dynamicRef", "$recursiveRef"] {
            if view.get(keyword).is_some() {
                return Err(Fault::Unsupported(keyword));
            }
        }
        // A schema with an address of its own changes what the references in it mean.
        let root = view.span().start == self.root.span().start;
        for keyword in ["$id", "id"] {
            let other = view.get(keyword).and_then(|id| id.as_str()).is_some_and(|id| !id.starts_with('#'));
            if other && !root && (keyword == "$id") != (self.draft == Draft::Draft4) {
                return Err(Fault::Unsupported(keyword));
            }
        }
        let newer = matches!(self.draft, Draft::Draft201909 | Draft::Draft202012);
        let unevaluated = ["unevaluatedProperties", "unevaluatedItems"];
        self.whole |= newer && unevaluated.iter().any(|keyword| view.get(keyword).is_some());
        Ok(())
    }

    fn reference(&mut self, reference: View<'a>) -> Result<NodeId, Fault> {
        let text = reference.as_str().ok_or(Fault::Keyword { keyword: "$ref", expected: "a string" })?;
        let Some(pointer) = text.strip_prefix('#') else { return Err(Fault::External) };
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(Fault::Unsupported("$anchor"));
        }
        let mut at = self.root;
        for step in pointer.split('/').skip(1) {
            let step = percent_decoded(step).ok_or(Fault::Dangling)?.replace("~1", "/").replace("~0", "~");
            let next = match at.kind() {
                Kind::Array => step.parse().ok().and_then(|i: usize| at.elements().nth(i)),
                _ => at.get(&step),
            };
            at = next.ok_or(Fault::Dangling)?;
        }
        self.schedule(at, pointer.to_owned()).map_err(|e| e.fault)
    }

    fn foreign(&mut self, keyword: &'static str, view: View<'a>) -> Result<Foreign, Fault> {
        self.foreign += 1;
        if self.foreign > FOREIGN {
            return Err(Fault::TooLarge { what: "patterns, formats and the like", limit: FOREIGN });
        }
        let value = read(view).ok_or(Fault::Value(keyword))?;
        Foreign::new(keyword, value, self.draft).ok_or(Fault::Value(keyword))
    }

    fn number(&mut self, view: View<'a>) -> Result<Option<Box<NumberRules>>, Fault> {
        let mut rules = NumberRules::default();
        let mut any = false;
        for (closed, open, low) in [("minimum", "exclusiveMinimum", true), ("maximum", "exclusiveMaximum", false)] {
            let mut bounds = Vec::new();
            // Draft 4 says with a boolean whether the bound is outside.
            let flag = view.get(open).and_then(|v| v.as_bool()).filter(|_| self.draft == Draft::Draft4);
            if let Some(at) = bound(view, closed)? {
                bounds.push(Bound { at, open: flag == Some(true) });
            }
            if flag.is_none()
                && let Some(at) = bound(view, open)?
            {
                bounds.push(Bound { at, open: true });
            }
            any |= !bounds.is_empty();
            *(if low { &mut rules.least } else { &mut rules.most }) = bounds;
        }
        if let Some(multiple) = view.get("multipleOf") {
            rules.multiple = Some(self.foreign("multipleOf", multiple)?);
            any = true;
        }
        Ok(any.then(|| Box::new(rules)))
    }

    fn string(&mut self, view: View<'a>) -> Result<Option<Box<StringRules>>, Fault> {
        let length = count(view, "minLength", "maxLength")?;
        let mut foreign = Vec::new();
        if let Some(pattern) = view.get("pattern") {
            foreign.push(self.foreign("pattern", pattern)?);
        }
        if let Some(format) = view.get("format")
            && format.as_str().is_some_and(|name| knows_format(self.draft, &name))
        {
            foreign.push(self.foreign("format", format)?);
        }
        let any = length.is_some() || !foreign.is_empty();
        Ok(any.then(|| Box::new(StringRules { length: length.unwrap_or_default(), foreign })))
    }

    fn array(&mut self, view: View<'a>) -> Result<Option<Box<ArrayRules>>, Fault> {
        let length = count(view, "minItems", "maxItems")?;
        let mut rules = ArrayRules { length: length.unwrap_or_default(), ..ArrayRules::default() };
        let newest = self.draft == Draft::Draft202012;
        match view.get("items") {
            // Before 2020-12, a list of schemas is what `prefixItems` is now.
            Some(list) if list.kind() == Kind::Array && !newest => {
                rules.prefix = self.list(list, "items")?;
                rules.items = view.get("additionalItems").map(|v| self.child(v, "additionalItems")).transpose()?;
            }
            Some(items) => rules.items = Some(self.child(items, "items")?),
            None => {}
        }
        if newest && let Some(list) = view.get("prefixItems") {
            rules.prefix = self.list(list, "prefixItems")?;
        }
        if let Some(contains) = view.get("contains") {
            let mut bounds = count(view, "minContains", "maxContains")?.unwrap_or_default();
            if self.is_up_to_7() {
                bounds = Count::default();
            }
            if self.is_up_to_7() || view.get("minContains").is_none() {
                bounds.least = 1;
            }
            rules.contains = Some(Contains { node: self.child(contains, "contains")?, count: bounds });
        }
        match view.get("uniqueItems").map(|v| v.as_bool()) {
            Some(Some(true)) => {
                rules.unique = view.get("uniqueItems").map(|v| self.foreign("uniqueItems", v)).transpose()?
            }
            Some(None) => return Err(Fault::Keyword { keyword: "uniqueItems", expected: "a boolean" }),
            Some(Some(false)) | None => {}
        }
        let any = length.is_some()
            || !rules.prefix.is_empty()
            || rules.items.is_some()
            || rules.contains.is_some()
            || rules.unique.is_some();
        Ok(any.then(|| Box::new(rules)))
    }

    fn object(&mut self, view: View<'a>) -> Result<Option<Box<ObjectRules>>, Fault> {
        let length = count(view, "minProperties", "maxProperties")?;
        let mut members: BTreeMap<Box<str>, (Option<NodeId>, bool)> = BTreeMap::new();
        for (name, schema) in object_of(view, "properties")? {
            let node = self.child(schema, &format!("properties/{}", escaped(&name)))?;
            members.insert(name, (Some(node), false));
        }
        if let Some(required) = view.get("required") {
            for name in strings(required, "required")? {
                members.entry(name).or_default().1 = true;
            }
        }
        let mut rules = ObjectRules { length: length.unwrap_or_default(), ..ObjectRules::default() };
        rules.required = members.values().filter(|(_, required)| *required).count();
        rules.members = members.into_iter().map(|(name, (node, required))| Member { name, node, required }).collect();
        if let Some(extra) = view.get("additionalProperties") {
            match extra.as_bool() {
                Some(refuses) => rules.closed = !refuses,
                None => rules.extra = Some(self.child(extra, "additionalProperties")?),
            }
        }
        for (key, schema) in view.get("patternProperties").into_iter().flat_map(|p| p.members()) {
            // The key is a string, so it can stand where `pattern` has its value.
            let pattern = self.foreign("pattern", key)?;
            rules.patterns.push((pattern, self.child(schema, "patternProperties")?));
        }
        rules.names = view.get("propertyNames").map(|v| self.child(v, "propertyNames")).transpose()?;
        self.dependent(view, &mut rules)?;
        let any = length.is_some()
            || !rules.members.is_empty()
            || rules.closed
            || rules.extra.is_some()
            || !rules.patterns.is_empty()
            || rules.names.is_some()
            || !rules.dependent_required.is_empty()
            || !rules.dependent_schemas.is_empty();
        Ok(any.then(|| Box::new(rules)))
    }

    fn dependent(&mut self, view: View<'a>, rules: &mut ObjectRules) -> Result<(), Fault> {
        if self.is_up_to_7() {
            for (name, value) in object_of(view, "dependencies")? {
                if value.kind() == Kind::Array {
                    rules.dependent_required.push((name, strings(value, "dependencies")?));
                } else {
                    rules.dependent_schemas.push((name, self.child(value, "dependencies")?));
                }
            }
            return Ok(());
        }
        for (name, value) in object_of(view, "dependentRequired")? {
            rules.dependent_required.push((name, strings(value, "dependentRequired")?));
        }
        for (name, value) in object_of(view, "dependentSchemas")? {
            rules.dependent_schemas.push((name, self.child(value, "dependentSchemas")?));
        }
        Ok(())
    }

    fn general(&mut self, view: View<'a>, general: &mut Vec<General>) -> Result<(), Fault> {
        if let Some(values) = view.get("enum") {
            if values.kind() != Kind::Array {
                return Err(Fault::Keyword { keyword: "enum", expected: "an array" });
            }
            general.push(General::Enum(enumeration(values.elements())?));
        }
        if let Some(value) = view.get("const").filter(|_| self.draft != Draft::Draft4) {
            general.push(General::Enum(enumeration(std::iter::once(value))?));
        }
        if let Some(list) = view.get("allOf") {
            general.push(General::AllOf(self.list(list, "allOf")?));
        }
        if let Some(list) = view.get("anyOf") {
            general.push(General::AnyOf(self.list(list, "anyOf")?));
        }
        if let Some(list) = view.get("oneOf") {
            general.push(General::OneOf(self.list(list, "oneOf")?));
        }
        if let Some(not) = view.get("not") {
            general.push(General::Not(self.child(not, "not")?));
        }
        if let Some(test) = view.get("if").filter(|_| !matches!(self.draft, Draft::Draft4 | Draft::Draft6)) {
            let test = self.child(test, "if")?;
            let then = view.get("then").map(|v| self.child(v, "then")).transpose()?;
            let otherwise = view.get("else").map(|v| self.child(v, "else")).transpose()?;
            general.push(General::If { test, then, otherwise });
        }
        Ok(())
    }

    fn list(&mut self, list: View<'a>, keyword: &'static str) -> Result<Vec<NodeId>, Fault> {
        if list.kind() != Kind::Array || list.elements().next().is_none() {
            return Err(Fault::Keyword { keyword, expected: "a list of schemas" });
        }
        list.elements().enumerate().map(|(i, schema)| self.child(schema, &format!("{keyword}/{i}"))).collect()
    }
}

fn types(view: View<'_>) -> Result<Types, Fault> {
    let expected = || Fault::Keyword { keyword: "type", expected: "a JSON Schema type or a list of them" };
    let named = |v: View<'_>| v.as_str().and_then(|name| Types::named(&name)).ok_or_else(expected);
    let Some(found) = view.get("type") else { return Ok(Types::ANY) };
    let mut types = match found.kind() {
        Kind::Array => {
            let mut union = Types::NONE;
            for element in found.elements() {
                union = union.or(named(element)?);
            }
            union
        }
        _ => named(found)?,
    };
    if types == Types::NONE {
        return Err(expected());
    }
    if view.get("nullable").and_then(|n| n.as_bool()) == Some(true) {
        types = types.or(Types::NULL);
    }
    Ok(types)
}

fn bound(view: View<'_>, keyword: &'static str) -> Result<Option<Number>, Fault> {
    let Some(found) = view.get(keyword) else { return Ok(None) };
    Number::of(found).map(Some).ok_or(Fault::Keyword { keyword, expected: "a number" })
}

fn count(view: View<'_>, least: &'static str, most: &'static str) -> Result<Option<Count>, Fault> {
    let read = |keyword| match bound(view, keyword)? {
        Some(n) => n.as_count().map(Some).ok_or(Fault::Keyword { keyword, expected: "a whole number, zero or more" }),
        None => Ok(None),
    };
    Ok(match (read(least)?, read(most)?) {
        (None, None) => None,
        (least, most) => Some(Count { least: least.unwrap_or(0), most: most.unwrap_or(u64::MAX) }),
    })
}

fn object_of<'a>(view: View<'a>, keyword: &'static str) -> Result<Vec<(Box<str>, View<'a>)>, Fault> {
    let Some(found) = view.get(keyword) else { return Ok(Vec::new()) };
    if found.kind() != Kind::Object {
        return Err(Fault::Keyword { keyword, expected: "an object" });
    }
    Ok(found.members().map(|(key, value)| (key.as_str().unwrap_or_default().into(), value)).collect())
}

fn strings(view: View<'_>, keyword: &'static str) -> Result<Vec<Box<str>>, Fault> {
    let wrong = || Fault::Keyword { keyword, expected: "a list of names" };
    if view.kind() != Kind::Array {
        return Err(wrong());
    }
    view.elements().map(|e| e.as_str().map(Into::into).ok_or_else(wrong)).collect()
}

fn enumeration<'a>(values: impl Iterator<Item = View<'a>>) -> Result<Enumeration, Fault> {
    let mut found = Enumeration { strings: Vec::new(), others: Vec::new() };
    for value in values {
        match value.as_str() {
            Some(text) => found.strings.push(text.into()),
            None => {
                let copy = Json::parse(value.raw().to_vec(), Limits::REQUEST).map_err(|_| Fault::Form)?;
                found.others.push(copy);
            }
        }
    }
    found.strings.sort_unstable();
    found.strings.dedup();
    Ok(found)
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, after) = tail.split_at_checked(2)?;
            out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            out.push(*first);
        }
    }
    String::from_utf8(out).ok()
}

/// Refuses schemas that apply themselves to the same value again, and long chains: both end in a full stack.
fn bounded(rules: &Rules) -> Result<(), Fault> {
    let mut heights: Vec<Option<usize>> = vec![None; rules.nodes.len()];
    for id in 0..rules.nodes.len() {
        height(rules, u32::try_from(id).unwrap_or(u32::MAX), 0, &mut heights)?;
    }
    Ok(())
}

fn height(rules: &Rules, id: NodeId, depth: usize, heights: &mut [Option<usize>]) -> Result<usize, Fault> {
    if let Some(known) = heights.get(id as usize).copied().flatten() {
        return if depth + known > IN_PLACE { Err(Fault::Endless) } else { Ok(known) };
    }
    if depth > IN_PLACE {
        return Err(Fault::Endless);
    }
    let mut tallest = 0;
    for next in rules.node(id).into_iter().flat_map(Node::in_place) {
        tallest = tallest.max(1 + height(rules, next, depth + 1, heights)?);
    }
    if let Some(slot) = heights.get_mut(id as usize) {
        *slot = Some(tallest);
    }
    Ok(tallest)
}

/// Refuses recursion, and references that repeat parts without measure: the foreign validator has no budget.
fn unfolds(rules: &Rules) -> Result<(), Fault> {
    let mut weights: Vec<Option<u64>> = vec![None; rules.nodes.len()];
    match weight(rules, Rules::ROOT, 0, &mut weights)? {
        0..=UNFOLDED => Ok(()),
        _ => Err(Fault::Endless),
    }
}

fn weight(rules: &Rules, id: NodeId, depth: usize, weights: &mut [Option<u64>]) -> Result<u64, Fault> {
    const DEPTH: usize = 128;
    if let Some(known) = weights.get(id as usize).copied().flatten() {
        return Ok(known);
    }
    if depth > DEPTH {
        return Err(Fault::Endless);
    }
    let mut sum = 1_u64;
    for next in rules.node(id).into_iter().flat_map(|n| n.in_place().chain(n.below())) {
        sum = sum.saturating_add(weight(rules, next, depth + 1, weights)?);
    }
    if let Some(slot) = weights.get_mut(id as usize) {
        *slot = Some(sum);
    }
    Ok(sum)
}
