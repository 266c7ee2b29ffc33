//! The assertion by which a service account of Google asks for a token (RFC 7523; "Using OAuth 2.0 for Server to Server
//! Applications").

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use crate::key::UnixTime;

/// How long an assertion is good for, in seconds: the longest that is taken.
const LIFE_SECS: u64 = 3_600;

/// The file that Google gives for a service account, as far as it is needed.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    /// Where tokens are fetched.
    pub(super) token_uri: String,
}

/// It is no such file. Says nothing of what it holds.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoServiceAccount {
    #[error("is no JSON of a service account")]
    Json,
    #[error("holds a private key that cannot be used")]
    Key,
}

impl ServiceAccount {
    /// Reads the file.
    pub(super) fn read(text: &str) -> Result<Self, NoServiceAccount> {
        let account: Self = serde_json::from_str(text).map_err(|_| NoServiceAccount::Json)?;
        account.key()?;
        Ok(account)
    }

    /// The assertion that asks for a token for `scope`, at `now`.
    pub(super) fn assertion(&self, scope: &str, now: UnixTime) -> Result<String, NoServiceAccount> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.private_key_id {
            header["kid"] = json!(id);
        }
        let claims = json!({
            "iss": self.client_email,
            "scope": scope,
            "aud": self.token_uri,
            "iat": now.as_secs(),
            "exp": now.as_secs() + LIFE_SECS,
        });
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let key = self.key()?;
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .map_err(|_| NoServiceAccount::Key)?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        Ok(format!("{signed}.{signature}"))
    }

    fn key(&self) -> Result<RsaKeyPair, NoServiceAccount> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes());
        let der = der.map_err(|_| NoServiceAccount::Key)?;
        RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| NoServiceAccount::Key)
    }
}
