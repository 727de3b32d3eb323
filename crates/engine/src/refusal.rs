//! What an agent is told when its call does not go through (design section 6, "Refusals").

use crate::front::CallResponse;
use crate::ports::Session;
use bytes::Bytes;
use interlock_ledger::entry::CallRecord;
use interlock_mcp::{Ask, Era, Id, Revision, RpcError, answer};
use interlock_model::{ApprovalId, CallId, Code, Outcome, Tier};
use serde_json::json;
use std::sync::Arc;

/// Why a call stops, and what to say about it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) outcome: Outcome,
    /// For the agent: says what happened and what to do.
    pub(crate) reason: String,
    pub(crate) approval: Option<ApprovalId>,
    pub(crate) tier: Option<Tier>,
    /// The address that was asked for, where that is what is not there.
    pub(crate) uri: Option<String>,
}

/// A call that stops before anything was sent, with the record of it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// What the ledger is told; absent only where the ledger itself is the reason.
    pub(crate) denial: Option<Box<Denial>>,
}

/// What the ledger is told of a refused call. The arguments go into the vault: whoever is asked to
/// approve the call, or asks later why it was refused, has to see them.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) record: CallRecord,
    pub(crate) session: Arc<Session>,
    pub(crate) arguments: Bytes,
}

impl Refusal {
    pub(crate) fn deny(code: Code, reason: impl Into<String>) -> Self {
        Self { code, outcome: Outcome::Deny, reason: reason.into(), approval: None, tier: None, uri: None }
    }

    /// The ledger did not take an entry; there is nothing to record, and nothing was done.
    pub(crate) fn not_recorded(why: &crate::ports::AppendError) -> Refused {
        let code = match why {
            crate::ports::AppendError::Backlog => Code::Overloaded,
            _ => Code::NotRecorded,
        };
        Refused { refusal: Self::deny(code, why.to_string()), denial: None }
    }

    /// The response.
    ///
    /// An unknown tool is a JSON-RPC error, as the specification has it; everything else about a tool is a result
    /// that a model can read and act on. What is no tool has no such results, so all of it are errors.
    pub(crate) fn answer(&self, id: &Id, revision: Revision, ask: Ask, call: CallId) -> CallResponse {
        if ask != Ask::Call || matches!(self.code, Code::UnknownTool | Code::ForgedState) {
            return self.error(id, revision, ask, call);
        }
        let mut structured = json!({
            "decision": self.outcome.as_str(),
            "code": self.code.as_str(),
            "reason": self.reason,
            "call_id": call.to_string(),
            "retry": self.code.retry().as_str(),
        });
        if let (Some(approval), Some(members)) = (self.approval, structured.as_object_mut()) {
            let mut asked = json!({ "id": approval.to_string() });
            if let (Some(tier), Some(asked)) = (self.tier, asked.as_object_mut()) {
                asked.insert("tier".to_owned(), tier.get().into());
            }
            members.insert("approval".to_owned(), asked);
        }
        let mut result = json!({
            "content": [{ "type": "text", "text": self.text(call) }],
            "isError": true,
            "structuredContent": structured,
        });
        if revision.era() == Era::Modern
            && let Some(members) = result.as_object_mut()
        {
            members.insert("resultType".to_owned(), "complete".into());
        }
        CallResponse { message: answer::result(id, result.to_string().as_bytes()), error: None }
    }

    fn error(&self, id: &Id, revision: Revision, ask: Ask, call: CallId) -> CallResponse {
        const RESOURCE_NOT_FOUND: i32 = -32002;
        let rpc_code = match self.code {
            // 2026-07-28, server/resources, "Error Handling"; the revisions before it have a code of their own.
            Code::UnknownResource if revision.era() == Era::Legacy => RESOURCE_NOT_FOUND,
            Code::UnknownTool | Code::UnknownPrompt | Code::UnknownResource | Code::UnknownTask | Code::ForgedState => {
                RpcError::INVALID_PARAMS
            }
            _ => RpcError::INTERNAL,
        };
        let mut error = RpcError::new(rpc_code, self.code, self.reason.clone());
        if ask != Ask::Call {
            let mut members = vec![
                format!("\"decision\":\"{}\"", self.outcome.as_str()),
                format!("\"call_id\":\"{call}\""),
                format!("\"retry\":\"{}\"", self.code.retry().as_str()),
            ];
            members.extend(self.uri.as_ref().map(|uri| format!("\"uri\":{}", answer::quote(uri))));
            members.extend(self.approval.map(|id| format!("\"approval\":{{\"id\":\"{id}\"}}")));
            error.data = members.join(",");
        }
        CallResponse { message: error.to_frame(Some(id)), error: Some(rpc_code.into()) }
    }

    fn text(&self, call: CallId) -> String {
        let what = match self.outcome {
            Outcome::StepUp => "Not done: a human must approve this call first.",
            Outcome::Defer => "Not done yet: a fact that the decision needs is missing.",
            Outcome::Deny => "Not done: refused by Interlock.",
            // The call was let through and the server is what failed.
            Outcome::Allow | Outcome::Modify => "The server gave no usable answer.",
        };
        let mut text = format!("{what}\nReason: {} ({}).", self.reason, self.code);
        if let Some(approval) = self.approval {
            text.push_str(&format!("\nApproval: {approval}. Send the same call again once it is approved."));
        }
        text.push_str(&format!("\nCall: {call}"));
        text
    }
}
