//! What an ingester has of one tenant, in parcels for those who get it: read series by series, bounded in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Exemplar, TimeRange};
use proto::{Chunk, FamilyMetadata, TakeOverRequest, TakenSeries};
use ring::{InstanceId, TenantHeirs};

use crate::chains;
use crate::chunk_store::{ChunkStore, StoreError};
use crate::head::series::Series;
use crate::head::tenant::Tenant;

/// About so many bytes of chunks are in a parcel. The receiver writes one record of its log for each.
const PARCEL_BYTES: usize = 1 << 20;
/// When about so many bytes have been read they are sent, before more is read.
const READ_BYTES: usize = 4 << 20;
/// What a series counts for besides its chunks.
const SERIES_BYTES: usize = 256;
/// So many families are in a parcel of metadata.
const PARCEL_FAMILIES: usize = 1000;

/// Something for one heir.
pub(super) struct Parcel {
    pub(super) to: InstanceId,
    pub(super) request: TakeOverRequest,
}

/// A tenant that is being read.
pub(super) struct Reading {
    tenant: Arc<Tenant>,
    heirs: TenantHeirs,
    /// Chunks that end before this are not wanted any more.
    range: TimeRange,
    /// Where the next page of series begins; `None`: there is none.
    next: Option<u32>,
    page: std::vec::IntoIter<Arc<Series>>,
    exemplars: HashMap<u32, Vec<Exemplar>, xxhash_rust::xxh3::Xxh3DefaultBuilder>,
    families: Vec<FamilyMetadata>,
    /// Who has been told about the families.
    told: BTreeSet<InstanceId>,
    /// How many series were read.
    pub(super) series: u64,
}

impl Reading {
    pub(super) fn new(tenant: Arc<Tenant>, heirs: TenantHeirs, range: TimeRange) -> Self {
        let mut exemplars: HashMap<u32, Vec<Exemplar>, _> = HashMap::default();
        for stored in tenant.exemplars.lock().iter() {
            exemplars.entry(stored.series).or_default().push(stored.exemplar.clone());
        }
        let families = tenant.metadata.lock().list(None, 0, 0);
        Self {
            tenant,
            heirs,
            range,
            next: Some(0),
            page: Vec::new().into_iter(),
            exemplars,
            families,
            told: BTreeSet::new(),
            series: 0,
        }
    }

    /// Whether everything has been read.
    pub(super) fn is_done(&self) -> bool {
        self.page.as_slice().is_empty() && self.next.is_none()
    }

    /// Reads on. The parcels of one heir are in the order of time.
    pub(super) fn read(&mut self, store: &ChunkStore) -> Result<Vec<Parcel>, StoreError> {
        let mut parcels = Parcels { tenant: self.tenant.clone(), open: BTreeMap::new(), full: Vec::new() };
        let mut bytes = 0;
        while bytes < READ_BYTES {
            let Some(series) = self.next_series() else { break };
            bytes += self.read_series(&series, store, &mut parcels)?;
        }
        Ok(parcels.finish())
    }

    fn next_series(&mut self) -> Option<Arc<Series>> {
        loop {
            if let Some(series) = self.page.next() {
                return Some(series);
            }
            let mut page = Vec::new();
            self.next = self.tenant.index.read().page_from(self.next?, &mut page);
            self.page = page.into_iter();
        }
    }

    fn read_series(
        &mut self,
        series: &Arc<Series>,
        store: &ChunkStore,
        parcels: &mut Parcels,
    ) -> Result<usize, StoreError> {
        let selection = series.state.lock().select(self.range);
        let chunks = chains::of_one(selection, self.range, store)?;
        let labels = {
            let index = self.tenant.index.read();
            // A series that was released meanwhile had expired, and its labels may be those of another.
            let is_there = index.get(series.id).is_some_and(|known| Arc::ptr_eq(known, series));
            is_there.then(|| index.labels(series))
        };
        let (Some(labels), false) = (labels, chunks.is_empty()) else { return Ok(0) };
        self.series += 1;
        let exemplars = self.exemplars.remove(&series.id).unwrap_or_default();
        let bytes = chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>() + SERIES_BYTES;
        for heir in self.heirs.of(series.hash) {
            if self.told.insert(heir.clone()) {
                parcels.metadata(heir, &self.families);
            }
            let mut exemplars = exemplars.clone();
            for chunks in pieces(&chunks) {
                let exemplars = std::mem::take(&mut exemplars);
                parcels.series(heir, TakenSeries { labels: labels.clone(), chunks, exemplars });
            }
        }
        Ok(bytes)
    }
}

/// The chunks of a long series in pieces that fit into a parcel.
fn pieces(chunks: &[Chunk]) -> Vec<Vec<Chunk>> {
    let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0);
    for chunk in chunks {
        bytes += chunk.data.len();
        piece.push(chunk.clone());
        if bytes >= PARCEL_BYTES {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Parcels that are being filled, one for each heir, and those that are full.
struct Parcels {
    tenant: Arc<Tenant>,
    open: BTreeMap<InstanceId, (TakeOverRequest, usize)>,
    full: Vec<Parcel>,
}

impl Parcels {
    fn empty(tenant: &Tenant) -> TakeOverRequest {
        TakeOverRequest { tenant: tenant.id.clone(), series: Vec::new(), metadata: Vec::new() }
    }

    fn series(&mut self, heir: &InstanceId, series: TakenSeries) {
        let Self { tenant, open, full } = self;
        let (request, bytes) = open.entry(heir.clone()).or_insert_with(|| (Self::empty(tenant), 0));
        *bytes += series.chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>() + SERIES_BYTES;
        request.series.push(series);
        if *bytes >= PARCEL_BYTES
            && let Some((request, _)) = open.remove(heir)
        {
            full.push(Parcel { to: heir.clone(), request });
        }
    }

    fn metadata(&mut self, heir: &InstanceId, families: &[FamilyMetadata]) {
        for families in families.chunks(PARCEL_FAMILIES) {
            let request = TakeOverRequest { metadata: families.to_vec(), ..Self::empty(&self.tenant) };
            self.full.push(Parcel { to: heir.clone(), request });
        }
    }

    fn finish(self) -> Vec<Parcel> {
        let rest = self.open.into_iter().map(|(to, (request, _))| Parcel { to, request });
        self.full.into_iter().chain(rest).collect()
    }
}
