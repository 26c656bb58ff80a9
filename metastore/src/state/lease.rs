//! Leases of processes, as the log knows them: registered and ended. Renewals are not in the log; the leader keeps
//! them in memory, and proposes the end of a lease that was not renewed.

use bytes::Bytes;
use prost::Message as _;
use proto::metastore::{EndLease, Lease, Record, Refusal, RefusalReason, RegisterLease};

use super::bounds::{LEASES, MAX_LEASE_MS, MIN_LEASE_MS, check_instance, check_value};
use super::{Change, State, refusal};

/// The key of an instance's lease.
pub fn lease_key(instance: &str) -> Bytes {
    [LEASES, instance.as_bytes()].concat().into()
}

impl State {
    /// The lease of an instance, while it lives.
    pub fn lease(&self, instance: &str) -> Option<Lease> {
        self.records.get(&lease_key(instance)).and_then(|record| decode(record))
    }

    /// Registers a process. One that registers again takes over from the former that it knows of: that one's token is fenced
    /// off, and what was bound to its lease ends. From one that it does not know of it takes nothing: the registration was late,
    /// and who sent it may hold that lease, and act on it.
    pub(super) fn register(
        &mut self,
        register: &RegisterLease,
        change: &mut Change,
    ) -> Result<Lease, Refusal> {
        let invalid = |message: String| refusal(RefusalReason::Invalid, message);
        let mut lease =
            register.lease.clone().ok_or_else(|| invalid("a registration without a lease".into()))?;
        check_instance(&lease.instance)?;
        if !(MIN_LEASE_MS..=MAX_LEASE_MS).contains(&lease.ttl_ms) {
            let message =
                format!("a lease of {} ms; {MIN_LEASE_MS} to {MAX_LEASE_MS} ms are allowed", lease.ttl_ms);
            return Err(invalid(message));
        }
        let seen = register.replaces.unwrap_or(u64::MAX);
        if let Some(later) = self.lease(&lease.instance).filter(|live| live.token > seen) {
            let message = format!(
                "instance {:?} has a lease with token {} that came after {seen}, the one that was to be replaced",
                lease.instance, later.token
            );
            return Err(refusal(RefusalReason::Superseded, message));
        }
        lease.token = change.revision;
        lease.registered_ms = self.time_ms;
        let key = lease_key(&lease.instance);
        let value = Bytes::from(lease.encode_to_vec());
        check_value(&key, &value)?;
        self.end_bound(&lease.instance, change);
        self.put(&key, value, "", change);
        Ok(lease)
    }

    /// Ends a lease, and what is bound to it, if the token is still the lease's; whether it was.
    pub(super) fn end_lease(&mut self, end: &EndLease, change: &mut Change) -> bool {
        if self.lease(&end.instance).is_none_or(|lease| lease.token != end.token) {
            return false;
        }
        self.end_bound(&end.instance, change);
        self.delete(&lease_key(&end.instance), change)
    }

    fn end_bound(&mut self, instance: &str, change: &mut Change) {
        let keys = self.bound.get(instance).cloned().unwrap_or_default();
        for key in keys {
            self.delete(&key, change);
        }
    }
}

/// The lease that a record holds. Only the state machine writes such records.
pub(super) fn decode(record: &Record) -> Option<Lease> {
    Lease::decode(record.value.clone()).ok()
}
