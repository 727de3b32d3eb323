//! Why a call was refused or failed: the closed list that agents, operators and dashboards can rely on.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One reason. The spelling never changes once released; `docs/codes.md` is generated from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body is not JSON, or not one JSON-RPC message.
    Malformed,
    /// An object has the same member twice, or a reserved member in another case.
    DuplicateMember,
    /// Nested deeper than the limit.
    TooDeep,
    /// Larger than the limit.
    TooLarge,
    /// The method is not one this gateway serves.
    UnknownMethod,
    /// The protocol revision is not one this gateway serves.
    UnsupportedRevision,
    /// Headers and body disagree.
    HeaderMismatch,
    /// The `Host` or `Origin` is not one this gateway answers to.
    ForeignOrigin,
    /// The MCP session is not known here.
    UnknownSession,
    /// The presented key is not one of a registered agent.
    Unauthenticated,
    /// No key was presented and the configuration requires one.
    UnboundRefused,
    /// The agent is suspended or retired.
    AgentNotActive,
    /// No such tool, as far as this agent may know.
    UnknownTool,
    /// No such prompt, as far as this agent may know.
    UnknownPrompt,
    /// No such resource, as far as this agent may know.
    UnknownResource,
    /// No such task, as far as this agent may know.
    UnknownTask,
    /// A `requestState` that was not given to this agent for this, or that has expired.
    ForgedState,
    /// The tool's definition changed upstream and waits for review.
    ToolQuarantined,
    /// The arguments do not fit the approved input schema.
    InvalidArguments,
    /// Policy forbids the call, or does not permit it.
    PolicyDenied,
    /// A policy could not be evaluated; that denies.
    PolicyError,
    /// A human must approve this call.
    ApprovalRequired,
    /// A human said no to this call.
    ApprovalDenied,
    /// Nobody answered in time.
    ApprovalExpired,
    /// What the approver saw is no longer so.
    ApprovalSuperseded,
    /// A fact that the decision needs is not available yet.
    FactUnavailable,
    /// The ledger did not take the entry; nothing was done.
    NotRecorded,
    /// Too many calls at once.
    Overloaded,
    /// The server is not running or does not answer connections.
    ServerUnavailable,
    /// The server did not answer in time; it may have acted.
    UpstreamTimeout,
    /// The connection to the server broke in mid-call; it may have acted.
    UpstreamClosed,
    /// The server's answer is not a valid MCP answer to this call.
    UpstreamInvalid,
    /// The server's answer is larger than the limit.
    UpstreamTooLarge,
    /// The client cancelled the call.
    Cancelled,
    /// A fault of the gateway itself.
    Internal,
}

/// Whether trying again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call will be refused again.
    No,
    /// The same call, unchanged, once a human has approved.
    AfterApproval,
    /// The same call a little later.
    Later,
    /// A call with corrected arguments.
    Corrected,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 35] = [
        Self::Malformed,
        Self::DuplicateMember,
        Self::TooDeep,
        Self::TooLarge,
        Self::UnknownMethod,
        Self::UnsupportedRevision,
        Self::HeaderMismatch,
        Self::ForeignOrigin,
        Self::UnknownSession,
        Self::Unauthenticated,
        Self::UnboundRefused,
        Self::AgentNotActive,
        Self::UnknownTool,
        Self::UnknownPrompt,
        Self::UnknownResource,
        Self::UnknownTask,
        Self::ForgedState,
        Self::ToolQuarantined,
        Self::InvalidArguments,
        Self::PolicyDenied,
        Self::PolicyError,
        Self::ApprovalRequired,
        Self::ApprovalDenied,
        Self::ApprovalExpired,
        Self::ApprovalSuperseded,
        Self::FactUnavailable,
        Self::NotRecorded,
        Self::Overloaded,
        Self::ServerUnavailable,
        Self::UpstreamTimeout,
        Self::UpstreamClosed,
        Self::UpstreamInvalid,
        Self::UpstreamTooLarge,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The spelling in answers, entries and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::DuplicateMember => "duplicate_member",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::UnknownMethod => "unknown_method",
            Self::UnsupportedRevision => "unsupported_revision",
            Self::HeaderMismatch => "header_mismatch",
            Self::ForeignOrigin => "foreign_origin",
            Self::UnknownSession => "unknown_session",
            Self::Unauthenticated => "unauthenticated",
            Self::UnboundRefused => "unbound_refused",
            Self::AgentNotActive => "agent_not_active",
            Self::UnknownTool => "unknown_tool",
            Self::UnknownPrompt => "unknown_prompt",
            Self::UnknownResource => "unknown_resource",
            Self::UnknownTask => "unknown_task",
            Self::ForgedState => "forged_state",
            Self::ToolQuarantined => "tool_quarantined",
            Self::InvalidArguments => "invalid_arguments",
            Self::PolicyDenied => "policy_denied",
            Self::PolicyError => "policy_error",
            Self::ApprovalRequired => "approval_required",
            Self::ApprovalDenied => "approval_denied",
            Self::ApprovalExpired => "approval_expired",
            Self::ApprovalSuperseded => "approval_superseded",
            Self::FactUnavailable => "fact_unavailable",
            Self::NotRecorded => "not_recorded",
            Self::Overloaded => "overloaded",
            Self::ServerUnavailable => "server_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::UpstreamTooLarge => "upstream_too_large",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// What happened and what to do, for `docs/codes.md` and `--help`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Malformed => "The body is not JSON, or not one JSON-RPC message. Send one valid message.",
            Self::DuplicateMember => {
                "An object has a member twice, or a reserved member in another case; parsers disagree on which one counts. Send it once."
            }
            Self::TooDeep => "Nested deeper than the limit (64 levels). Flatten the message.",
            Self::TooLarge => {
                "Larger than `limits.message_bytes` (4 MiB unless configured). Send less, or raise the limit."
            }
            Self::UnknownMethod => "The method is not served here. Only what can be governed is served.",
            Self::UnsupportedRevision => "The protocol revision is not served. The answer lists those that are.",
            Self::HeaderMismatch => "The headers say another method, name or revision than the body. Make them agree.",
            Self::ForeignOrigin => {
                "The Host or Origin header is not one this gateway answers to. Add it to `listen.allowed_hosts` or `listen.allowed_origins` if it is yours."
            }
            Self::UnknownSession => "The MCP session is not known. Initialize again.",
            Self::Unauthenticated => "The key is not that of a registered agent. Make one with `interlock agents add`.",
            Self::UnboundRefused => {
                "No key was presented and `listen.allow_unbound` is false. Send `Authorization: Bearer <key>`."
            }
            Self::AgentNotActive => {
                "The agent is suspended or retired. Its owner can see why with `interlock agents show`."
            }
            Self::UnknownTool => "No such tool, as far as this agent may know.",
            Self::UnknownPrompt => "No such prompt, as far as this agent may know.",
            Self::UnknownResource => {
                "No such resource, as far as this agent may know: its address names no approved server, or policy permits no reading."
            }
            Self::UnknownTask => {
                "No such task: its id was not given to this agent, it has expired, or the agent may call its tool no more."
            }
            Self::ForgedState => {
                "The `requestState` was not given to this agent for this, or it has expired. Send the request again without it."
            }
            Self::ToolQuarantined => {
                "The server's definition of this tool is not the approved one. Review it with `interlock catalog diff`."
            }
            Self::InvalidArguments => "The arguments do not fit the approved input schema; the reason names the place.",
            Self::PolicyDenied => {
                "Policy forbids the call, or nothing permits it. `interlock policy explain` says which policy."
            }
            Self::PolicyError => {
                "A policy could not be evaluated, and that denies. `interlock policy explain` shows the error."
            }
            Self::ApprovalRequired => "A human must approve this call. Send the same call again once it is approved.",
            Self::ApprovalDenied => "A human said no to this call.",
            Self::ApprovalExpired => "Nobody answered in time. Ask again if it still matters.",
            Self::ApprovalSuperseded => "Something the approver saw has changed since. A new approval was asked for.",
            Self::FactUnavailable => "A fact that the decision needs is not available yet. Try later.",
            Self::NotRecorded => "The ledger did not take the entry, so nothing was done. `interlock doctor` says why.",
            Self::Overloaded => "Too many calls at once. Try later.",
            Self::ServerUnavailable => "The server is not running or cannot be reached. Nothing was sent.",
            Self::UpstreamTimeout => "The server did not answer in time. It may have acted: look before trying again.",
            Self::UpstreamClosed => {
                "The connection broke in mid-call. The server may have acted: look before trying again."
            }
            Self::UpstreamInvalid => "The server's answer is not a valid answer to this call. It may have acted.",
            Self::UpstreamTooLarge => "The server's answer is over `limits.result_bytes`. It may have acted.",
            Self::Cancelled => "The client cancelled the call. The server may have acted.",
            Self::Internal => "A fault of the gateway itself; its log has the call's id.",
        }
    }

    /// Whether trying again makes sense.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::ApprovalRequired | Self::ApprovalSuperseded => Retry::AfterApproval,
            Self::FactUnavailable
            | Self::NotRecorded
            | Self::Overloaded
            | Self::ServerUnavailable
            | Self::ApprovalExpired => Retry::Later,
            Self::Malformed
            | Self::DuplicateMember
            | Self::TooDeep
            | Self::TooLarge
            | Self::HeaderMismatch
            | Self::InvalidArguments => Retry::Corrected,
            Self::UnknownMethod
            | Self::UnsupportedRevision
            | Self::ForeignOrigin
            | Self::UnknownSession
            | Self::Unauthenticated
            | Self::UnboundRefused
            | Self::AgentNotActive
            | Self::UnknownTool
            | Self::UnknownPrompt
            | Self::UnknownResource
            | Self::UnknownTask
            | Self::ForgedState
            | Self::ToolQuarantined
            | Self::PolicyDenied
            | Self::PolicyError
            | Self::ApprovalDenied
            | Self::UpstreamTimeout
            | Self::UpstreamClosed
            | Self::UpstreamInvalid
            | Self::UpstreamTooLarge
            | Self::Cancelled
            | Self::Internal => Retry::No,
        }
    }
}

impl Retry {
    /// The spelling in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::AfterApproval => "after_approval",
            Self::Later => "later",
            Self::Corrected => "corrected",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_code_once_and_serde_agrees() {
        for (i, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, i, "{code} is out of order in ALL");
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
    }
}
