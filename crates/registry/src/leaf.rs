//! Node names: Java's `URLEncoder` and `URLDecoder` for UTF-8 (contract 03 §1.3).

/// The name that stands for a text: letters, digits and `.-*_` stay, a space becomes `+`, every other byte `%XX`.
pub fn encode(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + text.len() / 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                name.push(char::from(byte));
            }
            b' ' => name.push('+'),
            _ => {
                name.push('%');
                name.push(hex_digit(byte >> 4));
                name.push(hex_digit(byte & 15));
            }
        }
    }
    name
}

fn hex_digit(value: u8) -> char {
    char::from(match value {
        0..=9 => b'0' + value,
        _ => b'A' + value - 10,
    })
}

/// The text that a name stands for. Names that Java, kazoo and FATE-Flow write are read alike, whether or not they
/// escape `~`; bytes that are no UTF-8 become U+FFFD.
///
/// `None` for a `%` that two hexadecimal digits do not follow, where Java throws.
pub fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_value(rest.next()?)? << 4 | hex_value(rest.next()?)?,
            other => other,
        });
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_contracts_vector() {
        let text = "a b~c*d'e(f)g!h#i&j=k%l+m中/é-_.";
        let name = "a+b%7Ec*d%27e%28f%29g%21h%23i%26j%3Dk%25l%2Bm%E4%B8%AD%2F%C3%A9-_.";
        assert_eq!(encode(text), name);
        assert_eq!(decode(name).as_deref(), Some(text));
    }

    #[test]
    fn the_contracts_leaf() {
        let text = "grpc://192.0.2.2:8000/serving/online/publishLoad?router_mode=ALL_ALLOWED&timestamp=1795386655784&version=216";
        let name = "grpc%3A%2F%2F192.0.2.2%3A8000%2Fserving%2Fonline%2FpublishLoad%3Frouter_mode%3DALL_ALLOWED%26timestamp%3D1795386655784%26version%3D216";
        assert_eq!(encode(text), name);
    }

    #[test]
    fn both_spellings_of_a_tilde_are_one_text() {
        for name in [
            "model%2Ftransfer%2Fguest~9999",
            "model%2ftransfer%2Fguest%7E9999",
        ] {
            assert_eq!(decode(name).as_deref(), Some("model/transfer/guest~9999"));
        }
    }

    #[test]
    fn a_broken_escape_is_no_name() {
        for name in ["%", "a%4", "%zz", "%+1"] {
            assert_eq!(decode(name), None, "{name}");
        }
        assert_eq!(decode("%ff").as_deref(), Some("\u{fffd}"));
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text: String) {
            prop_assert_eq!(decode(&encode(&text)), Some(text));
        }

        #[test]
        fn no_name_is_too_strange(name: String) {
            let _ = decode(&name);
        }
    }
}
