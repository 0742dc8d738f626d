//! A feature service of a host that takes its time, so that what is short are places and not the machine.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A feature service that takes its time; its address.
pub(crate) fn start(set: &fate_golden::Set, takes: Duration) -> String {
    let table = &set.hosts()[0].table;
    let rows = table.rows.iter();
    let rows: HashMap<String, String> = rows
        .map(|row| (row.id.clone(), row.json(&table.columns, false)))
        .collect();
    let rows = Arc::new(rows);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let rows = Arc::clone(&rows);
            thread::spawn(move || answer_slowly(connection, &rows, takes));
        }
    });
    address
}

/// Until the connection ends.
fn answer_slowly(
    connection: TcpStream,
    rows: &HashMap<String, String>,
    takes: Duration,
) -> Option<()> {
    let mut input = BufReader::new(connection.try_clone().ok()?);
    let mut output = connection;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).ok()?;
        let ids: Value = serde_json::from_slice(&body).ok()?;
        thread::sleep(takes);
        let features = rows.get(ids["id"].as_str()?)?;
        let answer = format!(r#"{{"code":200,"data":{features}}}"#);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        output.write_all((head + &answer).as_bytes()).ok()?;
    }
}
