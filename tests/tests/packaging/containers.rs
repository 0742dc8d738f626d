//! The image and the example with two parties.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use super::{conf, longest_drain_ms, read, root};

#[test]
fn what_the_image_is_made_of_is_there() {
    let dockerfile = read(conf("docker/Dockerfile"));
    let copies = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"));
    let mut sources = Vec::new();
    for line in copies {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.pop();
        sources.extend(words);
    }
    for source in &sources {
        assert!(root().join(source).exists(), "{source}");
    }
    // Every room that Cargo.toml names is copied.
    let manifest = read(root().join("Cargo.toml"));
    let members = manifest.split_once("members = [").unwrap().1;
    let members = members.split_once(']').unwrap().0;
    let members = members.split(',').map(|one| one.trim().trim_matches('"'));
    for member in members.filter(|one| !one.is_empty()) {
        let top = member.split('/').next().unwrap();
        assert!(sources.contains(&top), "{member} is not copied");
    }
    let minor = |text: &str, before: &str| -> u32 {
        let version = text.split_once(before).unwrap().1;
        let digits = version.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    };
    let (used, needed) = (
        minor(&dockerfile, "FROM rust:1."),
        minor(&manifest, "rust-version = \"1."),
    );
    assert!(used >= needed, "1.{used} is older than 1.{needed}");
    assert!(dockerfile.contains("\nUSER 10001:10001\n"));
    assert!(dockerfile.contains("HEALTHCHECK"));
}

#[test]
fn the_image_s_health_check_looks_at_livez() {
    let ask = |answer: Option<&'static str>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let served = answer.map(|answer| {
            std::thread::spawn(move || {
                let (mut connection, _) = listener.accept().unwrap();
                // A shell writes line by line.
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    connection.read_exact(&mut byte).unwrap();
                    asked.extend(byte);
                }
                connection.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(asked).unwrap()
            })
        });
        let status = Command::new(conf("docker/alive"))
            .env("HTTP_PORT", port)
            .output()
            .unwrap()
            .status;
        if let Some(served) = served {
            let asked = served.join().unwrap();
            assert!(asked.starts_with("GET /livez HTTP/1.1\r\n"), "{asked}");
        }
        status.success()
    };
    assert!(ask(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")));
    assert!(!ask(Some("HTTP/1.1 503 Service Unavailable\r\n\r\n")));
    assert!(!ask(Some("")));
    assert!(!ask(None));
}

fn compose() -> Value {
    serde_yaml_ng::from_str(&read(conf("compose/compose.yaml"))).unwrap()
}

/// A member, or what `<<` brings in.
fn member<'a>(service: &'a Value, name: &str) -> &'a Value {
    service.get(name).unwrap_or(&service["<<"][name])
}

#[test]
fn the_example_s_services_fit_together() {
    let document = compose();
    let services = document["services"].as_object().unwrap();
    let volumes = document["volumes"].as_object().unwrap();
    for (name, service) in services {
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            let other = &services[needed.0];
            assert!(
                member(other, "healthcheck").is_object(),
                "{name} waits for {}",
                needed.0
            );
        }
        for network in service["networks"].as_array().unwrap() {
            assert!(
                document["networks"]
                    .get(network.as_str().unwrap())
                    .is_some(),
                "{name}"
            );
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let is_there = volumes.contains_key(from) || conf("compose").join(from).exists();
            assert!(is_there, "{name}: {from}");
        }
    }
    let roles = services
        .iter()
        .filter(|(name, _)| name.ends_with("-server") || name.ends_with("-proxy"));
    for (name, service) in roles {
        let grace = member(service, "stop_grace_period").as_str().unwrap();
        let seconds: u64 = grace.trim_end_matches('s').parse().unwrap();
        assert!(seconds * 1000 > longest_drain_ms(), "{name}");
        let folder = service["volumes"][0]
            .as_str()
            .unwrap()
            .split(':')
            .next()
            .unwrap();
        let file = service["command"][2].as_str().unwrap();
        let file = file.strip_prefix("/etc/fate-serving/").unwrap();
        let path = conf("compose").join(folder).join(file);
        let text = read(&path);
        // The health check asks the port that the role listens on.
        let port = member(service, "environment")["HTTP_PORT"]
            .as_str()
            .unwrap();
        assert!(text.contains(&format!("\nserver.port={port}\n")), "{name}");
        // Names of other services are names of this file.
        for host in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            if host.starts_with("guest-") || host.starts_with("host-") {
                assert!(services.contains_key(host), "{}: {host}", path.display());
            }
        }
    }
}
