use std::io;
use std::path::PathBuf;

/// Why certificates and keys cannot be used. No message holds anything of what a file does.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the file `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Which setting names it.
        setting: &'static str,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A file does not hold what it must.
    #[error("the file `{}` {what}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// Which setting names it.
        setting: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key is not that of the certificate.
    #[error("the key in `{}` is not that of the certificate in `{}`", key.display(), certificate.display())]
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// Only one of two settings is there that need each other.
    #[error("{what}")]
    Setting {
        /// Which of the two is at fault.
        setting: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What was read cannot be used for TLS.
    #[error("TLS cannot be set up")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TlsError {
    /// The setting, of those that name files, that is at fault.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Read { setting, .. }
            | Self::Content { setting, .. }
            | Self::Setting { setting, .. } => setting,
            Self::Mismatch { .. } => "key",
            Self::Unusable(_) => "certificate",
        }
    }
}
