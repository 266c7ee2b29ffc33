//! A key database that was away when it was first to be opened.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    AuditEntry, Changes, Cursor, Import, Imported, Instance, InstanceId, InstanceReport, KeyPage,
    KeyStore, ListMark, ListPage, PageMark, SnapshotEnd, StoreConfig, StoreError,
};
use crate::key::{
    Actor, ApiKey, KeyDigest, KeyFilter, KeyId, KeySelector, KeyUpdate, Name, NewApiKey, OrgId,
    Team, UnixTime,
};
use crate::telemetry::chain;
use crate::telemetry::metrics::StoreMetrics;

/// Opens the key database that `config.url` names, or, when it is away, a stand-in for it that becomes it.
///
/// The stand-in tries to open it again whenever a [`snapshot`] is asked for: whoever fills memory asks again and again
/// anyway, and waits between two attempts. Until then every other call is answered at once, with
/// [`StoreError::Away`], and [`changed`] waits.
///
/// [`snapshot`]: KeyStore::snapshot
/// [`changed`]: KeyStore::changed
///
/// # Errors
///
/// What [`open`](super::open) says, unless that is [away](StoreError::is_away): what a human has to put right ends the
/// start.
pub async fn open_or_await(
    config: &StoreConfig,
    metrics: StoreMetrics,
) -> Result<Arc<dyn KeyStore>, StoreError> {
    match super::open(config, metrics.clone()).await {
        Err(error) if error.is_away() => {
            let store = Reopening {
                config: config.clone(),
                metrics,
                opened: watch::Sender::new(None),
                attempts: tokio::sync::Mutex::default(),
                trouble: Mutex::default(),
                closed: CancellationToken::new(),
            };
            store.note(&error);
            Ok(Arc::new(store))
        }
        opened => opened,
    }
}

/// The stand-in, and then a way to the real one.
struct Reopening {
    config: StoreConfig,
    metrics: StoreMetrics,
    opened: watch::Sender<Option<Arc<dyn KeyStore>>>,
    /// Held while somebody tries: one attempt at a time.
    attempts: tokio::sync::Mutex<()>,
    trouble: Mutex<Trouble>,
    closed: CancellationToken,
}

/// What the last attempt ended with.
#[derive(Default)]
struct Trouble {
    address: String,
    advice: String,
    /// The last error that trying again does not mend, as it was told.
    told: Option<String>,
}

impl Reopening {
    /// The real one, if it could be opened by now.
    fn real(&self) -> Result<Arc<dyn KeyStore>, StoreError> {
        let opened = self.opened.borrow().clone();
        opened.ok_or_else(|| self.away())
    }

    /// The real one; tries to open it if need be. Dropped, it leaves nothing half open.
    async fn open(&self) -> Result<Arc<dyn KeyStore>, StoreError> {
        let _attempt = self.attempts.lock().await;
        if let Ok(real) = self.real() {
            return Ok(real);
        }
        if self.closed.is_cancelled() {
            return Err(self.away());
        }
        let real = super::open(&self.config, self.metrics.clone()).await;
        let real = real.inspect_err(|error| self.note(error))?;
        self.opened.send_replace(Some(Arc::clone(&real)));
        tracing::info!("the key database could be opened");
        Ok(real)
    }

    /// Keeps why it could not be opened, and says so when somebody has to do something about it: whoever waits for an
    /// outage to end would wait in vain.
    fn note(&self, error: &StoreError) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let StoreError::Away {
            address, advice, ..
        }
        | StoreError::Open {
            address, advice, ..
        } = error
        {
            address.clone_into(&mut trouble.address);
            advice.clone_into(&mut trouble.advice);
        }
        let told = (!error.is_away()).then(|| chain(error).to_string());
        if let Some(error) = told.as_deref().filter(|_| told != trouble.told) {
            tracing::error!(error, "the key database is there, and cannot be used");
        }
        trouble.told = told;
    }

    fn away(&self) -> StoreError {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        StoreError::Away {
            address: trouble.address.clone(),
            advice: trouble.advice.clone(),
            cause: None,
        }
    }
}

#[async_trait]
impl KeyStore for Reopening {
    async fn snapshot(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, StoreError> {
        self.open().await?.snapshot(each).await
    }

    async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        self.real()?.changes(cursor).await
    }

    async fn changed(&self) -> Result<(), StoreError> {
        let mut opened = self.opened.subscribe();
        // The sender is ours, so this ends only when the condition holds.
        let _ = opened.wait_for(Option::is_some).await;
        self.real()?.changed().await
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, StoreError> {
        self.real()?.find(digest).await
    }

    async fn list(&self, filter: &KeyFilter) -> Result<Vec<ApiKey>, StoreError> {
        self.real()?.list(filter).await
    }

    async fn list_page(
        &self,
        filter: &KeyFilter,
        after: Option<&ListMark>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        self.real()?.list_page(filter, after, limit).await
    }

    async fn get(&self, which: &KeySelector) -> Result<Option<ApiKey>, StoreError> {
        self.real()?.get(which).await
    }

    async fn insert(&self, key: &NewApiKey) -> Result<(ApiKey, Cursor), StoreError> {
        self.real()?.insert(key).await
    }

    async fn import(&self, import: &Import) -> Result<Imported, StoreError> {
        self.real()?.import(import).await
    }

    async fn page(&self, after: Option<&PageMark>) -> Result<KeyPage, StoreError> {
        self.real()?.page(after).await
    }

    async fn delete_by(
        &self,
        which: &KeySelector,
        by: Option<&Actor>,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        self.real()?.delete_by(which, by).await
    }

    async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.real()?.audit(before, limit).await
    }

    async fn update(
        &self,
        which: &KeySelector,
        change: &KeyUpdate,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        self.real()?.update(which, change).await
    }

    async fn record_last_used(&self, batch: &[(KeyId, UnixTime)]) -> Result<(), StoreError> {
        self.real()?.record_last_used(batch).await
    }

    async fn org(&self) -> Result<OrgId, StoreError> {
        self.real()?.org().await
    }

    async fn teams(&self) -> Result<Vec<Team>, StoreError> {
        self.real()?.teams().await
    }

    async fn insert_team_by(&self, name: &Name, by: Option<&Actor>) -> Result<Team, StoreError> {
        self.real()?.insert_team_by(name, by).await
    }

    async fn admin_token(&self) -> Result<Option<KeyDigest>, StoreError> {
        self.real()?.admin_token().await
    }

    async fn keep_admin_token_by(
        &self,
        digest: &KeyDigest,
        by: Option<&Actor>,
    ) -> Result<KeyDigest, StoreError> {
        self.real()?.keep_admin_token_by(digest, by).await
    }

    async fn report_instance(&self, report: &InstanceReport) -> Result<(), StoreError> {
        self.real()?.report_instance(report).await
    }

    async fn remove_instance(&self, id: InstanceId) -> Result<(), StoreError> {
        self.real()?.remove_instance(id).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.real()?.instances().await
    }

    async fn want_positions(&self, time: Duration) -> Result<(), StoreError> {
        self.real()?.want_positions(time).await
    }

    async fn close(&self) {
        self.closed.cancel();
        let _attempt = self.attempts.lock().await;
        if let Ok(real) = self.real() {
            real.close().await;
        }
    }
}
