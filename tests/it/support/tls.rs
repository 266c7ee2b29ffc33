//! TLS from outside: authorities that issue what a test wants, callers that shake hands, and a TLS side for upstreams.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ConfigBuilder, HandshakeKind, RootCertStore, ServerConfig};
use rustls::{WantsVerifier, client::WantsClientCert, crypto::aws_lc_rs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::within;

/// What an end of a connection shows: a chain and a key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

/// Whoever issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub certificate: String,
}

impl Authority {
    /// One of this name. Two of one name are as different as any two.
    pub fn called(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = new_key();
        let certificate = params.self_signed(&key).expect("an authority signs itself");
        Self {
            certificate: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// For a server called `localhost` and 127.0.0.1.
    pub fn server(&self) -> Issued {
        self.server_called(&["localhost", "127.0.0.1"])
    }

    /// For a server of these names.
    pub fn server_called(&self, names: &[&str]) -> Issued {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, 2100)
    }

    /// The same, to an end in this year.
    pub fn server_until(&self, year: i32) -> Issued {
        let names = ["localhost", "127.0.0.1"];
        self.issue(&names, ExtendedKeyUsagePurpose::ServerAuth, year)
    }

    /// For a caller.
    pub fn caller(&self) -> Issued {
        self.issue(&["caller"], ExtendedKeyUsagePurpose::ClientAuth, 2100)
    }

    /// For a caller of these names.
    pub fn caller_called(&self, names: &[&str]) -> Issued {
        self.issue(names, ExtendedKeyUsagePurpose::ClientAuth, 2100)
    }

    /// For a caller, to an end in this year.
    pub fn caller_until(&self, year: i32) -> Issued {
        self.issue(&["caller"], ExtendedKeyUsagePurpose::ClientAuth, year)
    }

    fn issue(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose, year: i32) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names of hosts");
        params.extended_key_usages = vec![purpose];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer);
        Issued {
            certificate: certificate.expect("it signs").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A caller's side that trusts this authority alone.
    pub fn trusted(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        self.trusted_by(builder(&[&rustls::version::TLS13, &rustls::version::TLS12]))
    }

    /// The same, of this version alone.
    pub fn trusted_over(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        self.trusted_by(builder(&[version]))
    }

    fn trusted_by(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        builder.with_root_certificates(roots(&self.certificate))
    }
}

impl Issued {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        chain.map(|each| each.expect("PEM of ours")).collect()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM of ours")
    }

    /// Writes both into `folder`, as `tls.crt` and `tls.key`.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder of ours");
        fs::write(folder.join("tls.crt"), &self.certificate).expect("a folder of ours");
        fs::write(folder.join("tls.key"), &self.key).expect("a folder of ours");
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness")
}

fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    builder
        .with_protocol_versions(versions)
        .expect("versions that there are")
}

/// The authorities in `pem`.
pub fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for each in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(each.expect("PEM of ours")).expect("an authority");
    }
    roots
}

/// A folder with `tls.crt` and `tls.key` for keyward, issued by `authority`, and the settings that name them.
pub struct Folder {
    directory: tempfile::TempDir,
}

impl Folder {
    pub fn with(issued: &Issued) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        issued.write(directory.path());
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a file in place, whole, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path("new"));
        fs::write(&new, text).expect("a folder of ours");
        fs::rename(new, &path).expect("a folder of ours");
        path
    }

    /// `{table}.certificate` and `{table}.key`.
    pub fn settings(&self, table: &str) -> String {
        let (certificate, key) = (self.path("tls.crt"), self.path("tls.key"));
        format!(
            "{table}.certificate = \"{}\"\n{table}.key = \"{}\"\n",
            certificate.display(),
            key.display()
        )
    }
}

/// One TLS connection of a caller's.
#[derive(Debug)]
pub struct TlsCaller {
    stream: TlsStream<TcpStream>,
}

impl TlsCaller {
    /// Connects and shakes hands, calling the server `localhost`.
    pub async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = within("a connection is made", TcpStream::connect(address)).await;
        let name = ServerName::try_from("localhost").expect("a name");
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream?);
        let stream = within("hands are shaken, or not", connecting).await?;
        Ok(Self { stream })
    }

    /// Whether it went on with a session of before.
    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What was agreed on.
    pub fn alpn(&self) -> Option<String> {
        let protocol = self.stream.get_ref().1.alpn_protocol();
        protocol.map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    }

    /// The certificate that was shown.
    pub fn shown(&self) -> CertificateDer<'static> {
        let chain = self.stream.get_ref().1.peer_certificates();
        chain.expect("a server shows one")[0].clone().into_owned()
    }

    /// The stream itself, for who speaks something else on it.
    pub fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }

    /// Writes `bytes` and reads what comes until `end` has come, or the connection's end.
    pub async fn exchange(
        &mut self,
        bytes: impl AsRef<[u8]>,
        end: &str,
    ) -> std::io::Result<String> {
        let exchange = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await?;
            let mut answer = Vec::new();
            loop {
                let read = self.stream.read_buf(&mut answer).await?;
                let text = String::from_utf8_lossy(&answer);
                if read == 0 || (!end.is_empty() && text.contains(end)) {
                    return Ok(text.into_owned());
                }
            }
        };
        within("an answer comes, or the end", exchange).await
    }
}

/// TLS in front of a server that speaks none. Ends when it is dropped.
pub struct TlsSide {
    pub address: SocketAddr,
    shaken: Arc<Mutex<Vec<Shaken>>>,
    _tasks: JoinSet<()>,
}

impl TlsSide {
    /// Shakes hands as `config` says, and passes on to `to` what comes inside.
    pub async fn before(to: SocketAddr, config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shaken = Arc::<Mutex<Vec<Shaken>>>::default();
        let seen = Arc::clone(&shaken);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("loopback accepts");
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                connections.spawn(async move {
                    // Handshakes that fail are what many tests are about.
                    let Ok(mut inside) = acceptor.accept(stream).await else {
                        return;
                    };
                    let session = inside.get_ref().1;
                    let shown = session.peer_certificates().map(|chain| chain[0].clone());
                    seen.lock().expect("no test panics with it").push(Shaken {
                        name: session.server_name().map(str::to_owned),
                        alpn: session.alpn_protocol().map(<[u8]>::to_vec),
                        certificate: shown.map(CertificateDer::into_owned),
                    });
                    let mut server = TcpStream::connect(to).await.expect("the server is there");
                    drop(tokio::io::copy_bidirectional(&mut inside, &mut server).await);
                });
            }
        });
        Self {
            address,
            shaken,
            _tasks: tasks,
        }
    }

    /// The handshakes that ended well.
    pub fn shaken(&self) -> Vec<Shaken> {
        self.shaken.lock().expect("no test panics with it").clone()
    }
}

/// What a caller said in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaken {
    /// Which server it wanted.
    pub name: Option<String>,
    /// What was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// What it showed.
    pub certificate: Option<CertificateDer<'static>>,
}

/// A server's side that asks for no certificate.
pub fn serving(issued: &Issued) -> ServerConfig {
    let builder = server_builder().with_no_client_auth();
    let config = builder.with_single_cert(issued.chain(), issued.private_key());
    config.expect("a pair of ours")
}

/// A server's side that wants a certificate of `callers`.
pub fn serving_only(issued: &Issued, callers: &Authority) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(roots(&callers.certificate));
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let verifier = verifier.build().expect("an authority of ours");
    let builder = server_builder().with_client_cert_verifier(verifier);
    let config = builder.with_single_cert(issued.chain(), issued.private_key());
    config.expect("a pair of ours")
}

fn server_builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    builder
        .with_safe_default_protocol_versions()
        .expect("versions that there are")
}
