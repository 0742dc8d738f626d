//! FATE-Flow's own configuration, as far as it tells where servings are (contract 03 §5.5, §6.1, §8.1): `server_conf.json`,
//! `base_conf.yaml` (1.4), `service_conf.yaml` (later).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

/// FATE-Flow's are a few hundred bytes. A YAML file that does its worst keeps the parser busy for a second.
const MAX_BYTES: u64 = 64 << 10;

/// What one or several files say together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FlowConf {
    members: Map<String, Value>,
}

/// Where FATE-Flow finds ZooKeeper.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ZooKeeperConf {
    pub(crate) hosts: Vec<String>,
    /// User and password, with `use_acl`.
    pub(crate) login: Option<(String, String)>,
}

impl std::fmt::Debug for ZooKeeperConf {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ZooKeeperConf")
            .field("hosts", &self.hosts)
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

impl FlowConf {
    /// Adds a file; its top-level keys replace those of files before. Of a YAML file `conf/x.yaml` the file
    /// `conf/local.x.yaml` is added as well if there is one, as FATE-Flow does.
    ///
    /// # Errors
    /// A text with the file's name.
    pub(crate) fn add(&mut self, path: &Path) -> Result<(), String> {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_json = path.extension().is_some_and(|suffix| suffix == "json");
        self.members.extend(read(path, is_json)?);
        let local = name.map(|name| path.with_file_name(format!("local.{name}")));
        if let Some(local) = local.filter(|local| !is_json && local.is_file()) {
            self.members.extend(read(&local, is_json)?);
        }
        Ok(())
    }

    /// Any value that Python holds for true means the registry; the text `false` does not.
    pub(crate) fn uses_registry(&self) -> bool {
        match self.members.get("use_registry") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(uses)) => *uses,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => {
                !text.trim().is_empty() && !text.trim().eq_ignore_ascii_case("false")
            }
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
        }
    }

    /// The static list: `servings` at the top or below `servers`, in all the forms that it had.
    pub(crate) fn servings(&self) -> Result<Vec<String>, String> {
        let nested = self
            .members
            .get("servers")
            .and_then(|servers| servers.get("servings"));
        match self.members.get("servings").or(nested) {
            Some(servings) => addresses(servings),
            None => Ok(Vec::new()),
        }
    }

    /// # Errors
    /// `zookeeper.hosts` is missing, or `use_acl` without user and password.
    pub(crate) fn zookeeper(&self) -> Result<ZooKeeperConf, String> {
        let zookeeper = self
            .members
            .get("zookeeper")
            .and_then(Value::as_object)
            .ok_or("use_registry is set, and there is no zookeeper")?;
        let hosts = match zookeeper.get("hosts") {
            Some(hosts) => addresses(hosts).map_err(|cause| format!("zookeeper.{cause}"))?,
            None => Vec::new(),
        };
        if hosts.is_empty() {
            return Err("zookeeper.hosts is empty".to_owned());
        }
        let uses_acl = zookeeper.get("use_acl").is_some_and(|uses| {
            uses.as_bool().unwrap_or_else(|| {
                uses.as_str()
                    .is_some_and(|text| text.eq_ignore_ascii_case("true"))
            })
        });
        let text = |name: &str| match zookeeper.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let login = match (uses_acl, text("user"), text("password")) {
            (false, ..) => None,
            (true, Some(user), Some(password)) => Some((user, password)),
            (true, ..) => return Err("zookeeper.use_acl without user and password".to_owned()),
        };
        Ok(ZooKeeperConf { hosts, login })
    }
}

/// The text of a small file.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |cause: std::io::Error| format!("cannot be read: {cause}");
    // Before it is opened: opening a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(cannot)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("larger than {MAX_BYTES} bytes"));
    }
    Ok(text)
}

fn read(path: &Path, is_json: bool) -> Result<Map<String, Value>, String> {
    let in_file = |cause: String| format!("{}: {cause}", path.display());
    let text = read_text(path).map_err(in_file)?;
    if is_json {
        return serde_json::from_str(&text).map_err(|cause| in_file(cause.to_string()));
    }
    serde_yaml_ng::from_str(&text).map_err(|cause| in_file(cause.to_string()))
}

/// `["host:port"]`, `"host:port,host:port"`, `{"hosts": …}`, `{"host": …, "port": …}` or a list of those.
fn addresses(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("servings or hosts: {value} is no list of host:port");
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text
            .split(',')
            .map(|address| address.trim().to_owned())
            .filter(|address| !address.is_empty())
            .collect()),
        Value::Array(list) => list
            .iter()
            .map(addresses)
            .collect::<Result<Vec<_>, _>>()
            .map(|lists| lists.concat()),
        Value::Object(members) => {
            if let Some(hosts) = members.get("hosts") {
                return addresses(hosts);
            }
            let host = members.get("host").or(members.get("ip"));
            let port = match members.get("port") {
                Some(Value::Number(port)) => port.to_string(),
                Some(Value::String(port)) => port.clone(),
                _ => return Err(wrong()),
            };
            match host.and_then(Value::as_str) {
                Some(host) => Ok(vec![format!("{host}:{port}")]),
                None => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(files: &[(&str, &str)]) -> Result<FlowConf, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut conf = FlowConf::default();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        for (name, _) in files.iter().filter(|(name, _)| !name.starts_with("local.")) {
            conf.add(&directory.path().join(name))?;
        }
        Ok(conf)
    }

    #[test]
    fn servings_in_every_form() {
        for text in [
            r#"{"servings": ["192.168.1.1:8000", "192.168.1.2:8000"]}"#,
            r#"{"servers": {"fateflow": {"host": "x", "http.port": 9380}, "servings": ["192.168.1.1:8000", "192.168.1.2:8000"]}}"#,
            r#"{"servers": {"servings": [{"ip": "192.168.1.1", "port": 8000}, {"host": "192.168.1.2", "port": "8000"}]}}"#,
            r#"{"servings": "192.168.1.1:8000, 192.168.1.2:8000"}"#,
        ] {
            let conf = conf(&[("server_conf.json", text)]).unwrap();
            assert_eq!(
                conf.servings().unwrap(),
                ["192.168.1.1:8000", "192.168.1.2:8000"],
                "{text}"
            );
            assert!(!conf.uses_registry());
        }
        let yaml = "use_registry: false\nservings:\n  hosts:\n    - 127.0.0.1:8000\n";
        let conf = conf(&[("service_conf.yaml", yaml)]).unwrap();
        assert_eq!(conf.servings().unwrap(), ["127.0.0.1:8000"]);
    }

    #[test]
    fn the_guides_registry_is_read() {
        let yaml = "use_registry: true\nzookeeper:\n  hosts:\n    - 192.168.1.1:2181\n    - 192.168.1.2:2181\n  \
                    use_acl: true\n  user: fate_dev\n  password: fate_dev\n";
        let guide = conf(&[("base_conf.yaml", yaml)]).unwrap();
        assert!(guide.uses_registry());
        let zookeeper = guide.zookeeper().unwrap();
        assert_eq!(zookeeper.hosts, ["192.168.1.1:2181", "192.168.1.2:2181"]);
        assert_eq!(
            zookeeper.login,
            Some(("fate_dev".to_owned(), "fate_dev".to_owned()))
        );
        let shown = format!(
            "{:?}",
            ZooKeeperConf {
                login: Some(("u".to_owned(), "geheim".to_owned())),
                ..zookeeper
            }
        );
        assert!(!shown.contains("geheim"), "{shown}");

        let open = conf(&[
            ("service_conf.yaml", yaml),
            (
                "local.service_conf.yaml",
                "zookeeper:\n  hosts: ['a:1']\n  use_acl: false\n",
            ),
        ])
        .unwrap();
        assert_eq!(open.zookeeper().unwrap().login, None);
        assert_eq!(open.zookeeper().unwrap().hosts, ["a:1"]);
    }

    #[test]
    fn odd_files_are_errors_with_their_names() {
        for (name, text, expected) in [
            ("server_conf.json", "[]", "server_conf.json: "),
            ("base_conf.yaml", "- a", "base_conf.yaml: "),
            ("base_conf.yaml", "a: [", "base_conf.yaml: "),
        ] {
            let error = conf(&[(name, text)]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let lonely = conf(&[("base_conf.yaml", "use_registry: 'yes'\n")]).unwrap();
        assert!(lonely.uses_registry());
        assert!(lonely.zookeeper().unwrap_err().contains("zookeeper"));
        let no = conf(&[("base_conf.yaml", "use_registry: 'False'\nservings: 7\n")]).unwrap();
        assert!(!no.uses_registry());
        assert!(no.servings().is_err());
        let acl = "zookeeper:\n  hosts: [a:1]\n  use_acl: true\n";
        let acl = conf(&[("base_conf.yaml", acl)]).unwrap();
        assert!(acl.zookeeper().unwrap_err().contains("password"));
    }
}
