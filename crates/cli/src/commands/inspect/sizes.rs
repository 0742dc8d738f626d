//! How large a model is: weights or trees, read from its `…Param` buffer.

use std::fmt;

use bytes::Bytes;
use fate_proto::buffer::{BoostingTreeModelParam, LinRModelParam, LrModelParam, PoissonModelParam};
use prost::Message;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Size {
    /// `models` is the number of classes of one-vs-rest, otherwise 1.
    Linear { models: usize, weights: usize },
    /// `nodes` are all nodes of the party's copy, `leaves` of them leaves.
    Forest {
        trees: usize,
        nodes: usize,
        leaves: usize,
    },
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Linear { models: 1, weights } => write!(out, "{weights} weights"),
            Size::Linear { models, weights } => write!(out, "{weights} weights of {models} models"),
            Size::Forest {
                trees,
                nodes,
                leaves,
            } => write!(out, "{trees} trees, {nodes} nodes, {leaves} leaves"),
        }
    }
}

/// None for a class that is no linear model or forest, and for a buffer that cannot be read.
pub(super) fn size_of<'a>(
    class: &str,
    mut buffers: impl Iterator<Item = (&'a String, &'a Bytes)>,
) -> Option<Size> {
    let (_, param) = buffers.find(|(key, _)| key.ends_with("Param"))?;
    if class.starts_with("HeteroLR") {
        let param: LrModelParam = read(param)?;
        return Some(match param.one_vs_rest_result {
            Some(result) if param.need_one_vs_rest => Size::Linear {
                models: result.completed_models.len(),
                weights: result
                    .completed_models
                    .iter()
                    .map(|model| model.weight.len())
                    .sum(),
            },
            _ => one_model(param.weight.len()),
        });
    }
    if class.starts_with("HeteroLinR") {
        return Some(one_model(read::<LinRModelParam>(param)?.weight.len()));
    }
    if class.starts_with("HeteroPoisson") {
        return Some(one_model(read::<PoissonModelParam>(param)?.weight.len()));
    }
    if class.contains("SecureBoost") {
        let param: BoostingTreeModelParam = read(param)?;
        let nodes = || param.trees.iter().flat_map(|tree| &tree.tree);
        return Some(Size::Forest {
            trees: param.trees.len(),
            nodes: nodes().count(),
            leaves: nodes().filter(|node| node.is_leaf).count(),
        });
    }
    None
}

fn read<M: Message + Default>(buffer: &Bytes) -> Option<M> {
    M::decode(buffer.clone()).ok()
}

fn one_model(weights: usize) -> Size {
    Size::Linear { models: 1, weights }
}
