//! Proofs for others: receipts, and the log's files as C2SP tlog-tiles names them.

use crate::error::ReadError;
use crate::published::LogFiles;
use crate::reader::Reader;
use crate::rows::{CheckpointRow, int};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::note::Note;
use interlock_ledger::proof::prove_inclusion;
use interlock_ledger::receipt::Receipt;
use interlock_ledger::tile::{TileKind, TilePath, WIDTH, append_to_bundle, parse_hashes};
use interlock_ledger::tree::{Hash, HashSource, root_of};
use rusqlite::Connection;

impl Reader {
    /// The receipt of the entry at `index`: entry, inclusion proof, and the newest signed checkpoint. It is
    /// verified before it is given.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`]; [`ReadError::Damaged`] if no proof could be made that holds.
    pub fn receipt(&self, index: u64) -> Result<Receipt, ReadError> {
        let not_found = || ReadError::NotFound(index.to_string());
        let damaged = |what: &dyn std::error::Error| ReadError::Damaged(format!("entry {index}: {what}"));
        // One transaction, so that the checkpoint covers exactly the rows.
        let transaction = self.connection.unchecked_transaction()?;
        let row = CheckpointRow::read(&self.connection)?.ok_or_else(not_found)?;
        if index >= row.size {
            return Err(not_found());
        }
        let entry = self.entry(index)?.bytes;
        let note = Note::parse(row.note.as_bytes()).map_err(|e| damaged(&e))?;
        // Files are quicker than rows, and anyone may have changed them: what they give is checked, and if it
        // does not hold, the rows are asked.
        let sources = [Some(&self.files), None];
        let mut wrong = ReadError::Damaged(format!("entry {index}: no proof"));
        for files in sources {
            let source = Subtrees { connection: &self.connection, files };
            let proof = match prove_inclusion(&source, index, row.size) {
                Ok(proof) => proof,
                Err(error) => {
                    wrong = damaged(&error);
                    continue;
                }
            };
            let receipt = Receipt::new(&note, entry.clone(), index, proof);
            match receipt.verify(&self.key) {
                Ok(_) => {
                    transaction.finish()?;
                    return Ok(receipt);
                }
                Err(error) => wrong = damaged(&error),
            }
        }
        Err(wrong)
    }

    /// The file of the published log at `path` (`checkpoint`, `tile/0/000`, `tile/entries/000.p/7`), or
    /// `None` if there is none. Entry bundles are made from rows.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let io = |source| crate::error::OpenError::io(self.files.root(), source);
        if path == "checkpoint" {
            return Ok(self.files.checkpoint().map_err(io)?);
        }
        let Ok(tile) = path.parse::<TilePath>() else { return Ok(None) };
        if tile.kind() != TileKind::Entries {
            return Ok(self.files.tile(&tile).map_err(io)?);
        }
        match self.files.checkpoint().map_err(io)?.and_then(|note| Checkpoint::open(&note, &self.key).ok()) {
            Some(shown) => self.bundle(&tile, shown.size),
            None => Ok(None),
        }
    }

    /// The bundle at `path`, if the tree of `size` entries has so many there.
    fn bundle(&self, path: &TilePath, size: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let first = path.index().saturating_mul(u64::from(WIDTH));
        let end = first.saturating_add(u64::from(path.width()));
        if end > size {
            return Ok(None);
        }
        let mut statement =
            self.connection.prepare_cached("SELECT bytes FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx")?;
        let mut rows = statement.query([int(first), int(end)])?;
        let (mut bundle, mut count) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let entry = row.get_ref(0)?.as_blob().unwrap_or_default();
            append_to_bundle(&mut bundle, entry).map_err(|e| ReadError::Damaged(e.to_string()))?;
            count += 1;
        }
        Ok((count == end - first).then_some(bundle))
    }
}

impl Reader {
    /// The hash tile at `path` as rows give it, if there are so many.
    pub(crate) fn tile_from_rows(&self, path: &TilePath) -> Option<Vec<u8>> {
        let TileKind::Hashes(level) = path.kind() else { return None };
        let rows = Subtrees { connection: &self.connection, files: None };
        let first = path.index().checked_mul(u64::from(WIDTH))?;
        let hashes = (first..first + u64::from(path.width())).map(|index| rows.hash(level.checked_mul(8)?, index));
        hashes.collect::<Option<Vec<_>>>().map(|hashes| hashes.into_iter().flat_map(|h| h.0).collect())
    }
}

/// Subtree hashes from full tiles, where there are files, and else from rows.
struct Subtrees<'a> {
    connection: &'a Connection,
    files: Option<&'a LogFiles>,
}

impl HashSource for Subtrees<'_> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        self.in_file(level, index).or_else(|| self.in_rows(level, index))
    }
}

impl Subtrees<'_> {
    fn in_file(&self, level: u8, index: u64) -> Option<Hash> {
        let (tile_level, within) = (level / 8, level % 8);
        let first = index.checked_mul(1 << within)?;
        // Any tree large enough will do: only full tiles are asked for.
        let path = TilePath::in_tree(TileKind::Hashes(tile_level), first / u64::from(WIDTH), u64::MAX)?;
        let bytes = self.files?.tile(&path).ok()??;
        let offset = usize::try_from(first % u64::from(WIDTH)).ok()?;
        parse_hashes(&bytes, WIDTH).ok()?.get(offset..offset + (1 << within)).map(root_of)
    }

    fn in_rows(&self, level: u8, index: u64) -> Option<Hash> {
        if level > 8 {
            let left = self.hash(level - 1, index.checked_mul(2)?)?;
            let right = self.hash(level - 1, index.checked_mul(2)?.checked_add(1)?)?;
            return Some(Hash::node(&left, &right));
        }
        let first = index.checked_mul(1 << level)?;
        let end = first.checked_add(1 << level)?;
        let leaves = || {
            let mut statement =
                self.connection.prepare_cached("SELECT bytes FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx")?;
            let rows = statement.query_map([int(first), int(end)], |row| {
                Ok(Hash::leaf(row.get_ref(0)?.as_blob().unwrap_or_default()))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        leaves().ok().filter(|leaves| leaves.len() as u64 == end - first).map(|leaves| root_of(&leaves))
    }
}
