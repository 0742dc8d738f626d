//! The components of a pipeline, one file each, and the table that names them.
//!
//! A new component is one file with a builder and one line in [`CLASSES`].

use std::collections::BTreeSet;

use bytes::Bytes;
use fate_domain::{fault::Fault, party::Role, return_code::ReturnCode};
use prost::Message;

use crate::{
    Buffers, CompactForm, GuestLocal, Partial, Refusal, Row, Score, Semantics, Site, Treatment,
    dsl::Dsl,
    dsl::FateVersion,
    symbols::{Column, Symbols},
};

mod alone;
mod binning;
mod column_expand;
mod data_transform;
mod fm;
pub(crate) mod forest;
mod homo_lr;
mod imputation;
mod kmeans;
mod label_transform;
mod linear;
pub(crate) mod local_baseline;
mod one_hot;
mod scale;
mod scorecard;
mod selection;
mod sentinel;

/// Changes feature values in place.
pub(crate) trait Transform: std::fmt::Debug + Send + Sync {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault>;

    /// Names the columns without a value that [`Transform::apply`] is about to fill. Asked only for rows that are watched.
    fn imputes(&self, _row: &Row<'_>, _found: &mut dyn FnMut(Column)) {}

    /// From the columns needed behind this step to those needed before it.
    fn trace_back(&self, _needed: &mut BTreeSet<Column>) {}
}

/// A guest's model: its own part, and the merge with the hosts'.
pub(crate) trait GuestModel: std::fmt::Debug + Send + Sync {
    /// What the guest can compute before any host answers.
    fn local(&self, row: &Row<'_>) -> Result<GuestLocal, Fault>;
    /// The column whose value made [`GuestModel::local`] fail, if it was one.
    fn unreadable(&self, _row: &Row<'_>) -> Option<Column> {
        None
    }
    /// Reads the JSON value that a host put under the component's name.
    fn read_partial(&self, party_id: &str, json: &str) -> Result<Partial, Fault>;
    /// Puts the parts together. `partials` come in the order of [`Context::hosts`], one per host.
    fn merge(&self, local: GuestLocal, partials: &[&Partial]) -> Result<Score, Fault>;
    /// Reads a 1.x host's answer, which has no member of the component's name (contract 02 A9, A11).
    fn read_legacy_partial(&self, party_id: &str, data: &str) -> Result<Partial, Fault>;
    /// How a host, by its place in [`Context::hosts`], may pack its part; none: only as JSON.
    fn compact_form(&self, _host: usize) -> Option<CompactForm> {
        None
    }
    /// Reads the packed part of a host whose form [`GuestModel::compact_form`] told.
    fn read_compact(&self, _host: usize, party_id: &str, _bytes: &[u8]) -> Result<Partial, Fault> {
        Err(no_compact_form(party_id))
    }
    /// Columns that the guest's part reads.
    fn columns(&self) -> Vec<Column>;
    /// Whether a score takes the hosts' parts.
    fn needs_hosts(&self) -> bool {
        true
    }
}

/// A host's model: what it contributes.
pub(crate) trait HostModel: std::fmt::Debug + Send + Sync {
    fn partial(&self, row: &Row<'_>) -> Result<Partial, Fault>;
    /// Columns that the host's part reads.
    fn columns(&self) -> Vec<Column>;
    /// Writes the JSON value that goes under the component's name (contract 01 §2.7).
    fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>);
    /// How [`HostModel::write_compact`] packs; none: it does not.
    fn compact_form(&self) -> Option<CompactForm> {
        None
    }
    /// Appends the packed part.
    fn write_compact(&self, _partial: &Partial, _out: &mut Vec<u8>) {}
}

/// For a part in a form that the model does not have.
pub(crate) fn no_compact_form(party_id: &str) -> Fault {
    let text = format!("the part of host {party_id} came in a form that was not asked for");
    Fault::new(ReturnCode::MERGE, text)
}

/// Changes the form of a score.
pub(crate) trait Output: std::fmt::Debug + Send + Sync {
    fn apply(&self, score: Score) -> Result<Score, Fault>;
}

/// What a builder makes of a component.
#[derive(Debug)]
pub(crate) enum Built {
    Transform(Box<dyn Transform>),
    Guest(Box<dyn GuestModel>),
    Host(Box<dyn HostModel>),
    Output(Box<dyn Output>),
    /// Nothing to do for a single row (`need_run` is off, …).
    PassThrough,
}

/// What a builder returns: the part, its kind for the verdict, and a line of detail.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) built: Built,
    pub(crate) detail: String,
}

impl Part {
    pub(crate) fn transform(
        transform: impl Transform + 'static,
        detail: impl Into<String>,
    ) -> Self {
        Part {
            built: Built::Transform(Box::new(transform)),
            detail: detail.into(),
        }
    }

    pub(crate) fn pass_through(detail: impl Into<String>) -> Self {
        Part {
            built: Built::PassThrough,
            detail: detail.into(),
        }
    }

    pub(crate) fn guest(model: impl GuestModel + 'static, kind: impl Into<String>) -> Self {
        Part {
            built: Built::Guest(Box::new(model)),
            detail: kind.into(),
        }
    }

    pub(crate) fn host(model: impl HostModel + 'static, kind: impl Into<String>) -> Self {
        Part {
            built: Built::Host(Box::new(model)),
            detail: kind.into(),
        }
    }
}

pub(crate) type Builder = fn(&Source<'_>, &mut Context<'_>) -> Result<Part, Refusal>;

/// How a class is served.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Class {
    /// Served, with the place it takes in a pipeline.
    Served {
        treatment: Treatment,
        build: Builder,
        java: InJava,
    },
    /// No effect on a single row, in any version.
    Harmless,
    /// Known, and not servable.
    Unservable(&'static str),
}

/// Whether FATE-Serving 2.1.7 has a class of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InJava {
    Known,
    /// There it becomes a null node: the row passes unchanged.
    Unknown,
}

const fn transform(build: Builder, java: InJava) -> Class {
    Class::Served {
        treatment: Treatment::Transform,
        build,
        java,
    }
}

const fn output(build: Builder, java: InJava) -> Class {
    Class::Served {
        treatment: Treatment::Output,
        build,
        java,
    }
}

const fn model(build: Builder, java: InJava) -> Class {
    Class::Served {
        treatment: Treatment::Model,
        build,
        java,
    }
}

/// Every class name that FATE 1.x writes, across versions (contract 02 A2.1).
pub(crate) const CLASSES: &[(&str, Class)] = &[
    (
        "DataIO",
        transform(data_transform::build_data_io, InJava::Known),
    ),
    (
        "DataTransform",
        transform(data_transform::build_data_transform, InJava::Known),
    ),
    (
        "ColumnExpand",
        transform(column_expand::build, InJava::Unknown),
    ),
    (
        "FeatureImputation",
        transform(imputation::build, InJava::Unknown),
    ),
    ("Scale", transform(scale::build, InJava::Known)),
    (
        "HeteroFeatureBinning",
        transform(binning::build, InJava::Known),
    ),
    (
        "HeteroFeatureBinningGuest",
        transform(binning::build, InJava::Known),
    ),
    (
        "HeteroFeatureBinningHost",
        transform(binning::build, InJava::Known),
    ),
    (
        "HomoBinningClient",
        transform(binning::build, InJava::Unknown),
    ),
    ("OneHotEncoder", transform(one_hot::build, InJava::Known)),
    ("HomoOneHotBase", transform(one_hot::build, InJava::Unknown)),
    (
        "FeatureSelection",
        transform(selection::build, InJava::Known),
    ),
    (
        "HeteroFeatureSelectionGuest",
        transform(selection::build, InJava::Known),
    ),
    (
        "HeteroFeatureSelectionHost",
        transform(selection::build, InJava::Known),
    ),
    (
        "BaseHeteroFeatureSelection",
        transform(selection::build, InJava::Unknown),
    ),
    (
        "HeteroFeatureSelection",
        transform(selection::build, InJava::Unknown),
    ),
    (
        "HeteroLRGuest",
        model(linear::build_lr_guest, InJava::Known),
    ),
    ("HeteroLRHost", model(linear::build_lr_host, InJava::Known)),
    (
        "HeteroLinRGuest",
        model(linear::build_linr_guest, InJava::Unknown),
    ),
    (
        "HeteroLinRHost",
        model(linear::build_linr_host, InJava::Unknown),
    ),
    (
        "HeteroPoissonGuest",
        model(linear::build_poisson_guest, InJava::Unknown),
    ),
    (
        "HeteroPoissonHost",
        model(linear::build_poisson_host, InJava::Unknown),
    ),
    ("HeteroFMGuest", model(fm::build_guest, InJava::Known)),
    ("HeteroFMHost", model(fm::build_host, InJava::Known)),
    (
        "HeteroKmeansGuest",
        model(kmeans::build_guest, InJava::Unknown),
    ),
    (
        "HeteroKmeansHost",
        model(kmeans::build_host, InJava::Unknown),
    ),
    ("HomoLRGuest", model(homo_lr::build, InJava::Unknown)),
    ("HomoLRHost", model(homo_lr::build, InJava::Unknown)),
    ("HomoLRClient", model(homo_lr::build, InJava::Unknown)),
    ("HomoFMGuest", model(fm::build_homo, InJava::Unknown)),
    ("HomoFMHost", model(fm::build_homo, InJava::Unknown)),
    (
        "HomoSecureBoostingTreeClient",
        model(forest::build_homo, InJava::Unknown),
    ),
    (
        local_baseline::CLASS,
        model(local_baseline::build, InJava::Unknown),
    ),
    (
        "HeteroSecureBoostingTreeGuest",
        model(forest::build_guest, InJava::Known),
    ),
    (
        "HeteroSecureBoostingTreeHost",
        model(forest::build_host, InJava::Known),
    ),
    (
        "HeteroFastSecureBoostingTreeGuest",
        model(forest::build_guest, InJava::Unknown),
    ),
    (
        "HeteroFastSecureBoostingTreeHost",
        model(forest::build_host, InJava::Unknown),
    ),
    (
        "LabelTransformer",
        output(label_transform::build, InJava::Unknown),
    ),
    ("Scorecard", output(scorecard::build, InJava::Unknown)),
    ("IntersectGuest", Class::Harmless),
    ("IntersectHost", Class::Harmless),
    ("Evaluation", Class::Harmless),
    ("DataStatistics", Class::Harmless),
    ("HeteroPearson", Class::Harmless),
    ("PSI", Class::Harmless),
    ("Union", Class::Harmless),
    ("Sampler", Class::Harmless),
    ("FederatedSample", Class::Harmless),
    ("SampleWeight", Class::Harmless),
    ("HeteroDataSplitGuest", Class::Harmless),
    ("HeteroDataSplitHost", Class::Harmless),
    ("HomoDataSplitGuest", Class::Harmless),
    ("HomoDataSplitHost", Class::Harmless),
    ("PositiveUnlabeled", Class::Harmless),
    ("Reader", Class::Harmless),
    (
        "HeteroSBTFeatureTransformerGuest",
        Class::Unservable("its trees take a round trip before the next component can start"),
    ),
    (
        "HeteroSBTFeatureTransformerHost",
        Class::Unservable("its trees take a round trip before the next component can start"),
    ),
    (
        "HeteroNNGuest",
        Class::Unservable("hetero neural networks take two encrypted round trips"),
    ),
    (
        "HeteroNNHost",
        Class::Unservable("hetero neural networks take two encrypted round trips"),
    ),
    (
        "HomoNNClient",
        Class::Unservable("its network is pickled torch code"),
    ),
    (
        "HomoNNDefaultClient",
        Class::Unservable("its network is keras or torch code"),
    ),
    (
        "FTLGuest",
        Class::Unservable("transfer learning needs a neural network runtime"),
    ),
    (
        "FTLHost",
        Class::Unservable("transfer learning needs a neural network runtime"),
    ),
    ("HeteroMFGuest", RECOMMENDATION),
    ("HeteroMFHost", RECOMMENDATION),
    ("HeteroSVDGuest", RECOMMENDATION),
    ("HeteroSVDHost", RECOMMENDATION),
    ("HeteroSVDppGuest", RECOMMENDATION),
    ("HeteroSVDppHost", RECOMMENDATION),
    ("HeteroGMFGuest", RECOMMENDATION),
    ("HeteroGMFHost", RECOMMENDATION),
];

const RECOMMENDATION: Class = Class::Unservable(
    "it scores pairs of users and items by ids that it has seen, not rows of features",
);

/// How `class` is served; none for a name that no FATE version writes.
pub(crate) fn class(name: &str) -> Option<Class> {
    CLASSES
        .iter()
        .find(|(class, _)| *class == name)
        .map(|(_, class)| *class)
}

/// Every class name of a FATE 1.x pipeline that is known here, with what becomes of it; none for one that is refused.
pub fn classes() -> impl Iterator<Item = (&'static str, Option<Treatment>)> {
    CLASSES.iter().map(|(name, class)| match class {
        Class::Served { treatment, .. } => (*name, Some(*treatment)),
        Class::Harmless => (*name, Some(Treatment::PassThrough)),
        Class::Unservable(_) => (*name, None),
    })
}

/// A component with its buffers.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) class: &'a str,
    meta: Option<(&'a str, Bytes)>,
    param: Option<(&'a str, Bytes)>,
    semantics: Semantics,
}

/// FATE writes this instead of an empty message (contract 02 A2.8).
const FILLER: &[u8] = b"\x0a\x03set";

impl<'a> Source<'a> {
    pub(crate) fn new(
        name: &'a str,
        class: &'a str,
        buffers: &'a Buffers,
        semantics: Semantics,
    ) -> Self {
        let mut source = Source {
            name,
            class,
            meta: None,
            param: None,
            semantics,
        };
        for (key, bytes) in buffers {
            let Some(message) = message_of(key, name) else {
                continue;
            };
            if message.ends_with("Meta") {
                source.meta = Some((message, bytes.clone()));
            } else if message.ends_with("Param") {
                source.param = Some((message, bytes.clone()));
            }
        }
        source
    }

    pub(crate) fn meta<M: Message + Default>(&self) -> Result<M, Refusal> {
        self.decode("Meta", self.meta.as_ref())
    }

    pub(crate) fn param<M: Message + Default>(&self) -> Result<M, Refusal> {
        self.decode("Param", self.param.as_ref())
    }

    fn decode<M: Message + Default>(
        &self,
        suffix: &str,
        buffer: Option<&(&str, Bytes)>,
    ) -> Result<M, Refusal> {
        let Some((message, bytes)) = buffer else {
            return Err(self.refuse(format!("the model has no …{suffix} buffer for it")));
        };
        if bytes.as_ref() == FILLER {
            return Ok(M::default());
        }
        if bytes.is_empty() && self.semantics == Semantics::Fate {
            let reason = format!("its buffer {message} is empty, which FATE never writes");
            return Err(self.refuse(reason));
        }
        M::decode(bytes.clone())
            .map_err(|error| self.refuse(format!("its buffer {message} is corrupt: {error}")))
    }

    /// Refuses results of a component that says it did not run: one of its two buffers is damaged.
    pub(crate) fn refuse_results_without_run(&self, has_results: bool) -> Result<(), Refusal> {
        if has_results && self.semantics == Semantics::Fate {
            return Err(self.refuse("it is switched off (need_run) and has results all the same"));
        }
        Ok(())
    }

    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Refusal {
        Refusal::component(format!("{} ({})", self.name, self.class), reason)
    }
}

/// `HeteroLRMeta` of the key `hetero_lr_0.model:HeteroLRMeta`, if the key belongs to `component`.
fn message_of<'a>(key: &'a str, component: &str) -> Option<&'a str> {
    key.strip_prefix(component)?
        .strip_prefix('.')?
        .rsplit(':')
        .next()
}

/// What builders know and collect besides their own buffers.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) site: &'a Site,
    pub(crate) dsl: &'a Dsl,
    pub(crate) semantics: Semantics,
    pub(crate) symbols: Symbols,
    /// Sentences on where the semantics differ for this model.
    pub(crate) differences: Vec<String>,
    /// Rows are sparse vectors from the data component on: a position left out is zero, and stays left out.
    pub(crate) sparse: bool,
    /// Rows are vectors of integers: what is written into one loses its fraction.
    pub(crate) integers: bool,
}

impl Context<'_> {
    pub(crate) fn java(&self) -> bool {
        self.semantics == Semantics::Java
    }

    pub(crate) fn version(&self) -> FateVersion {
        self.dsl.version
    }

    pub(crate) fn role(&self) -> Role {
        self.site.role
    }

    /// Notes where the semantics differ; asked for by the builders for `fate` only, as [`crate::compile`] looks there.
    pub(crate) fn differs(&mut self, sentence: impl Into<String>) {
        self.differences.push(sentence.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_belong_to_the_component_they_name() {
        assert_eq!(
            message_of("hetero_lr_0.model:LRModelMeta", "hetero_lr_0"),
            Some("LRModelMeta")
        );
        assert_eq!(
            message_of("hetero_lr_0.model:LRModelMeta", "hetero_lr"),
            None
        );
        assert_eq!(message_of("a.b.model:XParam", "a.b"), Some("XParam"));
    }

    #[test]
    fn class_names_are_listed_once() {
        let mut names: Vec<&str> = CLASSES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLASSES.len());
    }
}
