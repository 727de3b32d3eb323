//! Sessions with children.

use super::rig::{Rig, client, request, spec, text};
use crate::{Launch, Limits, SecretString, ServerSpec, Tolerance, list_once};
use interlock_model::Code;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Child {
    dir: tempfile::TempDir,
    env: Vec<(String, SecretString)>,
}

impl Child {
    fn new(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("notes").display().to_string();
        let all = [("TOKEN", "t0p-s3cret"), ("NOTES", &notes)];
        let env = all.iter().chain(env).map(|(n, v)| (n.to_string(), SecretString::from(v.to_string()))).collect();
        std::fs::write(&notes, "").unwrap();
        Self { dir, env }
    }

    fn spec(&self) -> ServerSpec {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/fake_server.py");
        let launch = Launch::Stdio {
            program: "python3".into(),
            args: vec!["-B".into(), script.display().to_string()],
            env: self.env.clone(),
            cwd: Some(self.dir.path().to_owned()),
        };
        ServerSpec { limits: Limits { result_bytes: 1 << 20, ..Limits::DEFAULT }, ..spec(launch) }
    }

    fn notes(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("notes")).unwrap()
    }
}

#[tokio::test]
async fn both_eras() {
    for (era, revision) in [("legacy", "2024-11-05"), ("modern", "2026-07-28")] {
        let child = Child::new(&[("ERA", era)]);
        let rig = Rig::started(child.spec()).await;
        assert_eq!(rig.log.lock().unwrap()[0], format!("up {revision} fake"));
        let arguments = "{ \"n\" : 1.10, \"big\":12345678901234567890123,\t\"s\":\"\\u0041\" }";
        let sent = text(&rig.call("echo", arguments).await.unwrap());
        assert!(sent.contains(&format!("\"arguments\":{arguments}")), "{sent}");
        assert_eq!(sent.contains("io.modelcontextprotocol/protocolVersion"), era == "modern");
        rig.upstreams.stop().await;
    }
}

#[tokio::test]
async fn a_child_that_ends_over_a_request_it_does_not_know_is_asked_differently() {
    let child = Child::new(&[("ERA", "modern"), ("START", "strict")]);
    let rig = Rig::started(child.spec()).await;
    assert_eq!(rig.log.lock().unwrap()[0], "up 2026-07-28 fake");
    assert_eq!(rig.status().counters.connects, 2);
}

#[tokio::test]
async fn answers_find_their_calls_and_oddities_are_counted() {
    let child = Child::new(&[]);
    let rig = Arc::new(Rig::started(child.spec()).await);
    for tool in ["twice", "foreign-first", "asks", "logs", "echo"] {
        assert!(text(&rig.call(tool, "{}").await.unwrap()).contains(tool), "{tool}");
    }
    let counters = rig.status().counters;
    assert_eq!((counters.responses_dropped, counters.garbage, counters.requests_refused), (3, 1, 1));
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let rig = rig.clone();
            tokio::spawn(
                async move { (n, text(&rig.call("reverse", &format!("{{\"of\":64,\"n\":{n}}}")).await.unwrap())) },
            )
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for call in calls {
        let (n, sent) = call.await.unwrap();
        assert!(sent.contains(&format!("\"n\":{n}}}")), "each gets its own answer");
        assert!(ids.insert(request(sent.trim_end()).id().clone()), "no id twice");
    }
    assert!(child.notes().contains("-32601"), "the server's own request was refused");
}

#[tokio::test]
async fn bad_answers_are_faults() {
    let child = Child::new(&[]);
    let rig = Rig::started(child.spec()).await;
    for (tool, code) in
        [("big", Code::UpstreamTooLarge), ("big-tail", Code::UpstreamTooLarge), ("invalid", Code::UpstreamInvalid)]
    {
        let fault = rig.call(tool, "{}").await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (code, true), "{tool}: {fault}");
    }
    let fault = rig.call_within("hang", "{}", Duration::from_millis(100)).await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::UpstreamTimeout, true));
    assert!(tokio::time::timeout(Duration::from_millis(50), rig.call("hang", "{}")).await.is_err());
    assert!(rig.call("echo", "{}").await.is_ok());
    // One for each that was too large, too slow or given up.
    assert_eq!(child.notes().matches("notifications/cancelled").count(), 4);
}

#[tokio::test]
async fn a_child_that_dies_is_started_again() {
    let child = Child::new(&[]);
    let rig = Arc::new(Rig::started(child.spec()).await);
    let other = tokio::spawn({
        let rig = rig.clone();
        async move { rig.call("hang", "{}").await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let fault = rig.call("die", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::UpstreamClosed, true), "{fault}");
    assert!(fault.detail.contains("exit status: 7") && fault.detail.contains("about to fail with ***"), "{fault}");
    assert!(!fault.to_string().contains("s3cret"));
    assert_eq!(other.await.unwrap().unwrap_err().code, Code::UpstreamClosed, "all in flight");
    rig.logged(|log| log.iter().filter(|l| l.starts_with("up")).count() == 2).await;
    rig.settled().await.unwrap();
    assert!(rig.call("echo", "{}").await.is_ok());
    let log = rig.log.lock().unwrap().join("\n");
    assert!(log.contains("down") && !log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn a_child_that_answers_neither_calls_nor_us_is_started_again() {
    let child = Child::new(&[]);
    let quick = Duration::from_millis(200);
    let tolerance = Tolerance { faults: 3, wait: quick, longest_wait: quick, patience: quick };
    let rig = Rig::started(ServerSpec { tolerance, ..child.spec() }).await;
    for _ in 0..3 {
        let fault = rig.call_within("deaf", "{}", Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(fault.code, Code::UpstreamTimeout);
    }
    let fault = rig.call("echo", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
    rig.logged(|log| log.iter().filter(|l| l.starts_with("listed")).count() == 2).await;
    assert!(rig.call("echo", "{}").await.is_ok());
    assert_eq!(rig.status().counters.connects, 2);
}

#[tokio::test]
async fn a_child_that_cannot_start_says_why() {
    for (start, expected) in [("die", "cannot start with ***"), ("utf16", "UTF-16")] {
        let fault = list_once(&Child::new(&[("START", start)]).spec(), &client()).await.unwrap_err();
        assert!(fault.detail.contains(expected) && !fault.detail.contains("s3cret"), "{fault}");
    }
    let missing = Launch::Stdio { program: "no-such-program".into(), args: vec![], env: vec![], cwd: None };
    let fault = list_once(&spec(missing), &client()).await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false));
    assert!(fault.detail.contains("no-such-program"));
}

#[tokio::test]
async fn noise_at_the_start_is_survived() {
    for start in ["bom", "logs"] {
        let listing = list_once(&Child::new(&[("START", start)]).spec(), &client()).await.unwrap();
        assert_eq!(listing.tools.len(), 1, "{start}");
    }
}

#[tokio::test]
async fn invariant_4_an_answer_never_overtakes_the_change_before_it() {
    let child = Child::new(&[]);
    let rig = Rig::started(child.spec()).await;
    rig.acknowledge.store(false, Ordering::SeqCst);
    rig.call("changed", "{}").await.unwrap();
    assert!(!rig.status().settled);
    rig.logged(|log| log.iter().any(|l| l.contains("\"new\""))).await;
    assert!(!rig.status().settled, "listed, but not compared");
    rig.acknowledge.store(true, Ordering::SeqCst);
    assert!(rig.upstreams.relist(&rig.name));
    rig.settled().await.unwrap();
}

#[tokio::test]
async fn a_child_gets_only_its_own_environment() {
    let child = Child::new(&[]);
    let rig = Rig::started(child.spec()).await;
    let env: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&text(&rig.call("env", "{}").await.unwrap())).unwrap();
    assert_eq!(env.get("TOKEN").map(String::as_str), Some("t0p-s3cret"));
    // The interpreter and version managers add a few of their own; nothing of the build gets in.
    assert!(env.keys().all(|k| !k.starts_with("CARGO") && !k.starts_with("RUST")), "{env:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn grandchildren_end_with_the_child() {
    let child = Child::new(&[]);
    let rig = Rig::started(child.spec()).await;
    let pid = text(&rig.call("child", "{}").await.unwrap());
    let alive = |pid: &str| {
        // A zombie nobody has reaped yet is dead.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
    };
    assert!(alive(&pid));
    rig.upstreams.stop().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!alive(&pid));
}

#[tokio::test]
async fn a_child_that_does_not_read_fills_no_memory() {
    let child = Child::new(&[]);
    let tolerance = Tolerance { faults: u32::MAX, ..Tolerance::DEFAULT };
    let rig = Arc::new(Rig::started(ServerSpec { max_in_flight: 8, tolerance, ..child.spec() }).await);
    let long = format!("{{\"s\":\"{}\"}}", "x".repeat(100_000));
    let within = Duration::from_millis(300);
    let deaf = tokio::spawn({
        let rig = rig.clone();
        async move { rig.call_within("deaf", "{}", within).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut codes = Vec::new();
    for _ in 0..6 {
        let calls: Vec<_> = (0..7)
            .map(|_| {
                let (rig, long) = (rig.clone(), long.clone());
                tokio::spawn(
                    async move { rig.call_within("hang", &long, Duration::from_millis(40)).await.unwrap_err() },
                )
            })
            .collect();
        for call in calls {
            codes.push(call.await.unwrap().code);
        }
    }
    assert_eq!(deaf.await.unwrap().unwrap_err().code, Code::UpstreamTimeout);
    assert!(codes.contains(&Code::Overloaded), "{codes:?}");
}
