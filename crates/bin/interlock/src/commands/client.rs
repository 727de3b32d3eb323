//! Talking to the daemon, starting it where there is none.

use super::{Context, Failed};
use crate::daemon::socket_path;
use interlock_bin::config::Config;
use interlock_gateway::{AdminClient, AdminClientError};
use interlock_signature::Signer;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to answer for the first time: servers' identities are computed before.
const START: Duration = Duration::from_secs(30);

/// A connection to the daemon of this configuration, which is started if there is none.
pub(super) async fn connect(context: &Context, config: &Config) -> Result<AdminClient, Failed> {
    match AdminClient::connect(&socket_path(&config.data_dir)).await {
        Err(AdminClientError::NoDaemon(_)) => start_daemon(context, config).await,
        other => Ok(other?),
    }
}

/// Asks the daemon for something that needs no signature.
pub(super) async fn ask(context: &Context, config: &Config, command: &str, params: Value) -> Result<Value, Failed> {
    Ok(connect(context, config).await?.call(command, params, None).await?)
}

/// Has the daemon do something that needs the operator.
pub(super) async fn order(
    context: &Context,
    config: &Config,
    operator: &dyn Signer,
    command: &str,
    params: Value,
) -> Result<Value, Failed> {
    Ok(connect(context, config).await?.call(command, params, Some(operator)).await?)
}

/// Starts the daemon in the background and waits until it answers. Several commands may do so at once, and
/// another daemon may be about to stop: whoever owns the data directory is waited for.
async fn start_daemon(context: &Context, config: &Config) -> Result<AdminClient, Failed> {
    let _progress = context.err.progress("starting the daemon");
    let begun = Instant::now();
    let mut child = None;
    loop {
        match AdminClient::connect(&socket_path(&config.data_dir)).await {
            Ok(client) => return Ok(client),
            Err(AdminClientError::NoDaemon(_)) => {}
            Err(e) => return Err(e.into()),
        }
        child = match child {
            None if interlock_store::is_owned(&config.data_dir) => None,
            None => Some(spawn_daemon(config)?),
            Some(running) => still_starting(config, running)?,
        };
        if begun.elapsed() > START {
            return Err(Failed::unanswered(format!(
                "the daemon has not answered for {} s; its log is `{}`",
                START.as_secs(),
                config.data_dir.join("interlock.log").display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn spawn_daemon(config: &Config) -> Result<Child, Failed> {
    let program = std::env::current_exe().map_err(Failed::unanswered)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config.file).args(["run", "--background"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A process group of its own: what ends the command that started it does not end the daemon.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|e| Failed::unanswered(format!("cannot start the daemon: {e}")))
}

/// The daemon that was started, or none where another one was first.
fn still_starting(config: &Config, mut child: Child) -> Result<Option<Child>, Failed> {
    let Some(status) = child.try_wait().map_err(Failed::unanswered)? else { return Ok(Some(child)) };
    if interlock_store::is_owned(&config.data_dir) {
        return Ok(None);
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
    }
    Err(Failed::unanswered(format!("the daemon did not start ({status}): {}", said.trim())))
}
