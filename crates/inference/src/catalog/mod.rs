//! Which kinds of components FATE 1.x has, the class names that its releases wrote for them, and what becomes of them
//! here: the table of the README. Nothing of it is told twice: releases come from `fate_classes.txt`, what is served from
//! the components' own table.

use crate::{
    Treatment,
    component::{self, Class, InJava},
};

/// Releases of FATE that the table tells apart.
pub const RELEASES: [&str; 8] = ["1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "1.11"];

/// A kind of component or model, and what shows that it is served as told.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// For people: `logistic regression, one-vs-rest`.
    pub name: &'static str,
    /// FATE's names for the component (`module` in a DSL).
    pub components: &'static [&'static str],
    /// Golden sets (`models/…`) that have it, and files of this crate's tests (`kinds/fm.rs`).
    pub shown_by: &'static [&'static str],
    /// Why this kind is refused although its class names are those of a kind that is served.
    refused: Option<&'static str>,
    /// First release that trains it, where its component is older.
    since: Option<&'static str>,
    /// Where FATE-Serving 2.1.7 has the class and answers otherwise than FATE.
    java: Option<&'static str>,
}

/// What becomes of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Part of the way to a score.
    Served,
    /// No effect on a single row.
    Passed,
    /// A pipeline that needs it is not loaded (return code 123), for this reason.
    Refused(String),
}

/// A line of `fate_classes.txt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// FATE's name for the component.
    pub component: &'static str,
    /// Class in a guest's DSL; none where only hosts have the component.
    pub guest: Option<&'static str>,
    /// Class in a host's DSL.
    pub host: Option<&'static str>,
    /// First and last release, as positions in [`RELEASES`].
    pub releases: (usize, usize),
}

impl Names {
    /// The class names, each once.
    pub fn classes(self) -> impl Iterator<Item = &'static str> {
        let host = self.host.filter(|host| Some(*host) != self.guest);
        self.guest.into_iter().chain(host)
    }
}

const fn kind(
    name: &'static str,
    components: &'static [&'static str],
    shown_by: &'static [&'static str],
) -> Kind {
    Kind {
        name,
        components,
        shown_by,
        refused: None,
        since: None,
        java: None,
    }
}

impl Kind {
    const fn java(mut self, remark: &'static str) -> Self {
        self.java = Some(remark);
        self
    }

    const fn since(mut self, release: &'static str) -> Self {
        self.since = Some(release);
        self
    }

    const fn refused(mut self, reason: &'static str) -> Self {
        self.refused = Some(reason);
        self
    }
}

/// Every kind, in the order of the table.
pub const KINDS: &[Kind] = &[
    kind(
        "reading rows",
        &["DataIO", "DataTransform"],
        &["lr_plain", "lr_minmax_cap_imputer"],
    )
    .java("no casts, other missing values"),
    kind(
        "appended columns",
        &["ColumnExpand"],
        &["preprocessing/main.rs"],
    ),
    kind(
        "imputation",
        &["FeatureImputation"],
        &["lr_feature_imputation"],
    ),
    kind(
        "scaling",
        &["FeatureScale"],
        &["lr_minmax_cap_imputer", "lr_scale_onehot", "linr"],
    )
    .java("other outside the bounds"),
    kind(
        "binning, woe",
        &["HeteroFeatureBinning", "HomoFeatureBinning"],
        &["lr_binning_woe", "lr_scale_onehot"],
    )
    .java("bin numbers only"),
    kind(
        "one-hot encoding",
        &["OneHotEncoder", "HomoOneHotEncoder"],
        &["lr_scale_onehot"],
    )
    .java("integers only"),
    kind(
        "selection",
        &["HeteroFeatureSelection"],
        &["lr_binning_woe"],
    ),
    kind(
        "logistic regression",
        &["HeteroLR"],
        &[
            "lr_plain",
            "lr_two_hosts",
            "lr_binning_woe",
            "lr_scale_onehot",
        ],
    ),
    kind(
        "logistic regression, one-vs-rest",
        &["HeteroLR"],
        &["lr_one_vs_rest", "kinds/linear.rs"],
    )
    .java("0.5 for every row"),
    kind("SSHE logistic regression", &["HeteroSSHELR"], &["lr_sshe"]),
    kind(
        "SSHE, encrypted_reveal_in_host",
        &["HeteroSSHELR", "HeteroSSHELinR"],
        &["kinds/linear.rs"],
    )
    .refused("the host's weights stay encrypted under the guest's key"),
    kind("linear regression", &["HeteroLinR"], &["linr"]),
    kind(
        "SSHE linear regression",
        &["HeteroSSHELinR"],
        &["kinds/linear.rs"],
    ),
    kind(
        "Poisson regression",
        &["HeteroPoisson"],
        &["poisson", "kinds/linear.rs"],
    ),
    kind(
        "factorization machine (FederatedRec)",
        &["HeteroFM"],
        &["numeric_examples.rs", "kinds/fm.rs"],
    )
    .java("one host, no one-vs-rest"),
    kind("k-means", &["HeteroKmeans"], &["kinds/kmeans.rs"]),
    kind(
        "SecureBoost, binary",
        &["HeteroSecureBoost"],
        &[
            "sbt_binary",
            "sbt_binary_missing",
            "sbt_two_hosts",
            "kinds/forest.rs",
        ],
    ),
    kind(
        "SecureBoost, several classes",
        &["HeteroSecureBoost"],
        &["sbt_multiclass", "kinds/forest.rs"],
    ),
    kind(
        "SecureBoost, classes in one tree",
        &["HeteroSecureBoost"],
        &["sbt_multi_output"],
    )
    .since("1.8")
    .java("`[1.0]` for every row"),
    kind(
        "SecureBoost, regression (lse, lae, huber, fair, log_cosh)",
        &["HeteroSecureBoost"],
        &["sbt_regression", "kinds/forest.rs"],
    ),
    kind(
        "SecureBoost, tweedie",
        &["HeteroSecureBoost"],
        &["sbt_tweedie", "kinds/forest.rs"],
    )
    .java("no exponential"),
    kind(
        "SecureBoost, zero as missing",
        &["HeteroSecureBoost"],
        &["sbt_zero_as_missing"],
    )
    .java("zeros are values"),
    kind(
        "SecureBoost, mix",
        &["HeteroFastSecureBoost"],
        &["sbt_mix", "kinds/mix.rs"],
    )
    .java("refused"),
    kind(
        "SecureBoost, layered",
        &["HeteroFastSecureBoost"],
        &["sbt_layered"],
    ),
    kind(
        "homogeneous logistic regression",
        &["HomoLR"],
        &["kinds/homo.rs"],
    ),
    kind(
        "homogeneous factorization machine",
        &["HomoFM"],
        &["kinds/fm.rs"],
    ),
    kind(
        "homogeneous SecureBoost",
        &["HomoSecureboost", "HomoSecureBoost"],
        &["kinds/homo.rs"],
    ),
    kind("local baseline", &["LocalBaseline"], &["kinds/baseline.rs"]),
    kind(
        "labels mapped back",
        &["LabelTransform"],
        &["kinds/classes.rs"],
    ),
    kind("scorecard", &["Scorecard"], &["kinds/scorecard.rs"]),
    kind(
        "no effect on one row",
        &[
            "Intersection",
            "Evaluation",
            "DataStatistics",
            "HeteroPearson",
            "PSI",
            "Union",
            "FederatedSample",
            "SampleWeight",
            "HeteroDataSplit",
            "HomoDataSplit",
            "PositiveUnlabeled",
            "Reader",
        ],
        &["lr_plain"],
    ),
    kind("hetero neural network", &["HeteroNN"], &[]),
    kind("homo neural network", &["HomoNN", "CustNN"], &[]),
    kind("transfer learning", &["FTL"], &[]),
    kind("leaf encoding", &["SBTFeatureTransformer"], &[]),
    kind(
        "matrix factorization (FederatedRec)",
        &["HeteroMF", "HeteroSVD", "HeteroSVDpp", "HeteroGMF"],
        &[],
    ),
];

/// What FATE 1.x writes as class names, release by release.
pub fn names() -> impl Iterator<Item = Names> {
    include_str!("fate_classes.txt").lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let component = words.next().filter(|word| *word != "#")?;
        let mut class = || words.next().map(|word| (word != "-").then_some(word));
        let (guest, host) = (class()?, class()?);
        let mut release = || position(words.next()?);
        Some(Names {
            component,
            guest,
            host,
            releases: (release()?, release()?),
        })
    })
}

fn position(release: &str) -> Option<usize> {
    RELEASES.iter().position(|known| *known == release)
}

/// What becomes of a class by itself; none for a name that no component has.
pub fn status_of_class(class: &str) -> Option<Status> {
    component::class(class).map(|class| match class {
        Class::Served { .. } => Status::Served,
        Class::Harmless => Status::Passed,
        Class::Unservable(reason) => Status::Refused(reason.to_owned()),
    })
}

/// Every class name that is known here.
pub fn classes() -> impl Iterator<Item = &'static str> {
    component::CLASSES.iter().map(|(name, _)| *name)
}

impl Kind {
    /// Lines of `fate_classes.txt` that belong to it.
    pub fn names(&self) -> impl Iterator<Item = Names> {
        let components = self.components;
        names().filter(move |names| components.contains(&names.component))
    }

    /// What becomes of it.
    pub fn status(&self) -> Status {
        if let Some(reason) = self.refused {
            return Status::Refused(reason.to_owned());
        }
        self.names()
            .flat_map(|names| names.classes())
            .find_map(status_of_class)
            .unwrap_or_else(|| Status::Refused("unknown".to_owned()))
    }

    /// Whether a release has it.
    pub fn is_in(&self, release: usize) -> bool {
        let first = self.since.and_then(position).unwrap_or(0);
        release >= first
            && self
                .names()
                .any(|names| (names.releases.0..=names.releases.1).contains(&release))
    }

    /// What a plan with the semantics of FATE-Serving 2.1.7 makes of it.
    pub fn in_java(&self) -> String {
        let known = |class: &str| match component::class(class) {
            Some(Class::Served {
                java, treatment, ..
            }) => Some((java == InJava::Known, treatment)),
            _ => None,
        };
        let classes: Vec<(bool, Treatment)> = self
            .names()
            .flat_map(|names| names.classes())
            .filter_map(known)
            .collect();
        match (self.status(), self.java) {
            (Status::Refused(_), _) => "refused".to_owned(),
            (Status::Passed, _) => "passed over".to_owned(),
            (Status::Served, Some(remark)) => remark.to_owned(),
            (Status::Served, None) if classes.iter().all(|(known, _)| *known) => "same".to_owned(),
            (Status::Served, None) if classes.iter().any(|(known, _)| *known) => {
                "same, newer names passed over".to_owned()
            }
            (Status::Served, None)
                if classes
                    .iter()
                    .all(|(_, treatment)| *treatment == Treatment::Model) =>
            {
                "refused".to_owned()
            }
            (Status::Served, None) => "passed over".to_owned(),
        }
    }
}

/// The table, as the README has it.
pub fn markdown() -> String {
    let mut text = format!(
        "| kind | class names | {} | `java` | shown by |\n|---|---|{}---|---|\n",
        RELEASES.join(" | "),
        "---|".repeat(RELEASES.len())
    );
    for kind in KINDS {
        let mut classes: Vec<&str> = Vec::new();
        for class in kind.names().flat_map(|names| names.classes()) {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        let mark = match kind.status() {
            Status::Served => "✓",
            Status::Passed => "·",
            Status::Refused(_) => "✗",
        };
        let cells: Vec<&str> = (0..RELEASES.len())
            .map(|release| if kind.is_in(release) { mark } else { "" })
            .collect();
        let name = match kind.status() {
            Status::Refused(reason) => format!("{}: {reason}", kind.name),
            _ => kind.name.to_owned(),
        };
        text.push_str(&format!(
            "| {name} | {} | {} | {} | {} |\n",
            classes.join(", "),
            cells.join(" | "),
            kind.in_java(),
            kind.shown_by.join(", "),
        ));
    }
    text
}
