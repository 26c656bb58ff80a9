//! Reading stored series, one after the other or several at the same time.

use std::sync::OnceLock;

use model::Labels;

use crate::engine::annotations::Annotations;
use crate::engine::error::{ErrorKind, QueryError};
use crate::engine::executor::Executor;
use crate::engine::source::{
    Samples, SelectHints, SelectedSeries, SeriesBatch, SeriesSet, SeriesSource, SourceError,
};

use super::column::Column;
use super::selectors::keep_stats_only;
use super::{Evaluator, Held, Sink};

/// What is made of a stored series: a column, unless there is nothing in it. It may run on any thread, with an evaluator of
/// its own for what it notes and counts.
pub(super) type OfSeries<'e> =
    &'e (dyn Fn(&Evaluator<'_>, Labels, &mut Samples) -> Result<Option<Column>, QueryError> + Sync);

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        Self::new(ErrorKind::Source, format!("expanding series: {}", error.message))
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

impl Evaluator<'_> {
    /// Reads series and hands on, in order of their labels, the columns that `evaluate` makes of them.
    pub(super) fn stored_series(
        &self,
        hints: &SelectHints,
        steps: usize,
        evaluate: OfSeries<'_>,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut set = self.source.select(hints)?;
        let sorted = set.is_sorted();
        let mut held = Held::new();
        let mut take = |column| if sorted { sink(column) } else { held.push(self, column) };
        let mut samples = Samples::default();
        if set.has_batches() {
            while let Some(batch) = set.next_batch()? {
                let divided = self.executor.map(|e| (e, e.part_series(batch.len(), steps).max(1)));
                match divided.filter(|(_, size)| *size < batch.len()) {
                    Some((executor, size)) => {
                        self.divided(executor, size, batch, hints, evaluate, &mut take)?;
                    }
                    None => self.range_of(batch, 0..batch.len(), hints, evaluate, &mut take)?,
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
        held.columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        held.columns.into_iter().try_for_each(sink)
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

    /// The columns of some series of a batch.
    fn range_of(
        &self,
        batch: &dyn SeriesBatch,
        range: std::ops::Range<usize>,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        take: &mut dyn FnMut(Column) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut samples = Samples::default();
        for i in range {
            if let Some(column) = self.of_stored(batch.series(i), hints, evaluate, &mut samples)? {
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
        batch: &dyn SeriesBatch,
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
        while series.samples.read(samples)? {
            // Freed with the next series, so it is checked but not kept.
            self.budget.look(samples.len(), samples.len() * size_of::<(i64, f64)>())?;
        }
        self.series_read.set(self.series_read.get() + 1);
        self.samples_read.set(self.samples_read.get() + samples.len() as u64);
        if hints.histogram_stats_only {
            keep_stats_only(samples);
        }
        Ok(series.labels)
    }
}
