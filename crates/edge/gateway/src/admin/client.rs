//! The CLI's side of the administration socket.

use super::AdminError;
use super::wire::{self, Command, Hello, LINE, McpStdio, PROTOCOL, Reply, Welcome};
use crate::line::{Line, Lines};
use interlock_model::ServerName;
use interlock_signature::Signer;
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zeroize::Zeroizing;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminClientError {
    /// Nobody listens.
    #[error("no daemon is listening at {0}; start it with `interlock run`")]
    NoDaemon(PathBuf),
    /// The socket is another user's.
    #[error("this user may not administer the daemon at {0}")]
    NotAdmitted(PathBuf),
    /// The daemon says no, and why.
    #[error(transparent)]
    Refused(#[from] AdminError),
    /// It does not answer.
    #[error("the daemon did not answer in {0:?}")]
    Timeout(Duration),
    /// It hung up.
    #[error("the daemon closed the connection")]
    Closed,
    /// It speaks another language, a newer version perhaps.
    #[error("the daemon's answer is not understood; are daemon and command of one version?")]
    Protocol,
    /// The connection broke.
    #[error("the connection to the daemon broke: {0}")]
    Io(#[from] io::Error),
}

/// A connection to the daemon. One command at a time.
#[derive(Debug)]
pub struct AdminClient {
    link: Link,
    path: PathBuf,
    challenge: String,
    version: String,
    last_id: u64,
    /// How long a command may take.
    pub timeout: Duration,
}

impl AdminClient {
    /// Connects to the daemon that listens at `path`.
    ///
    /// # Errors
    ///
    /// [`AdminClientError`].
    pub async fn connect(path: &Path) -> Result<Self, AdminClientError> {
        const GREETING: Duration = Duration::from_secs(5);
        let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AdminClientError::NoDaemon(path.to_owned()),
            io::ErrorKind::PermissionDenied => AdminClientError::NotAdmitted(path.to_owned()),
            _ => AdminClientError::Io(error),
        })?;
        let (reader, writer) = stream.into_split();
        let mut link = Link { lines: Lines::new(reader, LINE), writer };
        let greeting = async {
            link.send(&Hello { interlock: PROTOCOL }).await?;
            let line = link.line().await?;
            serde_json::from_slice::<Welcome>(&line).map_err(|_| AdminClientError::Protocol)
        };
        let Welcome { challenge, version } =
            match tokio::time::timeout(GREETING, greeting).await.map_err(|_| AdminClientError::Timeout(GREETING))? {
                Ok(welcome) => welcome,
                // The daemon hangs up on users that it does not admit.
                Err(AdminClientError::Closed | AdminClientError::Io(_)) => {
                    return Err(AdminClientError::NotAdmitted(path.to_owned()));
                }
                Err(error) => return Err(error),
            };
        Ok(Self { link, path: path.to_owned(), challenge, version, last_id: 0, timeout: Duration::from_secs(30) })
    }

    /// The daemon's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the daemon do `command`, signed by `signer` where it needs the operator. `params` is an object.
    ///
    /// # Errors
    ///
    /// [`AdminClientError`].
    pub async fn call(
        &mut self,
        command: &str,
        params: Value,
        signer: Option<&dyn Signer>,
    ) -> Result<Value, AdminClientError> {
        let timeout = self.timeout;
        let answer = async {
            self.send(command, params, signer).await?;
            self.reply().await
        };
        let reply = tokio::time::timeout(timeout, answer).await.map_err(|_| AdminClientError::Timeout(timeout))??;
        reply.result.ok_or(AdminClientError::Protocol)
    }

    /// Has the daemon do a `command` that answers with items.
    ///
    /// # Errors
    ///
    /// [`AdminClientError`].
    pub async fn stream(
        mut self,
        command: &str,
        params: Value,
        signer: Option<&dyn Signer>,
    ) -> Result<AdminItems, AdminClientError> {
        self.send(command, params, signer).await?;
        Ok(AdminItems { client: self, done: None })
    }

    /// Turns the connection into an MCP one, as a host that presents `key`, to all servers or to one.
    ///
    /// # Errors
    ///
    /// [`AdminClientError`].
    pub async fn into_mcp_stream(
        mut self,
        key: Option<&str>,
        server: Option<&ServerName>,
    ) -> Result<McpStream, AdminClientError> {
        let params = McpStdio { key: key.map(str::to_owned), server: server.map(ToString::to_string) };
        let params = serde_json::to_value(&params).map_err(|_| AdminClientError::Protocol)?;
        self.call("mcp.stdio", params, None).await?;
        let (ahead, reader) = self.link.lines.into_parts();
        Ok(McpStream { ahead: ahead.freeze(), reader, writer: self.link.writer })
    }

    async fn send(
        &mut self,
        command: &str,
        params: Value,
        signer: Option<&dyn Signer>,
    ) -> Result<(), AdminClientError> {
        self.last_id += 1;
        let text = serde_json::to_vec(&params).map_err(|_| AdminClientError::Protocol)?;
        let authorization = signer.map(|signer| wire::sign(signer, &self.challenge, command, &text)).transpose()?;
        self.link.send(&Command { id: self.last_id, command: command.to_owned(), params, authorization }).await
    }

    async fn reply(&mut self) -> Result<Reply, AdminClientError> {
        let mut reply: Reply =
            serde_json::from_slice(&self.link.line().await?).map_err(|_| AdminClientError::Protocol)?;
        if let Some(challenge) = reply.challenge.take() {
            self.challenge = challenge;
        }
        match reply.error.take() {
            Some(error) => Err(AdminClientError::Refused(error)),
            None if reply.id == Some(self.last_id) => Ok(reply),
            None => Err(AdminClientError::Protocol),
        }
    }
}

/// The answer of a command that streams.
#[derive(Debug)]
pub struct AdminItems {
    client: AdminClient,
    done: Option<Value>,
}

impl AdminItems {
    /// The next item; `None` once the command is done. Waits as long as it takes.
    ///
    /// # Errors
    ///
    /// [`AdminClientError`].
    pub async fn next(&mut self) -> Result<Option<Value>, AdminClientError> {
        if self.done.is_some() {
            return Ok(None);
        }
        let reply = self.client.reply().await?;
        match (reply.item, reply.done) {
            (Some(item), None) => Ok(Some(item)),
            (None, Some(done)) => {
                self.done = Some(done);
                Ok(None)
            }
            _ => Err(AdminClientError::Protocol),
        }
    }

    /// What closed the stream, once it is closed.
    #[must_use]
    pub const fn done(&self) -> Option<&Value> {
        self.done.as_ref()
    }
}

#[derive(Debug)]
struct Link {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Link {
    async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), AdminClientError> {
        // It may hold a bearer key.
        let mut line = Zeroizing::new(serde_json::to_vec(message).map_err(|_| AdminClientError::Protocol)?);
        line.push(b'\n');
        Ok(self.writer.write_all(&line).await?)
    }

    async fn line(&mut self) -> Result<bytes::Bytes, AdminClientError> {
        match self.lines.next().await? {
            Some(Line::Text(text)) => Ok(text),
            Some(Line::TooLong | Line::Utf16) => Err(AdminClientError::Protocol),
            None => Err(AdminClientError::Closed),
        }
    }
}

/// An MCP connection over the administration socket.
#[derive(Debug)]
pub struct McpStream {
    ahead: bytes::Bytes,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl McpStream {
    /// The two directions; dropping or shutting down the second one ends the input.
    pub fn split(self) -> (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static) {
        (Ahead { ahead: self.ahead, reader: self.reader }, self.writer)
    }
}

/// What had arrived before, then the rest.
struct Ahead {
    ahead: bytes::Bytes,
    reader: OwnedReadHalf,
}

impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.reader).poll_read(cx, buf);
        }
        let some = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(some));
        Poll::Ready(Ok(()))
    }
}
