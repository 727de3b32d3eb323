//! Agreement with independent implementations: tlog_tiles for trees, proofs and tiles, signed_note for notes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::note::{Note, Origin, VerifierKey};
use interlock_ledger::proof::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};
use interlock_ledger::samples::SoftSigner;
use interlock_ledger::tile::TileWriter;
use interlock_ledger::tree::{Frontier, Hash, root_of};
use interlock_signature::Signer as _;
use signed_note::Verifier as _;
use std::cell::RefCell;
use tlog_tiles::tlog::{self, HashReader};

/// The other implementation's store of every hash.
#[derive(Default)]
struct Stored(RefCell<Vec<tlog::Hash>>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|i| self.0.borrow()[*i as usize]).collect())
    }
}

fn entry(i: u64) -> Vec<u8> {
    vec![i as u8; (i % 300) as usize]
}

fn theirs(hashes: &[Hash]) -> Vec<tlog::Hash> {
    hashes.iter().map(|h| tlog::Hash(h.0)).collect()
}

#[test]
fn roots_and_proofs_agree_at_every_size() {
    let stored = Stored::default();
    let mut leaves = Vec::new();
    for n in 0..300_u64 {
        let new = tlog::stored_hashes(n, &entry(n), &stored).unwrap();
        stored.0.borrow_mut().extend(new);
        leaves.push(Hash::leaf(&entry(n)));
        let size = n + 1;
        let root = root_of(&leaves);
        assert_eq!(tlog::tree_hash(size, &stored).unwrap().0, root.0, "size {size}");
        for other in [0, 1.min(n), n / 3, n / 2, n.saturating_sub(1), n] {
            let path = prove_inclusion(&leaves, other, size).unwrap();
            assert_eq!(tlog::prove_record(size, other, &stored).unwrap(), theirs(&path), "{other} in {size}");
            let leaf = tlog::Hash(leaves[other as usize].0);
            tlog::check_record(&theirs(&path), size, tlog::Hash(root.0), other, leaf).unwrap();
            assert_eq!(verify_inclusion(other, size, &leaves[other as usize], &path, &root), Ok(()));

            let old = (other + 1).min(size);
            let path = prove_consistency(&leaves, old, size).unwrap();
            assert_eq!(tlog::prove_tree(size, old, &stored).unwrap(), theirs(&path), "{old} to {size}");
            let old_root = root_of(&leaves[..old as usize]);
            assert_eq!(verify_consistency(old, &old_root, size, &root, &path), Ok(()));
        }
    }
}

#[test]
fn tiles_agree() {
    let stored = Stored::default();
    let mut writer = TileWriter::default();
    let mut published = 0;
    for (n, publish_at) in
        (0..2000_u64).map(|n| (n, [1, 2, 255, 256, 257, 511, 1000, 1024, 1999, 2000].contains(&(n + 1))))
    {
        let new = tlog::stored_hashes(n, &entry(n), &stored).unwrap();
        stored.0.borrow_mut().extend(new);
        writer.push(Hash::leaf(&entry(n)));
        if !publish_at {
            continue;
        }
        let size = n + 1;
        let mut ours: Vec<(String, Vec<u8>)> =
            writer.publish().into_iter().map(|file| (file.path.to_string(), file.bytes)).collect();
        let mut theirs: Vec<(String, Vec<u8>)> = tlog_tiles::Tile::new_tiles(8, published, size)
            .into_iter()
            .map(|tile| (tile.path().replacen("tile/8/", "tile/", 1), tile.read_data(&stored).unwrap()))
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "from {published} to {size}");
        published = size;
    }
}

#[test]
fn notes_agree() {
    let signer = SoftSigner::new(3);
    let origin: Origin = "interlock.example/log".parse().unwrap();
    let key = VerifierKey::new(origin.clone(), signer.public_key());
    let mut frontier = Frontier::default();
    frontier.push(Hash::leaf(b"only"));
    let checkpoint = Checkpoint::of(origin.clone(), &frontier);
    let note = checkpoint.sign(&signer).unwrap();

    let their_key = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
    assert_eq!(their_key.key_id().to_be_bytes(), key.id());
    let their_note = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    assert_eq!(their_note.text(), note.text().as_bytes());
    their_note.verify(&signed_note::VerifierList::new(vec![Box::new(their_key)])).unwrap();
    let theirs = tlog_tiles::Checkpoint::from_bytes(note.text().as_bytes()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (origin.as_str(), 1, frontier.root().0));

    // And the other way: what they wrote, we read.
    let theirs = tlog_tiles::Checkpoint::new(origin.as_str(), 7, tlog::Hash([9; 32]), "").unwrap();
    let text = String::from_utf8(theirs.to_bytes()).unwrap();
    assert_eq!(Checkpoint::parse(&text).unwrap().size, 7);
    assert_eq!(Note::parse(&their_note.to_bytes()).unwrap(), note);
}
