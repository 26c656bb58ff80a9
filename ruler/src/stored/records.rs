//! Rules of tenants in the metastore: a record for each group, seen by all rulers through a watch of their own.
//!
//! Every change of a tenant's rules also changes the tenant's record, and goes through only while that one is as it was when the
//! change was decided on: of two rulers that change the rules of a tenant at once, one decides again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use membership::records::{self, Kind as _, RuleTenants, Rules};
use membership::{Client, View, Watcher};
use model::TenantId;
use parking_lot::Mutex;
use promql::ParseOptions;
use proto::metastore::{Op, Record, RuleGroup, RuleTenant, Txn};
use proto::{Error, Stored as Message};
use rules::Tree;
use tokio::sync::watch;

use super::folder::stem;
use super::{Change, Namespace, Namespaces, StoredGroup};

/// The longest part of a key that names a namespace or a group, in bytes: with the longest tenant a key stays below the 512
/// bytes that the metastore takes.
const MAX_PART_BYTES: usize = 170;
/// The largest group, as YAML, in bytes: the metastore takes 2 MiB for a value, names included.
const MAX_GROUP_BYTES: usize = (2 << 20) - (8 << 10);

/// The rules of all tenants, as the metastore has them.
pub(crate) struct RuleRecords {
    client: Client,
    watcher: Watcher,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    /// What was taken from the view last: of which cluster, up to which revision.
    taken: watch::Sender<(u64, u64)>,
}

/// How long it is waited until this ruler has seen what it has committed.
const SEEN_PATIENCE: Duration = Duration::from_secs(5);

/// What was read of the view.
#[derive(Default)]
struct Seen {
    cluster_id: u64,
    changed: u64,
    groups: BTreeMap<Bytes, SeenGroup>,
    /// The revisions of the tenants' records.
    tenants: BTreeMap<TenantId, u64>,
}

/// A record that was read.
#[derive(Clone)]
struct SeenGroup {
    revision: u64,
    /// Groups of a namespace are shown in the order in which they came.
    made: u64,
    tenant: TenantId,
    namespace: String,
    group: Arc<StoredGroup>,
}

/// What became of a change.
pub(super) enum Outcome {
    /// It is committed.
    Done,
    /// Somebody else was faster; what there is now has been taken.
    Changed,
    /// The group is larger than what the metastore takes.
    TooLarge,
}

impl RuleRecords {
    /// The records that `watcher` sees, which has to watch [`Rules`] and [`RuleTenants`].
    pub(crate) fn new(client: Client, watcher: Watcher, clock: Arc<dyn Clock>) -> Self {
        Self { client, watcher, clock, seen: Mutex::default(), taken: watch::Sender::new((0, 0)) }
    }

    /// To be told that there is more to be taken.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<View>> {
        self.watcher.subscribe()
    }

    /// Whether anything was ever heard of the metastore.
    pub(crate) fn is_known(&self) -> bool {
        self.taken.borrow().0 != 0
    }

    /// Reads what is new in a view, and gives the namespaces of every tenant for whom something is. Takes its time where much
    /// is. Call [`Self::took`] when they have been taken.
    pub(crate) fn read(
        &self,
        view: &View,
        expressions: impl Fn(&TenantId) -> ParseOptions,
    ) -> BTreeMap<TenantId, Namespaces> {
        let changed = view.changed_at(Rules::PREFIX.as_bytes());
        let (before, same_cluster) = {
            let seen = self.seen.lock();
            let same_cluster = seen.cluster_id == view.cluster_id();
            if same_cluster && seen.changed == changed {
                return BTreeMap::new();
            }
            (seen.groups.clone(), same_cluster)
        };
        let mut tenants: BTreeSet<TenantId> = BTreeSet::new();
        let mut groups = BTreeMap::new();
        for record in view.range(Rules::PREFIX.as_bytes()) {
            let known = before.get(&record.key).filter(|known| known.revision == record.mod_revision);
            let read = match known.filter(|_| same_cluster) {
                Some(known) => Some(known.clone()),
                None => read_group(record, &expressions),
            };
            if known.is_none() || !same_cluster {
                tenants.extend(read.iter().map(|read| read.tenant.clone()));
            }
            groups.extend(read.map(|read| (record.key.clone(), read)));
        }
        let gone = before.iter().filter(|(key, _)| !groups.contains_key(*key));
        tenants.extend(gone.map(|(_, group)| group.tenant.clone()));
        let of = |tenant: TenantId| (tenant.clone(), namespaces(&groups, &tenant));
        let read = tenants.into_iter().map(of).collect();
        let mut seen = self.seen.lock();
        seen.cluster_id = view.cluster_id();
        seen.changed = changed;
        seen.groups = groups;
        read
    }

    /// What [`Self::read`] gave is what everybody sees now.
    pub(crate) fn took(&self, view: &View) {
        let records = view.range(RuleTenants::PREFIX.as_bytes());
        let tenants = records.filter_map(|record| {
            let parts = records::parts::<RuleTenants>(&record.key)?;
            Some((TenantId::new(parts.first()?).ok()?, record.mod_revision))
        });
        self.seen.lock().tenants = tenants.collect();
        self.taken.send_replace((view.cluster_id(), view.revision()));
    }

    /// The revision of a tenant's record. To be asked before a change is decided on.
    pub(crate) fn revision_of(&self, tenant: &TenantId) -> u64 {
        self.seen.lock().tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Does a change that was decided on when the tenant's record had this revision.
    ///
    /// # Errors
    /// Where the metastore cannot be reached, or refuses it. It may be done all the same, or still will be.
    pub(super) async fn change(
        &self,
        tenant: &TenantId,
        namespace: &str,
        (change, revision, now_ms): (&Change, u64, i64),
    ) -> Result<Outcome, Error> {
        let Some(op) = operation(tenant, namespace, change, now_ms) else { return Ok(Outcome::TooLarge) };
        self.commit(tenant, op, (revision, now_ms)).await
    }

    /// Removes everything that a tenant has set.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub(super) async fn remove_all(
        &self,
        tenant: &TenantId,
        (revision, now_ms): (u64, i64),
    ) -> Result<Outcome, Error> {
        let op = records::delete_prefix(format!("{}{tenant}/", Rules::PREFIX).into());
        self.commit(tenant, op, (revision, now_ms)).await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        op: Op,
        (revision, now_ms): (u64, i64),
    ) -> Result<Outcome, Error> {
        let own = records::key::<RuleTenants>(&[tenant.as_str()]);
        let changed = Message::new(RuleTenant { changed_ms: now_ms });
        let txn = Txn {
            compare: vec![records::unchanged(own.clone(), revision)],
            then: vec![op, records::put::<RuleTenants>(own.clone(), &changed)],
            otherwise: vec![records::get(own)],
        };
        let cluster_id = self.taken.borrow().0;
        let answer = self.client.txn(txn).await?;
        let header = answer.header.unwrap_or_default();
        let result = answer.result.unwrap_or_default();
        // Where it was not done, what is to be seen first is what it was not done for.
        let found = result.results.first().and_then(|found| found.record.as_ref());
        let until = match (result.succeeded, found) {
            (false, Some(record)) => record.mod_revision,
            _ => header.revision,
        };
        let mut taken = self.taken.subscribe();
        // Another cluster counts anew, from a backup of this one.
        let reached = |taken: &(u64, u64)| taken.0 != cluster_id || taken.1 >= until;
        tokio::select! {
            biased;
            _ = taken.wait_for(reached) => {}
            () = self.clock.sleep(SEEN_PATIENCE) => tracing::warn!(%tenant, "the metastore does not tell of changed rules"),
        }
        Ok(if result.succeeded { Outcome::Done } else { Outcome::Changed })
    }
}

/// What a change does to records; `None` where the group is too large for one.
fn operation(tenant: &TenantId, namespace: &str, change: &Change, now_ms: i64) -> Option<Op> {
    Some(match change {
        Change::Set(group) => {
            let yaml = group.tree().to_yaml();
            if yaml.len() > MAX_GROUP_BYTES {
                return None;
            }
            let record = RuleGroup {
                namespace: namespace.to_owned(),
                group: group.name().to_owned(),
                yaml,
                set_ms: now_ms,
            };
            records::put::<Rules>(key(tenant, namespace, group.name()), &Message::new(record))
        }
        Change::DeleteGroup(group) => records::delete(key(tenant, namespace, group)),
        Change::DeleteAll => {
            let part = stem(namespace, MAX_PART_BYTES);
            records::delete_prefix(format!("{}{tenant}/{part}/", Rules::PREFIX).into())
        }
    })
}

fn key(tenant: &TenantId, namespace: &str, group: &str) -> Bytes {
    let (namespace, group) = (stem(namespace, MAX_PART_BYTES), stem(group, MAX_PART_BYTES));
    records::key::<Rules>(&[tenant.as_str(), &namespace, &group])
}

/// A record as it was set. One that cannot be read is not there: a version that could wrote it.
fn read_group(record: &Record, expressions: impl Fn(&TenantId) -> ParseOptions) -> Option<SeenGroup> {
    let key = String::from_utf8_lossy(&record.key);
    let unusable = |why: &str| tracing::error!(%key, why, "a group of rules in the metastore cannot be read");
    let parts = records::parts::<Rules>(&record.key)?;
    let tenant = TenantId::new(parts.first()?).map_err(|error| unusable(&error.to_string())).ok()?;
    let value = records::value::<Rules>(record).map_err(|error| unusable(&error.to_string())).ok()?;
    let RuleGroup { namespace, group, yaml, .. } = value.message;
    let tree = Tree::parse(&yaml).map_err(|error| unusable(&error.to_string())).ok()?;
    let read = StoredGroup::kept(tree.unwrap_or_else(|| Tree::Map(Vec::new())), expressions(&tenant));
    if read.name() != group {
        unusable("its text has another name");
        return None;
    }
    let (revision, made) = (record.mod_revision, record.create_revision);
    Some(SeenGroup { revision, made, tenant, namespace, group: Arc::new(read) })
}

/// The namespaces of a tenant.
fn namespaces(groups: &BTreeMap<Bytes, SeenGroup>, tenant: &TenantId) -> Namespaces {
    let prefix = Bytes::from(format!("{}{tenant}/", Rules::PREFIX));
    let of_tenant = groups.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
    let mut of_tenant: Vec<&SeenGroup> = of_tenant.map(|(_, group)| group).collect();
    of_tenant.sort_by_key(|group| group.made);
    let mut namespaces: BTreeMap<String, Namespace> = BTreeMap::new();
    for group in of_tenant {
        namespaces.entry(group.namespace.clone()).or_default().set(Arc::clone(&group.group));
    }
    namespaces.into_iter().map(|(name, namespace)| (name, Arc::new(namespace))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_tell_names_apart() {
        let tenant = TenantId::new(&"t".repeat(model::tenant::MAX_TENANT_ID_BYTES)).unwrap();
        let long = |end: &str| "ü/".repeat(200) + end;
        let names = [("a", "b"), ("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), (&long("x"), &long("y"))];
        let mut keys: BTreeSet<Bytes> = BTreeSet::new();
        for (namespace, group) in names {
            let key = key(&tenant, namespace, group);
            assert!(key.len() <= 512, "{}", key.len());
            assert_eq!(records::parts::<Rules>(&key).map(|parts| parts.len()), Some(3), "{key:?}");
            keys.insert(key);
        }
        keys.insert(key(&tenant, &long("y"), &long("y")));
        assert_eq!(keys.len(), names.len() + 1);
    }
}
