//! TLS towards upstreams.

use std::path::Path;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::config::UpstreamTlsConfig;
use super::error::TlsError;
use super::files::{Contents, Files, Named, PairFiles};
use super::reread::{Look, Reread};
use super::{pem, provider};

/// What an upstream is met with: whom we trust, which name it must have, and what we show.
///
/// The upstream's certificate is always verified.
#[derive(Debug)]
pub struct ClientTls {
    files: Files,
    server_name: Option<ServerName<'static>>,
    calling: Reread<Calling>,
}

/// What the files came to.
struct Calling {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    not_after: Option<i64>,
}

impl ClientTls {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    ///
    /// When they cannot be read or do not belong together, or the name is none.
    pub fn open(config: &UpstreamTlsConfig) -> Result<Self, TlsError> {
        let pair = match (&config.certificate, &config.key) {
            (Some(certificate), Some(key)) => Some(PairFiles {
                certificate: Named::new(certificate, "certificate"),
                key: Named::new(key, "key"),
            }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(TlsError::Setting {
                    setting: "key",
                    what: "is missing: `certificate` needs it",
                });
            }
            (None, Some(_)) => {
                return Err(TlsError::Setting {
                    setting: "certificate",
                    what: "is missing: `key` is of no use without it",
                });
            }
        };
        let server_name = config.server_name.as_deref().map(|name| {
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Setting {
                setting: "server_name",
                what: "must be a host's name or address",
            })
        });
        let roots = config.ca.as_deref();
        let files = Files {
            pair,
            roots: roots.map(|path: &Path| Named::new(path, "ca")),
        };
        Ok(Self {
            server_name: server_name.transpose()?,
            calling: Reread::open(files.clone(), |contents| make(&files, contents))?,
            files,
        })
    }

    /// What the next connection is to be made with: it offers HTTP/1.1 alone.
    #[must_use]
    pub fn for_http1(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.calling.current().http1)
    }

    /// What the next connection is to be made with: it offers HTTP/2 alone.
    #[must_use]
    pub fn for_http2(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.calling.current().http2)
    }

    /// The name that the upstream's certificate must hold, when that is not the url's host.
    #[must_use]
    pub const fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    /// When the certificate that we show ends, in Unix time, if we show one.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        self.calling.current().not_after
    }

    /// Whether there are files that may change.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.files.pair.is_some() || self.files.roots.is_some()
    }

    /// Looks at the files, and takes over what they hold if it is new and fits together; open connections keep what
    /// they have. When it was `told` to look, what does not fit is told again. Blocks as long as the file system does.
    pub fn look(&self, told: bool) -> Look {
        self.calling
            .look(told, |contents, _| make(&self.files, contents))
    }
}

fn make(files: &Files, contents: &Contents) -> Result<Calling, TlsError> {
    let roots = match &files.roots {
        Some(file) => pem::roots(file, &contents.roots)?,
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let pair = files.pair.as_ref();
    let pair = pair.map(|pair| pem::pair(pair, contents)).transpose()?;
    let not_after = pair.as_ref().map(|pair| pair.not_after);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| TlsError::Unusable(Box::new(error)))?
        .with_root_certificates(roots);
    let mut rustls = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let shown: Arc<dyn ResolvesClientCert> =
                Arc::new(SingleCertAndKey::from(pair.certified));
            builder.with_client_cert_resolver(shown)
        }
    };
    let mut http2 = rustls.clone();
    http2.alpn_protocols = vec![b"h2".to_vec()];
    rustls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Calling {
        http1: Arc::new(rustls),
        http2: Arc::new(http2),
        not_after,
    })
}
