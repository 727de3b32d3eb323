//! Files as an auditor gets them, judged by the library and by the binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_claim::{Facts, SessionFold};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::note::{Origin, VerifierKey};
use interlock_ledger::proof::prove_inclusion;
use interlock_ledger::receipt::Receipt;
use interlock_ledger::samples::{self, SoftSigner};
use interlock_ledger::tree::{Frontier, Hash};
use interlock_model::{Digest, UnixMillis};
use interlock_signature::Signer as _;
use interlock_verifier::{
    Check, CheckResult, Given, Keys, Kind, Report, checkpoint_in, printable, verify_file, verify_with,
};
use std::path::Path;
use std::process::{Command, Output};

struct Files {
    claim: Vec<u8>,
    transcript: Vec<u8>,
    receipt: Vec<u8>,
    checkpoint: Vec<u8>,
    keys: String,
    now: UnixMillis,
}

/// One of everything, from one log.
fn files(now: UnixMillis) -> Files {
    let entries = [samples::start(), samples::session_opened(), samples::intent(1), samples::outcome(1)];
    let bytes: Vec<Vec<u8>> = entries.iter().map(|e| e.to_bytes().unwrap()).collect();
    let leaves: Vec<Hash> = bytes.iter().map(|b| Hash::leaf(b)).collect();
    let origin: Origin = "interlock.example/log".parse().unwrap();
    let (log, claims) = (SoftSigner::new(1), SoftSigner::new(2));
    let checkpoint = Checkpoint::of(origin.clone(), &Frontier::restore(4, &leaves).unwrap());
    let note = checkpoint.sign(&log).unwrap();
    let receipt = Receipt::new(&note, bytes[2].clone(), 2, prove_inclusion(&leaves, 2, 4).unwrap());
    let mut fold = SessionFold::new(samples::session(1));
    let mut transcript = fold.header().to_vec();
    for (index, entry) in (0..).zip(&entries) {
        transcript.extend(fold.add(index, entry).unwrap());
    }
    let facts =
        Facts { trust_domain: "example.org".parse().unwrap(), binary: Digest([1; 32]), checkpoint, issued_at: now };
    let record = facts.issue(&fold.finish().unwrap(), &claims).unwrap();
    Files {
        claim: record.to_bytes(),
        transcript,
        receipt: receipt.to_bytes(),
        checkpoint: note.to_string().into_bytes(),
        keys: format!("# log\n{}\n# claims\n{}\n", VerifierKey::new(origin, log.public_key()), claims.public_key()),
        now,
    }
}

fn results(report: &Report) -> Vec<(&str, CheckResult)> {
    report.checks.iter().map(|c| (c.name, c.result)).collect()
}

const NOW: UnixMillis = UnixMillis(1_800_000_900_000);

#[test]
fn every_kind_is_recognised_and_verified() {
    use CheckResult::{NotEvaluated, Verified};
    let files = files(NOW);
    let keys = Keys::parse(&files.keys).unwrap();
    let checkpoint = verify_file(&files.checkpoint, &keys, files.now);
    assert_eq!(checkpoint.kind, Some(Kind::Checkpoint));
    assert_eq!(
        results(&checkpoint),
        [("form", Verified), ("signature", Verified), ("other entries", NotEvaluated), ("witnesses", NotEvaluated)]
    );
    let receipt = verify_file(&files.receipt, &keys, files.now);
    assert_eq!(
        results(&receipt),
        [
            ("form", Verified),
            ("checkpoint", Verified),
            ("inclusion", Verified),
            ("entry", Verified),
            ("other entries", NotEvaluated),
            ("witnesses", NotEvaluated)
        ]
    );
    let claim = verify_file(&files.claim, &keys, files.now);
    assert!(checkpoint.verified && receipt.verified && claim.verified);

    let checkpoints = [checkpoint_in(&files.receipt, &keys).unwrap()];
    let transcript = Some(&files.transcript[..]);
    let all = Given { keys: &keys, transcript, checkpoints: &checkpoints, max_age_s: None, now: files.now };
    let claim = verify_with(&files.claim, &all);
    let not_made: Vec<&str> = claim.checks.iter().filter(|c| c.result == NotEvaluated).map(|c| c.name).collect();
    assert_eq!(not_made, ["age", "log", "hardware", "build", "appraisal", "revocation"]);
}

#[test]
fn nothing_is_verified_without_keys_or_with_others() {
    let files = files(NOW);
    let swapped = format!(
        "{}\n{}\n",
        VerifierKey::new("interlock.example/log".parse().unwrap(), SoftSigner::new(2).public_key()),
        SoftSigner::new(1).public_key()
    );
    for keys in ["", &swapped] {
        let keys = Keys::parse(keys).unwrap();
        for file in [&files.claim, &files.receipt, &files.checkpoint, &files.transcript] {
            assert!(!verify_file(file, &keys, files.now).verified);
        }
    }
}

#[test]
fn every_flipped_bit_of_every_file_is_not_verified() {
    let files = files(NOW);
    let keys = Keys::parse(&files.keys).unwrap();
    for file in [&files.claim, &files.receipt, &files.checkpoint] {
        for at in 0..file.len() {
            for bit in [0, 5, 7] {
                let mut bent = file.clone();
                bent[at] ^= 1 << bit;
                assert!(!verify_file(&bent, &keys, files.now).verified, "bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn what_is_not_ours_is_not_verified() {
    let keys = Keys::parse(&files(NOW).keys).unwrap();
    for other in
        [&b""[..], b"{", b"{}", b"[]", b"null", b"\xff", b"{\"cmcp_version\":\"1.0\"}", b"a\n\n\xe2\x80\x94 b c\n"]
    {
        let report = verify_file(other, &keys, NOW);
        assert!(!report.verified && report.kind.is_none(), "{report}");
    }
}

#[test]
fn invariant_11_a_report_without_a_holding_check_is_not_verified() {
    let unchecked = Check::not_evaluated("hardware", "");
    assert!(!Report::new(None, "", vec![]).verified);
    assert!(!Report::new(None, "", vec![unchecked.clone()]).verified);
    assert!(!Report::new(None, "", vec![Check::verified("a", ""), Check::failed("b", "")]).verified);
    let report = Report::new(Some(Kind::Claim), "of x", vec![Check::verified("a", "b"), unchecked]);
    assert!(report.to_string().ends_with("=> verified; one check was not made\n"), "{report}");
}

#[test]
fn a_terminal_is_not_moved_by_a_file() {
    assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\nd\u{9b}"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}d\\u{9b}");
    assert_eq!(printable("über — ok"), "über — ok");
}

fn run(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_interlock-verify")).current_dir(dir).args(arguments).output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code().unwrap(), text)
}

/// The gateway is nowhere near: an empty directory with the files, an empty environment, and the binary alone.
#[test]
fn invariant_9_files_verify_far_from_the_gateway() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let files = files(UnixMillis(now));
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("interlock-verify");
    std::fs::copy(env!("CARGO_BIN_EXE_interlock-verify"), &binary).unwrap();
    for (name, bytes) in [
        ("claim", &files.claim[..]),
        ("receipt", &files.receipt),
        ("checkpoint", &files.checkpoint),
        ("keys", files.keys.as_bytes()),
    ] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let verify = |file: &str| {
        let mut command = Command::new(&binary);
        command.env_clear().current_dir(dir.path()).args(["--key", "keys", file]).output().unwrap()
    };
    for file in ["claim", "receipt", "checkpoint"] {
        let Output { status, stdout, stderr } = verify(file);
        let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{file}: {said}");
    }
    std::fs::write(dir.path().join("receipt"), &files.receipt[..files.receipt.len() - 9]).unwrap();
    assert!(!verify("receipt").status.success(), "and it is the files that it looks at");
}

#[test]
fn the_binary_answers_with_its_exit_code() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let files = files(UnixMillis(now));
    let old = self::files(UnixMillis(now - 90_000_000));
    let dir = tempfile::tempdir().unwrap();
    let mut bent = files.claim.clone();
    let at = bent.len() / 2;
    bent[at] ^= 1;
    for (name, bytes) in [
        ("claim.json", &files.claim),
        ("old.json", &old.claim),
        ("bent.json", &bent),
        ("transcript.ndjson", &files.transcript),
        ("receipt.json", &files.receipt),
        ("checkpoint", &files.checkpoint),
        ("keys.txt", &files.keys.clone().into_bytes()),
        ("bad.txt", &b"not a key\n".to_vec()),
    ] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let log_key = files.keys.lines().nth(1).unwrap();
    for (arguments, code, text) in [
        (&["claim.json", "receipt.json", "checkpoint", "--key", "keys.txt"][..], 0, "=> verified"),
        (&["claim.json", "--key=keys.txt", "--transcript", "transcript.ndjson"], 0, "ok           transcript"),
        (&["claim.json", "receipt.json", "--key", "keys.txt"], 0, "ok           checkpoint           size 4"),
        (&["claim.json", "--key", "keys.txt"], 0, "not checked  hardware             software-only"),
        (&["checkpoint", "--key", log_key], 0, "ok           signature"),
        (&["claim.json", "--key", log_key], 1, "FAILED       key"),
        (&["claim.json"], 1, "no key to trust was given"),
        (&["bent.json", "--key", "keys.txt"], 1, "NOT VERIFIED"),
        (&["checkpoint", "bent.json", "--key", "keys.txt"], 1, "NOT VERIFIED"),
        (&["old.json", "--key", "keys.txt"], 1, "FAILED       age"),
        (&["old.json", "--key", "keys.txt", "--max-age", "any"], 0, "not checked  age"),
        (&["old.json", "--key", "keys.txt", "--max-age", "100000"], 0, "ok           age"),
        (&["transcript.ndjson", "--key", "keys.txt"], 1, "FAILED       signature"),
        (&["keys.txt"], 1, "unknown kind of file"),
        (&["claim.json", "--key", "keys.txt", "--json"], 0, "\"result\":\"not_evaluated\""),
        (&[], 2, "no file to verify"),
        (&["claim.json", "--frob"], 2, "--frob"),
        (&["claim.json", "--max-age", "old"], 2, "--max-age"),
        (&["claim.json", "--key", "bad.txt"], 2, "line 1 is not a key"),
        (&["absent.json"], 3, "cannot read `absent.json`"),
        (&["claim.json", "--key", "absent.txt"], 3, "cannot read `absent.txt`"),
        (&["--help"], 0, "Exit codes"),
        (&["--version"], 0, "interlock-verify 0"),
    ] {
        let (found, output) = run(dir.path(), arguments);
        assert_eq!(found, code, "{arguments:?}\n{output}");
        assert!(output.contains(text), "{arguments:?} lacks {text:?}\n{output}");
    }
    let (_, json) = run(dir.path(), &["claim.json", "checkpoint", "--key", "keys.txt", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verified"], true);
    assert_eq!(json["files"][1]["report"]["kind"], "checkpoint");
}
