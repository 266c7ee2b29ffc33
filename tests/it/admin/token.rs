//! The admin token: made once, shown once, kept as its digest.

use std::sync::Arc;

use keyward::admin::{TokenError, ensure_token};
use keyward::clock::Clock;
use keyward::credential::SecretText;
use keyward::key::KeyDigest;
use keyward::registry::KeyRegistry;

use crate::support::store::Database;

fn registry(database: &Database) -> KeyRegistry {
    KeyRegistry::new(Arc::clone(&database.store), Clock::system(), None)
}

#[tokio::test]
async fn a_token_is_made_at_the_first_start_and_shown_once() {
    let database = Database::sqlite().await;
    let first = ensure_token(&registry(&database), None).await.unwrap();
    let text = first
        .shown
        .expect("a new token is shown")
        .reveal()
        .to_owned();
    assert!(text.starts_with("kwadmin_") && text.len() == 55, "{text}");
    assert!(first.token.is(&KeyDigest::of(text.as_bytes())));
    let second = ensure_token(&registry(&database), None).await.unwrap();
    assert!(second.shown.is_none());
    assert!(second.token.is(&KeyDigest::of(text.as_bytes())));
    let mut file = std::fs::read(database.path()).unwrap();
    file.extend(std::fs::read(format!("{}-wal", database.path().display())).unwrap_or_default());
    let holds = |what: &[u8]| file.windows(what.len()).any(|bytes| bytes == what);
    assert!(holds(KeyDigest::of(text.as_bytes()).as_bytes()));
    assert!(!holds(&text.as_bytes()[17..]));
}

#[tokio::test]
async fn of_two_first_starts_one_shows_the_token_of_both() {
    let database = Database::sqlite().await;
    let (one, other) = (registry(&database), registry(&database));
    let (one, other) = tokio::join!(ensure_token(&one, None), ensure_token(&other, None));
    let (one, other) = (one.unwrap(), other.unwrap());
    let mut shown = [&one, &other]
        .into_iter()
        .filter_map(|made| made.shown.as_ref());
    let digest = shown.next().expect("one of them shows it").digest();
    assert!(shown.next().is_none());
    assert!(one.token.is(&digest) && other.token.is(&digest));
}

#[tokio::test]
async fn a_configured_token_is_used_and_not_kept() {
    let database = Database::sqlite().await;
    let configured = SecretText::new("a token of the operator's own".replace(' ', "-"));
    let ensured = ensure_token(&registry(&database), Some(configured.clone()))
        .await
        .unwrap();
    assert!(ensured.shown.is_none());
    assert!(
        ensured
            .token
            .is(&KeyDigest::of(configured.reveal().as_bytes()))
    );
    assert_eq!(database.store.admin_token().await.unwrap(), None);
}

#[tokio::test]
async fn a_token_that_nobody_could_present_is_refused() {
    let database = Database::sqlite().await;
    for text in ["", "two words", "schlüssel", "kw_not-quite-a-key"] {
        let configured = SecretText::new(text.to_owned());
        let refused = ensure_token(&registry(&database), Some(configured)).await;
        assert!(matches!(refused, Err(TokenError::Unusable(_))), "{text}");
    }
}

#[tokio::test]
async fn without_the_database_there_is_no_token() {
    let database = Database::sqlite().await;
    database.store.close().await;
    let refused = ensure_token(&registry(&database), None).await;
    assert!(matches!(refused, Err(TokenError::Registry(_))));
}
