//! `interlock approvals`: what waits for a human, and their signed answer.

use super::{Context, Done, Failed, client, put};
use crate::cli::ApprovalsCommand;
use crate::daemon::now;
use interlock_approval::{Approval, Settlement, State, Verdict};
use interlock_bin::config::Config;
use interlock_bin::term::{Tone, clean};
use interlock_ledger::entry::EventKind;
use interlock_signature::{Purpose, Signer};
use interlock_store::{Filter, Reader, Revealed};
use serde_json::{Value, json};

pub(super) async fn run(context: &Context, command: ApprovalsCommand) -> Result<Done, Failed> {
    let config = context.config()?;
    match command {
        ApprovalsCommand::List { all } => {
            let approvals = list(context, &config, all).await?;
            context.print(&approvals, || table(context, &approvals));
            Ok(Done::Yes)
        }
        ApprovalsCommand::Show { id } => {
            let approval = find(context, &config, &id).await?;
            let arguments = arguments(&config, &approval)?;
            let shown = json!({ "approval": approval, "arguments": arguments });
            context.print(&shown, || render(context, &approval, arguments.as_deref()));
            Ok(Done::Yes)
        }
        ApprovalsCommand::Approve { id, reason } => settle(context, &config, &id, reason, Verdict::Approve).await,
        ApprovalsCommand::Deny { id, reason } => settle(context, &config, &id, reason, Verdict::Deny).await,
    }
}

async fn settle(
    context: &Context,
    config: &Config,
    id: &str,
    reason: String,
    verdict: Verdict,
) -> Result<Done, Failed> {
    let approval = find(context, config, id).await?;
    if approval.state != State::Pending {
        return Err(Failed::usage(format!(
            "approval {} is {} already",
            approval.statement.id,
            approval.state.as_str()
        )));
    }
    if !context.json {
        // Whoever signs sees what they sign, whatever they saw before.
        let arguments = arguments(config, &approval)?;
        put(&format!("{}\n", render(context, &approval, arguments.as_deref()))).map_err(Failed::unanswered)?;
    }
    let operator = context.operator(config)?;
    let settlement = Settlement {
        approval: approval.statement.id,
        at: now(),
        reason,
        statement: approval.statement.digest(),
        verdict,
    };
    let signature = operator.sign(Purpose::ApprovalSettlement, &settlement.to_bytes());
    let params = json!({ "settlement": settlement, "signature": signature });
    let settled = client::ask(context, config, "approvals.settle", params).await?;
    context.print(&settled, || match verdict {
        Verdict::Approve => format!(
            "{}: the agent may send exactly this call once, until {}",
            context.out.paint(Tone::Good, "approved"),
            approval.statement.expires_at.to_rfc3339()
        ),
        Verdict::Deny => format!("{}: the agent is told so when it asks again", context.out.paint(Tone::Bad, "denied")),
    });
    Ok(Done::Yes)
}

async fn list(context: &Context, config: &Config, all: bool) -> Result<Vec<Approval>, Failed> {
    let answer = client::ask(context, config, "approvals.list", json!({ "all": all })).await?;
    let approvals = answer.get("approvals").cloned().unwrap_or(Value::Null);
    serde_json::from_value(approvals)
        .map_err(|e| Failed::unanswered(format!("the daemon's answer is not understood: {e}")))
}

async fn find(context: &Context, config: &Config, id: &str) -> Result<Approval, Failed> {
    let wanted = id.strip_prefix("approval-").unwrap_or(id);
    let mut found: Vec<Approval> = list(context, config, true)
        .await?
        .into_iter()
        .filter(|a| {
            let id = a.statement.id.to_string();
            id.strip_prefix("approval-").is_some_and(|id| id.starts_with(wanted))
        })
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(approval), true) => Ok(approval),
        (None, _) => Err(Failed::usage(format!("there is no approval `{id}`; `interlock approvals list` shows them"))),
        (Some(_), false) => Err(Failed::usage(format!("several approvals begin with `{id}`; type more of it"))),
    }
}

/// What the agent wants to pass, from the vault: the call that was refused for want of this approval has it.
fn arguments(config: &Config, approval: &Approval) -> Result<Option<String>, Failed> {
    let reader = Reader::open(&config.data_dir).map_err(Failed::unanswered)?;
    let filter =
        Filter { kind: Some(EventKind::Denial), text: Some(approval.statement.id.to_string()), ..Filter::default() };
    let found = reader.search(&filter, 1)?;
    let Some(call) = found.first().and_then(|stored| stored.entry.call()) else { return Ok(None) };
    match reader.show(&call.to_string())?.received {
        Revealed::Payload(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Revealed::None => Ok(None),
        Revealed::Missing | Revealed::Damaged => Err(Failed::unanswered(
            "the arguments are not in the vault as they were recorded; `interlock ledger verify` says more",
        )),
    }
}

fn render(context: &Context, approval: &Approval, arguments: Option<&str>) -> String {
    let term = &context.out;
    let statement = &approval.statement;
    let seen = &statement.seen;
    let mut out = format!("{} ({})\n", term.paint(Tone::Strong, &statement.id.to_string()), approval.state.as_str());
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<12}{value}\n"));
    line("what", &term.paint(Tone::Name, &clean(&seen.what())));
    line("effects", &seen.effects.to_string());
    line("agent", &format!("{} of {}", seen.agent, seen.owner));
    line("why asked", &clean(&statement.reason));
    line("policies", &clean(&seen.policies.join(", ")));
    line("tier", &seen.tier.get().to_string());
    line("inspected", if seen.findings.is_some() { "yes" } else { "no: nothing inspected the arguments" });
    line("asked", &statement.requested_at.to_rfc3339());
    line("until", &statement.expires_at.to_rfc3339());
    line("statement", &statement.digest().to_string());
    out.push_str("  arguments\n");
    let shown = arguments.map_or_else(|| "(none)".to_owned(), pretty);
    for text in shown.lines() {
        out.push_str(&format!("    {}\n", clean(text)));
    }
    out
}

/// JSON on several lines, every number and string as it was sent.
fn pretty(text: &str) -> String {
    interlock_model::json::Json::parse(text.as_bytes(), interlock_model::json::Limits::REQUEST)
        .map_or_else(|_| text.to_owned(), |json| super::ledger::indented(json.root()))
}

fn table(context: &Context, approvals: &[Approval]) -> String {
    if approvals.is_empty() {
        return "nothing waits for a human".to_owned();
    }
    let mut table = context.out.table(&["approval", "state", "what", "agent", "why", "until"]);
    for approval in approvals {
        let statement = &approval.statement;
        let id = statement.id.to_string();
        table.add_row([
            id.get(..21).unwrap_or(&id).to_owned(),
            approval.state.as_str().to_owned(),
            clean(&statement.seen.what()).into_owned(),
            statement.seen.agent.to_string(),
            clean(&statement.reason).into_owned(),
            statement.expires_at.to_rfc3339(),
        ]);
    }
    table.to_string()
}
