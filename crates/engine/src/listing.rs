//! Lists: what this caller may see. Tools as they were approved; all else as its server has it at the moment, which is
//! asked like any other thing, and without what policy does not let the caller know of.

use crate::engine::{Engine, Ports, Toward};
use crate::front::{Aside, CallResponse, Caller, Deaf, Endpoint};
use crate::join::join_all;
use crate::ports::{Clock, Upstream};
use crate::refusal::Refusal;
use crate::relay::Relay;
use crate::stages::Aim;
use bytes::Bytes;
use interlock_mcp::answer::{self, quote};
use interlock_mcp::{Ask, Frame, Listed, Offers, Request, Response, RpcError, frame, namespace};
use interlock_model::json::{Kind, Limits, View};
use interlock_model::{CallId, Code, ServerName};
use interlock_policy::Subject;

/// Most pages of one server in the list of all; one that always has one more is not listing.
const MAX_PAGES: usize = 100;
/// Most bytes of one server in the list of all.
const MAX_BYTES: usize = 8 << 20;

impl<P: Ports> Engine<P> {
    /// The `result` of `tools/list`: one page, in the catalog's order, so that a host's prompt cache holds.
    pub(crate) fn list(&self, caller: &Caller, request: &Request) -> Result<Bytes, RpcError> {
        refuse_cursor(request)?;
        let world = self.world();
        let mut out = Vec::with_capacity(16 * 1024);
        out.extend_from_slice(b"{\"tools\":[");
        let mut first = true;
        for tool in world.catalog.tools() {
            let bytes = match &caller.endpoint {
                Endpoint::All => &tool.listed,
                Endpoint::Server(server) if *server == tool.server => &tool.listed_plain,
                Endpoint::Server(_) => continue,
            };
            let visible = world.quarantine(tool).is_none()
                && world.policy.as_ref().is_some_and(|policy| policy.may_list(&caller.principal, Subject::Tool(tool)));
            if visible {
                if !first {
                    out.push(b',');
                }
                out.extend_from_slice(bytes);
                first = false;
            }
        }
        out.extend_from_slice(b"]}");
        Ok(out.into())
    }

    /// A list of prompts, resources or templates. One server's pages are its own; the list of all servers has one page.
    pub(crate) async fn list_offers(
        &self,
        caller: Caller,
        listed: Listed,
        request: Request,
        aside: &dyn Aside,
    ) -> CallResponse {
        match caller.endpoint.clone() {
            Endpoint::Server(server) => {
                let (id, revision) = (request.id().clone(), caller.revision);
                let ask = Ask::List(listed);
                match self.listed_by(&caller, &server, listed, request, aside).await {
                    Ok(response) => {
                        let response = self.visible(&caller, &server, listed, response);
                        let relay =
                            Relay { id: &id, revision, ask, advice: None, server: None, state: None, task: None };
                        let error = response.error().and_then(|e| e.get("code")).and_then(|code| code.as_i64());
                        CallResponse { message: relay.message(&response), error }
                    }
                    Err((refusal, call)) => refusal.answer(&id, revision, ask, call),
                }
            }
            Endpoint::All => {
                if let Err(error) = refuse_cursor(&request) {
                    return CallResponse {
                        message: error.to_frame(Some(request.id())),
                        error: Some(error.rpc_code.into()),
                    };
                }
                let world = self.world();
                let mut servers: Vec<ServerName> = world.catalog.servers().map(|server| server.name.clone()).collect();
                servers.retain(|server| has(self.upstream.offers(server), listed));
                servers.sort();
                let of_each = servers.iter().map(|server| self.all_of(&caller, server, listed, aside));
                let elements: Vec<Vec<u8>> = join_all(of_each).await.into_iter().flatten().collect();
                let page =
                    [format!("{{\"{}\":[", listed.member()).into_bytes(), elements.join(&b","[..]), b"]}".to_vec()];
                let message = answer::result(request.id(), &page.concat());
                let Some(response) = parsed(message.clone()) else { return CallResponse { message, error: None } };
                let (id, revision, ask) = (request.id(), caller.revision, Ask::List(listed));
                let relay = Relay { id, revision, ask, advice: None, server: None, state: None, task: None };
                CallResponse { message: relay.message(&response), error: None }
            }
        }
    }

    /// Every element that one server lists and the caller may see, named as on the aggregate endpoint. A server that
    /// does not answer has none for now: the others are listed all the same.
    async fn all_of(&self, caller: &Caller, server: &ServerName, listed: Listed, aside: &dyn Aside) -> Vec<Vec<u8>> {
        let mut elements = Vec::new();
        let mut bytes = 0;
        let mut params = String::new();
        for _ in 0..MAX_PAGES {
            let Some(request) = request(listed, &params) else { break };
            let Ok(response) = self.listed_by(caller, server, listed, request, aside).await else { break };
            bytes += response.bytes().len();
            let Some(result) = response.result().filter(|_| bytes <= MAX_BYTES) else { break };
            let Some(page) = result.get(listed.member()) else { break };
            let seen = page.elements().filter(|element| self.may_see(caller, server, listed, *element));
            elements.extend(seen.filter_map(|element| exposed(server, listed, element)));
            match result.get("nextCursor").filter(|cursor| cursor.kind() == Kind::String) {
                Some(cursor) => params = format!("\"cursor\":{}", String::from_utf8_lossy(cursor.raw())),
                None => break,
            }
        }
        elements
    }

    /// One page of one server.
    async fn listed_by(
        &self,
        caller: &Caller,
        server: &ServerName,
        listed: Listed,
        request: Request,
        aside: &dyn Aside,
    ) -> Result<Response, (Refusal, CallId)> {
        let call = CallId::new(self.clock.now(), self.clock.entropy());
        let aim = Aim::List(Ask::List(listed), server.clone());
        match Box::pin(self.path(caller.clone(), (request, aim), call, Toward::Server(aside))).await {
            Ok(released) => released.answer.map_err(|fault| (Refusal::deny(fault.code, fault.detail), call)),
            Err(refused) => Err((self.refuse(refused).await, call)),
        }
    }

    /// The response without the elements that the caller may not see; the very same where it may see all.
    fn visible(&self, caller: &Caller, server: &ServerName, listed: Listed, response: Response) -> Response {
        let Some(page) = response.result().and_then(|result| result.get(listed.member())) else { return response };
        let all: Vec<View<'_>> = page.elements().collect();
        let seen: Vec<&[u8]> =
            all.iter().filter(|e| self.may_see(caller, server, listed, **e)).map(|e| e.raw()).collect();
        if seen.len() == all.len() {
            return response;
        }
        let shown = [&b"["[..], &seen.join(&b","[..]), b"]"].concat();
        let text = frame::splice(response.bytes(), &[(page.span(), &shown)]);
        parsed(text.into()).unwrap_or(response)
    }

    fn may_see(&self, caller: &Caller, server: &ServerName, listed: Listed, element: View<'_>) -> bool {
        let Some(name) = element.get(listed.key()).and_then(|name| name.as_str()) else { return false };
        let subject = match listed {
            Listed::Prompts => Subject::Prompt { server, name: &name },
            Listed::Resources | Listed::Templates => Subject::Resource { server, uri: &name },
            Listed::Tools => return false,
        };
        self.world().policy.as_ref().is_some_and(|policy| policy.may_list(&caller.principal, subject))
    }

    /// Tells the servers of the endpoint how much to log. The client hears what became of it only where nothing did:
    /// a server that cannot be told keeps what it has.
    pub(crate) async fn tell_level(&self, caller: Caller, request: Request) -> CallResponse {
        let (id, revision) = (request.id().clone(), caller.revision);
        let world = self.world();
        let servers: Vec<ServerName> = world
            .catalog
            .servers()
            .map(|server| server.name.clone())
            .filter(|server| {
                matches!(&caller.endpoint, Endpoint::All) || caller.endpoint == Endpoint::Server(server.clone())
            })
            .filter(|server| self.upstream.offers(server).logging)
            .collect();
        let mut refused = None;
        let mut told = false;
        for server in servers {
            let call = CallId::new(self.clock.now(), self.clock.entropy());
            let asked = (request.clone(), Aim::Log(server));
            match Box::pin(self.path(caller.clone(), asked, call, Toward::Server(&Deaf))).await {
                Ok(_) => told = true,
                Err(why) => refused = Some((self.refuse(why).await, call)),
            }
        }
        match refused.filter(|_| !told) {
            Some((refusal, call)) => refusal.answer(&id, revision, Ask::List(Listed::Tools), call),
            None => CallResponse { message: answer::result(&id, b"{}"), error: None },
        }
    }
}

fn refuse_cursor(request: &Request) -> Result<(), RpcError> {
    if request.param("cursor").is_none() {
        return Ok(());
    }
    let why = "the list has one page, so there are no cursors";
    Err(RpcError::new(RpcError::INVALID_PARAMS, Code::InvalidArguments, why))
}

const fn has(offers: Offers, listed: Listed) -> bool {
    match listed {
        Listed::Tools => offers.tools,
        Listed::Prompts => offers.prompts,
        Listed::Resources | Listed::Templates => offers.resources,
    }
}

fn request(listed: Listed, params: &str) -> Option<Request> {
    let text = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{}","params":{{{params}}}}}"#, listed.method());
    match Frame::parse(Bytes::from(text), Limits::REQUEST) {
        Ok(Frame::Request(request)) => Some(request),
        _ => None,
    }
}

fn parsed(message: Bytes) -> Option<Response> {
    match Frame::parse(message, Limits::RESULT) {
        Ok(Frame::Response(response)) => Some(response),
        _ => None,
    }
}

/// The element with the name that it has on the aggregate endpoint.
fn exposed(server: &ServerName, listed: Listed, element: View<'_>) -> Option<Vec<u8>> {
    let name = element.get(listed.key())?;
    let text = name.as_str()?;
    let new = match listed {
        Listed::Prompts => namespace::prompt(server, &text),
        Listed::Resources | Listed::Templates => namespace::address(server, &text),
        Listed::Tools => return None,
    };
    let (all, at) = (element.span(), name.span());
    Some(frame::splice(element.raw(), &[(at.start - all.start..at.end - all.start, quote(&new).as_bytes())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_mcp::Id;
    use interlock_model::json::Json;

    #[test]
    fn elements_keep_all_but_their_names() {
        let id = Id::number(1);
        let text = r#"{"resources":[{ "uri" : "a:b" , "name":"x","size":1.0}]}"#;
        let response = parsed(answer::result(&id, text.as_bytes())).unwrap();
        let element = response.result().unwrap().get("resources").unwrap().elements().next().unwrap();
        let found = exposed(&"files".parse().unwrap(), Listed::Resources, element).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), r#"{ "uri" : "files+a:b" , "name":"x","size":1.0}"#);
        let nameless = Json::parse("{}", Limits::RESULT).unwrap();
        assert_eq!(exposed(&"files".parse().unwrap(), Listed::Prompts, nameless.root()), None);
    }
}
