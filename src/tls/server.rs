//! TLS towards callers.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::config::{ClientCertificates, LeastVersion, ListenerTlsConfig};
use super::error::TlsError;
use super::files::{Contents, Files, Named, PairFiles};
use super::reread::{Look, Reread};
use super::{pem, provider};

/// What is spoken inside, in the order in which we prefer it (RFC 7301).
const ALPN: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// What callers are met with: certificate, key, versions, and who may come.
#[derive(Debug)]
pub struct ServerTls {
    config: ListenerTlsConfig,
    files: Files,
    serving: Reread<Serving>,
}

/// What the files came to.
struct Serving {
    rustls: Arc<ServerConfig>,
    not_after: i64,
    sessions: Sessions,
    /// The authorities for which the sessions hold.
    client_ca: Vec<u8>,
}

/// What resuming a session needs. It outlives a change of the certificate.
#[derive(Clone)]
struct Sessions {
    by_id: Arc<dyn StoresServerSessions>,
    by_ticket: Option<Arc<dyn ProducesTickets>>,
}

impl ServerTls {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    ///
    /// When they cannot be read, do not belong together, or `client_ca` and `client_certificates` do not.
    pub fn open(config: &ListenerTlsConfig) -> Result<Self, TlsError> {
        match (&config.client_ca, config.client_certificates) {
            (None, ClientCertificates::Optional | ClientCertificates::Required) => {
                return Err(TlsError::Setting {
                    setting: "client_ca",
                    what: "is missing: it says who issues the certificates that `client_certificates` asks for",
                });
            }
            (Some(_), ClientCertificates::None) => {
                return Err(TlsError::Setting {
                    setting: "client_ca",
                    what: "is for `client_certificates = \"optional\"` or `\"required\"`: none is asked for",
                });
            }
            _ => {}
        }
        let named = |path: &Path, setting| Named::new(path, setting);
        let files = Files {
            pair: Some(PairFiles {
                certificate: named(&config.certificate, "certificate"),
                key: named(&config.key, "key"),
            }),
            roots: config
                .client_ca
                .as_deref()
                .map(|path| named(path, "client_ca")),
        };
        let serving = Reread::open(files.clone(), |contents| {
            make(config, &files, contents, None)
        })?;
        Ok(Self {
            config: config.clone(),
            files,
            serving,
        })
    }

    /// What the next connection is to be met with.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.serving.current().rustls)
    }

    /// When the certificate ends, in Unix time.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.serving.current().not_after
    }

    /// How long a handshake may take.
    #[must_use]
    pub const fn handshake_timeout(&self) -> Duration {
        self.config.handshake_timeout
    }

    /// Looks at the files, and takes over what they hold if it is new and fits together; open connections keep what
    /// they have. When it was `told` to look, what does not fit is told again. Blocks as long as the file system does.
    pub fn look(&self, told: bool) -> Look {
        self.serving.look(told, |contents, before| {
            make(&self.config, &self.files, contents, Some(before))
        })
    }
}

fn make(
    config: &ListenerTlsConfig,
    files: &Files,
    contents: &Contents,
    before: Option<&Serving>,
) -> Result<Serving, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(Box::new(error));
    let pair = files.pair.as_ref().expect("callers are met with a pair");
    let pair = pem::pair(pair, contents)?;
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        LeastVersion::Tls12 => &[&TLS13, &TLS12],
        LeastVersion::Tls13 => &[&TLS13],
    };
    let verifier = match &files.roots {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(file) => {
            let roots = Arc::new(pem::roots(file, &contents.roots)?);
            let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let builder = match config.client_certificates {
                ClientCertificates::Required => builder,
                ClientCertificates::None | ClientCertificates::Optional => {
                    builder.allow_unauthenticated()
                }
            };
            builder
                .build()
                .map_err(|error| TlsError::Unusable(Box::new(error)))?
        }
    };
    // Whoever resumes a session is not asked for a certificate again, so other authorities begin anew.
    let kept = before.filter(|before| before.client_ca == *contents.roots);
    let sessions = match kept {
        Some(before) => before.sessions.clone(),
        None => Sessions::new(config.sessions).map_err(unusable)?,
    };
    let mut rustls = ServerConfig::builder_with_provider(for_servers())
        .with_protocol_versions(versions)
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified)));
    rustls.ignore_client_order = true;
    rustls.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    rustls.session_storage = Arc::clone(&sessions.by_id);
    match &sessions.by_ticket {
        Some(tickets) => rustls.ticketer = Arc::clone(tickets),
        None => rustls.send_tls13_tickets = 0,
    }
    Ok(Serving {
        rustls: Arc::new(rustls),
        not_after: pair.not_after,
        sessions,
        client_ca: contents.roots.to_vec(),
    })
}

/// The same cryptography, of which AES-128 with SHA-256 comes first, whatever callers put first: OpenSSL and rustls put a suite with
/// SHA-384 there, for which most processors have no instructions as they have for SHA-256, and a handshake then costs a fifth more.
/// Who has nothing but another suite is met with that.
fn for_servers() -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider());
    let is_dearer = |suite: &SupportedCipherSuite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    // Stable: the others stay in their order.
    provider.cipher_suites.sort_by_key(is_dearer);
    Arc::new(provider)
}

impl Sessions {
    /// Room for so many sessions by id, and tickets with a key of our own that changes; 0 is neither.
    fn new(by_id: usize) -> Result<Self, rustls::Error> {
        if by_id == 0 {
            return Ok(Self {
                by_id: Arc::new(NoServerSessionStorage {}),
                by_ticket: None,
            });
        }
        Ok(Self {
            by_id: ServerSessionMemoryCache::new(by_id),
            by_ticket: Some(Ticketer::new()?),
        })
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
