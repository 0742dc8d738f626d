//! Any bytes: no panic, and every lookup has an answer. (`fuzz` in the name of the last one: it runs long when asked.)

use proptest::prelude::*;

use super::*;

fn ask_everything(bytes: &[u8]) {
    let own = OwnAddresses::new(["127.0.0.1:1".parse().unwrap()]);
    let Ok(table) = RouteTable::parse(bytes, &own) else {
        return;
    };
    let names = ["", "*", "default", "1", "a", "createTime", "\u{0}"];
    for (party_id, role) in names
        .iter()
        .flat_map(|party| names.iter().map(move |role| (*party, *role)))
    {
        match table.routes(side(party_id, role)) {
            Ok(routes) => assert!(!routes.is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let _ = table.allows(side(party_id, role), side(role, party_id));
    }
    // What is written of it is read as the same table.
    for text in [table.document().compact(), table.document().pretty()] {
        let again = RouteTable::parse(text.as_bytes(), &own).unwrap();
        assert_eq!(again.all_routes().count(), table.all_routes().count());
        assert_eq!(again.warnings().len(), table.warnings().len());
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("'x'".to_owned()),
        "-?[0-9]{1,6}(\\.[0-9])?",
        Just("\"127.0.0.1\"".to_owned()),
        Just("\"http://a/b\"".to_owned()),
    ];
    let name = prop_oneof![
        Just("route_table"),
        Just("permission"),
        Just("default"),
        Just("1"),
        Just("a"),
        Just("ip"),
        Just("port"),
        Just("url"),
        Just("useSSL"),
        Just("allow"),
        Just("deny"),
        Just("from"),
        Just("to"),
        Just("coordinator"),
        Just("role"),
        Just("default_allow"),
        Just("createTime"),
        Just("certChainFile"),
    ];
    leaf.prop_recursive(6, 48, 4, move |inner| {
        let member =
            (name.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..3)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(member, 0..4)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

fn tables() -> impl Strategy<Value = String> {
    let endpoint = "\\{(\"ip\":\"?[a1.:\\[\\]]{0,4}\"?,)?(\"port\":\"?[0-9.]{1,4}\"?,)?(\"url\":\"https?://[a/:@]{0,5}\",)?\"useSSL\":(true|1|\"TRUE\")\\}";
    let party = (
        prop_oneof![Just("1"), Just("default")],
        prop_oneof![Just("a"), Just("default"), Just("createTime")],
        endpoint,
    )
        .prop_map(|(party, role, endpoint)| format!("\"{party}\":{{\"{role}\":[{endpoint}]}}"));
    (party, json()).prop_map(|(party, rest)| {
        format!(
            "{{\"route_table\":{{{party}}},\"permission\":{{\"default_allow\":1}},\"rest\":{rest}}}"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        ask_everything(&bytes);
    }

    #[test]
    fn json_of_the_tables_words(text in json(), permission in json()) {
        ask_everything(text.as_bytes());
        ask_everything(format!("{{\"route_table\":{text},\"permission\":{permission}}}").as_bytes());
    }

    #[test]
    fn tables_with_odd_addresses(text in tables()) {
        ask_everything(text.as_bytes());
    }
}

/// `ROUTE_TABLE_FUZZ=5000000 cargo test --release -p fate-proxy fuzz -- --ignored --nocapture`: real tables with bytes
/// exchanged, dropped and doubled.
#[test]
#[ignore = "runs as long as it is asked to"]
fn fuzz_changed_tables() {
    use rand::{Rng as _, SeedableRng as _};

    let runs: u64 = std::env::var("ROUTE_TABLE_FUZZ").map_or(100_000, |text| text.parse().unwrap());
    let seeds = [
        include_str!("../../../../../conf/route_table.json").to_owned(),
        include_str!("../../../../../conf/auth_config.json").to_owned(),
        with_endpoint(r#"{"ip":"::1","port":"8869.0","useSSL":"TRUE","caFile":"x"}"#),
        "{route_table={'1'=>{a:[{url:'http://a/b'};]}};permission:{deny:[{from:{coordinator:*},to:{}}]}} /* */ # x".to_owned(),
    ];
    let mut random = rand::rngs::SmallRng::seed_from_u64(5);
    let (mut read, started) = (0_u64, std::time::Instant::now());
    for run in 0..runs {
        let mut bytes = seeds[usize::try_from(run % 4).unwrap()]
            .clone()
            .into_bytes();
        for _ in 0..random.random_range(0..6) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes[at] = b"{}[]:;,='\"/*#\\ \n019tn."[random.random_range(0..22)],
                2 => drop(bytes.drain(at..(at + random.random_range(0..8)).min(bytes.len()))),
                _ => {
                    let part =
                        bytes[at..(at + random.random_range(0..40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
        read += u64::from(RouteTable::parse(&bytes, &OwnAddresses::default()).is_ok());
        ask_everything(&bytes);
    }
    let seconds = started.elapsed().as_secs();
    assert!(
        read > runs / 100,
        "hardly anything was a table: {read} of {runs}"
    );
    // Only seen with --nocapture.
    let mut out = std::io::stdout();
    std::io::Write::write_fmt(
        &mut out,
        format_args!("{runs} runs, {read} tables, {seconds} s\n"),
    )
    .unwrap();
}
