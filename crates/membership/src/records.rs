//! What is under which key. The values are messages of `proto::metastore`; read them with [`proto::Stored`], so that
//! fields of a newer version survive a change.

use bytes::Bytes;
use proto::metastore::compare::Condition;
use proto::metastore::{
    AlertmanagerConfig, AlertmanagerStanding, AlertmanagerState, Compare, HaElection, Instance, JobHolder,
    KeyRevision, LeaseToken, Op, Overrides, Placement, Put, Record, RuleGroup, RuleTenant, Tenant, Txn, op,
};
use proto::{KnownFields, Stored};

/// A kind of record: what its keys begin with, and the type of its values.
pub trait Kind {
    /// What the keys begin with.
    const PREFIX: &'static str;
    /// The message that the values are.
    type Value: KnownFields;
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident: $prefix:literal => $value:ty;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Kind for $name {
                const PREFIX: &'static str = $prefix;
                type Value = $value;
            }
        )+
    };
}

kinds! {
    /// `instances/<ring>/<instance>`: a place in a ring.
    Instances: "instances/" => Instance;
    /// `placements/<ring>/<zone>`: who was placed last in a zone of a ring.
    Placements: "placements/" => Placement;
    /// `tenants/<tenant>`
    Tenants: "tenants/" => Tenant;
    /// `overrides/<tenant>`: a tenant's limits.
    TenantOverrides: "overrides/" => Overrides;
    /// `ha/<tenant>/<cluster>`: the replica whose samples are taken.
    HaElections: "ha/" => HaElection;
    /// `jobs/<kind>/<job>`: who does a job.
    Jobs: "jobs/" => JobHolder;
    /// `rules/<tenant>/<namespace>/<group>`: rules that tenants have set.
    Rules: "rules/" => RuleGroup;
    /// `rule_tenants/<tenant>`: changes whenever rules of the tenant do.
    RuleTenants: "rule_tenants/" => RuleTenant;
    /// `alertmanager_configs/<tenant>`: the Alertmanager's configurations that tenants have set.
    AlertmanagerConfigs: "alertmanager_configs/" => AlertmanagerConfig;
    /// `silences/<tenant>/<id>`
    Silences: "silences/" => AlertmanagerState;
    /// `notification_log/<tenant>/<hash>`: what receivers were told last.
    NotificationLog: "notification_log/" => AlertmanagerState;
    /// `alertmanagers/<instance>`: how far an Alertmanager has let go of what is others'.
    AlertmanagerStandings: "alertmanagers/" => AlertmanagerStanding;
}

/// The leases of processes; see [`proto::metastore::Lease`]. They are not written with transactions.
pub const LEASES: &str = "leases/";

/// The key of a record of a kind. Parts must not contain `/`, but for the last.
pub fn key<K: Kind>(parts: &[&str]) -> Bytes {
    let mut key = K::PREFIX.to_owned();
    key.push_str(&parts.join("/"));
    key.into()
}

/// The parts of a record's key; `None` where it is not of the kind, or not UTF-8.
pub fn parts<K: Kind>(key: &[u8]) -> Option<Vec<&str>> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(K::PREFIX)?;
    Some(rest.split('/').collect())
}

/// The value of a record of a kind.
///
/// # Errors
/// Where it is not such a message.
pub fn value<K: Kind>(record: &Record) -> Result<Stored<K::Value>, prost::DecodeError> {
    Stored::decode(&record.value)
}

/// Compares that a key was last changed by a revision; 0: that it does not exist.
pub fn unchanged(key: Bytes, mod_revision: u64) -> Compare {
    Compare { condition: Some(Condition::Revision(KeyRevision { key, mod_revision })) }
}

/// Compares that an instance has its lease with this token.
pub fn holds(instance: &str, token: u64) -> Compare {
    Compare { condition: Some(Condition::Lease(LeaseToken { instance: instance.to_owned(), token })) }
}

/// Sets a record that lasts.
pub fn put<K: Kind>(key: Bytes, value: &Stored<K::Value>) -> Op {
    put_leased::<K>(key, value, "")
}

/// Sets a record that ends with the lease of an instance.
pub fn put_leased<K: Kind>(key: Bytes, value: &Stored<K::Value>, instance: &str) -> Op {
    let put = Put { key, value: value.encode(), lease: instance.to_owned() };
    Op { op: Some(op::Op::Put(put)) }
}

/// Reads a key in a transaction.
pub fn get(key: Bytes) -> Op {
    Op { op: Some(op::Op::Get(key)) }
}

/// Removes a key in a transaction.
pub fn delete(key: Bytes) -> Op {
    Op { op: Some(op::Op::Delete(key)) }
}

/// Removes every key that begins so in a transaction.
pub fn delete_prefix(prefix: Bytes) -> Op {
    Op { op: Some(op::Op::DeletePrefix(prefix)) }
}

/// Replaces a record that is as it was read (or still absent, with revision 0), and otherwise reads what it is now.
pub fn replace<K: Kind>(key: &Bytes, mod_revision: u64, value: &Stored<K::Value>) -> Txn {
    Txn {
        compare: vec![unchanged(key.clone(), mod_revision)],
        then: vec![put::<K>(key.clone(), value)],
        otherwise: vec![get(key.clone())],
    }
}

/// Takes a job that nobody has, for as long as the lease of `instance` with `token` lives. The revision that made the
/// record is the job's fencing token. Otherwise it reads who has it.
pub fn take_job(kind: &str, job: &str, instance: &str, token: u64, now_ms: i64) -> Txn {
    let key = key::<Jobs>(&[kind, job]);
    let holder = JobHolder { instance: instance.to_owned(), lease_token: token, taken_ms: now_ms };
    Txn {
        compare: vec![unchanged(key.clone(), 0), holds(instance, token)],
        then: vec![put_leased::<Jobs>(key.clone(), &Stored::new(holder), instance)],
        otherwise: vec![get(key)],
    }
}

/// Does `then` only while the job is still held as it was taken: made by revision `fence`, which is its fencing token.
pub fn while_holding(kind: &str, job: &str, fence: u64, then: Vec<Op>) -> Txn {
    let key = key::<Jobs>(&[kind, job]);
    Txn { compare: vec![unchanged(key, fence)], then, otherwise: Vec::new() }
}

/// Elects a replica of an HA pair, where the election is still as it was read.
pub fn elect(tenant: &str, cluster: &str, read_at: u64, election: &Stored<HaElection>) -> Txn {
    replace::<HaElections>(&key::<HaElections>(&[tenant, cluster]), read_at, election)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_parts() {
        let key = key::<Instances>(&["ingester", "ingester-1"]);
        assert_eq!(key, "instances/ingester/ingester-1");
        assert_eq!(parts::<Instances>(&key), Some(vec!["ingester", "ingester-1"]));
        assert_eq!(parts::<Tenants>(&key), None);
    }
}
