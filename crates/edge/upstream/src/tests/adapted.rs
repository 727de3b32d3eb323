//! APIs presented as tools.

use super::rig::{Rig, call_of, client, request, spec};
use crate::adapted::{DocumentKind, examine};
use crate::session::Call;
use crate::{Condition, Launch, Limits, SecretString, ServerSpec, list_once};
use bytes::Bytes;
use http::HeaderName;
use interlock_engine::front::Deaf;
use interlock_mcp::{NameAt, Offers, Response};
use interlock_model::Code;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "Bearer t0p-s3cret";

/// An API that notes what it was asked for. What it answers is decided by the path.
struct Api {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    /// How many connections ended while they had a request.
    abandoned: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
    dir: TempDir,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (connections, abandoned) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let shared = (seen.clone(), connections.clone(), abandoned.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.1.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, shared.0.clone(), shared.2.clone()));
            }
        });
        Self { url, seen, connections, abandoned, task, dir: tempfile::tempdir().unwrap() }
    }

    fn document(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.dir.path().join("document");
        std::fs::write(&file, text).unwrap();
        file
    }

    fn spec_with(&self, kind: DocumentKind, text: &str, path: &str, headers: &[(&str, &str)]) -> ServerSpec {
        let header = |(name, value): &(&str, &str)| -> (HeaderName, SecretString) {
            (name.parse().unwrap(), SecretString::from((*value).to_owned()))
        };
        let launch = Launch::Adapted {
            kind,
            document: self.document(text),
            url: format!("{}{path}", self.url).parse().unwrap(),
            headers: headers.iter().map(header).collect(),
            key_pins: vec![],
        };
        ServerSpec { limits: Limits { result_bytes: 1 << 20, ..Limits::DEFAULT }, ..spec(launch) }
    }

    fn spec(&self, paths: Value) -> ServerSpec {
        self.spec_with(DocumentKind::OpenApi, &openapi(paths), "/api/", &[("Authorization", SECRET)])
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn last(&self) -> String {
        self.seen().last().unwrap().clone()
    }
}

/// Reads requests and answers them until one asks for something else.
async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, abandoned: Arc<AtomicUsize>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while buffer.len() < length {
            stream.read_buf(&mut buffer).await.unwrap();
        }
        let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
        let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
        seen.lock().unwrap().push(format!("{head}{body}"));
        let json = "Content-Type: application/json\r\n";
        let (status, headers, body) = match path.trim_start_matches("/api") {
            "/graphql/" => ("200 OK", json.to_owned(), r#"{"data":{"pet":{"id":"1"}}}"#.to_owned()),
            "/redirect" => ("302 Found", "Location: /elsewhere\r\n".to_owned(), String::new()),
            "/broken" => ("500 Internal Server Error", json.to_owned(), r#"{"why":"no"}"#.to_owned()),
            "/zipped" => ("200 OK", format!("{json}Content-Encoding: gzip\r\n"), "x".to_owned()),
            "/switch" => ("101 Switching Protocols", "Connection: upgrade\r\nUpgrade: x\r\n".to_owned(), String::new()),
            "/large" => ("200 OK", "Content-Type: text/plain\r\n".to_owned(), "x".repeat((1 << 20) + 1)),
            "/hang" => {
                let ended = stream.read_buf(&mut buffer).await.unwrap_or(0) == 0;
                abandoned.fetch_add(usize::from(ended), Ordering::SeqCst);
                return;
            }
            "/drop" => return,
            path => ("200 OK", json.to_owned(), json!({ "path": path }).to_string()),
        };
        let length =
            if status.starts_with("101") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let text = format!("HTTP/1.1 {status}\r\n{headers}{length}\r\n{body}");
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn openapi(paths: Value) -> String {
    json!({"openapi": "3.1.1", "info": {"title": "Shop", "version": "2"}, "servers": [{"url": "https://evil.example"}],
        "paths": paths})
    .to_string()
}

fn get(id: &str) -> Value {
    json!({"get": {"operationId": id}})
}

/// Everything that the tests call.
fn paths() -> Value {
    let parameter = |name: &str, place: &str| json!({"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}});
    json!({
        "/pets/{id}": {"get": {"operationId": "pet", "parameters":
            [parameter("id", "path"), parameter("q", "query"), parameter("X-Note", "header"), parameter("sid", "cookie"), parameter("lang", "cookie")]}},
        "/pets": {"post": {"operationId": "add", "requestBody": {"content": {"application/json": {}}}}},
        "/redirect": get("redirect"), "/broken": get("broken"), "/zipped": get("zipped"), "/switch": get("switch"),
        "/large": get("large"), "/hang": get("hang"), "/drop": get("drop"),
    })
}

fn result(response: &Response) -> Value {
    serde_json::from_slice(response.result().unwrap().raw()).unwrap()
}

fn text(response: &Response) -> (String, bool) {
    let result = result(response);
    (result["content"][0]["text"].as_str().unwrap().to_owned(), result["isError"].as_bool().unwrap())
}

#[tokio::test]
async fn an_operation_is_one_request() {
    let api = Api::start().await;
    let rig = Rig::started(api.spec(paths())).await;
    assert!(api.seen().is_empty(), "nothing is asked of the API before a call");
    let Condition::Up { server_info, .. } = rig.status().condition else { panic!("{:?}", rig.status()) };
    assert_eq!((server_info.name.as_str(), server_info.version.as_str()), ("Shop", "2"));
    let offers = interlock_engine::ports::Upstream::offers(&rig.upstreams, &rig.name);
    assert_eq!(offers, Offers { tools: true, ..Offers::default() });
    let answer = rig.call("pet", r#"{"id":"a b/c","q":"x&y=z","X-Note":"hello","lang":"de"}"#).await.unwrap();
    assert_eq!(result(&answer)["isError"], false);
    let seen = api.last();
    assert!(seen.starts_with("GET /api/pets/a%20b%2Fc?q=x%26y%3Dz HTTP/1.1\r\n"), "{seen}");
    let lower = seen.to_ascii_lowercase();
    for header in [
        "authorization: bearer t0p-s3cret",
        "x-note: hello",
        "cookie: lang=de",
        "accept: application/json, text/*;q=0.8, */*;q=0.5",
        "accept-encoding: identity",
        "user-agent: interlock",
    ] {
        assert!(lower.contains(&format!("\r\n{header}\r\n")), "{header}: {seen}");
    }
    assert!(!lower.contains("content-type") && !lower.contains("mcp-") && !lower.contains("evil"), "{seen}");
    let body = r#"{ "n" : 1.10 , "s":"\u0041"}"#;
    let answer = rig.call("add", &format!("{{\"body\":{body}}}")).await.unwrap();
    assert_eq!(result(&answer)["structuredContent"], json!({"path": "/pets"}));
    assert!(api.last().ends_with(&format!("\r\n\r\n{body}")), "the agent's own bytes: {}", api.last());
    assert!(api.last().to_ascii_lowercase().contains("\r\ncontent-type: application/json\r\n"));
    assert_eq!(api.connections.load(Ordering::SeqCst), 1, "connections are kept");
    // Arguments that the engine put in place of the agent's.
    let replaced = Call {
        arguments: Some(Bytes::from_static(br#"{"id":"2"}"#)),
        ..call_of(
            "pet",
            request(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"id":"1"}}}"#),
        )
    };
    rig.upstreams.send(&rig.name, &replaced, &Deaf).await.unwrap();
    assert!(api.last().starts_with("GET /api/pets/2 "));
}

#[tokio::test]
async fn what_is_configured_is_no_argument() {
    let api = Api::start().await;
    let headers = [("Cookie", "sid=s3cret-1; a=b"), ("X-Note", "ours"), ("Accept", "application/vnd.shop+json")];
    let rig = Rig::started(api.spec_with(DocumentKind::OpenApi, &openapi(paths()), "", &headers)).await;
    rig.call("pet", r#"{"id":"1","lang":"de"}"#).await.unwrap();
    let lower = api.last().to_ascii_lowercase();
    assert!(lower.contains("\r\ncookie: sid=s3cret-1; a=b; lang=de\r\n"), "{lower}");
    assert_eq!(lower.matches("cookie").count(), 1);
    assert!(lower.contains("\r\naccept: application/vnd.shop+json\r\n") && lower.contains("\r\nx-note: ours\r\n"));
    let sent = api.seen().len();
    for argument in ["sid", "X-Note", "Cookie"] {
        let answer = rig.call("pet", &format!("{{\"id\":\"1\",\"{argument}\":\"x\"}}")).await.unwrap();
        assert!(text(&answer).1 && text(&answer).0.contains(argument), "{:?}", text(&answer));
    }
    assert_eq!(api.seen().len(), sent);
    assert!(!format!("{:?}", api.spec(paths())).contains("s3cret"));
}

#[tokio::test]
async fn hostile_arguments_are_refused_and_nothing_is_sent() {
    let api = Api::start().await;
    let rig = Rig::started(api.spec(paths())).await;
    for (arguments, names) in [
        (r#"{"id":".."}"#, "id"),
        (r#"{"id":"../../admin"}"#, "id"),
        (r#"{"id":"%2e%2e"}"#, "id"),
        (r#"{"id":""}"#, "id"),
        (r#"{"id":"a\u0000b"}"#, "id"),
        (r#"{"id":"1","X-Note":"a\r\nHost: evil"}"#, "X-Note"),
        (r#"{"id":"1","Authorization":"Bearer mine"}"#, "Authorization"),
        (r#"{"q":"no id"}"#, "id"),
    ] {
        let (said, is_error) = text(&rig.call("pet", arguments).await.unwrap());
        assert!(is_error && said.starts_with("The call was not sent: ") && said.contains(names), "{arguments}: {said}");
    }
    let (said, is_error) = text(&rig.call("pet", "[]").await.unwrap());
    assert!(is_error, "{said}");
    assert!(api.seen().is_empty(), "{:?}", api.seen());
    // What is not there.
    assert!(rig.call("other", "{}").await.unwrap().error().is_some());
    let read = request(r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b"}}"#);
    let read = Call { name: Some((NameAt::Uri, "a:b".into())), ..call_of("pet", read) };
    assert!(rig.upstreams.send(&rig.name, &read, &Deaf).await.unwrap().error().is_some());
    assert!(api.seen().is_empty());
}

#[tokio::test]
async fn every_kind_of_answer_and_fault() {
    let api = Api::start().await;
    let rig = Rig::started(api.spec(paths())).await;
    let (said, is_error) = text(&rig.call("redirect", "{}").await.unwrap());
    assert!(said.contains("302: redirects are not followed") && !is_error, "{said}");
    let broken = rig.call("broken", "{}").await.unwrap();
    assert_eq!((text(&broken).1, &result(&broken)["structuredContent"]["why"]), (true, &json!("no")));
    assert!(text(&rig.call("switch", "{}").await.unwrap()).1);
    for (tool, code) in
        [("zipped", Code::UpstreamInvalid), ("large", Code::UpstreamTooLarge), ("drop", Code::UpstreamClosed)]
    {
        let fault = rig.call(tool, "{}").await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (code, true), "{tool}: {fault}");
        assert!(rig.call("add", "{}").await.is_ok());
    }
    assert!(!api.seen().iter().any(|s| s.contains("/elsewhere")), "redirects are not followed");
    let fault = rig.call_within("hang", "{}", Duration::from_millis(100)).await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::UpstreamTimeout, true));
    let dropped = tokio::time::timeout(Duration::from_millis(50), rig.call("hang", "{}")).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(api.abandoned.load(Ordering::SeqCst), 2, "a call that nobody waits for closes its connection");
    assert_eq!(rig.status().in_flight, 0);
}

#[tokio::test]
async fn an_api_that_is_not_there_is_a_fault_of_the_call_and_then_an_outage() {
    let api = Api::start().await;
    let mut spec = api.spec(paths());
    let Launch::Adapted { url, .. } = &mut spec.launch else { panic!() };
    *url = "http://127.0.0.1:1/".parse().unwrap();
    let rig = Rig::started(spec).await;
    let fault = rig.call("add", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
    while rig.status().outage.is_none() {
        assert!(rig.call("add", "{}").await.is_err());
    }
}

#[tokio::test]
async fn invariant_4_an_edited_document_stops_calls_until_it_was_compared() {
    let api = Api::start().await;
    let rig = Rig::started(api.spec(paths())).await;
    let mut edited = paths();
    edited["/pets/{id}"]["get"]["parameters"][1]["in"] = json!("header");
    rig.acknowledge.store(false, Ordering::SeqCst);
    api.document(openapi(edited));
    let listed = |rig: &Rig| rig.log.lock().unwrap().iter().filter(|l| l.starts_with("listed")).count();
    let before = listed(&rig);
    assert!(rig.upstreams.relist(&rig.name));
    rig.logged(|log| log.iter().filter(|l| l.starts_with("listed")).count() > before).await;
    assert!(rig.log.lock().unwrap().last().unwrap().contains("header q, simple"), "the change shows in the definition");
    let late = tokio::time::timeout(Duration::from_millis(200), rig.call("pet", r#"{"id":"1"}"#)).await;
    assert!(late.is_err(), "nobody compared: {late:?}");
    assert!(api.seen().is_empty());
    rig.acknowledge.store(true, Ordering::SeqCst);
    assert!(rig.upstreams.relist(&rig.name));
    rig.settled().await.unwrap();
    assert!(rig.call("pet", r#"{"id":"1","q":"x"}"#).await.is_ok());
    assert!(api.last().contains("\r\nq: x\r\n"));
    // Broken: down, and back once it is mended.
    api.document("{");
    assert!(rig.upstreams.relist(&rig.name));
    rig.logged(|log| log.last().is_some_and(|l| l.starts_with("down") && l.contains("line 1"))).await;
    assert_eq!(rig.call("add", "{}").await.unwrap_err().code, Code::ServerUnavailable);
    // Tried often in vain, it would wait for long; being asked is reason enough to look at once.
    rig.logged(|log| log.iter().filter(|l| l.starts_with("down")).count() >= 4).await;
    api.document(openapi(paths()));
    assert!(rig.upstreams.relist(&rig.name));
    rig.logged(|log| log.last().is_some_and(|l| l.starts_with("listed"))).await;
    rig.settled().await.unwrap();
    assert!(rig.call("add", "{}").await.is_ok());
}

#[tokio::test]
async fn a_field_of_a_schema_is_one_request() {
    let api = Api::start().await;
    let schema = "type Query { pet(id: ID!): Pet } type Pet { id: ID! name: String }";
    let spec = api.spec_with(DocumentKind::GraphQl, schema, "/graphql/?v=1", &[("Authorization", SECRET)]);
    let rig = Rig::started(spec).await;
    let answer = rig.call("query_pet", r#"{"id":"1","select":"{ id }"}"#).await.unwrap();
    assert_eq!(result(&answer)["structuredContent"]["data"]["pet"]["id"], "1");
    let seen = api.last();
    assert!(seen.starts_with("POST /graphql/?v=1 HTTP/1.1\r\n"), "the address as configured: {seen}");
    assert!(seen.contains("accept: application/graphql-response+json"), "{seen}");
    let body: Value = serde_json::from_str(seen.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["variables"], json!({"id": "1"}));
    let (said, is_error) =
        text(&rig.call("query_pet", r#"{"id":"1","select":"{ id } } mutation { x"}"#).await.unwrap());
    assert!(is_error && said.contains("not sent"), "{said}");
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn one_listing_says_what_was_cut() {
    let api = Api::start().await;
    let mut described = paths();
    described["/pets"]["trace"] = json!({});
    described["/pets"]["post"]["servers"] = json!([{"url": "https://other.example"}]);
    let listing = list_once(&api.spec(described.clone()), &client()).await.unwrap();
    assert_eq!((listing.server_info.name.as_str(), listing.tools.len()), ("Shop", 9));
    assert_eq!(listing.left_out, ["TRACE /pets: the method is not one that tools may use"]);
    assert_eq!(listing.notes, ["add: the operation names servers of its own, which are not used"]);
    let found = examine(DocumentKind::OpenApi, &api.document(openapi(described))).unwrap();
    assert_eq!((found.title.as_str(), found.tools, found.left_out), ("Shop", 9, listing.left_out));
    assert!(api.seen().is_empty());
}

#[tokio::test]
async fn documents_that_are_none() {
    let api = Api::start().await;
    let missing = api.dir.path().join("missing");
    let directory = api.dir.path().to_owned();
    for (file, says) in [(missing, "No such file"), (directory, "not a file")] {
        let error = examine(DocumentKind::OpenApi, &file).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains(&file.display().to_string()), "{error}");
    }
    for (kind, text, says) in [
        (DocumentKind::OpenApi, "{\n \"openapi\": \"3.1.1\",,}", "line 2, column 21,"),
        (DocumentKind::OpenApi, "{\"swagger\":\"2.0\"}", "but `2.0`"),
        (DocumentKind::OpenApi, "openapi: 3.1.1\npaths: {}\n", "no operation that can be a tool"),
        (DocumentKind::OpenApi, "openapi: 3.1.1\npaths: {/a: {trace: {}}}\n", "(TRACE /a: the method"),
        (DocumentKind::GraphQl, "type Query {\n pet(: X }", "line 2, column"),
    ] {
        let file = api.document(text);
        let error = examine(kind, &file).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("`document`"), "{text}\n{error}");
        let fault = list_once(&api.spec_with(kind, text, "/", &[]), &client()).await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
        assert!(fault.detail.contains(says), "{fault}");
    }
    // A byte order mark is no fault.
    assert!(examine(DocumentKind::OpenApi, &api.document(format!("\u{feff}{}", openapi(paths())))).is_ok());
    for (path, header, says) in [("/?k=1", None, "no query"), ("", Some(("Accept", "a\nb")), "accept")] {
        let headers: Vec<_> = header.into_iter().collect();
        let fault =
            list_once(&api.spec_with(DocumentKind::OpenApi, &openapi(paths()), path, &headers), &client()).await;
        let detail = fault.unwrap_err().detail;
        assert!(detail.contains(says) || says == "no query" && detail.contains("cannot have a query"), "{detail}");
    }
}
