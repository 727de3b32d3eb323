//! The lock file from scan to snapshot: approving, signing, reading back, refusing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use ed25519_dalek::{Signer as _, SigningKey};
use interlock_catalog::{
    ApproveError, Candidate, Candidates, Catalog, CatalogError, Definition, DriftKind, Live, Lock, LockError,
    ServerIdentity, ToolFacts, approve, candidates, drift,
};
use interlock_model::{Effect, OwnerId, ServerName, UnixMillis};
use interlock_signature::{PublicKey, Signature, Signer};
use proptest::prelude::*;
use serde_json::{Value, json};

struct Soft(SigningKey);

impl Signer for Soft {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }
    fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

fn operator() -> Soft {
    Soft(SigningKey::from_bytes(&[7; 32]))
}

fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

fn identity() -> ServerIdentity {
    ServerIdentity::Http { key_pins: vec![], url: "https://tools.example.com/mcp".into() }
}

fn definition(value: &Value) -> Definition {
    Definition::parse(value.to_string().as_bytes()).unwrap()
}

fn tool(name: &str) -> Definition {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    definition(&json!({"name": name, "description": format!("Does {name}, 1.10 times."), "inputSchema": schema,
        "_meta": {"n": 1.5, "big": u64::MAX}}))
}

fn facts() -> ToolFacts {
    ToolFacts { effects: [Effect::Read].into_iter().collect(), confirmed: true, ..ToolFacts::worst() }
}

fn candidate(on: &str, definition: Definition, lock: &Lock) -> Candidate {
    let mut found = Candidates::new(UnixMillis(5));
    let name = definition.name().clone();
    found.add(&server(on), identity(), vec![definition], vec![], lock);
    found.get(&server(on), &name).unwrap()
}

fn approved(lock: &Lock, on: &str, definition: Definition, accepted: &[&str]) -> Result<Lock, ApproveError> {
    let by: OwnerId = "ana@example.com".parse().unwrap();
    let accepted: Vec<String> = accepted.iter().map(|s| (*s).to_owned()).collect();
    approve(lock, &candidate(on, definition, lock), facts(), &by, UnixMillis(1_795_167_938_120), &accepted)
}

fn two() -> Lock {
    let lock = approved(&Lock::empty(), "files", tool("read"), &[]).unwrap();
    approved(&lock, "files", tool("write_all.now"), &[]).unwrap()
}

fn catalog(lock: Lock) -> Catalog {
    let verified = lock.sign(&operator()).verify(&operator().public_key()).unwrap();
    Catalog::from_lock(&verified, 0).unwrap()
}

#[test]
fn text_round_trips_and_windows_does_no_harm() {
    let lock = two().sign(&operator());
    let text = lock.to_text();
    assert!(text.starts_with("{\n  \"version\": 1,\n  \"serial\": 2,\n"));
    assert!(text.contains(
        "          \"definition\": {\n            \"_meta\": {\n              \"big\": 18446744073709551615,\n"
    ));
    for bytes in [text.clone(), text.replace('\n', "\r\n"), format!("\u{feff}{text}"), text.replace("  ", "\t")] {
        let again = Lock::parse(bytes.as_bytes()).unwrap();
        assert_eq!(again, lock);
        assert_eq!(again.to_text(), text);
        assert!(again.verify(&operator().public_key()).is_ok());
    }
}

#[test]
fn invariant_10_a_changed_or_foreign_lock_is_refused() {
    let operator_key = operator().public_key();
    let text = two().sign(&operator()).to_text();
    let verified = |text: &str| Lock::parse(text.as_bytes()).and_then(|lock| lock.verify(&operator_key)).map(drop);
    assert!(verified(&text).is_ok());
    for (from, to) in [
        ("\"serial\": 2", "\"serial\": 3"),
        ("\"read\"\n", "\"write\"\n"),
        ("tools.example.com", "tools.example.org"),
        ("\"internet\"", "\"local\""),
        ("\"confirmed\": true", "\"confirmed\": false"),
        ("ana@", "bob@"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = verified(&text.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(error, LockError::Signature(_)), "{from}: {error}");
    }
    let error = verified(&text.replacen("Does read", "Does rm", 1)).unwrap_err();
    assert!(matches!(&error, LockError::Digest { tool, .. } if tool.as_str() == "read"), "{error}");
    assert!(matches!(verified(&two().to_text()).unwrap_err(), LockError::Unsigned));
    let foreign = two().sign(&Soft(SigningKey::from_bytes(&[8; 32]))).to_text();
    assert!(matches!(verified(&foreign).unwrap_err(), LockError::OtherKey { .. }));
    // The operator's name on another's signature.
    let foreign_key = Soft(SigningKey::from_bytes(&[8; 32])).public_key().to_string();
    let forged = foreign.replace(&foreign_key, &operator_key.to_string());
    assert!(matches!(verified(&forged).unwrap_err(), LockError::Signature(_)));
}

#[test]
fn forms_that_are_refused() {
    let text = two().sign(&operator()).to_text();
    for (from, to) in [
        ("\"version\": 1", "\"version\": 2"),
        ("\"version\": 1", "\"version\": 1, \"version\": 1"),
        ("\"version\": 1", "\"version\": 1, \"extra\": 1"),
        ("\"kind\": \"http\"", "\"kind\": \"http\", \"extra\": 1"),
        ("\"approved_at\"", "\"approved_On\""),
        ("\"effects\": [", "\"more\": 1, \"effects\": ["),
        ("\"files\"", "\"Files\""),
        ("\"name\": \"read\"", "\"name\": \"re ad\""),
        ("{\n", "[\n"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(Lock::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
    }
    for cut in 0..text.len().min(400) {
        assert!(Lock::parse(&text.as_bytes()[..cut]).is_err());
    }
    let element = text.split("\"tools\": [").nth(1).unwrap().split("\n        },").next().unwrap();
    let twice = text.replacen("\"tools\": [", &format!("\"tools\": [{element}\n        }},"), 1);
    assert!(matches!(Lock::parse(twice.as_bytes()).unwrap_err(), LockError::Twice { .. }));
}

#[test]
fn the_catalog_of_a_lock() {
    let catalog = catalog(two());
    assert_eq!(catalog.serial(), 2);
    let names: Vec<&str> = catalog.tools().iter().map(|t| t.name().as_str()).collect();
    assert_eq!(names, ["read", "write_all.now"]);
    let read = catalog.by_exposed("files__read").unwrap();
    assert_eq!(read.exposed.as_str(), "files__read");
    assert_eq!(read.identity, identity().digest());
    assert_eq!(read.listed_plain, tool("read").canonical());
    assert_eq!(read.listed, tool("read").renamed("files__read"));
    assert_eq!(catalog.by_name(&server("files"), "read").unwrap().definition, tool("read"));
    assert!(catalog.by_name(&server("other"), "read").is_none());
    assert!(catalog.by_exposed("read").is_none());
    assert_eq!(catalog.server(&server("files")).unwrap().tools().len(), 2);
    assert!(read.input.check(None).is_err());
}

#[test]
fn unconfirmed_facts_are_the_worst_in_force() {
    let mut lock = two();
    for tool in lock.servers.get_mut(&server("files")).unwrap().tools.values_mut() {
        tool.facts.confirmed = false;
    }
    assert!(catalog(lock).tools().iter().all(|tool| tool.facts == ToolFacts::worst()));
}

#[test]
fn serials_rise() {
    let key = operator().public_key();
    let old = two().sign(&operator()).verify(&key).unwrap();
    assert!(matches!(Catalog::from_lock(&old, 3), Err(CatalogError::Serial { found: 2, floor: 3 })));
    assert!(Catalog::from_lock(&old, 2).is_ok(), "the same file after a restart");
    let now = Catalog::from_lock(&old, 2).unwrap();
    let mut other = two();
    other.servers.clear();
    let other = catalog(other);
    assert!(matches!(other.may_follow(&now), Err(CatalogError::SameSerial(2))));
    assert!(now.may_follow(&now).is_ok());
    let next = catalog(approved(&two(), "files", tool("third"), &[]).unwrap());
    assert!(next.may_follow(&now).is_ok());
    assert!(now.may_follow(&next).is_err());
}

#[test]
fn two_tools_under_one_name_refuse_the_catalog() {
    // The plain name of one is what the other's is cut to.
    let exposed = interlock_mcp::ExposedName::new(&server("files"), &"a.b".parse().unwrap());
    let plain = exposed.as_str().strip_prefix("files__").unwrap();
    let lock = approved(&Lock::empty(), "files", tool("a.b"), &[]).unwrap();
    assert!(matches!(approved(&lock, "files", tool(plain), &[]), Err(ApproveError::Collision { .. })));
    let mut forced = lock;
    let mut other = approved(&Lock::empty(), "files", tool(plain), &[]).unwrap();
    let files = other.servers.remove(&server("files")).unwrap();
    forced.servers.get_mut(&server("files")).unwrap().tools.extend(files.tools);
    let verified = forced.sign(&operator()).verify(&operator().public_key()).unwrap();
    assert!(matches!(Catalog::from_lock(&verified, 0), Err(CatalogError::Collision { .. })));
}

#[test]
fn a_concern_must_be_accepted_by_its_id() {
    let lock = two();
    let hidden = definition(&json!({"name": "x", "description": "a\u{200b}b", "inputSchema": {}}));
    let id = "hidden:/description";
    let error = approved(&lock, "other", hidden.clone(), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tool `x` of server `other` has concerns that were not accepted: hidden:/description"
    );
    assert!(matches!(
        approved(&lock, "other", hidden.clone(), &["hidden:/title"]),
        Err(ApproveError::NoSuchConcern { .. })
    ));
    let next = approved(&lock, "other", hidden.clone(), &[id]).unwrap();
    assert_eq!(next.tool(&server("other"), hidden.name()).unwrap().exceptions, [id]);
    assert_eq!((next.serial, next.signature.is_none()), (lock.serial + 1, true));
    // What the file of candidates says about concerns counts for nothing.
    let mut quiet = candidate("other", hidden, &lock);
    quiet.concerns.clear();
    let by = "ana@example.com".parse().unwrap();
    assert!(matches!(approve(&lock, &quiet, facts(), &by, UnixMillis(0), &[]), Err(ApproveError::Concerns { .. })));
}

#[test]
fn what_else_is_not_approved() {
    let lock = two();
    let by = "ana@example.com".parse().unwrap();
    let proposed = candidate("files", tool("third"), &lock);
    let unconfirmed = approve(&lock, &proposed, proposed.proposal.facts.clone(), &by, UnixMillis(0), &[]);
    assert!(matches!(unconfirmed, Err(ApproveError::Unconfirmed { .. })));
    let mut moved = candidate("files", tool("third"), &lock);
    moved.identity = ServerIdentity::Http { key_pins: vec![], url: "https://tools.example.org/mcp".into() };
    let elsewhere = approve(&lock, &moved, facts(), &by, UnixMillis(0), &[]);
    assert!(matches!(elsewhere, Err(ApproveError::Identity { .. })));
    let adopted = candidates::adopt(&lock, &server("files"), &moved.identity);
    assert!(approve(&adopted, &moved, facts(), &by, UnixMillis(0), &[]).is_ok());
    let fetches = definition(&json!({"name": "x", "inputSchema": {"$ref": "https://example.com/s"}}));
    assert!(matches!(approved(&lock, "files", fetches, &[]), Err(ApproveError::Schema { .. })));
    let gone = candidates::withdraw(&lock, &server("files"), tool("read").name());
    assert!(gone.tool(&server("files"), tool("read").name()).is_none());
    assert_eq!(gone.serial, lock.serial + 1);
}

#[test]
fn candidates_round_trip() {
    let mut found = Candidates::new(UnixMillis(5));
    let hidden = definition(&json!({"name": "x", "description": "a\u{200b}b", "inputSchema": {}}));
    found.add(&server("files"), identity(), vec![tool("read"), hidden], vec!["not a tool name".into()], &Lock::empty());
    let text = found.to_text();
    assert_eq!(Candidates::parse(text.as_bytes()).unwrap(), found);
    assert_eq!(found.iter().count(), 2);
    assert!(Candidates::parse(text.replacen("\"version\": 1", "\"version\": 9", 1).as_bytes()).is_err());
    assert!(Candidates::parse(text.replacen("\"scanned_at\"", "\"x\": 1, \"scanned_at\"", 1).as_bytes()).is_err());
}

#[test]
fn invariant_4_drift_is_seen() {
    let catalog = catalog(approved(&two(), "files", tool("third"), &[]).unwrap());
    let live = |definitions: &[String]| {
        let live: Vec<Live> = definitions.iter().map(|d| Live::read(d.as_bytes())).collect();
        drift(&server("files"), &catalog, &live)
            .into_iter()
            .map(|d| {
                format!("{} {} {}", d.tool.map_or("-".into(), |t| t.to_string()), d.kind.as_str(), d.kind.quarantines())
            })
            .collect::<Vec<_>>()
    };
    let text = |d: &Definition| String::from_utf8(d.canonical().to_vec()).unwrap();
    let (read, write, third) = (text(&tool("read")), text(&tool("write_all.now")), text(&tool("third")));
    let all = [write.clone(), third.clone(), read.clone()];
    assert_eq!(live(&all), [""; 0]);
    // White space and member order are not content.
    let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&third).unwrap()).unwrap();
    assert_eq!(live(&[read.clone(), write.clone(), spaced]), [""; 0]);
    assert_eq!(live(&[read.replace("Does", "did"), write.clone()]), ["read changed true", "third missing true"]);
    assert_eq!(live(&[read.clone(), write.clone(), third.clone(), text(&tool("new"))]), ["new new false"]);
    assert_eq!(live(&[read.clone(), write.clone(), third, read.clone()]), ["read malformed true"]);
    assert_eq!(
        live(&[read.clone(), write, r#"{"name":"third"}"#.into(), "17".into()]),
        ["third malformed true", "- malformed true"]
    );
    let changed = drift(&server("files"), &catalog, &[Live::read(read.replace("Does", "did").as_bytes())]);
    assert!(
        matches!(&changed[0].kind, DriftKind::Changed { found } if found.description().unwrap().starts_with("did"))
    );
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Lock::parse(&bytes));
        drop(Candidates::parse(&bytes));
        drop(Live::read(&bytes));
    }

    /// One changed byte anywhere: refused, or it was white space or an equal spelling.
    #[test]
    fn one_changed_byte_never_passes_as_signed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let lock = two().sign(&operator());
        let mut bytes = lock.to_text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(verified) = Lock::parse(&bytes).and_then(|lock| lock.verify(&operator().public_key())) {
            prop_assert_eq!(verified.lock().signed_bytes(), lock.signed_bytes());
        }
    }
}
