//! Groups that change: those that stay go on, those that are new begin, those that are gone end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::TenantId;

use crate::error::LoadError;
use crate::group::{Described, GroupKey, Unit};
use crate::running::{Running, bury};
use crate::service::{Groups, Shared};

impl Shared {
    /// Evaluates what files say for a tenant, and what it has set itself, from now on.
    pub(crate) async fn apply(&self, tenant: &TenantId) -> Result<(), LoadError> {
        let turn = self.turns.of(tenant);
        let _taking = turn.taking().await;
        let mut wanted = match *tenant == self.evaluator.config.tenant {
            true => self.said.lock().clone(),
            false => Vec::new(),
        };
        for (file, namespace) in self.namespaces(tenant) {
            let usable = namespace.groups().iter().filter_map(|group| group.said().as_ref().ok());
            wanted.extend(usable.map(|group| Described {
                file: file.clone(),
                group: Arc::clone(group),
                stored: true,
            }));
        }
        self.replace(tenant, wanted).await
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
        let restores = !self.begun.load(Ordering::Acquire);
        let (mut kept, mut fresh, mut problems) = (Groups::new(), BTreeMap::new(), Vec::new());
        for described in wanted {
            let key = described.key();
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
            if let Some(before) = stopped.remove(&key) {
                unit.adopt(&before);
            }
            kept.insert(key, Running::start(unit, &self.evaluator, &self.evaluating));
        }
        for unit in stopped.into_values() {
            self.evaluator.metrics.forget(&unit.metrics);
            bury(unit, Arc::clone(&self.evaluator), &self.evaluating);
        }
        self.show(tenant, kept);
        Ok(())
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
