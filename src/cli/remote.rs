//! Keys through the admin listener, in the Baseten dialect (CONTRACTS 6).

use anyhow::{Context as _, anyhow};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Common;
use super::failure::Failure;
use super::http::{BaseUrl, Http, segment};
use super::keys::{
    ApiKeyItem, ApiKeys, AuditLogs, CreatedKey, DeletedKey, KeyQuery, KeyRequest, PAGE, RotatedKey,
    Team, Teams, WaitFor,
};
use super::session::Server;
use crate::credential::SecretText;

/// The admin listener, and the right to ask it.
pub struct Remote {
    http: Http,
    url: BaseUrl,
}

impl Remote {
    /// A client of `server`. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the credential cannot stand in a header.
    pub fn new(server: &Server, common: &Common) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization(&server.api_key)?);
        Ok(Self {
            http: Http::new(headers, common.timeout(), common.verbose)?,
            url: server.url.clone(),
        })
    }

    pub(super) async fn page(
        &self,
        query: &KeyQuery,
        cursor: Option<&str>,
    ) -> anyhow::Result<ApiKeys> {
        let mut asked = Vec::new();
        if let Some(category) = query.category {
            asked.push(format!("type={category}"));
        }
        if let Some(team) = &query.team {
            asked.push(format!("team_id={}", segment(team)));
        }
        if query.life {
            asked.push("life=true".to_owned());
        }
        asked.push(format!("limit={PAGE}"));
        if let Some(cursor) = cursor {
            asked.push(format!("cursor={}", segment(cursor)));
        }
        self.get(&with_query("/v1/api_keys", &asked)).await
    }

    /// An extension of ours, as [`Self::switch`] is.
    pub(super) async fn find(&self, prefix: &str) -> anyhow::Result<ApiKeyItem> {
        self.get(&format!("/v1/api_keys/{}", segment(prefix))).await
    }

    pub(super) async fn switch(
        &self,
        prefix: &str,
        enabled: bool,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<ApiKeyItem> {
        let path = format!("/v1/api_keys/{}", segment(prefix));
        let body = serde_json::to_vec(&json!({ "enabled": enabled }))?;
        self.ask(Method::PATCH, &waiting(path, wait), Some(body))
            .await
    }

    pub(super) async fn rotate(
        &self,
        prefix: &str,
        grace_secs: u64,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<RotatedKey> {
        let path = format!("/v1/api_keys/{}/rotate", segment(prefix));
        let mut asked = Vec::new();
        if grace_secs > 0 {
            asked.push(format!("grace={grace_secs}"));
        }
        asked.extend(wait.map(|wait| format!("wait={}", word(wait))));
        self.ask(Method::POST, &with_query(&path, &asked), None)
            .await
    }

    pub(super) async fn create(
        &self,
        key: &KeyRequest,
        team: Option<&str>,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<CreatedKey> {
        let path = match team {
            Some(team) => format!("/v1/teams/{}/api_keys", segment(team)),
            None => "/v1/api_keys".to_owned(),
        };
        self.post(&waiting(path, wait), key).await
    }

    pub(super) async fn delete(
        &self,
        prefix: &str,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<DeletedKey> {
        let path = format!("/v1/api_keys/{}", segment(prefix));
        self.ask(Method::DELETE, &waiting(path, wait), None).await
    }

    pub(super) async fn audit(
        &self,
        limit: usize,
        cursor: Option<u64>,
    ) -> anyhow::Result<AuditLogs> {
        let mut asked = vec![format!("limit={limit}")];
        asked.extend(cursor.map(|cursor| format!("cursor={cursor}")));
        self.get(&with_query("/v1/audit_logs", &asked)).await
    }

    pub(super) async fn teams(&self) -> anyhow::Result<Teams> {
        self.get("/v1/teams").await
    }

    /// An extension of ours: the dialect's original has no such call.
    pub(super) async fn create_team(&self, name: &str) -> anyhow::Result<Team> {
        self.post("/v1/teams", &json!({ "name": name })).await
    }

    /// Asks who the credential belongs to, and so whether it is good.
    pub(super) async fn me(&self) -> anyhow::Result<serde_json::Value> {
        self.get("/v1/users/me").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, Some(serde_json::to_vec(body)?))
            .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<T> {
        let url = self.url.join(path);
        let reply = self.http.ask(method, &url, body).await?;
        if reply.status != StatusCode::OK {
            return Err(Failure::Api {
                status: reply.status.as_u16(),
                body: reply.text(),
            }
            .into());
        }
        // serde's own message may quote a value, and the value may be a new key.
        serde_json::from_slice(&reply.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow!(
                "the answer of {url} is not what keyward answers (line {line}, column {column})"
            )
        })
    }
}

/// `path`, and for whom the answer is to wait.
fn waiting(path: String, wait: Option<WaitFor>) -> String {
    match wait {
        None => path,
        Some(wait) => format!("{path}?wait={}", word(wait)),
    }
}

const fn word(wait: WaitFor) -> &'static str {
    match wait {
        WaitFor::Instance => "instance",
        WaitFor::All => "all",
    }
}

fn with_query(path: &str, asked: &[String]) -> String {
    match asked {
        [] => path.to_owned(),
        asked => format!("{path}?{}", asked.join("&")),
    }
}

fn authorization(key: &SecretText) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Api-Key {}", key.reveal()))
        .ok()
        .context("the API key holds characters that no key has")?;
    value.set_sensitive(true);
    Ok(value)
}
