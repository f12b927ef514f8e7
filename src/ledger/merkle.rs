//! The Merkle tree of RFC 6962, section 2, with the proofs of RFC 9162, section 2.1. What the leaves say is not known
//! here.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 || leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of a node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over the hashes of leaves; of none, the hash of nothing.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// A tree that only grows, as the roots of its complete subtrees: enough to append and to know the root, in
/// logarithmic space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of complete subtrees, the largest first; their sizes are the bits of `size`.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// Appends the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit of the size is a complete subtree as large as what is being added.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        match subtrees.next() {
            Some(smallest) => subtrees.fold(*smallest, |right, left| node_hash(left, &right)),
            None => Sha256::digest([]).into(),
        }
    }
}

/// Proof that the leaf at `index` is in the tree over `leaves`; `None` if there is no such leaf.
pub fn inclusion_proof(index: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut index, mut leaves) = (index, leaves);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that `leaf` is at `index` in the tree of `size` leaves with this root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Proof that the tree over the first `old_size` of `leaves` is the beginning of the tree over all; `None` if
/// there are not so many.
pub fn consistency_proof(old_size: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    if old_size > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    if old_size == 0 || old_size == leaves.len() {
        return Some(proof);
    }
    let (mut old_size, mut leaves) = (old_size, leaves);
    // Whether the old tree is still a complete subtree on the left of what is left.
    let mut whole = true;
    while old_size != leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old_size <= left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            old_size -= left.len();
            leaves = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root(leaves));
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that the tree with the old root is the beginning of the tree with the new root.
pub fn verify_consistency(
    (old_size, old_root): (u64, &Hash),
    (new_size, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return proof.is_empty() && *old_root == root(&[]);
    }
    let mut steps = proof.iter();
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    // A complete old tree is its own first step.
    let first = if at == 0 { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut old, mut new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node_hash(step, &old);
            new = node_hash(step, &new);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *old_root && new == *new_root
}

/// The greatest power of two below `len`, which is at least two.
fn split(len: usize) -> usize {
    len.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use crate::ledger::merkle::{
        Frontier, Hash, consistency_proof, inclusion_proof, leaf_hash, root, split,
        verify_consistency, verify_inclusion,
    };

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    /// The leaves of the reference tests of Certificate Transparency.
    fn reference() -> Vec<Hash> {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = reference();
        for (size, expect) in [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(hex(&root(&leaves[..size])), *expect, "{size} leaves");
        }
    }

    #[test]
    fn a_tree_is_split_at_the_greatest_power_of_two_below() {
        let splits: Vec<usize> = (2..10).map(split).collect();
        assert_eq!(splits, [1, 2, 2, 4, 4, 4, 4, 8]);
    }

    #[test]
    fn the_frontier_grows_to_the_same_root() {
        let leaves: Vec<Hash> = (0..70_u8).map(|i| leaf_hash(&[i])).collect();
        let mut frontier = Frontier::default();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), recursive(&leaves[..size]));
            frontier.push(*leaf);
        }
        assert_eq!(frontier.size(), 70);
    }

    /// The definition of RFC 6962, section 2.1.
    fn recursive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => root(&[]),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                super::node_hash(&recursive(left), &recursive(right))
            }
        }
    }

    #[test]
    fn every_leaf_is_proved_and_nothing_else() {
        for size in 1..=17_usize {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf_hash(&[i as u8])).collect();
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = inclusion_proof(index, &leaves).unwrap();
                let (at, size) = (index as u64, size as u64);
                assert!(verify_inclusion(leaf, at, size, &proof, &root), "{index} of {size}");
                assert!(!verify_inclusion(&leaf_hash(b"x"), at, size, &proof, &root));
                assert!(!verify_inclusion(leaf, at, size, &proof, &leaf_hash(b"x")));
                for other in (0..size + 2).filter(|other| *other != at) {
                    assert!(!verify_inclusion(leaf, other, size, &proof, &root));
                }
                let mut longer = proof.clone();
                longer.push(*leaf);
                assert!(!verify_inclusion(leaf, at, size, &longer, &root));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(leaf, at, size, shorter, &root));
                }
            }
            assert_eq!(inclusion_proof(size, &leaves), None);
        }
    }

    #[test]
    fn every_growth_is_proved_and_nothing_else() {
        let leaves: Vec<Hash> = (0..17_u8).map(|i| leaf_hash(&[i])).collect();
        for new in 0..=17_usize {
            let new_root = root(&leaves[..new]);
            for old in 0..=new {
                let old_root = root(&leaves[..old]);
                let proof = consistency_proof(old, &leaves[..new]).unwrap();
                let check = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                    verify_consistency((old as u64, old_root), (new as u64, new_root), proof)
                };
                assert!(check(&old_root, &new_root, &proof), "{old} to {new}");
                let wrong = leaf_hash(b"x");
                assert!(!check(&wrong, &new_root, &proof), "{old} to {new}");
                assert!(old == 0 || !check(&old_root, &wrong, &proof), "{old} to {new}");
                let mut longer = proof.clone();
                longer.push(wrong);
                assert!(!check(&old_root, &new_root, &longer), "{old} to {new}");
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!check(&old_root, &new_root, shorter), "{old} to {new}");
                }
            }
            assert_eq!(consistency_proof(new + 1, &leaves[..new]), None);
        }
    }
}
