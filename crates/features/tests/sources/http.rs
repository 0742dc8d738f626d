//! One POST for many keys, against a service of ours that can go away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use fate_features::{FeatureSource as _, SourceKind, TlsSettings};
use serde_json::{Value, json};

use crate::contract::{self, Place, ids, set, settings, text};

/// HTTP status and body for these ids.
pub(crate) type Reply = fn(&[Value]) -> (u16, Vec<u8>);

/// A service whose answer is `reply(ids)`: HTTP status and body.
pub(crate) struct Service {
    port: u16,
    reply: Reply,
    running: Option<Running>,
}

struct Running {
    streams: Arc<Mutex<Option<Vec<TcpStream>>>>,
    accepting: JoinHandle<()>,
}

impl Service {
    pub(crate) fn start(reply: Reply) -> Self {
        let mut service = Self {
            port: 0,
            reply,
            running: None,
        };
        service.run();
        service
    }

    fn run(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let (open, reply) = (Arc::clone(&streams), self.reply);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // Nobody keeps a list any more: the service stops.
                let mut open = open.lock().unwrap();
                let Some(open) = open.as_mut() else { return };
                open.push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(stream, reply));
            }
        });
        self.running = Some(Running { streams, accepting });
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        for stream in running.streams.lock().unwrap().take().unwrap() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        running.accepting.join().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(mut stream: TcpStream, reply: Reply) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let Ok(question) = serde_json::from_str::<Value>(body) else {
            continue;
        };
        assert!(head.starts_with("POST /rows?token=hunter2 "), "{head}");
        let (status, body) = reply(question["ids"].as_array().unwrap());
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(&[head.as_bytes(), &body].concat())
            .is_err()
        {
            return;
        }
        seen.clear();
    }
}

pub(crate) fn rows(ids: &[Value]) -> (u16, Vec<u8>) {
    let mut data = serde_json::Map::new();
    for id in ids {
        let id = id.as_str().unwrap();
        let row = match id {
            "k:a" => json!({"n": 1.5, "t": "text", "o": "other"}),
            "k:b" => json!({"n": -2, "t": null}),
            "k:list" => json!([1]),
            "k:huge" => json!({"t": "x".repeat(2_000_000)}),
            "k:none" => Value::Null,
            _ => continue,
        };
        data.insert(id.to_owned(), row);
    }
    (
        200,
        json!({"code": 0, "data": data}).to_string().into_bytes(),
    )
}

fn kind(address: &str) -> SourceKind {
    SourceKind::HttpBatch {
        url: format!("http://{address}/rows?token=hunter2"),
        tls: TlsSettings::default(),
    }
}

impl Place for Service {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn kind(&self, address: &str) -> SourceKind {
        kind(address)
    }

    fn numbers(&self) -> [&'static str; 2] {
        ["1.5", "-2"]
    }

    fn poisoned(&self) -> Vec<(&'static str, &'static str)> {
        vec![("list", "not a JSON object"), ("huge", "larger than")]
    }

    fn stop(&mut self) {
        Service::stop(self);
    }

    fn start_again(&mut self) {
        self.run();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_the_contract() {
    contract::holds(&mut Service::start(rows)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_fails_the_source() {
    let replies: [(Reply, &str); 6] = [
        (|_| (500, b"{}".to_vec()), "HTTP 500"),
        (|_| (200, b"<html>".to_vec()), "not a JSON object"),
        (|_| (200, b"\xff".to_vec()), "not UTF-8"),
        (|_| (200, b"{}".to_vec()), "no data"),
        (|_| (200, br#"{"code":404,"data":{}}"#.to_vec()), "code 404"),
        (
            |_| (200, br#"{"data":{"k:a":{"n":NaN}}}"#.to_vec()),
            "not a JSON object",
        ),
    ];
    for (reply, cause) in replies {
        let service = Service::start(reply);
        let set = set(&[settings("it", kind(&service.address()))]);
        let (code, message) = text(set.fetch(&ids("a")).await).unwrap_err();
        assert!(
            code == 102 && message.contains(cause),
            "{message} without {cause}"
        );
        assert!(!message.contains("hunter2"), "{message}");
    }
    let shown = kind("h:1").shown_address().unwrap();
    assert_eq!(shown, "http://h:1/rows");
}
