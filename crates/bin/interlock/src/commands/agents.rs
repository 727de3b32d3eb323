//! `interlock agents`: who may call. The key is made here; the daemon only ever sees its digest.

use super::{Context, Done, Failed, client};
use crate::cli::AgentsCommand;
use interlock_bin::config::Config;
use interlock_bin::init::{Entry, Host};
use interlock_bin::term::{Tone, clean};
use interlock_identity::BearerKey;
use interlock_model::{AgentId, OwnerId, UnixMillis};
use interlock_signature::Signer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub(super) async fn run(context: &Context, command: AgentsCommand) -> Result<Done, Failed> {
    let config = context.config()?;
    match command {
        AgentsCommand::Add { agent, owner, purpose, roles } => {
            let agent: AgentId = agent.parse().map_err(Failed::usage)?;
            let owner: OwnerId = owner.parse().map_err(Failed::usage)?;
            let operator = context.operator(&config)?;
            let new = NewAgent { id: &agent, owner: &owner, purpose: &purpose, roles: &roles };
            let (added, key) = register(context, &config, &operator, &new).await?;
            let shown = json!({ "agent": added, "key": key.danger_reveal() });
            context.print(&shown, || {
                format!(
                    "agent {agent} of {owner} may call now. Its key, shown this once:\n\n  {}\n\n\
                     A host that starts its servers gets this among `mcpServers` (VS Code: `servers`), and nothing beside it:\n\n{}\n\n\
                     One that speaks HTTP goes to {} and sends `Authorization: Bearer <key>`.",
                    context.out.paint(Tone::Strong, key.danger_reveal()),
                    host_entry(&config, &key),
                    config.listen.url(),
                )
            });
            Ok(Done::Yes)
        }
        AgentsCommand::List => {
            let agents = client::ask(context, &config, "agents.list", json!({})).await?;
            context.print(&agents, || table(context, agents.as_array().map_or(&[][..], Vec::as_slice)));
            Ok(Done::Yes)
        }
        AgentsCommand::Show { agent } => {
            let agents = client::ask(context, &config, "agents.list", json!({})).await?;
            let found = agents.as_array().and_then(|all| all.iter().find(|a| text(a, "id") == agent).cloned());
            let Some(found) = found else { return Err(Failed::usage(format!("there is no agent `{agent}`"))) };
            context.print(&found, || table(context, std::slice::from_ref(&found)));
            Ok(Done::Yes)
        }
        AgentsCommand::Suspend { agent } => change(context, "agents.suspend", &agent).await,
        AgentsCommand::Resume { agent } => change(context, "agents.resume", &agent).await,
        AgentsCommand::Retire { agent } => change(context, "agents.retire", &agent).await,
    }
}

/// What a host's configuration holds for this gateway, ready to be copied.
fn host_entry(config: &Config, key: &BearerKey) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "interlock".into());
    let entry = Entry { program: &program, config: &config.file, agent_key: Some(key.danger_reveal()) };
    let entry = serde_json::to_string_pretty(&json!({ "interlock": entry.to_json(Host::File) })).unwrap_or_default();
    // Without the braces: it goes among other members.
    entry.strip_prefix("{\n").and_then(|e| e.strip_suffix("\n}")).unwrap_or(&entry).to_owned()
}

/// An agent to be.
pub(super) struct NewAgent<'a> {
    pub(super) id: &'a AgentId,
    pub(super) owner: &'a OwnerId,
    pub(super) purpose: &'a str,
    pub(super) roles: &'a [String],
}

/// Makes a key and has the daemon register the agent with its digest. The key exists nowhere else.
pub(super) async fn register(
    context: &Context,
    config: &Config,
    operator: &dyn Signer,
    new: &NewAgent<'_>,
) -> Result<(Value, BearerKey), Failed> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(|e| Failed::unanswered(format!("no randomness: {e}")))?;
    let key = BearerKey::new(&secret);
    let params =
        json!({ "id": new.id, "owner": new.owner, "key": key.digest(), "purpose": new.purpose, "roles": new.roles });
    let added = client::order(context, config, operator, "agents.add", params).await?;
    Ok((added, key))
}

async fn change(context: &Context, command: &str, agent: &str) -> Result<Done, Failed> {
    let config = context.config()?;
    let agent: AgentId = agent.parse().map_err(Failed::usage)?;
    let operator = context.operator(&config)?;
    let changed = client::order(context, &config, &operator, command, json!({ "id": agent })).await?;
    context.print(&changed, || format!("agent {agent} is {}", text(&changed, "state")));
    Ok(Done::Yes)
}

fn table(context: &Context, agents: &[Value]) -> String {
    if agents.is_empty() {
        return "no agents yet; `interlock agents add NAME --owner WHO` makes one".to_owned();
    }
    let mut table = context.out.table(&["agent", "owner", "state", "roles", "purpose", "key", "added"]);
    for agent in agents {
        let roles: Vec<&str> =
            agent.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let tone = if text(agent, "state") == "active" { Tone::Good } else { Tone::Warn };
        table.add_row([
            text(agent, "id"),
            text(agent, "owner"),
            context.out.paint(tone, &text(agent, "state")),
            clean(&roles.join(", ")).into_owned(),
            text(agent, "purpose"),
            text(agent, "key"),
            UnixMillis(agent.get("added").and_then(Value::as_u64).unwrap_or(0)).to_rfc3339(),
        ]);
    }
    table.to_string()
}

fn text(value: &Value, member: &str) -> String {
    clean(value.get(member).and_then(Value::as_str).unwrap_or_default()).into_owned()
}
