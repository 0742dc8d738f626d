//! `fate-serving registry`: what stands in ZooKeeper.

mod ls;
mod watch;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fate_registry::{Addresses, Login, ZooKeeperSettings};

use crate::exit::{Exit, Failure};
use crate::runtime;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RegistryCommand {
    /// List the services with address, weight, version and owner, and the processes.
    ///
    /// Ends with 1 when ZooKeeper does not answer or refuses.
    Ls(Args),
    /// Show every provider that comes or goes, until SIGINT or SIGTERM.
    ///
    /// ZooKeeper may come and go meanwhile; what is wrong is said on stderr.
    Watch(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The servers, as zk.url has them
    #[arg(long, value_name = "HOST:PORT,…")]
    zk: Addresses,
    /// The user of a tree that is closed by an ACL
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// A file with that user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Only these projects: serving, proxy, flow, federation; all of them when none is given
    #[arg(long)]
    project: Vec<String>,
    /// Form of the answer on stdout; for watch one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// Those that serving-servers, proxies and FATE-Flow register services in.
const PROJECTS: [&str; 4] = ["serving", "proxy", "flow", "federation"];

pub(crate) fn run(command: &RegistryCommand) -> Result<Exit, Failure> {
    let (RegistryCommand::Ls(args) | RegistryCommand::Watch(args)) = command;
    let mut settings = ZooKeeperSettings::new(args.zk.clone(), "client");
    if let (Some(user), Some(file)) = (&args.user, &args.password_file) {
        let password = read_password(file)
            .map_err(|cause| Failure::usage(format!("{}: {cause}", file.display())))?;
        let user = user.clone();
        settings.login = Some(Login { user, password });
    }
    let done = match command {
        RegistryCommand::Ls(_) => runtime::run(ls::run(args, settings)),
        RegistryCommand::Watch(_) => runtime::run(watch::run(args, settings)),
    };
    done?
}

/// Passwords are short; a larger file is another one.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// The file's text without the line's end.
fn read_password(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_PASSWORD_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(io::Error::other("too large for a password"));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

impl Args {
    fn includes(&self, project: &str) -> bool {
        self.project.is_empty() || self.project.iter().any(|one| one == project)
    }
}
