//! `publish_load_model.json` and `bind_model_service.json`, as FATE-Flow's users write them (contract 03 §8.1).

use std::path::{Path, PathBuf};

use fate_domain::model_key::ModelKey;
use serde_json::{Map, Value};

use super::requests::{LoadFrom, PartyPart};
use crate::exit::Failure;

/// A model of several parties, and what to do with it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Every role's parties in the order of the file, arbiters too.
    pub(crate) parties: Vec<PartyPart>,
    pub(crate) initiator: PartyPart,
    /// Of a bind; numbers become their text.
    pub(crate) service_id: Option<String>,
    /// Empty when the file has none: all servings then.
    pub(crate) servings: Vec<String>,
    /// `job_parameters.load_type` and `file_path`, when they name another source than FATE-Flow.
    pub(crate) load_from: Option<LoadFrom>,
}

impl Job {
    /// Reads a file.
    ///
    /// # Errors
    /// Wrong usage: unreadable, no JSON, or something that FATE-Flow requires is missing; the text names it.
    pub(crate) fn read(path: &Path) -> Result<Job, Failure> {
        let in_file = |cause: String| Failure::usage(format!("{}: {cause}", path.display()));
        let text = super::flow_conf::read_text(path).map_err(in_file)?;
        let members: Map<String, Value> = serde_json::from_str(&text)
            .map_err(|cause| in_file(format!("not a JSON object: {cause}")))?;
        Job::of(&members).map_err(in_file)
    }

    fn of(members: &Map<String, Value>) -> Result<Job, String> {
        if members.contains_key("job_id") && !members.contains_key("job_parameters") {
            return Err("a job_id alone needs FATE-Flow's database; write initiator, role and job_parameters".to_owned());
        }
        let missing: Vec<&str> = ["initiator", "role", "job_parameters"]
            .into_iter()
            .filter(|name| !members.get(*name).is_some_and(Value::is_object))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "required parameters are missing: {}",
                missing.join(", ")
            ));
        }
        let of_parameters = |name: &str| text_of(members["job_parameters"].get(name));
        let required = |name: &str| {
            of_parameters(name).ok_or_else(|| format!("job_parameters.{name} is missing"))
        };
        let (model_id, version) = (required("model_id")?, required("model_version")?);
        let part = |role: &str, party_id: &str| PartyPart {
            role: role.to_owned(),
            party_id: party_id.to_owned(),
            key: ModelKey::new(version.as_str(), format!("{role}#{party_id}#{model_id}")),
        };
        let mut parties = Vec::new();
        for (role, ids) in members["role"].as_object().into_iter().flatten() {
            let ids = match ids {
                Value::Array(ids) => ids.as_slice(),
                one => std::slice::from_ref(one),
            };
            for id in ids {
                let id = text_of(Some(id))
                    .ok_or_else(|| format!("role.{role}: {id} is not a party id"))?;
                parties.push(part(role, &id));
            }
        }
        let of_initiator = |name: &str| {
            text_of(members["initiator"].get(name))
                .ok_or_else(|| format!("initiator.{name} is missing"))
        };
        let initiator = part(&of_initiator("role")?, &of_initiator("party_id")?);
        if !parties.contains(&initiator) {
            let (shown, known) = (named(&initiator), parties.iter().map(named));
            let known: Vec<String> = known.collect();
            return Err(format!(
                "the initiator {shown} is not one of the parties in role: {}",
                known.join(", ")
            ));
        }
        Ok(Job {
            parties,
            initiator,
            service_id: text_of(members.get("service_id")),
            servings: servings(members.get("servings"))?,
            load_from: of_parameters("load_type")
                .filter(|load_type| load_type != "FATEFLOW")
                .map(|load_type| LoadFrom {
                    load_type,
                    file_path: of_parameters("file_path").unwrap_or_default(),
                }),
        })
    }

    /// Service ids are bound to the initiator's model, and to a guest's only.
    ///
    /// # Errors
    /// Wrong usage: the initiator is no guest.
    pub(crate) fn check_initiator_is_guest(&self) -> Result<(), Failure> {
        if self.initiator.role == "guest" {
            return Ok(());
        }
        let guests = self.parties.iter().filter(|party| party.role == "guest");
        let guests: Vec<String> = guests.map(named).collect();
        Err(Failure::usage(format!(
            "service ids are bound to a guest's model, and the initiator is {}; the job's guests: {}",
            named(&self.initiator),
            guests.join(", ")
        )))
    }

    /// The parties that servings know: all but arbiters.
    pub(crate) fn serving_parties(&self) -> impl Iterator<Item = &PartyPart> {
        self.parties.iter().filter(|party| party.role != "arbiter")
    }
}

/// As `--party` takes it.
pub(crate) fn named(party: &PartyPart) -> String {
    format!("{}:{}", party.role, party.party_id)
}

/// The option of every command that takes such a file.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct JobFile {
    /// The model's job as for FATE-Flow: initiator, role, job_parameters (model_id, model_version); of a bind also
    /// service_id and servings
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// A text that is not blank, or a number.
fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn servings(value: Option<&Value>) -> Result<Vec<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|serving| {
                text_of(Some(serving))
                    .ok_or_else(|| format!("servings: {serving} is not host:port"))
            })
            .collect(),
        Some(other) => Err(format!("servings: {other} is not a list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> Result<Job, String> {
        Job::of(&serde_json::from_str(text).unwrap())
    }

    /// The guide's own file.
    const BIND: &str = r#"{
        "service_id": "",
        "initiator": {"party_id": "10000", "role": "guest"},
        "role": {"guest": ["10000"], "host": ["10000"], "arbiter": ["10000"]},
        "job_parameters": {
            "work_mode": 1,
            "model_id": "arbiter-10000#guest-10000#host-10000#model",
            "model_version": "2019081217340125761469"
        },
        "servings": [
        ]
    }"#;

    #[test]
    fn the_guides_file_is_read() {
        let job = job(BIND).unwrap();
        let keys: Vec<_> = job
            .serving_parties()
            .map(|party| party.key.store_name())
            .collect();
        assert_eq!(
            keys,
            [
                "2019081217340125761469_guest#10000#arbiter-10000#guest-10000#host-10000#model",
                "2019081217340125761469_host#10000#arbiter-10000#guest-10000#host-10000#model",
            ]
        );
        assert_eq!(job.parties.len(), 3);
        assert_eq!(job.initiator, job.parties[0]);
        assert_eq!((job.service_id, job.servings.len()), (None, 0));
        assert_eq!(job.load_from, None);
    }

    #[test]
    fn numbers_are_texts() {
        let text = r#"{
            "service_id": 12345, "servings": ["a:1", "b:2"],
            "initiator": {"party_id": 9999, "role": "guest"},
            "role": {"host": [10001, 10000], "guest": 9999},
            "job_parameters": {"model_id": "m", "model_version": 7, "load_type": "FILE", "file_path": "m.zip"}
        }"#;
        let job = job(text).unwrap();
        assert_eq!(job.service_id.as_deref(), Some("12345"));
        assert_eq!(job.servings, ["a:1", "b:2"]);
        let ids: Vec<_> = job.parties.iter().map(|party| &party.party_id).collect();
        assert_eq!(ids, ["10001", "10000", "9999"]);
        assert_eq!(job.initiator.key.store_name(), "7_guest#9999#m");
        assert_eq!(job.load_from.unwrap().file_path, "m.zip");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, expected) in [
            (
                "{}",
                "required parameters are missing: initiator, role, job_parameters",
            ),
            (r#"{"job_id": "1"}"#, "a job_id alone"),
            (
                r#"{"initiator": {"role": "guest"}, "role": {}, "job_parameters": {"model_id": "m", "model_version": "v"}}"#,
                "initiator.party_id is missing",
            ),
            (
                r#"{"initiator": {}, "role": {}, "job_parameters": {"model_id": " "}}"#,
                "job_parameters.model_id is missing",
            ),
            (
                r#"{"initiator": {}, "role": {"guest": [[]]}, "job_parameters": {"model_id": "m", "model_version": "v"}}"#,
                "role.guest: [] is not a party id",
            ),
            (
                r#"{"initiator": {"role": "guest", "party_id": 9999}, "role": {"guest": [10000], "host": ["9999"]}, "job_parameters": {"model_id": "m", "model_version": "v"}}"#,
                "the initiator guest:9999 is not one of the parties in role: guest:10000, host:9999",
            ),
        ] {
            let error = job(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
