#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn compact(text: &str) -> String {
    parse(text.as_bytes())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .compact()
}

fn error(text: &str) -> String {
    match parse(text.as_bytes()) {
        Ok(node) => panic!("{text}: {}", node.compact()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_gson_accepts_is_accepted() {
    for (text, expected) in [
        (r#"{"a":1}"#, r#"{"a":1}"#),
        ("{'a':'b\"c'}", r#"{"a":"b\"c"}"#),
        ("{a:b}", r#"{"a":"b"}"#),
        ("{a = 1; b => 2}", r#"{"a":1,"b":2}"#),
        (
            "// one\n# two\n/* three\n */ { // four\n\"a\" # five\n: 1 }",
            r#"{"a":1}"#,
        ),
        (r#"{"a":1} trailing {"#, r#"{"a":1}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        ("[1,]", "[1,null]"),
        ("[,1]", "[null,1]"),
        ("[,]", "[null,null]"),
        ("[1;2]", "[1,2]"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[TRUE, False, NULL]", "[true,false,null]"),
        (
            "{ip: 127.0.0.1, port: 8869.0}",
            r#"{"ip":"127.0.0.1","port":8869.0}"#,
        ),
        (
            "[01, 1e, -, +1, NaN, 1.]",
            r#"["01","1e","-","+1","NaN","1."]"#,
        ),
        ("[-0, 1.50, 1E+5]", "[-0,1.50,1E+5]"),
        (r#"["\u00e9\ud83d\ude00\t\/\'"]"#, "[\"é😀\\t/'\"]"),
        ("[\"two\nlines\"]", r#"["two\nlines"]"#),
        ("\u{feff})]}'\n{\"a\":1}", r#"{"a":1}"#),
        ("{\"中\":\"文\"}", r#"{"中":"文"}"#),
        ("text", r#""text""#),
    ] {
        assert_eq!(compact(text), expected, "{text}");
    }
}

#[test]
fn what_gson_refuses_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "",
            "line 1, column 1: a value is expected, but the text ends",
        ),
        ("{\"a\":1,}", "line 1, column 8: a name is expected"),
        (
            "{\n  \"a\": 1\n  \"b\": 2}",
            "line 3, column 3: `,` or `}` is expected after a member",
        ),
        (
            "{\"a\" 1}",
            "line 1, column 6: `:` is expected after a name",
        ),
        ("{\"a\":}", "line 1, column 6: a value is expected"),
        ("{,}", "line 1, column 2: a name is expected"),
        (
            "[1 2]",
            "line 1, column 4: `,` or `]` is expected after an item",
        ),
        ("[\"a", "line 1, column 2: the text does not end"),
        ("/* a", "line 1, column 1: the comment does not end"),
        ("[\"\\x\"]", "line 1, column 4: unknown escape after `\\`"),
        (
            "[\"\\u12g4\"]",
            "line 1, column 5: `\\u` needs four hexadecimal digits",
        ),
        (
            "[\"\\ud800\"]",
            "line 1, column 4: half of a surrogate pair",
        ),
        ("{\"é\":]", "line 1, column 6: a value is expected"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    assert!(error(&"[".repeat(1_000_000)).contains("levels deep"));
    assert!(error(&"{a:".repeat(1_000_000)).contains("levels deep"));
    assert!(error(&" ".repeat(MAX_BYTES + 1)).contains("larger than"));
}

#[test]
fn many_members_do_not_take_quadratic_time() {
    let members: Vec<String> = (0..200_000)
        .map(|n| format!("\"p{}\":{n}", n % 150_000))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    assert_eq!(parse(text.as_bytes()).unwrap().members().len(), 150_000);
}

#[test]
fn other_encodings_do_no_harm_in_comments() {
    let node = parse(b"{\"a\":1 // \xc4\xe3\n}").unwrap();
    assert_eq!(node.compact(), r#"{"a":1}"#);
}

#[test]
fn a_table_is_formatted_as_the_java_proxy_does() {
    let text = r#"{"route_table":{"default":{"default":[{"ip":"127.0.0.1","port":9999,"useSSL":false}]}},"permission":{"default_allow":true}}"#;
    let pretty = "{\n   \"route_table\":{\n      \"default\":{\n         \"default\":[\n            {\n               \"ip\":\"127.0.0.1\",\n               \"port\":9999,\n               \"useSSL\":false\n            }\n         ]\n      }\n   },\n   \"permission\":{\n      \"default_allow\":true\n   }\n}";
    assert_eq!(parse(text.as_bytes()).unwrap().pretty(), pretty);
}

#[test]
fn values_are_coerced_as_gson_does() {
    let node =
        parse(br#"{"n":"30110","d":8869.0,"e":8e3,"x":1.5,"t":"TRUE","f":"yes","o":0,"z":null}"#)
            .unwrap();
    let root = Place::root(&node);
    let place = |name: &str| root.required(name).unwrap();
    assert_eq!(place("n").integer(), Ok(30110));
    assert_eq!(place("d").integer(), Ok(8869));
    assert_eq!(place("e").integer(), Ok(8000));
    assert_eq!(place("d").text().unwrap(), "8869.0");
    assert_eq!(
        (place("t").flag(), place("f").flag(), place("o").flag()),
        (Ok(true), Ok(false), Ok(false))
    );
    for name in ["x", "t", "z"] {
        assert!(place(name).integer().is_err(), "{name}");
    }
    let error = place("z").text().unwrap_err().to_string();
    assert!(
        error.starts_with("line 1, column ") && error.ends_with(", z: must be a text"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn what_looks_like_json_never_panics_and_is_written_as_json(
        text in r#"[\[\]{}:;,=> "'#/*\\un0-9a-e.\n-]{0,60}"#
    ) {
        if let Ok(node) = parse(text.as_bytes()) {
            let strict: serde_json::Value = serde_json::from_str(&node.compact()).unwrap();
            let pretty: serde_json::Value = serde_json::from_str(&node.pretty()).unwrap();
            prop_assert_eq!(strict, pretty);
        }
    }
}
