//! Comparing published hash tiles with the entries they stand for, as the entries go by.

use super::{Finding, Reason};
use crate::tile::{OpenTiles, TileFile, TileKind, TilePath, Tiles, WIDTH};
use crate::tree::Hash;

/// An entry and a published file disagree about this entry; a signed root will say which is wrong.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// The first entry concerned.
    pub(super) index: u64,
    /// The last one: a hash above the lowest level stands for many.
    last: u64,
    path: TilePath,
    missing: bool,
}

impl Suspicion {
    /// The earlier of two. Where `self` stands for entries among which `known` is, it says nothing new.
    pub(super) fn or_known(self, known: Option<Self>) -> Self {
        match known {
            Some(known) if known.index <= self.last => known,
            _ => self,
        }
    }

    pub(super) fn the_file_is_wrong(self) -> Finding {
        let reason = if self.missing { Reason::FileMissing(self.path) } else { Reason::File(self.path) };
        Finding { index: self.index, reason }
    }

    pub(super) fn the_entry_is_wrong(self, size: u64) -> Finding {
        // A file that is not there does not name an entry: all that is known is that the root differs.
        let reason =
            if self.missing { Reason::FileMissing(self.path) } else { Reason::Altered { path: self.path, size } };
        Finding { index: self.index, reason }
    }

    pub(super) fn unsettled(self) -> Finding {
        let reason = if self.missing { Reason::FileMissing(self.path) } else { Reason::Disagree(self.path) };
        Finding { index: self.index, reason }
    }
}

/// The files of a published tree.
#[derive(Debug)]
pub(super) struct Files<T> {
    tiles: T,
    size: u64,
    /// The hash tiles as the entries give them.
    expected: OpenTiles,
    /// The lowest hash tile that the current entries are in.
    lowest: Option<Reading>,
}

/// A file that is being compared piece by piece.
#[derive(Debug)]
struct Reading {
    path: TilePath,
    bytes: Vec<u8>,
    at: usize,
    /// The partial tile was gone and this is the full one; what follows is not this tree's business.
    longer: bool,
}

impl Reading {
    fn open<T: Tiles>(tiles: &T, path: TilePath) -> Option<Self> {
        let reading = |bytes, longer| Self { path, bytes, at: 0, longer };
        match tiles.tile(&path) {
            Some(bytes) => Some(reading(bytes, false)),
            None if path.is_full() => None,
            None => tiles.tile(&path.full()).map(|bytes| reading(bytes, true)),
        }
    }

    /// Whether the file goes on with `part`.
    fn goes_on_with(&mut self, part: &[u8]) -> bool {
        let start = self.at;
        self.at += part.len();
        self.bytes.get(start..self.at) == Some(part)
    }

    fn is_finished(&self) -> bool {
        self.longer || self.at == self.bytes.len()
    }
}

impl<T: Tiles> Files<T> {
    pub(super) fn new(tiles: T, size: u64) -> Self {
        Self { tiles, size, expected: OpenTiles::default(), lowest: None }
    }

    /// The size of the tree that was published.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Compares what the files say about the entry at `index`.
    pub(super) fn compare(&mut self, index: u64, leaf: Hash) -> Option<Suspicion> {
        if index >= self.size {
            return None;
        }
        let here = self.compare_leaf(index, leaf);
        let mut filled = Vec::new();
        self.expected.push(leaf, &mut filled);
        if index + 1 == self.size {
            filled.extend(self.expected.partial_since(0));
        }
        // The lowest level was compared entry by entry; where it differs, so must what is above.
        filled.iter().filter_map(|file| self.compare_upper(file)).fold(here, |known, above| Some(above.or_known(known)))
    }

    fn compare_leaf(&mut self, index: u64, leaf: Hash) -> Option<Suspicion> {
        let width = u64::from(WIDTH);
        if index.is_multiple_of(width) {
            let path = TilePath::in_tree(TileKind::Hashes(0), index / width, self.size)?;
            self.lowest = Reading::open(&self.tiles, path);
            if self.lowest.is_none() {
                return Some(Suspicion { index, last: index, path, missing: true });
            }
        }
        let last = index + 1 == self.size || (index + 1).is_multiple_of(width);
        let reading = self.lowest.as_mut()?;
        let fine = reading.goes_on_with(&leaf.0) && (!last || reading.is_finished());
        (!fine).then_some(Suspicion { index, last: index, path: reading.path, missing: false })
    }

    fn compare_upper(&self, expected: &TileFile) -> Option<Suspicion> {
        let TileKind::Hashes(level @ 1..) = expected.path.kind() else { return None };
        // A tile that is full only in a later tree than the published one is not looked for.
        let path = TilePath::in_tree(expected.path.kind(), expected.path.index(), self.size)?;
        if path != expected.path {
            return None;
        }
        // Each of its hashes stands for this many entries, as a power of two.
        let span = 8 * u32::from(level);
        let suspicion = |hash: u64, missing| {
            let index = (path.index() * u64::from(WIDTH) + hash) << span;
            Suspicion { index, last: index + (1 << span) - 1, path, missing }
        };
        let Some(found) = Reading::open(&self.tiles, path) else {
            return Some(suspicion(0, true));
        };
        let found =
            if found.longer { found.bytes.get(..expected.bytes.len()).unwrap_or_default() } else { &found.bytes };
        if *found == expected.bytes {
            return None;
        }
        let same = found.iter().zip(&expected.bytes).take_while(|(a, b)| a == b).count() as u64;
        Some(suspicion((same / 32).min(u64::from(path.width()) - 1), false))
    }
}
