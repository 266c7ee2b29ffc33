//! The keys of upstreams: what may be said of them, and what is shown.

use rstest::rstest;

use super::Settings;

fn told(text: &str) -> Vec<String> {
    let text = format!("upstreams.u.url = \"http://h:1\"\nupstreams.u.{text}\n");
    let mistakes = Settings::of(&text).mistakes();
    let of_keys = mistakes
        .lines()
        .filter_map(|line| line.split_once(": upstreams.u."));
    of_keys.map(|(_, said)| said.to_owned()).collect()
}

/// A key with these settings beside its id and its value.
fn with(settings: &str) -> String {
    format!(
        "keys = [{{ id = \"a\", value = \"env.PATH_OF_NOBODY\", enabled = false, {settings} }}]"
    )
}

#[rstest]
#[case::negative("-0.5")]
#[case::not_a_number("nan")]
#[case::infinite("inf")]
#[case::too_large("1_000_001")]
fn a_weight_is_a_number_that_calls_can_be_shared_by(#[case] weight: &str) {
    let said = told(&with(&format!("weight = {weight}")));
    assert_eq!(
        said,
        ["keys[0].weight: must be a number from 0 to 1_000_000"]
    );
}

#[rstest]
#[case::no_id("keys = [{ value = \"env.X\" }]", "keys[0]: lacks `id`")]
#[case::no_value("keys = [{ id = \"a\" }]", "keys[0]: lacks `value`")]
#[case::a_name(
    "keys = [{ id = \"a b\", value = { inline = \"x\" } }]",
    "keys[0].id: must be named by 1 to 64 letters, digits, `-`, `_` and `.`"
)]
#[case::twice(
    "keys = [{ id = \"a\", value = { inline = \"x\" } }, { id = \"a\", value = { inline = \"y\" } }]",
    "keys[1].id: is the id of `upstreams.u.keys[0]`, too"
)]
#[case::unset(
    "keys = [{ id = \"a\", value = \"env.NOWHERE\" }]",
    "keys[0].value: the environment variable `NOWHERE` is unset or empty"
)]
#[case::no_file(
    "keys = [{ id = \"a\", value = { file = \"nowhere\" } }]",
    "keys[0].value: cannot read the file `nowhere`: No such file or directory (os error 2)"
)]
#[case::a_secret_as_text(
    "keys = [{ id = \"a\", value = \"canary\" }]",
    "keys[0].value: must be `env.NAME`, or one of `{ file = … }`, `{ env = … }`, `{ inline = … }`"
)]
#[case::no_variable(
    "keys = [{ id = \"a\", value = \"env.\" }]",
    "keys[0].value: must be `env.NAME`, or one of `{ file = … }`, `{ env = … }`, `{ inline = … }`"
)]
#[case::unwritable(
    "keys = [{ id = \"a\", value = { inline = \"schlüssel\" } }]",
    "keys[0].value: the secret holds characters that cannot stand where it is to be put"
)]
#[case::a_pattern(
    "keys = [{ id = \"a\", value = { inline = \"x\" }, models = [\"m\", \"*m\"] }]",
    "keys[0].models[1]: a `*` may stand only at the end of a model id"
)]
#[case::another_cloud(
    "keys = [{ id = \"a\", value = { inline = \"x\" }, azure_key_config = {} }]",
    "keys[0].azure_key_config: is for `provider = \"azure\"`"
)]
#[case::another_word(
    "keys = [{ id = \"a\", value = { inline = \"x\" }, wieght = 1 }]",
    "keys[0].wieght: is no setting; did you mean `weight`?"
)]
#[case::beside_a_credential(
    "keys = [{ id = \"a\", value = { inline = \"x\" } }]\nupstreams.u.credential = { kind = \"fixed\", \
     secret = { inline = \"x\" }, at = { in = \"authorization\", schemes = [\"Bearer\"] } }",
    "keys: stand beside `credential`: say in one way what is presented"
)]
#[case::rests(
    "key_rules = { rest = \"1h\" }",
    "key_rules.longest_rest: must not be shorter than `rest`, the first one"
)]
#[case::attempts(
    "key_rules.attempts = 0",
    "key_rules.attempts: must be from 1 to 64 keys"
)]
#[case::provider(
    "provider = \"opnai\"",
    "provider: must be one of `openai`, `anthropic`, `azure`, `vertex`, `bedrock`, `huggingface`, `baseten`; did you mean `openai`?"
)]
fn a_mistake_has_its_path(#[case] text: &str, #[case] said: &str) {
    assert_eq!(told(text), [said]);
}

#[rstest]
#[case::azure_halves(
    "azure",
    "azure_key_config = { client_id = \"x\" }",
    &["keys[0]: lacks `value`, or `client_id`, `client_secret` and `tenant_id`",
      "keys[0].azure_key_config.client_secret: is missing: `client_id` needs it",
      "keys[0].azure_key_config.tenant_id: is missing: `client_id` needs it"]
)]
#[case::azure_elsewhere(
    "azure",
    "value = { inline = \"x\" }, azure_key_config = { endpoint = \"https://h:1\" }",
    &["keys[0].azure_key_config.endpoint: is not where the upstream's url leads; another resource is another upstream"]
)]
#[case::vertex_nowhere(
    "vertex",
    "vertex_key_config = { auth_credentials = { inline = \"{}\" } }",
    &["keys[0].vertex_key_config.auth_credentials: is no JSON of a service account",
      "keys[0].vertex_key_config.project_id: is missing: `auth_credentials` needs it",
      "keys[0].vertex_key_config.region: is missing: `auth_credentials` needs it"]
)]
#[case::bedrock_halves(
    "bedrock",
    "bedrock_key_config = { access_key = { inline = \"x\" }, session_token = { inline = \"x\" } }",
    &["keys[0]: lacks `value`, or `access_key` and `secret_key`",
      "keys[0].bedrock_key_config.secret_key: is missing: `access_key` needs it",
      "keys[0].bedrock_key_config.secret_key: is missing: `session_token` needs it"]
)]
#[case::bedrock_nowhere(
    "bedrock",
    "bedrock_key_config = { access_key = { inline = \"x\" }, secret_key = { inline = \"x\" } }",
    &["keys[0].bedrock_key_config.region: is missing: `secret_key` needs it"]
)]
#[case::tokens_of_nothing(
    "azure",
    "value = { inline = \"x\" }, tokens = { timeout = \"1s\" }",
    &["keys[0].tokens: are for keys that stand for some, by `client_secret` or `auth_credentials`"]
)]
#[case::tokens_in_the_open(
    "azure",
    "azure_key_config = { client_id = { inline = \"x\" }, client_secret = { inline = \"x\" }, tenant_id = { inline = \"x\" }, \
     token_url = \"http://h/token\" }, tokens = { tls = {} }",
    &["keys[0].tokens.tls: is for a `token_url` that begins with `https`"]
)]
#[case::tokens_of_nobody(
    "azure",
    "azure_key_config = { client_id = { inline = \"x\" }, client_secret = { inline = \"x\" }, tenant_id = { inline = \"x\" } }, \
     tokens = { timeout = \"0s\", tls = { ca = \"nowhere\" } }",
    &["keys[0].tokens.timeout: must be from 1ms to 24h",
      "keys[0].tokens.tls.ca: cannot read the file `nowhere`: No such file or directory (os error 2)"]
)]
fn what_a_cloud_needs_is_there_as_a_whole(
    #[case] provider: &str,
    #[case] settings: &str,
    #[case] said: &[&str],
) {
    let text =
        format!("provider = \"{provider}\"\nupstreams.u.keys = [{{ id = \"a\", {settings} }}]");
    assert_eq!(told(&text), said);
}

/// Every way of writing a value, and none of them in what is shown but its place.
const EVERYWHERE: &str = r#"
[upstreams.azure]
url = "https://h:1"
provider = "azure"
[[upstreams.azure.keys]]
id = "a"
value = { inline = "canary" }
[upstreams.azure.keys.azure_key_config]
client_id = "env.CLIENT"
client_secret = { inline = "canary" }
tenant_id = "a-tenant"
[upstreams.bedrock]
url = "https://h:2"
provider = "bedrock"
[[upstreams.bedrock.keys]]
id = "b"
bedrock_key_config = { access_key = { inline = "canary" }, secret_key = "env.SECRET", session_token = { inline = "canary" }, region = "us-east-1" }
[upstreams.vertex]
url = "https://h:3"
provider = "vertex"
[[upstreams.vertex.keys]]
id = "c"
enabled = false
vertex_key_config = { auth_credentials = { inline = "canary" }, project_id = "a-project", region = "europe-west1" }
[[proxy.routes]]
path = "/{rest}"
upstream = "azure"
"#;

#[test]
fn secrets_of_keys_are_in_no_debug_and_on_no_page() {
    let settings =
        Settings::of(EVERYWHERE).environment(&[("CLIENT", "canary"), ("SECRET", "canary")]);
    let loaded = settings.load().expect("no mistake");
    let [toml, with_origins] = [false, true].map(|origins| loaded.settings.to_toml(origins));
    for shown in [&toml, &with_origins] {
        for place in [
            "\"env.CLIENT\"",
            "\"env.SECRET\"",
            "\"a-tenant\"",
            "\"us-east-1\"",
            "inline = \"***\"",
        ] {
            assert!(shown.contains(place), "{place}: {shown}");
        }
    }
    for text in [
        format!("{loaded:?}"),
        toml,
        with_origins,
        loaded.settings.to_json(true).to_string(),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn keys_may_be_given_by_a_variable() {
    let list = "[{ id = \"a\", value = { inline = \"canary\" } }, { id = \"b\", value = \"env.B\", weight = 2 }]";
    let settings = Settings::of("upstreams.u.url = \"http://h:1\"\n")
        .environment(&[("KEYWARD_UPSTREAMS__U__KEYS", list), ("B", "canary")]);
    let loaded = settings.load().expect("no mistake");
    let keys = &loaded.config.upstreams[0].keys;
    assert_eq!((keys.len(), keys[1].weight.get()), (2, 2.0));
    let variable = keys[1].value.as_ref().expect("a value").variable.as_deref();
    assert_eq!(variable, Some("B"));
    assert!(!loaded.settings.to_toml(true).contains("canary"));
}
