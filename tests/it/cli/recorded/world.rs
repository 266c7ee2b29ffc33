//! What stands around the commands of a file: servers, databases, the environment.

use std::any::Any;
use std::fmt::Write as _;
use std::net::TcpListener;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::super::shell::{Ran, Server, Shell, response};
use super::super::terminal::Terminal;
use super::Recorded;
use crate::support::admin::{TOKEN, TestAdmin};

/// A shell, and all that its commands may reach; gone when it is dropped.
pub struct World {
    shell: Shell,
    /// What is other every time, and what stands for it.
    replaced: Vec<(String, &'static str)>,
    /// Whether keys, ids and moments are of now.
    is_of_now: bool,
    /// Ends with the world.
    kept: Vec<Box<dyn Any>>,
}

/// What every script may use: the prefix of the key that is called $1, by the flags after it.
const PRELUDE: &str = "\
prefix_of() { name=$1; shift; keyward org api-key list -rq \".keys[] | select(.name == \\\"$name\\\") | .prefix\" \"$@\"; }\n";

impl World {
    /// The world of the file `name`.
    pub async fn of(name: &str) -> Self {
        match name {
            "words.txt" | "help.txt" | "usage.txt" => Self::bare(),
            "canned.txt" => Self::canned(),
            "refused.txt" => Self::refused(),
            "down.txt" => Self::bare().without_server(),
            "admin.txt" => Self::with_admin().await,
            "database.txt" => Self::bare().without_server().with_database(),
            "locked.txt" => Self::locked().await,
            "profiles.txt" => Self::with_logins(),
            "settings.txt" => Self::with_model_server(),
            other => panic!("say what stands around {other}"),
        }
    }

    /// No server, no profile, no database.
    fn bare() -> Self {
        let shell = Shell::new();
        let home = shell.path("").display().to_string();
        Self {
            replaced: vec![
                (home.trim_end_matches('/').to_owned(), "[HOME]"),
                (env!("CARGO_PKG_VERSION").to_owned(), "[VERSION]"),
                (
                    format!("(revision {})", keyward::telemetry::REVISION),
                    "(revision [REVISION])",
                ),
                (
                    format!("\"revision\":\"{}\"", keyward::telemetry::REVISION),
                    "\"revision\":\"[REVISION]\"",
                ),
                (
                    format!("\"revision\": \"{}\"", keyward::telemetry::REVISION),
                    "\"revision\": \"[REVISION]\"",
                ),
                // Where an editor of the file would not see them.
                ("\u{1b}".to_owned(), "␛"),
                ("\u{202e}".to_owned(), "[U+202E]"),
            ],
            shell,
            is_of_now: false,
            kept: Vec::new(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.shell = self.shell.with(name, value);
        self
    }

    /// `server`, whose address is in `name`.
    fn with_server(mut self, name: &str, stands_for: &'static str, server: Server) -> Self {
        self.replaced.push((server.url.clone(), stands_for));
        let url = server.url.clone();
        self.kept.push(Box::new(server));
        self.with(name, &url)
    }

    /// The credential is there, and nobody listens where the server should be.
    fn without_server(mut self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        self.replaced.push((url.clone(), "[NOBODY]"));
        self.with("KEYWARD_URL", &url)
            .with("KEYWARD_API_KEY", "kw_test")
    }

    /// `$DB` is a database that is not there yet.
    fn with_database(mut self) -> Self {
        self.is_of_now = true;
        let url = format!("sqlite://{}", self.shell.path("keys.db").display());
        self.with("DB", &url)
    }

    /// A server that always tells the same.
    fn canned() -> Self {
        Self::bare()
            .with_server("KEYWARD_URL", "[SERVER]", Server::new(told))
            .with_server("EMPTY", "[EMPTY]", Server::new(told_of_nothing))
            .with_server("STRANGE", "[STRANGE]", Server::ok("{\"keys\":7}"))
            .with("KEYWARD_API_KEY", "kw_test")
    }

    /// Servers that refuse, each with the status in its name.
    fn refused() -> Self {
        let body = |status: u16| format!("{{\"code\":\"C{status}\",\"message\":\"why\"}}");
        let mut world = Self::bare().with("KEYWARD_API_KEY", "kw_test");
        for (status, name, stands_for) in [
            (400, "S400", "[S400]"),
            (401, "S401", "[S401]"),
            (403, "S403", "[S403]"),
            (404, "S404", "[S404]"),
            (409, "S409", "[S409]"),
            (429, "S429", "[S429]"),
            (500, "S500", "[S500]"),
            (503, "S503", "[S503]"),
        ] {
            world = world.with_server(name, stands_for, Server::always(status, &body(status)));
        }
        world
    }

    /// A real admin listener on a real database.
    async fn with_admin() -> Self {
        let admin = TestAdmin::start().await;
        let url = format!("http://{}", admin.address);
        let mut world = Self::bare();
        world.is_of_now = true;
        world.replaced.push((url.clone(), "[SERVER]"));
        world.kept.push(Box::new(admin));
        world
            .with("KEYWARD_URL", &url)
            .with("KEYWARD_API_KEY", TOKEN)
    }

    /// A database with a key, in which somebody else writes and does not end.
    async fn locked() -> Self {
        let mut world = Self::bare().without_server().with_database();
        let made = "keyward org api-key create --type personal --name ci --database $DB";
        let ran = Ran::from(world.shell.script(made).output().expect("sh runs"));
        assert_eq!(ran.code, Some(0), "{ran}");
        let options = SqliteConnectOptions::new().filename(world.shell.path("keys.db"));
        let mut lock = options.connect().await.expect("the database is there");
        lock.execute("BEGIN IMMEDIATE")
            .await
            .expect("nobody writes");
        world.kept.push(Box::new(lock));
        world
    }

    /// A server that takes any credential, one that takes none, and files that hold some.
    fn with_logins() -> Self {
        let world = Self::bare()
            .with_server(
                "SERVER",
                "[SERVER]",
                Server::ok("{\"user_id\":\"admin\",\"keys\":[]}"),
            )
            .with_server("REFUSING", "[REFUSING]", Server::always(401, "{}"));
        for (name, text) in [("token", "kw_test\n"), ("empty", "")] {
            std::fs::write(world.shell.path(name), text).expect("the home is ours");
        }
        world
    }

    /// A model server, probes that say yes and no, free ports, and settings with mistakes.
    fn with_model_server() -> Self {
        let world = Self::bare()
            .with_server("MODEL", "[MODEL]", Server::ok("{}"))
            .with_server("READY", "[READY]", Server::ok("ready\n"))
            .with_server("WATCHED", "[WATCHED]", Server::ok("keyward_ready 1\n"))
            .with_server("UNREADY", "[UNREADY]", Server::always(503, "not ready\n"))
            .without_server()
            .with_database();
        let settings = "[proxy]\nlisten = \"nowhere\"\ntypo = 1\n";
        std::fs::write(world.shell.path("wrong.toml"), settings).expect("the home is ours");
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let free = free.map(|listener| listener.local_addr().expect("an address").to_string());
        let names = ["LISTEN", "ADMIN", "PROBES"];
        names
            .iter()
            .zip(&free)
            .fold(world, |world, (name, address)| world.with(name, address))
    }

    /// Runs a command: what it says, as it is written below it.
    pub fn run(&self, recorded: &Recorded) -> String {
        let script = format!("{PRELUDE}{}", recorded.command);
        let mut command = self.shell.script(&script);
        let ran = match recorded.columns {
            None => Ran::from(command.output().expect("sh runs")),
            Some(columns) => {
                let terminal = Terminal::of_columns(columns);
                command
                    .env("TERM", "xterm")
                    .stdout(terminal.end())
                    .stderr(terminal.end());
                let status = command.spawn().expect("sh runs").wait().expect("it ends");
                drop(command);
                let shown = terminal.shown().replace("\r\n", "\n");
                Ran {
                    code: status.code(),
                    out: shown,
                    err: String::new(),
                }
            }
        };
        let mut said = self.fixed(&ran.out);
        if !said.is_empty() && !said.ends_with('\n') {
            said.push_str("␄\n");
        }
        for line in self.fixed(&ran.err).lines() {
            writeln!(said, "? {line}").expect("a string takes it");
        }
        match ran.code {
            Some(0) => {}
            code => writeln!(said, "? exit {}", code.unwrap_or(-1)).expect("a string takes it"),
        }
        said
    }

    fn fixed(&self, text: &str) -> String {
        let mut fixed = text.to_owned();
        for (is, stands_for) in &self.replaced {
            fixed = fixed.replace(is, stands_for);
        }
        without_milliseconds(&if self.is_of_now {
            without_new(&fixed)
        } else {
            fixed
        })
    }
}

/// What stands for new keys, prefixes, ids and moments; as long as they are where a table is padded to them.
fn without_new(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let mut fixed = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let bare = word.trim_end_matches(['.', ':']);
        fixed.push_str(match bare.len() {
            50 if bare.starts_with("kw_") => "kw_<prefix>.<secret>",
            11 if bare.starts_with("kw_") => "kw_<prefix>",
            36 if bare.matches('-').count() == 4 => "xxxxxxxx-xxxx-7xxx-xxxx-xxxxxxxxxxxx",
            20 if bare.ends_with('Z') && bare.matches(':').count() == 2 => "YYYY-MM-DDThh:mm:ssZ",
            _ => bare,
        });
        fixed.push_str(&word[bare.len()..]);
        let next = after.find(is_part).unwrap_or(after.len());
        fixed.push_str(&after[..next]);
        rest = &after[next..];
    }
    fixed
}

/// `12 ms` is another number every time.
fn without_milliseconds(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len());
    for (place, piece) in text.split(" ms").enumerate() {
        if place > 0 {
            let digits = fixed.len() - fixed.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            fixed.truncate(fixed.len() - digits);
            fixed.push_str(if digits > 0 { "[N] ms" } else { " ms" });
        }
        fixed.push_str(piece);
    }
    match fixed.split_once("\"after_ms\": ") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}\"after_ms\": [N]{after}")
        }
        None => fixed,
    }
}

/// Keys that are hard to show, on two pages; and an answer to everything else that can be asked.
fn told(line: &str) -> Vec<u8> {
    let key = |prefix: &str, more: &str| {
        format!("{{\"prefix\":\"{prefix}\",\"created_at\":\"2026-11-21T03:00:00Z\"{more}}}")
    };
    let ci = key(
        "kw_8fJ2mQ4x",
        ",\"name\":\"ci\",\"type\":\"PERSONAL\",\"model_ids\":null,\"team_name\":\"default\",\
         \"last_used_at\":\"2026-11-21T04:00:00Z\",\"owner\":{\"user_id\":\"u1\",\"email\":null,\"name\":\"ada\"},\
         \"expires_at\":\"2030-01-01T00:00:00Z\",\"disabled_at\":null",
    );
    let first = format!(
        "{{\"keys\":[{ci},{},{}],\"next_cursor\":\"1795230000.b\"}}",
        key(
            "kw_9aQmT7bL",
            ",\"name\":\"東京 👩‍🚀\",\"type\":\"WORKSPACE_INVOKE\",\"model_ids\":[\"m1\",\"m/*\"],\"team_name\":\"Zürich\""
        ),
        key(
            "kw_Zz4Zz4Zz",
            ",\"name\":\"\\u001b[31mred\\u202e\\n\",\"type\":\"WORKSPACE_FUTURE\",\"disabled_at\":\"2026-11-21T05:00:00Z\""
        ),
    );
    let second = format!(
        "{{\"keys\":[{},{}],\"next_cursor\":null}}",
        key(
            "kw_twin0001",
            ",\"name\":\"twin\",\"type\":\"WORKSPACE_EXPORT_METRICS\",\"expires_at\":\"2026-11-21T06:00:00Z\""
        ),
        key(
            "kw_twin0002",
            ",\"name\":\"twin\",\"type\":\"WORKSPACE_MANAGE_ALL\",\"team_name\":\"default\""
        ),
    );
    let team = "{\"id\":\"t1\",\"name\":\"default\",\"default\":true,\"created_at\":\"2026-11-20T00:00:00Z\"}";
    let twin = "{\"id\":\"t2\",\"name\":\"twin\",\"default\":false,\"created_at\":\"2026-11-20T00:00:01Z\"}";
    let other = "{\"id\":\"t3\",\"name\":\"twin\",\"default\":false,\"created_at\":\"2026-11-20T00:00:02Z\"}";
    let in_force =
        ",\"in_force\":{\"after_ms\":5,\"behind\":[\"b\"],\"everywhere\":false,\"silent\":[\"c\"]}";
    let waits = if line.contains("wait=all") {
        in_force
    } else {
        ""
    };
    let path = line.split('?').next().unwrap_or(line);
    let body = match path {
        "GET /v1/api_keys" if line.contains("cursor=") => second,
        "GET /v1/api_keys" => first,
        "GET /v1/teams" => format!("{{\"teams\":[{team},{twin},{other}]}}"),
        "POST /v1/teams" => twin.to_owned(),
        "POST /v1/api_keys" | "POST /v1/teams/t1/api_keys" => {
            format!("{{\"api_key\":\"kw_newnewne.secret\"{waits}}}")
        }
        "GET /v1/audit_logs" => "{\"audit_logs\":[{\"id\":12,\"created_at\":\"2026-11-21T03:00:00Z\",\"actor\":\"ada\",\
             \"actor_prefix\":\"kw_8fJ2mQ4x\",\"source\":\"192.0.2.1\",\"action\":\"update\",\"key_id\":\"k1\",\
             \"prefix\":\"kw_9aQmT7bL\",\"changed\":[\"name\",\"enabled\"]}],\"next_cursor\":\"12\"}"
            .to_owned(),
        _ if path.ends_with("/rotate") => format!(
            "{{\"api_key\":\"kw_newnewne.secret\",\"prefix\":\"kw_newnewne\",\"old_until\":{}{waits}}}",
            if line.contains("grace=") { "\"2026-11-21T04:00:00Z\"" } else { "null" },
        ),
        _ if path.starts_with("DELETE ") => format!("{{\"prefix\":\"kw_8fJ2mQ4x\"{waits}}}"),
        _ => ci,
    };
    response(200, &body)
}

fn told_of_nothing(line: &str) -> Vec<u8> {
    response(
        200,
        match line.split('?').next() {
            Some("GET /v1/api_keys") => "{\"keys\":[]}",
            Some("GET /v1/teams") => "{\"teams\":[]}",
            _ => "{\"audit_logs\":[],\"next_cursor\":null}",
        },
    )
}
