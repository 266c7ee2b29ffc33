//! Fetching the tokens that keys stand for, ahead of every call.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;

use super::jwt::{NoServiceAccount, ServiceAccount};
use super::place::encoded;
use super::token::{Fetched, Token};
use super::{Known, State};
use crate::clock::Clock;
use crate::credential::{CredentialLocation, SecretText};
use crate::telemetry::chain;
use crate::upstream::connect::{Opener, Place};
use crate::upstream::{
    AzureKey, CloudKey, Executor, Fleet, KeyValue, TokenRules, UpstreamCredential, UpstreamError,
    UpstreamKey, UpstreamLimits, UpstreamPlan, VertexKey,
};

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;
/// What a token of Entra is for, unless the key says otherwise: Azure's own models.
const AZURE_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// What a token of Google is for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Why a token was not fetched. Says nothing of what it was to be fetched with.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("the service account {0}")]
    Account(NoServiceAccount),
    #[error("where tokens are fetched is no url")]
    Url,
    #[error("who gives tokens does not answer")]
    Unanswered(#[source] UpstreamError),
    #[error("who gives tokens does not answer in time")]
    Late,
    #[error("who gives tokens answers {status}{}", code_text(.code.as_deref()))]
    Refused {
        status: StatusCode,
        code: Option<String>,
    },
    #[error("who gives tokens answers what is none")]
    Answer,
}

fn code_text(code: Option<&str>) -> String {
    code.map(|code| format!(" (`{code}`)")).unwrap_or_default()
}

/// What is asked.
struct Question {
    url: String,
    form: Vec<(&'static str, String)>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Complaint {
    error: String,
}

/// Fetches and renews the tokens of all keys of `plans` that stand for one; of other keys once there are other plans. Ends
/// when nobody can give others any more. Dropping the future leaves what was fetched.
pub async fn renew(
    fleet: Fleet,
    mut plans: watch::Receiver<Arc<[UpstreamPlan]>>,
    executor: impl Executor,
) {
    loop {
        let now = Arc::clone(&plans.borrow_and_update());
        let known = fleet.keys();
        let all = now.iter().flat_map(|plan| {
            let of = |key: &Arc<UpstreamKey>| (plan.name.clone(), Arc::clone(key));
            plan.keys.iter().map(of)
        });
        let kept = all
            .filter(|(_, key)| key.enabled && key.cloud.stands_for_a_token())
            .map(|(upstream, key)| keep(known, upstream, key, executor.clone()));
        let keeping = async {
            join_all(kept).await;
            // There was nothing to keep.
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            others = plans.changed() => if others.is_err() {
                return;
            },
            () = keeping => {}
        }
    }
}

/// Fetches one key's token again and again.
async fn keep(known: &Known, upstream: String, key: Arc<UpstreamKey>, executor: impl Executor) {
    let state: Arc<State> = known.state(&upstream, &key);
    let clock = known.clock.clone();
    let (Some(token), Some(rules)) = (&state.token, &key.tokens) else {
        return;
    };
    loop {
        token.due().await;
        let asked_at = clock.elapsed();
        let fetched = timeout(rules.timeout, fetch(&key, rules, &clock, &executor)).await;
        match fetched.unwrap_or(Err(NoToken::Late)) {
            Ok(fetched) => {
                token.fetched(fetched, asked_at);
                tracing::debug!(upstream, upstream.key = key.id, "token fetched");
            }
            Err(error) => tell(token, &upstream, &key.id, &error),
        }
    }
}

fn tell(token: &Token, upstream: &str, id: &str, error: &NoToken) {
    let attempts = token.failed();
    let error = chain(error);
    if token.is_good() {
        tracing::warn!(
            upstream,
            upstream.key = id,
            attempts,
            %error,
            "a token cannot be renewed; the one that is there is used until its end"
        );
    } else {
        tracing::error!(
            upstream,
            upstream.key = id,
            attempts,
            %error,
            "there is no token for a key; calls that need it are answered with 502"
        );
    }
}

async fn fetch(
    key: &UpstreamKey,
    rules: &TokenRules,
    clock: &Clock,
    executor: &impl Executor,
) -> Result<Fetched, NoToken> {
    let question = key.question(clock)?;
    let url: Uri = question.url.parse().map_err(|_| NoToken::Url)?;
    let host = url.authority().ok_or(NoToken::Url)?.as_str();
    let host = HeaderValue::from_str(host).map_err(|_| NoToken::Url)?;
    let tls = match url.scheme_str() {
        Some("https") => Some(Arc::clone(&rules.tls)),
        Some("http") => None,
        _ => return Err(NoToken::Url),
    };
    let limits = UpstreamLimits {
        connect_timeout: rules.timeout,
        ..UpstreamLimits::default()
    };
    let form: Vec<String> = question
        .form
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let mut request = Request::new(Full::new(Bytes::from(form.join("&"))));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url
        .path_and_query()
        .cloned()
        .map_or_else(Uri::default, Uri::from);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    let opener = Opener::new(&limits, Place::at(url, tls), executor);
    let answer = opener.ask(request).await.map_err(NoToken::Unanswered)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER);
    let body = body.collect().await.map_err(|_| NoToken::Answer)?;
    read(status, &body.to_bytes())
}

fn read(status: StatusCode, body: &[u8]) -> Result<Fetched, NoToken> {
    if !status.is_success() {
        // One of the words of RFC 6749, 5.2, and not whatever text there is.
        let is_word = |code: &String| {
            code.len() <= 64
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let complaint = serde_json::from_slice(body).ok();
        let code = complaint.map(|Complaint { error }| error).filter(is_word);
        return Err(NoToken::Refused { status, code });
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| NoToken::Answer)?;
    let text = SecretText::new(answer.access_token);
    let can_stand = UpstreamCredential::fixed(text.clone(), bearer()).is_ok();
    if !can_stand || text == SecretText::new(String::new()) || answer.expires_in == 0 {
        return Err(NoToken::Answer);
    }
    // A day is long for a token, and short for a clock.
    let life = Duration::from_secs(answer.expires_in.min(24 * 3_600));
    Ok(Fetched { text, life })
}

/// Where a token is put.
pub(super) fn bearer() -> CredentialLocation {
    CredentialLocation::Authorization {
        schemes: vec!["Bearer".to_owned()],
    }
}

impl UpstreamKey {
    fn question(&self, clock: &Clock) -> Result<Question, NoToken> {
        match &self.cloud {
            CloudKey::Azure(key) => Ok(entra(key)),
            CloudKey::Vertex(key) => google(key, clock),
            CloudKey::None | CloudKey::Bedrock(_) | CloudKey::Huggingface(_) => Err(NoToken::Url),
        }
    }
}

/// The grant of client credentials (Microsoft identity platform, "OAuth 2.0 client credentials flow").
fn entra(key: &AzureKey) -> Question {
    let tenant = encoded(&text(key.tenant_id.as_ref()));
    let default = || format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
    let scope = match &*key.scopes {
        [] => AZURE_SCOPE.to_owned(),
        scopes => scopes.join(" "),
    };
    Question {
        url: key.token_url.clone().unwrap_or_else(default),
        form: vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", text(key.client_id.as_ref())),
            ("client_secret", text(key.client_secret.as_ref())),
            ("scope", scope),
        ],
    }
}

fn google(key: &VertexKey, clock: &Clock) -> Result<Question, NoToken> {
    let account = ServiceAccount::read(&text(key.auth_credentials.as_ref()));
    let account = account.map_err(NoToken::Account)?;
    let assertion = account.assertion(GOOGLE_SCOPE, clock.unix_time());
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
    Ok(Question {
        form: vec![
            ("grant_type", grant),
            ("assertion", assertion.map_err(NoToken::Account)?),
        ],
        url: account.token_uri,
    })
}

fn text(value: Option<&KeyValue>) -> String {
    value.map_or_else(String::new, |value| {
        value.secret.current().reveal().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        200,
        r#"{"access_token":"t","expires_in":3600,"token_type":"Bearer"}"#,
        ""
    )]
    #[case(
        200,
        r#"{"access_token":"","expires_in":3600}"#,
        "answers what is none"
    )]
    #[case(
        200,
        r#"{"access_token":"a\nb","expires_in":3600}"#,
        "answers what is none"
    )]
    #[case(200, r#"{"access_token":"t","expires_in":0}"#, "answers what is none")]
    #[case(200, r#"{"access_token":"t"}"#, "answers what is none")]
    #[case(200, "canary", "answers what is none")]
    #[case(
        401,
        r#"{"error":"invalid_client","error_description":"canary"}"#,
        "answers 401 Unauthorized (`invalid_client`)"
    )]
    #[case(400, r#"{"error":"canary with a secret"}"#, "answers 400 Bad Request")]
    #[case(500, "canary", "answers 500 Internal Server Error")]
    fn an_answer_is_a_token_or_says_why_not(
        #[case] status: u16,
        #[case] body: &str,
        #[case] said: &str,
    ) {
        let read = read(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let told = read.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(told.ends_with(said) && !told.contains("canary"), "{told}");
        assert_eq!(told.is_empty(), said.is_empty());
    }
}
