//! Changes of what is stored: decided, kept, and only then evaluated.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::TenantId;

use super::records::{Outcome, RuleRecords};
use super::{Change, Keeper, MAX_NAMESPACE_NAME_BYTES, Namespace, Namespaces, RuleDir, StoredGroup};
use crate::error::ChangeError;
use crate::service::Shared;

/// How often a change is decided on anew because somebody else was faster.
const MAX_DECISIONS: u32 = 16;

impl Shared {
    /// What a tenant has set.
    pub(crate) fn namespaces(&self, tenant: &TenantId) -> Namespaces {
        self.stored.lock().get(tenant).cloned().unwrap_or_default()
    }

    /// Sets a group of a tenant, in the place of one of the same name. It is durable then, and evaluated soon.
    pub(crate) async fn set_group(
        self: &Arc<Self>,
        tenant: &TenantId,
        namespace: &str,
        text: String,
    ) -> Result<(), ChangeError> {
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE_NAME_BYTES {
            return Err(ChangeError::Name);
        }
        let expressions = self.evaluator.query.parse_options(tenant);
        // Large groups take their time to be read.
        let read = self.scope.run_blocking(move || StoredGroup::read(&text, expressions)).await;
        let group = read.map_err(|error| ChangeError::Unkept(error.to_string()))?;
        self.change(tenant, namespace, Change::Set(Arc::new(group.map_err(ChangeError::Refused)?))).await
    }

    /// Takes a group of a tenant away.
    pub(crate) async fn delete_group(
        self: &Arc<Self>,
        tenant: &TenantId,
        namespace: &str,
        group: &str,
    ) -> Result<(), ChangeError> {
        self.change(tenant, namespace, Change::DeleteGroup(group.to_owned())).await
    }

    /// Takes all groups of a namespace away.
    pub(crate) async fn delete_namespace(
        self: &Arc<Self>,
        tenant: &TenantId,
        namespace: &str,
    ) -> Result<(), ChangeError> {
        self.change(tenant, namespace, Change::DeleteAll).await
    }

    /// Takes all namespaces of a tenant away.
    pub(crate) async fn delete_tenant(self: &Arc<Self>, tenant: &TenantId) -> Result<(), ChangeError> {
        if let Keeper::Metastore(records) = &self.keeper {
            return self.remove_all(tenant, records).await;
        }
        for name in self.namespaces(tenant).into_keys() {
            match self.delete_namespace(tenant, &name).await {
                // Somebody else was faster.
                Err(ChangeError::NamespaceAbsent) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Changes a namespace, one change of a tenant after the other. It is not left halfway where whoever asked for it goes away.
    async fn change(
        self: &Arc<Self>,
        tenant: &TenantId,
        namespace: &str,
        change: Change,
    ) -> Result<(), ChangeError> {
        let keeping = self.turns.of(tenant).keeping().await;
        let (shared, tenant, name) = (Arc::clone(self), tenant.clone(), namespace.to_owned());
        let kept = self.scope.spawn("rules kept", async move {
            let _keeping = keeping;
            match &shared.keeper {
                Keeper::Folder(dir) => {
                    let namespace = shared.decide(&tenant, &name, &change)?;
                    shared.keep(dir, (&tenant, &name), namespace).await?;
                    shared.apply_soon(&tenant);
                    Ok(())
                }
                Keeper::Metastore(records) => shared.commit(records, (&tenant, &name), &change).await,
            }
        });
        kept.await.unwrap_or_else(|error| Err(ChangeError::Unkept(error.to_string())))
    }

    /// Has the metastore keep a change; what comes of it is taken as all changes there are.
    async fn commit(
        &self,
        records: &RuleRecords,
        (tenant, name): (&TenantId, &str),
        change: &Change,
    ) -> Result<(), ChangeError> {
        for _ in 0..MAX_DECISIONS {
            let revision = known_revision(records, tenant)?;
            self.decide(tenant, name, change)?;
            let now_ms = self.evaluator.clock.now_ms();
            match records
                .change(tenant, name, (change, revision, now_ms))
                .await
                .map_err(|e| uncommitted(&e))?
            {
                Outcome::Done => return Ok(()),
                Outcome::Changed => {}
                Outcome::TooLarge => return Err(ChangeError::GroupTooLarge),
            }
        }
        Err(contended())
    }

    async fn remove_all(&self, tenant: &TenantId, records: &RuleRecords) -> Result<(), ChangeError> {
        let _keeping = self.turns.of(tenant).keeping().await;
        for _ in 0..MAX_DECISIONS {
            let revision = known_revision(records, tenant)?;
            if self.namespaces(tenant).is_empty() {
                return Ok(());
            }
            let now_ms = self.evaluator.clock.now_ms();
            let outcome = records.remove_all(tenant, (revision, now_ms)).await;
            if let Outcome::Done = outcome.map_err(|error| uncommitted(&error))? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// What a namespace is after a change.
    fn decide(&self, tenant: &TenantId, name: &str, change: &Change) -> Result<Namespace, ChangeError> {
        let namespaces = self.namespaces(tenant);
        let now = namespaces.get(name).map(|namespace| (**namespace).clone());
        match change {
            Change::DeleteAll => now.map(|_| Namespace::default()).ok_or(ChangeError::NamespaceAbsent),
            Change::DeleteGroup(group) => {
                let mut namespace = now.ok_or(ChangeError::Absent)?;
                if namespace.remove(group) { Ok(namespace) } else { Err(ChangeError::Absent) }
            }
            Change::Set(group) => {
                if self.is_of_file(tenant, name, group.name()) {
                    return Err(ChangeError::Refused(format!(
                        "group {:?} of namespace {name:?} is one of a file of rules; choose another name",
                        group.name()
                    )));
                }
                if !self.may_read(group) {
                    return Err(ChangeError::Refused(format!(
                        "group {:?} has source_tenants: rules over the data of other tenants are not allowed here, unless \
                         ruler.tenant_federation is true",
                        group.name()
                    )));
                }
                let mut namespace = now.unwrap_or_default();
                let others: usize = namespaces.values().map(|namespace| namespace.groups().len()).sum();
                let is_new = namespace.group(group.name()).is_none();
                let rules = group.said().as_ref().map_or(0, |said| said.rules.len());
                self.check(tenant, others + usize::from(is_new), is_new, rules)?;
                namespace.set(Arc::clone(group));
                Ok(namespace)
            }
        }
    }

    /// Whether a group reads nothing but what it may.
    pub(crate) fn may_read(&self, group: &StoredGroup) -> bool {
        let federated = group.said().as_ref().is_ok_and(|said| !said.source_tenants.is_empty());
        !federated || self.evaluator.config.tenant_federation
    }

    /// Whether a tenant may have so many groups, one of which may be new, and this has so many rules.
    fn check(&self, tenant: &TenantId, groups: usize, is_new: bool, rules: usize) -> Result<(), ChangeError> {
        let limits = self.limits.of(tenant);
        let exceeded = |what, limit, count: usize, max: usize| match max > 0 && count > max {
            true => Err(ChangeError::Limit { what, limit, count, max }),
            false => Ok(()),
        };
        let max = limits.ruler_max_rules_per_rule_group;
        exceeded("rules per rule group", "ruler_max_rules_per_rule_group", rules, max)?;
        // Those that there are may be changed, also where the limit was lowered.
        match is_new {
            true => {
                let max = limits.ruler_max_rule_groups_per_tenant;
                exceeded("rule groups", "ruler_max_rule_groups_per_tenant", groups, max)
            }
            false => Ok(()),
        }
    }

    async fn keep(
        &self,
        dir: &RuleDir,
        (tenant, name): (&TenantId, &str),
        namespace: Namespace,
    ) -> Result<(), ChangeError> {
        let unkept = |error: &dyn std::fmt::Display| ChangeError::Unkept(error.to_string());
        let (dir, of, called, written) = (dir.clone(), tenant.clone(), name.to_owned(), namespace.clone());
        let kept = self.scope.run_blocking(move || {
            let text = match written.is_empty() {
                true => None,
                false => Some(written.to_file(&called).ok_or(ChangeError::TooLarge)?),
            };
            dir.keep(&of, &called, text.as_deref()).map_err(|error| unkept(&error))
        });
        kept.await.map_err(|error| unkept(&error))??;
        let mut stored = self.stored.lock();
        let namespaces = stored.entry(tenant.clone()).or_default();
        match namespace.is_empty() {
            true => drop(namespaces.remove(name)),
            false => drop(namespaces.insert(name.to_owned(), Arc::new(namespace))),
        }
        if namespaces.is_empty() {
            stored.remove(tenant);
        }
        drop(stored);
        self.count_unusable(0);
        Ok(())
    }

    /// Counts what tenants have set that cannot be evaluated: expressions may mean less to this version, or to the tenant, than
    /// when it was set. It is kept, and shown where it was set. The first `named` are logged.
    pub(crate) fn count_unusable(&self, named: usize) {
        let stored = self.stored.lock();
        let mut count = 0;
        for (tenant, namespaces) in &*stored {
            for (namespace, groups) in namespaces.iter().map(|(name, namespace)| (name, namespace.groups())) {
                for group in groups {
                    let error = match group.said() {
                        Ok(_) if self.may_read(group) => continue,
                        Ok(_) => "it has source_tenants, and ruler.tenant_federation is false",
                        Err(error) => error,
                    };
                    count += 1;
                    if count <= named {
                        let group = group.name();
                        tracing::error!(%tenant, namespace, group, error, "a group that is kept cannot be evaluated");
                    }
                }
            }
        }
        self.evaluator.metrics.unusable_groups.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Has what a tenant's rules are now evaluated, when what is being evaluated has ended. Before the ruler has begun, all of it
    /// is, later.
    pub(crate) fn apply_soon(self: &Arc<Self>, tenant: &TenantId) {
        if !self.begun.load(Ordering::Acquire) || !self.turns.of(tenant).wait_for_next() {
            return;
        }
        let (shared, tenant) = (Arc::clone(self), tenant.clone());
        // The scope ends the task.
        drop(self.scope.spawn("rules", async move {
            if let Err(error) = shared.apply(&tenant).await {
                tracing::error!(%tenant, %error, "rules that a tenant has set cannot be evaluated");
            }
        }));
    }
}

/// The revision that a change of a tenant's rules is decided on.
fn known_revision(records: &RuleRecords, tenant: &TenantId) -> Result<u64, ChangeError> {
    match records.is_known() {
        true => Ok(records.revision_of(tenant)),
        false => Err(ChangeError::Unkept("nothing was heard of the metastore yet".to_owned())),
    }
}

fn uncommitted(error: &proto::Error) -> ChangeError {
    ChangeError::Unkept(format!(
        "the metastore did not commit the change in time ({}); look whether it was done, and try again",
        error.message
    ))
}

fn contended() -> ChangeError {
    ChangeError::Unkept(format!("others have changed the tenant's rules {MAX_DECISIONS} times meanwhile"))
}
