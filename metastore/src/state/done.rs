//! Transactions that were done, so that one that is sent again, because its answer was lost, is answered and not done
//! again. Only what changed something is remembered: anything else can as well happen now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use proto::metastore::{DoneTxn, Refusal, RefusalReason, RequestId};

use super::bounds::{DONE_BYTES, DONE_TXNS, REQUEST_ID_BYTES};
use super::refusal;

/// The transactions done last, by revision, bounded in number and bytes. The bounds depend on nothing but them, so that
/// every node remembers the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    order: VecDeque<Arc<DoneTxn>>,
    by_id: BTreeMap<Bytes, Arc<DoneTxn>>,
    bytes: usize,
    /// What was done up to this revision is forgotten.
    forgotten: u64,
}

impl Done {
    /// The transactions as they were stored.
    pub(super) fn restore(stored: Vec<DoneTxn>, forgotten: u64) -> Self {
        let mut done = Self { forgotten, ..Self::default() };
        stored.into_iter().filter(|txn| txn.revision > forgotten).for_each(|txn| done.push(Arc::new(txn)));
        done
    }

    /// The transaction that the request names, where it was done. Refuses a request of which that cannot be told.
    pub(super) fn find(&self, request: &RequestId) -> Result<Option<&DoneTxn>, Refusal> {
        if request.id.len() != REQUEST_ID_BYTES {
            let message =
                format!("a request is named by {} bytes; it must be {REQUEST_ID_BYTES}", request.id.len());
            return Err(refusal(RefusalReason::Invalid, message));
        }
        if let Some(done) = self.by_id.get(&request.id) {
            return Ok(Some(done));
        }
        // If it was done, then at a revision after the known one.
        if request.again && request.known_revision < self.forgotten {
            let message = format!(
                "the transaction was sent again after revision {}, up to which it is forgotten what was done; \
                 whether it was done is not known",
                self.forgotten
            );
            return Err(refusal(RefusalReason::Forgotten, message));
        }
        Ok(None)
    }

    /// Remembers a transaction, and forgets the oldest where there are too many.
    pub(super) fn remember(&mut self, done: Arc<DoneTxn>) {
        self.push(done);
        while self.order.len() > DONE_TXNS || self.bytes > DONE_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.by_id.remove(&oldest.id);
            self.forgotten = oldest.revision;
        }
    }

    fn push(&mut self, done: Arc<DoneTxn>) {
        self.bytes += size(&done);
        self.by_id.insert(done.id.clone(), Arc::clone(&done));
        self.order.push_back(done);
    }

    /// What was done up to this revision is forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All that is remembered, oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<DoneTxn>> {
        self.order.iter()
    }
}

fn size(done: &DoneTxn) -> usize {
    done.encoded_len()
}

#[cfg(test)]
mod tests {
    use proto::metastore::{OpResult, Record, TxnResult};

    use super::*;

    fn request(number: u64, again: bool, known_revision: u64) -> RequestId {
        let id = u128::from(number).to_be_bytes().to_vec().into();
        RequestId { id, again, known_revision }
    }

    fn txn(number: u64, revision: u64, bytes: usize) -> Arc<DoneTxn> {
        let record = Record { value: vec![0; bytes].into(), ..Record::default() };
        let result =
            TxnResult { succeeded: true, results: vec![OpResult { record: Some(record), deleted: 0 }] };
        Arc::new(DoneTxn { revision, id: request(number, false, 0).id, result: Some(result) })
    }

    #[test]
    fn the_oldest_are_forgotten_and_who_asks_for_them_is_told_so() {
        let mut done = Done::default();
        let all = DONE_TXNS as u64 + 10;
        (1..=all).for_each(|number| done.remember(txn(number, 2 * number, 1)));
        assert_eq!((done.iter().len(), done.forgotten()), (DONE_TXNS, 20));
        assert_eq!(done.find(&request(11, true, 0)).unwrap().unwrap().revision, 22);
        // Sent for the first time, it cannot have been done, whatever its sender knew.
        assert_eq!(done.find(&request(5, false, 0)), Ok(None));
        assert_eq!(done.find(&request(5, true, 19)).unwrap_err().reason(), RefusalReason::Forgotten);
        // It would have been done at 21 or later, and all of that is remembered.
        assert_eq!(done.find(&request(all + 1, true, 20)), Ok(None));
    }

    #[test]
    fn results_are_bounded_in_bytes() {
        let mut done = Done::default();
        (1..=5).for_each(|number| done.remember(txn(number, number, DONE_BYTES / 4)));
        assert_eq!((done.iter().len(), done.forgotten()), (3, 2));
        done.remember(txn(6, 6, DONE_BYTES));
        assert_eq!((done.iter().len(), done.forgotten(), done.bytes), (0, 6, 0));
        assert!(done.find(&request(6, true, 5)).is_err());
    }

    #[test]
    fn a_name_has_its_length() {
        let short = RequestId { id: "short".into(), ..RequestId::default() };
        assert_eq!(Done::default().find(&short).unwrap_err().reason(), RefusalReason::Invalid);
    }
}
