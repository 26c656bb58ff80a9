//! Taking over what another ingester held that leaves: into the log first, like a write.

pub(crate) mod record;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use model::{Labels, SeriesHash, TenantSeed};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use proto::{Chunk, Error, TakeOver, TakeOverRequest, TakenOver};
use wal::{Ticket, TimeHull};

use crate::head::open;
use crate::head::tenant::{Index, Tenant};
use crate::record::{NewSeries, RecordHeader, RecordWriter};
use crate::select;
use crate::service::{Applier, Ingester, Inner};
use record::TakenWriter;

/// About what a record takes beside its chunks, for each series.
const ENTRY_BYTES: usize = 32;

#[async_trait]
impl TakeOver for Ingester {
    async fn take_over(&self, request: TakeOverRequest) -> Result<TakenOver, Error> {
        self.inner.shed_if_behind()?;
        let request = Arc::new(request);
        let checked = request.clone();
        select::blocking(&self.inner.scope, move || check(&checked)).await??;
        let tickets = self.inner.append_taken(&request)?;
        let mut taken = TakenOver::default();
        for ticket in tickets {
            taken += self.inner.applied(ticket).await?.taken;
        }
        self.inner.metrics.taken_over_samples.inc_by(taken.stored);
        self.inner.metrics.taken_over_conflicts.inc_by(taken.conflicting);
        Ok(taken)
    }
}

/// The log must not have what cannot be read.
fn check(request: &TakeOverRequest) -> Result<(), Error> {
    for series in &request.series {
        if series.labels.is_empty() {
            return Err(Error::invalid("a series without labels was handed over"));
        }
        if let Some(wrong) = series.chunks.iter().find(|chunk| !is_sound(chunk)) {
            let (start, end) = (wrong.range.start_ms(), wrong.range.end_ms());
            let message = format!("a chunk of {} from {start} to {end} ms is damaged", series.labels);
            return Err(Error::invalid(message));
        }
    }
    Ok(())
}

/// Whether a chunk has samples, in order, and just where it says.
fn is_sound(chunk: &Chunk) -> bool {
    let Ok(samples) = open::decode(chunk.encoding, &chunk.data) else { return false };
    let times = || samples.iter().map(|(timestamp_ms, _)| *timestamp_ms);
    let ends = (times().next(), times().next_back());
    ends == (Some(chunk.range.start_ms()), Some(chunk.range.end_ms()))
        && samples.array_windows().all(|[a, b]| a.0 < b.0)
}

/// A series of a request, found or made.
struct Resolved {
    id: u32,
    hash: SeriesHash,
    /// Its labels, where the log has to be told.
    canonical: Option<Vec<u8>>,
}

/// The series of a request. No series is released as long as the index is held.
fn resolve<'t>(
    tenant: &'t Tenant,
    request: &TakeOverRequest,
) -> Result<(RwLockReadGuard<'t, Index>, Vec<Resolved>), Error> {
    let seed = TenantSeed::of(&tenant.id);
    let hashes: Vec<_> = request.series.iter().map(|series| SeriesHash::of(seed, &series.labels)).collect();
    let mut index = tenant.index.write();
    let mut resolved = Vec::with_capacity(hashes.len());
    for (series, hash) in request.series.iter().zip(hashes) {
        let labels: Vec<_> = series.labels.iter().collect();
        let bytes: Vec<_> = labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        // Limits are for what comes anew: this was taken in already.
        let found = index.find(hash, &bytes).cloned().or_else(|| index.create(hash, &labels));
        let found = found.ok_or_else(|| Error::internal("the numbers of series are used up"))?;
        let logged = found.logged.load(Ordering::Acquire);
        let canonical = (!logged).then(|| canonical(&series.labels));
        resolved.push(Resolved { id: found.id, hash, canonical });
    }
    Ok((RwLockWriteGuard::downgrade(index), resolved))
}

fn canonical(labels: &Labels) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter() {
        model::hash::push_canonical_label(&mut bytes, name.as_bytes(), value.as_bytes());
    }
    bytes
}

impl Inner {
    /// Hands the records of a request to the log.
    fn append_taken(&self, request: &TakeOverRequest) -> Result<Vec<Ticket<Applier>>, Error> {
        let _admitted = self.gate.take_over()?;
        let tenant = self.head.tenant_or_new(&request.tenant);
        let limits = self.limits.of(&request.tenant);
        tenant.max_exemplars.store(limits.max_global_exemplars_per_user, Ordering::Relaxed);
        let (_index, resolved) = resolve(&tenant, request)?;
        let new: Vec<_> = resolved
            .iter()
            .filter_map(|series| {
                let canonical = series.canonical.as_deref()?;
                Some(NewSeries { id: series.id, hash: series.hash, canonical })
            })
            .collect();
        let mut tickets = Vec::new();
        tickets.extend(self.append_chunks(&tenant, request, &resolved, &new)?);
        tickets.extend(self.append_rest(&tenant, request, &resolved, &new)?);
        Ok(tickets)
    }

    fn append_chunks(
        &self,
        tenant: &Tenant,
        request: &TakeOverRequest,
        resolved: &[Resolved],
        new: &[NewSeries<'_>],
    ) -> Result<Option<Ticket<Applier>>, Error> {
        let bytes = |chunks: &[Chunk]| chunks.iter().map(|c| c.data.len() + ENTRY_BYTES).sum::<usize>();
        let capacity = request.series.iter().map(|series| bytes(&series.chunks) + ENTRY_BYTES).sum();
        let mut writer = TakenWriter::new(tenant.id.as_str(), new, capacity);
        for (series, resolved) in request.series.iter().zip(resolved) {
            writer.chunks(resolved.id, &series.chunks);
        }
        let (record, Some(hull)) = writer.finish() else { return Ok(None) };
        self.append_record(record, TimeHull::new(hull.start_ms(), hull.end_ms())).map(Some)
    }

    /// Exemplars, and metadata of families of which nothing is known here: in a record as a write has it.
    fn append_rest(
        &self,
        tenant: &Tenant,
        request: &TakeOverRequest,
        resolved: &[Resolved],
        new: &[NewSeries<'_>],
    ) -> Result<Option<Ticket<Applier>>, Error> {
        let header = RecordHeader { tenant: tenant.id.as_str(), out_of_order_window_ms: 0 };
        let mut writer = RecordWriter::new(header, self.oldest_ms(), new, ENTRY_BYTES);
        let mut is_empty = true;
        {
            let known = tenant.metadata.lock();
            for family in request.metadata.iter().filter(|family| !known.knows(&family.family)) {
                // The newest is the last to be set.
                family.entries.iter().rev().for_each(|entry| writer.metadata(&family.family, entry));
                is_empty &= family.entries.is_empty();
            }
        }
        for (series, resolved) in request.series.iter().zip(resolved) {
            for exemplar in &series.exemplars {
                let labels = canonical(&exemplar.labels);
                writer.exemplar(resolved.id, exemplar.timestamp_ms, exemplar.value, &labels);
                is_empty = false;
            }
        }
        let (record, hull) = writer.finish();
        let hull = hull.map_or(TimeHull::EMPTY, |(min, max)| TimeHull::new(min, max));
        (!is_empty).then(|| self.append_record(record, hull)).transpose()
    }
}
