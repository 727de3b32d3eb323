//! What a client wants to hear of: changes of lists, and of single resources.
//!
//! In scope: which notices are for whom, and how each era spells them; ending subscriptions with their holder. Out of
//! scope: transports, and whether a resource may be subscribed to, which is decided like any other request.
//! Source: MCP 2025-11-25, server/resources, "Subscriptions"; 2026-07-28, basic/patterns/subscriptions.

use bytes::Bytes;
use interlock_engine::front::{Caller, Change, Deaf, Endpoint, Governed, Notice};
use interlock_mcp::answer::quote;
use interlock_mcp::{Ask, Frame, Id, Offers, Request, RpcError, namespace};
use interlock_model::Code;
use interlock_model::json::{Kind, Limits};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Most resources that one client is subscribed to at once.
const MOST: usize = 1024;

/// The resources that one session or stream is subscribed to, by the addresses that its client uses. Dropped, it is
/// closed.
#[derive(Default)]
pub(crate) struct Subscribed {
    addresses: Mutex<HashSet<String>>,
    end: OnceLock<Box<dyn Fn(Vec<String>) + Send + Sync>>,
}

impl Subscribed {
    /// Subscribes to one resource, or to one less: the message that answers `request`.
    pub(crate) async fn change<G: Governed>(
        &self,
        governed: &Arc<G>,
        caller: Caller,
        ask: Ask,
        request: Request,
    ) -> Bytes {
        let address = request.param("uri").and_then(|uri| uri.as_str()).unwrap_or_default().into_owned();
        if ask == Ask::Subscribe && self.lock().len() >= MOST {
            let why = format!("more than {MOST} subscriptions of one client");
            return RpcError::new(RpcError::INTERNAL, Code::Overloaded, why).to_frame(Some(request.id()));
        }
        // One that is there is not counted twice at its server.
        let there = self.lock().contains(&address);
        if there == (ask == Ask::Subscribe) {
            return interlock_mcp::answer::result(request.id(), b"{}");
        }
        let answered = governed.ask(caller.clone(), ask, request, &Deaf).await;
        if answered.error.is_none() {
            if ask == Ask::Subscribe {
                self.lock().insert(address);
                self.end.get_or_init(|| ending(governed.clone(), caller));
            } else {
                self.lock().remove(&address);
            }
        }
        answered.message
    }

    /// Ends all of them; the servers are told later.
    pub(crate) fn close(&self) {
        let left = std::mem::take(&mut *self.lock());
        if let Some(end) = self.end.get().filter(|_| !left.is_empty()) {
            end(left.into_iter().collect());
        }
    }

    fn has(&self, address: &str) -> bool {
        self.lock().contains(address)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.close();
    }
}

/// Ends subscriptions whose holder is gone.
fn ending<G: Governed>(governed: Arc<G>, caller: Caller) -> Box<dyn Fn(Vec<String>) + Send + Sync> {
    Box::new(move |addresses| {
        let (governed, caller) = (governed.clone(), caller.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for address in addresses {
                    if let Some(request) = about("resources/unsubscribe", &address) {
                        let _gone = governed.ask(caller.clone(), Ask::Unsubscribe, request, &Deaf).await;
                    }
                }
            });
        }
    })
}

fn about(method: &str, address: &str) -> Option<Request> {
    let text = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":{{"uri":{}}}}}"#, quote(address));
    match Frame::parse(Bytes::from(text), Limits::REQUEST) {
        Ok(Frame::Request(request)) => Some(request),
        _ => None,
    }
}

/// A notice as a client of this endpoint knows what it is about: the method, and the address where it has one. `None`
/// where it is not about anything that the endpoint shows.
fn shown(notice: &Notice, endpoint: &Endpoint) -> Option<(&'static str, Option<String>)> {
    let exposed = |uri: &str| match endpoint {
        Endpoint::All => namespace::address(&notice.server, uri),
        Endpoint::Server(_) => uri.to_owned(),
    };
    if matches!(endpoint, Endpoint::Server(server) if *server != notice.server) {
        return None;
    }
    Some(match &notice.change {
        Change::Prompts => ("notifications/prompts/list_changed", None),
        Change::Resources => ("notifications/resources/list_changed", None),
        Change::Resource(uri) => ("notifications/resources/updated", Some(exposed(uri))),
    })
}

/// The message by which a legacy client hears of a notice, if it is for it.
pub(crate) fn to_legacy(notice: &Notice, endpoint: &Endpoint, subscribed: &Subscribed) -> Option<Bytes> {
    let (method, address) = shown(notice, endpoint)?;
    let params = match address {
        Some(address) if subscribed.has(&address) => format!(r#","params":{{"uri":{}}}"#, quote(&address)),
        Some(_) => return None,
        None => String::new(),
    };
    Some(format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#).into())
}

/// What one modern client listens to.
pub(crate) struct Listening {
    id: Id,
    endpoint: Endpoint,
    tools: bool,
    prompts: bool,
    resources: bool,
    subscribed: Subscribed,
}

impl Listening {
    /// Opens what `request` asks for, as far as there is such a thing and policy lets the caller have it.
    ///
    /// # Errors
    ///
    /// -32602 where it does not say what it wants.
    pub(crate) async fn open<G: Governed>(
        governed: &Arc<G>,
        caller: Caller,
        request: &Request,
    ) -> Result<Self, RpcError> {
        let wanted =
            request.param("notifications").filter(|wanted| wanted.kind() == Kind::Object).ok_or_else(|| {
                RpcError::new(
                    RpcError::INVALID_PARAMS,
                    Code::InvalidArguments,
                    "`params.notifications` is not an object",
                )
            })?;
        let wants = |name: &str| wanted.get(name).and_then(|v| v.as_bool()) == Some(true);
        let offers: Offers = governed.offers(&caller.endpoint);
        let listening = Self {
            id: request.id().clone(),
            endpoint: caller.endpoint.clone(),
            tools: wants("toolsListChanged"),
            prompts: wants("promptsListChanged") && offers.prompts_changed,
            resources: wants("resourcesListChanged") && offers.resources_changed,
            subscribed: Subscribed::default(),
        };
        if let Some(addresses) = wanted.get("resourceSubscriptions").filter(|_| offers.subscribe) {
            for request in addresses.elements().filter_map(|address| about("resources/subscribe", &address.as_str()?)) {
                // One that policy does not permit is not honoured, and the acknowledgement says so by leaving it out.
                drop(listening.subscribed.change(governed, caller.clone(), Ask::Subscribe, request).await);
            }
        }
        Ok(listening)
    }

    /// Whether nothing of what was asked for is honoured.
    pub(crate) fn is_empty(&self) -> bool {
        !self.tools && !self.prompts && !self.resources && self.subscribed.lock().is_empty()
    }

    /// The first message: what is honoured.
    pub(crate) fn acknowledgement(&self) -> Bytes {
        let mut honoured = Vec::new();
        for (name, set) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if set {
                honoured.push(format!("\"{name}\":true"));
            }
        }
        let mut addresses: Vec<String> = self.subscribed.lock().iter().map(|address| quote(address)).collect();
        addresses.sort();
        if !addresses.is_empty() {
            honoured.push(format!("\"resourceSubscriptions\":[{}]", addresses.join(",")));
        }
        let params = format!("\"notifications\":{{{}}}", honoured.join(","));
        self.message("notifications/subscriptions/acknowledged", &params)
    }

    /// That the tools changed, if the client listens to that.
    pub(crate) fn tools_changed(&self) -> Option<Bytes> {
        self.tools.then(|| self.message("notifications/tools/list_changed", ""))
    }

    /// The message for a notice, if the client listens to it.
    pub(crate) fn hears(&self, notice: &Notice) -> Option<Bytes> {
        let (method, address) = shown(notice, &self.endpoint)?;
        let params = match (&notice.change, address) {
            (Change::Prompts, _) if self.prompts => String::new(),
            (Change::Resources, _) if self.resources => String::new(),
            (Change::Resource(_), Some(address)) if self.subscribed.has(&address) => {
                format!("\"uri\":{}", quote(&address))
            }
            _ => return None,
        };
        Some(self.message(method, &params))
    }

    /// The result that ends the subscription in order.
    pub(crate) fn end(&self) -> Bytes {
        interlock_mcp::answer::result(&self.id, br#"{"resultType":"complete"}"#)
    }

    fn message(&self, method: &str, params: &str) -> Bytes {
        let id = String::from_utf8_lossy(self.id.raw());
        let comma = if params.is_empty() { "" } else { "," };
        format!(
            r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}{comma}{params}}}}}"#
        )
        .into()
    }
}

/// Whether a method asks for subscriptions.
pub(crate) fn is_listen(method: &str) -> bool {
    method == "subscriptions/listen"
}
