//! What the audit finds, in logs that were tampered with in every way we could think of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_ledger::audit::{Audit, Columns, Finding, Reason, Row, Summary};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::entry::{ApprovalAction, Entry, Event};
use interlock_ledger::note::{Origin, VerifierKey};
use interlock_ledger::samples::{self, SoftSigner};
use interlock_ledger::tile::{TilePath, TileWriter};
use interlock_ledger::tree::Hash;
use interlock_model::{Commitment, Mode, Outcome, UnixMillis};
use interlock_signature::Signer as _;
use std::collections::HashMap;

/// A stored row that can be tampered with.
#[derive(Clone)]
struct Stored {
    index: i64,
    kind: i64,
    at: i64,
    call: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

/// A stored log with everything published: rows, files, checkpoints.
#[derive(Clone)]
struct Log {
    rows: Vec<Stored>,
    files: HashMap<String, Vec<u8>>,
    checkpoints: Vec<Vec<u8>>,
    published: u64,
}

fn origin() -> Origin {
    "interlock.example/log".parse().unwrap()
}

fn key() -> VerifierKey {
    VerifierKey::new(origin(), SoftSigner::new(1).public_key())
}

fn stored(index: usize, entry: &Entry) -> Stored {
    Stored {
        index: index as i64,
        kind: entry.event.kind() as i64,
        at: entry.at.0 as i64,
        call: entry.call().map(|c| c.as_bytes().to_vec()),
        bytes: entry.to_bytes().unwrap(),
    }
}

/// The log of these entries, with a checkpoint after every `every` entries and at the end.
fn log(entries: &[Entry], every: usize) -> Log {
    let mut writer = TileWriter::default();
    let mut log = Log { rows: vec![], files: HashMap::new(), checkpoints: vec![], published: entries.len() as u64 };
    for (i, entry) in entries.iter().enumerate() {
        let row = stored(i, entry);
        writer.push(Hash::leaf(&row.bytes));
        log.rows.push(row);
        if (i + 1) % every == 0 || i + 1 == entries.len() {
            log.files.extend(writer.publish().into_iter().map(|f| (f.path.to_string(), f.bytes)));
            let note = Checkpoint::of(origin(), writer.frontier()).sign(&SoftSigner::new(1)).unwrap();
            log.checkpoints.push(note.to_string().into_bytes());
        }
    }
    log
}

impl Log {
    fn audit(&self, with_files: bool) -> Result<Summary, Finding> {
        let read = |path: &TilePath| self.files.get(&path.to_string()).cloned();
        if with_files {
            self.run(Audit::with_files(key(), read, self.published))
        } else {
            self.run(Audit::of_entries(key()))
        }
    }

    fn run<T: interlock_ledger::tile::Tiles>(&self, mut audit: Audit<T>) -> Result<Summary, Finding> {
        for note in &self.checkpoints {
            audit.checkpoint(note)?;
        }
        for row in &self.rows {
            let columns = Columns { kind: row.kind, at: row.at, call: row.call.as_deref() };
            audit.row(&Row { index: row.index, columns: Some(columns), entry: &row.bytes })?;
        }
        audit.finish()
    }

    /// Index and code of the first finding.
    fn finding(&self, with_files: bool) -> (u64, &'static str) {
        let finding = self.audit(with_files).expect_err("this log is bad");
        (finding.index, finding.reason.code())
    }

    fn renumber(&mut self) {
        for (i, row) in self.rows.iter_mut().enumerate() {
            row.index = i as i64;
        }
    }

    /// Replaces an entry together with its columns, as someone who knows the format would.
    fn replace(&mut self, at: usize, change: impl Fn(&mut Entry)) {
        let mut entry = Entry::from_bytes(&self.rows[at].bytes).unwrap();
        change(&mut entry);
        self.rows[at] = stored(at, &entry);
    }
}

/// A session with an approval, then pairs of intent and outcome up to `size` entries.
fn story(size: usize) -> Vec<Entry> {
    let mut approved = samples::call_record(1);
    approved.approval = Some(samples::approval(1));
    let mut entries = vec![
        samples::start(),
        samples::session_opened(),
        samples::approval_step(1, ApprovalAction::Requested),
        samples::denial(2),
        samples::approval_step(1, ApprovalAction::Approved),
        samples::entry(5, Event::Intent(approved)),
        samples::outcome(1),
    ];
    while entries.len() < size {
        let n = (entries.len() % 200) as u8;
        entries.push(samples::intent(n));
        entries.push(samples::outcome(n));
    }
    entries.truncate(size);
    entries
}

/// An entry that says something else and could stand in the same place.
fn another_time(entry: &mut Entry) {
    entry.at = UnixMillis(entry.at.0 + 1);
}

#[test]
fn a_log_as_it_should_be() {
    for size in [1, 2, 7, 8, 255, 256, 257, 600] {
        let log = log(&story(size), 100);
        for with_files in [false, true] {
            let summary = log.audit(with_files).unwrap_or_else(|f| panic!("size {size}: {f}"));
            assert_eq!(summary.entries, size as u64);
            assert_eq!(summary.signed, size as u64);
            assert_eq!(summary.checkpoints, size.div_ceil(100) as u64);
            assert_eq!(summary.published, if with_files { size as u64 } else { 0 });
        }
    }
    let empty = log(&[], 1).audit(true).unwrap();
    assert_eq!((empty.entries, empty.signed), (0, 0));
    // The newest entries may be stored and not yet signed or published; an intent may be open.
    let mut longer = log(&story(300), 100);
    longer.rows.push(stored(300, &samples::intent(250)));
    let summary = longer.audit(true).unwrap();
    assert_eq!((summary.entries, summary.signed, summary.published, summary.open_calls), (301, 300, 300, 2));
}

/// One entry is changed by someone who knows the format; with files the very entry is named.
#[test]
fn a_changed_entry_is_named() {
    let good = log(&story(300), 100);
    for at in (0..300).filter(|at| at % 23 == 0 || [99, 100, 255, 256, 299].contains(at)) {
        let mut bad = good.clone();
        bad.replace(at, another_time);
        assert_eq!(bad.finding(true), (at as u64, "entry_changed"));
        assert_eq!(bad.finding(false), (at as u64 / 100 * 100, "root"));
    }
}

#[test]
fn an_entry_changed_in_one_byte_is_named() {
    let good = log(&story(20), 7);
    for at in 0..20 {
        for byte in (at % 13..good.rows[at].bytes.len()).step_by(13) {
            let mut bad = good.clone();
            bad.rows[at].bytes[byte] ^= 1;
            let (index, code) = bad.finding(true);
            assert_eq!(index, at as u64, "byte {byte}: {code}");
        }
    }
}

#[test]
fn entries_left_out_added_or_exchanged_are_named() {
    let good = log(&story(300), 100);
    for at in [1, 7, 150, 255, 256, 298] {
        let mut gap = good.clone();
        gap.rows.remove(at);
        assert_eq!(gap.finding(true), (at as u64, "gap"));
        let mut again = good.clone();
        again.rows.insert(at, good.rows[at - 1].clone());
        assert_eq!(again.finding(true), (at as u64, "duplicate"));

        gap.renumber();
        let (index, code) = gap.finding(true);
        assert_eq!(index, at as u64, "left out and renumbered: {code}");
        again.renumber();
        let (index, code) = again.finding(true);
        assert_eq!(index, at as u64, "added and renumbered: {code}");

        let mut exchanged = good.clone();
        exchanged.rows.swap(at, at + 1);
        exchanged.renumber();
        let (index, code) = exchanged.finding(true);
        assert_eq!(index, at as u64, "exchanged: {code}");
    }
    let mut short = good.clone();
    short.rows.pop();
    assert_eq!(short.finding(true), (299, "cut_off"));
    assert_eq!(short.finding(false), (299, "cut_off"));
    short.checkpoints.pop();
    assert_eq!(short.finding(true), (299, "cut_off"), "the files were published at a larger size");
    let mut negative = good;
    negative.rows[0].index = -1;
    assert_eq!(negative.finding(false), (0, "duplicate"));
}

#[test]
fn a_column_that_lies_is_named() {
    let good = log(&story(20), 20);
    for (at, change) in [
        (3, (|r: &mut Stored| r.kind = 5) as fn(&mut Stored)),
        (3, |r| r.call = None),
        (3, |r| r.call = Some(vec![0; 16])),
        (1, |r| r.call = Some(vec![0; 16])),
        (0, |r| r.at += 1),
        (19, |r| r.at = -r.at),
    ] {
        let mut bad = good.clone();
        change(&mut bad.rows[at]);
        assert_eq!(bad.finding(true), (at as u64, "column"));
    }
}

/// Every file in turn is bent in several places, and the entries around the damage are named.
#[test]
fn a_changed_file_is_named() {
    let good = log(&story(520), 520);
    for (path, bytes) in &good.files {
        let parsed: TilePath = path.parse().unwrap();
        for at in [0, 31, 32, bytes.len() / 2, bytes.len() - 1] {
            let mut bad = good.clone();
            bad.files.get_mut(path).unwrap()[at] ^= 4;
            let (index, code) = bad.finding(true);
            assert_eq!(code, "file_changed", "{path} at {at}");
            let first = parsed.index() * 256;
            if path.starts_with("tile/0/") {
                assert_eq!(index, first + at as u64 / 32, "{path} at {at}");
            } else if path.starts_with("tile/1/") {
                assert_eq!(index, (at as u64 / 32) * 256, "{path} at {at}");
            } else {
                assert!((first..first + 256).contains(&index), "{path} at {at}");
            }
        }
        let mut longer = good.clone();
        longer.files.get_mut(path).unwrap().push(0);
        assert_eq!(longer.finding(true).1, "file_changed", "{path}");
        let mut shorter = good.clone();
        shorter.files.get_mut(path).unwrap().pop();
        assert_eq!(shorter.finding(true).1, "file_changed", "{path}");
        let mut gone = good.clone();
        gone.files.remove(path);
        assert_eq!(gone.finding(true).1, "file_missing", "{path}");
    }
}

/// A semantic fault after a changed entry does not hide the changed entry.
#[test]
fn the_first_bad_entry_wins() {
    let mut bad = log(&story(300), 300);
    bad.replace(20, another_time);
    bad.rows[200].kind = 1;
    assert_eq!(bad.finding(true), (20, "entry_and_file_disagree"));
    let mut bad = log(&story(300), 300);
    bad.rows[10].kind = 1;
    bad.replace(20, another_time);
    assert_eq!(bad.finding(true), (10, "column"));
}

#[test]
fn checkpoints_must_be_this_logs_and_of_these_entries() {
    let good = log(&story(300), 100);
    let other = log(&story(250), 250);
    // The same key signed another history of the same length: someone rewrote the log.
    let mut rewritten = good.clone();
    let mut entries = story(300);
    another_time(&mut entries[150]);
    rewritten.checkpoints.push(log(&entries, 300).checkpoints[0].clone());
    assert_eq!(rewritten.finding(false), (300, "fork"));
    rewritten.checkpoints.remove(2);
    assert_eq!(rewritten.finding(false), (200, "root"));
    let mut unsigned = good.clone();
    let text = String::from_utf8(good.checkpoints[0].clone()).unwrap().replace("\n100\n", "\n101\n");
    unsigned.checkpoints[0] = text.into_bytes();
    assert_eq!(unsigned.finding(false), (0, "checkpoint"));
    // Checkpoints may be handed over as their sizes are reached, but not later.
    let mut audit = Audit::of_entries(key());
    for row in &good.rows[..251] {
        audit.row(&Row { index: row.index, columns: None, entry: &row.bytes }).unwrap();
        if audit.size() == 250 {
            audit.checkpoint(&other.checkpoints[0]).unwrap();
        }
    }
    let late = audit.checkpoint(&other.checkpoints[0]).unwrap_err();
    assert!(matches!(late.reason, Reason::Late { size: 250 }));
}

/// Logs that are signed and published as they are, and tell a story that cannot have happened.
#[test]
fn invariants_1_3_and_5_what_cannot_have_happened_is_named() {
    let with = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = story(12);
        change(&mut entries);
        log(&entries, 100).finding(true)
    };
    let record = |entry: &mut Entry, change: &dyn Fn(&mut interlock_ledger::entry::CallRecord)| match &mut entry.event {
        Event::Intent(record) | Event::Denial(record) => change(record),
        other => panic!("no call record in {other:?}"),
    };
    assert_eq!(with(&|e| drop(e.remove(0))), (0, "not_started"));
    assert_eq!(with(&|e| drop(e.remove(5))), (5, "outcome_without_intent"));
    assert_eq!(with(&|e| e.push(samples::outcome(1))), (12, "outcome_without_intent"), "a second outcome");
    assert_eq!(with(&|e| e.insert(6, e[5].clone())), (6, "second_intent"));
    assert_eq!(with(&|e| e.insert(6, samples::denial(1))), (6, "denied_after_intent"));
    assert_eq!(with(&|e| record(&mut e[5], &|r| r.tool = None)), (5, "intent_without_tool"));
    assert_eq!(with(&|e| record(&mut e[5], &|r| r.session = samples::session(2))), (6, "outcome_in_other_session"));
    for outcome in [Outcome::Deny, Outcome::Defer, Outcome::StepUp] {
        let deny = |r: &mut interlock_ledger::entry::CallRecord| r.decision.outcome = outcome;
        assert_eq!(with(&|e| record(&mut e[7], &deny)), (7, "forwarded_though_denied"));
    }
    assert_eq!(with(&|e| drop(e.remove(4))), (4, "not_approved"), "asked for and never answered");
    assert_eq!(with(&|e| drop(e.drain(2..5))), (2, "not_approved"), "never asked for");
    assert_eq!(with(&|e| drop(e.remove(2))), (3, "approval_step"), "answered and never asked for");
    assert_eq!(with(&|e| e.insert(5, e[4].clone())), (5, "approval_step"), "answered twice");
    assert_eq!(with(&|e| e.insert(3, e[2].clone())), (3, "approval_step"), "asked for twice");
    assert_eq!(
        with(&|e| e.insert(5, samples::approval_step(1, ApprovalAction::Superseded))),
        (6, "not_approved"),
        "superseded before its use"
    );
    assert_eq!(with(&|e| e[4] = samples::approval_step(1, ApprovalAction::Denied)), (5, "not_approved"));
    assert_eq!(
        with(&|e| record(&mut e[7], &|r| r.approval = Some(samples::approval(1)))),
        (7, "not_approved"),
        "used a second time"
    );
    assert_eq!(with(&|e| record(&mut e[5], &|r| r.call_digest = Commitment([1; 32]))), (5, "approval_of_other_call"));
    assert_eq!(
        with(&|e| match &mut e[4].event {
            Event::Approval(event) => event.signature = None,
            other => panic!("{other:?}"),
        }),
        (4, "approval_unsigned")
    );
}

#[test]
fn modes_that_forward_what_is_denied_are_no_fault() {
    for mode in [Mode::Advisory, Mode::Silent] {
        let mut record = samples::call_record(9);
        record.mode = mode;
        record.decision.outcome = Outcome::Deny;
        let entries = [samples::start(), samples::entry(1, Event::Intent(record)), samples::outcome(9)];
        assert!(log(&entries, 3).audit(true).is_ok());
    }
}
