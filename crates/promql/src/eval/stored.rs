//! Reading stored series, one after the other or several at the same time.

use std::sync::OnceLock;

use model::Labels;

use crate::engine::annotations::Annotations;
use crate::engine::error::{ErrorKind, QueryError};
use crate::engine::executor::Executor;
use crate::engine::source::{
    Samples, SelectHints, SelectedSeries, SeriesBatch, SeriesSet, SeriesSource, SourceError,
};

use super::aggregate_each::SHARD_STEP_BYTES;
use super::column::{Column, Place, shard_of};
use super::selectors::keep_stats_only;
use super::{Evaluator, HISTOGRAM_WORK, Held, Sink};

/// What is made of a stored series: a column, unless there is nothing in it. It may run on any thread, with an evaluator of
/// its own for what it notes and counts.
pub(super) type OfSeries<'e> =
    &'e (dyn Fn(&Evaluator<'_>, Labels, &mut Samples) -> Result<Option<Column>, QueryError> + Sync);

/// So many samples of a series are read between looks whether there is room for them.
const LOOK_AFTER: usize = 4096;

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        Self::new(ErrorKind::Source, format!("expanding series: {}", error.message))
    }
}

/// In which order stored series come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// By their labels.
    Labels,
    /// By virtual shards, and by labels inside of each, where the source can do that: columns say so then, by their
    /// place. Whoever folds them by shards has to keep few of these at a time.
    Shards,
}

/// So many series are computed before they are handed on, at most.
const BATCH_SERIES: usize = 1024;

/// So many series are said to be read next at a time: their chunks fit into the processor's nearest cache.
const APPROACHED: usize = 8;

/// Series to be read, as they come or in some order.
#[derive(Clone, Copy)]
struct Batch<'b> {
    series: &'b dyn SeriesBatch,
    order: Option<&'b [Place]>,
    /// How many series came before those of the source's batch.
    before: u32,
}

impl<'b> Batch<'b> {
    fn len(&self) -> usize {
        self.order.map_or(self.series.len(), <[Place]>::len)
    }

    fn place(&self, number: usize) -> Option<Place> {
        self.order.and_then(|order| order.get(number)).copied()
    }

    /// The number that a series has in the source's batch.
    fn number(&self, number: usize) -> usize {
        self.place(number).map_or(number, |place| (place.rank - self.before) as usize)
    }

    fn series(&self, number: usize) -> SelectedSeries<'b> {
        self.series.series(self.number(number))
    }

    fn approach(&self, numbers: std::ops::Range<usize>) {
        self.series.approach(&mut numbers.map(|number| self.number(number)));
    }
}

/// What came out of a part.
struct Part {
    columns: Result<Held, QueryError>,
    annotations: Annotations,
    series_read: u64,
    samples_read: u64,
}

/// Has no series: what computes a part is given them.
struct Nothing;

impl SeriesSource for Nothing {
    fn select(&self, _: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        Err(SourceError { message: "a part of a query selects nothing by itself".to_owned() })
    }
}

/// How many series a batch has.
fn count(series: &dyn SeriesBatch) -> Result<u32, QueryError> {
    u32::try_from(series.len()).map_err(|_| too_many())
}

fn too_many() -> QueryError {
    QueryError::internal("more series than can be counted")
}

impl Evaluator<'_> {
    /// Reads series and hands on, in order of their labels, the columns that `evaluate` makes of them.
    pub(super) fn stored_series(
        &self,
        hints: &SelectHints,
        (steps, order): (usize, Order),
        evaluate: OfSeries<'_>,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut set = self.source.select(hints)?;
        let sorted = set.is_sorted();
        let mut held = Held::new();
        let mut take = |column| if sorted { sink(column) } else { held.push(self, column) };
        let mut samples = Samples::default();
        let by_shards = order == Order::Shards && sorted;
        let rest = if by_shards { set.rest()? } else { None };
        if let Some(series) = rest {
            self.rest_by_shards((series, 0), steps, hints, evaluate, &mut take)?;
        } else if set.has_batches() {
            let open_before = self.shards_opened.get();
            let mut before = 0;
            while let Some(series) = set.next_batch()? {
                let batch = Batch { series, order: None, before };
                self.batch(batch, steps, hints, evaluate, &mut take)?;
                before = before.saturating_add(count(series)?);
                let open = self.shards_opened.get().saturating_sub(open_before);
                if by_shards
                    && open.saturating_mul(steps * SHARD_STEP_BYTES) > self.options.max_open_shards_bytes
                {
                    let Some(series) = set.gathered_rest()? else { continue };
                    self.rest_by_shards((series, before), steps, hints, evaluate, &mut take)?;
                    break;
                }
            }
        } else {
            while let Some(series) = set.next_series()? {
                if let Some(column) = self.of_stored(series, hints, evaluate, &mut samples)? {
                    take(column)?;
                }
            }
        }
        for warning in set.warnings() {
            self.annotations.borrow_mut().add_from_source(warning);
        }
        drop(set);
        self.sort_items(held.columns, |a, b| a.labels.cmp(&b.labels))?.into_iter().try_for_each(sink)
    }

    /// Reads series one by one.
    pub(crate) fn each_stored(
        &self,
        hints: &SelectHints,
        take: &mut dyn FnMut(Labels, &mut Samples) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut set = self.source.select(hints)?;
        let mut samples = Samples::default();
        while let Some(series) = set.next_series()? {
            let labels = self.read(series, hints, &mut samples)?;
            take(labels, &mut samples)?;
        }
        for warning in set.warnings() {
            self.annotations.borrow_mut().add_from_source(warning);
        }
        Ok(())
    }

    /// The columns of all series that are left, shard by shard; so many came before them.
    fn rest_by_shards(
        &self,
        (series, before): (&dyn SeriesBatch, u32),
        steps: usize,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        take: &mut dyn FnMut(Column) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        for order in self.by_shards(series, before)?.chunks(BATCH_SERIES) {
            let batch = Batch { series, order: Some(order), before };
            self.batch(batch, steps, hints, evaluate, take)?;
        }
        Ok(())
    }

    /// The places of series, those of the first shard first; so many came before them.
    fn by_shards(&self, series: &dyn SeriesBatch, before: u32) -> Result<Vec<Place>, QueryError> {
        let mut places = Vec::with_capacity(series.len());
        let end = before.checked_add(count(series)?).ok_or_else(too_many)?;
        for (number, rank) in (before..end).enumerate() {
            self.spend(1)?;
            places.push(Place { shard: shard_of(&series.labels(number)), rank });
        }
        places.sort_unstable();
        Ok(places)
    }

    /// The columns of a batch, on several threads where that is worth it.
    fn batch(
        &self,
        batch: Batch<'_>,
        steps: usize,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        take: &mut dyn FnMut(Column) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let divided = self.executor.map(|e| (e, e.part_series(batch.len(), steps).max(1)));
        match divided.filter(|(_, size)| *size < batch.len()) {
            Some((executor, size)) => self.divided(executor, size, batch, hints, evaluate, take),
            None => self.range_of(batch, 0..batch.len(), hints, evaluate, take),
        }
    }

    /// The columns of some series of a batch.
    fn range_of(
        &self,
        batch: Batch<'_>,
        range: std::ops::Range<usize>,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        take: &mut dyn FnMut(Column) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut samples = Samples::default();
        let mut next = range.start;
        for i in range.clone() {
            if i == next {
                next = range.end.min(i + APPROACHED);
                batch.approach(i..next);
            }
            if let Some(mut column) = self.of_stored(batch.series(i), hints, evaluate, &mut samples)? {
                column.place = batch.place(i);
                take(column)?;
            }
        }
        Ok(())
    }

    /// The columns of a batch, computed in parts of `size` series at the same time and handed on in order.
    fn divided(
        &self,
        executor: &dyn Executor,
        size: usize,
        batch: Batch<'_>,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        take: &mut dyn FnMut(Column) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let parts: Vec<OnceLock<Part>> = (0..batch.len().div_ceil(size)).map(|_| OnceLock::new()).collect();
        let (options, lookback_ms, interrupted) = (self.options, self.lookback_ms, self.interrupted);
        let budget = &self.budget;
        executor.run(parts.len(), &|number| {
            let evaluator = Evaluator::new(options, lookback_ms, &Nothing, interrupted, budget.clone(), None);
            let first = number * size;
            let range = first..(first + size).min(batch.len());
            let mut held = Held::new();
            let done = evaluator
                .range_of(batch, range, hints, evaluate, &mut |column| held.push(&evaluator, column));
            let part = Part {
                columns: done.map(|()| held),
                series_read: evaluator.series_read.get(),
                samples_read: evaluator.samples_read.get(),
                annotations: evaluator.annotations.into_inner(),
            };
            if let Some(slot) = parts.get(number) {
                // A part that is run twice has come to the same.
                let _ = slot.set(part);
            }
        });
        for part in parts {
            let missing = || QueryError::internal("a part of the query has not been run");
            let part = part.into_inner().ok_or_else(missing)?;
            self.series_read.set(self.series_read.get() + part.series_read);
            self.samples_read.set(self.samples_read.get() + part.samples_read);
            self.annotations.borrow_mut().absorb(part.annotations);
            part.columns?.columns.into_iter().try_for_each(&mut *take)?;
        }
        Ok(())
    }

    fn of_stored(
        &self,
        series: SelectedSeries<'_>,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        samples: &mut Samples,
    ) -> Result<Option<Column>, QueryError> {
        let labels = self.read(series, hints, samples)?;
        evaluate(self, labels, samples)
    }

    /// All samples of a series, and its labels.
    fn read(
        &self,
        mut series: SelectedSeries<'_>,
        hints: &SelectHints,
        samples: &mut Samples,
    ) -> Result<Labels, QueryError> {
        self.check_interrupted()?;
        samples.clear();
        let (mut next_look, mut histograms) = (LOOK_AFTER, 0);
        while series.samples.read(samples)? {
            let more = samples.histograms.len() - histograms;
            histograms += more;
            self.spend(more * HISTOGRAM_WORK)?;
            if samples.len() >= next_look {
                self.look(samples)?;
                next_look = samples.len() + LOOK_AFTER;
            }
        }
        self.look(samples)?;
        self.series_read.set(self.series_read.get() + 1);
        self.samples_read.set(self.samples_read.get() + samples.len() as u64);
        if hints.histogram_stats_only {
            keep_stats_only(samples);
        }
        Ok(series.labels)
    }

    /// Whether there is room for the samples of a series: they are freed with the next one, so this is checked but not kept.
    fn look(&self, samples: &Samples) -> Result<(), QueryError> {
        self.budget.look(samples.len(), samples.len() * size_of::<(i64, f64)>())
    }
}
