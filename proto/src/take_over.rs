//! The way of what an ingester holds to another one, when it leaves.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Exemplar, Labels, TenantId};
use ring::InstanceId;

use crate::{Chunk, Error, FamilyMetadata};

/// A part of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenSeries {
    /// The series' labels.
    pub labels: Labels,
    /// Some of its chunks, sorted by their first sample; they may overlap.
    pub chunks: Vec<Chunk>,
    /// Its exemplars, oldest first.
    pub exemplars: Vec<Exemplar>,
}

/// Some of what an ingester of one tenant held.
#[derive(Debug, Clone, PartialEq)]
pub struct TakeOverRequest {
    /// Whose it is.
    pub tenant: TenantId,
    /// The series.
    pub series: Vec<TakenSeries>,
    /// For families of which the receiver knows nothing.
    pub metadata: Vec<FamilyMetadata>,
}

/// What became of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// Samples that were not there before.
    pub stored: u64,
    /// Samples that were there.
    pub repeated: u64,
    /// Samples that have another value there, which stays.
    pub conflicting: u64,
}

impl std::ops::AddAssign for TakenOver {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.repeated += other.repeated;
        self.conflicting += other.conflicting;
    }
}

/// An ingester as one that leaves sees it.
#[async_trait]
pub trait TakeOver: Send + Sync {
    /// Takes over what another one held, whatever its limits and its out-of-order window. When it returns, everything
    /// survives a crash and is visible. Repeating it changes nothing. An error means that nothing is known to be stored.
    async fn take_over(&self, request: TakeOverRequest) -> Result<TakenOver, Error>;
}

/// How an ingester that leaves comes by the others.
pub trait Successors: Send + Sync {
    /// The ingester of this name; `None` where it cannot be reached at all.
    fn successor(&self, id: &InstanceId) -> Option<Arc<dyn TakeOver>>;
}
