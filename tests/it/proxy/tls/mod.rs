//! TLS on the data listener and towards upstreams, with real certificates, through real sockets.

mod callers;
mod changes;
mod handshakes;
mod kept;
mod serving;
mod upstream;

use std::sync::Arc;

use rustls::ClientConfig;

use crate::support::eventually;
use crate::support::keyward::{Doors, TestKey, TestKeyward};
use crate::support::tls::{Authority, Folder, TlsCaller};

/// A keyward that speaks TLS, and whoever issued its certificate.
struct Tls {
    keyward: TestKeyward,
    authority: Authority,
    folder: Folder,
}

impl Tls {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With these settings besides; `{folder}` in them is where its files are.
    async fn with(settings: &str) -> Self {
        let authority = Authority::called("authority");
        let folder = Folder::with(&authority.server());
        Self::over(authority, folder, settings).await
    }

    /// With these files.
    async fn over(authority: Authority, folder: Folder, settings: &str) -> Self {
        let here = folder.path("").display().to_string();
        let settings = format!(
            "{}{}",
            folder.settings("proxy.tls"),
            settings.replace("{folder}", here.trim_end_matches('/'))
        );
        Self {
            keyward: TestKeyward::with(&settings).await,
            authority,
            folder,
        }
    }

    /// A caller that trusts the authority and says `protocols`.
    fn caller(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = self.authority.trusted().with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|each| each.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> TlsCaller {
        let connected = TlsCaller::connect(self.keyward.addresses.proxy, config).await;
        connected.expect("hands are shaken")
    }

    /// Waits until so many handshakes have ended so: a caller may know before it is counted.
    async fn shaken(&self, result: &str, count: u64) {
        let what = format!("{count} handshakes are {result}");
        let shaken = || (self.handshakes(result) == count).then_some(());
        eventually(&what, shaken).await;
    }

    /// How often handshakes ended so.
    fn handshakes(&self, result: &str) -> u64 {
        let handshakes = self.keyward.counted.handshakes();
        handshakes.get(result).copied().unwrap_or_default()
    }
}

/// A call with `key`.
fn call(key: &TestKey) -> String {
    last_call(key).replace("connection: close\r\n", "")
}

/// A call with `key` that ends its connection.
fn last_call(key: &TestKey) -> String {
    format!(
        "POST /models/m/predict HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\n{{}}",
        key.text
    )
}

/// Whether a caller of this kind comes through with a key.
async fn comes_through(doors: &Doors, config: &Arc<ClientConfig>, key: &TestKey) -> bool {
    let Ok(mut caller) = TlsCaller::connect(doors.addresses.proxy, config).await else {
        return false;
    };
    let answer = caller.exchange(last_call(key), "").await;
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}
