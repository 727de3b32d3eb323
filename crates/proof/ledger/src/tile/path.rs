//! Where a tile's file is: `tile/<L>/<N>[.p/<W>]`, with `N` in groups of three digits.

use std::fmt;

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u16 = 256;
/// Tile levels that a tree of up to 2^64 leaves can have.
pub(super) const LEVELS: u8 = 8;

/// What a tile file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// Hashes of the tree's level `8 * n`.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// Which tile: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    /// 1 to [`WIDTH`].
    width: u16,
}

impl TilePath {
    /// The tile at `index` as it stands in a tree of `size` leaves: full, partial, or not there.
    #[must_use]
    pub fn in_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let at_level = at_level(size, level);
        let first = index.checked_mul(u64::from(WIDTH))?;
        let width = u16::try_from(at_level.checked_sub(first)?.min(u64::from(WIDTH))).ok()?;
        (level < LEVELS && width > 0).then_some(Self { kind, index, width })
    }

    /// A tile of this width, 1 to [`WIDTH`].
    pub(super) const fn new(kind: TileKind, index: u64, width: u16) -> Self {
        Self { kind, index, width }
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Which one of its kind, from the left.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds, 1 to [`WIDTH`].
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is full, and so never changes again.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The full tile of which this one may be the beginning.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: WIDTH, ..self }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // 1234067 is x001/x234/067.
        let digits = self.index.to_string();
        let groups = digits.len().div_ceil(3);
        let padded = format!("{digits:0>width$}", width = groups * 3);
        for (i, group) in padded.as_bytes().chunks(3).enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            if i + 1 < groups {
                f.write_str("x")?;
            }
            f.write_str(&String::from_utf8_lossy(group))?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// Not the path of a tile in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path: expected `tile/0/x001/234` or `tile/entries/x001/234.p/56`")]
pub struct InvalidTilePath;

impl std::str::FromStr for TilePath {
    type Err = InvalidTilePath;
    fn from_str(s: &str) -> Result<Self, InvalidTilePath> {
        let parse = || {
            let (kind, rest) = s.strip_prefix("tile/")?.split_once('/')?;
            let kind = match kind {
                "entries" => TileKind::Entries,
                level => TileKind::Hashes(level.parse().ok().filter(|l| *l < LEVELS)?),
            };
            let (index, width) = match rest.split_once(".p/") {
                Some((index, width)) => (index, width.parse().ok().filter(|w| (1..WIDTH).contains(w))?),
                None => (rest, WIDTH),
            };
            let digits: String = index.chars().filter(|c| !matches!(c, 'x' | '/')).collect();
            Some(Self { kind, index: digits.parse().ok()?, width })
        };
        // Whatever was read too generously above is spelled otherwise.
        parse().filter(|path| path.to_string() == s).ok_or(InvalidTilePath)
    }
}

/// How many hashes a tree of `size` leaves has at a tile level.
pub(super) const fn at_level(size: u64, level: u8) -> u64 {
    match size.checked_shr(8 * level as u32) {
        Some(n) => n,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for (kind, index, size, text) in [
            (TileKind::Hashes(0), 0, 256, "tile/0/000"),
            (TileKind::Hashes(0), 0, 1, "tile/0/000.p/1"),
            (TileKind::Hashes(1), 1, 256 * 300, "tile/1/001.p/44"),
            (TileKind::Hashes(0), 1_234_067, 1_234_068 * 256, "tile/0/x001/x234/067"),
            (TileKind::Hashes(7), 0, u64::MAX, "tile/7/000.p/255"),
            (TileKind::Entries, 999, u64::MAX, "tile/entries/999"),
            (TileKind::Entries, 1000, 1000 * 256 + 8, "tile/entries/x001/000.p/8"),
        ] {
            let path = TilePath::in_tree(kind, index, size).unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
        for bad in [
            "",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/x001/x000",
            "tile/00/000",
            "tile/+0/000",
            "tile/8/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/../../etc",
            "tile/0/000/",
            "tile/data/000",
            "/tile/0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(bad.parse::<TilePath>(), Err(InvalidTilePath), "{bad}");
        }
        for (kind, index, size) in [
            (TileKind::Entries, 0, 0),
            (TileKind::Entries, 1, 256),
            (TileKind::Hashes(1), 0, 255),
            (TileKind::Hashes(9), 0, 1),
        ] {
            assert_eq!(TilePath::in_tree(kind, index, size), None);
        }
    }
}
