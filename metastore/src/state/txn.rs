//! Transactions: comparisons, then operations of which all are done, or none.

use bytes::Bytes;
use proto::metastore::compare::Condition;
use proto::metastore::{Compare, Op, OpResult, Put, Record, Refusal, RefusalReason, Txn, TxnResult, op};

use super::bounds::{MAX_OPS, MAX_STATE_BYTES, check_key, check_value, check_writable};
use super::{Change, State, refusal};

impl State {
    pub(super) fn txn(&mut self, txn: &Txn, change: &mut Change) -> Result<TxnResult, Refusal> {
        check(txn)?;
        let mut succeeded = true;
        for compare in &txn.compare {
            succeeded &= self.holds(compare)?;
        }
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        self.check_leases_and_room(ops)?;
        // Nothing can fail from here on.
        let results = ops.iter().map(|op| self.operate(op, change)).collect();
        Ok(TxnResult { succeeded, results })
    }

    fn holds(&self, compare: &Compare) -> Result<bool, Refusal> {
        let revision_of = |key: &Bytes| self.records.get(key).map_or(0, |record| record.mod_revision);
        let version_of = |key: &Bytes| self.records.get(key).map_or(0, |record| record.version);
        match &compare.condition {
            Some(Condition::Revision(key)) => Ok(revision_of(&key.key) == key.mod_revision),
            Some(Condition::Version(key)) => Ok(version_of(&key.key) == key.version),
            Some(Condition::Lease(lease)) => {
                Ok(self.lease(&lease.instance).is_some_and(|live| live.token == lease.token))
            }
            None => Err(invalid("a comparison that this version does not know".to_owned())),
        }
    }

    /// What a put needs: the lease that it names, and room.
    fn check_leases_and_room(&self, ops: &[Op]) -> Result<(), Refusal> {
        let mut added = 0;
        for op in ops {
            let Some(op::Op::Put(put)) = &op.op else { continue };
            if !put.lease.is_empty() && self.lease(&put.lease).is_none() {
                let message = format!("instance {:?} has no lease that a record could end with", put.lease);
                return Err(refusal(RefusalReason::NoLease, message));
            }
            added += put.key.len() + put.value.len();
        }
        if added > 0 && self.bytes + added > MAX_STATE_BYTES {
            let message = format!(
                "the metastore holds {} bytes; with {added} more it would pass {MAX_STATE_BYTES}",
                self.bytes
            );
            return Err(refusal(RefusalReason::Full, message));
        }
        Ok(())
    }

    fn operate(&mut self, op: &Op, change: &mut Change) -> OpResult {
        match &op.op {
            Some(op::Op::Put(Put { key, value, lease })) => {
                let record = self.put(key, value.clone(), lease, change);
                let written = Record { value: Bytes::new(), ..(*record).clone() };
                OpResult { record: Some(written), deleted: 0 }
            }
            Some(op::Op::Delete(key)) => {
                OpResult { record: None, deleted: u64::from(self.delete(key, change)) }
            }
            Some(op::Op::DeletePrefix(prefix)) => {
                let keys: Vec<Bytes> = self.range(prefix, &[]).map(|record| record.key.clone()).collect();
                let deleted = keys.iter().filter(|key| self.delete(key, change)).count();
                OpResult { record: None, deleted: deleted as u64 }
            }
            Some(op::Op::Get(key)) => {
                OpResult { record: self.records.get(key).map(|record| (**record).clone()), deleted: 0 }
            }
            // `check` has refused it.
            None => OpResult::default(),
        }
    }
}

/// What can be said of a transaction without the state.
fn check(txn: &Txn) -> Result<(), Refusal> {
    for (what, count) in [
        ("comparisons", txn.compare.len()),
        ("operations", txn.then.len()),
        ("operations", txn.otherwise.len()),
    ] {
        if count > MAX_OPS {
            return Err(invalid(format!("a transaction has {count} {what}; at most {MAX_OPS} are allowed")));
        }
    }
    for op in txn.then.iter().chain(&txn.otherwise) {
        match &op.op {
            Some(op::Op::Put(put)) => {
                check_writable(&put.key)?;
                check_value(&put.key, &put.value)?;
            }
            Some(op::Op::Delete(key) | op::Op::DeletePrefix(key)) => check_writable(key)?,
            Some(op::Op::Get(key)) => check_key(key)?,
            None => return Err(invalid("an operation that this version does not know".to_owned())),
        }
    }
    Ok(())
}

fn invalid(message: String) -> Refusal {
    refusal(RefusalReason::Invalid, message)
}
