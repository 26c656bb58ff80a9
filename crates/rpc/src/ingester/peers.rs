//! Ingesters in other processes, by name: connections as the view of the ring has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::Rng;
use parking_lot::RwLock;
use proto::{IngesterRead, IngesterReaders, IngesterWrite, IngesterWriters};
use ring::{InstanceId, RingView};
use tokio::sync::watch;

use super::client::RemoteIngester;
use crate::grpc::Dial;

/// The ingesters of a cluster, each with one channel for everybody in this process. There are never more channels than
/// instances in the view: one that has gone from it, or that has another address, loses its channel with the next call
/// to anybody; calls at work go on.
pub struct RemoteIngesters {
    dial: Arc<dyn Dial>,
    view: watch::Receiver<Arc<RingView>>,
    rng: Arc<dyn Rng>,
    connected: RwLock<Connected>,
}

/// The channels that were made for the instances of a view.
struct Connected {
    view: Arc<RingView>,
    ingesters: BTreeMap<InstanceId, Connection>,
}

struct Connection {
    address: Arc<str>,
    ingester: Arc<RemoteIngester>,
}

impl Connected {
    /// Lets go of whoever is not where it was.
    fn follow(&mut self, view: &Arc<RingView>) {
        self.view = Arc::clone(view);
        self.ingesters.retain(|id, connection| {
            let address = view.address(id);
            if address.is_none() {
                connection.ingester.forget();
            }
            address == Some(&connection.address)
        });
    }
}

impl RemoteIngesters {
    /// The ingesters of the ring that `view` is of, reached with `dial`. `rng` spreads in time how those that do not
    /// answer are tried again.
    pub fn new(dial: Arc<dyn Dial>, view: watch::Receiver<Arc<RingView>>, rng: Arc<dyn Rng>) -> Self {
        let connected = Connected { view: Arc::clone(&view.borrow()), ingesters: BTreeMap::new() };
        Self { dial, view, rng, connected: RwLock::new(connected) }
    }

    /// The ingester of this name; `None` where the view has no address of it, or one that cannot be.
    pub fn get(&self, id: &InstanceId) -> Option<Arc<RemoteIngester>> {
        let view = Arc::clone(&self.view.borrow());
        {
            let connected = self.connected.read();
            if Arc::ptr_eq(&connected.view, &view)
                && let Some(connection) = connected.ingesters.get(id)
            {
                return Some(Arc::clone(&connection.ingester));
            }
        }
        self.connect(&view, id)
    }

    /// How many channels there are.
    pub fn len(&self) -> usize {
        self.connected.read().ingesters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn connect(&self, view: &Arc<RingView>, id: &InstanceId) -> Option<Arc<RemoteIngester>> {
        let mut connected = self.connected.write();
        if !Arc::ptr_eq(&connected.view, view) {
            connected.follow(view);
        }
        if let Some(connection) = connected.ingesters.get(id) {
            return Some(Arc::clone(&connection.ingester));
        }
        let address = Arc::clone(view.address(id)?);
        let channel = match self.dial.dial(&address) {
            Ok(channel) => channel.guarded(id.as_str(), Arc::clone(&self.rng)),
            Err(error) => {
                tracing::debug!(ingester = id.as_str(), %error, "the ingester's address is none");
                return None;
            }
        };
        let ingester = Arc::new(RemoteIngester::new(channel));
        let connection = Connection { address, ingester: Arc::clone(&ingester) };
        connected.ingesters.insert(id.clone(), connection);
        Some(ingester)
    }
}

impl IngesterWriters for RemoteIngesters {
    fn writer(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>> {
        self.get(id).map(|ingester| ingester as Arc<dyn IngesterWrite>)
    }
}

impl IngesterReaders for RemoteIngesters {
    fn reader(&self, id: &InstanceId) -> Option<Arc<dyn IngesterRead>> {
        self.get(id).map(|ingester| ingester as Arc<dyn IngesterRead>)
    }
}

impl std::fmt::Debug for RemoteIngesters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteIngesters").field("channels", &self.len()).finish_non_exhaustive()
    }
}
