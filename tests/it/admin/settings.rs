//! Settings that cannot be, and their messages.

use std::sync::Arc;

use keyward::admin::{AdminConfig, AdminConfigError, AdminState, AdminToken, NoViews};
use keyward::clock::Clock;
use keyward::key::KeyDigest;
use keyward::registry::KeyRegistry;
use keyward::telemetry::metrics::Metrics;
use keyward::upstream::KeyCatalogue;
use rstest::rstest;

use crate::support::store::Database;

async fn mistake(config: &AdminConfig) -> Option<AdminConfigError> {
    let database = Database::sqlite().await;
    let clock = Clock::system();
    let registry = KeyRegistry::new(Arc::clone(&database.store), clock.clone(), None);
    let token = AdminToken::new(KeyDigest::of(b"token"));
    AdminState::new(
        config,
        registry,
        KeyCatalogue::empty(),
        token,
        clock,
        Metrics::unrecorded(),
        Arc::new(NoViews),
    )
    .err()
}

#[rstest]
#[case(&["basten"], &[], "no dialect is called `basten`; there are `baseten`, `px0`, `bifrost`")]
#[case(&[], &[], "name at least one dialect; there are `baseten`, `px0`, `bifrost`")]
#[case(&["baseten"], &["admin.example", "http://admin.example"], "`http://admin.example` is no host name")]
#[tokio::test]
async fn a_mistake_is_named(
    #[case] dialects: &[&str],
    #[case] hosts: &[&str],
    #[case] message: &str,
) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let config = AdminConfig {
        dialects: owned(dialects),
        hosts: owned(hosts),
        ..AdminConfig::default()
    };
    let mistake = mistake(&config).await.map(|mistake| mistake.to_string());
    assert_eq!(mistake.as_deref(), Some(message));
}

#[tokio::test]
async fn the_defaults_are_no_mistake() {
    assert_eq!(mistake(&AdminConfig::default()).await, None);
}
