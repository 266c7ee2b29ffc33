//! A key, made straight in a database.

use keyward::clock::Clock;
use keyward::key::{KeyCategory, ModelScope};
use keyward::registry::{Caller, Command, CreateKey, KeyRegistry, Outcome};
use keyward::store::{self, StoreConfig};
use keyward::telemetry::metrics::Metrics;

/// The text of a new key of the model `llama`.
pub async fn make_key(database: &str) -> String {
    let config = StoreConfig {
        url: database.to_owned(),
        ..StoreConfig::default()
    };
    let store = store::open(&config, Metrics::unrecorded().store)
        .await
        .expect("a database");
    let keys = KeyRegistry::new(store.clone(), Clock::system(), None);
    let wish = CreateKey {
        name: None,
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::from_request(Some(&["llama"])).expect("a model"),
        team: None,
        expires_at: None,
        ends_calls: false,
    };
    let made = keys.execute(&Caller::OPERATOR, Command::Create(wish));
    let Ok(Outcome::Created { secret, .. }) = made.await else {
        unreachable!("a new database takes a key");
    };
    store.close().await;
    secret.reveal().to_owned()
}
