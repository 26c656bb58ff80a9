//! How the distributor comes by ingesters.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::IngesterWrite;
use ring::InstanceId;

/// From the name of an instance in the ring to the instance itself: a call in the same process, or a connection.
pub trait IngesterPool: Send + Sync {
    /// The ingester of this name; `None` where it cannot be reached at all.
    fn get(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>>;
}

/// Ingesters that never change: those of the same process.
impl IngesterPool for BTreeMap<InstanceId, Arc<dyn IngesterWrite>> {
    fn get(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>> {
        BTreeMap::get(self, id).cloned()
    }
}
