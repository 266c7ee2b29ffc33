//! Who gives tokens, behind a certificate of an authority that few trust.

use serde_json::json;

use super::{ROUTES, call, chat, service_account, token};
use crate::support::keyward::KeywardProcess;
use crate::support::tls::{Authority, Folder, TlsSide, serving, serving_only};
use crate::support::upstream::{FakeUpstream, Gate};
use crate::support::{eventually, within};

/// Who gives tokens inside TLS, and a folder with `ca.crt`, the authority that issued its certificate.
struct Giver {
    tokens: FakeUpstream,
    side: TlsSide,
    authority: Authority,
    folder: Folder,
}

impl Giver {
    async fn start() -> Self {
        let authority = Authority::called("authority of the cloud");
        let config = serving(&authority.server());
        Self::with(authority, config).await
    }

    async fn with(authority: Authority, config: rustls::ServerConfig) -> Self {
        let tokens = FakeUpstream::start();
        tokens.on("/token", token("of-the-cloud"));
        let side = TlsSide::before(tokens.address(), config).await;
        let folder = Folder::with(&authority.caller());
        folder.write("ca.crt", &authority.certificate);
        Self {
            tokens,
            side,
            authority,
            folder,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/token", self.side.address.port())
    }

    /// Settings of one key of Azure, with these of how its tokens are fetched.
    fn azure(&self, tokens: &str) -> String {
        let url = self.url();
        format!(
            r#"server.certificates_every = "5ms"
upstreams.default.url = "{{upstream}}"
upstreams.default.provider = "azure"
[[upstreams.default.keys]]
id = "a"
[upstreams.default.keys.azure_key_config]
client_id = "an application"
client_secret = {{ inline = "a&secret" }}
tenant_id = "tenant"
token_url = "{url}"
[upstreams.default.keys.tokens]
{tokens}
{ROUTES}"#
        )
    }

    fn ca(&self) -> String {
        format!("tls.ca = \"{}\"\n", self.folder.path("ca.crt").display())
    }
}

async fn status(keyward: &KeywardProcess) -> u16 {
    let key = keyward.key().await;
    let answer = call(keyward, chat(&key, r#"{"model":"gpt-4o"}"#)).await;
    answer.status()
}

async fn until_said(keyward: &KeywardProcess, what: &str) {
    eventually("the log says why", || {
        keyward.said().contains(what).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_come_from_whoever_an_authority_of_the_settings_vouches_for() {
    let giver = Giver::start().await;
    let keyward = KeywardProcess::start(&giver.azure(&giver.ca())).await;
    assert_eq!(status(&keyward).await, 200, "{}", keyward.said());
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header("authorization"), Some("Bearer of-the-cloud"));
    assert_eq!(giver.side.shaken().len(), 1);
}

#[tokio::test]
async fn nobody_else_is_told_the_secret() {
    let giver = Giver::start().await;
    let other = Authority::called("authority of the cloud");
    let other = giver.folder.write("other.crt", &other.certificate);
    // Mozilla's list does not vouch for it, nor does another authority; nor is its name another one.
    for tokens in [
        String::new(),
        format!("tls.ca = \"{}\"", other.display()),
        format!("{}tls.server_name = \"elsewhere\"", giver.ca()),
    ] {
        let keyward = KeywardProcess::start(&giver.azure(&tokens)).await;
        assert_eq!(status(&keyward).await, 502, "{tokens}");
        until_said(&keyward, "invalid peer certificate").await;
        assert!(!keyward.said().contains("a&secret"));
        assert!(keyward.upstream.requests().is_empty());
    }
    assert!(giver.tokens.requests().is_empty(), "no secret went there");
    assert!(giver.side.shaken().is_empty());
}

/// A service account names where its tokens are given, so its settings say only whom to trust there.
#[tokio::test]
async fn a_service_account_is_met_in_the_same_way() {
    let giver = Giver::start().await;
    let (account, _) = service_account(&giver.tokens);
    let mut account: serde_json::Value = serde_json::from_str(&account).expect("JSON");
    account["token_uri"] = json!(giver.url());
    let file = giver.folder.write("account.json", &account.to_string());
    for (tokens, expected) in [(String::new(), 502), (giver.ca(), 200)] {
        let settings = format!(
            r#"upstreams.default.url = "{{upstream}}"
upstreams.default.provider = "vertex"
[[upstreams.default.keys]]
id = "a"
[upstreams.default.keys.vertex_key_config]
project_id = "my-project"
region = "europe-west1"
auth_credentials = {{ file = "{}" }}
[upstreams.default.keys.tokens]
{tokens}
{ROUTES}"#,
            file.display()
        );
        let keyward = KeywardProcess::start(&settings).await;
        assert_eq!(status(&keyward).await, expected, "{}", keyward.said());
    }
}

#[tokio::test]
async fn who_gives_tokens_may_ask_for_a_certificate_of_ours() {
    let authority = Authority::called("authority of the cloud");
    let config = serving_only(&authority.server(), &authority);
    let giver = Giver::with(authority, config).await;
    let keyward = KeywardProcess::start(&giver.azure(&giver.ca())).await;
    assert_eq!(status(&keyward).await, 502);
    let shown = giver.ca() + &giver.folder.settings("tls");
    let keyward = KeywardProcess::start(&giver.azure(&shown)).await;
    assert_eq!(status(&keyward).await, 200, "{}", keyward.said());
    let shaken = giver.side.shaken();
    assert!(shaken[0].certificate.is_some(), "{shaken:?}");
    // When it ends is known as of any other certificate of ours.
    let ends = keyward
        .metric("keyward_tls_certificate_expiry_seconds{certificate=\"upstreams.default.keys[0].tokens.tls\"}")
        .await;
    assert!(ends > 0.0, "{ends}");
}

#[tokio::test]
async fn another_authority_in_the_file_is_trusted_at_the_next_attempt() {
    let giver = Giver::start().await;
    let ca = Authority::called("authority of before").certificate;
    giver.folder.write("ca.crt", &ca);
    let keyward = KeywardProcess::start(&giver.azure(&giver.ca())).await;
    assert_eq!(status(&keyward).await, 502);
    giver.folder.write("ca.crt", &giver.authority.certificate);
    within("the next attempts fetch one", async {
        while status(&keyward).await != 200 {}
    })
    .await;
}

/// One that says nothing is given up after the time that the settings say; the call does not wait for ever.
#[tokio::test]
async fn an_attempt_ends_after_the_time_that_the_settings_say() {
    let giver = Giver::start().await;
    giver
        .tokens
        .on("/token", token("late").behind(&Gate::closed()));
    let settings = giver.azure(&format!("timeout = \"200ms\"\n{}", giver.ca()));
    let keyward = KeywardProcess::start(&settings).await;
    assert_eq!(status(&keyward).await, 502);
    until_said(&keyward, "who gives tokens does not answer").await;
}
