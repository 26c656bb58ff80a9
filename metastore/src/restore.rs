//! From a backup to a cluster of one node, in an empty engine. Further nodes are added to it, and get its state as a
//! snapshot.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use env::Rng;
use openraft::CommittedLeaderId;
use proto::metastore::{Member, Node};

use crate::state::{ImageError, State};
use crate::store::{Batch, Durability, Engine, EngineError, IdentityError, identity, restored};
use crate::types::{LogId, Membership, SnapshotMeta, StoredMembership};

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not one.
    #[error("the backup cannot be read")]
    Image(#[from] ImageError),
    /// The directory has a metastore already.
    #[error("the directory has a metastore already; restore into an empty one")]
    NotEmpty,
    /// The directory is another version's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The directory cannot be written.
    #[error("cannot write the metastore's directory")]
    Engine(#[from] EngineError),
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The node that now is the cluster.
    pub member: Member,
    /// Records of the state.
    pub records: usize,
    /// The revision of the backup.
    pub revision: u64,
}

/// Whether `backup` is one that can be restored: to be asked before anything is made for it.
///
/// # Errors
/// Where it is damaged, or something else.
pub fn check_backup(backup: &Bytes) -> Result<(), RestoreError> {
    State::from_image(backup)?;
    Ok(())
}

/// Makes `engine`, which must be empty, the only node of a new cluster that has the state of a backup.
///
/// # Errors
/// Where the backup is damaged, or the engine is not empty or fails.
pub fn restore(
    engine: &dyn Engine,
    backup: &Bytes,
    node: &Node,
    rng: &dyn Rng,
) -> Result<Restored, RestoreError> {
    let mut state = State::from_image(backup)?;
    if identity::exists(engine)? {
        return Err(RestoreError::NotEmpty);
    }
    // Its revisions are not those of the cluster that the backup is of: what came after the backup never happened here.
    state.refound(rng.next_u64().max(1));
    let member = identity::load(engine, rng.next_u64(), node)?;
    // As if everything up to the first entry had been removed from the log, so that others are sent a snapshot.
    let last = LogId::new(CommittedLeaderId::new(1, member.id), 1);
    let membership =
        Membership::new(vec![BTreeSet::from([member.id])], BTreeMap::from([(member.id, node.clone())]));
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(last), membership),
        snapshot_id: "restored".to_owned(),
    };
    let mut batch = Batch::default();
    restored(&state, &meta, &last, &mut batch);
    engine.write(batch, Durability::Synced)?;
    Ok(Restored { member, records: state.len(), revision: state.revision() })
}
