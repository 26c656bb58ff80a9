//! What one ingester answers to a selection: series with their chunks, or checksums of them.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use futures::TryFutureExt;
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use model::{Labels, SeriesHash, TenantSeed};
use proto::{
    Checked, ChecksumBatch, ChecksumStream, Error, MAX_REFERENCED_SERIES, ReferencedRequest,
    ReferencedSeries, SelectRequest, SeriesChunks,
};

use super::Role;
use super::frontier::Frontier;
use crate::zones::plan::Member;

/// A series that an ingester has sent.
pub(super) struct Arrived {
    pub(super) series: SeriesChunks,
    hash: Option<SeriesHash>,
}

impl Arrived {
    /// The series' ring hash; computed once.
    pub(super) fn hash(&mut self, seed: TenantSeed) -> SeriesHash {
        *self.hash.get_or_insert_with(|| SeriesHash::of(seed, &self.series.labels))
    }
}

/// What an ingester's answer goes on with.
enum Source {
    /// The answer itself.
    Stream(ChecksumStream),
    /// Series that were fetched by reference; everything up to these labels is known with them.
    Fetching(BoxFuture<'static, Result<Vec<SeriesChunks>, Error>>, Labels, ChecksumStream),
    /// Nothing.
    Nothing,
}

/// One ingester of a zone that is asked.
pub(super) struct Input {
    /// Its zone's number.
    pub(super) zone: usize,
    pub(super) member: Member,
    /// Everything up to here has arrived, or been found to be what has arrived from others.
    pub(super) frontier: Frontier,
    /// What it sent and nobody has taken; sorted by labels.
    pub(super) arrived: VecDeque<Arrived>,
    /// What it sent that has not been compared.
    pub(super) unresolved: Option<ChecksumBatch>,
    source: Source,
}

/// What came of looking.
pub(super) enum Progress {
    /// Nothing new.
    None,
    /// Something.
    Some,
    /// Series that were fetched by reference.
    Fetched(Vec<SeriesChunks>),
}

impl Input {
    /// Asks a member of the zone of this number; what is asked for depends on the zone's role.
    pub(super) fn open(zone: usize, member: Member, role: Role, request: SelectRequest) -> Self {
        let reader = member.reader.clone();
        let stream = async move {
            match role {
                Role::Chunks => {
                    let batches = reader.select(request).await?;
                    Ok(batches.map(|batch| batch.map(Checked::Chunks)).boxed())
                }
                Role::Checksums => reader.select_checksums(request).await,
            }
        };
        let source = Source::Stream(stream.try_flatten_stream().boxed());
        let arrived = VecDeque::new();
        Self { zone, member, frontier: Frontier::Start, arrived, unresolved: None, source }
    }

    /// Whether what it says next is of use before something has been given that lies behind `given` or, where others
    /// wait for it, up to `target`.
    pub(super) fn is_behind(&self, given: &Frontier, target: Option<&Frontier>) -> bool {
        self.frontier <= *given || target.is_some_and(|target| self.frontier < *target)
    }

    /// Looks for what is fetched by reference, or else, if `more`, for the next batch. Of that, what has been `given`
    /// is left out.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        more: bool,
        given: &Frontier,
    ) -> Result<Progress, Error> {
        match &mut self.source {
            Source::Fetching(fetching, _, _) => {
                let Poll::Ready(fetched) = fetching.as_mut().poll(context) else { return Ok(Progress::None) };
                if let Source::Fetching(_, through, stream) =
                    std::mem::replace(&mut self.source, Source::Nothing)
                {
                    self.source = Source::Stream(stream);
                    self.frontier = Frontier::Through(through);
                }
                Ok(Progress::Fetched(fetched?))
            }
            Source::Stream(stream) if more && self.unresolved.is_none() => {
                match stream.poll_next_unpin(context) {
                    Poll::Pending => return Ok(Progress::None),
                    Poll::Ready(None) => self.end(),
                    Poll::Ready(Some(batch)) => self.take(batch?, given)?,
                }
                Ok(Progress::Some)
            }
            Source::Stream(_) | Source::Nothing => Ok(Progress::None),
        }
    }

    fn end(&mut self) {
        self.source = Source::Nothing;
        self.frontier = Frontier::End;
    }

    /// Gives up on what has not arrived.
    pub(super) fn close(&mut self) {
        self.source = Source::Nothing;
        self.unresolved = None;
    }

    fn take(&mut self, batch: Checked, given: &Frontier) -> Result<(), Error> {
        match batch {
            Checked::Chunks(batch) => {
                for series in batch {
                    self.advance(&series.labels)?;
                    if !given.covers(&series.labels) {
                        self.arrived.push_back(Arrived { series, hash: None });
                    }
                }
            }
            Checked::Checksums(batch) if batch.series.is_empty() => {}
            Checked::Checksums(batch) => {
                self.follows(&batch.last)?;
                let chunks: u64 = batch.series.iter().map(|series| u64::from(series.chunks)).sum();
                if chunks != batch.checksums.len() as u64 {
                    return Err(Error::internal("it sent more or fewer checksums than chunks"));
                }
                self.unresolved = Some(batch);
            }
        }
        Ok(())
    }

    /// A series that came too late would come twice: merging relies on the order.
    fn follows(&self, labels: &Labels) -> Result<(), Error> {
        if self.frontier.covers(labels) {
            return Err(Error::internal(format!("it sent series {labels} out of order")));
        }
        Ok(())
    }

    fn advance(&mut self, labels: &Labels) -> Result<(), Error> {
        self.follows(labels)?;
        self.frontier = Frontier::Through(labels.clone());
        Ok(())
    }

    /// Everything up to `through` has been compared, and of it `wanted` is not what others sent.
    pub(super) fn resolved(
        &mut self,
        through: Labels,
        wanted: Vec<ReferencedSeries>,
        request: &SelectRequest,
    ) {
        if wanted.is_empty() {
            self.frontier = Frontier::Through(through);
            return;
        }
        if let Source::Stream(stream) = std::mem::replace(&mut self.source, Source::Nothing) {
            let fetching = fetch(self.member.clone(), wanted, request.clone());
            self.source = Source::Fetching(Box::pin(fetching), through, stream);
        }
    }
}

/// Fetches series by reference, so many at a time that calls are bounded.
async fn fetch(
    member: Member,
    wanted: Vec<ReferencedSeries>,
    request: SelectRequest,
) -> Result<Vec<SeriesChunks>, Error> {
    let mut fetched = Vec::with_capacity(wanted.len());
    for part in wanted.chunks(MAX_REFERENCED_SERIES) {
        let series = member.reader.select_referenced(ReferencedRequest {
            tenant: request.tenant.clone(),
            range: request.range,
            series: part.to_vec(),
            max_chunk_bytes: request.max_chunk_bytes,
        });
        let series = series.await?;
        if series.len() != part.len() {
            let (sent, asked) = (series.len(), part.len());
            return Err(Error::internal(format!(
                "it sent {sent} series by reference, {asked} were asked for"
            )));
        }
        fetched.extend(series);
    }
    Ok(fetched)
}
