//! One session with ZooKeeper: making it, knowing when it is over, and what its nodes may be used by.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use tokio::sync::Notify;
use tokio::time::Instant;
use zookeeper_client::{Acl, AuthId, Client, Error, Permission, SessionState, StateWatcher};

use crate::settings::{Login, ZooKeeperSettings};

/// A session without a connection is given up after this time. The client alone would go on for the whole session
/// timeout, with pauses that double without a limit, and come back long after the server has.
const RECONNECT_GRACE: Duration = Duration::from_secs(4);

/// A silent connection is taken for lost after this time, or after 2/5 of the session.
const MAX_SILENCE: Duration = Duration::from_secs(4);

/// How long a closing session may take to say so.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Tries every server once.
pub(super) async fn connect(settings: &ZooKeeperSettings) -> Result<Client, Error> {
    let silence = MAX_SILENCE.min(settings.session_timeout * 2 / 5);
    let mut connector = Client::connector()
        .with_session_timeout(settings.session_timeout)
        .with_connection_timeout(silence)
        .with_fail_eagerly();
    if let Some(login) = &settings.login {
        // Given before the first request, the client repeats it with every connection.
        let secret = format!("{}:{}", login.user, login.password);
        connector = connector.with_auth("digest", secret.as_bytes());
    }
    let addresses = settings.addresses.to_string();
    let servers = u32::try_from(settings.addresses.count()).unwrap_or(1);
    let patience = (silence * servers.min(5)) + Duration::from_secs(1);
    tokio::time::timeout(patience, connector.connect(&addresses))
        .await
        .unwrap_or(Err(Error::Timeout))
}

/// Ends a session: the last client says goodbye, and gets a moment for it, so that its nodes are gone when the process
/// is. Without the goodbye they go with the session's timeout.
pub(super) async fn end(last: Client) {
    let mut states = last.state_watcher();
    drop(last);
    let closed = async { while !states.changed().await.is_terminated() {} };
    if tokio::time::timeout(CLOSE_GRACE, closed).await.is_err() {
        tracing::debug!("a ZooKeeper session was not closed in time");
    }
}

/// The one entry of every node that is created (contract 03 §2.5).
pub(super) fn acl(login: Option<&Login>) -> Acl {
    let Some(Login { user, password }) = login else {
        return Acl::new(Permission::ALL, AuthId::anyone());
    };
    let digest = Sha1::digest(format!("{user}:{password}").as_bytes());
    let id = format!("{user}:{}", STANDARD.encode(digest));
    Acl::new(Permission::ALL, AuthId::new("digest", &id))
}

/// Whether an error means that the session is over.
pub(super) fn ends_session(error: &Error) -> bool {
    matches!(
        error,
        Error::SessionExpired | Error::AuthFailed | Error::ClientClosed | Error::NoHosts
    )
}

/// An error in words that name the likely cause.
pub(super) fn describe(error: &Error, login: Option<&Login>) -> String {
    match (error, login) {
        (Error::NoAuth, Some(login)) => format!(
            "not authorized as user {:?}: check acl.username and acl.password",
            login.user
        ),
        (Error::NoAuth, None) => {
            "not authorized: the tree is closed, set acl.enable, acl.username and acl.password"
                .to_owned()
        }
        (Error::NoHosts | Error::Timeout, _) => "no server answers".to_owned(),
        (error, _) => error.to_string(),
    }
}

/// Follows a session to its end and says why it ended. `on_change` hears of losing and finding the connection.
pub(super) async fn outlast(
    mut states: StateWatcher,
    reconnected: &Notify,
    on_change: impl Fn(bool),
) -> &'static str {
    let mut lost_at: Option<Instant> = None;
    loop {
        let next = states.changed();
        let state = match lost_at {
            None => next.await,
            Some(at) => match tokio::time::timeout_at(at + RECONNECT_GRACE, next).await {
                Ok(state) => state,
                Err(_) => return "no connection",
            },
        };
        match state {
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => {
                lost_at = None;
                on_change(true);
                reconnected.notify_one();
            }
            SessionState::Disconnected => {
                lost_at = lost_at.or_else(|| Some(Instant::now()));
                on_change(false);
            }
            SessionState::Expired => return "the session has expired",
            SessionState::AuthFailed => return "the login was refused",
            SessionState::Closed => return "the session was closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The literal of contract 03 §2.5.
    #[test]
    fn the_digest_of_a_login() {
        let login = Login {
            user: "fate".to_owned(),
            password: "fate".to_owned(),
        };
        let entry = acl(Some(&login));
        assert_eq!(entry.scheme(), "digest");
        assert_eq!(entry.id(), "fate:3TfzM2VxkWu8TEjoqf95CBJqfEQ=");
        assert_eq!(entry.permission(), Permission::ALL);
        assert_eq!((acl(None).scheme(), acl(None).id()), ("world", "anyone"));
    }

    #[test]
    fn a_refused_login_names_the_keys_and_no_password() {
        let login = Login {
            user: "fate".to_owned(),
            password: "secret".to_owned(),
        };
        let text = describe(&Error::NoAuth, Some(&login));
        assert!(
            text.contains("acl.password") && text.contains("fate"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}
