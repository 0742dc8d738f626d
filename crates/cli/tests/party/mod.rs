//! Parties as processes: a server and a proxy each, apart or as one node, that find each other by route tables or in a
//! ZooKeeper.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, and not every test needs every helper"
)]

pub(crate) mod chain;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fate_testkit::wait_for;
use serde_json::{Map, Value, json};

use super::process::{fate_serving, port};

/// For whatever takes a while on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A command that runs until it is told to stop; its log is a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(name: &str, arguments: &[&str], directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let child = fate_serving(arguments)
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The line of the log in which a role says where it listens.
    pub(crate) fn ready(&mut self, role: &str) -> String {
        let line = format!("{role} takes calls");
        wait_for(&line, PATIENCE, || {
            let log = fs::read_to_string(&self.log).unwrap();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}:\n{log}");
            log.lines()
                .find(|logged| logged.contains(&line))
                .map(str::to_owned)
        })
    }

    /// Asks it to end in peace: its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.pid().to_string();
        let asked = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(asked.unwrap().success());
        let status = wait_for("the process ends", PATIENCE, || {
            self.child.try_wait().unwrap()
        });
        status.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is configured for a party.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) party_id: String,
    /// Server and proxy in one process.
    pub(crate) is_node: bool,
    /// Where the two roles find each other; without one, by the route table and `proxy`.
    pub(crate) zookeeper: Option<String>,
    /// Other parties in the route table.
    pub(crate) routes: Map<String, Value>,
    /// Rows of a host, a file for the source `file-pick`.
    pub(crate) rows: Option<PathBuf>,
    /// Further lines of the server's properties; with a source of features, `rows` is not used.
    pub(crate) server_properties: String,
    /// Time-outs as shipped, instead of those that a busy machine cannot reach.
    pub(crate) has_usual_timeouts: bool,
    /// Further lines of the proxy's properties.
    pub(crate) proxy_properties: String,
}

/// A running party.
pub(crate) struct Party {
    /// In the order in which they are stopped.
    pub(crate) processes: Vec<Process>,
    /// The server's gRPC port.
    pub(crate) server: u16,
    /// The proxy's port for other parties.
    pub(crate) inter: u16,
    /// The proxy's port for this party.
    pub(crate) intra: u16,
    /// The proxy's HTTP port.
    pub(crate) http: u16,
}

impl Party {
    pub(crate) fn start(setting: &Setting, directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        write_table(directory, &setting.routes);
        fs::write(
            directory.join("application.properties"),
            proxy_properties(setting),
        )
        .unwrap();
        if setting.is_node {
            Self::start_node(setting, directory)
        } else {
            Self::start_apart(setting, directory)
        }
    }

    fn start_node(setting: &Setting, directory: &Path) -> Self {
        write_server_properties(setting, directory, "");
        let arguments = ["--config", SERVER, "--proxy-config", PROXY];
        let mut node = Process::start("node", &[&["node"][..], &arguments].concat(), directory);
        let server = node.ready("serving-server");
        let proxy = node.ready("serving-proxy");
        Self {
            server: port(&server, "grpc_addr="),
            ..Self::of_proxy(&proxy, vec![node])
        }
    }

    /// The proxy first, whose port the server is told; the table is completed when the server has its port.
    fn start_apart(setting: &Setting, directory: &Path) -> Self {
        let mut proxy = Process::start("proxy", &["proxy", "--config", PROXY], directory);
        let ready = proxy.ready("serving-proxy");
        let started = Self::of_proxy(&ready, Vec::new());
        let way = format!("proxy=127.0.0.1:{}\n", started.intra);
        let needs_way = setting.zookeeper.is_none();
        write_server_properties(setting, directory, if needs_way { &way } else { "" });
        let mut server = Process::start("server", &["server", "--config", SERVER], directory);
        let server_port = port(&server.ready("serving-server"), "grpc_addr=");
        if setting.zookeeper.is_none() {
            let mut routes = setting.routes.clone();
            let own = json!({"serving": [address(server_port)]});
            routes.insert(setting.party_id.clone(), own);
            write_table(directory, &routes);
        }
        Self {
            server: server_port,
            processes: vec![proxy, server],
            ..started
        }
    }

    fn of_proxy(ready: &str, processes: Vec<Process>) -> Self {
        Self {
            processes,
            server: 0,
            inter: port(ready, "inter_addr="),
            intra: port(ready, "intra_addr="),
            http: port(ready, "http_addr="),
        }
    }

    pub(crate) fn logs(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }

    pub(crate) fn stop(self) {
        for process in self.processes {
            let log = process.log.clone();
            assert_eq!(process.stop(), Some(0), "{}", log.display());
        }
    }
}

const SERVER: &str = "serving-server.properties";
const PROXY: &str = "application.properties";

pub(crate) fn address(port: u16) -> Value {
    json!({"ip": "127.0.0.1", "port": port})
}

/// In one step, as the proxy may look at any time.
fn write_table(directory: &Path, routes: &Map<String, Value>) {
    let table = json!({"route_table": routes, "permission": {"default_allow": true}});
    let fresh = directory.join("route_table.json.new");
    fs::write(&fresh, table.to_string()).unwrap();
    fs::rename(fresh, directory.join("route_table.json")).unwrap();
}

fn write_server_properties(setting: &Setting, directory: &Path, way: &str) {
    let mut text = format!(
        "listen.address=127.0.0.1\nport=0\nserver.port=-1\nmodel.cache.path=.\nbatch.inference.max=1000\n{way}"
    );
    if !setting.has_usual_timeouts {
        text.push_str("single.inference.rpc.timeout=30000\nbatch.inference.rpc.timeout=30000\n");
    }
    text.push_str(&setting.server_properties);
    let has_source = setting.server_properties.contains("feature.single.adaptor");
    if let Some(rows) = setting.rows.as_ref().filter(|_| !has_source) {
        let rows = rows.display();
        let source = "file-pick";
        writeln!(
            text,
            "feature.single.adaptor={source}\nfeature.batch.adaptor={source}\nhost.data.file={rows}"
        )
        .unwrap();
    }
    if let Some(zookeeper) = &setting.zookeeper {
        writeln!(
            text,
            "zk.url={zookeeper}\nregister.ip=127.0.0.1\nregistry.cache.path=."
        )
        .unwrap();
    }
    fs::write(directory.join(SERVER), text).unwrap();
}

fn proxy_properties(setting: &Setting) -> String {
    let registry = match &setting.zookeeper {
        Some(zookeeper) => {
            format!("useZkRouter=true\nzk.url={zookeeper}\nregister.ip=127.0.0.1\n")
        }
        None => "useZkRouter=false\n".to_owned(),
    };
    let timeouts = if setting.has_usual_timeouts {
        ""
    } else {
        "proxy.grpc.inference.timeout=30000\nproxy.grpc.batch.inference.timeout=30000\nproxy.grpc.unaryCall.timeout=30000\n"
    };
    format!(
        "coordinator={}\nserver.port=0\nproxy.grpc.intra.port=0\nproxy.grpc.inter.port=0\n\
         proxy.bind.http=127.0.0.1\nproxy.bind.intra=127.0.0.1\nproxy.bind.inter=127.0.0.1\n\
         route.table=route_table.json\n{timeouts}{registry}{}",
        setting.party_id, setting.proxy_properties
    )
}
