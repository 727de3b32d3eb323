//! `interlock run`, `status`, `stop` and `restart`.

use super::{Context, Done, Failed};
use crate::cli::RunArgs;
use crate::daemon;
use interlock_bin::term::{Tone, clean};
use interlock_gateway::{AdminClient, AdminClientError};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) async fn run(context: &Context, args: &RunArgs) -> Result<Done, Failed> {
    let config = context.config()?;
    daemon::run(config, args.background, args.inherit.as_deref()).await.map(|()| Done::Yes).map_err(|e| match e {
        daemon::DaemonError::Store(_) | daemon::DaemonError::Ledger(_) | daemon::DaemonError::Close(_) => {
            Failed::unanswered(e)
        }
        e => Failed::usage(e),
    })
}

pub(super) async fn status(context: &Context) -> Result<Done, Failed> {
    let config = context.config()?;
    let mut client = match AdminClient::connect(&daemon::socket_path(&config.data_dir)).await {
        Err(AdminClientError::NoDaemon(_)) => {
            context.print(&json!({ "running": false }), || "not running; `interlock run` starts it".to_owned());
            return Ok(Done::No);
        }
        other => other?,
    };
    let status = client.call("status", json!({}), None).await?;
    context.print(&status, || render(context, &status));
    Ok(Done::Yes)
}

pub(super) async fn stop(context: &Context) -> Result<Done, Failed> {
    let config = context.config()?;
    let socket = daemon::socket_path(&config.data_dir);
    let mut client = match AdminClient::connect(&socket).await {
        Err(AdminClientError::NoDaemon(_)) => {
            context.print(&json!({ "running": false }), || "not running".to_owned());
            return Ok(Done::Yes);
        }
        other => other?,
    };
    client.call("stop", json!({}), None).await?;
    let _progress = context.err.progress("waiting for calls to finish");
    for _ in 0..600 {
        // The socket goes first; the ledger's last entry and checkpoint follow.
        if !interlock_store::is_owned(&config.data_dir) {
            context.print(&json!({ "running": false }), || "stopped".to_owned());
            return Ok(Done::Yes);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failed::unanswered("the daemon is still stopping after 30 s"))
}

pub(super) async fn restart(context: &Context) -> Result<Done, Failed> {
    let config = context.config()?;
    let socket = daemon::socket_path(&config.data_dir);
    let mut client = match AdminClient::connect(&socket).await {
        Err(AdminClientError::NoDaemon(_)) => {
            return Err(Failed::usage("not running; `interlock run` starts it"));
        }
        other => other?,
    };
    let next = client.call("restart", json!({}), None).await?;
    drop(client);
    let _progress = context.err.progress("waiting for the new daemon to take over");
    for _ in 0..1400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(mut client) = AdminClient::connect(&socket).await else { continue };
        let status = client.call("status", json!({}), None).await;
        if status.is_ok_and(|status| status.get("pid") == next.get("pid")) {
            context.print(&json!({ "running": true, "pid": next.get("pid") }), || "a new daemon serves".to_owned());
            return Ok(Done::Yes);
        }
    }
    Err(Failed::unanswered(
        "the new daemon did not take over within 70 s; `interlock status` says whether the old one still serves, and the log why",
    ))
}

fn render(context: &Context, status: &Value) -> String {
    let term = &context.out;
    let text = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(s)) => clean(s).into_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut out = format!(
        "{}  {}\nmode      {}\ncatalog   serial {}, {} tools\npolicy    version {}{}\nagents    {}\nwaiting   {} approvals\n",
        term.paint(Tone::Good, "serving"),
        text("/mcp"),
        text("/mode"),
        text("/catalog/serial"),
        text("/catalog/tools"),
        text("/policy/version"),
        if status.pointer("/policy/in_force") == Some(&Value::Bool(true)) {
            ""
        } else {
            " (none in force: everything is denied)"
        },
        text("/agents"),
        text("/open_approvals"),
    );
    let list = |name: &str| status.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let of =
        |value: &Value, member: &str| clean(value.get(member).and_then(Value::as_str).unwrap_or_default()).into_owned();
    let servers = list("servers");
    if !servers.is_empty() {
        let mut table = term.table(&["server", "condition", "what"]);
        for server in &servers {
            let condition = of(server, "condition");
            let tone = if condition == "up" { Tone::Good } else { Tone::Warn };
            table.add_row([of(server, "server"), term.paint(tone, &condition), of(server, "detail")]);
        }
        out.push_str(&format!("{table}\n"));
    }
    for quarantined in list("quarantined") {
        let line = format!("set aside: {}: {}\n", of(&quarantined, "tool"), of(&quarantined, "reason"));
        out.push_str(&term.paint(Tone::Bad, &line));
    }
    for refused in list("refused") {
        out.push_str(
            &term.paint(Tone::Warn, &format!("not in force: {}\n", clean(refused.as_str().unwrap_or_default()))),
        );
    }
    out
}
