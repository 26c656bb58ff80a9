//! What a watch has told: the records under its prefixes, at a revision. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::metastore::watch_response::Frame;
use proto::metastore::{Record, WatchResponse};
use rpds::RedBlackTreeMapSync;

/// Records by key. Versions share what they have in common, so that a view can be published with every frame, whatever
/// its size.
pub(crate) type Records = RedBlackTreeMapSync<Bytes, Record>;

/// The records under some prefixes at a revision. Never older than it was. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    pub(crate) cluster_id: u64,
    pub(crate) revision: u64,
    pub(crate) records: Records,
    /// By the first part of keys, with its `/`: the revision that last changed any such record.
    changed: BTreeMap<Bytes, u64>,
    /// The revision at which the view as a whole took the place of another; 0: never.
    replaced: u64,
}

/// What a frame did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Nothing that anybody would see.
    Nothing,
    /// Records changed.
    Records,
    /// The view is another one: a snapshot has replaced it.
    Replaced,
    /// The watch has to begin again, with a snapshot.
    Compacted,
}

/// A node told something that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// It knows less than the view does.
    #[error("a node of the metastore offers revision {offered}, the view has {known} already")]
    Older {
        /// What it offered.
        offered: u64,
        /// What the view has.
        known: u64,
    },
    /// Events came that do not belong to the view.
    #[error("events of cluster {offered:#x} came for a view of cluster {known:#x}")]
    OtherCluster {
        /// Whose events.
        offered: u64,
        /// Whose view.
        known: u64,
    },
}

/// Takes the frames of one watch into a view.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Parts of a snapshot that is not complete.
    parts: BTreeMap<Bytes, Record>,
}

impl View {
    /// A view whose records came all at once.
    pub(crate) fn whole(cluster_id: u64, revision: u64, records: Records) -> Self {
        Self { cluster_id, revision, records, changed: BTreeMap::new(), replaced: revision }
    }

    /// All records, by key.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// The revision; 0 where nothing was ever told.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Which cluster's it is; 0 where nothing was ever told.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// Whether anything was ever told.
    pub fn is_known(&self) -> bool {
        self.cluster_id != 0
    }

    /// The record of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Record> {
        self.records.get(key)
    }

    /// The records whose keys begin with `prefix`, by key.
    pub fn range<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a Record> {
        self.records
            .range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, record)| record)
    }

    /// The revision that last changed any record whose key begins with `kind`, which is one part with its `/`, such as
    /// [`crate::records::LEASES`]; later than it was in an earlier view only if something may be different. 0 where
    /// nothing was ever told.
    pub fn changed_at(&self, kind: &[u8]) -> u64 {
        self.changed.get(kind).copied().unwrap_or_default().max(self.replaced)
    }

    /// The revision that last changed any record of the view.
    pub fn last_change(&self) -> u64 {
        self.changed.values().copied().max().unwrap_or_default().max(self.replaced)
    }

    /// Takes a change of a record.
    fn take(&mut self, record: Record, deleted: bool) {
        let part = record.key.iter().position(|byte| *byte == b'/').map_or(record.key.len(), |at| at + 1);
        match self.changed.get_mut(record.key.get(..part).unwrap_or_default()) {
            Some(changed) => *changed = (*changed).max(record.mod_revision),
            None => {
                self.changed.insert(record.key.slice(..part), record.mod_revision);
            }
        }
        if deleted {
            self.records.remove_mut(&record.key);
        } else {
            self.records.insert_mut(record.key.clone(), record);
        }
    }
}

impl Follower {
    /// Takes a frame into the view.
    pub(crate) fn take(&mut self, view: &mut View, response: WatchResponse) -> Result<Changed, ViewError> {
        let header = response.header.unwrap_or_default();
        match response.frame {
            Some(Frame::Snapshot(part)) => {
                let known = if view.cluster_id == header.cluster_id { view.revision } else { 0 };
                if header.revision < known {
                    return Err(ViewError::Older { offered: header.revision, known });
                }
                self.parts.extend(part.records.into_iter().map(|record| (record.key.clone(), record)));
                if !part.last {
                    return Ok(Changed::Nothing);
                }
                let records = std::mem::take(&mut self.parts).into_iter().collect();
                *view = View::whole(header.cluster_id, header.revision, records);
                Ok(Changed::Replaced)
            }
            Some(Frame::Events(events)) => {
                if header.cluster_id != view.cluster_id {
                    return Err(ViewError::OtherCluster {
                        offered: header.cluster_id,
                        known: view.cluster_id,
                    });
                }
                for event in events.events {
                    let Some(record) = event.record else { continue };
                    view.take(record, event.deleted);
                }
                view.revision = view.revision.max(header.revision);
                Ok(Changed::Records)
            }
            Some(Frame::CompactedRevision(_)) => Ok(Changed::Compacted),
            Some(Frame::Progress(_)) => {
                if header.cluster_id == view.cluster_id {
                    view.revision = view.revision.max(header.revision);
                }
                Ok(Changed::Nothing)
            }
            // A frame of a newer version; the ones after it say what matters.
            None => Ok(Changed::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::metastore::{Event, Events, ResponseHeader, SnapshotPart};

    use super::*;

    fn record(key: &str, value: &str) -> Record {
        Record { key: key.to_owned().into(), value: value.to_owned().into(), ..Record::default() }
    }

    fn frame(cluster_id: u64, revision: u64, frame: Frame) -> WatchResponse {
        let header = ResponseHeader { cluster_id, revision, ..ResponseHeader::default() };
        WatchResponse { header: Some(header), frame: Some(frame) }
    }

    fn snapshot(cluster_id: u64, revision: u64, records: Vec<Record>, last: bool) -> WatchResponse {
        frame(cluster_id, revision, Frame::Snapshot(SnapshotPart { records, last }))
    }

    fn events(cluster_id: u64, revision: u64, events: Vec<Event>) -> WatchResponse {
        frame(cluster_id, revision, Frame::Events(Events { events }))
    }

    fn keys(view: &View) -> Vec<&[u8]> {
        view.range(b"").map(|record| &*record.key).collect()
    }

    #[test]
    fn a_snapshot_counts_once_it_is_whole() {
        let (mut view, mut follower) = (View::default(), Follower::default());
        let part = snapshot(1, 5, vec![record("a", "1")], false);
        assert_eq!(follower.take(&mut view, part), Ok(Changed::Nothing));
        assert!(!view.is_known());
        let rest = snapshot(1, 5, vec![record("b", "1")], true);
        assert_eq!(follower.take(&mut view, rest), Ok(Changed::Replaced));
        assert_eq!((keys(&view), view.revision()), (vec![&b"a"[..], b"b"], 5));
    }

    #[test]
    fn events_change_and_remove() {
        let (mut view, mut follower) = (View::default(), Follower::default());
        follower.take(&mut view, snapshot(1, 5, vec![record("a", "1"), record("b", "1")], true)).unwrap();
        let changes = vec![
            Event { record: Some(record("a", "2")), deleted: false },
            Event { record: Some(record("b", "")), deleted: true },
        ];
        assert_eq!(follower.take(&mut view, events(1, 7, changes)), Ok(Changed::Records));
        assert_eq!(view.get(b"a").unwrap().value, "2");
        assert_eq!((keys(&view), view.revision()), (vec![&b"a"[..]], 7));
        follower.take(&mut view, frame(1, 9, Frame::Progress(true))).unwrap();
        assert_eq!(view.revision(), 9);
    }

    #[test]
    fn a_view_never_goes_back_but_follows_another_cluster() {
        let (mut view, mut follower) = (View::default(), Follower::default());
        follower.take(&mut view, snapshot(1, 5, vec![record("a", "1")], true)).unwrap();
        let older = follower.take(&mut view, snapshot(1, 4, vec![], true));
        assert_eq!(older, Err(ViewError::Older { offered: 4, known: 5 }));
        assert_eq!(view.revision(), 5);
        // After a restore, revisions begin anew.
        assert!(follower.take(&mut view, events(2, 6, vec![])).is_err());
        assert_eq!(follower.take(&mut view, snapshot(2, 3, vec![], true)), Ok(Changed::Replaced));
        assert_eq!((view.cluster_id(), view.revision()), (2, 3));
    }

    #[test]
    fn each_kind_of_record_says_when_it_last_changed() {
        let (mut view, mut follower) = (View::default(), Follower::default());
        assert_eq!((view.changed_at(b"leases/"), view.last_change()), (0, 0));
        follower.take(&mut view, snapshot(1, 5, vec![record("leases/a", "1")], true)).unwrap();
        assert_eq!((view.changed_at(b"leases/"), view.changed_at(b"tenants/")), (5, 5));
        let at = |key: &str, mod_revision| Record { mod_revision, ..record(key, "2") };
        let changes = vec![
            Event { record: Some(at("tenants/x", 7)), deleted: false },
            Event { record: Some(at("tenants/x", 8)), deleted: true },
        ];
        follower.take(&mut view, events(1, 9, changes)).unwrap();
        assert_eq!((view.changed_at(b"leases/"), view.changed_at(b"tenants/")), (5, 8));
        assert_eq!((view.last_change(), view.revision()), (8, 9));
        follower.take(&mut view, snapshot(2, 3, vec![], true)).unwrap();
        assert_eq!((view.changed_at(b"leases/"), view.last_change()), (3, 3));
    }

    #[test]
    fn what_is_forgotten_is_said() {
        let (mut view, mut follower) = (View::default(), Follower::default());
        let compacted = frame(1, 9, Frame::CompactedRevision(9));
        assert_eq!(follower.take(&mut view, compacted), Ok(Changed::Compacted));
    }
}
