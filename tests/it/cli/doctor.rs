//! `doctor`: what it says of what is well and of what is not, and how it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::Value;
use snapbox::{assert_data_eq, str};

use super::shell::{Ran, Shell};
use crate::support::tls::{Authority, Folder};

const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// A model server that answers each question; whoever is `patient` keeps the connection.
fn model_server(is_patient: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(ANSWER);
            if is_patient {
                kept.push(stream);
            }
        }
    });
    address.to_string()
}

/// A shell with these settings and a key database that was prepared.
fn shell(settings: &str) -> Shell {
    let shell = Shell::new();
    let file = shell.path("keyward.toml");
    fs::write(&file, settings).expect("our own home");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("our own file");
    let made =
        shell.line("--database sqlite://keyward.db org api-key create --type workspace-invoke");
    assert_eq!(made.code, Some(0), "{made}");
    let database = shell.path("keyward.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).expect("our own file");
    shell
}

fn upstream(address: &str) -> String {
    format!(
        "upstreams.vllm.url = \"http://{address}\"\nupstreams.vllm.limits.pool_idle_timeout = \"100ms\"\n"
    )
}

/// What it found about `check`.
fn findings(ran: &Ran, check: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran}"));
    let all = report["findings"].as_array().expect("a list").clone();
    all.into_iter()
        .filter(|finding| finding["check"] == check)
        .collect()
}

#[test]
fn what_is_well_is_told_and_ends_with_zero() {
    let address = model_server(true);
    let ran = shell(&upstream(&address)).line("doctor");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    assert_data_eq!(
        ran.out.replace(&address, "ADDRESS"),
        str![[r#"
ok    settings    no mistakes in keyward.toml
ok    admin       administrators connect to 127.0.0.1:9090
ok    database    1 keys, read in [..]
ok    clock       this machine's and the database's agree
ok    file        keyward.db is not open to everybody
ok    file        keyward.toml is not open to everybody
ok    upstream    vllm at ADDRESS: it answers, and keeps unused connections for longer than we do (100ms)
ok    exposure    vllm at ADDRESS: nobody listens on that port but on loopback

"#]]
    );
}

#[test]
fn an_upstream_that_hangs_up_too_soon_is_named_with_the_setting() {
    let address = model_server(false);
    let shell = shell(&upstream(&address));
    let ran = shell.line("doctor -o json");
    assert_eq!(ran.code, Some(0), "{ran}");
    let found = findings(&ran, "upstream");
    assert_eq!(found[0]["verdict"], "warn", "{ran}");
    let remedy = found[0]["remedy"].as_str().expect("a remedy");
    assert!(
        remedy.contains("upstreams.vllm.limits.pool_idle_timeout"),
        "{ran}"
    );
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(report["verdict"], "warn");
}

#[test]
fn what_fails_ends_with_one_and_all_of_it_is_told() {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = gone.local_addr().expect("it listens").to_string();
    drop(gone);
    let settings = format!(
        "{}store.url = \"postgres://u:canary@127.0.0.1:1/k\"\n",
        upstream(&address)
    );
    let shell = shell(&settings);
    let ran = shell.line("doctor -o json");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran}");
    for check in ["database", "upstream"] {
        let found = findings(&ran, check);
        assert_eq!(found[0]["verdict"], "fail", "{ran}");
        assert!(found[0]["remedy"].is_string(), "{ran}");
    }
    assert!(!ran.out.contains("canary"), "{ran}");
    let ran = shell.line("doctor");
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(ran.out.matches("\nfail ").count(), 2, "{ran}");
    assert_eq!(ran.out.matches("->").count(), 2, "{ran}");
}

#[test]
fn wrong_settings_end_with_two_and_every_mistake() {
    let shell = shell("cache.keys = 0\nproxy.lisen = \"x\"\n");
    let ran = shell.line("doctor");
    assert_eq!((ran.code, ran.err.as_str()), (Some(2), ""), "{ran}");
    for word in ["fail  settings", "cache.keys", "proxy.lisen", "->"] {
        assert!(ran.out.contains(word), "{ran}");
    }
    let ran = shell.line("doctor -o json");
    assert_eq!(ran.code, Some(2), "{ran}");
    assert_eq!(findings(&ran, "settings").len(), 1);
}

#[test]
fn files_that_everybody_may_read_or_write_are_named() {
    let address = model_server(true);
    let settings = format!(
        "{}admin.token = {{ file = \"token\" }}\n",
        upstream(&address)
    );
    let shell = shell(&settings);
    fs::write(shell.path("token"), "kwadmin_canary-canary").expect("our own home");
    let permit = |name: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(shell.path(name), mode).expect("our own file");
    };
    permit("token", 0o644);
    permit("keyward.db", 0o666);
    let ran = shell.line("doctor -o json");
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(!ran.out.contains("canary"), "{ran}");
    let verdict = |name: &str| {
        let found = findings(&ran, "file");
        let about = |finding: &&Value| {
            finding["found"]
                .as_str()
                .is_some_and(|text| text.starts_with(name))
        };
        found
            .iter()
            .find(about)
            .unwrap_or_else(|| panic!("{name}: {ran}"))["verdict"]
            .clone()
    };
    assert_eq!(verdict("token"), "warn");
    assert_eq!(verdict("keyward.db"), "fail");
    assert_eq!(verdict("keyward.toml"), "ok");
    permit("token", 0o600);
    permit("keyward.db", 0o600);
    assert_eq!(shell.line("doctor").code, Some(0));
}

#[test]
fn a_certificate_that_has_ended_and_a_listener_without_one_are_named() {
    let address = model_server(true);
    let shell = shell(&format!(
        "{}proxy.listen = \"0.0.0.0:0\"\nadmin.listen = \"0.0.0.0:9090\"\n",
        upstream(&address)
    ));
    let ran = shell.line("doctor -o json");
    assert_eq!(ran.code, Some(0), "{ran}");
    for check in ["callers", "admin"] {
        assert_eq!(findings(&ran, check)[0]["verdict"], "warn", "{ran}");
    }

    let authority = Authority::called("doctor");
    for (year, verdict, code) in [(2100, "ok", 0), (2020, "fail", 1)] {
        let folder = Folder::with(&authority.server_until(year));
        let settings = format!("{}{}", upstream(&address), folder.settings("proxy.tls"));
        fs::write(shell.path("keyward.toml"), settings).expect("our own home");
        let ran = shell.line("doctor -o json");
        let found = findings(&ran, "certificate");
        assert_eq!(found.len(), 1, "{ran}");
        assert_eq!(found[0]["verdict"], verdict, "{ran}");
        let key = findings(&ran, "file");
        let about_key = |finding: &&Value| finding["found"].to_string().contains("tls.key");
        assert!(key.iter().any(|finding| about_key(&finding)), "{ran}");
        assert_eq!(ran.code, Some(code), "{ran}");
    }
}

#[test]
fn nothing_is_made_by_looking() {
    let shell = Shell::new();
    fs::write(shell.path("keyward.toml"), upstream(&model_server(true))).expect("our own home");
    let ran = shell.line("doctor -o json");
    assert_eq!(findings(&ran, "database")[0]["verdict"], "warn", "{ran}");
    assert!(!shell.path("keyward.db").exists());
}
