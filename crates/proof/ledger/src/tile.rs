//! The log as static files: hash tiles and entry bundles, 256 wide.
//!
//! In scope: paths, contents, and which files a grown log has to write. Out of scope: writing them.
//! Source: C2SP tlog-tiles.

mod path;

use crate::entry::Entry;
use crate::tree::{Frontier, Hash, HashSource, MissingHash, root_of};
pub use path::{InvalidTilePath, TileKind, TilePath, WIDTH};
use path::{LEVELS, at_level};

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileFile {
    /// Where it goes.
    pub path: TilePath,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Why a tile's bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Hash tiles hold 32 bytes for each hash and nothing else.
    #[error("a hash tile of {len} bytes does not hold {width} hashes")]
    Length {
        /// Bytes found.
        len: usize,
        /// Hashes expected.
        width: u16,
    },
    /// An entry bundle ends in the middle of entry `at`, counted from the bundle's first.
    #[error("the bundle ends in the middle of its entry {at}")]
    Truncated {
        /// Which entry.
        at: u16,
    },
    /// Bytes after the last entry.
    #[error("{0} bytes follow the bundle's last entry")]
    Trailing(usize),
}

/// The hashes in a tile.
///
/// # Errors
///
/// [`TileError::Length`].
pub fn parse_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != usize::from(width) || !rest.is_empty() {
        return Err(TileError::Length { len: bytes.len(), width });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// The entries in a bundle of `width` entries.
///
/// # Errors
///
/// [`TileError::Truncated`], [`TileError::Trailing`].
pub fn parse_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    for at in 0..width {
        let truncated = TileError::Truncated { at };
        let (length, after) = rest.split_first_chunk::<2>().ok_or(truncated)?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(truncated)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::Trailing(rest.len())) }
}

/// Somewhere tiles can be read. `None` means that there is no such file.
pub trait Tiles {
    /// The bytes of the tile at `path`.
    fn tile(&self, path: &TilePath) -> Option<Vec<u8>>;
}

impl<F: Fn(&TilePath) -> Option<Vec<u8>>> Tiles for F {
    fn tile(&self, path: &TilePath) -> Option<Vec<u8>> {
        self(path)
    }
}

/// Subtree hashes read from the tiles of a published tree. Nothing is trusted: what comes of it is
/// compared with a signed root.
#[derive(Clone, Debug)]
pub struct TileHashes<T> {
    tiles: T,
    size: u64,
}

impl<T: Tiles> TileHashes<T> {
    /// The tiles of the tree of `size` leaves.
    pub const fn new(tiles: T, size: u64) -> Self {
        Self { tiles, size }
    }

    /// The hashes of one tile, taken from the full tile if the partial one is gone.
    fn read(&self, path: TilePath) -> Option<Vec<Hash>> {
        if let Some(hashes) = self.tiles.tile(&path).and_then(|b| parse_hashes(&b, path.width()).ok()) {
            return Some(hashes);
        }
        let mut hashes = parse_hashes(&self.tiles.tile(&path.full())?, WIDTH).ok()?;
        hashes.truncate(usize::from(path.width()));
        Some(hashes)
    }
}

impl<T: Tiles> HashSource for TileHashes<T> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        let (tile_level, within) = (level / 8, level % 8);
        let first = index.checked_mul(1 << within)?;
        let path = TilePath::in_tree(TileKind::Hashes(tile_level), first / u64::from(WIDTH), self.size)?;
        let offset = usize::try_from(first % u64::from(WIDTH)).ok()?;
        self.read(path)?.get(offset..offset + (1 << within)).map(root_of)
    }
}

/// Hash tiles while the tree grows: the part of each level that no full tile holds yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenTiles {
    levels: Vec<Vec<Hash>>,
    size: u64,
}

impl OpenTiles {
    fn restore<S: HashSource + ?Sized>(size: u64, source: &S) -> Result<Self, MissingHash> {
        let mut levels = Vec::new();
        for level in 0..LEVELS {
            let end = at_level(size, level);
            if end == 0 {
                break;
            }
            let start = end - end % u64::from(WIDTH);
            let hashes = (start..end)
                .map(|index| source.hash(level * 8, index).ok_or(MissingHash { level: level * 8, index }))
                .collect::<Result<_, _>>()?;
            levels.push(hashes);
        }
        Ok(Self { levels, size })
    }

    /// Appends a leaf hash and gives the tiles it filled to `full`, lowest first.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut Vec<TileFile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..LEVELS {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(open) = self.levels.get_mut(usize::from(level)) else { return };
            open.push(hash);
            if open.len() < usize::from(WIDTH) {
                return;
            }
            let index = at_level(self.size, level) / u64::from(WIDTH) - 1;
            full.push(hash_tile(level, index, open));
            hash = root_of(open);
            open.clear();
        }
    }

    /// The partial tiles that the tree of `before` leaves did not have in this form.
    pub(crate) fn partial_since(&self, before: u64) -> impl Iterator<Item = TileFile> {
        (0..LEVELS).zip(&self.levels).filter_map(move |(level, open)| {
            let now = at_level(self.size, level);
            let changed = at_level(before, level) != now && !open.is_empty();
            changed.then(|| hash_tile(level, now / u64::from(WIDTH), open))
        })
    }
}

fn hash_tile(level: u8, index: u64, hashes: &[Hash]) -> TileFile {
    let width = u16::try_from(hashes.len()).unwrap_or(WIDTH);
    let path = TilePath::new(TileKind::Hashes(level), index, width);
    TileFile { path, bytes: hashes.iter().flat_map(|h| h.0).collect() }
}

/// An entry is too long for a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry of {len} bytes is over {max}", max = Entry::MAX_LEN)]
pub struct TooLong {
    len: usize,
}

/// Turns a growing log into hash tiles. Fed leaf hashes, it says which files to write: every full tile
/// once, and at each publication the partial ones that changed. Entry bundles are for who keeps the entries
/// to make ([`append_to_bundle`]).
///
/// It holds at most 255 hashes for each level.
#[derive(Clone, Debug, Default)]
pub struct TileWriter {
    frontier: Frontier,
    open: OpenTiles,
    /// Filled since the last publication.
    full: Vec<TileFile>,
    /// Tree size at the last publication.
    published: u64,
}

impl TileWriter {
    /// Goes on at `size`, the size of the last published checkpoint. Entries that are stored but were not
    /// yet published are then pushed again.
    ///
    /// # Errors
    ///
    /// [`MissingHash`] if the hashes of the right edge are incomplete.
    pub fn resume<S: HashSource + ?Sized>(size: u64, source: &S) -> Result<Self, MissingHash> {
        let open = OpenTiles::restore(size, source)?;
        Ok(Self { frontier: Frontier::restore(size, source)?, open, full: Vec::new(), published: size })
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf);
        self.open.push(leaf, &mut self.full);
    }

    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The tree so far: its size and root.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The full tiles since the last publication, to be written before memory fills up. Full tiles are not
    /// given again.
    pub fn take_full(&mut self) -> Vec<TileFile> {
        std::mem::take(&mut self.full)
    }

    /// The files that must be durable before a checkpoint of this size is shown to anyone: full tiles since
    /// the last publication, then the partial ones that changed.
    pub fn publish(&mut self) -> Vec<TileFile> {
        let mut files = self.take_full();
        files.extend(self.open.partial_since(self.published));
        self.published = self.size();
        files
    }
}

/// Appends an entry to an entry bundle.
///
/// # Errors
///
/// [`TooLong`]; the bundle is as it was then.
pub fn append_to_bundle(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TooLong> {
    let length = u16::try_from(entry.len()).map_err(|_| TooLong { len: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::{prove_consistency, prove_inclusion};
    use std::collections::HashMap;

    fn entry(i: u64) -> Vec<u8> {
        format!("entry {i}").into_bytes()
    }

    #[test]
    fn bundles_refuse_what_is_missing_or_left_over() {
        let mut bundle = Vec::new();
        for e in [&b"a"[..], b"", &[7; 65_535]] {
            append_to_bundle(&mut bundle, e).unwrap();
        }
        assert_eq!(parse_bundle(&bundle, 3).unwrap(), [&b"a"[..], b"", &[7; 65_535]]);
        assert_eq!(parse_bundle(&bundle, 2), Err(TileError::Trailing(65_537)));
        assert_eq!(parse_bundle(&bundle, 4), Err(TileError::Truncated { at: 3 }));
        assert_eq!(parse_bundle(&bundle[..bundle.len() - 1], 3), Err(TileError::Truncated { at: 2 }));
        assert_eq!(parse_bundle(&bundle[..1], 1), Err(TileError::Truncated { at: 0 }));
        assert_eq!(append_to_bundle(&mut bundle, &[0; 65_536]), Err(TooLong { len: 65_536 }));
        assert_eq!(parse_hashes(&[0; 33], 1), Err(TileError::Length { len: 33, width: 1 }));
        assert_eq!(parse_hashes(&[0; 32], 2), Err(TileError::Length { len: 32, width: 2 }));
    }

    /// Publishes at odd sizes past two levels of tiles, keeps the files as a store would, and rebuilds from them.
    #[test]
    fn files_are_written_once_and_suffice_for_everything() {
        const LAST: u64 = 66_000;
        let mut files: HashMap<String, Vec<u8>> = HashMap::new();
        let mut writer = TileWriter::default();
        let mut leaves = Vec::new();
        for i in 0..LAST {
            leaves.push(Hash::leaf(&entry(i)));
            writer.push(leaves[leaves.len() - 1]);
            if i % 997 == 0 || i % 256 == 255 || i + 1 == LAST {
                for file in writer.publish() {
                    let before = files.insert(file.path.to_string(), file.bytes);
                    assert_eq!(before, None, "{} was written twice", file.path);
                }
                assert_eq!(writer.publish(), [], "nothing changed");
            }
        }
        assert_eq!(files.keys().filter(|k| k.starts_with("tile/0/") && !k.contains(".p/")).count(), 257);
        assert!(files.contains_key("tile/1/000") && files.contains_key("tile/2/000.p/1"));
        let read = |path: &TilePath| files.get(&path.to_string()).cloned();

        let tiles = TileHashes::new(read, LAST);
        let restored = Frontier::restore(LAST, &tiles).unwrap();
        assert_eq!(&restored, writer.frontier());
        assert_eq!(restored.root(), root_of(&leaves));
        for index in [0, 255, 256, 65_535, 65_536, LAST - 1] {
            assert_eq!(prove_inclusion(&tiles, index, LAST), prove_inclusion(&leaves, index, LAST), "{index}");
            assert_eq!(
                prove_consistency(&tiles, index + 1, LAST),
                prove_consistency(&leaves, index + 1, LAST),
                "{index}"
            );
        }

        let mut resumed = TileWriter::resume(LAST, &tiles).unwrap();
        assert_eq!(resumed.publish(), [], "all of it was published");
        for i in LAST..LAST + 300 {
            resumed.push(Hash::leaf(&entry(i)));
            writer.push(Hash::leaf(&entry(i)));
        }
        assert_eq!(resumed.publish(), writer.publish());
        assert_eq!(resumed.frontier(), writer.frontier());
        assert_eq!(
            TileWriter::resume(LAST, &TileHashes::new(|_: &TilePath| None, LAST)).map(drop),
            Err(MissingHash { level: 0, index: LAST - 208 })
        );
    }

    #[test]
    fn a_partial_tile_that_was_tidied_away_is_read_from_the_full_one() {
        let mut writer = TileWriter::default();
        let leaves: Vec<Hash> = (0..256).map(|i| Hash::leaf(&entry(i))).collect();
        leaves.iter().for_each(|leaf| writer.push(*leaf));
        let full = writer.publish();
        let read = |path: &TilePath| full.iter().find(|f| f.path == *path).map(|f| f.bytes.clone());
        let earlier = TileHashes::new(read, 100);
        assert_eq!(Frontier::restore(100, &earlier).unwrap().root(), root_of(&leaves[..100]));
    }
}
