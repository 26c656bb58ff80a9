//! The sizes of a tenant's shard as its record has them.

use proto::metastore::{ShardSize, Tenant};

/// The most sizes that a record has. Where there would be more, the two oldest become one, the larger: who reads back
/// asks too many then, and never too few.
pub(super) const MAX_SIZES: usize = 128;

/// Notes that from `now_ms` on it is `per_zone`; sizes that ended before `forget_before_ms` are forgotten.
pub(super) fn resize(tenant: &mut Tenant, now_ms: i64, per_zone: u32, forget_before_ms: i64) {
    let sizes = &mut tenant.shard_sizes;
    let last = sizes.last().map_or(i64::MIN, |size| size.since_ms);
    sizes.push(ShardSize { since_ms: now_ms.max(last), instances_per_zone: per_zone });
    let ended = sizes.partition_point(|size| size.since_ms <= forget_before_ms);
    sizes.drain(..ended.saturating_sub(1));
    while sizes.len() > MAX_SIZES {
        let oldest = sizes.remove(0);
        if let Some(next) = sizes.first_mut() {
            next.since_ms = oldest.since_ms;
            next.instances_per_zone = next.instances_per_zone.max(oldest.instances_per_zone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(tenant: &Tenant) -> Vec<(i64, u32)> {
        tenant.shard_sizes.iter().map(|size| (size.since_ms, size.instances_per_zone)).collect()
    }

    #[test]
    fn what_held_at_the_edge_is_kept_and_what_ended_before_is_not() {
        let mut tenant = Tenant::default();
        resize(&mut tenant, 10, 2, 0);
        resize(&mut tenant, 20, 3, 0);
        assert_eq!(sizes(&tenant), [(10, 2), (20, 3)]);
        resize(&mut tenant, 30, 4, 25);
        assert_eq!(sizes(&tenant), [(20, 3), (30, 4)]);
        // A clock that went back does not make the history disordered.
        resize(&mut tenant, 5, 1, 0);
        assert_eq!(sizes(&tenant), [(20, 3), (30, 4), (30, 1)]);
    }

    #[test]
    fn of_too_many_the_oldest_become_the_larger_one() {
        let mut tenant = Tenant::default();
        (0..MAX_SIZES as i64).for_each(|at| resize(&mut tenant, at, if at == 0 { 9 } else { 2 }, i64::MIN));
        resize(&mut tenant, 1_000, 5, i64::MIN);
        assert_eq!(tenant.shard_sizes.len(), MAX_SIZES);
        assert_eq!(sizes(&tenant)[..2], [(0, 9), (2, 2)]);
    }
}
