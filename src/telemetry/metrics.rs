//! The handles of every metric: a struct of ready ones for each room. What each means stands in `describe.rs`.
//!
//! Rooms call methods named after events; no hot code formats a name or looks up a label. Labels come from closed
//! sets and never hold a key, a prefix, a model, a path or an address (SECURITY X5). Every series exists from the
//! start, so that `rate()` sees the first failure.

mod access;
mod admin;
mod cache;
mod proxy;
mod server;
mod store;
mod tls;
mod upstream;
mod usage;

pub use access::{AccessLogMetrics, AccessLogResult};
pub use admin::{AdminCommand, AdminMetrics};
pub use cache::{CacheMetrics, RefillReason, SealLoad, SealWrite};
pub use proxy::{ProxyMetrics, RequestOutcome, WebSocketEnd};
pub use server::ServerMetrics;
pub use store::{StoreMetrics, StoreQuery};
pub use tls::{CertificateMetrics, TlsHandshake, TlsMetrics};
pub use upstream::{
    KeyUse, UpstreamFailure, UpstreamKeyMetrics, UpstreamMetrics, UpstreamServerMetrics,
};
pub use usage::UsageMetrics;

use metrics::{Counter, Gauge, Histogram, Recorder};

macro_rules! series {
    ($register:ident, $handle:ty) => {
        fn $register(
            recorder: &dyn Recorder,
            name: &'static str,
            labels: &[(&'static str, &str)],
        ) -> $handle {
            let labels: Vec<metrics::Label> = labels
                .iter()
                .map(|(label, value)| metrics::Label::new(*label, (*value).to_owned()))
                .collect();
            let key = metrics::Key::from_parts(name, labels);
            let metadata = metrics::Metadata::new(module_path!(), metrics::Level::INFO, None);
            recorder.$register(&key, &metadata)
        }
    };
}
series!(register_counter, Counter);
series!(register_gauge, Gauge);
series!(register_histogram, Histogram);

/// The ready handles of every room.
#[derive(Clone)]
pub struct Metrics {
    /// For `proxy`.
    pub proxy: ProxyMetrics,
    /// For TLS towards callers.
    pub tls: TlsMetrics,
    /// For `cache`.
    pub cache: CacheMetrics,
    /// For `store`.
    pub store: StoreMetrics,
    /// For `usage`.
    pub usage: UsageMetrics,
    /// For the log of calls.
    pub access_log: AccessLogMetrics,
    /// For `server`.
    pub server: ServerMetrics,
    recorder: std::sync::Arc<dyn Recorder + Send + Sync>,
}

impl Metrics {
    /// Registers every series with `recorder`, at zero.
    #[must_use]
    pub fn register(recorder: std::sync::Arc<dyn Recorder + Send + Sync>) -> Self {
        Self {
            proxy: ProxyMetrics::register(&*recorder),
            tls: TlsMetrics::register(&*recorder),
            cache: CacheMetrics::register(&*recorder),
            store: StoreMetrics::register(&*recorder),
            usage: UsageMetrics::register(&*recorder),
            access_log: AccessLogMetrics::register(&*recorder),
            server: ServerMetrics::register(&*recorder),
            recorder,
        }
    }

    /// Says what is running: the one series of `keyward_build_info`.
    pub(super) fn build(&self, version: &str, revision: &str) {
        let labels = [("version", version), ("revision", revision)];
        register_gauge(&*self.recorder, "keyward_build_info", &labels).set(1.0);
    }

    /// Handles that count nothing: for the command line, and for tests that look elsewhere.
    #[must_use]
    pub fn unrecorded() -> Self {
        Self::register(std::sync::Arc::new(metrics::NoopRecorder))
    }

    /// The handles for the admin dialect called `name`.
    #[must_use]
    pub fn admin(&self, name: &str) -> AdminMetrics {
        AdminMetrics::register(&*self.recorder, name)
    }

    /// The handles for the files of certificates whose settings stand at `place`, such as `proxy.tls`; with its end when
    /// one of ours `is_shown` there.
    #[must_use]
    pub fn certificate(&self, place: &str, is_shown: bool) -> CertificateMetrics {
        CertificateMetrics::register(&*self.recorder, place, is_shown)
    }

    /// The handles for the upstream called `name` in the settings.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics::register(&*self.recorder, name)
    }

    /// The handles for `server` of the upstream called `upstream` in the settings.
    #[must_use]
    pub fn upstream_server(&self, upstream: &str, server: &str) -> UpstreamServerMetrics {
        UpstreamServerMetrics::register(&*self.recorder, upstream, server)
    }

    /// The handles for the key `id` of the upstream called `upstream` in the settings.
    #[must_use]
    pub fn upstream_key(&self, upstream: &str, id: &str) -> UpstreamKeyMetrics {
        UpstreamKeyMetrics::register(&*self.recorder, upstream, id)
    }
}
