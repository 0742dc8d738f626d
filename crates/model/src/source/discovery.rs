//! The transfer address of a load that names none, among those that FATE-Flow has registered (contract 03 §6.2): the one of
//! the model itself, or else any that gives every model.

use std::hash::{BuildHasher as _, RandomState};

use fate_domain::model_key::ModelKey;

use super::url_policy::{TransferUrl, UrlPolicy};

/// What FATE-Flow 1.4 registers ends so, without a model.
const GENERIC: &str = "/transfer";

/// `known` are decoded texts of the registry, so that it does not matter whether `~` was escaped (Java's never match).
/// Addresses that the operator does not allow are passed over.
pub(crate) fn choose(known: &[String], key: &ModelKey, policy: &UrlPolicy) -> Option<TransferUrl> {
    let admitted = |text: &String| {
        let url = TransferUrl::parse(text).ok()?;
        policy.admit(url, key).ok()
    };
    let of_model = format!("/{}/{}", key.namespace.replace('#', "~"), key.table_name);
    let mut own = known.iter().filter(|text| text.ends_with(&of_model));
    if let Some(url) = own.find_map(admitted) {
        return Some(url);
    }
    let mut generic: Vec<TransferUrl> = known
        .iter()
        .filter(|text| text.ends_with(GENERIC))
        .filter_map(admitted)
        .collect();
    if generic.is_empty() {
        return None;
    }
    // Any of them: the standard library seeds its hashers from the system's randomness.
    let random = usize::try_from(RandomState::new().hash_one(0u8) >> 33).unwrap_or(0);
    Some(generic.swap_remove(random % generic.len()))
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
        choose(&owned(known), &key, &policy).map(|url| url.text().to_owned())
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
}
