use http::Request;

use crate::credential::{CredentialLocation, SecretText, UnwritableSecret};

/// What we present to an upstream in place of the caller's key.
#[derive(Debug, Clone)]
pub struct UpstreamCredential(Option<Fixed>);

#[derive(Debug, Clone)]
struct Fixed {
    secret: SecretText,
    at: CredentialLocation,
}

impl UpstreamCredential {
    /// Nothing is presented.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// A secret of ours is put at `at`.
    ///
    /// # Errors
    ///
    /// When the secret cannot stand there.
    pub fn fixed(secret: SecretText, at: CredentialLocation) -> Result<Self, UnwritableSecret> {
        let (mut trial, ()) = Request::new(()).into_parts();
        at.write(&secret, &mut trial)?;
        Ok(Self(Some(Fixed { secret, at })))
    }

    /// Puts the secret where the upstream expects it, replacing what is there.
    pub(super) fn write(&self, request: &mut http::request::Parts) {
        if let Some(Fixed { secret, at }) = &self.0 {
            at.write(secret, request)
                .expect("it could be written when it was made, and has not changed");
        }
    }
}
