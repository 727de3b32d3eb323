//! The daemon's side of the administration socket.

use super::wire::{self, Command, Hello, LINE, McpStdio, PROTOCOL, Reply, Welcome};
use super::{AdminError, AdminErrorKind, AdminService, Items, Peer, unknown_command};
use crate::line::{Line, Lines};
use crate::stdio::{self, StdioOptions};
use crate::stopped;
use interlock_engine::front::{Endpoint, Governed, Notice};
use interlock_model::json::{Json, Limits};
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// Limits of the administration socket.
#[derive(Clone, Debug)]
pub struct AdminOptions {
    /// Most connections, those of hosts that speak stdio included.
    pub connections: usize,
    /// How long a client may take for its first line, and to read an answer.
    pub patience: Duration,
    /// Limits of MCP over this socket; the view is the client's to name.
    pub stdio: StdioOptions,
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self { connections: 256, patience: Duration::from_secs(10), stdio: StdioOptions::default() }
    }
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminBindError {
    /// A daemon answers there.
    #[error("another daemon is listening at {0}")]
    InUse(PathBuf),
    /// Something that is no socket is in the way.
    #[error("{0} is not a socket; move it away")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot listen at {path}: {source}")]
    Io {
        /// The socket's path; at most 107 bytes on Linux.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The listening socket; its file goes when this does.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens at `path`, in a directory that only our user may enter; the socket itself is mode 0600.
    /// A socket that a dead daemon left is replaced. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`AdminBindError`].
    pub fn bind(path: &Path) -> Result<Self, AdminBindError> {
        let failed = |source| AdminBindError::Io { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(AdminBindError::NotASocket(path.to_owned())),
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return Err(AdminBindError::InUse(path.to_owned())),
                Err(_) => std::fs::remove_file(path).map_err(failed)?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let socket = Self { listener, path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(socket)
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // If it is gone already, all the better.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a process of user `peer` may administer a daemon of user `own`.
const fn admits(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// What every connection shares.
struct Daemon<A, G> {
    service: Arc<A>,
    governed: Arc<G>,
    catalog_epoch: watch::Receiver<u64>,
    notices: broadcast::Sender<Notice>,
    options: AdminOptions,
    stopping: watch::Receiver<bool>,
}

/// Serves the administration socket until `shutdown` ends.
pub async fn serve_admin<A: AdminService, G: Governed>(
    socket: AdminSocket,
    service: Arc<A>,
    governed: Arc<G>,
    (catalog_epoch, notices): (watch::Receiver<u64>, broadcast::Sender<Notice>),
    options: AdminOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let own = rustix::process::geteuid().as_raw();
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS)));
    let daemon = Arc::new(Daemon { service, governed, catalog_epoch, notices, options, stopping });
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = shutdown.as_mut() => break,
            Some(_) = connections.join_next() => continue,
            accepted = socket.listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // A stranger, and one too many, learn nothing: the connection just ends.
        let peer = match stream.peer_cred() {
            Ok(cred) if admits(cred.uid(), own) => Peer { uid: cred.uid(), pid: cred.pid() },
            _ => continue,
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let daemon = daemon.clone();
        connections.spawn(async move {
            daemon.serve(stream, peer).await;
            drop(slot);
        });
    }
    stop.send_replace(true);
    let drain = daemon.options.stdio.drain + Duration::from_secs(1);
    let _ = tokio::time::timeout(drain, async { while connections.join_next().await.is_some() {} }).await;
}

/// The connection is over: the client left, was too slow, or the daemon stops.
struct Over;

impl<A: AdminService, G: Governed> Daemon<A, G> {
    async fn serve(&self, stream: UnixStream, peer: Peer) {
        let (reader, writer) = stream.into_split();
        let link = Link { lines: Lines::new(reader, LINE), writer, patience: self.options.patience };
        // However it ends, there is nobody left to tell.
        let _: Result<(), Over> = self.converse(link, peer).await;
    }

    async fn converse(&self, mut link: Link, peer: Peer) -> Result<(), Over> {
        let hello = tokio::time::timeout(link.patience, link.lines.next()).await;
        match hello {
            Ok(Ok(Some(Line::Text(text))))
                if serde_json::from_slice::<Hello>(&text).is_ok_and(|h| h.interlock == PROTOCOL) => {}
            _ => {
                let error = AdminError::new(AdminErrorKind::Invalid, "expected {\"interlock\":1}");
                return link.send(&Reply { error: Some(error), ..Reply::default() }).await;
            }
        }
        let mut challenge = wire::challenge().map_err(|_| Over)?;
        link.send(&Welcome { challenge: challenge.clone(), version: env!("CARGO_PKG_VERSION").to_owned() }).await?;
        let mut stopping = self.stopping.clone();
        loop {
            let line = tokio::select! {
                line = link.lines.next() => line.map_err(|_| Over)?,
                () = stopped(&mut stopping) => return Ok(()),
            };
            // Each challenge serves one line, whatever becomes of it.
            let next = wire::challenge().map_err(|_| Over)?;
            let used = std::mem::replace(&mut challenge, next.clone());
            let reply = match line {
                None => return Ok(()),
                Some(Line::Text(text)) => match Asked::read(&text) {
                    Ok(asked) if asked.command.command == "mcp.stdio" => match self.mcp_options(&asked) {
                        Ok((key, options)) => {
                            link.send(&Reply {
                                id: Some(asked.command.id),
                                result: Some(Value::Null),
                                ..Reply::default()
                            })
                            .await?;
                            return self.mcp(link, key, options).await;
                        }
                        Err(error) => failed(Some(asked.command.id), error),
                    },
                    Ok(asked) => self.command(&mut link, peer, &used, asked).await?,
                    Err((id, error)) => failed(id, error),
                },
                Some(Line::TooLong) => failed(None, AdminError::new(AdminErrorKind::Invalid, "the line is over 1 MiB")),
                Some(Line::Utf16) => return Err(Over),
            };
            link.send(&Reply { challenge: Some(next), ..reply }).await?;
        }
    }

    async fn command(&self, link: &mut Link, peer: Peer, challenge: &str, asked: Asked) -> Result<Reply, Over> {
        let Asked { command, params } = asked;
        let id = Some(command.id);
        let Some(needed) = self.service.needs_operator(&command.command) else {
            return Ok(failed(id, unknown_command(&command.command)));
        };
        let authorised = match wire::authorise(
            needed,
            &self.service.operator(),
            challenge,
            &command.command,
            &params,
            command.authorization.as_ref(),
        ) {
            Ok(authorised) => authorised,
            Err(error) => return Ok(failed(id, error)),
        };
        if !self.service.streams(&command.command) {
            let ran = self.service.run(peer, &command.command, command.params, authorised).await;
            return Ok(match ran {
                Ok(result) => Reply { id, result: Some(result), ..Reply::default() },
                Err(error) => failed(id, error),
            });
        }
        let (sender, mut items) = mpsc::channel(16);
        let following = self.service.follow(peer, &command.command, command.params, authorised, Items(sender));
        let mut following = std::pin::pin!(following);
        let mut stopping = self.stopping.clone();
        let done = loop {
            tokio::select! {
                biased;
                Some(item) = items.recv() => {
                    link.send(&Reply { id, item: Some(item), ..Reply::default() }).await?;
                }
                done = following.as_mut() => break done,
                // The client hung up, or spoke out of turn.
                _ = link.lines.next() => return Err(Over),
                () = stopped(&mut stopping) => return Err(Over),
            }
        };
        while let Ok(item) = items.try_recv() {
            link.send(&Reply { id, item: Some(item), ..Reply::default() }).await?;
        }
        Ok(match done {
            Ok(done) => Reply { id, done: Some(done), ..Reply::default() },
            Err(error) => failed(id, error),
        })
    }

    fn mcp_options(&self, asked: &Asked) -> Result<(Option<Zeroizing<String>>, StdioOptions), AdminError> {
        let invalid = |why: String| AdminError::new(AdminErrorKind::Invalid, why);
        let McpStdio { key, server } = serde_json::from_slice(&asked.params)
            .map_err(|_| invalid("the parameters are `key` and `server`".into()))?;
        let endpoint = match server {
            Some(name) => Endpoint::Server(name.parse().map_err(|e| invalid(format!("`server`: {e}")))?),
            None => Endpoint::All,
        };
        if !self.governed.has_endpoint(&endpoint) {
            return Err(AdminError::new(AdminErrorKind::NotFound, "no server of this name is configured"));
        }
        let key = key.map(Zeroizing::new);
        self.governed
            .identify(key.as_ref().map(|k| k.as_str()))
            .map_err(|refusal| AdminError::new(AdminErrorKind::Unauthorised, refusal.code.meaning()))?;
        Ok((key, StdioOptions { endpoint, ..self.options.stdio.clone() }))
    }

    async fn mcp(&self, link: Link, key: Option<Zeroizing<String>>, options: StdioOptions) -> Result<(), Over> {
        let lines = link.lines.limited(options.message_bytes);
        let mut stopping = self.stopping.clone();
        let stop = async move {
            let () = stopped(&mut stopping).await;
        };
        let changes = (self.catalog_epoch.clone(), self.notices.clone());
        stdio::serve_lines(lines, link.writer, self.governed.clone(), key, changes, options, stop)
            .await
            .map_err(|_| Over)
    }
}

/// A command and the literal text of its parameters.
struct Asked {
    command: Command,
    params: Vec<u8>,
}

impl Asked {
    fn read(text: &[u8]) -> Result<Self, (Option<u64>, AdminError)> {
        let invalid = |why: String| (None, AdminError::new(AdminErrorKind::Invalid, why));
        // The strict walk refuses members that are there twice, which the typed reader below may not.
        let json = Json::parse(text, Limits::REQUEST).map_err(|e| invalid(e.to_string()))?;
        let id = json.root().get("id").and_then(|id| id.as_number()).and_then(|id| id.parse().ok());
        // The message may quote the line, which may hold a key.
        let command: Command = serde_json::from_slice(text).map_err(|_| {
            (id, AdminError::new(AdminErrorKind::Invalid, "not a command: `id`, `command`, `params`, `authorization`"))
        })?;
        let params = json.root().get("params").map_or_else(|| b"{}".to_vec(), |params| params.raw().to_vec());
        if !command.params.is_object() {
            return Err((id, AdminError::new(AdminErrorKind::Invalid, "`params` is not an object")));
        }
        Ok(Self { command, params })
    }
}

fn failed(id: Option<u64>, error: AdminError) -> Reply {
    Reply { id, error: Some(error), ..Reply::default() }
}

struct Link {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    patience: Duration,
}

impl Link {
    async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), Over> {
        let mut line = serde_json::to_vec(message).map_err(|_| Over)?;
        line.push(b'\n');
        match tokio::time::timeout(self.patience, self.writer.write_all(&line)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_10_another_user_does_not_administer() {
        for (peer, own, admitted) in
            [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false), (0, 0, true)]
        {
            assert_eq!(admits(peer, own), admitted, "{peer} {own}");
        }
    }
}
