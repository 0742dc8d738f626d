//! What several keys say together, and keys in a form of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use fate_edge::admin_token::AdminToken;
use fate_edge::config::{Address, Entry, Level, Note, Problem, Value, Values, line_of};

use super::{Enforce, InterTls, RegistrySettings, RouteType};

/// The outcome.
pub(super) struct Checked {
    pub(super) bind_http: IpAddr,
    pub(super) bind_intra: IpAddr,
    pub(super) bind_inter: IpAddr,
    pub(super) inter_tls: Option<InterTls>,
    pub(super) enforce: Enforce,
    pub(super) registry: Option<RegistrySettings>,
    pub(super) grpc_admin_token: Option<AdminToken>,
}

impl Checked {
    pub(super) fn read(values: &Values, entries: &[Entry], problems: &mut Vec<Problem>) -> Self {
        let mut check = Check {
            values,
            entries,
            problems,
        };
        Self {
            bind_http: check.bind("proxy.bind.http"),
            bind_intra: check.bind("proxy.bind.intra"),
            bind_inter: check.bind("proxy.bind.inter"),
            inter_tls: check.inter_tls(),
            enforce: check.enforce(),
            registry: check.registry(),
            grpc_admin_token: check.grpc_admin_token(),
        }
    }
}

struct Check<'a> {
    values: &'a Values,
    entries: &'a [Entry],
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            line: line_of(self.entries, key),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn bind(&mut self, key: &str) -> IpAddr {
        let text = self.values.text(key).unwrap_or_default();
        text.parse().unwrap_or_else(|_| {
            self.problem(key, format!("`{text}` is not an IP address"));
            Ipv4Addr::UNSPECIFIED.into()
        })
    }

    /// Java listens in the clear when a file is not named; here that is a problem.
    fn inter_tls(&mut self) -> Option<InterTls> {
        let negotiation = self.values.text("proxy.grpc.inter.negotiationType");
        if negotiation.as_deref() != Some("TLS") {
            return None;
        }
        let mut file = |key: &str| match self.values.text(key) {
            Some(path) => PathBuf::from(path),
            None => {
                self.problem(key, "is needed with proxy.grpc.inter.negotiationType=TLS");
                PathBuf::new()
            }
        };
        Some(InterTls {
            ca: file("proxy.grpc.inter.CA.file"),
            cert_chain: file("proxy.grpc.inter.server.certChain.file"),
            private_key: file("proxy.grpc.inter.server.privateKey.file"),
        })
    }

    fn enforce(&mut self) -> Enforce {
        const KEY: &str = "permission.enforce";
        let mut enforce = Enforce {
            registry: false,
            table: false,
        };
        let words = self.values.list(KEY);
        for word in &words {
            match word.as_str() {
                "zk" => enforce.registry = true,
                "table" => enforce.table = true,
                "none" if words.len() == 1 => {}
                other => {
                    self.problem(
                        KEY,
                        format!("`{other}` is none of: zk, table, or none alone"),
                    );
                }
            }
        }
        if words.is_empty() {
            self.problem(KEY, "is blank; write none to guard nothing");
        }
        enforce
    }

    fn registry(&mut self) -> Option<RegistrySettings> {
        if !self.values.flag("useZkRouter") {
            return None;
        }
        let servers = self.values.list("zk.url");
        if servers.is_empty() {
            let text = "wrong zk url: useZkRouter (true by default) needs host:port of at least one ZooKeeper; \
                        write useZkRouter=false to route by the route table only";
            self.problem("zk.url", text);
        }
        for server in &servers {
            if let Err(cause) = server.parse::<Address>() {
                self.problem("zk.url", format!("wrong zk url: {cause}"));
            }
        }
        Some(RegistrySettings {
            servers,
            acl: self.acl(),
            register_ip: self.values.text("register.ip"),
        })
    }

    fn grpc_admin_token(&mut self) -> Option<AdminToken> {
        if !self.values.flag("admin.token.grpc") {
            return None;
        }
        let token = self.values.secret("admin.token");
        if token.is_none() {
            self.problem("admin.token", "is needed with admin.token.grpc=true");
        }
        token.as_deref().map(AdminToken::new)
    }

    fn acl(&mut self) -> Option<(String, String)> {
        if !self.values.flag("acl.enable") {
            return None;
        }
        let password = match self.values.get("acl.password") {
            Some(Value::Secret(password)) => password.clone(),
            _ => String::new(),
        };
        let user = self.values.text("acl.username");
        if user.is_none() {
            self.problem("acl.username", "is needed with acl.enable=true");
        }
        user.map(|user| (user, password))
    }
}

pub(super) fn route_type(values: &Values) -> Option<RouteType> {
    let text = values.text("routeType").unwrap_or_default();
    match text.to_lowercase().as_str() {
        "random" => Some(RouteType::Random),
        "consistent" => Some(RouteType::Consistent),
        "round_robin" => Some(RouteType::RoundRobin),
        _ => None,
    }
}

pub(super) fn notes(values: &Values, entries: &[Entry]) -> impl Iterator<Item = Note> {
    [
        about_coordinator(entries),
        about_route_type(values, entries),
        about_intra(values, entries),
    ]
    .into_iter()
    .flatten()
}

/// The default is some party's id, and with a wrong one HTTP inference looks for another party's servers.
fn about_coordinator(entries: &[Entry]) -> Option<Note> {
    line_of(entries, "coordinator").is_none().then(|| Note {
        level: Level::Warning,
        line: None,
        text: "coordinator is not set: 9999 is taken as this party's id".to_owned(),
    })
}

/// Java takes an unknown type as random and goes on.
fn about_route_type(values: &Values, entries: &[Entry]) -> Option<Note> {
    route_type(values).is_none().then(|| Note {
        level: Level::Warning,
        line: line_of(entries, "routeType"),
        text:
            "routeType is none of random, consistent, round_robin; addresses are chosen at random"
                .to_owned(),
    })
}

/// What comes in at the intra port is signed with this party's key, whoever sent it.
fn about_intra(values: &Values, entries: &[Entry]) -> Option<Note> {
    let is_open_to_all = values.text("proxy.bind.intra").as_deref() == Some("0.0.0.0");
    (values.flag("auth.open") && is_open_to_all).then(|| Note {
        level: Level::Info,
        line: line_of(entries, "proxy.bind.intra"),
        text: "packets from the intra port are signed as this party's: let only its own servers reach that port, \
               for example with proxy.bind.intra"
            .to_owned(),
    })
}
