//! Clusters that are built wrong on purpose, to see whether the oracle notices: wrong implementations of what is handed to
//! the code of the roles, which itself is what it always is.

mod bucket;
mod disk;
mod recovery;
mod replicas;

use std::collections::BTreeMap;
use std::sync::Arc;

use env::{FileSystem, Scope, SimFs};
use proto::{IngesterReaders, IngesterWriters, Successors};
use ring::RingView;
use rpc::ingester::RemoteIngesters;
use tokio::sync::watch;

pub(crate) use self::bucket::Misled;
use crate::site::Site;

/// What is built wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// What is written to the log is said to be safe, and is not.
    AcknowledgesBeforeSync,
    /// One of the zones counts as having stored what it was only sent.
    QuorumOneLess,
    /// For an ingester that cannot be reached, one of another zone stands in.
    StandInOfAnotherZone,
    /// Who leaves hands over all series but the first of each parcel.
    HandOverDropsSeries,
    /// Nobody hears of ranges that were lost: neither queriers, nor who would have to refuse to answer for them.
    LostRangeUnpublished,
    /// Who has lost a lease goes on as if it held.
    ActsOnStaleLease,
    /// A zone that does not answer counts as one that has nothing.
    ReadsBelowQuorum,
    /// A log is read up to the first place that cannot be read.
    RecoveryStopsAtHole,
    /// Snapshots have one tenant under another name.
    CheckpointForgetsTenant,
    /// Ingesters take what they have uploaded for what is in the bucket, and remove their own.
    DeletesBeforeVerify,
    /// Ingesters that put a block into the bucket's index take another out.
    DropsFromIndex,
    /// What queriers keep of the bucket does not say which tenant it is of.
    CacheAcrossTenants,
    /// Compactors take what they have uploaded for what is in the bucket, and mark what it replaces.
    MarksBeforeVerify,
    /// Compactors merge the first replica's samples, and not what others have besides.
    DropsReplicas,
    /// Compactors delete what they have marked at once.
    DeletesEarly,
    /// Compactors put series of one tenant into blocks of another.
    MergesTenants,
}

impl Mutant {
    /// Whether it shows only where there is a bucket.
    pub(crate) fn is_of_bucket(self) -> bool {
        match self {
            Self::AcknowledgesBeforeSync
            | Self::QuorumOneLess
            | Self::StandInOfAnotherZone
            | Self::HandOverDropsSeries
            | Self::LostRangeUnpublished
            | Self::ActsOnStaleLease
            | Self::ReadsBelowQuorum
            | Self::RecoveryStopsAtHole
            | Self::CheckpointForgetsTenant => false,
            Self::DeletesBeforeVerify
            | Self::DropsFromIndex
            | Self::CacheAcrossTenants
            | Self::MarksBeforeVerify
            | Self::DropsReplicas
            | Self::DeletesEarly
            | Self::MergesTenants => true,
        }
    }
}

impl Site {
    /// The disk that a process is given.
    pub(crate) fn disk(&self, disk: &SimFs) -> Arc<dyn FileSystem> {
        let disk = Arc::new(disk.clone());
        match self.mutant {
            Some(Mutant::AcknowledgesBeforeSync) => Arc::new(disk::Unfaithful::never_synced(disk)),
            Some(Mutant::CheckpointForgetsTenant) => Arc::new(disk::Unfaithful::forgetful(disk)),
            Some(Mutant::RecoveryStopsAtHole) => {
                recovery::cut_at_first_hole(&*disk);
                disk
            }
            _ => disk,
        }
    }

    /// The ingesters that a distributor is given.
    pub(crate) fn writers(&self, all: RemoteIngesters, scope: &Scope) -> Arc<dyn IngesterWriters> {
        match self.mutant {
            Some(Mutant::QuorumOneLess) => Arc::new(replicas::Hasty::new(all, scope.clone())),
            Some(Mutant::StandInOfAnotherZone) => Arc::new(replicas::StandIns::new(all)),
            _ => Arc::new(all),
        }
    }

    /// The ingesters that a querier is given.
    pub(crate) fn readers(&self, all: RemoteIngesters) -> Arc<dyn IngesterReaders> {
        match self.mutant {
            Some(Mutant::ReadsBelowQuorum) => Arc::new(replicas::Undemanding::new(all)),
            _ => Arc::new(all),
        }
    }

    /// Those that are given to who leaves.
    pub(crate) fn successors(&self, all: RemoteIngesters) -> Arc<dyn Successors> {
        match self.mutant {
            Some(Mutant::HandOverDropsSeries) => Arc::new(replicas::Careless::new(all)),
            _ => Arc::new(all),
        }
    }

    /// The ring that a querier sees.
    pub(crate) fn view_of_querier(
        &self,
        mut views: watch::Receiver<Arc<RingView>>,
        scope: &Scope,
    ) -> watch::Receiver<Arc<RingView>> {
        if self.mutant != Some(Mutant::LostRangeUnpublished) {
            return views;
        }
        let (publish, changed) = watch::channel(without_losses(&views.borrow_and_update()));
        drop(scope.spawn("mutant", async move {
            while views.changed().await.is_ok() {
                publish.send_replace(without_losses(&views.borrow_and_update()));
            }
        }));
        changed
    }
}

fn without_losses(view: &RingView) -> Arc<RingView> {
    let ids = view.ring().instances().iter().map(|instance| &instance.id);
    let addresses: BTreeMap<_, _> =
        ids.filter_map(|id| Some((id.clone(), Arc::clone(view.address(id)?)))).collect();
    Arc::new(RingView::new(view.shared_ring(), addresses, Vec::new(), []))
}
