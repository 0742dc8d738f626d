//! The router column of the flow log: where the hosts of a guest's call were reached.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use crate::cluster::{guest_of, pair};
use crate::false_host::{FalseHost, Manner};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Lines {
    /// The router column of the lines of a service, by case id.
    fn routers(&self, case_id: &str, service: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let lines = text.lines().map(|line| line.split('|').collect());
        lines
            .filter(|columns: &Vec<&str>| {
                columns.len() >= 8 && columns[0].ends_with(case_id) && columns[4] == service
            })
            .map(|columns| columns[5].to_owned())
            .collect()
    }
}

fn request(case_id: &str) -> String {
    format!(
        r#"{{"serviceId":"lr-test","caseId":"{case_id}","featureData":{{"x0":1}},"sendToRemoteFeatureData":{{"id":"1"}}}}"#
    )
}

/// The lines of all tests of this program: a subscriber of one thread is not asked about what another thread logs first.
fn collected() -> Lines {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    lines
}

#[tokio::test]
async fn a_guests_line_names_where_its_host_was_reached() {
    let lines = collected();
    let pair = pair(&[], &[]).await;
    pair.guest.infer(&request("was-reached")).await;
    let address = pair.host.grpc().to_string();
    assert_eq!(lines.routers("was-reached", "singleInference"), [address]);
    // The host itself reached nobody.
    assert_eq!(lines.routers("was-reached", "hostInferenceProvider"), [""]);

    let refusing = FalseHost::start(Manner::Fails).await;
    let guest = guest_of(refusing.address, &[]).await;
    let batch = r#"{"serviceId":"lr-test","caseId":"has-failed","batchDataList":[{}]}"#;
    guest.infer_batch(batch).await;
    // A batch that fails has still been somewhere.
    assert_eq!(
        lines.routers("has-failed", "batchInference"),
        [refusing.address.to_string()]
    );
}
