//! Homogeneous SecureBoost: every party has all columns and whole trees, so the guest scores alone (contract 02 B4;
//! homo_secureboost_client.py `predict_helper`).

use fate_domain::party::Role;

use super::{
    FLOAT_ZERO,
    build::{Builder, Model, WholeTrees},
    compact::HostNumberings,
    guest::ForestGuest,
    quick::Quick,
    score::{Leaves, Scoring},
};
use crate::{
    Refusal,
    component::{Context, Part, Source, alone},
    dsl::FateVersion,
};

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.role() == Role::Host {
        return Ok(alone::unasked("homogeneous SecureBoost"));
    }
    let model = Model::read(source, context)?;
    let rule = rule(context.version());
    let mut builder = Builder::new(source, context, &model);
    for (index, tree) in model.trees().iter().enumerate() {
        builder.add_whole(index, tree, rule)?;
    }
    let trees = builder.finish();
    let mut scoring = Scoring::new(source, context, &model.meta, &model.param)?;
    if let Scoring::Binary { init } = &mut scoring {
        *init = model.param.init_score.first().copied().unwrap_or(0.0);
    }
    let leaves = Leaves::new(source, &model.meta, model.trees(), &trees, scoring.width())?;
    let kind = format!(
        "homogeneous SecureBoost {}, {} trees",
        scoring.kind(),
        trees.len()
    );
    let owned_by_host = vec![None; trees.len()];
    let numberings = HostNumberings::default();
    let quick = Quick::new(&trees, &numberings, &owned_by_host);
    let guest = ForestGuest {
        component: source.name.into(),
        trees,
        leaves,
        scoring,
        owned_by_host,
        hosts: 0,
        numberings,
        quick,
    };
    Ok(alone::guest(guest, kind))
}

/// homo_decision_tree_client.py `traverse_tree`: the slack came with 1.5; since 1.7 hetero trees' rule for missing
/// values holds (`go_next_layer`).
fn rule(version: FateVersion) -> WholeTrees {
    WholeTrees {
        slack: if version < FateVersion(1, 5, 0) {
            0.0
        } else {
            FLOAT_ZERO
        },
        missing_left: if version < FateVersion(1, 7, 0) {
            |direction| direction != 1
        } else {
            |direction| direction == -1
        },
    }
}
