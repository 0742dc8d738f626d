//! Two parties with several servers and proxies each, as processes, with a ZooKeeper for each party and a Redis at the
//! guest. Every process keeps its ports, so that it comes back where it was.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use fate_golden::Set;
use fate_testkit::{Redis, ZooKeeper, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::asking::is_ready;
use crate::made_sets;
use crate::process::{fate_serving, golden, run, stderr, stdout};

/// A virtual machine on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
/// The models, and the service id that they are bound to.
pub(crate) const SET: &str = "sbt_binary";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    GuestServer,
    GuestProxy,
    HostServer,
    HostProxy,
}

impl Role {
    fn is_server(self) -> bool {
        matches!(self, Self::GuestServer | Self::HostServer)
    }

    fn is_guest(self) -> bool {
        matches!(self, Self::GuestServer | Self::GuestProxy)
    }
}

/// One server or proxy.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// A server's gRPC port, a proxy's port for other parties.
    pub(crate) grpc: u16,
    /// A proxy's port for its own party.
    pub(crate) intra: u16,
    pub(crate) http: u16,
    home: PathBuf,
    child: Option<Child>,
}

impl Member {
    fn new(role: Role, number: usize, folder: &Path) -> Self {
        let name = format!("{role:?} {number}");
        let home = folder.join(name.replace(' ', "-"));
        fs::create_dir_all(&home).unwrap();
        Self {
            name,
            role,
            grpc: lasting_port(),
            intra: lasting_port(),
            http: lasting_port(),
            home,
            child: None,
        }
    }

    fn write_properties(&self, text: &str) {
        fs::write(self.home.join("node.properties"), text).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .unwrap();
        let role = if self.role.is_server() {
            "server"
        } else {
            "proxy"
        };
        let child = fate_serving(&["--log-level", "warn", role, "--config", "node.properties"])
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn wait_until_ready(&mut self) {
        let log = self.home.join("log");
        let child = self.child.as_mut().unwrap();
        wait_for(&format!("{} is ready", self.name), PATIENCE, || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", log.display());
            is_ready(self.http).then_some(())
        });
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks it to end in peace: its exit code.
    fn stop(mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let id = child.id().to_string();
        let asked = std::process::Command::new("kill")
            .args(["-s", "TERM", &id])
            .status();
        assert!(asked.unwrap().success());
        let status = wait_for("a process ends", PATIENCE, || child.try_wait().unwrap());
        status.code()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below the range from which the system takes the ports of outgoing connections: nobody else gets it while its process
/// is down.
fn lasting_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 200).unwrap() * 50;
    for _ in 0..2000 {
        let port = 20_000 + offset + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// What differs between measurements.
pub(crate) struct Plan {
    /// Servers, and as many proxies, of each party.
    pub(crate) nodes: usize,
    /// Further lines of the guest's servers.
    pub(crate) guest_properties: String,
    /// The host's source of features; by default its rows are a file.
    pub(crate) host_properties: Option<String>,
}

pub(crate) struct Cluster {
    pub(crate) set: Set,
    pub(crate) of_guest: ZooKeeper,
    pub(crate) of_host: ZooKeeper,
    pub(crate) redis: Redis,
    pub(crate) members: Vec<Member>,
    folder: TempDir,
}

impl Cluster {
    /// Everything runs, models are loaded and bound everywhere. The plan is told the port of the Redis. `None` where a service is not installed and may be left
    /// out.
    pub(crate) fn start(plan: impl Fn(u16) -> Plan) -> Option<Self> {
        let mut cluster = Self {
            set: Set::open(golden(SET)).unwrap(),
            of_guest: ZooKeeper::start()?,
            of_host: ZooKeeper::start()?,
            redis: Redis::start()?,
            members: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        let plan = plan(cluster.redis.port());
        for role in [
            Role::HostServer,
            Role::HostProxy,
            Role::GuestProxy,
            Role::GuestServer,
        ] {
            for number in 1..=plan.nodes {
                let member = Member::new(role, number, cluster.folder.path());
                cluster.members.push(member);
            }
        }
        cluster.write_properties(&plan);
        cluster.members.iter_mut().for_each(Member::start);
        cluster
            .members
            .iter_mut()
            .for_each(Member::wait_until_ready);
        cluster.publish();
        Some(cluster)
    }

    pub(crate) fn of(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |member| member.role == role)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_properties(&self, plan: &Plan) {
        let rows = self.path("rows");
        fs::write(&rows, self.host_rows()).unwrap();
        let picked = format!(
            "feature.single.adaptor=file-pick\nfeature.batch.adaptor=file-pick\nhost.data.file={}\n",
            rows.display()
        );
        for member in &self.members {
            let zookeeper = if member.role.is_guest() {
                self.of_guest.address()
            } else {
                self.of_host.address()
            };
            let mut text = format!(
                "server.port={}\nzk.url={zookeeper}\nregister.ip=127.0.0.1\n",
                member.http
            );
            if member.role.is_server() {
                let own = match (member.role, &plan.host_properties) {
                    (Role::GuestServer, _) => &plan.guest_properties,
                    (_, Some(properties)) => properties,
                    (_, None) => &picked,
                };
                write!(
                    text,
                    "listen.address=127.0.0.1\nport={}\nmodel.cache.path=.\nregistry.cache.path=.\nzk.session.timeout=4000\n{own}",
                    member.grpc
                )
                .unwrap();
            } else {
                let (party, routes) = self.proxy_of(member.role);
                let table = json!({"route_table": routes, "permission": {"default_allow": true}});
                fs::write(member.home.join("route_table.json"), table.to_string()).unwrap();
                write!(
                    text,
                    "coordinator={party}\nproxy.bind.http=127.0.0.1\nproxy.bind.intra=127.0.0.1\nproxy.bind.inter=127.0.0.1\n\
                     proxy.grpc.intra.port={}\nproxy.grpc.inter.port={}\nroute.table=route_table.json\nuseZkRouter=true\n",
                    member.intra, member.grpc
                )
                .unwrap();
            }
            member.write_properties(&text);
        }
    }

    /// A proxy's party, and what its table knows besides what is registered.
    fn proxy_of(&self, role: Role) -> (&str, Value) {
        let host = &self.set.hosts()[0].party_id;
        if role == Role::HostProxy {
            return (host, json!({}));
        }
        let inter = self.of(Role::HostProxy);
        let inter: Vec<Value> = inter
            .map(|proxy| json!({"ip": "127.0.0.1", "port": proxy.grpc}))
            .collect();
        (
            &self.set.guest().party_id,
            json!({host: {"default": inter}}),
        )
    }

    /// As FATE-Flow does it: each party's part at all its servers, the guest's bound.
    fn publish(&self) {
        let cache = self.path("model_local_cache");
        for party in &self.set.parties {
            let folder = cache.join(&party.key.namespace).join(&party.key.table_name);
            made_sets::write_flow_folder(&folder, &party.buffers);
        }
        let (guest, host) = (self.set.guest(), &self.set.hosts()[0]);
        let job = json!({
            "initiator": {"party_id": guest.party_id, "role": "guest"},
            "role": {"guest": [guest.party_id], "host": [host.party_id], "arbiter": [host.party_id]},
            "job_parameters": {
                "work_mode": 1,
                "model_id": guest.key.namespace.splitn(3, '#').nth(2).unwrap(),
                "model_version": guest.key.table_name,
            },
        });
        fs::write(self.path("job.json"), job.to_string()).unwrap();
        let cache = cache.to_str().unwrap();
        for (role, party) in [
            (Role::HostServer, format!("host:{}", host.party_id)),
            (Role::GuestServer, format!("guest:{}", guest.party_id)),
        ] {
            let servings: Vec<String> = self.of(role).map(serving).collect();
            let servings = servings.join(",");
            let job = self.path("job.json");
            let job = job.to_str().unwrap();
            let load = [
                "load",
                "-c",
                job,
                "--models",
                cache,
                "--party",
                &party,
                "--servings",
                &servings,
            ];
            let output = run(&load);
            let said = format!("{}{}", stdout(&output), stderr(&output));
            assert!(output.status.success(), "{said}");
            if role == Role::GuestServer {
                assert!(self.bind(SET, &servings), "the models cannot be bound");
            }
        }
    }

    /// Whether the binding is acknowledged.
    pub(crate) fn bind(&self, service_id: &str, servings: &str) -> bool {
        bind(&self.path("job.json"), service_id, servings)
    }

    fn host_rows(&self) -> String {
        let table = &self.set.hosts()[0].table;
        let line = |row: &fate_golden::Row| {
            let cells = row.cells.iter();
            let cells = cells.map(|(column, cell)| format!("{}:{cell}", table.columns[*column]));
            format!("{},{}\n", row.id, cells.collect::<Vec<_>>().join(";"))
        };
        table.rows.iter().map(line).collect()
    }

    /// Asks everybody to end in peace, the guest first.
    pub(crate) fn stop(mut self) {
        for member in self.members.drain(..).rev() {
            let name = member.name.clone();
            assert_eq!(member.stop(), Some(0), "{name}");
        }
    }
}

pub(crate) fn serving(server: &Member) -> String {
    format!("127.0.0.1:{}", server.grpc)
}

pub(crate) fn bind(job: &Path, service_id: &str, servings: &str) -> bool {
    let job = job.to_str().unwrap();
    let bind = [
        "bind",
        "-c",
        job,
        "--service-id",
        service_id,
        "--servings",
        servings,
    ];
    run(&bind).status.success()
}

/// Service ids that a server says are bound; `None` while it does not answer.
pub(crate) fn bound(serving: &str) -> Option<Vec<String>> {
    let output = run(&["models", "--servings", serving, "--output", "json"]);
    if !output.status.success() {
        return None;
    }
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let models = answer["servings"][0]["models"].as_array()?.iter();
    let ids = models.flat_map(|model| model["serviceIds"].as_array().into_iter().flatten());
    Some(ids.map(|id| id.as_str().unwrap().to_owned()).collect())
}
