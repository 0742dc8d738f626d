//! All providers at one moment, and the choice among them (contract 03 §1.9).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rand::Rng as _;

use crate::provider::Provider;

/// What is known of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `serving`, `proxy`, `flow`, …
    pub project: String,
    /// `online`, a service id or the MD5 of a host model.
    pub environment: String,
    /// The service's name.
    pub name: String,
    /// Every child of the service's node, decoded, also those that are no provider of it (FATE-Flow's addresses of
    /// single models).
    pub texts: Vec<String>,
    providers: Vec<Arc<Provider>>,
}

impl Service {
    /// A service with these children.
    pub fn new(project: &str, environment: &str, name: &str, texts: Vec<String>) -> Self {
        let read = |text: &String| Provider::read(text, name).map(Arc::new);
        Self {
            project: project.to_owned(),
            environment: environment.to_owned(),
            name: name.to_owned(),
            providers: texts.iter().filter_map(read).collect(),
            texts,
        }
    }

    /// Those that can be called, in the registry's order.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// `<project>/<environment>/<name>`.
    pub fn key(&self) -> String {
        key(&self.project, &self.environment, &self.name)
    }

    /// Draws one by weight among those that are wanted.
    pub fn choose_among(&self, is_wanted: impl Fn(&Provider) -> bool) -> Option<Arc<Provider>> {
        let is_wanted = &is_wanted;
        draw(self.providers.iter().filter(move |one| is_wanted(one)))
    }

    /// Draws one by weight among those that admit the consumer's version, or among all when it names none.
    fn choose(&self, consumer_version: Option<i64>) -> Option<Arc<Provider>> {
        match (consumer_version, self.providers.as_slice()) {
            (None, [only]) => Some(Arc::clone(only)),
            (None, all) => draw(all.iter()),
            (Some(version), all) => draw(all.iter().filter(|one| one.admits(version))),
        }
    }
}

/// Weighted draw: each with its share of the sum; all alike when the weights are equal or their sum is 0.
fn draw<'a>(candidates: impl Iterator<Item = &'a Arc<Provider>> + Clone) -> Option<Arc<Provider>> {
    let first = candidates.clone().next()?;
    let (mut count, mut sum, mut is_even) = (0_usize, 0_i64, true);
    for one in candidates.clone() {
        count += 1;
        sum += i64::from(one.weight);
        is_even &= one.weight == first.weight;
    }
    let mut random = rand::rng();
    let chosen = if is_even || sum <= 0 {
        candidates.clone().nth(random.random_range(0..count))
    } else {
        let mut left = random.random_range(0..sum);
        candidates.clone().find(|one| {
            left -= i64::from(one.weight);
            left < 0
        })
    };
    chosen.map(Arc::clone)
}

/// All services that were found. Immutable: what one reader sees does not change under it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    services: HashMap<String, Arc<Service>>,
}

fn key(project: &str, environment: &str, service: &str) -> String {
    let length = project.len() + environment.len() + service.len() + 2;
    let mut key = String::with_capacity(length);
    for (position, part) in [project, environment, service].into_iter().enumerate() {
        if position > 0 {
            key.push('/');
        }
        key.push_str(part);
    }
    key
}

impl Snapshot {
    /// A snapshot of these services; of several with one key the last counts.
    pub fn new(services: impl IntoIterator<Item = Arc<Service>>) -> Self {
        Self {
            services: services.into_iter().map(|one| (one.key(), one)).collect(),
        }
    }

    /// A snapshot of a static list: `(project, environment, service, URL)`, several URLs for one service included.
    pub fn of_list<'a>(
        list: impl IntoIterator<Item = (&'a str, &'a str, &'a str, String)>,
    ) -> Self {
        let mut texts: HashMap<[&str; 3], Vec<String>> = HashMap::new();
        for (project, environment, service, url) in list {
            match texts.entry([project, environment, service]) {
                Entry::Occupied(mut known) => known.get_mut().push(url),
                Entry::Vacant(new) => drop(new.insert(vec![url])),
            }
        }
        Self::new(
            texts
                .into_iter()
                .map(|([project, environment, service], texts)| {
                    Arc::new(Service::new(project, environment, service, texts))
                }),
        )
    }

    /// One service; `None` when nothing was ever found under its name.
    pub fn service(
        &self,
        project: &str,
        environment: &str,
        service: &str,
    ) -> Option<&Arc<Service>> {
        self.services.get(&key(project, environment, service))
    }

    /// A provider for one call. Takes no lock; `consumer_version` is the caller's own version, which decides only at
    /// providers with a `router_mode`.
    pub fn resolve(
        &self,
        project: &str,
        environment: &str,
        service: &str,
        consumer_version: Option<i64>,
    ) -> Option<Arc<Provider>> {
        self.service(project, environment, service)?
            .choose(consumer_version)
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(weights: &[Option<i32>]) -> Vec<String> {
        let url = |(position, weight): (usize, &Option<i32>)| {
            let weight = weight.map_or(String::new(), |weight| format!("&weight={weight}"));
            format!("grpc://10.0.0.{position}:8000/serving/svc/inference?version=216{weight}")
        };
        weights.iter().enumerate().map(url).collect()
    }

    fn shares(weights: &[Option<i32>], version: Option<i64>) -> Vec<usize> {
        let list = urls(weights)
            .into_iter()
            .map(|url| ("serving", "svc", "inference", url));
        let snapshot = Snapshot::of_list(list);
        let mut shares = vec![0; weights.len()];
        for _ in 0..10_000 {
            let chosen = snapshot
                .resolve("serving", "svc", "inference", version)
                .unwrap();
            let position: usize = chosen
                .host
                .strip_prefix("10.0.0.")
                .unwrap()
                .parse()
                .unwrap();
            shares[position] += 1;
        }
        shares
    }

    fn near(share: usize, expected: usize) -> bool {
        share.abs_diff(expected) < 400
    }

    #[test]
    fn equal_weights_share_alike() {
        for weights in [
            vec![None, None],
            vec![Some(7), Some(7)],
            vec![Some(0), Some(0)],
            vec![None, Some(100)],
        ] {
            let shares = shares(&weights, None);
            assert!(near(shares[0], 5000), "{weights:?}: {shares:?}");
        }
    }

    #[test]
    fn different_weights_share_in_proportion() {
        let shares = shares(&[Some(300), None, Some(0)], None);
        assert!(near(shares[0], 7500) && near(shares[1], 2500), "{shares:?}");
        assert_eq!(shares[2], 0);
    }

    #[test]
    fn a_single_provider_is_chosen_whatever_its_weight() {
        assert_eq!(shares(&[Some(0)], None), [10_000]);
    }

    #[test]
    fn a_version_decides_among_modes() {
        let url = |host: &str, mode: &str| {
            let url =
                format!("grpc://{host}:1/serving/svc/inference?router_mode={mode}&version=216");
            ("serving", "svc", "inference", url)
        };
        let list = [url("new", "VERSION_BIGER"), url("same", "VERSION_EQUALS")];
        let snapshot = Snapshot::of_list(list);
        let host = |version| {
            let chosen = snapshot.resolve("serving", "svc", "inference", Some(version));
            chosen.map(|one| one.host.clone())
        };
        for _ in 0..50 {
            assert_eq!(host(217).as_deref(), Some("new"));
            assert_eq!(host(216).as_deref(), Some("same"));
            assert_eq!(host(215), None);
        }
    }

    #[test]
    fn nothing_known_resolves_to_nothing() {
        let snapshot = Snapshot::of_list([("serving", "svc", "inference", "nonsense".to_owned())]);
        assert!(
            snapshot
                .resolve("serving", "svc", "inference", None)
                .is_none()
        );
        assert!(
            snapshot
                .resolve("serving", "other", "inference", None)
                .is_none()
        );
        assert_eq!(
            snapshot
                .service("serving", "svc", "inference")
                .unwrap()
                .texts,
            ["nonsense"]
        );
    }
}
