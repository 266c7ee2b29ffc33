//! `org api-key explain`: what the data listener would say, and by which rule.

use rstest::rstest;
use snapbox::{assert_data_eq, str};

use super::shell::{Ran, Server, Shell};

/// A database with keys of several sorts, and settings with routes.
struct Explained {
    shell: Shell,
    url: String,
}

impl Explained {
    fn new() -> Self {
        let (shell, url) = Shell::with_database();
        let settings = "\
            [upstreams.gpu]\n\
            url = \"http://127.0.0.1:9\"\n\
            [[proxy.routes]]\n\
            path = \"/v1/chat/completions\"\n\
            methods = [\"POST\"]\n\
            model_in = [\"body\"]\n\
            upstream = \"gpu\"\n\
            [[proxy.routes]]\n\
            path = \"/models/{model}/{rest}\"\n\
            upstream = \"gpu\"\n";
        std::fs::write(shell.path("keyward.toml"), settings).unwrap();
        let explained = Self { shell, url };
        for key in [
            "personal --name p",
            "workspace-invoke --name i --model-id m1",
            "workspace-export-metrics --name e",
            "personal --name off",
            "personal --name ending --ends-calls",
        ] {
            explained.run(&format!("create -o none --type {key}"));
        }
        let off = explained.prefix("off");
        explained.run(&format!("disable {off}"));
        explained
    }

    fn run(&self, line: &str) -> Ran {
        let line = format!("org api-key {line} --database {}", self.url);
        let ran = self.shell.line(&line);
        assert_eq!(ran.code, Some(0), "{line}: {ran}");
        ran
    }

    fn prefix(&self, name: &str) -> String {
        let jq = format!(".keys[]|select(.name==\"{name}\").prefix");
        let ran = self.run(&format!("list -rq {jq}"));
        ran.out.trim_end().to_owned()
    }

    fn explain(&self, name: &str, flags: &str) -> String {
        let prefix = self.prefix(name);
        self.run(&format!("explain --prefix {prefix} {flags}")).out
    }
}

#[rstest]
#[case::everything("p", "--model m1", "allowed by key: the key may\n")]
#[case::in_scope("i", "--model m1", "allowed by key: the key may\n")]
#[case::out_of_scope(
    "i",
    "--model m2",
    "refused with 403 by key.model_ids: the model is not one of the key's\n"
)]
#[case::metrics(
    "e",
    "--model m1",
    "refused with 403 by key.type: a key of this type may not call models\n"
)]
#[case::off(
    "off",
    "",
    "refused with 401 by key.disabled: the key is switched off\n"
)]
#[case::body(
    "i",
    "--path /v1/chat/completions --model m1",
    "allowed by key: the key may\n"
)]
#[case::other_body(
    "i",
    "--path /v1/chat/completions --model m2",
    "refused with 403 by key.model_ids: the model is not one of the key's\n"
)]
#[case::no_body(
    "i",
    "--path /v1/chat/completions",
    "refused with 403 by key.model_ids: the key is for some models, and the call names none\n"
)]
#[case::path("i", "--path /models/m1/predict", "allowed by key: the key may\n")]
#[case::other_path(
    "i",
    "--path /models/m2/predict",
    "refused with 403 by key.model_ids: the model is not one of the key's\n"
)]
#[case::ends_calls(
    "ending",
    "--path /models/m1/predict",
    "allowed by key: the key may\nended with the key by key.ends_calls\n"
)]
#[case::method(
    "p",
    "--path /v1/chat/completions --method GET",
    "refused with 405 by route.methods: the route takes other methods: POST\n"
)]
#[case::no_route(
    "p",
    "--path /admin",
    "refused with 404 by route: no route takes this host and path\n"
)]
fn a_call_is_explained(#[case] name: &str, #[case] flags: &str, #[case] said: &str) {
    assert_eq!(Explained::new().explain(name, flags), said);
}

#[test]
fn the_explanation_as_json() {
    let explained = Explained::new();
    let told = explained.explain("p", "--path /models/m1/predict -o json");
    assert_data_eq!(
        told,
        str![[r#"
{
  "allowed": true,
  "rule": "key",
  "upstream": "gpu",
  "why": "the key may"
}

"#]]
    );
    let told = explained.explain("i", "--model m2 -o json");
    assert_data_eq!(
        told,
        str![[r#"
{
  "allowed": false,
  "rule": "key.model_ids",
  "status": 403,
  "why": "the model is not one of the key's"
}

"#]]
    );
}

#[test]
fn by_which_rule_a_call_ends_with_its_key_is_told() {
    let explained = Explained::new();
    let told = explained.explain("ending", "-rq .ends_by");
    assert_eq!(told, "key.ends_calls\n");
    let file = explained.shell.path("keyward.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let settings = format!("proxy.calls_of_ended_keys = \"end\"\n{settings}");
    std::fs::write(file, settings).unwrap();
    for name in ["p", "ending"] {
        let told = explained.explain(name, "--path /models/m1/predict -rq .ends_by");
        assert_eq!(told, "proxy.calls_of_ended_keys\n", "{name}");
    }
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let explained = Explained::new();
    let ran = explained.shell.line(&format!(
        "org api-key explain --prefix kw_nobody --database {}",
        explained.url
    ));
    assert_eq!(
        ran,
        Ran::new(4, "", "explaining API key: there is no such key\n")
    );
}

/// One key is looked up, not the list that it stands in.
#[test]
fn a_key_is_looked_up_by_its_prefix() {
    let key = r#"{"prefix":"kw_1","type":"PERSONAL","created_at":"2026-11-21T03:00:00Z"}"#;
    let server = Server::ok(key);
    let ran = Shell::at(&server).line("org api-key explain --prefix kw_1");
    assert_eq!(ran, Ran::new(0, "allowed by key: the key may\n", ""));
    assert_eq!(server.lines(), ["GET /v1/api_keys/kw_1"]);
}
