//! Signatures between proxies (contract 04 A.6): packets to other parties are signed, packets of other parties checked.
//!
//! The format is Java's, byte for byte. Its holes are closed: a key must be known, and speak for the party that the
//! packet says it comes from; a signature counts once, and only near its time, in the past and in the future; it is
//! compared in constant time and never logged. `appKey`, `applyId`, `nonce` and `serviceId` are not covered by a
//! signature and are not trusted.

mod keys;
mod replay;
mod signature;

pub use keys::{AccessKey, Keys};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_proto::proxy::{AuthInfo, Packet, Topic};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::watched_file;
use replay::{Replays, Verdict};
use signature::Signature;

/// Keys are few; a larger file is a mistake.
const MAX_FILE_BYTES: usize = 4 << 20;

/// Signs and checks with the keys of a file that is followed.
#[derive(Debug)]
pub struct Auth {
    path: PathBuf,
    keys: ArcSwapOption<Keys>,
    file: Mutex<FileState>,
    replays: Mutex<Replays>,
}

#[derive(Debug, Default)]
struct FileState {
    applied: Option<Vec<u8>>,
    fault: Option<String>,
}

/// Why a packet is not let in. Only the log is told: a stranger learns no more than that the check failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No file of keys has been read.
    #[error("there are no keys to check it with")]
    NoKeys,
    /// Its time is over.
    #[error("its timestamp is {0} ms old")]
    Expired(i64),
    /// Its time has not come.
    #[error("its timestamp is {0} ms in the future")]
    FromFuture(i64),
    /// Nobody has that key.
    #[error("its appKey is not known")]
    UnknownKey,
    /// The key belongs to another party.
    #[error("the key of party {owner} does not speak for party {claimed}")]
    OtherParty {
        /// Whose key it is.
        owner: String,
        /// Whom the packet says it comes from.
        claimed: String,
    },
    /// Something was changed, or the secret is another.
    #[error("its signature is wrong")]
    WrongSignature,
    /// It has been here before.
    #[error("it is a repetition")]
    Repeated,
    /// The key has been used too often for its packets to be remembered.
    #[error("its key was used more often than can be remembered")]
    TooMany,
}

impl Auth {
    /// Reads the keys for the first time. Without a good file nothing is let in and nothing can be signed, until there
    /// is one.
    pub fn load(path: impl Into<PathBuf>) -> Arc<Self> {
        let auth = Self {
            path: path.into(),
            keys: ArcSwapOption::empty(),
            file: Mutex::default(),
            replays: Mutex::default(),
        };
        auth.reload();
        Arc::new(auth)
    }

    /// Follows the file until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let path = self.path.clone();
        watched_file::follow(path, stop, move || self.reload()).await;
    }

    /// The file of the keys.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys in force.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    /// What keeps the file's present content from being in force.
    pub fn fault(&self) -> Option<String> {
        self.file.lock().fault.clone()
    }

    fn reload(&self) {
        let mut file = self.file.lock();
        let read =
            watched_file::read(&self.path, MAX_FILE_BYTES).map_err(|error| error.to_string());
        let outcome = read.and_then(|content| {
            if file.applied.as_ref() == Some(&content) {
                return Ok(None);
            }
            let keys = Keys::parse(&content).map_err(|error| error.to_string())?;
            Ok(Some((content, keys)))
        });
        let path = self.path.display();
        match outcome {
            Ok(None) => file.fault = None,
            Ok(Some((content, keys))) => {
                tracing::info!(file = %path, keys = keys.len(), "keys of the proxies in force");
                if keys.if_use_auth == Some(false) {
                    tracing::warn!(file = %path, "if_use_auth is false, but auth.open=true decides: packets are signed and checked");
                }
                *file = FileState {
                    applied: Some(content),
                    fault: None,
                };
                self.keys.store(Some(Arc::new(keys)));
            }
            Err(fault) => {
                if file.fault.as_ref() != Some(&fault) {
                    let then = match self.keys.load().is_some() {
                        true => "the keys in force stay",
                        false => "no packet passes without them",
                    };
                    tracing::error!(file = %path, "keys of the proxies: {fault}; {then}");
                }
                file.fault = Some(fault);
            }
        }
    }

    /// This party's signature of a packet, with what else the packet's `auth` holds; `None` when the packet is for this
    /// party, and stays as it is.
    ///
    /// # Errors
    /// 129 when this party has no key.
    pub fn sign(&self, packet: &Packet, now_ms: i64) -> Result<Option<AuthInfo>, Fault> {
        let no_key = || Fault::new(ReturnCode::PROXY_AUTH, "add auth info error");
        let keys = self.keys.load_full().ok_or_else(no_key)?;
        if keys.self_party_id == destination(packet) {
            return Ok(None);
        }
        let own = keys.own().ok_or_else(no_key)?;
        let mut auth = packet.auth.clone().unwrap_or_default();
        auth.timestamp = now_ms;
        auth.app_key.clone_from(&own.app_key);
        auth.signature = Signature::of(packet, now_ms, &own.app_secret).to_text();
        if auth.apply_id.is_empty() {
            auth.apply_id.clone_from(&keys.apply_id);
        }
        Ok(Some(auth))
    }

    /// Checks a packet of another party.
    ///
    /// # Errors
    /// It is not let in.
    pub fn check(&self, packet: &Packet, now_ms: i64) -> Result<(), Refusal> {
        let keys = self.keys.load_full().ok_or(Refusal::NoKeys)?;
        let auth = packet.auth.clone().unwrap_or_default();
        check_time(auth.timestamp, now_ms, keys.expire_ms)?;
        let key = keys.of_app_key(&auth.app_key).ok_or(Refusal::UnknownKey)?;
        let claimed = source(packet);
        if !key.speaks_for(claimed) {
            return Err(Refusal::OtherParty {
                owner: key.party_id.clone(),
                claimed: claimed.chars().take(64).collect(),
            });
        }
        let signature = Signature::of(packet, auth.timestamp, &key.app_secret);
        if !signature.is(&auth.signature) {
            return Err(Refusal::WrongSignature);
        }
        // Remembered as long as the packet could be let in again.
        let window_ms = keys.expire_ms.saturating_mul(2);
        let mut replays = self.replays.lock();
        match replays.note(&key.app_key, signature.short(), now_ms, window_ms) {
            Verdict::New => Ok(()),
            Verdict::Seen => Err(Refusal::Repeated),
            Verdict::Full => Err(Refusal::TooMany),
        }
    }
}

/// What a caller is told whose packet is refused.
pub fn check_failed() -> Fault {
    Fault::new(ReturnCode::PROXY_AUTH, "check authentication failed")
}

/// As old as Java allows, and no further in the future than in the past.
fn check_time(timestamp: i64, now_ms: i64, expire_ms: i64) -> Result<(), Refusal> {
    let age = now_ms.saturating_sub(timestamp);
    if age >= expire_ms {
        Err(Refusal::Expired(age))
    } else if age <= -expire_ms {
        Err(Refusal::FromFuture(age.saturating_neg()))
    } else {
        Ok(())
    }
}

fn destination(packet: &Packet) -> &str {
    party_id(
        packet
            .header
            .as_ref()
            .and_then(|header| header.dst.as_ref()),
    )
}

fn source(packet: &Packet) -> &str {
    party_id(
        packet
            .header
            .as_ref()
            .and_then(|header| header.src.as_ref()),
    )
}

fn party_id(topic: Option<&Topic>) -> &str {
    topic.map_or("", |topic| &topic.party_id)
}

#[cfg(test)]
mod tests;
