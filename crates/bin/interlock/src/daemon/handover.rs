//! One daemon after another on one data directory, without a moment in which nobody can connect.
//!
//! The new one is started with the old one's listening socket as its standard input. It reads its configuration, tells
//! the old one over the administration socket to stop, and waits until the data directory is free; connections that
//! come meanwhile wait in the system's queue, and calls under way are answered by the old one. A new one that cannot
//! start leaves the old one as it is.
//!
//! Not by sharing the port: whoever runs as the same user could then share it, too, and be sent agents' keys.

use super::{DaemonError, socket_path};
use interlock_bin::config::Config;
use interlock_gateway::AdminClient;
use interlock_store::{OpenError, Recovery, Store, StoreOptions};
use serde_json::json;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the one before may take to finish what is under way and to close its ledger.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hidden flag of `run` by which the new one knows where its socket is.
const FLAG: &str = "--inherit";

/// Starts the next daemon with what this one was started with, on this socket; its process id.
#[cfg(unix)]
pub(super) fn start_next(listener: &TcpListener, data_dir: &Path) -> io::Result<u32> {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // A daemon that took over itself has it already.
    if !args.iter().any(|arg| arg == FLAG) {
        args.extend([FLAG.into(), data_dir.into()]);
    }
    let socket = std::os::fd::OwnedFd::from(listener.try_clone()?);
    let mut next = Command::new(program()?);
    let child = next.args(args).stdin(Stdio::from(socket)).spawn()?;
    let id = child.id();
    // Reaped by whoever inherits it: this process ends before it.
    drop(child);
    Ok(id)
}

/// Other systems have no such way to pass a socket on.
#[cfg(not(unix))]
pub(super) fn start_next(_: &TcpListener, _: &Path) -> io::Result<u32> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "a listening socket cannot be passed on here; stop and start instead",
    ))
}

/// The program as it is on disk now, which an upgrade may have replaced.
fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // Linux says so of a file that was replaced (proc_pid_exe(5)).
    let replaced = path.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(replaced.unwrap_or(path))
}

/// The socket that the daemon of `before` passed on. It can only be followed on its own data directory and address: two
/// daemons with a ledger each would otherwise answer on one port.
///
/// # Errors
///
/// [`DaemonError::Handover`] where the configuration says something else now; the one before then serves on.
pub(super) fn inherited(config: &Config, before: &Path) -> Result<TcpListener, DaemonError> {
    let configured = config.listen.mcp;
    let unheard = |source| DaemonError::Listen { address: configured, source };
    if config.data_dir != before {
        return Err(DaemonError::Handover("`data.dir`"));
    }
    let listener = from_stdin().map_err(unheard)?;
    // Anything else on standard input is no socket, and has no address.
    let address = listener.local_addr().map_err(unheard)?;
    if configured.port() != 0 && address != configured {
        return Err(DaemonError::Handover("`listen.mcp`"));
    }
    Ok(listener)
}

#[cfg(unix)]
fn from_stdin() -> io::Result<TcpListener> {
    use std::os::fd::AsFd as _;
    Ok(TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Other systems have no such way to pass a socket on.
#[cfg(not(unix))]
fn from_stdin() -> io::Result<TcpListener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a listening socket cannot be passed on here"))
}

/// Tells the one before to stop, and opens the data directory once it is free.
pub(super) async fn succeed(config: &Config) -> Result<(Store, Recovery), DaemonError> {
    if let Ok(mut before) = AdminClient::connect(&socket_path(&config.data_dir)).await {
        // If it stops in another way, that is as good.
        drop(before.call("stop", json!({}), None).await);
    }
    let until = Instant::now() + PATIENCE;
    loop {
        match Store::open(StoreOptions::new(config.data_dir.clone(), super::now())) {
            Err(OpenError::Held { .. }) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(5)).await,
            opened => return Ok(opened?),
        }
    }
}
