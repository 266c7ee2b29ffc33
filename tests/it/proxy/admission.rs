//! Who may call what: one row for each rule, each with its status, its label, and what reached the upstream.
//!
//! A row is: the status, the outcome that is counted | the rule, named as in
//! SECURITY 3 | the request line without its version | headers. Names in braces stand for keys; one alone is a bearer
//! token. A `Host` and a `Content-Length: 0` are added where a row has none.

use std::collections::BTreeMap;

use keyward::key::KeyDigest;

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::store::new_secret;

/// Places and forms of credentials.
const CREDENTIALS: &str = r"
401 malformed_key        | C1 two headers                        | POST {alpha} | {every} | {scoped}
401 malformed_key        | C1 the same twice                     | POST {alpha} | {every} | {every}
401 malformed_key        | C1 joined by a comma                  | POST {alpha} | authorization: Bearer {every}, Bearer {scoped}
401 malformed_key        | C1 two places that differ             | POST {alpha} | {every} | x-api-key: {scoped}
401 malformed_key        | C1 a bad one beside a good one        | POST {alpha} | {every} | x-api-key: kw_
200 forwarded            | C1 two places that agree              | POST {alpha} | {every} | x-api-key: {every}
200 forwarded            | C2 lower case                         | POST {alpha} | authorization: bearer {every}
200 forwarded            | C2 upper case                         | POST {alpha} | AUTHORIZATION: BEARER {every}
200 forwarded            | C2 the other scheme                   | POST {alpha} | authorization: Api-Key {every}
200 forwarded            | C2 the other scheme in upper case     | POST {alpha} | authorization: API-KEY {every}
200 forwarded            | C2 space around the value             | POST {alpha} | authorization: {tab} Bearer {every} {tab}
401 malformed_key        | C2 two spaces                         | POST {alpha} | authorization: Bearer  {every}
401 malformed_key        | C2 a tab                              | POST {alpha} | authorization: Bearer{tab}{every}
401 missing_key          | C2 no space                           | POST {alpha} | authorization: Bearer{every}
401 malformed_key        | C2 a scheme alone                     | POST {alpha} | authorization: Bearer
200 forwarded            | C2 a configured header                | POST {alpha} | x-api-key: {every}
401 missing_key          | C3 nowhere                            | POST {alpha}
401 missing_key          | C3 in the query                       | POST {alpha}?api_key={every}&key={every}
401 missing_key          | C3 in a cookie                        | POST {alpha} | cookie: authorization={every}
401 missing_key          | C3 in Proxy-Authorization             | POST {alpha} | proxy-authorization: Bearer {every}
401 missing_key          | C3 in headers that are not configured | POST {alpha} | x-auth-token: {every} | api-key: {every} | x-goog-api-key: {every}
401 missing_key          | C3 in Basic                           | POST {alpha} | authorization: Basic {every}
400 ambiguous            | C3 in user information                | POST http://{every}@h{alpha}
401 missing_key          | C3 without a scheme                   | POST {alpha} | authorization: {every}
400 ambiguous            | C8 Connection names the credential    | POST {alpha} | {every} | connection: authorization
400 ambiguous            | C8 in another place                   | POST {alpha} | {every} | connection: keep-alive, X-Api-Key
400 ambiguous            | C8 Connection names an identity       | POST {alpha} | {every} | connection: x-keyward-org
400 ambiguous            | C8 in another spelling                | POST {alpha} | {every} | connection: close, X_Keyward_Org
200 forwarded            | C8 Connection names anything else     | POST {alpha} | {every} | connection: x-private
";

/// Keys that come near a good one, and keys that were good.
const KEYS: &str = r"
401 malformed_key        | C4 truncated                                | POST {alpha} | {truncated}
401 malformed_key        | C4 extended                                 | POST {alpha} | authorization: Bearer {every}0
401 malformed_key        | C4 in another case                          | POST {alpha} | {swapped}
401 malformed_key        | C4 the prefix alone                         | POST {alpha} | {prefix}
401 malformed_key        | C4 the prefix of one, the secret of another | POST {alpha} | {crossed}
401 unknown_key          | C4 well formed, and nobody's                | POST {alpha} | {nobody}
401 unknown_key          | C4 the hash of the secret                   | POST {alpha} | {digest}
401 unknown_key          | C4 SQL                                      | POST {alpha} | authorization: Bearer 'OR'1'='1'--
401 malformed_key        | C4 LIKE                                     | POST {alpha} | authorization: Bearer {prefix}.%
401 unknown_key          | C4 GLOB                                     | POST {alpha} | authorization: Bearer *
400 malformed_framing    | C4 NUL                                      | POST {alpha} | authorization: Bearer {every}{nul}
401 malformed_key        | C4 an 8-bit byte                            | POST {alpha} | authorization: Bearer {every}{8-bit}
401 malformed_key        | C4 longer than any key                      | POST {alpha} | {long}
401 key_disabled         | C6 switched off                             | POST {alpha} | {disabled}
401 key_expired          | C6 at its end                               | POST {alpha} | {expired}
401 unknown_key          | C6 deleted                                  | POST {alpha} | {deleted}
403 category_not_allowed | C6 a category that may not call             | POST {alpha} | {metrics}
403 category_not_allowed | C6 a category we do not know                | POST {alpha} | {future}
200 forwarded            | C6 a person's                               | POST {alpha} | {personal}
200 forwarded            | C6 a manager's                              | POST {alpha} | {manager}
401 unknown_key          | C6 the admin token                          | POST {alpha} | {admin}
";

/// Models, paths, methods and hosts, for a key that may call `alpha` and `meta-*`.
const SCOPES: &str = r"
200 forwarded            | S3 its model                           | POST {alpha} | {scoped}
403 model_not_allowed    | S3 another model                       | POST /models/beta/predict | {scoped}
403 model_not_named      | S3 a route that names no model         | GET /unnamed | {scoped}
200 forwarded            | S3 the same with a key for every model | GET /unnamed | {every}
404 no_route             | S3 no route                            | POST /models/alpha/reload | {scoped}
404 no_route             | S3 the root                            | GET / | {scoped}
403 model_not_allowed    | S12 another case                       | POST /models/Alpha/predict | {scoped}
403 model_not_allowed    | S12 longer                             | POST /models/alpha1/predict | {scoped}
403 model_not_allowed    | S12 shorter                            | POST /models/alph/predict | {scoped}
200 forwarded            | S12 a beginning                        | POST /models/meta-llama/predict | {scoped}
403 model_not_allowed    | S12 a beginning in another case        | POST /models/Meta-llama/predict | {scoped}
403 model_not_allowed    | S12 a beginning elsewhere              | POST /models/x-meta-llama/predict | {scoped}
403 model_not_allowed    | S15 an empty list                      | POST {alpha} | {none}
403 model_not_named      | S15 an empty list, no model            | GET /unnamed | {none}
400 ambiguous            | S1 an escaped letter                   | POST /models/%61lpha/predict | {scoped}
400 ambiguous            | S1 an escaped letter elsewhere         | POST /models/alpha/%70redict | {scoped}
400 ambiguous            | S1 an escaped slash                    | POST /models/alpha%2fpredict | {scoped}
400 ambiguous            | S1 an escaped slash in a model         | POST /models/alpha%2Fbeta/predict | {scoped}
400 ambiguous            | S1 an escaped backslash                | POST /models/alpha%5cbeta/predict | {scoped}
400 ambiguous            | S1 an escaped NUL                      | POST /models/alpha%00/predict | {scoped}
400 ambiguous            | S1 an escaped percent sign             | POST /models/alpha%2541/predict | {scoped}
400 ambiguous            | S1 an overlong slash                   | POST /models/alpha%c0%af/predict | {scoped}
400 ambiguous            | S1 %u                                  | POST /models/%u0061lpha/predict | {scoped}
400 ambiguous            | S1 two slashes                         | POST /models//alpha/predict | {scoped}
400 ambiguous            | S1 two slashes first                   | POST //models/alpha/predict | {scoped}
400 ambiguous            | S1 a closing slash                     | POST {alpha}/ | {scoped}
400 ambiguous            | S1 a parameter                         | POST /models/alpha;v=1/predict | {scoped}
400 ambiguous            | S1 a backslash                         | POST /models\alpha\predict | {scoped}
400 malformed_framing    | S1 a fragment                           | POST {alpha}#beta | {scoped}
400 malformed_framing    | S1 an 8-bit byte                       | POST /models/alph{8-bit}/predict | {scoped}
400 ambiguous            | S1 a closing dot                       | POST /models/alpha./predict | {scoped}
400 ambiguous            | S1 a closing space                     | POST /models/alpha%20/predict | {scoped}
400 malformed_framing    | S1 a raw space                         | POST /models/alpha /predict | {scoped}
400 ambiguous            | S2 up and down                         | POST /models/beta/../alpha/predict | {scoped}
400 ambiguous            | S2 down and up                         | POST /models/alpha/../beta/predict | {scoped}
400 ambiguous            | S2 escaped dots                        | POST /models/alpha/%2e%2e/beta/predict | {scoped}
400 ambiguous            | S2 a dot                               | POST /models/./alpha/predict | {scoped}
200 forwarded            | S5 the host names its model            | POST /production/predict | host: model-alpha.api.test | {scoped}
200 forwarded            | S5 in capitals                         | POST /production/predict | host: MODEL-Alpha.API.test | {scoped}
200 forwarded            | S5 with a closing dot                  | POST /production/predict | host: model-alpha.api.test. | {scoped}
200 forwarded            | S5 with a port                         | POST /production/predict | host: model-alpha.api.test:8443 | {scoped}
403 model_not_allowed    | S5 the host names another              | POST /production/predict | host: model-beta.api.test | {scoped}
400 ambiguous            | S5 a list                              | POST /production/predict | host: model-alpha.api.test, model-beta.api.test | {scoped}
400 ambiguous            | S5 user information                    | POST /production/predict | host: model-alpha@model-beta.api.test | {scoped}
400 malformed_framing    | S5 two hosts                           | POST /production/predict | host: model-alpha.api.test | host: model-beta.api.test | {scoped}
400 malformed_framing    | S5 two equal hosts                     | POST /production/predict | host: model-alpha.api.test | host: model-alpha.api.test | {scoped}
400 ambiguous            | S5 an escape                           | POST /production/predict | host: model-%61lpha.api.test | {scoped}
400 ambiguous            | S5 no host                             | POST {alpha} | host: | {scoped}
400 malformed_framing    | S5 no Host at all                      | POST {alpha} | Host: - | {scoped}
200 forwarded            | S5 a target that agrees                | POST http://model-alpha.api.test/production/predict | host: model-alpha.api.test | {scoped}
400 ambiguous            | S5 a target that differs               | POST http://model-alpha.api.test/production/predict | host: model-beta.api.test | {scoped}
400 ambiguous            | S5 a target that differs in its port   | POST http://h:81{alpha} | host: h:82 | {scoped}
200 forwarded            | S6 host and path agree                 | POST {alpha} | host: model-alpha.api.test | {scoped}
403 models_differ        | S6 host and path differ                | POST {alpha} | host: model-meta-x.api.test | {scoped}
403 models_differ        | S6 host and path differ, to the better | POST {alpha} | host: model-beta.api.test | {scoped}
403 models_differ        | S6 host and path differ, to the worse  | POST /models/beta/predict | host: model-alpha.api.test | {scoped}
403 models_differ        | S6 with a key for every model, too     | POST {alpha} | host: model-beta.api.test | {every}
400 ambiguous            | F12 another scheme                     | POST ftp://h{alpha} | host: h | {scoped}
405 no_route             | F13 CONNECT                            | CONNECT h:80 | {scoped}
405 no_route             | F13 TRACE                              | TRACE {alpha} | {scoped}
400 ambiguous            | F13 *                                  | OPTIONS * | {scoped}
200 forwarded            | C10 another path by a header           | POST {alpha} | x-original-url: /models/beta/predict | x-rewrite-url: /models/beta/predict | {scoped}
";

/// A route that takes every method (S4); for a key that may call `alpha` and `meta-*`.
const METHODS: &str = r"
200 forwarded            | GET                                     | GET /any/alpha | {scoped}
200 forwarded            | PUT                                     | PUT /any/alpha | {scoped}
200 forwarded            | DELETE                                  | DELETE /any/alpha | {scoped}
200 forwarded            | OPTIONS                                 | OPTIONS /any/alpha | {scoped}
200 forwarded            | BREW                                    | BREW /any/alpha | {scoped}
403 model_not_allowed    | GET, another model                      | GET /any/beta | {scoped}
403 model_not_allowed    | HEAD, another model                     | HEAD /any/beta | {scoped}
403 model_not_allowed    | PUT, another model                      | PUT /any/beta | {scoped}
403 model_not_allowed    | DELETE, another model                   | DELETE /any/beta | {scoped}
403 model_not_allowed    | OPTIONS, another model                  | OPTIONS /any/beta | {scoped}
403 model_not_allowed    | BREW, another model                     | BREW /any/beta | {scoped}
405 no_route             | post, which is another method than POST | post /only/alpha | {scoped}
405 no_route             | a method the route does not take        | GET /only/alpha | {scoped}
405 no_route             | an override                             | GET /only/alpha | x-http-method-override: POST | {scoped}
";

#[tokio::test]
async fn a_key_counts_in_its_places_and_nowhere_else() {
    let keyward = TestKeyward::start().await;
    check(&keyward, CREDENTIALS).await;
}

#[tokio::test]
async fn only_a_good_key_is_let_through() {
    let keyward = TestKeyward::start().await;
    check(&keyward, KEYS).await;
}

#[tokio::test]
async fn a_key_calls_its_models_by_no_other_reading_of_the_request() {
    // Of the built-in routes each names a model, or is shown to everybody.
    let keyward = TestKeyward::with(
        "proxy.profiles = [{ profile = \"baseten\" }]\n\
         proxy.routes = [{ path = \"/unnamed\", upstream = \"default\" }]\n",
    )
    .await;
    check(&keyward, SCOPES).await;
}

#[tokio::test]
async fn every_method_has_the_same_scope() {
    let keyward = TestKeyward::with(
        "[[proxy.routes]]\npath = \"/any/{model}\"\nupstream = \"default\"\n\
         [[proxy.routes]]\npath = \"/only/{model}\"\nmethods = [\"POST\"]\nupstream = \"default\"\n",
    )
    .await;
    check(&keyward, METHODS).await;
}

/// Sends every row of `table` on a connection of its own, and tells every one that was answered, counted or forwarded
/// otherwise.
async fn check(keyward: &TestKeyward, table: &str) {
    let keys = keys(keyward).await;
    let mut wrong = Vec::new();
    for row in table.trim().lines() {
        let mut parts = row.split(" | ").map(str::trim);
        let expected = parts.next().expect("split yields at least one");
        let request = spell(parts.skip(1), &keys);
        let before = Observed::of(keyward);
        let answer = keyward.raw().await.call(&request).await;
        let after = Observed::of(keyward);
        let observed = format!("{} {}", answer.status(), after.counted_since(&before));
        let reached = after.reached - before.reached;
        let should_reach = usize::from(expected.ends_with(" forwarded"));
        if observed != expected || reached != should_reach {
            wrong.push(format!(
                "{row}\n    {observed}, and {reached} reached the upstream"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What can be seen from outside of what became of requests.
struct Observed {
    outcomes: BTreeMap<String, u64>,
    reached: usize,
}

impl Observed {
    fn of(keyward: &TestKeyward) -> Self {
        Self {
            outcomes: keyward.counted.outcomes(),
            reached: keyward.upstream.requests().len(),
        }
    }

    /// The one outcome counted in between, or what else was.
    fn counted_since(&self, before: &Self) -> String {
        let mut new = Vec::new();
        for (outcome, count) in &self.outcomes {
            let more = count - before.outcomes.get(outcome).unwrap_or(&0);
            new.extend((0..more).map(|_| outcome.as_str()));
        }
        if new.is_empty() {
            return "-".to_owned();
        }
        new.join(",")
    }
}

/// Every key that a row can name, and its text.
async fn keys(keyward: &TestKeyward) -> Vec<(&'static str, String)> {
    let every = keyward.key().await;
    let scoped = keyward.key_for(&["alpha", "meta-*"]).await;
    let none = keyward.key_for(&["alpha"]).await;
    let (disabled, expired) = (keyward.key().await, keyward.key().await);
    let (deleted, future) = (keyward.key().await, keyward.key().await);
    keyward.delete_key(&deleted).await;
    let changes = [
        (&disabled, "disabled_at = unixepoch()"),
        (&expired, "expires_at = unixepoch()"),
        (&future, "category = 'WORKSPACE_FUTURE'"),
        (&none, "scope = '[]'"),
    ];
    for (key, change) in changes {
        let sql = format!(
            "UPDATE api_keys SET {change} WHERE prefix = '{}'",
            key.prefix
        );
        keyward.by_hand(&sql).await;
    }
    // The log is applied in order: what was changed last is known last.
    refused(keyward, &none).await;
    let metrics = keyward.create_key("WORKSPACE_EXPORT_METRICS", None).await;
    let personal = keyward.create_key("PERSONAL", None).await;
    let manager = keyward.create_key("WORKSPACE_MANAGE_ALL", None).await;
    let nobody = new_secret().reveal().to_owned();
    let secret_of = |text: &str| text.split_once('.').expect("a dot").1.to_owned();
    let swap = |c: char| {
        if c.is_ascii_uppercase() {
            c.to_ascii_lowercase()
        } else {
            c.to_ascii_uppercase()
        }
    };
    let digest = KeyDigest::of(every.text.as_bytes());
    let digest = digest.as_bytes().map(|byte| format!("{byte:02x}")).concat();
    vec![
        ("{truncated}", every.text[..every.text.len() - 1].to_owned()),
        (
            "{swapped}",
            format!(
                "{}.{}",
                every.prefix,
                secret_of(&every.text).chars().map(swap).collect::<String>()
            ),
        ),
        ("{prefix}", every.prefix.clone()),
        (
            "{crossed}",
            format!("{}.{}", every.prefix, secret_of(&nobody)),
        ),
        ("{nobody}", nobody),
        ("{digest}", digest),
        ("{long}", "k".repeat(513)),
        ("{disabled}", disabled.text),
        ("{expired}", expired.text),
        ("{deleted}", deleted.text),
        ("{future}", future.text),
        ("{metrics}", metrics.text),
        ("{personal}", personal.text),
        ("{manager}", manager.text),
        ("{admin}", crate::support::admin::TOKEN.to_owned()),
        ("{none}", none.text),
        ("{every}", every.text),
        ("{scoped}", scoped.text),
        ("{alpha}", "/models/alpha/predict".to_owned()),
        ("{tab}", "\t".to_owned()),
        ("{nul}", "\0".to_owned()),
        ("{8-bit}", "\u{e9}".to_owned()),
    ]
}

/// Waits until a key may not call `alpha`.
async fn refused(keyward: &TestKeyward, key: &TestKey) {
    while keyward.call(key, "alpha").await.status() == 200 {}
}

/// The bytes of a row's request.
fn spell<'r>(mut parts: impl Iterator<Item = &'r str>, keys: &[(&str, String)]) -> String {
    let line = parts.next().expect("a row has a request line");
    let headers: Vec<&str> = parts.collect();
    let mut request = format!("{line} HTTP/1.1\r\n");
    let names_host = |header: &&str| header.to_ascii_lowercase().starts_with("host:");
    if !headers.iter().any(names_host) {
        request.push_str("Host: h\r\n");
    }
    if line.starts_with('P') {
        request.push_str("Content-Length: 0\r\n");
    }
    for header in headers {
        if header.starts_with('{') {
            request.push_str("Authorization: Bearer ");
        }
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    for (name, text) in keys {
        request = request.replace(name, text);
    }
    // A request whose lack of a Host is what a row is about.
    request.replace("Host: -\r\n", "")
}
