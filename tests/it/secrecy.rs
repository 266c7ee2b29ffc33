//! No secret gets out: canaries go through everything that can be done to a running program, and then everything that
//! came of it is searched for them (SECURITY C3, C9, X1, X2, X4–X7).

mod searched;
mod strayed;

use std::collections::BTreeSet;
use std::fs;

use http::{Method, Request};
use rustix::process::Signal;

use crate::cli::shell::{Ran, Shell};
use crate::support::admin::{Ask, TOKEN};
use crate::support::eventually;
use crate::support::keyward::KeywardProcess;
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;
use crate::support::store::new_secret;
use crate::support::stream::whole;
use crate::support::tls::{Authority, Folder};
use crate::support::upstream::Answer;
use strayed::{STRAYED, STRAYED_ADMIN, spelled};

/// What we present to the upstream.
const CREDENTIAL: &str = "upstream-credential-0f3Kx9Qa7LmZ";
/// What callers say that is theirs: it goes to the upstream, and to nobody else.
const QUERY: &str = "query-of-a-caller-T5v8Wn2Rc6Yd";
const BODY: &str = "body-of-a-caller-H1s4Jb7Ge3Pu";

/// What came back from whom.
struct Answered {
    to: String,
    bytes: Vec<u8>,
}

struct Run {
    keyward: KeywardProcess,
    shell: Shell,
    /// Texts that were, are, or look like keys, and what they are called here.
    keys: Vec<(&'static str, String)>,
    answers: Vec<Answered>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_gets_out() {
    let settings = settings("upstreams.default.url = \"{upstream}\"");
    let keyward = KeywardProcess::start(&settings).await;
    keyward
        .upstream
        .on("/models/m1/predict", Answer::new(200, "{}"));
    let metrics_before = metrics(&keyward).await;
    let mut run = Run::of(keyward).await;
    run.call().await;
    run.call_with_trailers().await;
    run.manage().await;
    run.probe().await;
    run.command();
    let seen = run.keyward.upstream.requests().len();
    assert!(seen > 20, "too little went on: {seen} calls");
    run.the_upstream_never_saw_a_key();
    run.fail_upstream_and_reload().await;

    let metrics = metrics(&run.keyward).await;
    let before = series(&metrics_before);
    // What other settings have brought is called as they are.
    let is_set = |series: &&&str| series.contains("{certificate=\"upstreams.default.tls\"");
    let now = series(&metrics);
    let new = now.difference(&before).filter(|series| !is_set(series));
    let new: Vec<&str> = new.copied().collect();
    let gone: Vec<&str> = before.difference(&series(&metrics)).copied().collect();
    assert_eq!(gone, [""; 0], "every series stays");
    assert!(new.is_empty(), "labels come from closed sets: {new:?}");
    run.nothing_in("metrics", metrics.as_bytes(), &[]);
    run.nothing_in_answers();
    run.nothing_in_files();
    run.nothing_in_the_process();
    run.keyward.signal(Signal::TERM);
    assert_eq!(run.keyward.exit_code().await, Some(0));
    run.nothing_in_files();
    run.nothing_in_the_log();
}

fn settings(upstream: &str) -> String {
    format!(
        "log.level = \"trace\"\nlog.format = \"json\"\n\
         access_log = {{ to = \"./access.log\", refusals_per_second = 1000000, client_address = true }}\n\
         usage.flush_every = \"20ms\"\nusage.first_within = \"10ms\"\n{upstream}\n\
         upstreams.default.limits.connect_timeout = \"200ms\"\n\
         upstreams.default.credential = {{ kind = \"fixed\", secret = {{ inline = \"{CREDENTIAL}\" }}, \
         at = {{ in = \"authorization\", schemes = [\"Bearer\"] }} }}\n"
    )
}

async fn metrics(keyward: &KeywardProcess) -> String {
    let ask = Ask::new(keyward.addresses.probes, Method::GET, "/metrics");
    ask.send().await.body
}

/// Names and labels, without the values; a process has what the system gives it.
fn series(metrics: &str) -> BTreeSet<&str> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .collect()
}

impl Run {
    async fn of(keyward: KeywardProcess) -> Self {
        let wish = r#"{"type":"WORKSPACE_INVOKE"}"#;
        let made = keyward.administer(Method::POST, "/v1/api_keys").body(wish);
        let made = made.send().await;
        assert_eq!(made.headers["cache-control"], "no-store");
        let good = made.text("/api_key");
        let scoped = keyward.key_for(&["m2"]).await.text;
        let manager = keyward.create_key("WORKSPACE_MANAGE_ALL", None).await.text;
        let deleted = keyward.key().await;
        keyward.delete_key(&deleted).await;
        let keys = vec![
            ("a good key", good),
            ("a key for another model", scoped),
            ("a manager's key", manager),
            ("a deleted key", deleted.text),
            ("nobody's key", new_secret().reveal().to_owned()),
        ];
        Self {
            keyward,
            shell: Shell::new(),
            keys,
            answers: Vec::new(),
        }
    }

    fn key(&self, what: &str) -> &str {
        let mut keys = self.keys.iter();
        &keys.find(|(name, _)| *name == what).expect("it is there").1
    }

    /// Sends every key to every place it may stray to, alone and beside a good key; and what is near a key, alone.
    async fn call(&mut self) {
        let good = self.key("a good key").to_owned();
        let prefix = |key: &str| key[..11].to_owned();
        let scoped = self.key("a key for another model");
        let near = [
            good[..49].to_owned(),
            format!("{good}0"),
            good.to_uppercase(),
            good.replace('.', "-"),
            format!("{}{}", prefix(scoped), &good[11..]),
            format!("{good},{scoped}"),
        ];
        let whole: Vec<String> = self.keys.iter().map(|(_, text)| text.clone()).collect();
        for key in whole.iter().chain(&near) {
            // What is only near a key cannot be told from an id.
            let may_stray =
                |fields: &str| whole.contains(key) || !fields.starts_with("x-request-id");
            for (target, fields) in STRAYED.iter().filter(|(_, fields)| may_stray(fields)) {
                self.call_one(target, fields, key, None).await;
            }
            for scheme in ["Bearer", "Api-Key"] {
                let fields = format!("authorization: {scheme} {key}\r\n");
                self.call_one("/models/m1/predict", &fields, key, None)
                    .await;
            }
        }
        for key in &whole {
            // A name goes on in lower case, and a key does not work so.
            for (target, fields) in STRAYED
                .iter()
                .filter(|(_, fields)| !fields.starts_with("{key}"))
            {
                self.call_one(target, fields, key, Some(&good)).await;
            }
        }
        let http2 = self.keyward.http2().await;
        for key in &whole {
            for path in ["/models/m1/predict", "/models/m1/predict?key={key}"] {
                let uri = format!("http://localhost{}", path.replace("{key}", key));
                let request = Request::post(uri)
                    .header("authorization", format!("Bearer {good}"))
                    .header("x-note", key)
                    .header("x-request-id", key)
                    .header("cookie", format!("a={key}"))
                    .header("cookie", "b=c");
                let answer = http2
                    .call(request.body(whole_body()).expect("a request"))
                    .await;
                let said = format!("{:?}{:?}", answer.headers, answer.body);
                self.note(format!("HTTP/2 {path}"), said.into_bytes());
            }
        }
    }

    async fn call_one(&mut self, target: &str, fields: &str, key: &str, credential: Option<&str>) {
        let mut fields = fields.to_owned();
        if let Some(credential) = credential {
            fields = format!("{fields}authorization: Bearer {credential}\r\n");
        }
        if !fields.starts_with("host") {
            fields.push_str("host: localhost\r\n");
        }
        let separator = if target.contains('?') { '&' } else { '?' };
        let request = format!(
            "POST {target}{separator}q={QUERY} HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        let to = format!("{target} | {fields}");
        let answer = exchange(self.keyward.raw().await, &spelled(&request, key)).await;
        self.note(to, answer);
    }

    async fn call_with_trailers(&mut self) {
        let good = self.key("a good key").to_owned();
        for key in self.keys.clone() {
            let request = format!(
                "POST /models/m1/predict HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {good}\r\n\
                 te: trailers\r\ntrailer: x-check, x-note, x-api-key\r\ntransfer-encoding: chunked\r\n\r\n\
                 2\r\n{{}}\r\n0\r\nx-check: 1\r\nx-note: {key}\r\nx-api-key: {key}\r\n\r\n",
                key = key.1
            );
            let answer = exchange(self.keyward.raw().await, &request).await;
            self.note("trailers".to_owned(), answer);
        }
        let requests = self.keyward.upstream.requests();
        let last = requests.last().expect("it went on").trailers();
        assert_eq!(last, Some(vec![("x-check".to_owned(), "1".to_owned())]));
    }

    async fn manage(&mut self) {
        let manager = self.key("a manager's key").to_owned();
        for (_, key) in self.keys.clone() {
            for (method, path, fields, body) in STRAYED_ADMIN {
                for credential in [None, Some(TOKEN), Some(&manager)] {
                    let mut fields = (*fields).to_owned();
                    if !fields.starts_with("host") {
                        fields.push_str("host: localhost\r\n");
                    }
                    if let (Some(credential), false) = (credential, fields.contains("auth")) {
                        fields = format!("{fields}authorization: Api-Key {credential}\r\n");
                    }
                    if !fields.contains("content-type") {
                        fields.push_str("content-type: application/json\r\n");
                    }
                    let body = spelled(body, &key);
                    let request = format!(
                        "{method} {path} HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let admin = RawConnection::connect(self.keyward.addresses.admin).await;
                    let answer = exchange(admin, &spelled(&request, &key)).await;
                    self.note(format!("{method} {path} | {fields}| {body}"), answer);
                }
            }
        }
    }

    async fn probe(&mut self) {
        let key = self.key("a good key").to_owned();
        for path in [
            "/livez",
            "/readyz?verbose",
            "/startupz",
            "/metrics",
            "/{key}",
        ] {
            let request = format!(
                "GET {path}?key={{key}} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {{key}}\r\n\r\n"
            );
            let probes = RawConnection::connect(self.keyward.addresses.probes).await;
            let answer = exchange(probes, &spelled(&request, &key)).await;
            self.note(path.to_owned(), answer);
        }
    }

    /// Does with the command line what can be done with it.
    fn command(&mut self) {
        let url = format!("http://{}", self.keyward.addresses.admin);
        let probes = format!("http://{}", self.keyward.addresses.probes);
        let file = self.keyward.path("keyward.toml").display().to_string();
        let database = format!("sqlite://{}", self.keyward.path("keyward.db").display());
        let key = self.key("a good key").to_owned();
        let login = ["profile", "login", "--url", &url, "-v"];
        let ran = tokio::task::block_in_place(|| self.shell.feed(&login, TOKEN.as_bytes()));
        assert_eq!(ran.code, Some(0), "{ran}");
        self.note("profile login".to_owned(), ran.to_string().into_bytes());
        let create = "org api-key create -v --type workspace-invoke";
        for way in [create.to_owned(), format!("{create} --database {database}")] {
            let ran = self.ran(&way);
            let made = ran.out.trim().to_owned();
            assert_eq!(made.len(), 50, "{ran}");
            self.note(way, ran.err.into_bytes());
            self.keys.push(("a key of the command line", made));
        }
        for line in [
            "org api-key list -v",
            "org api-key list -v -o json",
            "org team list -v",
            "profile list -v",
            &format!("org api-key list -v --database {database}"),
            &format!("org api-key delete --prefix {key}"),
            &format!("org api-key delete --prefix {key} --database {database}"),
            &format!("health -v --url {probes}"),
            &format!("config show --config {file}"),
            &format!("config show --origins --config {file}"),
            &format!("config check --config {file}"),
            &format!("config check --connect --config {file}"),
        ] {
            let said = self.ran(line).to_string();
            self.note(line.to_owned(), said.into_bytes());
        }
        for (what, wrong) in self.keys.clone() {
            let shell = Shell::new().with("KEYWARD_URL", &url);
            let shell = shell.with("KEYWARD_API_KEY", &wrong);
            let ran = tokio::task::block_in_place(|| shell.line("org api-key list -v"));
            self.note(format!("list with {what}"), ran.to_string().into_bytes());
        }
    }

    fn ran(&self, line: &str) -> Ran {
        tokio::task::block_in_place(|| self.shell.line(line))
    }

    /// Settings that are wrong, an upstream that answers garbage, and one that is gone.
    async fn fail_upstream_and_reload(&mut self) {
        let key = self.key("a good key").to_owned();
        let call = (
            "/models/m1/predict?key={key}",
            "authorization: Bearer {key}\r\n",
        );
        let garbage = RawUpstream::answering("garbage\r\n\r\n");
        let quoted = format!(
            "admin.hosts = \"{CREDENTIAL}\"\nupstreams.other.credential = \"{CREDENTIAL}\""
        );
        let garbled = format!("upstreams.default.url = \"{}\"", garbage.url());
        let pair = Folder::with(&Authority::called("authority").caller());
        let url = garbage.url().replace("http:", "https:");
        let secured = format!(
            "upstreams.default.url = \"{url}\"\n{}",
            pair.settings("upstreams.default.tls")
        );
        let private = fs::read_to_string(pair.path("tls.key")).expect("it was written");
        let lines = private.lines().filter(|line| !line.starts_with('-'));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        let text = |line: &String| ("a private key", line.clone());
        self.keys.extend(lines.iter().map(text));
        // What ends before its end, with a line that no PEM has.
        let torn = format!("-----BEGIN {}\n{}", lines[0], lines[1]);
        for (upstream, told, times, key_file) in [
            (&quoted, "settings are wrong", 1, &private),
            (&garbled, "settings read again", 1, &private),
            (&secured, "is no whole PEM", 1, &torn),
            (&secured, "settings read again", 2, &private),
            (&secured, "settings are wrong", 3, &torn),
        ] {
            pair.write("tls.key", key_file);
            self.keyward.write_settings(&settings(upstream));
            self.keyward.signal(Signal::HUP);
            let log = self.keyward.path("keyward.log");
            eventually(told, || {
                let said = fs::read_to_string(&log).ok()?;
                (said.matches(told).count() >= times).then_some(())
            })
            .await;
            self.call_one(call.0, call.1, &key, None).await;
            self.call_one("/models/m1/predict", call.1, &key, None)
                .await;
        }
        drop(garbage);
        self.call_one("/models/m1/predict", call.1, &key, None)
            .await;
    }

    fn note(&mut self, to: String, bytes: Vec<u8>) {
        self.answers.push(Answered { to, bytes });
    }
}

fn whole_body() -> crate::support::stream::TestBody {
    whole(BODY)
}

/// Whatever comes back, if anything does.
async fn exchange(mut connection: RawConnection, request: &str) -> Vec<u8> {
    if connection.try_write(request).await.is_err() {
        return Vec::new();
    }
    let Some(head) = connection.try_read_head().await else {
        return Vec::new();
    };
    let body = connection.read_body(&head).await;
    [head.bytes, body.bytes].concat()
}
