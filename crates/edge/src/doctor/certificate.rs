//! Until when the certificates of a PEM file are good.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Finding, Verdict};
use crate::small_file;

/// A certificate that ends sooner should be replaced.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// Of all certificates in the file, the one that ends first counts.
pub fn certificate(what: &str, path: &Path) -> Finding {
    let shown = path.display();
    match validity(path) {
        Ok(validity) => {
            let (verdict, text) = judged(validity, SystemTime::now());
            Finding::new(verdict, what, format!("{shown} {text}"))
        }
        Err(cause) => Finding::new(Verdict::Fail, what, format!("{shown}: {cause}")),
    }
}

/// Begin and end.
type Validity = (SystemTime, SystemTime);

fn judged((begin, end): Validity, now: SystemTime) -> (Verdict, String) {
    let days = |time: Duration| time.as_secs() / (24 * 3600);
    if let Ok(wait) = begin.duration_since(now) {
        return (
            Verdict::Fail,
            format!("is not valid yet, for {} s", wait.as_secs()),
        );
    }
    match end.duration_since(now) {
        Err(over) => {
            let text = format!("has expired {} days ago", days(over.duration()));
            (Verdict::Fail, text)
        }
        Ok(left) if left < SOON => (Verdict::Warn, format!("expires in {} days", days(left))),
        Ok(left) => (Verdict::Ok, format!("is valid for {} days", days(left))),
    }
}

fn validity(path: &Path) -> Result<Validity, String> {
    let bytes = small_file::read(path).map_err(|error| error.to_string())?;
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not PEM: {error}"))?;
    let all = certificates.iter().map(|one| validity_of(one));
    let all: Option<Vec<Validity>> = all.collect();
    let all = all.ok_or("a certificate in it cannot be read")?;
    let first = all
        .into_iter()
        .reduce(|one, next| (one.0.max(next.0), one.1.min(next.1)));
    first.ok_or_else(|| "there is no certificate in it".to_owned())
}

/// The validity of a DER certificate (RFC 5280): Certificate { TBSCertificate { \[0\] version?, serialNumber, signature,
/// issuer, validity { notBefore, notAfter }, … } }.
fn validity_of(certificate: &[u8]) -> Option<Validity> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate).filter(|one| one.0 == SEQUENCE)?;
    let (_, mut fields, _) = element(certificate).filter(|one| one.0 == SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields).filter(|one| one.0 == SEQUENCE)?;
    let (kind, begin, rest) = element(validity)?;
    let begin = time(kind, begin)?;
    let (kind, end, _) = element(rest)?;
    Some((begin, time(kind, end)?))
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (long, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            let length = long
                .iter()
                .fold(0usize, |all, byte| all << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(kind: u8, text: &[u8]) -> Option<SystemTime> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let year_digits = match kind {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    };
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits && text.len() == year_digits + 10).then_some(())?;
    let number = |from: usize, length: usize| text[from..from + length].parse::<u64>().ok();
    let year = match number(0, year_digits)? {
        short @ 0..50 if kind == UTC_TIME => 2000 + short,
        short if kind == UTC_TIME => 1900 + short,
        year => year,
    };
    let field = |position: usize| number(year_digits + 2 * position, 2);
    let days = days_since_1970(year, field(0)?, field(1)?)?;
    let seconds = ((days * 24 + field(2)?) * 60 + field(3)?) * 60 + field(4)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let before = *BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let this_year = before + day.checked_sub(1)? + u64::from(month > 2 && is_leap);
    let years = year.checked_sub(1970)? * 365 + leap_days(year - 1) - leap_days(1969);
    Some(years + this_year)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_of_certificates() {
        for (kind, text, expected) in [
            (0x17, "700101000000Z", Some(0)),
            (0x17, "000229123456Z", Some(951_827_696)),
            (0x18, "20261125103015Z", Some(1_795_602_615)),
            (0x18, "21000301000000Z", Some(4_107_542_400)),
            (0x17, "7001010000Z", None),
            (0x17, "701301000000Z", None),
            (0x18, "19691231235959Z", None),
            (0x0c, "700101000000Z", None),
        ] {
            assert_eq!(time(kind, text.as_bytes()), expected.map(at), "{text}");
        }
    }

    fn written(folder: &Path, from: (i32, u8, u8), until: (i32, u8, u8)) -> std::path::PathBuf {
        let mut params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let path = folder.join(format!("{}.pem", until.0));
        std::fs::write(&path, certificate.pem()).unwrap();
        path
    }

    #[test]
    fn files_with_good_expired_and_no_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let good = written(folder.path(), (2000, 2, 29), (2099, 12, 31));
        assert_eq!(validity(&good), Ok((at(951_782_400), at(4_102_358_400))));
        assert_eq!(certificate("certificate", &good).verdict, Verdict::Ok);
        let expired = certificate(
            "certificate",
            &written(folder.path(), (2000, 1, 1), (2001, 1, 1)),
        );
        assert_eq!(expired.verdict, Verdict::Fail);
        assert!(expired.text.contains("has expired"), "{expired}");
        let early = certificate(
            "certificate",
            &written(folder.path(), (2090, 1, 1), (2091, 1, 1)),
        );
        assert!(early.text.contains("is not valid yet"), "{early}");
        // The first that ends counts.
        let mut both = std::fs::read(&good).unwrap();
        both.extend(std::fs::read(folder.path().join("2001.pem")).unwrap());
        std::fs::write(&good, both).unwrap();
        assert_eq!(certificate("certificate", &good).verdict, Verdict::Fail);
        for content in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&good, content).unwrap();
            assert_eq!(
                certificate("certificate", &good).verdict,
                Verdict::Fail,
                "{content}"
            );
        }
        let missing = certificate("certificate", Path::new("/nowhere/x.pem"));
        assert_eq!(missing.verdict, Verdict::Fail);
    }

    #[test]
    fn soon_is_a_warning() {
        let day = 24 * 3600;
        let judge = |end: u64| judged((at(0), at(end * day)), at(10 * day)).0;
        assert_eq!(judge(100), Verdict::Ok);
        assert_eq!(judge(20), Verdict::Warn);
        assert_eq!(judge(9), Verdict::Fail);
    }
}
