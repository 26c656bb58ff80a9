//! The ingesters as the other roles of this process see them: those of the cluster, or the one that there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use distributor::MetastoreHaTracker;
use ingester::Ingester;
use proto::{IngesterRead, IngesterReaders, IngesterWrite, IngesterWriters, LateIngester};
use querier::{FixedIngesters, Ingesters, ZoneDeps, ZoneIngesters};
use ring::{Instance, InstanceId, Quorum, Ring, RingError, RingView};
use rpc::ingester::RemoteIngesters;
use tokio::sync::watch;

use crate::compose::Parts;

/// What the front doors are handed.
pub(crate) struct Peers {
    /// Who owns which series.
    pub(crate) view: watch::Receiver<Arc<RingView>>,
    /// Where writes go.
    pub(crate) writers: Arc<dyn IngesterWriters>,
    /// Who is asked.
    pub(crate) readers: Arc<dyn Ingesters>,
    /// Each by its name; `None` where there is but one.
    pub(crate) by_name: Option<Arc<dyn IngesterReaders>>,
    /// Elections of HA pairs; `None` where one distributor has them to itself.
    pub(crate) elections: Option<MetastoreHaTracker>,
}

impl Peers {
    /// The ingester of this process, which is all there is.
    pub(crate) fn alone(
        name: &str,
        zone: Option<&str>,
        late: LateIngester<Ingester>,
    ) -> Result<Self, RingError> {
        let id = InstanceId::new(name);
        let members = Instance::all_active([(id.clone(), zone.map(Arc::from))]);
        let quorum = Quorum::at_bootstrap(1, members.len());
        let (_, view) = watch::channel(Arc::new(RingView::fixed(Ring::new(members, quorum)?)));
        let writer: Arc<dyn IngesterWrite> = Arc::new(late.clone());
        Ok(Self {
            view,
            writers: Arc::new(BTreeMap::from([(id, writer)])),
            readers: Arc::new(FixedIngesters::new(vec![Arc::new(late)])),
            by_name: None,
            elections: None,
        })
    }

    /// The ingesters of a cluster. The one that is called `own`, if it is in this process, is called in it.
    pub(crate) fn of_cluster(
        parts: &Parts,
        view: watch::Receiver<Arc<RingView>>,
        remote: RemoteIngesters,
        own: Option<(InstanceId, LateIngester<Ingester>)>,
        elections: Option<MetastoreHaTracker>,
    ) -> Self {
        let nearest = Arc::new(Nearest { remote, own });
        let by_name: Arc<dyn IngesterReaders> = Arc::clone(&nearest) as _;
        let deps = ZoneDeps {
            view: view.clone(),
            readers: Arc::clone(&by_name),
            clock: Arc::clone(&parts.clock),
            registry: parts.registry.clone(),
            retention: parts.config.process.retention,
        };
        let readers = ZoneIngesters::new(&parts.config.querier, deps);
        Self { view, writers: nearest, readers: Arc::new(readers), by_name: Some(by_name), elections }
    }
}

/// Ingesters by name: the one of this process in it, the others at the addresses that the view has.
struct Nearest {
    remote: RemoteIngesters,
    own: Option<(InstanceId, LateIngester<Ingester>)>,
}

impl Nearest {
    fn own(&self, id: &InstanceId) -> Option<Arc<LateIngester<Ingester>>> {
        self.own.as_ref().filter(|(own, _)| own == id).map(|(_, late)| Arc::new(late.clone()))
    }
}

impl IngesterWriters for Nearest {
    fn writer(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>> {
        match self.own(id) {
            Some(late) => Some(late),
            None => self.remote.writer(id),
        }
    }
}

impl IngesterReaders for Nearest {
    fn reader(&self, id: &InstanceId) -> Option<Arc<dyn IngesterRead>> {
        match self.own(id) {
            Some(late) => Some(late),
            None => self.remote.reader(id),
        }
    }
}
