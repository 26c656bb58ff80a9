//! What the state may hold.

use proto::metastore::{Refusal, RefusalReason};

use super::refusal;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest value, in bytes; an Alertmanager configuration has room.
pub const MAX_VALUE_BYTES: usize = 2 << 20;
/// The most comparisons and operations of a transaction, each.
pub const MAX_OPS: usize = 512;
/// Keys and values of all records, in bytes. State and a snapshot of it are in memory.
pub const MAX_STATE_BYTES: usize = 512 << 20;
/// How many events are remembered for those who watch from a revision.
pub const HISTORY_EVENTS: usize = 65_536;
/// How many bytes of keys and values the remembered events may have.
pub const HISTORY_BYTES: usize = 64 << 20;
/// How many transactions are remembered for those who send them again.
pub const DONE_TXNS: usize = 16_384;
/// How many bytes the results of remembered transactions may have.
pub const DONE_BYTES: usize = 8 << 20;
/// The bytes of a request's name.
pub const REQUEST_ID_BYTES: usize = 16;
/// The shortest and the longest life of a lease without renewal, in milliseconds.
pub const MIN_LEASE_MS: u64 = 100;
/// See [`MIN_LEASE_MS`].
pub const MAX_LEASE_MS: u64 = 3_600_000;
/// The longest name of an instance, in bytes.
pub(super) const MAX_INSTANCE_BYTES: usize = 128;
/// What the keys of leases begin with; no transaction writes there.
pub const LEASES: &[u8] = b"leases/";

pub(super) fn check_key(key: &[u8]) -> Result<(), Refusal> {
    let invalid = |message| Err(refusal(RefusalReason::Invalid, message));
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return invalid(format!("a key has {} bytes; 1 to {MAX_KEY_BYTES} are allowed", key.len()));
    }
    Ok(())
}

/// A key that a transaction may write.
pub(super) fn check_writable(key: &[u8]) -> Result<(), Refusal> {
    check_key(key)?;
    if key.starts_with(LEASES) || LEASES.starts_with(key) {
        let key = String::from_utf8_lossy(key);
        let message = format!("key {key:?} belongs to leases, which are registered, renewed and released");
        return Err(refusal(RefusalReason::Invalid, message));
    }
    Ok(())
}

pub(super) fn check_value(key: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if value.len() > MAX_VALUE_BYTES {
        let key = String::from_utf8_lossy(key);
        let message =
            format!("the value of {key:?} has {} bytes; at most {MAX_VALUE_BYTES} are allowed", value.len());
        return Err(refusal(RefusalReason::Invalid, message));
    }
    Ok(())
}

/// Names of instances are parts of keys, of metrics and of logs.
pub(super) fn check_instance(instance: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if instance.is_empty() || instance.len() > MAX_INSTANCE_BYTES || !instance.bytes().all(allowed) {
        let message = format!(
            "instance {instance:?} is not a name: 1 to {MAX_INSTANCE_BYTES} letters, digits, '.', '_' and '-' are"
        );
        return Err(refusal(RefusalReason::Invalid, message));
    }
    Ok(())
}
