//! Inclusion and consistency proofs: made from a [`HashSource`], checked without one.
//!
//! Everything is iterative and bounded: a proof for a tree of 2^64 leaves has at most 64 inclusion or 65
//! consistency hashes, and checking stops at the first one too many.
//! Source: RFC 6962 section 2.1.1 and 2.1.2 (making), RFC 9162 section 2.1.3.2 and 2.1.4.2 (checking).

use crate::tree::{Hash, HashSource, MissingHash, range_root};

/// Why a proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// There is no such leaf or smaller tree in this tree.
    #[error("{asked} is outside the tree of size {size}")]
    Outside {
        /// The leaf's index, or the smaller tree's size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// The source is incomplete.
    #[error(transparent)]
    Missing(#[from] MissingHash),
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf or smaller tree in this tree.
    #[error("{asked} is outside the tree of size {size}")]
    Outside {
        /// The leaf's index, or the smaller tree's size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// Too few or too many hashes.
    #[error("the proof has the wrong number of hashes: {0}")]
    Length(usize),
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The proof that the leaf at `index` is in the tree of `size` leaves, the lowest sibling first.
///
/// # Errors
///
/// [`ProveError`].
pub fn prove_inclusion<S: HashSource + ?Sized>(source: &S, index: u64, size: u64) -> Result<Vec<Hash>, ProveError> {
    if index >= size {
        return Err(ProveError::Outside { asked: index, size });
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let split = start + largest_power_below(end - start);
        if index < split {
            path.push(range_root(source, split, end)?);
            end = split;
        } else {
            path.push(range_root(source, start, split)?);
            start = split;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
///
/// # Errors
///
/// [`ProveError`].
pub fn prove_consistency<S: HashSource + ?Sized>(source: &S, old: u64, new: u64) -> Result<Vec<Hash>, ProveError> {
    if old > new {
        return Err(ProveError::Outside { asked: old, size: new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, new);
    while old != end {
        let split = start + largest_power_below(end - start);
        if old <= split {
            path.push(range_root(source, split, end)?);
            end = split;
        } else {
            path.push(range_root(source, start, split)?);
            start = split;
        }
    }
    // The subtree that ends where the old tree ended; where it is the old tree, its root is known.
    if start > 0 {
        path.push(range_root(source, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that `leaf` stands at `index` in the tree of `size` leaves under `root` (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { asked: index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length(path.len()));
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(sibling, &hash);
            // Levels at which this node has no sibling, being the last one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(path.len()));
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old` leaves under `old_root` is a prefix of the tree of `new` leaves under
/// `new_root` (RFC 9162 section 2.1.4.2).
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Outside { asked: old, size: new });
    }
    if old == 0 || old == new {
        let expected = if old == 0 { &Hash::EMPTY } else { new_root };
        return match path {
            [] if old_root == expected => Ok(()),
            [] => Err(ProofError::Root),
            _ => Err(ProofError::Length(path.len())),
        };
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // The old tree is one complete subtree: its root is the first hash, and the proof leaves it out.
    let (first, rest) = if old.is_power_of_two() {
        (*old_root, path)
    } else {
        path.split_first().map(|(first, rest)| (*first, rest)).ok_or(ProofError::Length(0))?
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length(path.len()));
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(sibling, &old_hash);
            new_hash = Hash::node(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::node(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(path.len()));
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The largest power of two below `n`, which is at least two: where RFC 6962 splits `n` leaves.
const fn largest_power_below(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::root_of;

    const LARGEST: u64 = 300;

    fn leaves() -> Vec<Hash> {
        (0..LARGEST).map(|i| Hash::leaf(&i.to_be_bytes())).collect()
    }

    /// Every root up to the largest size, and a source that knows every complete subtree.
    fn roots(leaves: &[Hash]) -> Vec<Hash> {
        (0..=leaves.len()).map(|n| root_of(&leaves[..n])).collect()
    }

    struct Counted<'a>(&'a [Hash], std::cell::Cell<u32>);
    impl HashSource for Counted<'_> {
        fn hash(&self, level: u8, index: u64) -> Option<Hash> {
            self.1.set(self.1.get() + 1);
            self.0.hash(level, index)
        }
    }

    #[test]
    fn inclusion_holds_for_every_leaf_of_every_size_and_for_nothing_else() {
        let leaves = leaves();
        let roots = roots(&leaves);
        for size in 1..=LARGEST {
            let root = &roots[size as usize];
            // Every leaf of the small trees; of the large ones, those around the edges and powers of two.
            for index in (0..size).filter(|i| size <= 70 || i % 37 == 0 || *i + 3 > size) {
                let source = Counted(&leaves, 0.into());
                let path = prove_inclusion(&source, index, size).unwrap();
                assert!(source.1.get() <= 64, "few look-ups");
                let leaf = &leaves[index as usize];
                assert_eq!(verify_inclusion(index, size, leaf, &path, root), Ok(()), "{index} of {size}");
                assert_eq!(
                    verify_inclusion(index, size, &leaves[(index as usize + 1) % 300], &path, root),
                    Err(ProofError::Root)
                );
                for other in [index ^ 1, index + 1, index.wrapping_sub(1), size, u64::MAX] {
                    assert!(verify_inclusion(other, size, leaf, &path, root).is_err(), "{other} for {index} of {size}");
                }
                let longer = [&path[..], &[*root]].concat();
                assert!(verify_inclusion(index, size, leaf, &longer, root).is_err());
                if let Some((_, shorter)) = path.split_last() {
                    assert!(verify_inclusion(index, size, leaf, shorter, root).is_err());
                }
            }
            assert_eq!(
                prove_inclusion(&leaves, size, size),
                Err(ProveError::Outside { asked: size, size }),
                "no leaf past the end"
            );
        }
    }

    #[test]
    fn consistency_holds_between_every_two_sizes_and_for_no_other_root() {
        let leaves = leaves();
        let roots = roots(&leaves);
        let wrong = Hash::leaf(b"another history");
        for new in (0..=LARGEST).filter(|n| *n <= 40 || n % 13 == 0 || n.is_power_of_two()) {
            for old in 0..=new {
                let path = prove_consistency(&leaves, old, new).unwrap();
                let check = |a: &Hash, b: &Hash, p: &[Hash]| verify_consistency(old, a, new, b, p);
                let (a, b) = (&roots[old as usize], &roots[new as usize]);
                assert_eq!(check(a, b, &path), Ok(()), "{old} to {new}");
                assert!(check(&wrong, b, &path).is_err(), "{old} to {new}");
                if old > 0 {
                    assert!(check(a, &wrong, &path).is_err(), "{old} to {new}");
                }
                assert!(check(a, b, &[&path[..], &[wrong]].concat()).is_err());
                for i in 0..path.len() {
                    let mut bent = path.clone();
                    bent[i] = wrong;
                    assert!(check(a, b, &bent).is_err(), "{old} to {new}, hash {i}");
                    bent.remove(i);
                    assert!(check(a, b, &bent).is_err(), "{old} to {new}, without hash {i}");
                }
            }
        }
        assert!(prove_consistency(&leaves, 2, 1).is_err());
        assert!(verify_consistency(2, &roots[2], 1, &roots[1], &[]).is_err());
    }

    #[test]
    fn hostile_sizes_end() {
        let path = vec![Hash::EMPTY; 70];
        for size in [1, 2, 1 << 63, u64::MAX] {
            assert!(verify_inclusion(size - 1, size, &Hash::EMPTY, &path, &Hash::EMPTY).is_err());
            assert!(verify_consistency(size - 1, &Hash::EMPTY, size, &Hash::EMPTY, &path).is_err());
        }
    }
}
