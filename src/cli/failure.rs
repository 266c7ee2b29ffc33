//! Why a command failed, as far as its exit code tells (CONTRACTS 9).

use super::print::PrintError;
use crate::config::ConfigError;

/// Everything else than what the other codes name; errors of flags and of groups of flags.
pub const OTHER: u8 = 1;
/// A command that contradicts itself.
pub const USAGE: u8 = 2;

/// A failure with an exit code of its own. Any other error ends with [`OTHER`].
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command contradicts itself; its usage is shown.
    #[error("{0}")]
    Usage(String),
    /// The admin listener refused.
    #[error("keyward API error (HTTP {status}): {body}")]
    Api {
        /// Its status.
        status: u16,
        /// What it said, cut when long.
        body: String,
    },
    /// The registry refused, on the database itself.
    #[error("{message}")]
    Refused {
        /// The status that the admin listener would have answered with.
        status: u16,
        /// Why.
        message: String,
    },
    /// The jq expression ended itself with this code, or the answer asks for it: all is said.
    #[error("halted with {0}")]
    Halted(u8),
    /// Somebody pressed Ctrl-C, or the process was told to end.
    #[error("Canceled.")]
    Interrupted,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Api { status, .. } | Self::Refused { status, .. } => match status {
                401 | 403 => 3,
                404 => 4,
                400..=499 => 5,
                500..=599 => 6,
                _ => OTHER,
            },
            Self::Halted(code) => *code,
            Self::Interrupted => 130,
        }
    }
}

/// The exit code that `error` asks for.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if is_quiet(error) {
        return 0;
    }
    if error.is::<ConfigError>() {
        return USAGE;
    }
    error
        .downcast_ref::<Failure>()
        .map_or(OTHER, Failure::exit_code)
}

/// `error` and its causes, in one sentence. A cause that the sentence ends with already is not told again: some
/// libraries put it into their own message, too.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if told.is_empty() {
            told = cause;
        } else if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Whether `error` is no failure at all: nobody reads the output any more.
#[must_use]
pub fn is_quiet(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(PrintError::ReaderGone))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use rstest::rstest;

    use super::*;

    fn api(status: u16) -> Failure {
        Failure::Api {
            status,
            body: String::new(),
        }
    }

    #[rstest]
    #[case(Failure::Usage(String::new()), 2)]
    #[case(api(302), 1)]
    #[case(api(400), 5)]
    #[case(api(401), 3)]
    #[case(api(403), 3)]
    #[case(api(404), 4)]
    #[case(api(409), 5)]
    #[case(api(429), 5)]
    #[case(api(500), 6)]
    #[case(api(503), 6)]
    #[case(Failure::Refused { status: 404, message: String::new() }, 4)]
    #[case(Failure::Halted(7), 7)]
    #[case(Failure::Interrupted, 130)]
    fn a_failure_has_its_exit_code_in_any_context(#[case] failure: Failure, #[case] code: u8) {
        let result: Result<(), Failure> = Err(failure);
        let error = result.context("listing API keys").expect_err("an error");
        assert_eq!(exit_code(&error), code);
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("Connection refused")
            .context("migrating: Connection refused")
            .context("opening");
        assert_eq!(told(&error), "opening: migrating: Connection refused");
    }

    #[test]
    fn any_other_error_ends_with_one_and_a_gone_reader_with_zero() {
        assert_eq!(exit_code(&anyhow::anyhow!("no such profile")), 1);
        assert_eq!(exit_code(&PrintError::ReaderGone.into()), 0);
        let full = PrintError::Failed(std::io::ErrorKind::StorageFull.into());
        assert_eq!(exit_code(&full.into()), 1);
    }
}
