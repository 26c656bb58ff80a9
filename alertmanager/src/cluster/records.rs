//! What the metastore has of tenants: configurations, silences, and what was told. Taken in as it changes, and changed by
//! transactions that compare what they were decided on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use membership::records::{self, AlertmanagerConfigs, Kind as _, NotificationLog, Silences};
use membership::{Client, View, Watcher};
use model::TenantId;
use parking_lot::Mutex;
use proto::metastore::{AlertmanagerConfig, AlertmanagerState, Txn};
use proto::{Error, Stored};
use tokio::sync::watch;

use super::told;
use crate::own::{Own, OwnText};
use crate::service::Shared;
use crate::state::{Record, TenantState};

/// How long it is waited until this process has seen what it has committed.
const SEEN_PATIENCE: Duration = Duration::from_secs(5);
/// How many records are forgotten in one transaction.
const FORGET_BATCH: usize = 128;

/// What was taken in of the view.
#[derive(Default)]
struct Seen {
    cluster_id: u64,
    /// The revisions that last changed configurations, silences, and the log.
    configs_at: u64,
    silences_at: u64,
    log_at: u64,
    configs: BTreeMap<TenantId, u64>,
    silences: BTreeMap<Bytes, u64>,
    log: BTreeMap<Bytes, u64>,
}

/// The records.
pub(super) struct Records {
    client: Client,
    state: Watcher,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    /// What of silences and configurations was taken in: of which cluster, up to which revision.
    taken: watch::Sender<(u64, u64)>,
}

impl Records {
    pub(super) fn new(client: Client, state: Watcher, clock: Arc<dyn Clock>) -> Self {
        Self { client, state, clock, seen: Mutex::default(), taken: watch::Sender::new((0, 0)) }
    }

    /// Takes in what changed of configurations and silences.
    pub(super) async fn take(&self, shared: &Arc<Shared>, view: &View) {
        if !view.is_known() {
            return;
        }
        for (tenant, own) in self.changed_configs(shared, view).await {
            shared.use_own(&tenant, own);
            // What is on its way may take its time to end, which is no matter of others.
            let of = Arc::clone(shared);
            drop(shared.scope.spawn("configuration", async move { of.reload_tenant(&tenant).await }));
        }
        self.take_silences(shared, view);
        self.taken.send_replace((view.cluster_id(), view.revision()));
    }

    /// The configurations that changed; none where it was taken away.
    async fn changed_configs(&self, shared: &Arc<Shared>, view: &View) -> Vec<(TenantId, Option<Arc<Own>>)> {
        let changed = view.changed_at(AlertmanagerConfigs::PREFIX.as_bytes());
        let (mut texts, mut gone) = (Vec::new(), Vec::new());
        {
            let mut seen = self.seen.lock();
            if seen.cluster_id == view.cluster_id() && seen.configs_at == changed {
                return Vec::new();
            }
            if seen.cluster_id != view.cluster_id() {
                // Revisions count anew.
                *seen = Seen { cluster_id: view.cluster_id(), ..Seen::default() };
                gone.extend(shared.own.read().keys().cloned());
            }
            seen.configs_at = changed;
            let mut found = BTreeMap::new();
            for record in view.range(AlertmanagerConfigs::PREFIX.as_bytes()) {
                let Some((tenant, text)) = read_config(record) else { continue };
                if seen.configs.get(&tenant) != Some(&record.mod_revision) {
                    texts.push((tenant.clone(), text));
                }
                found.insert(tenant, record.mod_revision);
            }
            gone.extend(seen.configs.keys().cloned());
            gone.retain(|tenant| !found.contains_key(tenant));
            seen.configs = found;
        }
        let (language, around) = (shared.config.language(), shared.surroundings.clone());
        let made = shared.scope.run_blocking(move || {
            let made =
                |(tenant, text): (TenantId, OwnText)| (tenant, Some(Arc::new(text.kept(language, &around))));
            texts.into_iter().map(made).collect::<Vec<_>>()
        });
        let gone = gone.into_iter().map(|tenant| (tenant, None));
        made.await.unwrap_or_default().into_iter().chain(gone).collect()
    }

    fn take_silences(&self, shared: &Arc<Shared>, view: &View) {
        let changed = view.changed_at(Silences::PREFIX.as_bytes());
        let mut seen = self.seen.lock();
        if seen.silences_at == changed {
            return;
        }
        seen.silences_at = changed;
        let mut found = BTreeMap::new();
        let mut touched = BTreeSet::new();
        for record in view.range(Silences::PREFIX.as_bytes()) {
            found.insert(record.key.clone(), record.mod_revision);
            if seen.silences.get(&record.key) == Some(&record.mod_revision) {
                continue;
            }
            let Some(Record::Silence(tenant, silence)) = read::<Silences>(record) else { continue };
            let tenant = shared.add(tenant, TenantState::default());
            tenant.dispatcher.lock().silences_mut().store(*silence);
            touched.insert(tenant.id.clone());
        }
        for key in seen.silences.keys().filter(|key| !found.contains_key(*key)) {
            let parts = records::parts::<Silences>(key).unwrap_or_default();
            if let [tenant, id] = parts.as_slice()
                && let Some(tenant) = TenantId::new(tenant).ok().and_then(|tenant| shared.known(&tenant))
            {
                tenant.dispatcher.lock().silences_mut().remove(id);
            }
        }
        seen.silences = found;
        drop(seen);
        touched.iter().filter_map(|tenant| shared.known(tenant)).for_each(|tenant| tenant.wake());
    }

    /// Takes in what receivers were told of.
    pub(super) fn take_log(&self, shared: &Arc<Shared>, view: &View) {
        let changed = view.changed_at(told::prefix());
        let mut seen = self.seen.lock();
        if seen.log_at == changed || seen.cluster_id != view.cluster_id() {
            return;
        }
        seen.log_at = changed;
        let mut found = BTreeMap::new();
        for record in view.range(told::prefix()) {
            found.insert(record.key.clone(), record.mod_revision);
            if seen.log.get(&record.key) == Some(&record.mod_revision) {
                continue;
            }
            let Some(Record::Log(tenant, key, entry)) = read::<NotificationLog>(record) else { continue };
            let tenant = shared.add(tenant, TenantState::default());
            tenant.dispatcher.lock().heard_told(key, entry, shared.now());
        }
        seen.log = found;
    }

    /// The revision of a silence, 0 where there is none; to be asked before a change is decided on.
    pub(super) fn silence_revision(&self, tenant: &TenantId, id: &str) -> Result<u64, String> {
        if self.taken.borrow().0 == 0 {
            return Err("cannot be kept: nothing was heard of the metastore yet".to_owned());
        }
        Ok(self.seen.lock().silences.get(&key(tenant, id)).copied().unwrap_or_default())
    }

    /// Keeps silences, of which the one that is known was so at a revision; whether it still was.
    pub(super) async fn keep_silences(
        &self,
        tenant: &TenantId,
        silences: &[Record],
        (known, retention): (u64, Duration),
    ) -> Result<bool, Error> {
        let (mut compare, mut then) = (Vec::new(), Vec::new());
        for record in silences {
            let Record::Silence(_, silence) = record else { continue };
            let key = key(tenant, &silence.id);
            let is_known = self.seen.lock().silences.contains_key(&key);
            compare.push(records::unchanged(key.clone(), if is_known { known } else { 0 }));
            let forget_ms = silence.ends_at.plus(retention).nanos() / 1_000_000;
            let state = AlertmanagerState { record: record.encode().into(), forget_ms };
            then.push(records::put::<Silences>(key, &Stored::new(state)));
        }
        self.commit(Txn { compare, then, otherwise: Vec::new() }).await
    }

    /// Keeps what a tenant has set; without it, it is gone. Of two that change it at once the later one holds.
    pub(super) async fn keep_config(
        &self,
        tenant: &TenantId,
        own: Option<&OwnText>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let key = records::key::<AlertmanagerConfigs>(&[tenant.as_str()]);
        let then = vec![match own {
            Some(OwnText { yaml, templates }) => {
                let (yaml, templates) = (yaml.clone(), templates.clone());
                let config = AlertmanagerConfig { yaml, templates, set_ms: now_ms };
                records::put::<AlertmanagerConfigs>(key, &Stored::new(config))
            }
            None => records::delete(key),
        }];
        self.commit(Txn { compare: Vec::new(), then, otherwise: Vec::new() }).await.map(drop)
    }

    /// Commits, and waits until this process has seen it, or what was there instead.
    async fn commit(&self, txn: Txn) -> Result<bool, Error> {
        let cluster_id = self.taken.borrow().0;
        let answer = self.client.txn(txn).await.map_err(|error| {
            let message = format!(
                "the metastore did not commit it in time ({}); look whether it was done, and try again",
                error.message
            );
            Error { message, ..error }
        })?;
        let until = answer.header.map_or(0, |header| header.revision);
        let mut taken = self.taken.subscribe();
        // Another cluster counts anew, from a backup of this one.
        let reached = |taken: &(u64, u64)| taken.0 != cluster_id || taken.1 >= until;
        tokio::select! {
            biased;
            _ = taken.wait_for(reached) => {}
            () = self.clock.sleep(SEEN_PATIENCE) => tracing::warn!("the metastore does not tell of what it has committed"),
        }
        Ok(answer.result.unwrap_or_default().succeeded)
    }

    /// Has the metastore forget what nobody needs any more, of tenants that are wanted.
    pub(super) async fn forget(&self, now_ms: i64, wanted: impl Fn(&TenantId) -> bool) {
        let view = self.state.view();
        let old = |record: &&proto::metastore::Record| {
            let state = records::value::<Silences>(record).map(|state| state.message.forget_ms <= now_ms);
            let tenant =
                record.key.split(|byte| *byte == b'/').nth(1).and_then(|part| std::str::from_utf8(part).ok());
            let tenant = tenant.and_then(|tenant| TenantId::new(tenant).ok());
            state.unwrap_or(false) && tenant.is_some_and(|tenant| wanted(&tenant))
        };
        let silences = view.range(Silences::PREFIX.as_bytes()).filter(old);
        let old: Vec<(Bytes, u64)> = silences
            .chain(view.range(told::prefix()).filter(old))
            .map(|r| (r.key.clone(), r.mod_revision))
            .collect();
        for batch in old.chunks(FORGET_BATCH) {
            let compare =
                batch.iter().map(|(key, revision)| records::unchanged(key.clone(), *revision)).collect();
            let then = batch.iter().map(|(key, _)| records::delete(key.clone())).collect();
            // What was changed meanwhile, or is not reached, is left for the next time.
            if let Err(error) = self.client.txn(Txn { compare, then, otherwise: Vec::new() }).await {
                tracing::debug!(%error, "the metastore has not forgotten what nobody needs");
                return;
            }
        }
    }
}

fn key(tenant: &TenantId, id: &str) -> Bytes {
    records::key::<Silences>(&[tenant.as_str(), id])
}

/// A silence, or what was told. One that cannot be read is not there: a version that could wrote it.
fn read<K: records::Kind<Value = AlertmanagerState>>(record: &proto::metastore::Record) -> Option<Record> {
    let read = records::value::<K>(record).ok().and_then(|state| Record::decode(&state.message.record));
    if read.is_none() {
        let key = String::from_utf8_lossy(&record.key);
        tracing::error!(%key, "a record of the Alertmanager in the metastore cannot be read");
    }
    read
}

fn read_config(record: &proto::metastore::Record) -> Option<(TenantId, OwnText)> {
    let key = String::from_utf8_lossy(&record.key);
    let parts = records::parts::<AlertmanagerConfigs>(&record.key)?;
    let tenant = TenantId::new(parts.first()?).ok()?;
    match records::value::<AlertmanagerConfigs>(record) {
        Ok(config) => {
            let AlertmanagerConfig { yaml, templates, .. } = config.message;
            Some((tenant, OwnText { yaml, templates }))
        }
        Err(error) => {
            tracing::error!(%key, %error, "a tenant's configuration in the metastore cannot be read");
            None
        }
    }
}
