//! The handles of TLS: handshakes with callers, and certificates in files.

use metrics::{Counter, Gauge, Recorder};

use super::{register_counter, register_gauge};

/// How a handshake with a caller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsHandshake {
    /// Well, from the beginning.
    Full,
    /// Well, by going on with a session of before.
    Resumed,
    /// It took too long.
    TimedOut,
    /// The caller went away in its middle, or said nothing at all.
    Closed,
    /// The caller speaks something else, such as plain HTTP.
    NotTls,
    /// There is no version, cipher or protocol that both sides speak.
    Incompatible,
    /// The caller had to show a certificate, and had none.
    NoCertificate,
    /// The caller's certificate is none of those that are let in.
    BadCertificate,
    /// The caller refused us: it does not trust our certificate, as a rule.
    Rejected,
    /// Anything else that breaks the protocol.
    Failed,
}

impl TlsHandshake {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Full,
        Self::Resumed,
        Self::TimedOut,
        Self::Closed,
        Self::NotTls,
        Self::Incompatible,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Rejected,
        Self::Failed,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// What the data listener counts of TLS.
#[derive(Clone)]
pub struct TlsMetrics {
    handshakes: [Counter; TlsHandshake::ALL.len()],
}

impl TlsMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        Self {
            handshakes: TlsHandshake::ALL.map(|result| {
                let labels = [("result", result.as_str())];
                register_counter(recorder, "keyward_tls_handshakes_total", &labels)
            }),
        }
    }

    /// A handshake with a caller has ended so.
    pub fn shaken(&self, result: TlsHandshake) {
        self.handshakes[result as usize].increment(1);
    }
}

/// What is counted of the files of one certificate, named by the place of its settings.
#[derive(Clone)]
pub struct CertificateMetrics {
    expiry: Option<Gauge>,
    taken: Counter,
    kept: Counter,
}

impl CertificateMetrics {
    pub(super) fn register(recorder: &dyn Recorder, certificate: &str, is_shown: bool) -> Self {
        let labels = [("certificate", certificate)];
        let reloads = |result| {
            let labels = [("certificate", certificate), ("result", result)];
            register_counter(recorder, "keyward_tls_reloads_total", &labels)
        };
        Self {
            // Without a certificate there is no end of it, and 0 would be one.
            expiry: is_shown.then(|| {
                register_gauge(recorder, "keyward_tls_certificate_expiry_seconds", &labels)
            }),
            taken: reloads("taken"),
            kept: reloads("kept"),
        }
    }

    /// The certificate in force ends at this Unix time.
    pub fn ends(&self, unix_secs: i64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds of the next ten thousand years are far below 2^52"
        )]
        let end = unix_secs as f64;
        if let Some(expiry) = &self.expiry {
            expiry.set(end);
        }
    }

    /// The files have changed, and count.
    pub fn taken(&self) {
        self.taken.increment(1);
    }

    /// The files have changed and cannot be used; what was before still counts.
    pub fn kept(&self) {
        self.kept.increment(1);
    }
}
