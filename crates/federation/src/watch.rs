//! Watching the rows of a call, when somebody wants to know what they brought along.

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_inference::{Coverage, Figures, Plan};

use crate::claim::Claim;
use crate::explain::{self, NameRoom, Names};
use crate::hit_rate;

/// What is to be done with what a party's rows bring along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inquiry {
    /// Somebody asks for it.
    pub(crate) explain: bool,
    /// Whoever asks may see names.
    pub(crate) names: bool,
    /// Rows below it are refused.
    pub(crate) min_hit_rate: Option<f64>,
}

impl Inquiry {
    /// Whether there is anything to be known at all; a plain call pays nothing.
    pub(crate) fn watches(&self) -> bool {
        self.explain || self.min_hit_rate.is_some()
    }
}

/// Watches a party's rows, one after the other.
#[derive(Debug)]
pub(crate) struct Watch<'p> {
    plan: &'p Plan,
    party_id: &'p str,
    inquiry: Inquiry,
    pub(crate) coverage: Coverage<'p>,
    /// For the names of the whole answer, other parties' included.
    pub(crate) room: NameRoom,
}

/// The features of a row, for their names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'a> {
    /// The text of an object.
    Json(&'a str),
    Numbers(&'a [(Box<str>, f64)]),
}

/// What one row brought along.
#[derive(Debug)]
pub(crate) struct Told {
    figures: Figures,
    /// Members of the party's JSON object; empty when nobody asks.
    text: Vec<u8>,
}

impl<'p> Watch<'p> {
    /// `None` when nobody wants to know.
    pub(crate) fn new(plan: &'p Plan, party_id: &'p str, inquiry: Inquiry) -> Option<Self> {
        inquiry.watches().then(|| Watch {
            plan,
            party_id,
            inquiry,
            coverage: plan.coverage(),
            room: NameRoom::default(),
        })
    }

    /// What the row brought along that `coverage` has just seen. `features` is read only if names are to be told.
    pub(crate) fn told(&mut self, features: Named<'_>) -> Told {
        let figures = self.coverage.figures();
        let mut text = Vec::new();
        if self.inquiry.explain {
            explain::write_figures(&figures, &mut text);
        }
        if self.inquiry.explain && self.inquiry.names {
            let names = self.names(features);
            explain::write_names(&names, &mut self.room, &mut text);
        }
        Told { figures, text }
    }

    fn names(&self, features: Named<'_>) -> Names {
        let is_unknown = |name: &&str| !self.plan.knows(name);
        match features {
            Named::Json(object) => {
                // What is no object was refused when the row was read.
                let members = Members::leading(object).unwrap_or_default();
                let names = members.iter().map(|(name, _)| name);
                Names::of(&self.coverage, names.filter(is_unknown))
            }
            Named::Numbers(numbers) => {
                let names = numbers.iter().map(|(name, _)| &**name);
                Names::of(&self.coverage, names.filter(is_unknown))
            }
        }
    }

    /// Code 131 for a row of which too little is there.
    pub(crate) fn check(&self, told: &Told) -> Result<(), Fault> {
        hit_rate::check(self.inquiry.min_hit_rate, self.party_id, &told.figures)
    }

    /// Code 131 for a row of which another party says that too little is there.
    pub(crate) fn check_claim(&self, party_id: &str, claim: &Claim) -> Result<(), Fault> {
        hit_rate::check_claim(self.inquiry.min_hit_rate, party_id, claim)
    }
}

impl Told {
    /// The party's object, with a first member that says whose it is or where it comes from.
    pub(crate) fn object(&self, member: &str, value: &str) -> Option<Vec<u8>> {
        (!self.text.is_empty()).then(|| explain::object(member, value, &self.text))
    }
}
