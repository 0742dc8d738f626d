//! Files that are replaced while both sides run.

use std::time::Duration;

use super::certificates::{Authority, Files};
use super::{Listening, call, check, dialer, listen};
use fate_edge::channel::lazy_channel_over;
use fate_edge::dial::Dialer;
use fate_edge::tls::ClientFiles;

const DEADLINE: Duration = Duration::from_secs(30);

/// Tries new connections until one is served.
async fn until_served(server: &Listening, files: &ClientFiles) {
    let tries = async { while call(server, files, None).await.is_err() {} };
    tokio::time::timeout(DEADLINE, tries).await.unwrap();
}

#[tokio::test]
async fn a_listener_shows_its_new_certificate() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = Files::new(&first.issue("127.0.0.1"), &first);
    let server = listen(&files.of_server()).await;
    let of_first = Files::new(&first.issue("guest"), &first);
    let of_second = Files::new(&first.issue("guest"), &second);
    call(&server, &of_first.of_client(), None).await.unwrap();
    assert!(call(&server, &of_second.of_client(), None).await.is_err());
    files.show(&second.issue("127.0.0.1"));
    until_served(&server, &of_second.of_client()).await;
    assert!(call(&server, &of_first.of_client(), None).await.is_err());
}

#[tokio::test]
async fn a_listener_trusts_its_new_authority_and_no_longer_the_old_one() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = Files::new(&first.issue("127.0.0.1"), &first);
    let server = listen(&files.of_server()).await;
    let old = Files::new(&first.issue("guest"), &first);
    let new = Files::new(&second.issue("guest"), &first);
    call(&server, &old.of_client(), None).await.unwrap();
    files.trust(&second);
    until_served(&server, &new.of_client()).await;
    assert!(call(&server, &old.of_client(), None).await.is_err());
}

#[tokio::test]
async fn a_client_uses_its_new_files_for_new_connections() {
    let (first, second) = (Authority::new(), Authority::new());
    let server = listen(&Files::new(&second.issue("127.0.0.1"), &second).of_server()).await;
    let files = Files::new(&first.issue("guest"), &first);
    let dialer: Dialer = dialer(&files.of_client(), None);
    let attempt = || check(lazy_channel_over(&server.address, dialer.clone()).unwrap());
    assert!(attempt().await.is_err());
    files.show(&second.issue("guest"));
    files.trust(&second);
    let tries = async { while attempt().await.is_err() {} };
    tokio::time::timeout(DEADLINE, tries).await.unwrap();
}
