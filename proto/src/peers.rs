//! From the name of an instance to the instance itself: a call in the same process, or a connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::InstanceId;

use crate::{IngesterRead, IngesterWrite};

/// How a distributor comes by ingesters.
pub trait IngesterWriters: Send + Sync {
    /// The ingester of this name; `None` where it cannot be reached at all.
    fn writer(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>>;
}

/// How a querier comes by ingesters.
pub trait IngesterReaders: Send + Sync {
    /// The ingester of this name; `None` where it cannot be reached at all.
    fn reader(&self, id: &InstanceId) -> Option<Arc<dyn IngesterRead>>;
}

/// Ingesters that never change: those of the same process.
impl IngesterWriters for BTreeMap<InstanceId, Arc<dyn IngesterWrite>> {
    fn writer(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>> {
        self.get(id).cloned()
    }
}

impl IngesterReaders for BTreeMap<InstanceId, Arc<dyn IngesterRead>> {
    fn reader(&self, id: &InstanceId) -> Option<Arc<dyn IngesterRead>> {
        self.get(id).cloned()
    }
}
