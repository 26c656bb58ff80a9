//! Instances that have left for good, and long ago: their records go, or a ring would keep the names of all that ever were.

use proto::metastore::{Compare, InstanceState, Op, Record};

use crate::records::{self, Instances, Kind as _, LEASES};
use crate::view::View;

/// What removes the records of instances that left their ring before this time and have no process: each only while it is
/// as it was read. At most `limit` of them.
pub(crate) fn departed(view: &View, before_ms: i64, limit: usize) -> Vec<(Compare, Op)> {
    let of_rings = view.range(Instances::PREFIX.as_bytes());
    let gone = of_rings.filter(|record| has_left(record, before_ms) && !has_process(view, &record.key));
    let removed = gone.map(|record| {
        (records::unchanged(record.key.clone(), record.mod_revision), records::delete(record.key.clone()))
    });
    removed.take(limit).collect()
}

fn has_left(record: &Record, before_ms: i64) -> bool {
    let Ok(instance) = records::value::<Instances>(record) else { return false };
    let instance = instance.message;
    instance.state() == InstanceState::Left && instance.changed_ms < before_ms
}

fn has_process(view: &View, key: &[u8]) -> bool {
    let parts = records::parts::<Instances>(key);
    let name = parts.and_then(|parts| parts.last().copied());
    name.is_none_or(|name| view.get(format!("{LEASES}{name}").as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::Stored;
    use proto::metastore::Instance;

    use super::*;
    use crate::view::Records;

    fn view(records: &[(&str, Instance)]) -> View {
        let mut all = Records::default();
        for (name, instance) in records {
            let key = records::key::<Instances>(&["ingester", name]);
            let value = Stored::new(instance.clone()).encode();
            all.insert_mut(key.clone(), Record { key, value, mod_revision: 7, ..Record::default() });
        }
        let key = Bytes::from(format!("{LEASES}back"));
        all.insert_mut(key.clone(), Record { key, ..Record::default() });
        View::whole(1, 9, all)
    }

    fn instance(state: InstanceState, changed_ms: i64) -> Instance {
        Instance { state: state.into(), changed_ms, ..Instance::default() }
    }

    #[test]
    fn who_left_long_ago_and_has_no_process_is_forgotten() {
        let view = view(&[
            ("active", instance(InstanceState::Active, 1)),
            ("back", instance(InstanceState::Left, 1)),
            ("gone", instance(InstanceState::Left, 1)),
            ("gone-too", instance(InstanceState::Left, 9)),
            ("leaving", instance(InstanceState::Leaving, 1)),
            ("just-left", instance(InstanceState::Left, 10)),
        ]);
        let key = |name| records::key::<Instances>(&["ingester", name]);
        let forgotten = |name| (records::unchanged(key(name), 7), records::delete(key(name)));
        assert_eq!(departed(&view, 10, 100), [forgotten("gone"), forgotten("gone-too")]);
        assert_eq!(departed(&view, 10, 1), [forgotten("gone")]);
        assert_eq!(departed(&view, 1, 100), []);
    }
}
