//! Which ingesters have to be asked for a tenant's data.

use std::sync::Arc;

use model::TenantId;
use proto::{Error, IngesterRead};

/// Who holds a tenant's recent data.
pub trait Ingesters: Send + Sync + 'static {
    /// Everyone whose answer is needed. Several may hold the same series; what they say is merged.
    ///
    /// # Errors
    /// When too few can be reached: a query is never answered from a part of the data.
    fn readers(&self, tenant: &TenantId) -> Result<Vec<Arc<dyn IngesterRead>>, Error>;

    /// How many of the readers hold each series, at least 1: what counts of series have to be divided by.
    fn copies(&self) -> usize {
        1
    }
}

/// A fixed set of ingesters, all of which hold data of every tenant.
#[derive(Clone)]
pub struct FixedIngesters(Vec<Arc<dyn IngesterRead>>);

impl FixedIngesters {
    /// All of `readers` are asked.
    pub fn new(readers: Vec<Arc<dyn IngesterRead>>) -> Self {
        Self(readers)
    }
}

impl Ingesters for FixedIngesters {
    fn readers(&self, _tenant: &TenantId) -> Result<Vec<Arc<dyn IngesterRead>>, Error> {
        Ok(self.0.clone())
    }
}

impl std::fmt::Debug for FixedIngesters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FixedIngesters").field(&self.0.len()).finish()
    }
}
