//! `keyward database migrate`.

use super::shell::{Ran, Shell};
use crate::support::postgres::Postgres;

#[test]
fn a_file_is_made_and_migrated() {
    let (shell, url) = Shell::with_database();
    let migrate = format!("database migrate --database {url} -o json");
    let ran = shell.line(&migrate);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    assert!(ran.out.contains("\"was\": 0"), "{ran}");
    let ran = shell.line(&format!("database migrate --database {url}"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran}");
    assert!(ran.err.contains("there was nothing to do"), "{ran}");
}

#[tokio::test]
async fn postgres_is_migrated_by_this_and_by_nothing_else() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let database = server.new_database().await;
    let url = server.url(&database);
    // Its url may hold a password, and so does not stand where others can read it.
    let shell = Shell::new().with("KEYWARD_DATABASE_URL", &url);
    for line in [
        "org api-key list --database",
        "org team create --name x --database",
    ] {
        let ran = shell.line(&format!("{line} {url}"));
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(
            ran.err
                .contains("make them with `keyward database migrate`"),
            "{ran}"
        );
    }
    let serve = shell.line(
        "serve --upstream http://127.0.0.1:9 --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
    );
    assert_eq!(serve.code, Some(1), "{serve}");
    assert!(serve.err.contains("`keyward database migrate`"), "{serve}");

    let ran = shell.line("database migrate");
    let words = "Migrated the key database from version 0 to 5\n";
    assert_eq!(ran, Ran::new(0, "", words));
    let ran = shell.line("database migrate -o jsonl");
    assert_eq!(ran, Ran::new(0, "{\"is\":5,\"was\":5}\n", ""));
    let ran = shell.line(&format!("org api-key list --database {url}"));
    assert_eq!(ran.code, Some(0), "{ran}");
    server.forget(&database);
}

#[test]
fn mistakes_about_the_database_are_told_and_nothing_else_is_asked_for() {
    let shell = Shell::new()
        .with(
            "KEYWARD_DATABASE_URL",
            "postgres://u:geheim@127.0.0.1:1/keyward?sslmod=require",
        )
        .with("KEYWARD_STORE__POSTGRES__CONNECTIONS", "1");
    let ran = shell.line("database migrate");
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran}");
    assert!(
        ran.err
            .contains("store.url: the url holds the parameter `sslmod`"),
        "{ran}"
    );
    assert!(ran.err.contains("store.postgres.connections"), "{ran}");
    assert!(
        !ran.err.contains("geheim") && !ran.err.contains("upstream"),
        "{ran}"
    );
}

#[test]
fn a_server_that_is_not_there_is_told_without_the_password() {
    let url = "postgres://u:geheim@127.0.0.1:1/keyward";
    let ran = Shell::new()
        .with("KEYWARD_DATABASE_URL", url)
        .line("database migrate");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(ran.err.contains("postgres://127.0.0.1:1/keyward"), "{ran}");
    assert!(!ran.err.contains("geheim"), "{ran}");
}
