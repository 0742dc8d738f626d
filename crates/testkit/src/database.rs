//! Real database servers: PostgreSQL from Debian's package `postgresql`, MariaDB from
//! `mariadb-server-core` and `mariadb-client-core`.
//!
//! Both refuse to run as root: then they run as `nobody`, in a directory that is theirs.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{ServerFiles, free_port, wait_for};

/// Creating a database takes its time on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// The user and the password that log in, over TCP.
const USER: &str = "fate";
const PASSWORD: &str = "pa:ss/word";
const DATABASE: &str = "fate";
/// Its rings count against a bound on locked memory that all servers of a user share.
const NO_NATIVE_AIO: &str = "--innodb-use-native-aio=0";
/// Not in everybody's path.
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PostgreSql,
    MariaDb,
}

/// A server that keeps its data over restarts and forgets them at the end.
#[derive(Debug)]
pub struct Database {
    kind: Kind,
    home: TempDir,
    port: u16,
    /// `None`: in the clear.
    tls: Option<ServerFiles>,
    child: Option<Child>,
}

impl Database {
    /// A PostgreSQL that answers; `None` when it is not installed and may be left out.
    ///
    /// # Panics
    /// When it is not installed and may not be left out, or does not start.
    pub fn postgresql() -> Option<Self> {
        Self::start(Kind::PostgreSql, None)
    }

    /// A PostgreSQL that lets nobody in but over TLS.
    ///
    /// # Panics
    /// As [`Self::postgresql`].
    pub fn postgresql_with_tls(files: &ServerFiles) -> Option<Self> {
        Self::start(Kind::PostgreSql, Some(files))
    }

    /// A MariaDB, likewise.
    ///
    /// # Panics
    /// As [`Self::postgresql`].
    pub fn mariadb() -> Option<Self> {
        Self::start(Kind::MariaDb, None)
    }

    /// A MariaDB that lets nobody in but over TLS.
    ///
    /// # Panics
    /// As [`Self::postgresql`].
    pub fn mariadb_with_tls(files: &ServerFiles) -> Option<Self> {
        Self::start(Kind::MariaDb, Some(files))
    }

    fn start(kind: Kind, files: Option<&ServerFiles>) -> Option<Self> {
        if !kind.is_installed() {
            return None;
        }
        let mut server = Self {
            kind,
            home: tempfile::tempdir().unwrap(),
            port: free_port(),
            tls: None,
            child: None,
        };
        server.tls = files.map(|files| server.own(files));
        server.create();
        server.run();
        Some(server)
    }

    /// Copies: it takes no key that others may read, or that belongs to another user.
    fn own(&self, files: &ServerFiles) -> ServerFiles {
        let copied = |from: &Path, name: &str| {
            let to = self.home.path().join(name);
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
            to
        };
        ServerFiles {
            cert_chain: copied(&files.cert_chain, "server.pem"),
            private_key: copied(&files.private_key, "server.key"),
            ca: copied(&files.ca, "ca.pem"),
            asks_for_clients: files.asks_for_clients,
        }
    }

    /// Makes the data directory, with a user who needs a password.
    fn create(&self) {
        let data = self.data();
        std::fs::create_dir(&data).unwrap();
        let secret = self.home.path().join("secret");
        std::fs::write(&secret, PASSWORD).unwrap();
        let init = self.home.path().join("init.sql");
        let required = match &self.tls {
            Some(files) if files.asks_for_clients => " REQUIRE X509",
            _ => "",
        };
        let users = format!(
            "CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;\n\
             CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'{required};\n\
             GRANT ALL ON {DATABASE}.* TO '{USER}'@'127.0.0.1';\n"
        );
        std::fs::write(&init, users).unwrap();
        if is_root() {
            let given = Command::new("chown")
                .arg("-R")
                .arg("nobody")
                .arg(self.home.path())
                .status();
            assert!(given.unwrap().success());
        }
        let mut creating = match self.kind {
            Kind::PostgreSql => {
                let mut command = unprivileged(&postgresql_program("initdb").unwrap());
                command
                    .args([
                        "--auth=scram-sha-256",
                        "--encoding=UTF8",
                        "--locale=C",
                        "--no-sync",
                    ])
                    .args(["--username", USER])
                    .arg(format!("--pwfile={}", secret.display()))
                    .arg("-D")
                    .arg(&data);
                command
            }
            Kind::MariaDb => {
                let mut command = unprivileged(Path::new("mariadb-install-db"));
                command
                    .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                    .args(["--skip-test-db", NO_NATIVE_AIO])
                    .arg(format!("--datadir={}", data.display()));
                command
            }
        };
        // In a directory that servers share, they take each other's temporary tables.
        creating.env("TMPDIR", self.home.path());
        let done = creating.current_dir(self.home.path()).output().unwrap();
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        if let (Kind::PostgreSql, Some(files)) = (self.kind, &self.tls) {
            let clients = match files.asks_for_clients {
                true => "clientcert=verify-ca",
                false => "",
            };
            let rules = format!(
                "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 {clients}\n"
            );
            std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        }
    }

    fn run(&mut self) {
        let (data, home) = (self.data(), self.home.path().display().to_string());
        let mut command = match self.kind {
            Kind::PostgreSql => {
                let mut command = unprivileged(&postgresql_program("postgres").unwrap());
                command
                    .arg("-D")
                    .arg(&data)
                    .args(["-p", &self.port.to_string()]);
                if let Some(files) = &self.tls {
                    for (name, path) in [
                        ("ssl_cert_file", &files.cert_chain),
                        ("ssl_key_file", &files.private_key),
                        ("ssl_ca_file", &files.ca),
                    ] {
                        command.args(["-c", &format!("{name}={}", path.display())]);
                    }
                    command.args(["-c", "ssl=on"]);
                }
                for option in ["listen_addresses=127.0.0.1", "fsync=off"] {
                    command.args(["-c", option]);
                }
                command.args(["-c", &format!("unix_socket_directories={home}")]);
                command
            }
            Kind::MariaDb => {
                let mut command = unprivileged(Path::new(MARIADBD));
                command
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()))
                    .arg(format!("--port={}", self.port))
                    .arg(format!("--socket={home}/socket"))
                    .arg(format!("--pid-file={home}/pid"))
                    .args([
                        "--bind-address=127.0.0.1",
                        "--skip-name-resolve",
                        NO_NATIVE_AIO,
                    ])
                    .args([
                        "--innodb-flush-log-at-trx-commit=0",
                        "--innodb-buffer-pool-size=16M",
                    ]);
                if let Some(files) = &self.tls {
                    command
                        .arg("--require-secure-transport=ON")
                        .arg(format!("--ssl-cert={}", files.cert_chain.display()))
                        .arg(format!("--ssl-key={}", files.private_key.display()))
                        .arg(format!("--ssl-ca={}", files.ca.display()));
                }
                // The first time only: then the users are there.
                let init = self.home.path().join("init.sql");
                if init.exists() {
                    let taken = self.home.path().join("init-taken.sql");
                    std::fs::rename(init, &taken).unwrap();
                    command.arg(format!("--init-file={}", taken.display()));
                }
                command
            }
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        command.current_dir(self.home.path());
        command.env("TMPDIR", self.home.path());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        let what = format!("a database answers, log in {}", self.log().display());
        wait_for(&what, START_PATIENCE, || self.answers().then_some(()));
    }

    /// An open port is not enough: behind it the server may still be busy with itself.
    fn answers(&self) -> bool {
        match self.kind {
            Kind::PostgreSql => {
                let mut ready = Command::new(postgresql_program("pg_isready").unwrap());
                ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
                ready.status().unwrap().success()
            }
            // MariaDB greets whom it takes.
            Kind::MariaDb => {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok_and(|mut stream| {
                    let patience = Some(Duration::from_secs(5));
                    stream.set_read_timeout(patience).unwrap();
                    stream.read_exact(&mut [0; 5]).is_ok()
                })
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// host:port, the same after a restart.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL at an address that leads to it.
    pub fn url(&self, address: &str) -> String {
        match self.kind {
            Kind::PostgreSql => format!("postgresql://{USER}:pa%3Ass%2Fword@{address}/postgres"),
            Kind::MariaDb => format!("mysql://{USER}:pa%3Ass%2Fword@{address}/{DATABASE}"),
        }
    }

    /// Runs these statements through its socket, as one whom TLS does not concern.
    pub fn run_statements(&self, statements: &str) {
        let home = self.home.path().display().to_string();
        let mut client = match self.kind {
            Kind::PostgreSql => {
                let mut client = Command::new(postgresql_program("psql").unwrap());
                client.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", USER, "-h", &home]);
                client.args(["-p", &self.port.to_string(), "-d", "postgres"]);
                client.env("PGPASSWORD", PASSWORD);
                client
            }
            Kind::MariaDb => {
                let mut client = Command::new("mariadb");
                client.args(["--no-defaults", "-u", "root", "-D", DATABASE]);
                client.arg(format!("--socket={home}/socket"));
                client
            }
        };
        let child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        // Taken, so that it is closed behind the last statement.
        let written = child.stdin.take().unwrap().write_all(statements.as_bytes());
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(written.is_ok() && done.status.success(), "{said}");
    }

    /// Ends it as a power failure would.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // PostgreSQL's children would live on without their parent for a moment, and hold the port; told to stop at once,
        // it takes them along.
        if self.kind == Kind::PostgreSql {
            let told = Command::new("kill")
                .args(["-QUIT", &child.id().to_string()])
                .status();
            assert!(told.unwrap().success());
        } else {
            child.kill().unwrap();
        }
        child.wait().unwrap();
    }

    /// Starts it again on its port, with its data.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Kind {
    fn is_installed(self) -> bool {
        let (is_there, package) = match self {
            Self::PostgreSql => (postgresql_program("postgres").is_some(), "postgresql"),
            Self::MariaDb => {
                let version = Command::new(MARIADBD)
                    .args(["--no-defaults", "--version"])
                    .stdout(Stdio::null())
                    .status();
                (
                    version.is_ok_and(|done| done.success()),
                    "mariadb-server-core",
                )
            }
        };
        let may_be_left_out = std::env::var("FATE_TEST_WITHOUT_SERVICES").as_deref() == Ok("1");
        assert!(
            is_there || may_be_left_out,
            "the package {package} is not installed: install it, or set FATE_TEST_WITHOUT_SERVICES=1 to leave its tests out"
        );
        if !is_there {
            // The harness shows it only on failure, but so it stands in the log of a run that is looked into.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {package} is not installed");
        }
        is_there
    }
}

/// Debian keeps PostgreSQL's programs by version.
fn postgresql_program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    let programs = versions
        .iter()
        .rev()
        .map(|version| version.join("bin").join(name));
    programs.into_iter().find(|program| program.exists())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

/// A command of this user, or of `nobody` when this one is root. `setpriv` becomes the command: it has its process id.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"])
        .arg(program);
    command
}
