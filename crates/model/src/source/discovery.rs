//! The transfer address of a load that names none, among those that FATE-Flow has registered (contract 03 §6.2): the one of
//! the model itself, or else any that gives every model.
//!
//! Java compares what is registered *encoded*, with `%7E` for `~`, so that it never finds the addresses of single models
//! that FATE-Flow writes on Python 3.7 and later, and asks for another model's. Here decoded texts are compared, and an
//! address of another model is never asked.

use fate_domain::model_key::ModelKey;
use rand::seq::IndexedRandom as _;

use super::url_policy::{TransferUrl, UrlPolicy};

/// What FATE-Flow 1.4 registers ends so, without a model.
const GENERIC: &str = "/transfer";

/// Addresses of one kind that are looked at: a flood of bad ones takes no time from other requests.
const LOOKED_AT: usize = 100;

/// How much of a refused address is quoted.
const QUOTED_CHARS: usize = 200;

/// `known` are decoded texts of the registry, so that it does not matter whether `~` was escaped. Addresses that the
/// operator does not allow are passed over: what stands in a registry is anybody's.
///
/// # Errors
/// Why none of them can be asked, as a part of a sentence.
pub(crate) fn choose(
    known: &[String],
    key: &ModelKey,
    policy: &UrlPolicy,
) -> Result<TransferUrl, String> {
    let mut refused = None;
    let mut admit =
        |text: &String| match TransferUrl::parse(text).and_then(|url| policy.admit(url, key)) {
            Ok(url) => Some(url),
            Err(cause) => {
                let quoted: String = text.chars().take(QUOTED_CHARS).collect();
                refused.get_or_insert(format!("registered is {quoted:?}: {cause},"));
                None
            }
        };
    let of_model = format!("/{}/{}", key.namespace.replace('#', "~"), key.table_name);
    let own = known.iter().filter(|text| text.ends_with(&of_model));
    if let Some(url) = own.take(LOOKED_AT).find_map(&mut admit) {
        return Ok(url);
    }
    let generic: Vec<&String> = known
        .iter()
        .filter(|text| text.ends_with(GENERIC))
        .collect();
    let mut in_random_order = generic.choose_multiple(&mut rand::rng(), LOOKED_AT);
    if let Some(url) = in_random_order.find_map(|text| admit(text)) {
        return Ok(url);
    }
    Err(match refused {
        Some(refused) => refused,
        None if known.is_empty() => "no FATE-Flow is registered".to_owned(),
        None => format!("none of {} registered addresses gives it", known.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "guest#9999#arbiter-10000#guest-9999#host-10000#model";

    fn chosen(known: &[&str], allow: &[&str]) -> Option<String> {
        let owned = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        let policy = UrlPolicy::new(&owned(allow)).unwrap();
        let key = ModelKey::new("2020080416153238910324", MODEL);
        let url = choose(&owned(known), &key, &policy).ok()?;
        Some(url.text().to_owned())
    }

    #[test]
    fn the_models_own_address_comes_first() {
        let generic = "http://192.0.2.2:37382/v1/model/transfer";
        let own = "http://127.0.0.1:37380/v1/model/transfer/guest~9999~arbiter-10000~guest-9999~host-10000~model/2020080416153238910324";
        let other = own.replace("2020080416153238910324", "2020080416153238910325");
        assert_eq!(chosen(&[generic, &other, own], &[]).as_deref(), Some(own));
        assert_eq!(chosen(&[&other, generic], &[]).as_deref(), Some(generic));
        assert_eq!(chosen(&[&other], &[]), None);
        assert_eq!(
            chosen(&["", "nonsense/transfer", "ftp://x/transfer"], &[]),
            None
        );
        // What is not allowed is no address.
        assert_eq!(
            chosen(&[own, generic], &["http://192.0.2.2:37382/"]).as_deref(),
            Some(generic)
        );
    }

    #[test]
    fn every_generic_address_has_its_turn() {
        let known = [
            "http://a:1/v1/model/transfer",
            "http://b:1/v1/model/transfer",
        ];
        let seen: std::collections::BTreeSet<String> =
            (0..200).filter_map(|_| chosen(&known, &[])).collect();
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn the_reason_for_finding_none_is_told() {
        let own = format!("/{}/1", MODEL.replace('#', "~"));
        let refused = [
            format!("ftp://h:1/v1/model/transfer{own}"),
            "x".repeat(1 << 20) + &own,
            "\u{fffd}/transfer".to_owned(),
        ];
        let other = ["http://h:1/v1/model/transfer/guest~1~m/1".to_owned()];
        for (known, expected) in [
            (&refused[..], "registered is \"ftp://h:1"),
            (&refused[1..], "registered is \"xxx"),
            (&refused[2..], "registered is \"\u{fffd}/transfer\""),
            (&other[..], "none of 1 registered addresses gives it"),
            (&[], "no FATE-Flow is registered"),
        ] {
            let key = ModelKey::new("1", MODEL);
            let text = choose(known, &key, &UrlPolicy::default()).unwrap_err();
            assert!(text.contains(expected), "{text}");
            assert!(text.len() < 1000, "{text}");
        }
    }
}
