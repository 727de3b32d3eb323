//! Claims from issue to judgement, and what every change to them leads to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_claim::session::{SessionFold, SessionSummary, TranscriptError};
use interlock_claim::{CheckResult, Facts, IssueError, RecordError, Trust, TrustRecord, Verified, verify};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::entry::{AgentAction, CatalogAction, Entry, Event, SessionAction};
use interlock_ledger::samples::{self, SoftSigner};
use interlock_ledger::tree::Hash;
use interlock_model::json::{Json, Limits, canonical};
use interlock_model::{Digest, Mode, Outcome, Sensitivity, UnixMillis};
use interlock_signature::Signer as _;

const NOW: UnixMillis = UnixMillis(1_800_000_500_000);

fn signer() -> SoftSigner {
    SoftSigner::new(1)
}

/// Entries of session 1 among others.
fn log() -> Vec<Entry> {
    let mut other = samples::call_record(90);
    other.session = samples::session(2);
    vec![
        samples::start(),
        samples::agent_change(AgentAction::Added),
        samples::policy_change(1, true),
        samples::session_opened(),
        samples::entry(2, Event::Intent(other)),
        samples::intent(3),
        samples::policy_change(9, false),
        samples::denial(4),
        samples::catalog_change(CatalogAction::Activated),
        samples::outcome(3),
        samples::intent(5),
        samples::catalog_change(CatalogAction::Quarantined),
        samples::start(),
        samples::stop(),
    ]
}

fn fold(entries: &[Entry]) -> (Vec<u8>, SessionSummary) {
    let mut fold = SessionFold::new(samples::session(1));
    let mut transcript = fold.header().to_vec();
    for (index, entry) in entries.iter().enumerate() {
        transcript.extend(fold.add(index as u64, entry).unwrap());
    }
    (transcript, fold.finish().unwrap())
}

fn facts(size: u64) -> Facts {
    Facts {
        trust_domain: "example.org".parse().unwrap(),
        binary: Digest([11; 32]),
        checkpoint: Checkpoint {
            origin: "interlock.example/log".parse().unwrap(),
            size,
            root: Hash::leaf(&size.to_be_bytes()),
        },
        issued_at: NOW,
    }
}

fn issued(entries: &[Entry]) -> (TrustRecord, Vec<u8>) {
    let (transcript, summary) = fold(entries);
    (facts(entries.len() as u64).issue(&summary, &signer()).unwrap(), transcript)
}

fn judge(record: &[u8], transcript: Option<&[u8]>) -> Verified {
    let keys = [signer().public_key()];
    verify(record, &Trust { keys: &keys, transcript, checkpoints: &[], max_age_s: Some(Trust::MAX_AGE_S), now: NOW })
}

fn result(verified: &Verified, name: &str) -> CheckResult {
    verified.checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no check `{name}`")).result
}

#[test]
fn what_was_permitted_to_a_caller_that_acts_itself_was_not_forwarded() {
    let mut record = samples::call_record(5);
    (record.arguments.sent, record.arguments.sent_bytes) = (None, None);
    let mut entries = log();
    entries[10] = samples::entry(5, Event::Intent(record));
    let (_, summary) = fold(&entries);
    assert_eq!((summary.forwarded, summary.answered, summary.denied, summary.calls()), (1, 1, 1, 3));
}

#[test]
fn a_session_adds_up_and_its_transcript_tells_the_same() {
    let (transcript, summary) = fold(&log());
    assert_eq!((summary.first, summary.last), (3, 10));
    assert_eq!((summary.forwarded, summary.denied, summary.open, summary.calls()), (2, 1, 1, 3));
    assert_eq!(summary.policies, [samples::policy(1)]);
    assert_eq!(summary.catalog, Some(Digest([9; 32])), "the one activated before the last call");
    assert_eq!(summary.build.as_deref(), Some("0.1.0"));
    assert!(summary.enforcing);
    assert_eq!(summary.transcript, Digest::of(&transcript));
    // Start and policy before the opening, catalog before the outcome; neither the second start nor the stop.
    assert_eq!(summary.entries, 8);
    assert_eq!(SessionSummary::from_transcript(&transcript).unwrap(), summary);
    let entries = log().into_iter().enumerate().map(|(i, e)| (i as u64, e));
    assert_eq!(SessionSummary::from_entries(samples::session(1), entries).unwrap(), summary);
}

#[test]
fn every_changed_byte_or_line_of_a_transcript_is_refused() {
    let (record, transcript) = issued(&log());
    let record = record.to_bytes();
    for at in (0..transcript.len()).step_by(3) {
        let mut bent = transcript.clone();
        bent[at] ^= 1;
        let verdict = judge(&record, Some(&bent));
        assert!(!verdict.overall && result(&verdict, "transcript") == CheckResult::Failed, "byte {at}");
        assert_eq!(result(&verdict, "calls"), CheckResult::NotEvaluated, "byte {at}");
    }
    let lines: Vec<&[u8]> = transcript.split_inclusive(|b| *b == b'\n').collect();
    for i in 1..lines.len() - 1 {
        let swapped = [&lines[..i], &[lines[i + 1], lines[i]], &lines[i + 2..]].concat().concat();
        assert!(SessionSummary::from_transcript(&swapped).is_err(), "line {i}");
    }
    let context = [lines.concat().as_slice(), lines[1]].concat();
    assert!(matches!(SessionSummary::from_transcript(&context), Err(TranscriptError::Order(_))));
    let late = format!("{}{}", String::from_utf8_lossy(&transcript), "{\"entry\":{},\"index\":99}\n");
    assert!(SessionSummary::from_transcript(late.as_bytes()).is_err());
    let mut trailing = samples::start().to_bytes().unwrap();
    trailing = [&transcript[..], b"{\"entry\":", &trailing, b",\"index\":99}\n"].concat();
    assert!(matches!(SessionSummary::from_transcript(&trailing), Err(TranscriptError::Leftover)));
    assert!(matches!(SessionSummary::from_transcript(lines[0]), Err(TranscriptError::Empty)));
    assert!(SessionSummary::from_transcript(b"").is_err());
}

#[test]
fn a_session_of_two_people_is_refused() {
    let mut entries = log();
    let Event::Denial(record) = &mut entries[7].event else { panic!("a denial") };
    record.agent.owner = "eve@example.org".parse().unwrap();
    let entries = entries.into_iter().enumerate().map(|(i, e)| (i as u64, e));
    let summary = SessionSummary::from_entries(samples::session(1), entries);
    assert!(matches!(summary, Err(TranscriptError::Mixed(7))));
}

#[test]
fn records_are_canonical_and_read_back() {
    let bytes = issued(&log()).0.to_bytes();
    let json = Json::parse(&bytes[..], Limits::REQUEST).unwrap();
    assert_eq!(canonical::respell(json.root()), bytes);
    assert_eq!(TrustRecord::from_bytes(&bytes).unwrap().to_bytes(), bytes);
}

#[test]
fn an_honest_claim_holds_and_says_what_was_not_checked() {
    let (record, transcript) = issued(&log());
    let verdict = judge(&record.to_bytes(), Some(&transcript));
    assert!(verdict.overall, "{verdict:#?}");
    for name in ["form", "key", "signature", "age", "transcript", "calls", "subject", "policy", "mode", "data class"] {
        assert_eq!(result(&verdict, name), CheckResult::Verified, "{name}");
    }
    for name in ["checkpoint", "log", "hardware", "build", "appraisal", "revocation"] {
        assert_eq!(result(&verdict, name), CheckResult::NotEvaluated, "{name}");
    }
    let without = judge(&record.to_bytes(), None);
    assert!(without.overall);
    for name in ["transcript", "calls", "subject", "policy", "mode", "data class", "software commitment"] {
        assert_eq!(result(&without, name), CheckResult::NotEvaluated, "{name} without a transcript");
    }
}

#[test]
fn invariant_11_every_flipped_bit_of_a_record_is_refused() {
    let (record, transcript) = issued(&log());
    let bytes = record.to_bytes();
    for at in 0..bytes.len() {
        for bit in [0, 2, 5, 7] {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            assert!(!judge(&bent, Some(&transcript)).overall, "bit {bit} of byte {at}");
        }
    }
}

/// The issuer's own key signs a record that says something else than the entries.
#[test]
fn a_signed_lie_is_found_with_the_transcript() {
    let (record, transcript) = issued(&log());
    let lie = |change: &dyn Fn(&mut TrustRecord)| {
        let mut record = record.clone();
        change(&mut record);
        let verdict = judge(&record.sign(&signer()).to_bytes(), Some(&transcript));
        assert!(!verdict.overall);
        assert_eq!(result(&verdict, "signature"), CheckResult::Verified);
        verdict.checks.into_iter().filter(|c| c.result == CheckResult::Failed).map(|c| c.name).collect::<Vec<_>>()
    };
    assert_eq!(lie(&|r| r.tool_transcript.call_count = 2), ["calls"]);
    assert_eq!(lie(&|r| r.subject = "spiffe://example.org/agent/other".into()), ["subject"]);
    assert_eq!(lie(&|r| r.policy.bundle_hash = Digest([2; 32])), ["policy"]);
    assert_eq!(lie(&|r| r.policy.version = "2".into()), ["policy"]);
    assert_eq!(lie(&|r| r.policy.enforcement_mode = "advisory".into()), ["mode"]);
    assert_eq!(lie(&|r| r.data_class = "public".into()), ["data class"]);
    assert_eq!(lie(&|r| r.runtime.measurement = Digest([0; 32])), ["software commitment"]);
    assert_eq!(lie(&|r| r.build_provenance.digest = Digest([0; 32])), ["software commitment"]);
    assert_eq!(lie(&|r| r.tool_transcript.hash = Digest([0; 32])), ["transcript"]);
    assert_eq!(lie(&|r| r.references[0].digest = Digest([0; 32])), ["transcript"]);
    assert_eq!(lie(&|r| r.references[0].id = samples::session(2).to_string()), ["transcript"]);
    assert_eq!(lie(&|r| drop(r.references.pop())), ["checkpoint"]);
}

#[test]
fn keys_age_and_checkpoints() {
    let (record, _) = issued(&log());
    let bytes = record.to_bytes();
    let mine = [signer().public_key()];
    let base = Trust { keys: &mine, transcript: None, checkpoints: &[], max_age_s: Some(Trust::MAX_AGE_S), now: NOW };

    let stranger = [SoftSigner::new(2).public_key()];
    for keys in [&stranger[..], &[]] {
        let verdict = verify(&bytes, &Trust { keys, ..base });
        assert!(!verdict.overall);
        assert_eq!(result(&verdict, "key"), CheckResult::Failed);
        assert_eq!(result(&verdict, "signature"), CheckResult::NotEvaluated, "never by the record's own key");
    }
    for (now, max_age_s, age, overall) in [
        (NOW, Some(86_400), CheckResult::Verified, true),
        (NOW.plus_ms(86_400_000), Some(86_400), CheckResult::Verified, true),
        (NOW.plus_ms(86_401_000), Some(86_400), CheckResult::Failed, false),
        (NOW.plus_ms(86_401_000), None, CheckResult::NotEvaluated, true),
        (UnixMillis(NOW.0 - 300_000), Some(86_400), CheckResult::Verified, true),
        (UnixMillis(NOW.0 - 301_000), Some(86_400), CheckResult::Failed, false),
        (UnixMillis(NOW.0 - 301_000), None, CheckResult::Failed, false),
    ] {
        let verdict = verify(&bytes, &Trust { now, max_age_s, ..base });
        assert_eq!((result(&verdict, "age"), verdict.overall), (age, overall), "{now:?} {max_age_s:?}");
    }
    let size = log().len() as u64;
    let same = facts(size).checkpoint;
    let fork = Checkpoint { root: Hash::EMPTY, ..same.clone() };
    let later = facts(size + 1).checkpoint;
    for (checkpoint, expected) in
        [(same, CheckResult::Verified), (fork, CheckResult::Failed), (later, CheckResult::NotEvaluated)]
    {
        let verdict = verify(&bytes, &Trust { checkpoints: std::slice::from_ref(&checkpoint), ..base });
        assert_eq!(result(&verdict, "checkpoint"), expected, "{checkpoint}");
    }
}

#[test]
fn invariant_3_one_call_in_a_forwarding_mode_makes_a_claim_advisory() {
    for mode in [Mode::Advisory, Mode::Silent] {
        let mut entries = log();
        let Event::Intent(record) = &mut entries[5].event else { panic!("an intent") };
        record.mode = mode;
        record.decision.outcome = Outcome::Deny;
        assert_eq!(issued(&entries).0.policy.enforcement_mode, "advisory", "{mode}");
    }
    assert_eq!(issued(&log()).0.policy.enforcement_mode, "enforce");
    // Without calls, the daemon's mode counts.
    let mut entries = vec![samples::start(), samples::session_opened()];
    assert_eq!(issued(&entries).0.policy.enforcement_mode, "enforce");
    let Event::Start(start) = &mut entries[0].event else { panic!("a start") };
    start.mode = Mode::Silent;
    assert_eq!(issued(&entries).0.policy.enforcement_mode, "advisory");
}

#[test]
fn several_bundles_are_named_and_labels_raise_the_class() {
    let mut entries = log();
    let Event::Intent(record) = &mut entries[10].event else { panic!("an intent") };
    record.policy = samples::policy(2);
    record.obligations = vec!["label:restricted".into(), "label:customer".into()];
    let (record, transcript) = issued(&entries);
    assert_eq!(record.policy.version, "1, 2 in turn; the hash is of 2");
    assert_eq!(record.policy.bundle_hash, samples::policy(2).digest);
    assert_eq!(record.data_class, Sensitivity::Restricted.as_str());
    assert!(judge(&record.to_bytes(), Some(&transcript)).overall);
}

#[test]
fn what_cannot_be_claimed_is_not() {
    let (_, summary) = fold(&log());
    assert_eq!(facts(10).issue(&summary, &signer()), Err(IssueError::Uncovered { size: 10, last: 10 }));
    assert!(facts(11).issue(&summary, &signer()).is_ok());
    let (_, headless) = fold(&[samples::session_opened()]);
    assert_eq!(facts(1).issue(&headless, &signer()), Err(IssueError::NoPolicy));
    let (_, headless) = fold(&[samples::session_opened(), samples::intent(1)]);
    assert_eq!(facts(2).issue(&headless, &signer()), Err(IssueError::NoBuild));
    let reset = |e: &mut Entry| match &mut e.event {
        Event::Session(event) => event.action = SessionAction::Reset,
        other => panic!("{other:?}"),
    };
    let mut ended = samples::session_opened();
    reset(&mut ended);
    assert_eq!(fold(&[samples::start(), samples::session_opened(), ended]).1.last, 2);
}

#[test]
fn records_of_another_form_are_refused() {
    let text = String::from_utf8(issued(&log()).0.to_bytes()).unwrap();
    let bent = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        TrustRecord::from_bytes(text.replacen(from, to, 1).as_bytes()).expect_err(to)
    };
    assert!(matches!(bent("trace-v0.2", "trace-v0.1"), RecordError::Profile(_)));
    assert!(matches!(bent("\"iat\":", "\"extra\":1,\"iat\":"), RecordError::Form(_)));
    assert!(matches!(bent("\"kty\":", "\"d\":\"AA\",\"kty\":"), RecordError::Form(_)));
    assert!(matches!(bent("\"iat\":", "\"iat\":1800000500,\"iat\":"), RecordError::Json(_)));
    assert!(matches!(bent("\"iat\":1800000500", "\"iat\":1600000000"), RecordError::Range("iat")));
    assert!(matches!(bent("\"call_count\":3", "\"call_count\":9007199254740992"), RecordError::Range(_)));
    assert!(matches!(bent("\"call_count\":3", "\"call_count\":3.0"), RecordError::Form(_)));
    assert!(matches!(bent("{\"appraisal\"", "{ \"appraisal\""), RecordError::Spelling));
    assert!(matches!(bent("\"OKP\"", "\"EC\""), RecordError::Key));
    assert!(matches!(bent("\"x\":\"", "\"x\":\"AA"), RecordError::Key));
    assert!(matches!(bent("\"signature\":\"", "\"signature\":\"="), RecordError::Signature));
    let nested = format!("{}{}", "[".repeat(40), "]".repeat(40));
    assert!(matches!(TrustRecord::from_bytes(nested.as_bytes()), Err(RecordError::Json(_))));
    assert!(matches!(TrustRecord::from_bytes(&[b' '; 65_537]), Err(RecordError::TooLarge(65_537))));
}
