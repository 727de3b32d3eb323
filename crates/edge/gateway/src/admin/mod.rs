//! The administration socket: how the CLI governs the daemon, and the governed cannot (design 4.10).
//!
//! In scope: the socket, who may connect, signatures over commands, the client's side.
//! Out of scope: the commands themselves ([`AdminService`]).

mod client;
mod server;
mod wire;

pub use client::{AdminClient, AdminClientError, AdminItems, McpStream};
pub use server::{AdminBindError, AdminOptions, AdminSocket, serve_admin};
pub use wire::{AdminError, AdminErrorKind};

use interlock_signature::PublicKey;
use serde_json::Value;
use tokio::sync::mpsc;

/// The process at the other end of the socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user.
    pub uid: u32,
    /// Its process, where the system tells.
    pub pid: Option<i32>,
}

/// The commands behind the socket.
pub trait AdminService: Send + Sync + 'static {
    /// Whether `command` needs the operator's signature; `None` if there is no such command.
    fn needs_operator(&self, command: &str) -> Option<bool>;

    /// The operator's key.
    fn operator(&self) -> PublicKey;

    /// Does `command`. `authorised`: the operator signed it, which is so wherever
    /// [`AdminService::needs_operator`] asks for it.
    fn run(
        &self,
        peer: Peer,
        command: &str,
        params: Value,
        authorised: bool,
    ) -> impl Future<Output = Result<Value, AdminError>> + Send;

    /// Whether `command` answers with a stream of items.
    fn streams(&self, _command: &str) -> bool {
        false
    }

    /// Does a `command` that streams: sends items, then ends with what closes the stream. Dropped when
    /// the client hangs up.
    fn follow(
        &self,
        _peer: Peer,
        command: &str,
        _params: Value,
        _authorised: bool,
        _items: Items,
    ) -> impl Future<Output = Result<Value, AdminError>> + Send {
        let unknown = unknown_command(command);
        async { Err(unknown) }
    }
}

/// Where a streaming command puts its items.
#[derive(Clone, Debug)]
pub struct Items(mpsc::Sender<Value>);

/// The client has hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client has hung up")]
pub struct HungUp;

impl Items {
    /// Sends one item; waits while the client is slow.
    ///
    /// # Errors
    ///
    /// [`HungUp`].
    pub async fn send(&self, item: Value) -> Result<(), HungUp> {
        self.0.send(item).await.map_err(|_| HungUp)
    }
}

fn unknown_command(command: &str) -> AdminError {
    let shown: String = command.chars().take(64).collect();
    AdminError::new(AdminErrorKind::UnknownCommand, format!("there is no command `{shown}`"))
}
