//! Selections merged from all ingesters that hold a tenant's data.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as MemoryOrdering};

use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream;
use model::{Labels, Matcher, TenantId, TimeRange};
use promql::SharedMemory;
use proto::{Chunk, Code, CoveringSelection, Error, IngesterRead, SelectRequest, SelectStream, SeriesChunks};

use crate::blocks::{Blocks, BlocksRead};
use crate::config::QuerierLimits;
use crate::error::ApiError;
use crate::federated;
use crate::memory::QueryMemory;
use crate::report::Cost;
use crate::sources::{Once, Readers, Sources, Watch};

/// What one query may still fetch.
#[derive(Debug)]
pub(crate) struct Budget {
    series: Allowance,
    chunks: Allowance,
    chunk_bytes: Allowance,
    /// What the query holds is taken from here, too.
    memory: Option<Arc<QueryMemory>>,
    /// Blocks that were read, and those that were left out.
    blocks_read: AtomicU64,
    blocks_left_out: AtomicU64,
}

/// A limit, and how much of it is left.
#[derive(Debug)]
struct Allowance {
    limit: usize,
    left: usize,
}

impl Allowance {
    /// An allowance of `limit`; 0 means no limit.
    fn new(limit: usize) -> Self {
        let limit = if limit == 0 { usize::MAX } else { limit };
        Self { limit, left: limit }
    }

    fn take(&mut self, amount: usize) -> bool {
        let left = self.left.checked_sub(amount);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn text(&self) -> String {
        if self.limit == usize::MAX { "no limit".to_owned() } else { self.limit.to_string() }
    }

    fn taken(&self) -> usize {
        self.limit - self.left
    }

    /// What may be asked of an ingester, which refuses to give more.
    fn ask(&self) -> usize {
        self.left.max(1)
    }
}

impl Budget {
    pub(crate) fn new(limits: &QuerierLimits) -> Self {
        Self {
            series: Allowance::new(limits.max_fetched_series_per_query),
            chunks: Allowance::new(limits.max_fetched_chunks_per_query),
            chunk_bytes: Allowance::new(limits.max_fetched_chunk_bytes_per_query.as_usize()),
            memory: None,
            blocks_read: AtomicU64::new(0),
            blocks_left_out: AtomicU64::new(0),
        }
    }

    /// The same, with what is fetched taken from `memory`.
    pub(crate) fn with_memory(self, memory: Arc<QueryMemory>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Tells what has been fetched.
    pub(crate) fn tell(&self, cost: &mut Cost) {
        cost.series = self.series.taken() as u64;
        cost.chunk_bytes = self.chunk_bytes.taken() as u64;
        cost.blocks = self.blocks_read.load(MemoryOrdering::Relaxed);
        cost.blocks_left_out = self.blocks_left_out.load(MemoryOrdering::Relaxed);
    }

    fn note_blocks(&self, blocks: BlocksRead) {
        self.blocks_read.fetch_add(blocks.read, MemoryOrdering::Relaxed);
        self.blocks_left_out.fetch_add(blocks.left_out, MemoryOrdering::Relaxed);
    }

    /// An ingester refuses what goes beyond the limits that it is told, but does not know their names.
    fn explain(&self, mut error: Error) -> Error {
        if error.code == Code::Unprocessable {
            error.message.push_str(&format!(
                " (max_fetched_series_per_query: {}, max_fetched_chunk_bytes_per_query: {})",
                self.series.text(),
                self.chunk_bytes.text()
            ));
        }
        error
    }

    /// Takes a series, and the memory that it is held in.
    fn take(&mut self, series: &SeriesChunks) -> Result<(), ApiError> {
        self.count(series)?;
        match &self.memory {
            Some(memory) => Ok(memory.take(held_bytes(series))?),
            None => Ok(()),
        }
    }

    /// Takes a series, but no memory.
    fn count(&mut self, series: &SeriesChunks) -> Result<(), ApiError> {
        if !self.series.take(1) {
            return Err(ApiError::execution(format!(
                "the query exceeded the maximum number of series (limit: {} series, max_fetched_series_per_query); \
                 select fewer with more label matchers or a shorter time range",
                self.series.limit
            )));
        }
        if !self.chunks.take(series.chunks.len()) {
            return Err(ApiError::execution(format!(
                "the query exceeded the maximum number of chunks (limit: {} chunks, max_fetched_chunks_per_query); \
                 select fewer series or a shorter time range",
                self.chunks.limit
            )));
        }
        let bytes = series.chunks.iter().map(|c| c.data.len()).sum();
        if !self.chunk_bytes.take(bytes) {
            return Err(ApiError::execution(format!(
                "the query exceeded the aggregated chunks size limit (limit: {} bytes, \
                 max_fetched_chunk_bytes_per_query); select fewer series or a shorter time range",
                self.chunk_bytes.limit
            )));
        }
        Ok(())
    }
}

/// How much memory a series and its chunks take, in bytes.
pub(crate) fn held_bytes(series: &SeriesChunks) -> u64 {
    let data: usize = series.chunks.iter().map(|c| c.data.len()).sum();
    let chunks = series.chunks.len() * size_of::<Chunk>();
    (data + chunks + size_of::<SeriesChunks>() + series.labels.heap_bytes()) as u64
}

/// What is asked of readers.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Series have to match all of these.
    pub(crate) matchers: &'a [Matcher],
    /// Their samples in this range, ...
    pub(crate) range: TimeRange,
    /// ... or the newest of them, where that is enough.
    pub(crate) newest_only: bool,
}

impl<'a> Wanted<'a> {
    /// All samples in the range.
    pub(crate) fn all(matchers: &'a [Matcher], range: TimeRange) -> Self {
        Self { matchers, range, newest_only: false }
    }
}

/// Series that match, one after the other: sorted by labels, each once; their chunks sorted by their first sample.
pub(crate) struct Selection(Merged);

impl Selection {
    /// Begins to select.
    pub(crate) async fn open(
        readers: &Readers,
        tenant: &TenantId,
        asked: &Wanted<'_>,
        budget: &Budget,
    ) -> Result<Self, ApiError> {
        let merged = merged(readers, tenant, asked, budget).await;
        Ok(Self(merged.map_err(|e| budget.explain(e))?))
    }

    /// Begins to select what several tenants have, as that of one; see [`federated`].
    pub(crate) async fn open_federated(
        sources: &Sources,
        tenants: &[TenantId],
        asked: &Wanted<'_>,
        budget: &Budget,
    ) -> Result<Self, ApiError> {
        let mut streams = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let Some(matchers) = federated::matchers_of(tenant, asked.matchers) else { continue };
            let readers = sources.readers(tenant, asked.range)?;
            let asked = Wanted { matchers: &matchers, ..*asked };
            let merged = merged(&readers, tenant, &asked, budget).await;
            let labelled = federated::labelled(tenant, merged.map_err(|e| budget.explain(e))?.into_stream());
            streams.push(labelled.await.map_err(|e| budget.explain(e))?);
        }
        Ok(Self(Merged::new(streams)))
    }

    /// The next series, taken from the budget.
    pub(crate) async fn next(&mut self, budget: &mut Budget) -> Result<Option<SeriesChunks>, ApiError> {
        let Some(series) = self.0.next().await.map_err(|e| budget.explain(e))? else {
            return Ok(None);
        };
        budget.take(&series)?;
        Ok(Some(series))
    }

    /// The next series, taken from the budget but for its memory.
    pub(crate) async fn next_uncharged(
        &mut self,
        budget: &mut Budget,
    ) -> Result<Option<SeriesChunks>, ApiError> {
        let Some(series) = self.0.next().await.map_err(|e| budget.explain(e))? else {
            return Ok(None);
        };
        budget.count(&series)?;
        Ok(Some(series))
    }
}

/// So often a selection is begun at most: again where blocks came while it was, of which ingesters may have forgotten what they
/// had.
pub(crate) const BEGINNINGS: usize = 3;

/// What all readers have of a tenant.
async fn merged(
    readers: &Readers,
    tenant: &TenantId,
    asked: &Wanted<'_>,
    budget: &Budget,
) -> Result<Merged, Error> {
    let mut begun = 1;
    loop {
        let Once { ingesters, blocks, watch } = readers.once();
        let request = SelectRequest {
            tenant: tenant.clone(),
            matchers: asked.matchers.to_vec(),
            range: asked.range,
            newest_only: asked.newest_only,
            max_series: budget.series.ask(),
            max_chunk_bytes: budget.chunk_bytes.ask(),
        };
        let streams = match blocks {
            Some(blocks) => beside(&ingesters, &blocks, request, budget).await?,
            None => try_join_all(ingesters.iter().map(|ingester| ingester.select(request.clone()))).await?,
        };
        let mut merged = Merged::new(streams);
        let Some(watch) = watch else { return Ok(merged) };
        // Answers that are short, as most are, have come whole with their first batch.
        merged.fill().await?;
        if watch.is_current().await? {
            merged.watch = Some(watch);
            return Ok(merged);
        }
        if begun == BEGINNINGS {
            return Err(watch.outdated());
        }
        begun += 1;
    }
}

/// What ingesters have, and behind it what blocks have that ingesters do not cover: these are asked first.
async fn beside(
    ingesters: &[Arc<dyn IngesterRead>],
    blocks: &Blocks,
    request: SelectRequest,
    budget: &Budget,
) -> Result<Vec<SelectStream>, Error> {
    let answers = ingesters.iter().map(|ingester| ingester.select_covering(request.clone()));
    let (mut streams, mut all_covered) = (Vec::with_capacity(ingesters.len() + 1), BTreeSet::new());
    for CoveringSelection { series, covered } in try_join_all(answers).await? {
        streams.push(series);
        all_covered.extend(covered);
    }
    let (series, read) = blocks.select_beside(request, &all_covered).await?;
    budget.note_blocks(read);
    streams.push(series);
    Ok(streams)
}

/// Several selections as one.
struct Merged {
    inputs: Vec<Input>,
    last: Option<Labels>,
    /// What has to be looked at whenever ingesters have said more.
    watch: Option<Watch>,
}

/// One selection, with its next series.
struct Input {
    stream: SelectStream,
    batch: std::vec::IntoIter<SeriesChunks>,
    head: Option<SeriesChunks>,
    ended: bool,
}

impl Merged {
    fn new(streams: Vec<SelectStream>) -> Self {
        let input = |stream| Input { stream, batch: Vec::new().into_iter(), head: None, ended: false };
        Self { inputs: streams.into_iter().map(input).collect(), last: None, watch: None }
    }

    /// The next series by labels, with the chunks of all that have it.
    async fn next(&mut self) -> Result<Option<SeriesChunks>, Error> {
        if let Some(number) = self.only_open() {
            return self.next_of(number).await;
        }
        let asked = self.fill().await?;
        if let Some(watch) = self.watch.as_ref().filter(|_| asked)
            && !watch.is_current().await?
        {
            return Err(watch.outdated());
        }
        let heads = self.inputs.iter().filter_map(|input| input.head.as_ref());
        let Some(labels) = heads.map(|series| &series.labels).min().cloned() else {
            return Ok(None);
        };
        self.follows(&labels)?;
        let same = |series: &mut SeriesChunks| series.labels == labels;
        let chunks = self
            .inputs
            .iter_mut()
            .filter_map(|input| input.head.take_if(same))
            .map(|series| series.chunks)
            .collect();
        Ok(Some(SeriesChunks { labels, chunks: merge_chunks(chunks) }))
    }

    /// The same series by series.
    fn into_stream(self) -> SelectStream {
        let next = |mut merged: Self| async move {
            let next = merged.next().await.transpose()?;
            Some((next.map(|series| vec![series]), merged))
        };
        stream::unfold(self, next).boxed()
    }
}

impl Merged {
    /// Gives every input its next series; whether an ingester was asked for it. Blocks, if they are read, are the last input.
    async fn fill(&mut self) -> Result<bool, Error> {
        let asked = try_join_all(self.inputs.iter_mut().map(Input::fill)).await?;
        Ok(asked.split_last().is_some_and(|(_, ingesters)| ingesters.contains(&true)))
    }

    /// The number of the only input that has not come to its end.
    fn only_open(&self) -> Option<usize> {
        let mut open = (0..).zip(&self.inputs).filter(|(_, input)| !input.is_done());
        let (number, _) = open.next()?;
        open.next().is_none().then_some(number)
    }

    /// The next series where no other input has any.
    async fn next_of(&mut self, number: usize) -> Result<Option<SeriesChunks>, Error> {
        let is_ingester = number + 1 < self.inputs.len();
        let Some(only) = self.inputs.get_mut(number) else { return Ok(None) };
        let asked = only.fill().await?;
        let next = only.head.take();
        if let Some(watch) = self.watch.as_ref().filter(|_| asked && is_ingester)
            && !watch.is_current().await?
        {
            return Err(watch.outdated());
        }
        if let Some(series) = &next {
            self.follows(&series.labels)?;
        }
        Ok(next)
    }

    /// A series that came too late would come twice: merging relies on the order.
    fn follows(&mut self, labels: &Labels) -> Result<(), Error> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            return Err(Error::internal(format!("an ingester sent series {labels} out of order")));
        }
        self.last = Some(labels.clone());
        Ok(())
    }
}

impl Input {
    fn is_done(&self) -> bool {
        self.ended && self.head.is_none()
    }

    /// Fetches the next series, unless it is there already; whether the reader was asked.
    async fn fill(&mut self) -> Result<bool, Error> {
        let mut asked = false;
        while self.head.is_none() && !self.ended {
            if let Some(series) = self.batch.next() {
                self.head = Some(series);
                break;
            }
            asked = true;
            match self.stream.next().await {
                Some(batch) => self.batch = batch?.into_iter(),
                None => self.ended = true,
            }
        }
        Ok(asked)
    }
}

/// The chunks of one series from several ingesters: sorted, and equal ones, which replicas have, once.
pub(crate) fn merge_chunks(mut sets: Vec<Vec<Chunk>>) -> Vec<Chunk> {
    if sets.len() == 1 {
        return sets.swap_remove(0);
    }
    let mut chunks = sets.concat();
    sort_chunks(&mut chunks);
    chunks
}

/// Sorts chunks by their first sample; equal ones are left once.
pub(crate) fn sort_chunks(chunks: &mut Vec<Chunk>) {
    chunks.sort_by(order);
    chunks.dedup_by(|a, b| order(a, b) == Ordering::Equal);
}

fn order(a: &Chunk, b: &Chunk) -> Ordering {
    let key = |c: &Chunk| (c.range.start_ms(), c.range.end_ms(), c.encoding as u8);
    key(a).cmp(&key(b)).then_with(|| a.data.cmp(&b.data))
}
