//! TLS as `mysql_async` wants it: it makes its own configuration of rustls from what is handed to it, and takes no keys
//! but RSA's in PKCS#1.

use mysql_async::{ClientIdentity, SslOpts};
use rustls::pki_types::PrivateKeyDer;

use crate::tls::{Identity, TlsFiles, TlsSettings};

pub(super) fn options(settings: &TlsSettings) -> Result<SslOpts, String> {
    let files = TlsFiles::read(settings)?;
    let identity = files.identity.as_ref().map(identity).transpose()?;
    let authorities = files.authorities.iter();
    let authorities = authorities.map(|authority| authority.to_vec().into());
    let options = SslOpts::default()
        .with_root_certs(authorities.collect())
        // Its own list of authorities is neither the operator's nor the system's.
        .with_disable_built_in_roots(true)
        .with_client_identity(identity);
    // Tells here and not with every connection that certificate and key do not fit.
    files.client_config()?;
    Ok(options)
}

fn identity(identity: &Identity) -> Result<ClientIdentity, String> {
    let key = match &identity.key {
        PrivateKeyDer::Pkcs1(key) => Some(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => rsa_key(key.secret_pkcs8_der()),
        _ => None,
    };
    let key = key.ok_or("tls.key is no RSA key: of MySQL no others are supported")?;
    let chain = identity.certificate_pem.clone();
    Ok(ClientIdentity::new(chain.into(), key.to_vec().into()))
}

/// The RSA key in a PKCS#8 envelope (RFC 5208): SEQUENCE { version, SEQUENCE { algorithm, … }, OCTET STRING { key } }.
fn rsa_key(envelope: &[u8]) -> Option<&[u8]> {
    const INTEGER: u8 = 0x02;
    const OCTET_STRING: u8 = 0x04;
    const OBJECT_ID: u8 = 0x06;
    const SEQUENCE: u8 = 0x30;
    /// 1.2.840.113549.1.1.1
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (fields, _) = element(SEQUENCE, envelope)?;
    let (_, fields) = element(INTEGER, fields)?;
    let (algorithm, fields) = element(SEQUENCE, fields)?;
    let (algorithm, _) = element(OBJECT_ID, algorithm)?;
    let (key, _) = element(OCTET_STRING, fields)?;
    (algorithm == RSA).then_some(key)
}

/// The content of the first element, which has this tag, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (long, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            let shifted = |all: usize, byte: &u8| all << 8 | usize::from(*byte);
            (long.iter().fold(0, shifted), rest)
        }
        _ => return None,
    };
    (first == tag).then_some(())?;
    rest.split_at_checked(length)
}
