//! What one decision costs: the reference bundle of `bench/policy-reference` over the benchmark's tools,
//! arguments of 1 KiB. Beside it, in the same run, what plain Cedar takes for the same 50 policies with a
//! request that is ready. Prints nanoseconds of CPU; the budget is 8 microseconds.
//!
//! `cargo run --release -p interlock-policy --example decide_bench -- bench`

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema};
use interlock_catalog::{ApprovedTool, Definition, Destination, InputSchema, ToolFacts};
use interlock_identity::{Agent, AgentState, BearerKey, Principal};
use interlock_mcp::ExposedName;
use interlock_model::json::{Json, Limits};
use interlock_model::{Digest, Effect, Mode, Sensitivity, UnixMillis};
use interlock_policy::{
    ActionKind, Bundle, BundleFiles, DecisionRequest, MANIFEST, PolicySnapshot, Subject, write_manifest,
};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

const ROUNDS: u32 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let bench = std::env::args().nth(1).unwrap_or_else(|| "bench".to_owned());
    let tools = tools(&Path::new(&bench).join("tools.json"))?;
    let payload = tools.iter().find(|tool| tool.name().as_str() == "payload").ok_or("no tool `payload`")?;
    let principal = principal()?;
    let calls: Vec<Json<Vec<u8>>> =
        (0..64).map(|n| Json::parse(arguments(n), Limits::REQUEST)).collect::<Result<_, _>>()?;
    let labels = ["internal".to_owned(), "fleet".to_owned()];
    let request = |arguments| DecisionRequest {
        principal: &principal,
        action: ActionKind::Call,
        subject: Subject::Tool(payload),
        arguments: Some(arguments),
        session_labels: &labels,
        session_calls: 4,
        mode: Mode::Enforcing,
        findings: None,
        approval: None,
        now: UnixMillis(1_767_614_400_000),
        environment: "bench",
    };
    let reference = bundle(&Path::new(&bench).join("policy-reference"))?;
    for result in reference.run_cases(&tools)? {
        assert!(result.passed(), "{}: {:?}", result.name, result.differences);
    }
    let starter = Bundle::parse(&interlock_policy::preset_files(interlock_policy::Preset::Starter, None))?;
    for (name, bundle) in [("reference", reference), ("starter", starter)] {
        let (snapshot, warnings) = PolicySnapshot::new(&bundle, &tools)?;
        for warning in warnings {
            println!("warning: {warning}");
        }
        println!("{name}: {:?}", snapshot.decide(&request(calls.first().ok_or("no call")?.root())).outcome);
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = cpu_ns()?;
            for call in calls.iter().cycle().take(ROUNDS as usize) {
                black_box(snapshot.decide(&request(black_box(call.root()))));
            }
            best = best.min((cpu_ns()? - start) / f64::from(ROUNDS));
        }
        println!("{name}: {best:.0} ns per decision");
        if name == "reference" {
            println!("plain Cedar, request ready: {:.0} ns", plain(&bench, &snapshot)?);
        }
    }
    Ok(())
}

/// All policies of the bundle at once, as Cedar itself would.
fn plain(bench: &str, snapshot: &PolicySnapshot) -> Result<f64, Box<dyn Error>> {
    let mut text = String::new();
    for file in ["arguments", "calls", "others"] {
        text += &std::fs::read_to_string(Path::new(bench).join(format!("policy-reference/{file}.cedar")))?;
    }
    let policies: PolicySet = text.parse()?;
    let (schema, _) = Schema::from_cedarschema_str(snapshot.schema())?;
    let uid = |kind: &str, id: &str| format!("Interlock::{kind}::\"{id}\"").parse::<EntityUid>().map_err(Box::new);
    let action = uid("Action", "bench/payload")?;
    let arguments: serde_json::Value = serde_json::from_slice(&arguments(1))?;
    let context = serde_json::json!({
        "args": arguments, "args_opaque": [], "session": {"labels": ["internal", "fleet"], "calls": 4},
        "inspected": false, "findings": [], "facts": {"secret_path": false}, "approval": {"given": false, "tier": 0},
        "credential": {"kind": "key"},
        "time": {"now": {"__extn": {"fn": "datetime", "arg": "2026-01-05"}}, "hour": 12, "weekday": 1},
        "environment": {"name": "bench", "mode": "enforcing"},
    });
    let context = Context::from_json_value(context, Some((&schema, &action)))?;
    let one = |kind: &str, id: &str| serde_json::json!({"type": format!("Interlock::{kind}"), "id": id});
    let entities = serde_json::json!([
        {"uid": one("Agent", "bench-agent"), "parents": [one("Owner", "bench-owner"), one("Role", "operator")],
         "attrs": {"id": "bench-agent", "owner": "bench-owner", "bound": true}},
        {"uid": one("Tool", "bench/payload"), "parents": [one("Server", "bench")],
         "attrs": {"name": "payload", "server": "bench", "exposed": "bench__payload", "effects": ["write"],
                   "readOnly": false, "destination": "internal", "outside": false, "sensitivity": "internal",
                   "confirmed": true}},
    ]);
    let entities = Entities::from_json_value(entities, Some(&schema))?;
    let request = Request::new(uid("Agent", "bench-agent")?, action, uid("Tool", "bench/payload")?, context, None)?;
    let authorizer = Authorizer::new();
    let start = cpu_ns()?;
    for _ in 0..ROUNDS {
        black_box(authorizer.is_authorized(black_box(&request), &policies, &entities));
    }
    Ok((cpu_ns()? - start) / f64::from(ROUNDS))
}

/// Nanoseconds that this thread has been on a CPU (Linux), so that a busy machine changes little.
fn cpu_ns() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn tools(file: &Path) -> Result<Vec<Arc<ApprovedTool>>, Box<dyn Error>> {
    let text = std::fs::read(file)?;
    let json = Json::parse(text, Limits::RESULT)?;
    json.root()
        .elements()
        .map(|tool| {
            let definition = Definition::parse(tool.raw())?;
            let server = "bench".parse()?;
            let exposed = ExposedName::new(&server, definition.name());
            Ok(Arc::new(ApprovedTool {
                input: InputSchema::compile(definition.input_schema())?,
                listed: definition.renamed(exposed.as_str()).into(),
                listed_plain: definition.canonical().to_vec().into(),
                server,
                facts: ToolFacts {
                    effects: [Effect::Write].into_iter().collect(),
                    destination: Destination::Internal,
                    sensitivity: Sensitivity::Internal,
                    confirmed: true,
                },
                exposed,
                mirrored: [].into(),
                identity: Digest::of(b"bench"),
                approved_by: "bench-owner".parse()?,
                approved_at: UnixMillis(0),
                definition,
            }))
        })
        .collect()
}

fn principal() -> Result<Principal, Box<dyn Error>> {
    let agent = Agent {
        id: "bench-agent".parse()?,
        owner: "bench-owner".parse()?,
        key: BearerKey::new(&[1; 32]).digest(),
        state: AgentState::Active,
        purpose: String::new(),
        roles: vec!["operator".to_owned()],
        added: UnixMillis(0),
    };
    Ok(Principal { agent: Arc::new(agent), bound: true })
}

/// Arguments of 1 KiB, shaped like the benchmark's.
fn arguments(n: usize) -> Vec<u8> {
    let mut text = format!(
        r#"{{"request_id":"req-{n:012}","path":"/srv/fleet/site-{:02}/records/{n:04}","query":"status = 'open' and age > {n}","max_bytes":1024,"recursive":{},"labels":["nightly","unit-{n:03}","eu-west"],"options":{{"depth":{},"format":"text"}},"message":""#,
        n % 48,
        n.is_multiple_of(2),
        n % 7,
    );
    let words = ["pump ", "valve ", "reported ", "pressure ", "within ", "limits ", "after ", "the ", "restart. "];
    for word in words.iter().cycle() {
        if text.len() + word.len() + 2 > 1024 {
            break;
        }
        text.push_str(word);
    }
    text.push_str("\"}");
    text.into_bytes()
}

fn bundle(dir: &Path) -> Result<Bundle, Box<dyn Error>> {
    let mut files = BundleFiles::new();
    for (prefix, dir) in [("", dir.to_owned()), ("tests/", dir.join("tests"))] {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.insert(format!("{prefix}{}", entry.file_name().to_string_lossy()), std::fs::read(entry.path())?);
            }
        }
    }
    let manifest = write_manifest(&files, 1, None);
    files.insert(MANIFEST.to_owned(), manifest);
    Ok(Bundle::parse(&files)?)
}
