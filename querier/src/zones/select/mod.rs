//! A selection from a quorum of zones: chunks from as many as hold every series between them, checksums from the others,
//! and from those what differs.
//!
//! All answers are sorted by labels. A series is given once enough whole zones have come so far; what a slow zone says
//! about it later is left out. So a zone that fails or falls behind, at any moment, is replaced by another one that
//! starts from the beginning.

mod differences;
mod frontier;
mod input;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use model::{Labels, SeriesHash, TenantSeed};
use proto::{
    ChecksumBatch, Chunk, Error, ReferencedSeries, SelectBatch, SelectRequest, SelectStream, SeriesChunks,
};

use self::differences::missing_since;
use self::frontier::Frontier;
use self::input::{Input, Progress};
use super::ask::Patience;
use super::plan::{Plan, Zone, is_failure_of_zone};
use crate::select::merge_chunks;

/// What a zone is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Series and their chunks.
    Chunks,
    /// Checksums, and by reference what others have not sent.
    Checksums,
}

/// A zone that is asked.
struct OpenZone {
    name: Arc<str>,
    role: Role,
    failed: bool,
}

/// A selection in progress.
struct Selection {
    request: SelectRequest,
    seed: TenantSeed,
    plan: Plan,
    patience: Patience,
    zones: Vec<OpenZone>,
    /// The instances of all of them. What a failed one has sent stays, because others may have been compared with it.
    inputs: Vec<Input>,
    /// What was fetched by reference.
    fetched: BTreeMap<Labels, Vec<Chunk>>,
    /// So far series have been given.
    given: Frontier,
    /// When another zone is asked besides.
    hedge: Option<BoxFuture<'static, ()>>,
    /// Checksums are not compared with chunks that do not come, but what they name is fetched.
    goes_without_chunks: bool,
}

/// Opens a selection.
pub(super) fn select(plan: Plan, patience: Patience, request: SelectRequest) -> SelectStream {
    let mut selection = Selection {
        seed: TenantSeed::of(&request.tenant),
        request,
        patience,
        zones: Vec::new(),
        inputs: Vec::new(),
        fetched: BTreeMap::new(),
        given: Frontier::Start,
        hedge: None,
        goes_without_chunks: false,
        plan,
    };
    for number in 0..selection.plan.required {
        let role = if number < selection.plan.covering { Role::Chunks } else { Role::Checksums };
        selection.open_next(role);
    }
    stream::unfold(Some(selection), |selection| async {
        let mut selection = selection?;
        match poll_fn(|context| selection.poll_next(context)).await {
            Ok(Some(batch)) => Some((Ok(batch), Some(selection))),
            Ok(None) => None,
            // After an error nothing more comes.
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Selection {
    /// Asks the next zone, if there is one.
    fn open_next(&mut self, role: Role) -> bool {
        let Some(Zone { name, members }) = self.plan.zones.pop_front() else { return false };
        let zone = self.zones.len();
        self.zones.push(OpenZone { name, role, failed: false });
        let open = |member| Input::open(zone, member, role, self.request.clone());
        self.inputs.extend(members.into_iter().map(open));
        true
    }

    /// The next series, `None` at the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<SelectBatch>, Error>> {
        loop {
            if self.given == Frontier::End {
                return Poll::Ready(Ok(None));
            }
            let mut progress = false;
            for number in 0..self.inputs.len() {
                progress |= self.advance(number, context)?;
            }
            let whole = self.whole();
            if whole > self.given {
                let batch = self.take(&whole);
                self.given = whole;
                self.hedge = None;
                if !batch.is_empty() {
                    return Poll::Ready(Ok(Some(batch)));
                }
            } else if !progress && !self.hedges(context) {
                return Poll::Pending;
            }
        }
    }

    /// Lets one instance go on; whether it has.
    fn advance(&mut self, number: usize, context: &mut Context<'_>) -> Result<bool, Error> {
        if self.is_failed(number) {
            return Ok(false);
        }
        let comparable = self.comparable();
        let target = self.target();
        let Some(input) = self.inputs.get_mut(number) else { return Ok(false) };
        if let Some(batch) = input.unresolved.take_if(|batch| comparable.covers(&batch.last)) {
            self.resolve(number, batch);
            return Ok(true);
        }
        let more = input.is_behind(&self.given, target.as_ref());
        match input.poll(context, more, &self.given) {
            Ok(Progress::None) => Ok(false),
            Ok(Progress::Some) => Ok(true),
            Ok(Progress::Fetched(series)) => {
                for series in series {
                    if !self.given.covers(&series.labels) {
                        self.fetched.entry(series.labels).or_default().extend(series.chunks);
                    }
                }
                Ok(true)
            }
            Err(error) => self.fail(number, error).map(|()| true),
        }
    }

    fn is_failed(&self, number: usize) -> bool {
        let zone = self.inputs.get(number).and_then(|input| self.zones.get(input.zone));
        zone.is_none_or(|zone| zone.failed)
    }

    /// Goes on without the zone of an instance.
    fn fail(&mut self, number: usize, error: Error) -> Result<(), Error> {
        if !is_failure_of_zone(error.code) {
            return Err(error);
        }
        let Some(input) = self.inputs.get(number) else { return Err(error) };
        let (zone, instance) = (input.zone, input.member.id.clone());
        self.inputs.iter_mut().filter(|input| input.zone == zone).for_each(Input::close);
        let Some(zone) = self.zones.get_mut(zone) else { return Err(error) };
        zone.failed = true;
        let (name, role) = (Arc::clone(&zone.name), zone.role);
        self.patience.metrics.failed.inc();
        self.plan.fail(&name, &instance, &error.message);
        let able = self.zones.iter().filter(|zone| !zone.failed).count();
        if !self.open_next(role) && able < self.plan.required {
            return Err(self.plan.shortage(able));
        }
        Ok(())
    }

    /// How far each zone has come that has not failed and that `is` one of those asked about.
    fn frontiers(&self, is: impl Fn(&OpenZone) -> bool) -> Vec<Frontier> {
        let zones = self.zones.iter().enumerate().filter(|(_, zone)| !zone.failed && is(zone));
        let frontier = |(number, _)| {
            let inputs = self.inputs.iter().filter(|input| input.zone == number);
            inputs.map(|input| input.frontier.clone()).min().unwrap_or(Frontier::End)
        };
        zones.map(frontier).collect()
    }

    /// How far enough zones have come.
    fn whole(&self) -> Frontier {
        Frontier::of_farthest(self.frontiers(|_| true), self.plan.required).unwrap_or(Frontier::Start)
    }

    /// How far checksums can be compared with what has arrived: those that send chunks hold every series between them.
    fn comparable(&self) -> Frontier {
        if self.goes_without_chunks {
            return Frontier::End;
        }
        let sending = self.frontiers(|zone| zone.role == Role::Chunks);
        let count = self.plan.covering.min(sending.len());
        Frontier::of_farthest(sending, count).unwrap_or(Frontier::End)
    }

    /// How far chunks have to come, so that the checksums that have arrived can be compared.
    fn target(&self) -> Option<Frontier> {
        let unresolved = self.inputs.iter().filter_map(|input| input.unresolved.as_ref());
        unresolved.map(|batch| batch.last.clone()).max().map(Frontier::Through)
    }

    /// Compares checksums with the chunks that have arrived from others.
    fn resolve(&mut self, number: usize, batch: ChecksumBatch) {
        let from = self.inputs.get(number).map_or(Frontier::Start, |input| input.frontier.clone());
        let metrics = &self.patience.metrics;
        let mut wanted = Vec::new();
        if !self.given.covers(&batch.last) {
            let mut sent = Sent::new(&mut self.inputs, &from, self.seed);
            let mut rest = batch.checksums.as_slice();
            for series in &batch.series {
                let (checksums, others) = rest.split_at(rest.len().min(series.chunks as usize));
                rest = others;
                if let Some(since_ms) = sent.missing_since(series.hash, checksums) {
                    let (hash, reference) = (series.hash, series.reference);
                    wanted.push(ReferencedSeries { hash, reference, since_ms });
                }
            }
            metrics.compared.inc_by(batch.series.len() as u64);
            metrics.differing.inc_by(wanted.len() as u64);
        }
        if let Some(input) = self.inputs.get_mut(number) {
            input.resolved(batch.last, wanted, &self.request);
        }
    }

    /// Takes every series up to `whole`, sorted, with the chunks of all that have it.
    fn take(&mut self, whole: &Frontier) -> SelectBatch {
        let mut sources: Vec<SelectBatch> = Vec::new();
        for input in &mut self.inputs {
            let count = input.arrived.partition_point(|arrived| whole.covers(&arrived.series.labels));
            if count > 0 {
                sources.push(input.arrived.drain(..count).map(|arrived| arrived.series).collect());
            }
        }
        let mut fetched = SelectBatch::new();
        while let Some(first) = self.fetched.first_entry().filter(|first| whole.covers(first.key())) {
            let (labels, chunks) = first.remove_entry();
            fetched.push(SeriesChunks { labels, chunks: merge_chunks(vec![chunks, Vec::new()]) });
        }
        if !fetched.is_empty() {
            sources.push(fetched);
        }
        merge(sources)
    }

    /// Does something about zones that take long, once they have; whether it has.
    fn hedges(&mut self, context: &mut Context<'_>) -> bool {
        if self.plan.zones.is_empty() && !self.can_go_without_chunks() {
            return false;
        }
        let Patience { clock, hedge_after, metrics } = &self.patience;
        let hedge = self.hedge.get_or_insert_with(|| clock.sleep(*hedge_after));
        if hedge.as_mut().poll(context).is_pending() {
            return false;
        }
        self.hedge = None;
        metrics.hedged.inc();
        // Another zone takes the place of one that is waited for.
        let comparable = self.comparable();
        let are_chunks_late =
            comparable <= self.given || self.target().is_some_and(|target| comparable < target);
        if !self.open_next(if are_chunks_late { Role::Chunks } else { Role::Checksums }) {
            self.goes_without_chunks = true;
        }
        true
    }

    /// Whether enough zones could go on if checksums were not compared with chunks that do not come.
    fn can_go_without_chunks(&self) -> bool {
        let Some(target) = self.target().filter(|_| !self.goes_without_chunks) else { return false };
        let sent = self.frontiers(|zone| zone.role == Role::Chunks);
        let sent = sent.iter().filter(|frontier| **frontier >= target).count();
        let others = self.frontiers(|zone| zone.role == Role::Checksums).len();
        sent + others >= self.plan.required
    }
}

/// What has arrived from all instances, walked in the order of labels.
struct Sent<'a> {
    seed: TenantSeed,
    /// What each has sent, from the series on that may come next.
    rests: Vec<&'a mut [input::Arrived]>,
}

impl<'a> Sent<'a> {
    /// Everything that arrived behind `from`.
    fn new(inputs: &'a mut [Input], from: &Frontier, seed: TenantSeed) -> Self {
        let rest = |input: &'a mut Input| {
            let arrived = input.arrived.make_contiguous();
            let start = arrived.partition_point(|arrived| from.covers(&arrived.series.labels));
            arrived.split_at_mut(start).1
        };
        let rests = inputs.iter_mut().map(rest).filter(|rest| !rest.is_empty()).collect();
        Self { seed, rests }
    }

    /// From when on chunks of the series with this hash, which is not before the one asked about last, are missing.
    fn missing_since(&mut self, hash: SeriesHash, checksums: &[u64]) -> Option<i64> {
        let seed = self.seed;
        let mut found: Vec<&[Chunk]> = Vec::with_capacity(1);
        for rest in &mut self.rests {
            if let Some(at) = rest.iter_mut().position(|arrived| arrived.hash(seed) == hash) {
                // An ingester may name a series twice, so this one is not passed yet.
                *rest = std::mem::take(rest).split_at_mut(at).1;
                found.extend(rest.first().map(|arrived| arrived.series.chunks.as_slice()));
            }
        }
        missing_since(&found, checksums)
    }
}

/// The series of all sources, each sorted by labels, each series once.
fn merge(mut sources: Vec<SelectBatch>) -> SelectBatch {
    if sources.len() <= 1 {
        return sources.pop().unwrap_or_default();
    }
    let mut all: SelectBatch = sources.into_iter().flatten().collect();
    // Sorted runs are found and merged.
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut merged = SelectBatch::with_capacity(all.len());
    for series in all {
        match merged.last_mut() {
            Some(last) if last.labels == series.labels => {
                let chunks = std::mem::take(&mut last.chunks);
                last.chunks = merge_chunks(vec![chunks, series.chunks]);
            }
            _ => merged.push(series),
        }
    }
    merged
}
