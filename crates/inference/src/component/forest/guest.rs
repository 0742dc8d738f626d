//! The guest's walk: own nodes before the hosts answer, theirs after.

use std::{collections::BTreeMap, fmt};

use fate_domain::{fault::Fault, return_code::ReturnCode};
use serde::{
    Deserializer as _,
    de::{self, DeserializeSeed, MapAccess, Visitor},
};

use super::{
    Node, Trees, Value,
    bits::Bits,
    compact::{HostNumberings, Numbering},
    goes_left,
    quick::Quick,
    ranks::Rank,
    score::{Leaves, Scoring},
};
use crate::{
    CompactForm, GuestLocal, Partial, Row, Score,
    component::{GuestModel, no_compact_form},
    partial::{Local, Share, Turn},
    symbols::Column,
};

#[derive(Debug)]
pub(super) struct ForestGuest {
    pub(super) component: Box<str>,
    pub(super) trees: Trees,
    pub(super) leaves: Leaves,
    pub(super) scoring: Scoring,
    /// Trees that one host walks alone (mix mode).
    pub(super) owned_by_host: Vec<Option<u32>>,
    pub(super) hosts: usize,
    pub(super) numberings: HostNumberings,
    /// None for trees that do not fit.
    pub(super) quick: Option<Quick>,
}

/// The guest's part: all that it can say before the hosts have decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Walk {
    /// The own nodes' decisions.
    Decided(Bits),
    /// The own part of the kernel's row.
    Ranked(Box<[Rank]>),
    /// Where the guest stands in every tree, and the values that decide on: a value that is no number is a fault where
    /// it is looked at, and nowhere else.
    Begun {
        positions: Box<[u32]>,
        values: Box<[Value]>,
    },
}

impl GuestModel for ForestGuest {
    fn local(&self, row: &Row<'_>) -> Result<GuestLocal, Fault> {
        let quick = self.quick.as_ref();
        let walk = quick.and_then(|quick| quick.own_part(self.trees.features.values(row)));
        let walk = match walk {
            Some(walk) => walk,
            None => self.begin(row)?,
        };
        Ok(GuestLocal(Local::Forest(walk)))
    }

    fn read_partial(&self, party_id: &str, json: &str) -> Result<Partial, Fault> {
        let mut route = RouteReader {
            trees: &self.trees,
            route: vec![Turn::Unknown; self.trees.nodes.len()],
            leaves: BTreeMap::new(),
        };
        serde_json::Deserializer::from_str(json)
            .deserialize_map(&mut route)
            .map_err(|error| {
                Fault::new(
                    ReturnCode::MERGE,
                    format!("the route of host {party_id} is not readable: {error}"),
                )
            })?;
        let share = if route.leaves.is_empty() {
            Share::Route(route.route)
        } else {
            Share::Leaves(route.leaves.into_iter().collect())
        };
        Ok(Partial(share))
    }

    fn compact_form(&self, host: usize) -> Option<CompactForm> {
        self.numberings.of_host(host).map(Numbering::form)
    }

    fn read_compact(&self, host: usize, party_id: &str, bytes: &[u8]) -> Result<Partial, Fault> {
        let numbering = self.numberings.of_host(host);
        let numbering = numbering.ok_or_else(|| no_compact_form(party_id))?;
        numbering.read(party_id, bytes).map(Partial)
    }

    /// 1.x hosts answer with the trees themselves.
    fn read_legacy_partial(&self, party_id: &str, data: &str) -> Result<Partial, Fault> {
        self.read_partial(party_id, data)
    }

    fn columns(&self) -> Vec<Column> {
        self.trees.features.columns.clone()
    }

    fn merge(&self, local: GuestLocal, partials: &[&Partial]) -> Result<Score, Fault> {
        let Local::Forest(walk) = local.0 else {
            return Err(Fault::new(ReturnCode::MERGE, "local result is invalid "));
        };
        let reached = self.reached(&walk, partials)?;
        self.scoring.score(&self.leaves, &reached)
    }

    /// Only a forest that was trained without hosts scores without them.
    fn needs_hosts(&self) -> bool {
        self.hosts > 0
            || self
                .trees
                .nodes
                .iter()
                .any(|node| matches!(node, Node::Foreign { .. }))
    }
}

impl ForestGuest {
    /// The leaf of every tree.
    pub(super) fn reached(&self, walk: &Walk, partials: &[&Partial]) -> Result<Vec<u32>, Fault> {
        let quick = self.quick.as_ref();
        let positions = self.numberings.positions();
        if let Some(mut reached) = quick.and_then(|quick| quick.leaves(walk, positions, partials)) {
            for (tree, owner) in self.owned_by_host.iter().enumerate() {
                if let Some(host) = *owner {
                    reached[tree] = self.host_leaf(tree, partials.get(host as usize))?;
                }
            }
            return Ok(reached);
        }
        let leaf = |tree: usize| match self.owned_by_host[tree] {
            Some(host) => self.host_leaf(tree, partials.get(host as usize)),
            None => self.walk_on(self.begun(walk, tree), walk, partials),
        };
        (0..self.trees.len()).map(leaf).collect()
    }

    /// Walks the own nodes of every tree, which finds the values that are no numbers.
    fn begin(&self, row: &Row<'_>) -> Result<Walk, Fault> {
        let mut walk = Walk::Begun {
            positions: [].into(),
            values: self.trees.features.values(row).collect(),
        };
        let stand = |tree: usize| match self.owned_by_host[tree] {
            Some(_) => Ok(self.trees.root(tree)),
            None => self.own_steps(self.trees.root(tree), &walk),
        };
        let stands = (0..self.trees.len()).map(stand);
        let stands: Box<[u32]> = stands.collect::<Result<_, _>>()?;
        if let Walk::Begun { positions, .. } = &mut walk {
            *positions = stands;
        }
        Ok(walk)
    }

    fn begun(&self, walk: &Walk, tree: usize) -> u32 {
        match walk {
            Walk::Begun { positions, .. } => positions[tree],
            Walk::Decided(_) | Walk::Ranked(_) => self.trees.root(tree),
        }
    }

    /// Whether an own node sends the row left.
    fn own_turn(
        &self,
        walk: &Walk,
        position: u32,
        slot: u32,
        threshold: f64,
        missing_left: bool,
    ) -> Result<bool, Fault> {
        if let Walk::Begun { values, .. } = walk {
            return goes_left(values[slot as usize], threshold, missing_left);
        }
        let quick = self.quick.as_ref();
        quick
            .and_then(|quick| quick.own_turn(&self.trees, walk, position))
            .ok_or_else(|| Fault::new(ReturnCode::MERGE, "the guest's part is of another model"))
    }

    /// Walks while the nodes are ours.
    fn own_steps(&self, mut position: u32, walk: &Walk) -> Result<u32, Fault> {
        while let Node::Own {
            slot,
            threshold,
            missing_left,
            left,
            right,
        } = self.trees.node(position)
        {
            let goes_left = self.own_turn(walk, position, slot, threshold, missing_left)?;
            position = if goes_left { left } else { right };
        }
        Ok(position)
    }

    /// Walks from where own nodes ended to a leaf. Children lie behind their parents, so this ends.
    fn walk_on(&self, mut position: u32, walk: &Walk, partials: &[&Partial]) -> Result<u32, Fault> {
        loop {
            match self.trees.node(position) {
                Node::Leaf => return Ok(position),
                Node::Own { .. } => position = self.own_steps(position, walk)?,
                Node::Foreign { host, left, right } => {
                    position = match self.turn(position, host, partials) {
                        Turn::Left => left,
                        Turn::Right => right,
                        Turn::Unknown => return Err(self.no_route(position)),
                    }
                }
            }
        }
    }

    /// The owner's decision; of several candidates the last one who has it, as in Java's merged map.
    fn turn(&self, position: u32, host: Option<u32>, partials: &[&Partial]) -> Turn {
        let of = |host: usize, partial: &&Partial| match &partial.0 {
            Share::Route(route) => route
                .get(position as usize)
                .copied()
                .unwrap_or(Turn::Unknown),
            Share::Bits(bits) => match self.numberings.place_of(host, position) {
                Some(place) if bits.get(place) => Turn::Left,
                Some(_) => Turn::Right,
                None => Turn::Unknown,
            },
            _ => Turn::Unknown,
        };
        match host {
            Some(host) => {
                let host = host as usize;
                partials
                    .get(host)
                    .map_or(Turn::Unknown, |partial| of(host, partial))
            }
            None => partials
                .iter()
                .enumerate()
                .rev()
                .map(|(host, partial)| of(host, partial))
                .find(|turn| *turn != Turn::Unknown)
                .unwrap_or(Turn::Unknown),
        }
    }

    fn no_route(&self, position: u32) -> Fault {
        let tree = self.trees.tree_of(position);
        let node = position - self.trees.root(tree);
        Fault::new(
            ReturnCode::SBT_DATA,
            format!(
                "sbt model data error: no host decided node {node} of tree {tree} of {}",
                self.component
            ),
        )
    }

    fn host_leaf(&self, tree: usize, partial: Option<&&Partial>) -> Result<u32, Fault> {
        let leaf = match partial.map(|partial| &partial.0) {
            // In tree order, each tree once.
            Some(Share::Leaves(leaves)) => leaves
                .binary_search_by_key(&tree, |(of, _)| *of as usize)
                .ok()
                .map(|at| leaves[at].1),
            _ => None,
        };
        leaf.and_then(|leaf| self.trees.position(tree as u32, leaf))
            .filter(|position| matches!(self.trees.node(*position), Node::Leaf))
            .ok_or_else(|| {
                Fault::new(
                    ReturnCode::SBT_DATA,
                    format!(
                        "sbt model data error: no host reached a leaf of tree {tree} of {}",
                        self.component
                    ),
                )
            })
    }
}

/// Reads `{"<tree>":{"<node>":true,…},…}` or, in mix mode, `{"<tree>":<leaf>,…}` into the guest's numbering.
struct RouteReader<'t> {
    trees: &'t Trees,
    route: Vec<Turn>,
    /// By tree; never more than there are trees, however long an answer is.
    leaves: BTreeMap<u32, u32>,
}

impl<'de> Visitor<'de> for &mut RouteReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of trees")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(tree) = map.next_key_seed(IndexSeed)? {
            match tree {
                Some(tree) => map.next_value_seed(TreeReader { reader: self, tree })?,
                // A 1.x host's answer has other members beside the trees.
                None => drop(map.next_value::<de::IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct TreeReader<'r, 't> {
    reader: &'r mut RouteReader<'t>,
    tree: u32,
}

impl<'de> DeserializeSeed<'de> for TreeReader<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeReader<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the decisions of one tree, or a leaf")
    }

    fn visit_u64<E: de::Error>(self, leaf: u64) -> Result<(), E> {
        let leaf = u32::try_from(leaf).map_err(|_| E::custom("leaf out of range"))?;
        if (self.tree as usize) < self.reader.trees.len() {
            self.reader.leaves.insert(self.tree, leaf);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(node) = map.next_key_seed(IndexSeed)? {
            let left: bool = map.next_value()?;
            // Nodes that the guest does not know are none of its business.
            if let Some(position) =
                node.and_then(|node| self.reader.trees.position(self.tree, node))
            {
                self.reader.route[position as usize] = if left { Turn::Left } else { Turn::Right };
            }
        }
        Ok(())
    }
}

/// A decimal index as key; none for any other key.
struct IndexSeed;

impl<'de> DeserializeSeed<'de> for IndexSeed {
    type Value = Option<u32>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IndexSeed {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.parse().ok())
    }
}
