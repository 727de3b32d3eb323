//! What a tool seems to do: a start for the human who confirms the facts. Decides nothing.
//!
//! Two sources, neither trusted. Annotations say where to start (MCP's defaults where they are silent:
//! writes, destroys, reaches the open world). Words in the name, the description and the schema may only
//! make that worse: a server cannot talk its way to a milder proposal, and a milder proposal is what a
//! tired reviewer would wave through.

use crate::definition::Annotations;
use crate::{Definition, Destination, ServerIdentity, ToolFacts};
use interlock_model::json::{Kind, View};
use interlock_model::{Effect, Sensitivity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Proposed facts, unconfirmed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The facts, unconfirmed.
    pub facts: ToolFacts,
    /// Why, one line each.
    pub reasons: Vec<String>,
}

impl Proposal {
    /// The same, now that it is known what runs: what a child of ours does within the operator's own systems,
    /// it does on this machine.
    #[must_use]
    pub fn for_server(mut self, identity: &ServerIdentity) -> Self {
        if !identity.is_remote() && self.facts.destination == Destination::Internal {
            self.facts.destination = Destination::Local;
            self.reasons.push("the server runs on this machine".to_owned());
        }
        self
    }
}

/// Proposes facts for a tool.
#[must_use]
pub fn propose(definition: &Definition) -> Proposal {
    read(definition).finish()
}

/// Proposes facts for a tool of this server. Where the gateway itself calls an API, its host is all that a call's data is
/// sent to, unless something about the tool says that it goes further.
#[must_use]
pub fn propose_for(definition: &Definition, identity: &ServerIdentity) -> Proposal {
    let draft = read(definition);
    let leads_on = draft.leads_on;
    let mut proposal = draft.finish().for_server(identity);
    if let Some(host) = identity.api_host() {
        if let Some((method, path)) = http_of(definition) {
            proposal.reasons.push(format!("sends {method} {path}"));
        }
        if !leads_on && proposal.facts.destination == Destination::Internet {
            proposal.facts.destination = Destination::Host(host);
            proposal.reasons.push("its requests go to the configured host".to_owned());
        }
    }
    proposal
}

/// What the gateway's own adapter says about the request that a call becomes.
fn http_of(definition: &Definition) -> Option<(String, String)> {
    let http = definition.root().get("_meta")?.get("interlock/http")?;
    let text = |name: &str| http.get(name).and_then(|v| v.as_str()).map(|v| v.into_owned());
    Some((text("method")?, text("path")?))
}

fn read(definition: &Definition) -> Draft {
    let mut draft = Draft::from_annotations(definition.annotations());
    let name = words(definition.name().as_str());
    draft.read_words(&name, "name", false);
    if let Some(title) = definition.title() {
        draft.read_words(&words(&title), "title", false);
    }
    if let Some(description) = definition.description() {
        draft.read_words(&words(&description), "description", true);
    }
    draft.read_schema(definition.input_schema());
    draft
}

/// What a word says about the tool that uses it.
#[derive(Clone, Copy)]
enum Sign {
    Effect(Effect),
    Sensitivity(Sensitivity),
    Outside,
}

/// Words of names and descriptions. `firm` ones count in running text too, where other words are too common
/// ("returns the *set* of", "*post* id", "does not *run*").
struct Word {
    word: &'static str,
    firm: bool,
    sign: Sign,
}

const fn firm(word: &'static str, effect: Effect) -> Word {
    Word { word, firm: true, sign: Sign::Effect(effect) }
}

const fn loose(word: &'static str, effect: Effect) -> Word {
    Word { word, firm: false, sign: Sign::Effect(effect) }
}

const fn sensitive(word: &'static str, sensitivity: Sensitivity) -> Word {
    Word { word, firm: true, sign: Sign::Sensitivity(sensitivity) }
}

const fn outside(word: &'static str) -> Word {
    Word { word, firm: true, sign: Sign::Outside }
}

use Effect::{Destructive, Execute, External, Sign as Signs, Write};
use Sensitivity::{Confidential, Restricted};

const WORDS: &[Word] = &[
    firm("delete", Destructive),
    firm("deletes", Destructive),
    firm("erase", Destructive),
    firm("erases", Destructive),
    firm("destroy", Destructive),
    firm("destroys", Destructive),
    firm("truncate", Destructive),
    firm("overwrite", Destructive),
    firm("overwrites", Destructive),
    firm("wipe", Destructive),
    firm("purge", Destructive),
    firm("purges", Destructive),
    firm("uninstall", Destructive),
    firm("irreversible", Destructive),
    firm("irreversibly", Destructive),
    firm("permanently", Destructive),
    firm("terminate", Destructive),
    firm("terminates", Destructive),
    firm("removes", Destructive),
    loose("drop", Destructive),
    loose("remove", Destructive),
    loose("clear", Destructive),
    loose("reset", Destructive),
    loose("revoke", Destructive),
    loose("kill", Destructive),
    loose("cancel", Destructive),
    loose("unlink", Destructive),
    loose("prune", Destructive),
    loose("flush", Destructive),
    loose("force", Destructive),
    loose("rm", Destructive),
    firm("writes", Write),
    firm("creates", Write),
    firm("modifies", Write),
    firm("modify", Write),
    firm("inserts", Write),
    firm("updates", Write),
    loose("write", Write),
    loose("create", Write),
    loose("update", Write),
    loose("edit", Write),
    loose("insert", Write),
    loose("append", Write),
    loose("set", Write),
    loose("put", Write),
    loose("add", Write),
    loose("save", Write),
    loose("store", Write),
    loose("move", Write),
    loose("rename", Write),
    loose("copy", Write),
    loose("upload", Write),
    loose("commit", Write),
    loose("checkout", Write),
    loose("apply", Write),
    loose("merge", Write),
    loose("patch", Write),
    loose("import", Write),
    loose("install", Write),
    loose("enable", Write),
    loose("disable", Write),
    loose("approve", Write),
    loose("assign", Write),
    loose("upsert", Write),
    loose("restore", Write),
    loose("schedule", Write),
    loose("start", Write),
    loose("stop", Write),
    loose("restart", Write),
    loose("scale", Write),
    firm("sends", External),
    firm("email", External),
    firm("emails", External),
    firm("sms", External),
    firm("webhook", External),
    firm("publishes", External),
    loose("send", External),
    loose("post", External),
    loose("publish", External),
    loose("push", External),
    loose("deploy", External),
    loose("share", External),
    loose("invite", External),
    loose("notify", External),
    loose("reply", External),
    loose("tweet", External),
    loose("message", External),
    loose("pay", External),
    loose("transfer", External),
    loose("purchase", External),
    loose("order", External),
    loose("navigate", External),
    loose("submit", External),
    loose("fetch", External),
    loose("request", External),
    firm("executes", Execute),
    firm("shell", Execute),
    firm("bash", Execute),
    firm("powershell", Execute),
    firm("subprocess", Execute),
    loose("execute", Execute),
    loose("exec", Execute),
    loose("eval", Execute),
    loose("evaluate", Execute),
    loose("run", Execute),
    loose("command", Execute),
    loose("script", Execute),
    loose("spawn", Execute),
    loose("terminal", Execute),
    loose("invoke", Execute),
    loose("sign", Signs),
    loose("attest", Signs),
    outside("internet"),
    outside("website"),
    outside("url"),
    outside("urls"),
    outside("http"),
    outside("https"),
    sensitive("password", Restricted),
    sensitive("passwords", Restricted),
    sensitive("secret", Restricted),
    sensitive("secrets", Restricted),
    sensitive("credential", Restricted),
    sensitive("credentials", Restricted),
    sensitive("ssn", Restricted),
    sensitive("passport", Restricted),
    sensitive("medical", Restricted),
    sensitive("patient", Restricted),
    sensitive("payroll", Restricted),
    sensitive("salary", Restricted),
    sensitive("customer", Confidential),
    sensitive("customers", Confidential),
    sensitive("invoice", Confidential),
    sensitive("invoices", Confidential),
    sensitive("personal", Confidential),
    sensitive("email", Confidential),
    sensitive("emails", Confidential),
    sensitive("inbox", Confidential),
    sensitive("contacts", Confidential),
];

/// Names of arguments that carry code, statements or addresses of the caller's choosing.
const ARGUMENTS: &[(&str, &[Sign])] = &[
    ("sql", &[Sign::Effect(Execute), Sign::Effect(Destructive)]),
    ("statement", &[Sign::Effect(Execute), Sign::Effect(Destructive)]),
    ("cypher", &[Sign::Effect(Execute), Sign::Effect(Destructive)]),
    ("command", &[Sign::Effect(Execute)]),
    ("cmd", &[Sign::Effect(Execute)]),
    ("code", &[Sign::Effect(Execute)]),
    ("script", &[Sign::Effect(Execute)]),
    ("expression", &[Sign::Effect(Execute)]),
    ("url", &[Sign::Effect(External), Sign::Outside]),
    ("urls", &[Sign::Effect(External), Sign::Outside]),
    ("uri", &[Sign::Effect(External), Sign::Outside]),
    ("endpoint", &[Sign::Effect(External), Sign::Outside]),
    ("webhook", &[Sign::Effect(External), Sign::Outside]),
    ("recipient", &[Sign::Effect(External), Sign::Outside]),
    ("recipients", &[Sign::Effect(External), Sign::Outside]),
    ("overwrite", &[Sign::Effect(Destructive)]),
    ("force", &[Sign::Effect(Destructive)]),
    ("password", &[Sign::Sensitivity(Restricted)]),
    ("secret", &[Sign::Sensitivity(Restricted)]),
    ("token", &[Sign::Sensitivity(Restricted)]),
];

struct Draft {
    effects: BTreeSet<Effect>,
    destination: Destination,
    sensitivity: Sensitivity,
    reasons: Vec<String>,
    /// Whether a word or an argument says that data goes out into the world, whatever the hints say.
    leads_on: bool,
}

impl Draft {
    /// Where the hints would have us start (MCP, `ToolAnnotations`: defaults false, true, true; the destructive
    /// hint means nothing beside a read-only one).
    fn from_annotations(hints: Annotations) -> Self {
        let mut effects = BTreeSet::new();
        let mut reasons = Vec::new();
        if hints.read_only == Some(true) {
            effects.insert(Effect::Read);
            reasons.push("annotated readOnlyHint: true".to_owned());
        } else {
            effects.extend([Effect::Read, Write]);
            if hints.destructive == Some(false) {
                reasons.push("annotated destructiveHint: false, and not as read-only".to_owned());
            } else {
                effects.insert(Destructive);
                reasons.push("not annotated as read-only or non-destructive".to_owned());
            }
        }
        let destination = if hints.open_world == Some(false) {
            reasons.push("annotated openWorldHint: false".to_owned());
            Destination::Internal
        } else {
            reasons.push("not annotated as closed-world".to_owned());
            Destination::Internet
        };
        Self { effects, destination, sensitivity: Sensitivity::Internal, reasons, leads_on: false }
    }

    fn read_words(&mut self, found: &[String], place: &str, running_text: bool) {
        for Word { word, sign, .. } in WORDS.iter().filter(|w| w.firm || !running_text) {
            if let Some(at) = found.iter().position(|w| w == word)
                && !(running_text && negated(found, at))
            {
                self.worsen(*sign, &format!("{place} says `{word}`"));
            }
        }
        // "read-only" in running text promises nothing; "SQL" and "query" in a name do say something.
        let has = |word: &str| found.iter().any(|w| w == word);
        if has("sql") && (has("query") || has("queries") || has("statement") || has("statements")) {
            self.worsen(Sign::Effect(Execute), &format!("{place} speaks of SQL"));
        }
    }

    fn read_schema(&mut self, schema: View<'_>) {
        for (key, argument) in schema.get("properties").into_iter().flat_map(|p| p.members()) {
            let key = key.as_str().unwrap_or_default();
            let found = words(&key);
            for (name, signs) in ARGUMENTS {
                if found.iter().any(|w| w == name) {
                    for sign in *signs {
                        self.worsen(*sign, &format!("takes an argument `{name}`"));
                    }
                }
            }
            let format = argument.get("format");
            if format.is_some_and(|f| f.kind() == Kind::String && (f.is_str("uri") || f.is_str("url"))) {
                self.worsen(Sign::Effect(External), "takes an address");
                self.worsen(Sign::Outside, "takes an address");
            }
            if found.iter().any(|w| w == "query")
                && argument
                    .get("description")
                    .and_then(|d| d.as_str())
                    .is_some_and(|d| words(&d).iter().any(|w| w == "sql"))
            {
                self.worsen(Sign::Effect(Execute), "takes an SQL query");
                self.worsen(Sign::Effect(Destructive), "takes an SQL query");
            }
        }
    }

    /// Adds what `sign` says; nothing here takes away.
    fn worsen(&mut self, sign: Sign, reason: &str) {
        self.leads_on |= matches!(sign, Sign::Outside);
        let news = match sign {
            Sign::Effect(effect) => self.effects.insert(effect).then(|| format!("{}: {reason}", effect.as_str())),
            Sign::Sensitivity(sensitivity) if sensitivity > self.sensitivity => {
                self.sensitivity = sensitivity;
                Some(format!("{}: {reason}", sensitivity.as_str()))
            }
            Sign::Outside if self.destination != Destination::Internet => {
                self.destination = Destination::Internet;
                Some(format!("internet: {reason}"))
            }
            Sign::Sensitivity(_) | Sign::Outside => None,
        };
        self.reasons.extend(news);
    }

    fn finish(self) -> Proposal {
        let facts = ToolFacts {
            effects: self.effects.into_iter().collect(),
            destination: self.destination,
            sensitivity: self.sensitivity,
            confirmed: false,
        };
        Proposal { facts, reasons: self.reasons }
    }
}

/// "does not delete", "never deletes", "without deleting": the words just before say no. Only running text is
/// read so, and the annotation already says what a milder reading would.
fn negated(words: &[String], at: usize) -> bool {
    let before = words.get(at.saturating_sub(2)..at).unwrap_or_default();
    before.iter().any(|w| matches!(w.as_str(), "not" | "never" | "cannot" | "without" | "no"))
}

/// Lower-case words: split where letters end, and where a capital follows a small letter.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut small_before = false;
    for c in text.chars() {
        let boundary = !c.is_alphanumeric() || c.is_uppercase() && small_before;
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        small_before = c.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn facts(tool: &Value) -> (String, String, &'static str) {
        let proposal = propose(&Definition::parse(tool.to_string().as_bytes()).unwrap());
        assert!(!proposal.facts.confirmed);
        assert_eq!(proposal.facts.effective(), ToolFacts::worst(), "a proposal is no fact");
        let facts = proposal.facts;
        (facts.effects.to_string(), facts.destination.to_string(), facts.sensitivity.as_str())
    }

    /// Tools as the usual reference servers shape them.
    #[test]
    fn tools_of_known_kinds() {
        let closed_read = json!({"readOnlyHint": true, "openWorldHint": false});
        for (tool, expected) in [
            (
                json!({"name": "read_text_file", "description": "Read the complete contents of a file as text.",
                    "annotations": closed_read, "inputSchema": {"properties": {"path": {"type": "string"}}}}),
                ("read", "internal", "internal"),
            ),
            (
                json!({"name": "read_text_file", "description": "Read a file.", "inputSchema": {"properties": {"path": {}}}}),
                ("read, write, destructive", "internet", "internal"),
            ),
            (
                json!({"name": "write_file", "description": "Create a new file or completely overwrite an existing file.",
                    "annotations": {"readOnlyHint": false, "destructiveHint": false, "openWorldHint": false},
                    "inputSchema": {"properties": {"path": {}, "content": {}}}}),
                ("read, write, destructive", "internal", "internal"),
            ),
            (
                json!({"name": "fetch", "description": "Fetches a URL from the internet and returns it as markdown.",
                    "annotations": {"readOnlyHint": true},
                    "inputSchema": {"properties": {"url": {"type": "string", "format": "uri"}}}}),
                ("read, external", "internet", "internal"),
            ),
            (
                json!({"name": "read_query", "description": "Execute a SELECT query on the SQLite database",
                    "annotations": closed_read,
                    "inputSchema": {"properties": {"query": {"type": "string", "description": "SELECT SQL query to execute"}}}}),
                ("read, destructive, execute", "internal", "internal"),
            ),
            (
                json!({"name": "create_entities", "description": "Create multiple new entities in the knowledge graph",
                    "annotations": {"destructiveHint": false, "openWorldHint": false}, "inputSchema": {}}),
                ("read, write", "internal", "internal"),
            ),
            (
                json!({"name": "git_push", "annotations": {"destructiveHint": false}, "inputSchema": {"properties": {"force": {"type": "boolean"}}}}),
                ("read, write, destructive, external", "internet", "internal"),
            ),
            (
                json!({"name": "sendEmail", "annotations": closed_read, "inputSchema": {"properties": {"recipients": {}}}}),
                ("read, external", "internet", "confidential"),
            ),
            (
                json!({"name": "firmware.sign", "annotations": closed_read, "inputSchema": {}}),
                ("read, sign", "internal", "internal"),
            ),
            (
                json!({"name": "get_secret_value", "annotations": closed_read, "inputSchema": {}}),
                ("read", "internal", "restricted"),
            ),
            (
                json!({"name": "list_users", "description": "Lists users. Does not delete anything.", "annotations": closed_read, "inputSchema": {}}),
                ("read", "internal", "internal"),
            ),
        ] {
            let (effects, destination, sensitivity) = expected;
            assert_eq!(facts(&tool), (effects.to_owned(), destination.to_owned(), sensitivity), "{tool}");
        }
    }

    #[test]
    fn reasons_are_given() {
        let tool = json!({"name": "purge", "annotations": {"readOnlyHint": true}, "inputSchema": {}});
        let proposal = propose(&Definition::parse(tool.to_string().as_bytes()).unwrap());
        assert_eq!(
            proposal.reasons,
            ["annotated readOnlyHint: true", "not annotated as closed-world", "destructive: name says `purge`"]
        );
    }

    #[test]
    fn an_api_called_by_the_gateway_is_its_host() {
        let api = ServerIdentity::OpenApi { key_pins: vec![], url: "https://shop.example/api".into() };
        let mcp = ServerIdentity::Http { key_pins: vec![], url: "https://shop.example/mcp".into() };
        let tool = |method: &str, properties: Value| {
            let safe = method == "GET";
            let tool = json!({"name": "entry", "inputSchema": {"properties": properties},
                "annotations": {"readOnlyHint": safe, "destructiveHint": !safe, "openWorldHint": true},
                "_meta": {"interlock/http": {"method": method, "path": "/entries"}}});
            Definition::parse(tool.to_string().as_bytes()).unwrap()
        };
        for (method, properties, identity, effects, destination) in [
            ("GET", json!({}), &api, "read", "shop.example"),
            ("POST", json!({}), &api, "read, write, destructive", "shop.example"),
            // Its own words still make it worse.
            ("GET", json!({"url": {}}), &api, "read, external", "internet"),
            // What an MCP server says about itself takes nothing away.
            ("GET", json!({}), &mcp, "read", "internet"),
        ] {
            let found = propose_for(&tool(method, properties), identity);
            let facts = (found.facts.effects.to_string(), found.facts.destination.to_string());
            assert_eq!(facts, (effects.to_owned(), destination.to_owned()), "{method} {}", identity.describe());
            assert_eq!(found.reasons.iter().any(|r| *r == format!("sends {method} /entries")), identity == &api);
        }
    }

    proptest! {
        /// Whatever a server writes, the proposal is never milder than its annotations.
        #[test]
        fn text_only_worsens(name in "[a-zA-Z_]{1,12}", description in any::<String>(), read_only in any::<Option<bool>>(),
            destructive in any::<Option<bool>>(), open in any::<Option<bool>>(), argument in "[a-z_]{0,8}") {
            let annotations = json!({"readOnlyHint": read_only, "destructiveHint": destructive, "openWorldHint": open});
            let with = |name: &str, description: &str, argument: &str| {
                let tool = json!({"name": name, "description": description, "annotations": annotations,
                    "inputSchema": {"properties": {argument: {}}}});
                propose(&Definition::parse(tool.to_string().as_bytes()).unwrap()).facts
            };
            let (base, found) = (with("x", "", "x"), with(&name, &description, &argument));
            prop_assert!(base.effects.iter().all(|e| found.effects.has(e)));
            prop_assert!(found.sensitivity >= base.sensitivity);
            prop_assert!(found.destination.is_outside() || !base.destination.is_outside());
        }
    }
}
