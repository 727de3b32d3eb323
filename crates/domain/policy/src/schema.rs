//! The Cedar schema of namespace `Interlock`, generated from the approved tools.
//!
//! Every approved tool gets an action of its own, `Interlock::Action::"server/tool"`, in the group `call`;
//! its `context.args` is typed from the tool's input schema. The group itself has a context without
//! `args`, so that a policy over arguments has to name the typed actions it is for. Otherwise it would
//! validate with one approved tool and stop validating with the second.
//!
//! Only what this build fills is in the schema. `context` has no `flows` and no `budget`: nothing computes
//! them yet, and an empty set would read as "no flow". `findings` stands beside `inspected`, which is false
//! as long as nothing looked; `session` has no `trust`. `list` has an empty context, since what an agent
//! may see cannot depend on one call. Agents are in no team, so policies that name one get a warning.
//!
//! Why not `cedar-policy-mcp-schema-generator` 0.7: it requires exactly cedar-policy-core 4.14.0 and so
//! cannot be built beside cedar-policy 4.14.1; arguments stand in `context.input` and the name is fixed;
//! an action is named for the tool alone, so two servers' tools of one name collide; values that Cedar
//! cannot hold (null, unions, numbers) become entities of made-up types with fresh ids, which compare
//! unequal and so slip past a `forbid`, instead of being named as opaque; decimals with more than four
//! places are rounded; and it brings chrono, uuid, ipnet, iso8601 and a second JSON reader.

use crate::arguments::DEPTH;
use crate::entity;
use interlock_catalog::{ApprovedTool, Shape};
use std::fmt::Write as _;
use std::sync::Arc;

/// What does not depend on the tools.
const FIXED: &str = r#"// Generated from the approved tools; edits are overwritten.
namespace Interlock {
  entity Owner, Role, Team, Server, Release, Plan;

  entity Agent in [Owner, Role, Team] = {
    id: String,
    owner: String,
    // Whether it proved who it is; an unbound caller is whoever could reach the port.
    bound: Bool,
  };

  // What a human confirmed at approval; of a tool that nobody confirmed, the worst.
  entity Tool in [Server] = {
    name: String,
    server: String,
    exposed: String,
    // Of: read, write, destructive, external, execute, sign.
    effects: Set<String>,
    readOnly: Bool,
    // local, internal, internet, or a host.
    destination: String,
    // Whether data can leave the operator's own systems.
    outside: Bool,
    // public, internal, confidential or restricted.
    sensitivity: String,
    confirmed: Bool,
  };

  // Known by its address alone: what stands behind it, only its server knows.
  entity Resource in [Server] = {
    uri: String,
    scheme: String,
    server: String,
  };

  entity Prompt in [Server] = {
    name: String,
    server: String,
  };

  type Session = {
    labels: Set<String>,
    // Calls of this session before this one, since the gateway started.
    calls: Long,
  };

  type Facts = {
    // A string among the arguments looks like the path of a secret (.env, keys, credentials).
    secret_path: Bool,
    // A server's question to a person asks for a password, a key, a card number or the like.
    asks_secret: Bool,
  };

  // An approval that this very call has; tier 0 if it has none.
  type Approval = {
    given: Bool,
    tier: Long,
  };

  type Credential = {
    // key or none.
    kind: String,
  };

  // In UTC; weekday 1 is Monday.
  type Time = {
    now: datetime,
    hour: Long,
    weekday: Long,
  };

  type Environment = {
    name: String,
    // enforcing, advisory or silent.
    mode: String,
  };

  action "list" appliesTo { principal: Agent, resource: [Tool, Resource, Prompt], context: {} };
  action "return" appliesTo { principal: Agent, resource: Tool, context: {} };
  action "sign", "publish", "promote" appliesTo { principal: Agent, resource: Release, context: {} };
  action "apply" appliesTo { principal: Agent, resource: Plan, context: {} };
"#;

/// The context of every call beside `args`.
const CONTEXT: &str = "\
    // Paths (RFC 6901) of arguments that Cedar cannot hold; reading one denies.
    args_opaque: Set<String>,
    session: Session,
    // Whether anything looked for findings; if not, their absence says nothing.
    inspected: Bool,
    findings: Set<String>,
    facts: Facts,
    approval: Approval,
    credential: Credential,
    time: Time,
    environment: Environment,
";

/// The schema's text for these tools, in the order given.
#[must_use]
pub fn generate(tools: &[Arc<ApprovedTool>]) -> String {
    let mut out = String::from(FIXED);
    // Writing to a string does not fail.
    let _ = write!(out, "\n  action \"{}\" appliesTo {{ principal: Agent, resource: Tool, context: {{\n", entity::CALL);
    out.push_str(CONTEXT);
    out.push_str("  } };\n");
    for (actions, resource) in [
        ("\"read\"", "Resource"),
        ("\"prompt\"", "Prompt"),
        ("\"complete\"", "[Prompt, Resource]"),
        // What servers ask, and how much they are told to log.
        ("\"sample\", \"elicit\", \"roots\", \"log\"", "Server"),
    ] {
        let _ = write!(out, "\n  action {actions} appliesTo {{ principal: Agent, resource: {resource}, context: {{\n");
        out.push_str(CONTEXT);
        out.push_str("  } };\n");
    }
    for tool in tools {
        let _ = write!(
            out,
            "\n  action {} in [\"{}\"] appliesTo {{ principal: Agent, resource: Tool, context: {{\n    args: ",
            quoted(&entity::tool_id(tool)),
            entity::CALL
        );
        let empty = Shape::Object { members: Vec::new(), open: true };
        let shape = tool.input.shape();
        let shape = if matches!(shape, Shape::Object { .. }) { shape } else { &empty };
        out.push_str(&type_of(shape, DEPTH).unwrap_or_else(|| "{}".to_owned()));
        out.push_str(",\n");
        out.push_str(CONTEXT);
        out.push_str("  } };\n");
    }
    out.push_str("}\n");
    out
}

/// The Cedar type of a shape; `None` for what Cedar cannot hold.
fn type_of(shape: &Shape, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    Some(match shape {
        Shape::String => "String".to_owned(),
        Shape::Integer => "Long".to_owned(),
        Shape::Number => "decimal".to_owned(),
        Shape::Bool => "Bool".to_owned(),
        Shape::Array(element) => format!("Set<{}>", type_of(element, depth)?),
        Shape::Object { members, .. } => {
            let members = members.iter().filter_map(|(name, shape, required)| {
                let mark = if *required { "" } else { "?" };
                Some(format!("{}{mark}: {}", quoted(name), type_of(shape, depth)?))
            });
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Shape::Null | Shape::Opaque => return None,
    })
}

/// A Cedar string literal.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            other => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(other));
            }
        }
    }
    out.push('"');
    out
}
