//! Keys of what is stored. Numbers are big-endian, so that keys are in the order of the numbers.

/// The format's version.
pub(super) const FORMAT: &[u8] = b"format";
/// Who this node is: a `Member`.
pub(super) const IDENTITY: &[u8] = b"identity";
/// The vote: a `Vote`.
pub(super) const VOTE: &[u8] = b"vote";
/// The last entry known to be committed: a `LogId`.
pub(super) const COMMITTED: &[u8] = b"committed";
/// The last entry that was removed from the log: a `LogId`.
pub(super) const PURGED: &[u8] = b"purged";
/// What was applied: a `SnapshotMeta`, whose id says nothing.
pub(super) const APPLIED: &[u8] = b"applied";
/// The state apart from records and events: a `StateHeader`, whose counts say nothing.
pub(super) const STATE: &[u8] = b"state";

/// The key of an entry of the log.
pub(super) fn entry(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of an entry's key.
pub(super) fn index(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The key of the `nth` event of a revision.
pub(super) fn event(revision: u64, nth: u32) -> Vec<u8> {
    let mut key = revision.to_be_bytes().to_vec();
    key.extend(nth.to_be_bytes());
    key
}

/// The key of the transaction that made a revision.
pub(super) fn done(revision: u64) -> [u8; 8] {
    revision.to_be_bytes()
}
