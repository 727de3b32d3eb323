//! What goes over the administration socket: one JSON object per line, each way.
//!
//! ```text
//! client  {"interlock":1}
//! server  {"challenge":"...","version":"0.1.0"}
//! client  {"id":1,"command":"approvals.list","params":{},"authorization":{"key":"...","signature":"..."}}
//! server  {"id":1,"result":{},"challenge":"..."}
//!     or  {"id":1,"error":{"code":"unauthorised","message":"..."},"challenge":"..."}
//!     or  {"id":1,"item":{}} any number of times, then {"id":1,"done":{},"challenge":"..."}
//! ```
//!
//! A challenge is good for the one next command. The signature is Ed25519 for
//! [`Purpose::AdminCommand`] over the canonical JSON of `{"challenge","command","params"}`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use interlock_model::json::{Json, JsonError, Kind, Limits, canonical};
use interlock_signature::{PublicKey, Purpose, Signature, Signer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The only version of this protocol.
pub(super) const PROTOCOL: u32 = 1;

/// Most bytes of one line, either way.
pub(super) const LINE: usize = 1 << 20;

/// The first line, from the client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) interlock: u32,
}

/// The second line, from the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Welcome {
    pub(super) challenge: String,
    pub(super) version: String,
}

/// One command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    pub(super) id: u64,
    pub(super) command: String,
    #[serde(default = "no_params")]
    pub(super) params: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) authorization: Option<Authorization>,
}

/// Who says that a command may run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorization {
    pub(super) key: PublicKey,
    pub(super) signature: Signature,
}

/// One line of an answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    /// `None` where the command's could not be read.
    pub(super) id: Option<u64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Value>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Value>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<AdminError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) challenge: Option<String>,
}

/// The parameters of `mcp.stdio`, which turns the connection into an MCP one.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct McpStdio {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[error("{message}")]
pub struct AdminError {
    /// What kind of failure it is.
    #[serde(rename = "code")]
    pub kind: AdminErrorKind,
    /// For people: lower case, no full stop.
    pub message: String,
}

/// The kinds of failure that callers treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminErrorKind {
    /// No such command.
    UnknownCommand,
    /// It needs the operator's signature, and has none that holds.
    Unauthorised,
    /// The parameters are wrong, or the line is no command.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// The answer is no: the state of things does not allow it.
    Refused,
    /// It could not be done; trying again may help.
    Failed,
}

impl AdminError {
    /// An error.
    pub fn new(kind: AdminErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// A member that is there, `null` included.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn no_params() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The bytes that an operator signs for a command. `params` is JSON text, in any spelling.
///
/// # Errors
///
/// If `params` is not an object of acceptable JSON.
pub(super) fn signed_message(challenge: &str, command: &str, params: &[u8]) -> Result<Vec<u8>, AdminError> {
    let invalid = |e: Option<JsonError>| {
        let why = e.map_or_else(|| "not an object".to_owned(), |e| e.to_string());
        AdminError::new(AdminErrorKind::Invalid, format!("`params`: {why}"))
    };
    let params = Json::parse(params, Limits::REQUEST).map_err(|e| invalid(Some(e)))?;
    if params.root().kind() != Kind::Object {
        return Err(invalid(None));
    }
    let mut out = br#"{"challenge":"#.to_vec();
    out.extend_from_slice(Value::from(challenge).to_string().as_bytes());
    out.extend_from_slice(br#","command":"#);
    out.extend_from_slice(Value::from(command).to_string().as_bytes());
    out.extend_from_slice(br#","params":"#);
    out.extend_from_slice(&canonical::respell(params.root()));
    out.push(b'}');
    Ok(out)
}

/// Signs a command.
pub(super) fn sign(
    signer: &dyn Signer,
    challenge: &str,
    command: &str,
    params: &[u8],
) -> Result<Authorization, AdminError> {
    let message = signed_message(challenge, command, params)?;
    Ok(Authorization { key: signer.public_key(), signature: signer.sign(Purpose::AdminCommand, &message) })
}

/// Whether a command may run: `Ok(true)` with the operator's signature, `Ok(false)` without any where
/// none is needed.
///
/// # Errors
///
/// [`AdminErrorKind::Unauthorised`]; a signature that does not hold is refused even where none is needed.
pub(super) fn authorise(
    needed: bool,
    operator: &PublicKey,
    challenge: &str,
    command: &str,
    params: &[u8],
    authorization: Option<&Authorization>,
) -> Result<bool, AdminError> {
    let refuse = |why: &str| Err(AdminError::new(AdminErrorKind::Unauthorised, why));
    match authorization {
        None if needed => refuse("this command needs the operator's signature"),
        None => Ok(false),
        Some(authorization) if authorization.key != *operator => refuse("the key is not the operator's"),
        Some(authorization) => {
            let message = signed_message(challenge, command, params)?;
            match operator.verify(Purpose::AdminCommand, &message, &authorization.signature) {
                Ok(()) => Ok(true),
                Err(_) => refuse("the signature is not one over this command and this challenge"),
            }
        }
    }
}

/// 32 random bytes, so that a signature is good once.
///
/// # Errors
///
/// If the system gives no random bytes.
pub(super) fn challenge() -> Result<String, AdminError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| AdminError::new(AdminErrorKind::Failed, "the system gave no random bytes"))?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_does_not_depend_on_spelling() {
        let message = signed_message("c", "a.b", br#" {"z":1,"a":[true, "\u00e4"]} "#).unwrap();
        assert_eq!(
            String::from_utf8(message).unwrap(),
            r#"{"challenge":"c","command":"a.b","params":{"a":[true,"ä"],"z":1}}"#
        );
        for bad in ["[]", "1", "{", r#"{"a":1,"a":2}"#] {
            assert_eq!(signed_message("c", "x", bad.as_bytes()).unwrap_err().kind, AdminErrorKind::Invalid);
        }
    }

    #[test]
    fn challenges_differ() {
        assert_ne!(challenge().unwrap(), challenge().unwrap());
    }
}
