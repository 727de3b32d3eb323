//! The commands behind the administration socket. What changes who may do what needs the operator's
//! signature over the command; approvals carry their own, which goes into the ledger.

use super::Gateway;
use interlock_approval::{Settlement, Verdict};
use interlock_engine::ports::{Append, AppendError, Clock, Effect, Ledger};
use interlock_gateway::{AdminError, AdminErrorKind, AdminService, Peer};
use interlock_identity::{Agent, AgentState, Registry, key_id};
use interlock_ledger::entry::{AgentAction, AgentEvent, ApprovalAction, ApprovalEvent, Entry, Event};
use interlock_model::{AgentId, Digest, OwnerId};
use interlock_signature::{PublicKey, Signature};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Every command, and whether it needs the operator's signature.
const COMMANDS: [(&str, bool); 13] = [
    ("status", false),
    ("stop", false),
    ("restart", false),
    ("reload", false),
    ("agents.list", false),
    ("agents.add", true),
    ("agents.suspend", true),
    ("agents.resume", true),
    ("agents.retire", true),
    ("approvals.list", false),
    // The settlement inside is what the operator signs, and what the ledger keeps.
    ("approvals.settle", false),
    ("sessions.reset", true),
    ("servers.relist", false),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddAgent {
    id: AgentId,
    owner: OwnerId,
    key: Digest,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneAgent {
    id: AgentId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    settlement: Settlement,
    signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListApprovals {
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetSession {
    agent: AgentId,
    owner: OwnerId,
}

impl AdminService for Gateway {
    fn needs_operator(&self, command: &str) -> Option<bool> {
        COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, needs)| *needs)
    }

    fn operator(&self) -> PublicKey {
        self.operator
    }

    async fn run(&self, _: Peer, command: &str, params: Value, authorised: bool) -> Result<Value, AdminError> {
        // The socket checks this; it is checked again because forgetting it there would cost everything.
        if self.needs_operator(command) != Some(false) && !authorised {
            return Err(AdminError::new(AdminErrorKind::Unauthorised, "this needs the operator's signature"));
        }
        match command {
            "status" => Ok(self.status()),
            "stop" => {
                self.stop.send_replace(true);
                Ok(json!({}))
            }
            "restart" => {
                let next = super::handover::start_next(&self.listener, &self.config.data_dir).map_err(|e| {
                    AdminError::new(AdminErrorKind::Failed, format!("the next daemon could not be started: {e}"))
                })?;
                self.log(&format!("process {next} takes over"));
                Ok(json!({ "pid": next }))
            }
            "reload" => Ok(json!({ "refused": self.reload().await })),
            "servers.relist" => {
                for status in self.engine().upstream().status() {
                    let _known = self.engine().upstream().relist(&status.server);
                }
                Ok(json!({}))
            }
            "agents.list" => {
                Ok(json!(self.engine().world().registry.all().iter().map(|a| agent_json(a)).collect::<Vec<_>>()))
            }
            "agents.add" => self.add_agent(read(params)?).await,
            "agents.suspend" => self.change_agent(read(params)?, AgentState::Suspended, AgentAction::Suspended).await,
            "agents.resume" => self.change_agent(read(params)?, AgentState::Active, AgentAction::Resumed).await,
            "agents.retire" => self.change_agent(read(params)?, AgentState::Retired, AgentAction::Retired).await,
            "approvals.list" => self.list_approvals(&read(params)?),
            "approvals.settle" => self.settle(read(params)?).await,
            "sessions.reset" => {
                let ResetSession { agent, owner } = read(params)?;
                let now = self.engine().clock().now();
                let reset =
                    self.store.reset_session(&agent, &owner, &self.operator.id(), now).await.map_err(not_taken)?;
                Ok(json!({ "reset": reset }))
            }
            other => Err(AdminError::new(AdminErrorKind::UnknownCommand, format!("there is no command `{other}`"))),
        }
    }
}

impl Gateway {
    async fn add_agent(&self, add: AddAgent) -> Result<Value, AdminError> {
        if self.engine().world().registry.get(&add.id).is_some() {
            return Err(AdminError::new(AdminErrorKind::Refused, format!("there is an agent `{}` already", add.id)));
        }
        let agent = Agent {
            id: add.id,
            owner: add.owner,
            key: add.key,
            state: AgentState::Active,
            purpose: add.purpose,
            roles: add.roles,
            added: self.engine().clock().now(),
        };
        self.put_agent(agent, AgentAction::Added).await
    }

    async fn change_agent(&self, one: OneAgent, state: AgentState, action: AgentAction) -> Result<Value, AdminError> {
        let registry = self.engine().world().registry.clone();
        let Some(agent) = registry.get(&one.id) else {
            return Err(AdminError::new(AdminErrorKind::NotFound, format!("there is no agent `{}`", one.id)));
        };
        if agent.state == AgentState::Retired {
            return Err(AdminError::new(
                AdminErrorKind::Refused,
                format!("agent `{}` is retired, which is for good", one.id),
            ));
        }
        self.put_agent(Agent { state, ..Agent::clone(agent) }, action).await
    }

    /// The store first: after a crash between the two, the next start reads the store.
    async fn put_agent(&self, agent: Agent, action: AgentAction) -> Result<Value, AdminError> {
        let event = AgentEvent {
            action,
            agent: agent.id.clone(),
            by: self.operator.id(),
            key: Some(key_id(&agent.key)),
            owner: agent.owner.clone(),
        };
        let entry = Entry::new(self.engine().clock().now(), Event::Agent(event));
        self.store.put_agent(&agent, &entry).await.map_err(not_taken)?;
        let shown = agent_json(&agent);
        self.engine().change_world(|world| {
            let others = world.registry.all().into_iter().filter(|a| a.id != agent.id).map(|a| Agent::clone(&a));
            let registry = Arc::new(Registry::new(others.chain([agent.clone()])));
            interlock_engine::World { registry, ..world.clone() }
        });
        Ok(shown)
    }

    fn list_approvals(&self, list: &ListApprovals) -> Result<Value, AdminError> {
        let approvals: Vec<Value> = if list.all {
            let all =
                self.store.list_approvals(1000).map_err(|e| AdminError::new(AdminErrorKind::Failed, e.to_string()))?;
            all.iter().map(|a| json!(a)).collect()
        } else {
            let now = self.engine().clock().now();
            self.store.open_approvals().iter().filter(|a| a.is_open(now)).map(|a| json!(**a)).collect()
        };
        Ok(json!({ "approvals": approvals }))
    }

    async fn settle(&self, answer: Settle) -> Result<Value, AdminError> {
        let refused = |why: String| AdminError::new(AdminErrorKind::Refused, why);
        let now = self.engine().clock().now();
        let id = answer.settlement.approval;
        let found = self.store.approval(id).await.map_err(not_taken)?;
        let approval = found.ok_or_else(|| refused(format!("there is no approval `{id}`")))?;
        let action = match answer.settlement.verdict {
            Verdict::Approve => ApprovalAction::Approved,
            Verdict::Deny => ApprovalAction::Denied,
        };
        let settled = interlock_approval::Approval::clone(&approval)
            .settle(answer.settlement, answer.signature, &self.operator, now)
            .map_err(|e| refused(e.to_string()))?;
        let event = ApprovalEvent {
            action,
            approval: id,
            by: self.operator.id(),
            call_digest: settled.statement.seen.call_digest,
            signature: Some(answer.signature.to_string()),
            statement: settled.statement.digest(),
            tier: settled.statement.seen.tier,
        };
        let entry = Entry::new(now, Event::Approval(event));
        let append = Append::entry(&entry).map_err(not_taken)?;
        let effect = Effect::Replace { from: approval.state.as_str(), to: Box::new(settled.clone()) };
        self.store.append(Append { effect, ..append }).await.map_err(not_taken)?;
        Ok(json!(settled))
    }
}

fn agent_json(agent: &Agent) -> Value {
    json!({
        "id": agent.id,
        "owner": agent.owner,
        "state": agent.state,
        "purpose": agent.purpose,
        "roles": agent.roles,
        "added": agent.added,
        "key": key_id(&agent.key),
    })
}

fn read<T: serde::de::DeserializeOwned>(params: Value) -> Result<T, AdminError> {
    serde_json::from_value(params).map_err(|e| AdminError::new(AdminErrorKind::Invalid, e.to_string()))
}

fn not_taken(why: AppendError) -> AdminError {
    AdminError::new(AdminErrorKind::Failed, why.to_string())
}
