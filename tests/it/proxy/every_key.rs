//! Every category and operation that a key is stored with × every class of route: one table, one answer each (CONTRACTS 2),
//! the same whatever made the key.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use http::{Method, StatusCode};
use keyward::admin::DIALECTS;
use keyward::key::{KeyCategory, KeyDigest, Operation};
use keyward::route::RouteClass;
use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::cli::shell::{Ran, Shell};
use crate::support::admin::TOKEN;
use crate::support::keyward::TestKeyward;
use crate::support::upstream::Answer;

/// Each route, and what stands above its column.
const ROUTES: &str = r#"proxy.routes = [
    { path = "/call/{model}", upstream = "default" },
    { path = "/body", upstream = "default", model_in = ["body"] },
    { path = "/unnamed", upstream = "default" },
    { path = "/open", upstream = "default", model = "not-needed" },
    { path = "/list", upstream = "default", class = "models" },
    { path = "/metrics", upstream = "default", class = "metrics" },
    { path = "/metrics/m1", upstream = "default", class = "metrics", model = { fixed = "m1" } },
    { path = "/metrics/m2", upstream = "default", class = "metrics", model = { fixed = "m2" } },
    { path = "/samples", upstream = "default", class = { labelled-metrics = "model" } },
]
"#;

/// What is asked, by the class of its route.
fn targets(class: &RouteClass) -> &'static [&'static str] {
    match class {
        RouteClass::Call => &["/call/m1", "/call/m2", "/body", "/unnamed", "/open"],
        RouteClass::Models => &["/list"],
        RouteClass::Metrics => &["/metrics", "/metrics/m1", "/metrics/m2"],
        RouteClass::LabelledMetrics(_) => &["/samples"],
    }
}

/// Every class, one after another: a new one does not compile without its place here.
fn after(class: Option<&RouteClass>) -> Option<RouteClass> {
    match class {
        None => Some(RouteClass::Call),
        Some(RouteClass::Call) => Some(RouteClass::Models),
        Some(RouteClass::Models) => Some(RouteClass::Metrics),
        Some(RouteClass::Metrics) => Some(RouteClass::LabelledMetrics("model".to_owned())),
        Some(RouteClass::LabelledMetrics(_)) => None,
    }
}

fn classes() -> Vec<RouteClass> {
    std::iter::successors(after(None), |class| after(Some(class))).collect()
}

/// Every operation that may be stored beside a category, and none; a new one does not compile without its place here.
fn operations() -> Vec<Option<Operation>> {
    let after = |operation: &Option<Operation>| match operation {
        None => Some(Some(Operation::ReadRender)),
        Some(Operation::ReadRender) => Some(Some(Operation::All)),
        Some(Operation::All) => Some(Some(Operation::Admin)),
        Some(Operation::Admin) => None,
    };
    std::iter::successors(Some(None), after).collect()
}

/// Every category, and one that a later version may store.
fn categories() -> Vec<KeyCategory> {
    let future = KeyCategory::from_stored("WORKSPACE_FUTURE");
    KeyCategory::ALL.into_iter().chain([future]).collect()
}

/// The models of a key: all, one, none.
const SCOPES: [(&str, Option<&[&str]>); 3] =
    [("every", None), ("m1", Some(&["m1"])), ("none", Some(&[]))];

/// Who makes a key.
#[derive(Debug, Clone, Copy)]
enum Maker {
    Baseten,
    Px0,
    CommandLine,
    OnDatabase,
    Import,
    /// Plain SQL, with this operation beside the category.
    ByHand(Option<Operation>),
}

impl Maker {
    fn all() -> Vec<Self> {
        let dialects = DIALECTS.iter().filter_map(|dialect| match dialect.name {
            "baseten" => Some(Self::Baseten),
            "px0" => Some(Self::Px0),
            // It names no keys of callers: see below.
            "bifrost" => None,
            other => panic!("say which keys can be made in the dialect {other}"),
        });
        let ours = [Self::CommandLine, Self::OnDatabase, Self::Import];
        let by_hand = operations().into_iter().map(Self::ByHand);
        dialects.chain(ours).chain(by_hand).collect()
    }

    /// Whether it has words for such a key.
    fn can_name(self, category: &KeyCategory, scope: Option<&[&str]>) -> bool {
        let is_known = !matches!(category, KeyCategory::Unknown(_));
        let scope_is_taken = match scope {
            None => true,
            Some([]) => false,
            Some(_) => category.may_have_scope(),
        };
        match self {
            Self::Baseten | Self::CommandLine | Self::OnDatabase | Self::Import => {
                is_known && scope_is_taken
            }
            // Of the two that read and render, px0's word means the one that calls models.
            Self::Px0 => {
                let operation = Operation::of(category);
                scope.is_none() && operation.is_some_and(|word| word.category() == *category)
            }
            Self::ByHand(_) => true,
        }
    }

    /// The text of a new key.
    async fn make(
        self,
        keyward: &TestKeyward,
        category: &KeyCategory,
        scope: Option<&[&str]>,
    ) -> String {
        let word = category.as_str();
        let url = keyward.database_url();
        match self {
            Self::Baseten => keyward.create_key(word, scope).await.text,
            Self::Px0 => {
                let ask = keyward.administer(Method::GET, "/v1/users/me");
                let org = ask.send().await.text("/workspace_name");
                let operation = Operation::of(category).expect("px0 has a word for it");
                let body = json!({ "name": word, "org_id": org, "operation": operation.as_str() });
                let ask = keyward.administer(Method::POST, "/v1/api-keys").json(&body);
                ask.send().await.text("/key")
            }
            Self::CommandLine => {
                let admin = format!("http://{}", keyward.addresses.admin);
                let shell = Shell::new()
                    .with("KEYWARD_URL", &admin)
                    .with("KEYWARD_API_KEY", TOKEN);
                created(&shell, word, scope, &[])
            }
            Self::OnDatabase => created(&Shell::new(), word, scope, &["--database", &url]),
            Self::Import => {
                let text = format!("imported-{word}-{}", scope.is_some());
                let digest = KeyDigest::of(text.as_bytes()).to_hex();
                // The text itself stands in no column that is shown.
                let prefix = text.replace("imported", "prefix");
                let more = ["--digest", &digest, "--prefix", &prefix, "--database", &url];
                let ran = run(&Shell::new(), "import", word, scope, &more);
                assert_eq!(ran.code, Some(0), "{ran}");
                text
            }
            Self::ByHand(operation) => stored(keyward, category, operation, scope).await,
        }
    }
}

fn run(shell: &Shell, verb: &str, word: &str, scope: Option<&[&str]>, more: &[&str]) -> Ran {
    let kind = word.to_ascii_lowercase().replace('_', "-");
    let mut args = vec!["org", "api-key", verb, "--type", &kind];
    for model in scope.unwrap_or_default() {
        args.extend(["--model-id", model]);
    }
    args.extend(more);
    tokio::task::block_in_place(|| shell.run(args))
}

fn created(shell: &Shell, word: &str, scope: Option<&[&str]>, more: &[&str]) -> String {
    let ran = run(shell, "create", word, scope, more);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran.out.trim_end().to_owned()
}

/// A key that somebody wrote into the table who knows nothing of keyward.
async fn stored(
    keyward: &TestKeyward,
    category: &KeyCategory,
    operation: Option<Operation>,
    scope: Option<&[&str]>,
) -> String {
    let word = category.as_str();
    let text = format!("by-hand-{word}-{operation:?}-{scope:?}");
    let digest = KeyDigest::of(text.as_bytes()).to_hex();
    let quoted = |text: Option<String>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
    let operation = quoted(operation.map(|operation| operation.as_str().to_owned()));
    let scope = quoted(scope.map(|models| json!(models).to_string()));
    let number = keyward.number("SELECT count(*) FROM api_keys").await;
    keyward
        .by_hand(&format!(
            "INSERT INTO api_keys (id, prefix, digest, category, operation, scope, org_id, team_id)
             SELECT '019f0000-0000-7000-8000-{number:012}', 'by_hand_{number}', x'{digest}', '{word}', {operation},
                    {scope}, org_id, id FROM teams WHERE is_default"
        ))
        .await;
    text
}

/// What `key` is answered at `target`: `yes` or `no`; of a list, what is shown of it.
async fn answer(keyward: &TestKeyward, key: &str, target: &str) -> String {
    let body = r#"{"model":"m1"}"#;
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    );
    let answer = keyward.raw().await.call(request).await;
    match (answer.status(), target) {
        (403, _) => "no".to_owned(),
        (200, "/list" | "/samples") => {
            let text = answer.text();
            let shown = ["m1", "m2"]
                .into_iter()
                .filter(|model| text.contains(model));
            let shown: Vec<&str> = shown.collect();
            if shown.is_empty() {
                "nothing".to_owned()
            } else {
                shown.join("+")
            }
        }
        (200, _) => "yes".to_owned(),
        (status, _) => status.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_key_has_one_answer_for_every_class_of_route() {
    let keyward = TestKeyward::with(ROUTES).await;
    let list = Answer::new(200, r#"{"data":[{"id":"m1"},{"id":"m2"}]}"#);
    let list = list.header("content-type", "application/json");
    keyward.upstream.on("/list", list);
    let samples = Answer::new(200, "x{model=\"m1\"} 1\nx{model=\"m2\"} 2\n");
    let samples = samples.header("content-type", "text/plain; version=0.0.4");
    keyward.upstream.on("/samples", samples);

    let classes = classes();
    let targets: Vec<&str> = classes.iter().flat_map(targets).copied().collect();
    let mut table = format!("{:24} {:5}", "type", "for");
    for target in &targets {
        write!(table, " {target:11}").unwrap();
    }
    for category in categories() {
        for (models, scope) in SCOPES {
            let mut answers = BTreeSet::new();
            let makers = Maker::all().into_iter();
            for maker in makers.filter(|maker| maker.can_name(&category, scope)) {
                let key = maker.make(&keyward, &category, scope).await;
                let mut line = String::new();
                for target in &targets {
                    write!(line, " {:11}", answer(&keyward, &key, target).await).unwrap();
                }
                answers.insert(line);
                assert_eq!(
                    answers.len(),
                    1,
                    "{category:?} for {models} by {maker:?}: {answers:#?}"
                );
            }
            let line = answers.pop_first().expect("by hand any key can be made");
            write!(table, "\n{:24} {models:5}{line}", category.as_str()).unwrap();
        }
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    assert_data_eq!(
        table.join("\n"),
        str![[r#"
type                     for   /call/m1    /call/m2    /body       /unnamed    /open       /list       /metrics    /metrics/m1 /metrics/m2 /samples
PERSONAL                 every yes         yes         yes         yes         yes         m1+m2       yes         yes         yes         m1+m2
PERSONAL                 m1    yes         no          yes         no          yes         m1          no          yes         no          m1
PERSONAL                 none  no          no          no          no          yes         nothing     no          no          no          nothing
WORKSPACE_MANAGE_ALL     every yes         yes         yes         yes         yes         m1+m2       yes         yes         yes         m1+m2
WORKSPACE_MANAGE_ALL     m1    yes         no          yes         no          yes         m1          no          yes         no          m1
WORKSPACE_MANAGE_ALL     none  no          no          no          no          yes         nothing     no          no          no          nothing
WORKSPACE_EXPORT_METRICS every no          no          no          no          no          no          yes         yes         yes         m1+m2
WORKSPACE_EXPORT_METRICS m1    no          no          no          no          no          no          no          yes         no          m1
WORKSPACE_EXPORT_METRICS none  no          no          no          no          no          no          no          no          no          nothing
WORKSPACE_INVOKE         every yes         yes         yes         yes         yes         m1+m2       no          no          no          no
WORKSPACE_INVOKE         m1    yes         no          yes         no          yes         m1          no          no          no          no
WORKSPACE_INVOKE         none  no          no          no          no          yes         nothing     no          no          no          no
WORKSPACE_FUTURE         every no          no          no          no          no          no          no          no          no          no
WORKSPACE_FUTURE         m1    no          no          no          no          no          no          no          no          no          no
WORKSPACE_FUTURE         none  no          no          no          no          no          no          no          no          no          no
"#]]
    );
}

/// The settings know no class beside those of the table: the reader names all that it knows.
#[test]
fn the_table_has_every_class_that_settings_can_name() {
    let refused = serde_json::from_str::<RouteClass>("\"no-class\"");
    let refused = refused.expect_err("there is no such class").to_string();
    let known: BTreeSet<&str> = refused.split('`').skip(3).step_by(2).collect();
    let classes = classes();
    let words = classes
        .iter()
        .map(|class| match serde_json::to_value(class) {
            Ok(serde_json::Value::String(word)) => word,
            Ok(serde_json::Value::Object(members)) => members.keys().next().unwrap().clone(),
            other => panic!("{other:?}"),
        });
    let words: Vec<String> = words.collect();
    assert_eq!(
        known,
        words.iter().map(String::as_str).collect(),
        "{refused}"
    );
}

/// Bifrost's list is of the keys that we present to upstreams: no key of a caller is made or shown there.
#[tokio::test]
async fn the_bifrost_dialect_names_no_key_of_a_caller() {
    let keyward = TestKeyward::with(ROUTES).await;
    let key = keyward.key().await;
    let listed = keyward.administer(Method::GET, "/api/keys").send().await;
    assert_eq!(listed.status, StatusCode::OK, "{listed}");
    assert!(!listed.body.contains(&key.prefix), "{listed}");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let ask = keyward.administer(method.clone(), "/api/keys");
        let status = ask.json(&json!({ "name": "x" })).send().await.status;
        assert!(status.is_client_error(), "{method}: {status}");
    }
}
