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
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the one before may take to finish what is under way and to close its ledger.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hidden flag of `run` by which the new one knows where its socket is.
const FLAG: &str = "--inherit";

/// Starts the next daemon with what this one was started with, on this socket; its process id.
#[cfg(unix)]
pub(super) fn start_next(listener: &TcpListener) -> io::Result<u32> {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if !args.iter().any(|arg| arg == FLAG) {
        args.push(FLAG.into());
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
pub(super) fn start_next(_: &TcpListener) -> io::Result<u32> {
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

/// The socket that the one before passed on.
#[cfg(unix)]
pub(super) fn inherited() -> io::Result<TcpListener> {
    use std::os::fd::AsFd as _;
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Anything else on standard input is no socket, or none that listens.
    listener.local_addr()?;
    Ok(listener)
}

/// Other systems have no such way to pass a socket on.
#[cfg(not(unix))]
pub(super) fn inherited() -> io::Result<TcpListener> {
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
