//! From buffers to a [`Plan`], and a row's way through it.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use fate_domain::{fault::Fault, java_hash::hash_order, party::Role, return_code::ReturnCode};
use serde::{
    Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    Buffers, Cell, CompactForm, ComponentReport, Coverage, GuestLocal, Partial, Refusal, Row,
    Score, Semantics, Treatment, Verdict,
    component::{
        self, Built, Class, Context, GuestModel, HostModel, InJava, Output, Part, Source,
        Transform, no_compact_form,
    },
    dsl::{self, Dsl, Input, Node},
    symbols::{Column, Symbols},
};

/// Whose part of a model the buffers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Guest or host.
    pub role: Role,
    /// This party's id.
    pub party_id: String,
    /// On a guest: the hosts' party ids. Empty on a host.
    pub hosts: Vec<String>,
}

/// A party's pipeline, compiled: the way from the request's row to the model, and the model.
#[derive(Debug)]
pub struct Plan {
    symbols: Symbols,
    transforms: Vec<Box<dyn Transform>>,
    model: Model,
    /// Name of the model's component: the key of a host's contribution.
    component: Box<str>,
    outputs: Vec<Box<dyn Output>>,
    /// In the order in which their parts are added (contract 02 A9).
    hosts: Vec<String>,
    /// The columns of [`Verdict::features`], in the same order.
    needed: Vec<Column>,
    verdict: Verdict,
}

#[derive(Debug)]
enum Model {
    Guest(Box<dyn GuestModel>),
    Host(Box<dyn HostModel>),
}

/// Compiles a party's buffers, or says why they cannot be served (contract 02 A2, F19 to F21).
pub fn compile(buffers: &Buffers, site: &Site, semantics: Semantics) -> Result<Plan, Refusal> {
    let mut plan = compile_as(buffers, site, semantics)?;
    if semantics == Semantics::Java {
        // The builders look for differences while they build for `fate`.
        plan.verdict.differences = match compile_as(buffers, site, Semantics::Fate) {
            Ok(fate) => fate.verdict.differences,
            Err(refusal) => vec![format!("with semantics fate it is refused: {refusal}")],
        };
    }
    Ok(plan)
}

fn compile_as(buffers: &Buffers, site: &Site, semantics: Semantics) -> Result<Plan, Refusal> {
    let dsl = dsl::read(buffers)?;
    let site = in_merge_order(site);
    let model = model_of(&dsl, semantics)?;
    let chain = chain_to(&dsl, model);
    let mut context = Context {
        site: &site,
        dsl: &dsl,
        semantics,
        symbols: Symbols::default(),
        differences: Vec::new(),
        sparse: false,
        integers: false,
    };
    let mut assembly = Assembly::default();
    for (index, node) in dsl.components.iter().enumerate() {
        let part = if chain.contains(&index) || follows(&dsl, index, model) {
            build(node, buffers, &mut context)?
        } else {
            Part::pass_through("not on the way to the score")
        };
        assembly.add(node, part)?;
    }
    assembly.finish(context, &dsl.components[model])
}

/// Java adds the hosts' parts in the order of a `HashMap` over their ids; a fixed order makes scores repeatable.
fn in_merge_order(site: &Site) -> Site {
    let order = hash_order(site.hosts.iter().map(String::as_str), 16);
    Site {
        hosts: order
            .into_iter()
            .map(|index| site.hosts[index].clone())
            .collect(),
        ..site.clone()
    }
}

/// The component that gives the score: of several models the one executed last, as in Java (contract 02 F46).
fn model_of(dsl: &Dsl, semantics: Semantics) -> Result<usize, Refusal> {
    let is_model = |node: &Node| {
        matches!(
            class_of(&node.class, semantics),
            Some(Class::Served {
                treatment: Treatment::Model,
                ..
            })
        )
    };
    // A local baseline stands beside the model that is served, for comparison.
    let is_federated =
        |node: &Node| is_model(node) && node.class != component::local_baseline::CLASS;
    let components = &dsl.components;
    components
        .iter()
        .rposition(is_federated)
        .or_else(|| components.iter().rposition(is_model))
        .ok_or_else(|| no_model(dsl, semantics))
}

fn no_model(dsl: &Dsl, semantics: Semantics) -> Refusal {
    let unservable = dsl.components.iter().find_map(|node| match class_of(&node.class, Semantics::Fate) {
        Some(Class::Unservable(reason)) => Some((node, reason.to_owned())),
        None => Some((node, "no FATE 1.x class that this server knows".to_owned())),
        Some(Class::Served { treatment: Treatment::Model, .. }) if semantics == Semantics::Java => {
            Some((node, "FATE-Serving 2.1.7 has no such class and would answer without a score; load it with semantics fate".to_owned()))
        }
        _ => None,
    });
    match unservable {
        Some((node, reason)) => {
            Refusal::component(format!("{} ({})", node.name, node.class), reason)
        }
        None => Refusal::pipeline("the pipeline has no model component, so it cannot give a score"),
    }
}

/// How the semantics see a class: Java passes rows through classes that it does not have.
fn class_of(class: &str, semantics: Semantics) -> Option<Class> {
    match component::class(class) {
        Some(
            Class::Served {
                java: InJava::Unknown,
                ..
            }
            | Class::Unservable(_),
        )
        | None
            if semantics == Semantics::Java =>
        {
            Some(Class::Harmless)
        }
        other => other,
    }
}

/// The components between the request's row and the model, the model included.
fn chain_to(dsl: &Dsl, model: usize) -> BTreeSet<usize> {
    let mut chain = BTreeSet::from([model]);
    let mut at = model;
    while let Input::Component(before) = dsl.components[at].input {
        chain.insert(before);
        at = before;
    }
    chain
}

/// Whether a component's row comes from the model.
fn follows(dsl: &Dsl, mut index: usize, model: usize) -> bool {
    while let Input::Component(before) = dsl.components[index].input {
        if before == model {
            return true;
        }
        index = before;
    }
    false
}

fn build(node: &Node, buffers: &Buffers, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let source = Source::new(&node.name, &node.class, buffers, context.semantics);
    match class_of(&node.class, context.semantics) {
        Some(Class::Served { build, java, .. }) => {
            let part = build(&source, context)?;
            note_class_java_lacks(node, &part, java, context);
            Ok(part)
        }
        Some(Class::Harmless) => Ok(Part::pass_through("no effect on a single row")),
        Some(Class::Unservable(reason)) => Err(source.refuse(reason)),
        None => {
            Err(source.refuse("no FATE 1.x class that this server knows, and it may change values"))
        }
    }
}

fn note_class_java_lacks(node: &Node, part: &Part, java: InJava, context: &mut Context<'_>) {
    let effect = match part.built {
        _ if java == InJava::Known => return,
        // Models find their features by name; columns that nobody selected do not disturb them.
        Built::Transform(_) if node.class.contains("FeatureSelection") => return,
        Built::PassThrough => return,
        Built::Transform(_) => "rows pass it unchanged",
        Built::Output(_) => "scores pass it unchanged",
        Built::Guest(_) | Built::Host(_) => "it answers success without a score",
    };
    context.differs(format!(
        "FATE-Serving 2.1.7 has no class {} ({}): {effect}",
        node.class, node.name
    ));
}

/// Collects the parts of a plan in order of execution.
#[derive(Default)]
struct Assembly {
    transforms: Vec<Box<dyn Transform>>,
    model: Option<(Model, String)>,
    outputs: Vec<Box<dyn Output>>,
    reports: Vec<ComponentReport>,
}

impl Assembly {
    fn add(&mut self, node: &Node, part: Part) -> Result<(), Refusal> {
        let refuse = |reason: &str| {
            Err(Refusal::component(
                format!("{} ({})", node.name, node.class),
                reason,
            ))
        };
        let treatment = match part.built {
            Built::Transform(_) | Built::Guest(_) | Built::Host(_) if self.model.is_some() => {
                return refuse(
                    "it would work on the output of a model, which no FATE pipeline does",
                );
            }
            // Before the model there are only labels to change, and a request has none.
            Built::Output(_) if self.model.is_none() => Treatment::PassThrough,
            Built::Transform(transform) => {
                self.transforms.push(transform);
                Treatment::Transform
            }
            Built::Guest(model) => {
                self.model = Some((Model::Guest(model), part.detail.clone()));
                Treatment::Model
            }
            Built::Host(model) => {
                self.model = Some((Model::Host(model), part.detail.clone()));
                Treatment::Model
            }
            Built::Output(output) => {
                self.outputs.push(output);
                Treatment::Output
            }
            Built::PassThrough => Treatment::PassThrough,
        };
        self.reports.push(ComponentReport {
            name: node.name.clone(),
            class: node.class.clone(),
            treatment,
            detail: part.detail,
        });
        Ok(())
    }

    fn finish(self, context: Context<'_>, model_node: &Node) -> Result<Plan, Refusal> {
        let refuse = |reason: String| {
            Refusal::component(
                format!("{} ({})", model_node.name, model_node.class),
                reason,
            )
        };
        let Some((model, kind)) = self.model else {
            return Err(refuse("it was not built".to_owned()));
        };
        let needs_hosts = match (&model, context.site.role) {
            (Model::Guest(model), Role::Guest) => model.needs_hosts(),
            (Model::Host(_), Role::Host | Role::Arbiter) => false,
            (_, role) => {
                return Err(refuse(format!(
                    "this class does not belong to the pipeline of a {role}"
                )));
            }
        };
        if needs_hosts && context.site.hosts.is_empty() {
            return Err(refuse(
                "the model has hosts, and the publish request names none".to_owned(),
            ));
        }
        let needed = needed_columns(&self.transforms, &model, &context.symbols);
        let features = needed
            .iter()
            .map(|column| context.symbols.name(*column).to_owned())
            .collect();
        let mut differences = context.differences;
        differences.dedup();
        let verdict = Verdict {
            role: context.site.role,
            kind,
            fate_version: context.dsl.pipeline.fate_version.clone(),
            semantics: context.semantics,
            components: self.reports,
            features,
            needs_hosts,
            differences,
        };
        Ok(Plan {
            symbols: context.symbols,
            transforms: self.transforms,
            model,
            component: model_node.name.as_str().into(),
            outputs: self.outputs,
            hosts: context.site.hosts.clone(),
            needed,
            verdict,
        })
    }
}

/// What the request has to carry for the score: the model's columns, followed back through the transforms; sorted by
/// name.
fn needed_columns(
    transforms: &[Box<dyn Transform>],
    model: &Model,
    symbols: &Symbols,
) -> Vec<Column> {
    let mut needed: BTreeSet<Column> = match model {
        Model::Guest(model) => model.columns(),
        Model::Host(model) => model.columns(),
    }
    .into_iter()
    .collect();
    transforms
        .iter()
        .rev()
        .for_each(|transform| transform.trace_back(&mut needed));
    let mut needed: Vec<Column> = needed.into_iter().collect();
    needed.sort_unstable_by_key(|column| symbols.name(*column));
    needed
}

impl Plan {
    /// What the plan does, for people.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Whether a score takes the hosts' parts.
    pub fn needs_hosts(&self) -> bool {
        self.verdict.needs_hosts
    }

    /// A row with all features absent.
    pub fn new_row<'a>(&self) -> Row<'a> {
        Row::with_columns(self.symbols.len())
    }

    /// Reads `featureData`: the text of one JSON object. Code 100 if it is not one.
    pub fn read_json<'a>(&self, object: &'a str, row: &mut Row<'a>) -> Result<(), Fault> {
        row.read_json(&self.symbols, object)
    }

    /// Sets one feature to a number, as a feature source has it.
    pub fn set_number(&self, name: &str, value: f64, row: &mut Row<'_>) {
        row.set_named(&self.symbols, name, Cell::double(value));
    }

    /// Sets one feature to text, as a table has it.
    pub fn set_text<'a>(&self, name: &str, value: impl Into<Cow<'a, str>>, row: &mut Row<'a>) {
        row.set_named(&self.symbols, name, Cell::Text(value.into()));
    }

    /// Whether a step of the model uses a feature of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.symbols.find(name).is_some()
    }

    /// Something to watch rows of this plan with.
    pub fn coverage(&self) -> Coverage<'_> {
        Coverage::new(&self.needed, &self.verdict.features, &self.symbols)
    }

    /// The guest's own part. Faults carry the contract's code (110 for a value that is no number).
    pub fn guest_local<'a>(&'a self, row: &mut Row<'a>) -> Result<GuestLocal, Fault> {
        self.guest_local_watched(row, None)
    }

    /// As [`Plan::guest_local`]; the coverage, one of this plan, tells afterwards what the row brought along, also when
    /// it has failed.
    pub fn guest_local_watched<'a>(
        &'a self,
        row: &mut Row<'a>,
        coverage: Option<&mut Coverage<'_>>,
    ) -> Result<GuestLocal, Fault> {
        match &self.model {
            Model::Guest(model) => {
                self.transform(row, coverage)?;
                let named = |fault: Fault| match model.unreadable(row) {
                    Some(column) => {
                        let text = format!("{}: {}", fault.message, self.symbols.name(column));
                        Fault::new(fault.code, text)
                    }
                    None => fault,
                };
                model.local(row).map_err(named)
            }
            Model::Host(_) => Err(Fault::new(
                ReturnCode::SYSTEM,
                "a host's model has no guest part",
            )),
        }
    }

    /// A host's part.
    pub fn host_partial<'a>(&'a self, row: &mut Row<'a>) -> Result<Partial, Fault> {
        self.host_partial_watched(row, None)
    }

    /// As [`Plan::host_partial`], watched like [`Plan::guest_local_watched`].
    pub fn host_partial_watched<'a>(
        &'a self,
        row: &mut Row<'a>,
        coverage: Option<&mut Coverage<'_>>,
    ) -> Result<Partial, Fault> {
        match &self.model {
            Model::Host(model) => {
                self.transform(row, coverage)?;
                model.partial(row)
            }
            Model::Guest(_) => Err(Fault::new(
                ReturnCode::SYSTEM,
                "a guest's model has no host part",
            )),
        }
    }

    fn transform<'a>(
        &'a self,
        row: &mut Row<'a>,
        coverage: Option<&mut Coverage<'_>>,
    ) -> Result<(), Fault> {
        let mut transforms = self.transforms.iter();
        let Some(coverage) = coverage else {
            return transforms.try_for_each(|transform| transform.apply(row));
        };
        coverage.begin(row);
        transforms.try_for_each(|transform| {
            coverage.before(&**transform, row);
            transform.apply(row)?;
            coverage.after(row);
            Ok(())
        })
    }

    /// Appends a host's part as a JSON member, `"hetero_lr_0":{"score":0.0}`.
    pub fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>) {
        if let Model::Host(model) = &self.model {
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *out, &*self.component);
            out.push(b':');
            model.write_partial(partial, out);
        }
    }

    /// Reads a host's part from the text of its `data` object; code 108 if it is not there or not readable.
    pub fn read_partial(&self, party_id: &str, data: &str) -> Result<Partial, Fault> {
        let Model::Guest(model) = &self.model else {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "a host's model reads no host parts",
            ));
        };
        let mut json = serde_json::Deserializer::from_str(data);
        let own = json
            .deserialize_map(Member {
                name: &self.component,
            })
            .map_err(|error| {
                Fault::new(
                    ReturnCode::MERGE,
                    format!("the data of host {party_id} is not an object: {error}"),
                )
            })?;
        match own {
            Some(own) => model.read_partial(party_id, own.get()),
            None => model.read_legacy_partial(party_id, data),
        }
    }

    /// On a host: how its parts are packed, if the model has a packed form.
    pub fn own_compact_form(&self) -> Option<CompactForm> {
        match &self.model {
            Model::Host(model) => model.compact_form(),
            Model::Guest(_) => None,
        }
    }

    /// Appends a host's part as [`Plan::own_compact_form`] says; nothing without such a form.
    pub fn write_compact(&self, partial: &Partial, out: &mut Vec<u8>) {
        if let Model::Host(model) = &self.model {
            model.write_compact(partial, out);
        }
    }

    /// On the guest: how this host may pack its parts, if the model has a packed form.
    pub fn compact_form_of(&self, party_id: &str) -> Option<CompactForm> {
        match &self.model {
            Model::Guest(model) => model.compact_form(self.host_index(party_id)?),
            Model::Host(_) => None,
        }
    }

    /// Reads the packed part of a host that was asked for the form that [`Plan::compact_form_of`] told; code 108 for what
    /// is none.
    pub fn read_compact(&self, party_id: &str, bytes: &[u8]) -> Result<Partial, Fault> {
        match (&self.model, self.host_index(party_id)) {
            (Model::Guest(model), Some(host)) => model.read_compact(host, party_id, bytes),
            _ => Err(no_compact_form(party_id)),
        }
    }

    fn host_index(&self, party_id: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host == party_id)
    }

    /// Puts the parts together. Every host of the model must be there: a missing one is code 108, never a score.
    pub fn merge(&self, local: GuestLocal, partials: &[(&str, Partial)]) -> Result<Score, Fault> {
        let Model::Guest(model) = &self.model else {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "a host's model does not merge",
            ));
        };
        if self.needs_hosts() && partials.is_empty() {
            return Err(Fault::new(
                ReturnCode::MERGE,
                "remote inference result is null",
            ));
        }
        let ordered = self
            .hosts
            .iter()
            .filter(|_| self.needs_hosts())
            .map(|host| {
                partials
                    .iter()
                    .find(|(party_id, _)| party_id == host)
                    .map(|(_, partial)| partial)
                    .ok_or_else(|| {
                        Fault::new(
                            ReturnCode::MERGE,
                            format!("remote inference result of host {host} is null"),
                        )
                    })
            });
        let ordered: Vec<&Partial> = ordered.collect::<Result<_, _>>()?;
        let score = model.merge(local, &ordered)?;
        self.outputs
            .iter()
            .try_fold(score, |score, output| output.apply(score))
    }
}

/// Finds one member of an object and skips the others.
struct Member<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.name {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
