//! What administrators do, over a real database: what every dialect and the command line build on.

use std::sync::Arc;
use std::time::Duration;

use keyward::clock::Clock;
use keyward::key::{
    ImportedKey, KeyCategory, KeyDigest, KeySelector, ModelScope, Operation, Origin, PresentedKey,
    UnixTime,
};
use keyward::registry::{
    Caller, Command, CreateKey, KeyRegistry, Outcome, RegistryError, UpdateKey,
};
use keyward::store::{Cursor, Import, OnConflict};
use rstest::rstest;
use tokio::sync::watch;

use crate::support::store::{Database, in_time};

fn wanted(category: KeyCategory) -> CreateKey {
    CreateKey {
        name: None,
        category,
        operation: None,
        scope: ModelScope::Every,
        team: None,
        expires_at: None,
        ends_calls: false,
    }
}

fn registry(database: &Database, applied: Option<watch::Receiver<Cursor>>) -> KeyRegistry {
    KeyRegistry::new(Arc::clone(&database.store), Clock::system(), applied)
}

async fn create(registry: &KeyRegistry, wanted: CreateKey) -> (KeySelector, String) {
    match registry
        .execute(&Caller::OPERATOR, Command::Create(wanted))
        .await
    {
        Ok(Outcome::Created { key, secret }) => {
            (KeySelector::Id(key.id), secret.reveal().to_owned())
        }
        other => panic!("no key was made: {other:?}"),
    }
}

/// ARCHITECTURE 4: a deletion that has been answered is in force here.
#[tokio::test]
async fn a_change_is_answered_once_it_is_in_force() {
    let database = Database::sqlite().await;
    let start = database.end_of_log().await;
    let (follower, applied) = watch::channel(start);
    let registry = registry(&database, Some(applied));
    let made = create(&registry, wanted(KeyCategory::Personal));
    tokio::pin!(made);
    loop {
        let written = database.end_of_log();
        tokio::select! {
            biased;
            _ = &mut made => panic!("answered before it was in force"),
            written = written => if written > start {
                break;
            },
        }
    }
    follower.send_replace(Cursor::new(start.seq() + 1));
    let (which, _) = in_time(made).await;
    let deleted = registry.execute(&Caller::OPERATOR, Command::Delete(which));
    let force = async {
        in_time(async {
            while database.end_of_log().await.seq() < start.seq() + 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        follower.send_replace(Cursor::new(start.seq() + 2));
    };
    let (deleted, ()) = tokio::join!(in_time(deleted), force);
    assert!(matches!(deleted, Ok(Outcome::Deleted(_))));
}

/// Nobody waits for ever for a follower that is stuck or gone.
#[rstest]
#[case::stuck(false)]
#[case::gone(true)]
#[tokio::test]
async fn a_change_that_is_not_followed_is_answered_nevertheless(#[case] is_gone: bool) {
    let database = Database::sqlite().await;
    let (follower, applied) = watch::channel(Cursor::default());
    let _stuck = (!is_gone).then_some(follower);
    let start = std::time::Instant::now();
    in_time(create(
        &registry(&database, Some(applied)),
        wanted(KeyCategory::Personal),
    ))
    .await;
    let waited = start.elapsed();
    assert_eq!(waited >= Duration::from_secs(2), !is_gone, "{waited:?}");
}

#[tokio::test]
async fn a_key_is_its_holder_until_it_ends() {
    let database = Database::sqlite().await;
    let clock = Clock::manual(UnixTime::from_secs(4_000_000_000));
    let registry = KeyRegistry::new(Arc::clone(&database.store), clock.clone(), None);
    let wanted = CreateKey {
        expires_at: Some(UnixTime::from_secs(4_000_000_010)),
        ..wanted(KeyCategory::Personal)
    };
    let (_, text) = create(&registry, wanted).await;
    let holder = || async {
        let presented = PresentedKey::parse(text.as_bytes()).unwrap();
        registry
            .authenticate(presented, Origin::Database)
            .await
            .unwrap()
    };
    assert!(
        holder()
            .await
            .is_some_and(|caller| caller.holds().is_some())
    );
    clock.advance(Duration::from_secs(9));
    assert!(holder().await.is_some());
    clock.advance(Duration::from_secs(1));
    assert!(holder().await.is_none());
}

#[tokio::test]
async fn a_key_does_not_begin_after_its_end() {
    let database = Database::sqlite().await;
    let clock = Clock::manual(UnixTime::from_secs(4_000_000_000));
    let registry = KeyRegistry::new(Arc::clone(&database.store), clock, None);
    let wanted = CreateKey {
        expires_at: Some(UnixTime::from_secs(4_000_000_000)),
        ..wanted(KeyCategory::Personal)
    };
    let refused = registry
        .execute(&Caller::OPERATOR, Command::Create(wanted))
        .await;
    assert!(
        matches!(refused, Err(RegistryError::Invalid(_))),
        "{refused:?}"
    );
    assert!(database.fill().await.is_empty());
}

/// The text before a rotation is its holder's too, while its grace lasts, and is not once it has been disabled.
#[tokio::test]
async fn the_old_text_of_a_rotated_key_is_its_holder_too() {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let (_, text) = create(&registry, wanted(KeyCategory::Personal)).await;
    let holder = || async {
        let presented = PresentedKey::parse(text.as_bytes()).unwrap();
        registry
            .authenticate(presented, Origin::Database)
            .await
            .unwrap()
    };
    let rotate = "UPDATE api_keys SET old_digest = digest, old_until = unixepoch() + 60, \
                  digest = randomblob(32)";
    database.by_hand(rotate).await;
    assert!(holder().await.is_some());
    database
        .by_hand("UPDATE api_keys SET disabled_at = unixepoch()")
        .await;
    assert!(holder().await.is_none());
    database
        .by_hand("UPDATE api_keys SET disabled_at = NULL, old_until = unixepoch()")
        .await;
    assert!(holder().await.is_none());
}

/// A new text may do what the key may, so only whoever may manage the key gets one; and nobody makes a key into what
/// they may not manage.
#[rstest]
#[case::of_a_personal_key(KeyCategory::Personal, UpdateKey::default(), false)]
#[case::of_a_workspace_key(KeyCategory::WorkspaceInvoke, UpdateKey::default(), true)]
#[case::to_all(KeyCategory::WorkspaceInvoke, becoming(Operation::All), true)]
#[case::to_admin(KeyCategory::WorkspaceInvoke, becoming(Operation::Admin), false)]
#[tokio::test]
async fn a_key_is_changed_by_whoever_may_manage_what_it_is_and_becomes(
    #[case] category: KeyCategory,
    #[case] change: UpdateKey,
    #[case] may: bool,
) {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let (_, text) = create(&registry, wanted(KeyCategory::WorkspaceManageAll)).await;
    let presented = PresentedKey::parse(text.as_bytes()).unwrap();
    let caller = registry
        .authenticate(presented, Origin::Database)
        .await
        .unwrap()
        .unwrap();
    let (which, _) = create(&registry, wanted(category.clone())).await;
    let may_rotate = category != KeyCategory::Personal;
    let rotate = Command::Rotate(which.clone(), 0);
    let commands = [(Command::Update(which, change), may), (rotate, may_rotate)];
    for (command, may) in commands {
        let outcome = registry.execute(&caller, command).await;
        assert_eq!(outcome.is_ok(), may, "{outcome:?}");
        assert!(may || matches!(outcome, Err(RegistryError::Forbidden)));
    }
}

fn becoming(operation: Operation) -> UpdateKey {
    UpdateKey {
        operation: Some(operation),
        ..UpdateKey::default()
    }
}

#[tokio::test]
async fn a_key_that_reads_metrics_keeps_its_type_when_it_is_to_read_and_render() {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let (which, _) = create(&registry, wanted(KeyCategory::WorkspaceExportMetrics)).await;
    let update = Command::Update(which, becoming(Operation::ReadRender));
    let Ok(Outcome::Updated(key)) = registry.execute(&Caller::OPERATOR, update).await else {
        panic!("it was not changed");
    };
    assert_eq!(key.category, KeyCategory::WorkspaceExportMetrics);
    assert_eq!(key.operation, None);
}

/// What is limited to models stays so, or is refused: a type that cannot be limited would lose the limit.
#[tokio::test]
async fn a_key_for_some_models_does_not_become_one_for_all() {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let wanted = CreateKey {
        scope: ModelScope::from_request(Some(&["m"])).unwrap(),
        ..wanted(KeyCategory::WorkspaceInvoke)
    };
    let (which, _) = create(&registry, wanted).await;
    let update = Command::Update(which.clone(), becoming(Operation::All));
    let refused = registry.execute(&Caller::OPERATOR, update).await;
    assert!(
        matches!(refused, Err(RegistryError::Invalid(_))),
        "{refused:?}"
    );
    let both = UpdateKey {
        scope: Some(ModelScope::Every),
        ..becoming(Operation::All)
    };
    let update = Command::Update(which, both);
    assert!(registry.execute(&Caller::OPERATOR, update).await.is_ok());
}

#[rstest]
#[case::at_once(0, false)]
#[case::with_grace(60, true)]
#[tokio::test]
async fn a_rotated_key_has_a_new_text_and_the_old_one_for_its_grace(
    #[case] grace_secs: u64,
    #[case] works: bool,
) {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let (which, old) = create(&registry, wanted(KeyCategory::Personal)).await;
    let rotate = Command::Rotate(which, grace_secs);
    let Ok(Outcome::Rotated { key, secret }) = registry.execute(&Caller::OPERATOR, rotate).await
    else {
        panic!("it was not rotated");
    };
    assert_eq!(key.prefix, secret.prefix());
    for (text, works) in [(secret.reveal(), true), (&old, works)] {
        let presented = PresentedKey::parse(text.as_bytes()).unwrap();
        let holder = registry
            .authenticate(presented, Origin::Database)
            .await
            .unwrap();
        assert_eq!(holder.is_some(), works);
    }
}

#[tokio::test]
async fn an_outage_is_not_an_unknown_key() {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let (_, text) = create(&registry, wanted(KeyCategory::Personal)).await;
    database.store.close().await;
    let presented = PresentedKey::parse(text.as_bytes()).unwrap();
    assert!(
        registry
            .authenticate(presented, Origin::Database)
            .await
            .is_err()
    );
}

fn imported(team: keyward::key::TeamId, category: KeyCategory) -> ImportedKey {
    ImportedKey {
        id: None,
        prefix: "old-1".parse().unwrap(),
        digest: KeyDigest::of(b"an old key"),
        old: None,
        name: None,
        category,
        operation: None,
        scope: ModelScope::Every,
        team,
        owner: None,
        created_at: None,
        expires_at: None,
        disabled_at: None,
        ends_calls: false,
        last_used_at: None,
    }
}

/// An imported key may be of any category and owner, and an export gives out digests: both are for whoever may do
/// everything.
#[rstest]
#[case::personal(KeyCategory::Personal, true)]
#[case::manage_all(KeyCategory::WorkspaceManageAll, false)]
#[case::invoke(KeyCategory::WorkspaceInvoke, false)]
#[tokio::test]
async fn only_whoever_may_do_everything_imports_and_exports(
    #[case] category: KeyCategory,
    #[case] may: bool,
) {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let (_, text) = create(&registry, wanted(category)).await;
    let presented = PresentedKey::parse(text.as_bytes()).unwrap();
    let caller = registry
        .authenticate(presented, Origin::Database)
        .await
        .unwrap()
        .unwrap();
    let team = database.store.teams().await.unwrap().remove(0).id;
    let import = Import {
        keys: vec![imported(team, KeyCategory::WorkspaceInvoke)],
        on_conflict: OnConflict::Fail,
        dry_run: false,
        by: None,
    };
    for command in [Command::Export(None), Command::Import(import)] {
        let outcome = registry.execute(&caller, command).await;
        assert_eq!(outcome.is_ok(), may, "{outcome:?}");
        assert!(may || matches!(outcome, Err(RegistryError::Forbidden)));
    }
    assert_eq!(database.fill().await.len(), 1 + usize::from(may));
}

#[tokio::test]
async fn an_import_with_a_key_that_contradicts_itself_is_refused_whole() {
    let database = Database::sqlite().await;
    let registry = registry(&database, None);
    let team = database.store.teams().await.unwrap().remove(0).id;
    let good = imported(team, KeyCategory::Personal);
    let bad = ImportedKey {
        prefix: "old-2".parse().unwrap(),
        digest: KeyDigest::of(b"another"),
        scope: ModelScope::from_request(Some(&["m"])).unwrap(),
        ..good.clone()
    };
    let import = Command::Import(Import {
        keys: vec![good, bad],
        on_conflict: OnConflict::Skip,
        dry_run: false,
        by: None,
    });
    let refused = registry.execute(&Caller::OPERATOR, import).await;
    assert!(
        matches!(refused, Err(RegistryError::Invalid(_))),
        "{refused:?}"
    );
    assert!(database.fill().await.is_empty());
}
