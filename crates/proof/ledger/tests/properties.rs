//! Round trips, and parsers that answer whatever they are given.

#![allow(clippy::unwrap_used, reason = "tests")]

use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::entry::Entry;
use interlock_ledger::note::{Note, VerifierKey};
use interlock_ledger::receipt::Receipt;
use interlock_ledger::tile::{TileKind, TilePath, append_to_bundle, parse_bundle};
use interlock_ledger::tree::Hash;
use proptest::prelude::*;

proptest! {
    #[test]
    fn tile_paths_read_back(level in 0..8_u8, entries: bool, index: u64, size: u64) {
        let kind = if entries { TileKind::Entries } else { TileKind::Hashes(level) };
        // Most random indices are outside; the last tile of a tree is the interesting one.
        let edge = size.checked_shr(8 * (u32::from(if entries { 0 } else { level }) + 1)).unwrap_or(0);
        for index in [index, edge, edge.saturating_sub(1), edge.saturating_add(1)] {
            if let Some(path) = TilePath::in_tree(kind, index, size) {
                prop_assert_eq!(path.to_string().parse(), Ok(path));
                prop_assert_eq!((path.kind(), path.index()), (kind, index));
            }
        }
        prop_assert_eq!(TilePath::in_tree(kind, edge.saturating_add(1), size), None);
    }

    #[test]
    fn bundles_hold_what_was_written(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..300)) {
        let mut bundle = Vec::new();
        for entry in &entries {
            append_to_bundle(&mut bundle, entry).unwrap();
        }
        let found = parse_bundle(&bundle, u16::try_from(entries.len()).unwrap()).unwrap();
        prop_assert_eq!(found, entries);
    }

    #[test]
    fn parsers_answer(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "[ -~\n\u{2014}]{0,200}", width in 0..300_u16) {
        for input in [&bytes[..], text.as_bytes()] {
            let _ = Entry::from_bytes(input);
            let _ = Receipt::from_bytes(input);
            let _ = parse_bundle(input, width);
            if let Ok(note) = Note::parse(input) {
                prop_assert_eq!(note.to_string().into_bytes(), input);
            }
        }
        let _ = text.parse::<VerifierKey>();
        let _ = text.parse::<Hash>();
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text.clone());
        }
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}
