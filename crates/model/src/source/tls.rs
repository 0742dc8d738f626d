//! TLS to FATE-Flow: certificates are checked against the system's authorities and those of `model.transfer.ca`. The
//! Java server takes any certificate; whoever uses one of his own names its authority instead.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Speaks http and https, as the URL says.
pub(crate) fn connector(ca: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| format!("TLS cannot be set up: {cause}"))?
        .with_root_certificates(authorities(ca)?)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

fn authorities(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    // Certificates of the system that cannot be read are those nobody uses.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = ca else {
        return Ok(store);
    };
    let named = |cause: String| format!("model.transfer.ca {}: {cause}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|cause| named(cause.to_string()))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| named(cause.to_string()))?;
    if certificates.is_empty() {
        return Err(named("there is no certificate in it".to_owned()));
    }
    for certificate in certificates {
        store
            .add(certificate)
            .map_err(|cause| named(cause.to_string()))?;
    }
    Ok(store)
}
