//! `org api-key export`: everything but the texts, in a form that makes the same keys elsewhere.

use std::os::unix::fs::PermissionsExt as _;

use keyward::key::{
    ApiKey, ImportedKey, KeyCategory, KeyDigest, KeyId, ModelScope, Name, OldDigest, Operation,
    UnixTime,
};
use keyward::store::{Import, OnConflict, StoreConfig};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rstest::rstest;
use uuid::Uuid;

use super::import::{csv, feed};
use super::shell::{Ran, Shell};
use crate::support::store::open;

fn config(url: &str) -> StoreConfig {
    StoreConfig {
        url: url.to_owned(),
        ..StoreConfig::default()
    }
}

/// Every live key of the database at `url`, in the order of their ids; what names a team or organisation is its name.
async fn keys(url: &str) -> Vec<ApiKey> {
    let store = open(&config(url)).await;
    let mut keys = Vec::new();
    store.snapshot(&mut |key| keys.push(key)).await.unwrap();
    store.close().await;
    keys.sort_by_key(|key| key.id);
    for key in &mut keys {
        key.org = keyward::key::OrgId::new(Uuid::nil());
        let team = key.team.as_mut().expect("a team");
        team.id = keyward::key::TeamId::new(Uuid::nil());
    }
    keys
}

fn names() -> impl Strategy<Value = Option<Name>> {
    prop::option::of("[ -~äß東\u{a0}]{1,12}")
        .prop_map(|name| name.and_then(|name| name.parse().ok()))
}

fn moments() -> impl Strategy<Value = Option<UnixTime>> {
    prop::option::of(0..5_000_000_000_u64).prop_map(|secs| secs.map(UnixTime::from_secs))
}

fn scopes() -> impl Strategy<Value = ModelScope> {
    prop::option::of(prop::collection::vec("[ -)+-~ü]{1,9}[*]?", 1..4))
        .prop_map(|models| ModelScope::from_request(models.as_deref()).unwrap())
}

prop_compose! {
    fn key()(
        seed: u128,
        old in prop::option::of(0..5_000_000_000_u64),
        name in names(),
        category in prop::sample::select(KeyCategory::ALL.to_vec()),
        operation in prop::option::of(prop::sample::select(vec![Operation::All, Operation::ReadRender])),
        scope in scopes(),
        owner in names(),
        moments in [moments(), moments(), moments(), moments()],
        ends_calls: bool,
    ) -> ImportedKey {
        let digest = |what: &str| KeyDigest::of(format!("{what} {seed}").as_bytes());
        let [created_at, expires_at, disabled_at, last_used_at] = moments;
        ImportedKey {
            id: Some(KeyId::new(Uuid::from_u128(seed))),
            prefix: format!("p-{seed}").parse().unwrap(),
            digest: digest("text"),
            old: old.map(|until| OldDigest { digest: digest("old"), until: UnixTime::from_secs(until) }),
            name,
            scope: if category.may_have_scope() { scope } else { ModelScope::Every },
            category,
            operation,
            team: keyward::key::TeamId::new(Uuid::nil()),
            owner,
            created_at,
            expires_at,
            disabled_at,
            ends_calls,
            last_used_at,
        }
    }
}

/// The law: what is exported and imported into an empty database is the same there.
#[test]
fn an_export_imported_elsewhere_makes_the_same_keys() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = Config {
        cases: 8,
        failure_persistence: None,
        ..Config::default()
    };
    let sets = prop::collection::vec(key(), 0..40);
    let law = TestRunner::new(cases).run(&sets, |mut set| {
        let (shell, url) = Shell::with_database();
        runtime.block_on(async {
            let store = open(&config(&url)).await;
            let teams = [
                store.teams().await.unwrap().remove(0).id,
                store
                    .insert_team(&"ops, \"east\"".parse().unwrap())
                    .await
                    .unwrap()
                    .id,
            ];
            for (key, team) in set.iter_mut().zip(teams.into_iter().cycle()) {
                key.team = team;
            }
            let import = Import {
                keys: set,
                on_conflict: OnConflict::Unname,
                dry_run: false,
                by: None,
            };
            store.import(&import).await.unwrap();
            store.close().await;
        });
        for format in ["csv", "jsonl"] {
            let exported = shell.line(&format!(
                "org api-key export --format {format} --database {url}"
            ));
            prop_assert_eq!(exported.code, Some(0), "{}", exported);
            let (other, other_url) = Shell::with_database();
            let line = format!("org api-key import --format {format} --create-teams");
            let ran = feed(&other, &other_url, &line, &exported.out);
            prop_assert_eq!(ran.code, Some(0), "{}", ran);
            let (here, there) =
                runtime.block_on(async { (keys(&url).await, keys(&other_url).await) });
            prop_assert_eq!(here, there);
        }
        Ok(())
    });
    law.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_export_holds_a_header_and_no_text_of_a_key() {
    let (shell, url) = Shell::with_database();
    let made = shell.line(&format!(
        "org api-key create --type personal --name me --database {url}"
    ));
    let text = made.out.trim_end();
    let exported = shell.line(&format!("org api-key export --database {url}"));
    assert_eq!(
        (exported.code, exported.err.as_str()),
        (Some(0), "exported 1 key\n")
    );
    let mut lines = exported.out.lines();
    let header = "digest,prefix,name,type,model_ids,team,owner,created_at,expires_at,enabled,last_used_at,id,operation,\
                  disabled_at,old_digest,old_until,ends_calls";
    assert_eq!(lines.next(), Some(header));
    let digest = KeyDigest::of(text.as_bytes()).to_hex();
    let (prefix, secret) = text.split_once('.').unwrap();
    let row = lines.next().unwrap();
    assert!(
        row.starts_with(&format!("{digest},{prefix},me,PERSONAL,,default,admin,")),
        "{row}"
    );
    assert!(!exported.out.contains(secret));
    let json = shell.line(&format!(
        "org api-key export --format jsonl --database {url}"
    ));
    assert!(
        json.out.starts_with(&format!(
            r#"{{"digest":"{digest}","prefix":"{prefix}","name":"me","#
        )),
        "{json}"
    );
    assert!(!json.out.contains(secret));
}

#[test]
fn a_file_is_for_its_owner_alone_and_whole() {
    let (shell, url) = Shell::with_database();
    feed(&shell, &url, "org api-key import --format csv", &csv(1234));
    let file = shell.path("keys.csv");
    std::fs::write(&file, "what was there").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let line = format!("org api-key export --output-file keys.csv --database {url}");
    assert_eq!(shell.line(&line), Ran::new(0, "", "exported 1234 keys\n"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap().lines().count(),
        1235
    );
    let json = shell.line(&format!("{line} -o jsonl"));
    assert_eq!(
        json,
        Ran::new(0, "{\"exported\":1234,\"left_out\":0}\n", "")
    );
    let left = std::fs::read_dir(shell.path("")).unwrap();
    let drafts = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".keyward-")
    });
    assert_eq!(drafts.count(), 0);
}

#[rstest]
#[case("-o json")]
#[case("-o none")]
#[case("--jq .exported")]
fn the_summary_does_not_mix_with_the_rows(#[case] flags: &str) {
    let (shell, url) = Shell::with_database();
    let ran = shell.line(&format!("org api-key export {flags} --database {url}"));
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.err
            .starts_with("--output and --jq are about the summary"),
        "{ran}"
    );
}

#[test]
fn a_row_that_cannot_be_read_is_told_and_left_out() {
    let (shell, url) = Shell::with_database();
    feed(&shell, &url, "org api-key import --format csv", &csv(2));
    let broken = std::process::Command::new("sqlite3")
        .arg(shell.path("keys.db"))
        .arg("UPDATE api_keys SET scope = 'CANARY' WHERE prefix = 'ext-0'")
        .status();
    assert!(broken.unwrap().success());
    let exported = shell.line(&format!("org api-key export --database {url}"));
    assert_eq!(exported.code, Some(0), "{exported}");
    assert_eq!(exported.out.lines().count(), 2);
    assert!(exported.err.contains("left out: the row 0"), "{exported}");
    assert!(
        exported
            .err
            .contains(": its scope is no list of model ids\n"),
        "{exported}"
    );
    assert!(!exported.err.contains("CANARY"), "{exported}");
}

#[test]
fn whoever_exports_makes_no_database() {
    let (shell, url) = Shell::with_database();
    let ran = shell.line(&format!("org api-key export --database {url}"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(!shell.path("keys.db").exists());
}
