//! The compact form of a host's part: a bit for each of its nodes, set for left, in order of tree and node; in mix mode the
//! leaf of each of its trees. Java's form of the same decisions is a hundred times as long.
//!
//! Each party counts the host's nodes in its own buffers. The digest of what it counted goes with the question, so that
//! bits are never read by another numbering than they were written by.

use fate_domain::{fault::Fault, return_code::ReturnCode};

use super::{Node, Trees, bits::Bits};
use crate::{CompactForm, partial::Share};

/// A host's nodes or trees in the order in which its compact parts have them.
#[derive(Debug)]
pub(super) struct Numbering {
    items: Items,
    form: CompactForm,
}

#[derive(Debug)]
enum Items {
    /// How many nodes there are: one bit each.
    Nodes(usize),
    /// The trees: four bytes each, the leaf's place in its tree, least significant byte first.
    Trees(Vec<u32>),
}

const LEAF_BYTES: usize = 4;

impl Numbering {
    /// Of the nodes at these ascending positions.
    pub(super) fn of_nodes(trees: &Trees, positions: &[u32]) -> Self {
        let mut digest = Digest::new(b"forest nodes 1");
        let mut tree = 0;
        for &position in positions {
            while trees.root(tree + 1) <= position {
                tree += 1;
            }
            digest.add(tree as u32);
            digest.add(position - trees.root(tree));
        }
        Numbering {
            items: Items::Nodes(positions.len()),
            form: CompactForm {
                digest: digest.0,
                row_bytes: positions.len().div_ceil(8),
            },
        }
    }

    /// Of whole trees; the digest knows their sizes.
    pub(super) fn of_trees(layout: &Trees, trees: Vec<u32>) -> Self {
        let mut digest = Digest::new(b"forest leaves 1");
        for &tree in &trees {
            let nodes = layout.root(tree as usize + 1) - layout.root(tree as usize);
            digest.add(tree);
            digest.add(nodes);
        }
        let form = CompactForm {
            digest: digest.0,
            row_bytes: trees.len() * LEAF_BYTES,
        };
        Numbering {
            items: Items::Trees(trees),
            form,
        }
    }

    pub(super) fn form(&self) -> CompactForm {
        self.form
    }

    /// Appends the compact form of a host's part.
    pub(super) fn write(&self, share: &Share, out: &mut Vec<u8>) {
        match share {
            Share::Bits(bits) => bits.write(self.form.row_bytes, out),
            Share::Leaves(leaves) => leaves
                .iter()
                .for_each(|(_, leaf)| out.extend_from_slice(&leaf.to_le_bytes())),
            _ => {}
        }
    }

    /// A host's part; code 108 for what no host of this numbering writes.
    pub(super) fn read(&self, party_id: &str, bytes: &[u8]) -> Result<Share, Fault> {
        let refuse = |what: &str| {
            let text = format!("the compact part of host {party_id} {what}");
            Err(Fault::new(ReturnCode::MERGE, text))
        };
        if bytes.len() != self.form.row_bytes {
            return refuse(&format!(
                "has {} bytes instead of {}",
                bytes.len(),
                self.form.row_bytes
            ));
        }
        match &self.items {
            Items::Nodes(nodes) if has_bits_from(bytes, *nodes) => {
                refuse("decides nodes that there are not")
            }
            Items::Nodes(_) => Ok(Share::Bits(Bits::read(bytes))),
            Items::Trees(trees) => {
                let leaves = bytes.chunks_exact(LEAF_BYTES);
                let leaf = |bytes: &[u8]| {
                    bytes
                        .iter()
                        .rev()
                        .fold(0, |leaf, &b| leaf << 8 | u32::from(b))
                };
                Ok(Share::Leaves(
                    trees.iter().copied().zip(leaves.map(leaf)).collect(),
                ))
            }
        }
    }
}

/// Whether a bit is set from position `end` on.
fn has_bits_from(bytes: &[u8], end: usize) -> bool {
    let rest = bytes.get(end / 8..).unwrap_or_default();
    rest.first().is_some_and(|byte| byte >> (end % 8) != 0)
}

/// The numberings of all hosts, as the guest counts them.
#[derive(Debug, Default)]
pub(super) struct HostNumberings {
    /// Empty when the model does not tell which host decides a node.
    by_host: Vec<Numbering>,
    /// The positions of each host's nodes, in the order of its decisions.
    positions: Vec<Vec<u32>>,
}

impl HostNumberings {
    /// Of trees that the parties walk together.
    pub(super) fn of_nodes(trees: &Trees, hosts: usize) -> Self {
        let mut positions = vec![Vec::new(); hosts];
        for (node, position) in trees.nodes.iter().zip(0..) {
            let Node::Foreign { host, .. } = node else {
                continue;
            };
            match host.and_then(|host| positions.get_mut(host as usize)) {
                Some(of_host) => of_host.push(position),
                None => return Self::default(),
            }
        }
        let by_host = positions.iter();
        HostNumberings {
            by_host: by_host
                .map(|positions| Numbering::of_nodes(trees, positions))
                .collect(),
            positions,
        }
    }

    /// Of trees that one party walks alone: the host of each, if it is one.
    pub(super) fn of_trees(trees: &Trees, owners: &[Option<u32>], hosts: usize) -> Self {
        let owned_by = |host: usize| {
            let owners = owners.iter().zip(0..);
            let own = owners.filter(|(owner, _)| owner.is_some_and(|of| of as usize == host));
            own.map(|(_, tree)| tree).collect()
        };
        HostNumberings {
            by_host: (0..hosts)
                .map(|host| Numbering::of_trees(trees, owned_by(host)))
                .collect(),
            positions: Vec::new(),
        }
    }

    pub(super) fn of_host(&self, host: usize) -> Option<&Numbering> {
        self.by_host.get(host)
    }

    pub(super) fn positions(&self) -> &[Vec<u32>] {
        &self.positions
    }

    /// A node's place among its host's decisions.
    pub(super) fn place_of(&self, host: usize, position: u32) -> Option<u32> {
        let place = self.positions.get(host)?.binary_search(&position).ok()?;
        u32::try_from(place).ok()
    }
}

/// FNV-1a over 64 bits: parties that run different releases must count alike, so it is written out here.
struct Digest(u64);

impl Digest {
    fn new(kind: &[u8]) -> Self {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        kind.iter().for_each(|byte| digest.byte(*byte));
        digest
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn add(&mut self, number: u32) {
        number
            .to_le_bytes()
            .into_iter()
            .for_each(|byte| self.byte(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::forest::{Features, ValueRule};

    fn trees(nodes: &[Node], starts: &[u32]) -> Trees {
        Trees {
            nodes: nodes.to_vec(),
            starts: starts.to_vec(),
            features: Features {
                columns: Vec::new(),
                rule: ValueRule::fate(Some(1e-8), false),
            },
        }
    }

    fn foreign(host: u32) -> Node {
        Node::Foreign {
            host: Some(host),
            left: 1,
            right: 2,
        }
    }

    #[test]
    fn numberings_are_told_apart() {
        let leaf = Node::Leaf;
        let stumps = trees(
            &[foreign(0), leaf, leaf, foreign(1), leaf, leaf],
            &[0, 3, 6],
        );
        let numberings = HostNumberings::of_nodes(&stumps, 3);
        let of = |host| numberings.of_host(host).unwrap().form();
        assert_eq!(
            (of(0).row_bytes, of(1).row_bytes, of(2).row_bytes),
            (1, 1, 0)
        );
        assert_ne!(of(0).digest, of(1).digest);
        assert_ne!(of(0).digest, of(2).digest);
        let of_trees = |trees: &[u32]| Numbering::of_trees(&stumps, trees.to_vec()).form();
        assert_ne!(of_trees(&[0]).digest, of_trees(&[1]).digest);
        // Nobody knows who decides: there is nothing to number.
        assert!(HostNumberings::of_nodes(&stumps, 1).of_host(0).is_none());
        // Every release has to say the same for ever, or nodes of different releases send Java's form.
        assert_eq!(of(1).digest, 12_524_252_669_542_121_651);
    }

    #[test]
    fn what_no_host_writes_is_refused() {
        let forest = trees(&[foreign(0); 12], &[0, 12]);
        let numberings = HostNumberings::of_nodes(&forest, 1);
        let numbering = numberings.of_host(0).unwrap();
        assert_eq!(numberings.place_of(0, 11), Some(11));
        assert_eq!(numberings.place_of(1, 11), None);
        let decisions = [
            true, false, true, true, false, false, false, false, true, true, false, true,
        ];
        let mut out = Vec::new();
        numbering.write(&Share::Bits(Bits::of(decisions.into_iter())), &mut out);
        assert_eq!(out, [0b0000_1101, 0b1011]);
        let Ok(Share::Bits(bits)) = numbering.read("1", &out) else {
            panic!("not read")
        };
        let read: Vec<bool> = (0..12).map(|index| bits.get(index)).collect();
        assert_eq!(read, decisions);
        for bad in [&[][..], &[1], &[1, 2, 3], &[0, 0x10]] {
            assert_eq!(
                numbering.read("1", bad).unwrap_err().code,
                ReturnCode::MERGE
            );
        }
        let leaves = Numbering::of_trees(&forest, vec![0]);
        assert_eq!(
            leaves.read("1", &[1, 2, 0, 0]),
            Ok(Share::Leaves(vec![(0, 513)]))
        );
        assert!(leaves.read("1", &[1, 2, 0]).is_err());
    }
}
