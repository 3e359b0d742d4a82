//! The Merkle tree of RFC 6962 §2.1 over the events' hashes, kept as the roots of its complete subtrees: adding an
//! event costs O(1) on average, and the state of a log of a million events is twenty hashes.

use crate::hash::{Hash, parse_hex, sha256};

/// A tree that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    /// Roots of the complete subtrees, largest first: one for each set bit of `size`.
    roots: Vec<Hash>,
}

impl Tree {
    /// The tree that a stored state stands for; `None` when the state does not fit the size.
    #[must_use]
    pub fn restore(size: u64, state: &str) -> Option<Self> {
        if !state.is_ascii() {
            return None;
        }
        let roots: Vec<Hash> = (0..state.len())
            .step_by(64)
            .map(|i| state.get(i..i + 64).and_then(parse_hex))
            .collect::<Option<_>>()?;
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    /// The state to store: the subtrees' roots in hex, largest first, without a separator.
    #[must_use]
    pub fn state(&self) -> String {
        hex::encode(self.roots.concat())
    }

    /// How many leaves it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, data: &Hash) {
        let mut node = leaf_hash(data);
        // One carry for each trailing 1 of the size, as in binary addition.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root; SHA-256 of nothing for the empty tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return sha256(&[]) };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}

fn leaf_hash(data: &Hash) -> Hash {
    sha256(&[&[0], data])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word: split at the largest power of two below the size.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [one] => leaf_hash(one),
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&by_definition(&many[..k]), &by_definition(&many[k..]))
            }
        }
    }

    proptest! {
        #[test]
        fn is_the_tree_of_the_rfc_and_survives_storing(n in 0_usize..300) {
            let leaves: Vec<Hash> = (0..n).map(|i| sha256(&[&i.to_le_bytes()])).collect();
            let mut tree = Tree::default();
            for leaf in &leaves {
                tree = Tree::restore(tree.size(), &tree.state()).expect("its own state");
                tree.push(leaf);
            }
            prop_assert_eq!(tree.root(), by_definition(&leaves));
        }
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused() {
        let mut tree = Tree::default();
        tree.push(&[7; 32]);
        assert!(Tree::restore(2, &tree.state()).is_some_and(|_| true), "two leaves are one subtree");
        assert!(Tree::restore(3, &tree.state()).is_none());
        assert!(Tree::restore(1, "zz").is_none());
        assert!(Tree::restore(0, "").is_some());
    }
}
