//! Certificates made for one test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fate_edge::tls::{ClientFiles, Identity, ServerFiles};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Authorities of one name would be taken for each other.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Valid for this name or address.
    pub(crate) fn issue(&self, name: &str) -> Pair {
        self.issue_for(name, KeyPair::generate().unwrap(), 2099)
    }

    pub(crate) fn issue_expired(&self, name: &str) -> Pair {
        self.issue_for(name, KeyPair::generate().unwrap(), 2020)
    }

    pub(crate) fn issue_for(&self, name: &str, key: KeyPair, last_year: i32) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair {
            chain,
            key: key.serialize_pem(),
        }
    }
}

/// Files of one side, in a directory of their own.
pub(crate) struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    /// What this side shows, and whom it trusts.
    pub(crate) fn new(own: &Pair, trusted: &Authority) -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        files.show(own);
        files.trust(trusted);
        files
    }

    pub(crate) fn show(&self, own: &Pair) {
        write(&self.identity().cert_chain, &own.chain);
        write(&self.identity().private_key, &own.key);
    }

    pub(crate) fn trust(&self, authority: &Authority) {
        write(&self.ca(), &authority.pem);
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            cert_chain: self.directory.path().join("chain.pem"),
            private_key: self.directory.path().join("key.pem"),
        }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn of_server(&self) -> ServerFiles {
        ServerFiles {
            identity: self.identity(),
            ca: self.ca(),
        }
    }

    pub(crate) fn of_client(&self) -> ClientFiles {
        ClientFiles {
            identity: Some(self.identity()),
            ca: Some(self.ca()),
        }
    }
}

/// As an operator replaces a file: written beside it and renamed.
fn write(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}
