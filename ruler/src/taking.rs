//! Groups that change: those that stay go on, those that are new begin, those that are gone end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt as _;
use membership::Own;
use model::TenantId;

use crate::error::LoadError;
use crate::group::{Described, GroupKey, Unit};
use crate::running::{Begin, Running, bury};
use crate::service::{Groups, Shared};

/// Of how many tenants groups are stopped and begun at the same time where all change.
const TENANTS_AT_ONCE: usize = 64;

impl Shared {
    /// Evaluates what files say for a tenant, and what it has set itself, from now on.
    pub(crate) async fn apply(&self, tenant: &TenantId) -> Result<(), LoadError> {
        let turn = self.turns.of(tenant);
        let _taking = turn.taking().await;
        self.replace(tenant, self.wanted(tenant)).await
    }

    /// What files say for a tenant, and what it has set itself.
    pub(crate) fn wanted(&self, tenant: &TenantId) -> Vec<Described> {
        let mut wanted = match *tenant == self.evaluator.config.tenant {
            true => self.said.lock().clone(),
            false => Vec::new(),
        };
        for (file, namespace) in self.namespaces(tenant) {
            let allowed = namespace.groups().iter().filter(|group| self.may_read(group));
            let usable = allowed.filter_map(|group| group.said().as_ref().ok());
            wanted.extend(usable.map(|group| Described {
                file: file.clone(),
                group: Arc::clone(group),
                stored: true,
            }));
        }
        wanted
    }

    /// Whether a file of rules has a group of that name, in a file of that name, for the tenant.
    pub(crate) fn is_of_file(&self, tenant: &TenantId, file: &str, group: &str) -> bool {
        let is = |described: &Described| described.file == file && described.group.name == group;
        *tenant == self.evaluator.config.tenant && self.said.lock().iter().any(is)
    }

    /// Makes these the groups of a tenant, while nobody else does. Those that stay as they are go on undisturbed; those that
    /// change keep their state.
    async fn replace(&self, tenant: &TenantId, wanted: Vec<Described>) -> Result<(), LoadError> {
        let (mut old, others) = {
            let mut groups = self.groups.lock();
            let old = groups.remove(tenant).unwrap_or_default();
            (old, groups.values().map(BTreeMap::len).sum::<usize>())
        };
        // In a cluster there may always have been another ruler.
        let restores = self.shares().is_some() || !self.begun.load(Ordering::Acquire);
        let (mut kept, mut fresh, mut problems) = (Groups::new(), BTreeMap::new(), Vec::new());
        let mut moved = BTreeSet::new();
        for described in wanted {
            let key = described.key();
            if !self.owns(tenant, &described, old.contains_key(&key) || kept.contains_key(&key)) {
                if let Some(running) = old.get(&key) {
                    running.unit.set_moved();
                }
                moved.insert(key);
                continue;
            }
            if kept.contains_key(&key) || fresh.contains_key(&key) {
                let (file, group) = key;
                tracing::error!(%tenant, file, group, "a group is not evaluated that is called as one of a file");
                continue;
            }
            if old.get(&key).is_some_and(|running| running.unit.is_of(&described.group)) {
                kept.extend(old.remove_entry(&key));
                continue;
            }
            let (place, number) = (described.group.place, others + kept.len() + fresh.len());
            let (settings, metrics) = (Arc::clone(&self.settings), &self.evaluator.metrics);
            match Unit::new(tenant.clone(), described, settings, (metrics, number), restores) {
                Ok(unit) => drop(fresh.insert(key, Arc::new(unit))),
                Err(error) => problems.push(format!("{}: {place}: {error}", key.0)),
            }
        }
        if !problems.is_empty() {
            kept.append(&mut old);
            self.groups.lock().insert(tenant.clone(), kept);
            return Err(LoadError::Wrong { problems });
        }
        let stopping = old.into_iter().map(|(key, running)| async { (key, running.stop().await) });
        let mut stopped: BTreeMap<GroupKey, Arc<Unit>> =
            futures::future::join_all(stopping).await.into_iter().collect();
        for (key, unit) in fresh {
            let begin = match stopped.remove(&key) {
                Some(before) => {
                    unit.adopt(&before);
                    Begin::Next
                }
                None if self.shares().is_some() => Begin::Left,
                None => Begin::Next,
            };
            kept.insert(key, Running::start(unit, &self.evaluator, &self.evaluating, begin));
        }
        for (key, unit) in stopped {
            self.evaluator.metrics.forget(&unit.metrics);
            // Whoever has it now goes on with its series.
            if !moved.contains(&key) {
                bury(unit, Arc::clone(&self.evaluator), &self.evaluating);
            }
        }
        self.show(tenant, kept);
        Ok(())
    }

    /// Whether a group is to be evaluated here, which it is already or not.
    fn owns(&self, tenant: &TenantId, described: &Described, is_running: bool) -> bool {
        let Some(shares) = self.shares() else { return true };
        match shares.owns(&described.share_name(tenant)) {
            Own::Yes => true,
            Own::IfRunning => is_running,
            Own::No => false,
        }
    }

    /// Makes groups of all tenants what this ruler has of them. What is others' has been stopped when this returns.
    pub(crate) async fn apply_all(&self) {
        if !self.begun.load(Ordering::Acquire) {
            // Nothing is evaluated yet.
            return;
        }
        let mut tenants: BTreeSet<TenantId> = self.stored.lock().keys().cloned().collect();
        tenants.extend(self.groups.lock().keys().cloned());
        tenants.insert(self.evaluator.config.tenant.clone());
        let applied =
            futures::stream::iter(tenants).for_each_concurrent(TENANTS_AT_ONCE, |tenant| async move {
                if let Err(error) = self.apply(&tenant).await {
                    tracing::error!(%tenant, %error, "rules of a tenant cannot be evaluated");
                }
            });
        applied.await;
    }

    /// Puts the groups of a tenant where they are found.
    fn show(&self, tenant: &TenantId, running: Groups) {
        let units: Vec<Arc<Unit>> = running.values().map(|running| Arc::clone(&running.unit)).collect();
        let (mut shown, mut groups) = (self.shown.lock(), self.groups.lock());
        match units.is_empty() {
            true => drop((shown.remove(tenant), groups.remove(tenant))),
            false => drop((shown.insert(tenant.clone(), units), groups.insert(tenant.clone(), running))),
        }
        let count: usize = groups.values().map(BTreeMap::len).sum();
        self.evaluator.metrics.groups.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
