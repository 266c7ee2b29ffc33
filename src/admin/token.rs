use std::fmt;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq;

use crate::credential::SecretText;
use crate::key::{KeyDigest, MalformedKey, NewSecret, PresentedKey};
use crate::registry::{KeyRegistry, RefusalKind, RegistryError, draw_admin_token};

/// The admin token, known by its digest alone.
#[derive(Clone, Copy)]
pub struct AdminToken(KeyDigest);

impl AdminToken {
    /// The token with this digest.
    #[must_use]
    pub const fn new(digest: KeyDigest) -> Self {
        Self(digest)
    }

    /// Whether `presented` is the digest of the token. Takes the same time either way.
    #[must_use]
    pub fn is(&self, presented: &KeyDigest) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(***)")
    }
}

/// The admin token, from the moment it is known. Cheap to copy; every copy is the same.
///
/// A token that the settings do not give is known to the database alone: while that is away since the start, nobody
/// can say which token is right, so nobody is told that his is wrong.
#[derive(Debug, Clone, Default)]
pub struct TokenInForce(Arc<OnceLock<AdminToken>>);

impl TokenInForce {
    /// The token, once it is known.
    #[must_use]
    pub fn get(&self) -> Option<AdminToken> {
        self.0.get().copied()
    }

    /// From now on it is `token`, for good.
    pub fn set(&self, token: AdminToken) {
        // One task finds it out, once; were there two, both would have read the same.
        let _ = self.0.set(token);
    }
}

impl From<AdminToken> for TokenInForce {
    fn from(token: AdminToken) -> Self {
        Self(Arc::new(token.into()))
    }
}

/// The admin token in force, and its text when it was made just now: to be shown once, by whoever starts us.
#[derive(Debug)]
pub struct EnsuredToken {
    /// The token.
    pub token: AdminToken,
    /// Its text, which nobody has seen yet.
    pub shown: Option<NewSecret>,
}

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody could ever present it.
    #[error("the admin token set is not 1 to 512 visible ASCII characters, or is a damaged key")]
    Unusable(#[source] MalformedKey),
    /// The database did not answer, or there was no randomness.
    #[error("cannot keep an admin token")]
    Registry(#[source] RegistryError),
}

impl TokenError {
    /// Whether asking again may help, because it is the database that did not answer.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Registry(error) if matches!(error.kind(), RefusalKind::Unavailable))
    }
}

/// The admin token: the `configured` one; else the one that was kept; else a new one, kept now.
///
/// A configured token is not kept: without it, the next start goes back to the kept one. When two processes start at
/// once on one database, one of them makes the token and shows it.
///
/// # Errors
///
/// When the configured text cannot be a token, or the database does not answer.
pub async fn ensure_token(
    registry: &KeyRegistry,
    configured: Option<SecretText>,
) -> Result<EnsuredToken, TokenError> {
    if let Some(configured) = configured {
        let presented = PresentedKey::parse(configured.reveal().as_bytes());
        return Ok(EnsuredToken {
            token: AdminToken(presented.map_err(TokenError::Unusable)?.digest()),
            shown: None,
        });
    }
    if let Some(kept) = registry.admin_token().await.map_err(TokenError::Registry)? {
        return Ok(EnsuredToken {
            token: AdminToken(kept),
            shown: None,
        });
    }
    let made = draw_admin_token().map_err(TokenError::Registry)?;
    let digest = made.digest();
    let kept = registry.keep_admin_token(&digest).await;
    let kept = kept.map_err(TokenError::Registry)?;
    Ok(EnsuredToken {
        token: AdminToken(kept),
        shown: (kept == digest).then_some(made),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_whole_digest_and_never_printed() {
        let token = AdminToken::new(KeyDigest::of(b"right"));
        let mut near = *KeyDigest::of(b"right").as_bytes();
        near[31] ^= 1;
        assert!(token.is(&KeyDigest::of(b"right")));
        assert!(!token.is(&KeyDigest::from_bytes(near)));
        assert_eq!(format!("{token:?}"), "AdminToken(***)");
    }
}
