//! From PEM to what rustls takes. Its own errors quote lines of the file, which may be those of a key, so they are put
//! into words of ours.

use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::error::TlsError;
use super::files::{Contents, Named, PairFiles};
use super::{expiry, provider};

/// A certificate with its key, which belong together, and when it ends, in Unix time.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: i64,
}

const TORN: &str = "is no whole PEM";

/// The pair that `contents` holds.
pub(super) fn pair(files: &PairFiles, contents: &Contents) -> Result<Pair, TlsError> {
    let certificate = &files.certificate;
    let chain = certificates(certificate, &contents.certificate)?;
    let Some(own) = chain.first() else {
        return Err(certificate.wrong("holds no certificate"));
    };
    let strange = || certificate.wrong("holds a certificate that cannot be read");
    for each in &chain {
        ParsedCertificate::try_from(each).map_err(|_| strange())?;
    }
    let not_after = expiry::not_after(own).ok_or_else(strange)?;
    let key = key(&files.key, &contents.key)?;
    let certified =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                certificate: certificate.path.clone(),
                key: files.key.path.clone(),
            },
            _ => files.key.wrong("holds a private key that cannot be used"),
        })?;
    Ok(Pair {
        certified: Arc::new(certified),
        not_after,
    })
}

/// The authorities that `bytes` holds. A list of them may hold some that are of no use; at least one must be.
pub(super) fn roots(file: &Named, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(file, bytes)?);
    if added == 0 {
        return Err(file.wrong("holds no certificate of an authority"));
    }
    Ok(roots)
}

fn certificates(file: &Named, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>();
    certificates.map_err(|_| file.wrong(TORN))
}

fn key(file: &Named, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
        file.wrong(match error {
            PemError::NoItemsFound => "holds no private key, or an encrypted one",
            _ => TORN,
        })
    })
}
