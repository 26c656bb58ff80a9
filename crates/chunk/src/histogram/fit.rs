//! Whether a histogram fits behind another one in the same chunk, and what has to change for it.

use model::{BucketSpan, CounterResetHint, is_stale_nan};

use super::kind::Sample;
use super::spans::{Union, bucket_count};
use crate::error::ChunkError;

/// Why a sample cannot be appended to a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutReason {
    /// A counter was reset, or the custom bounds changed, which counts as one.
    CounterReset,
    /// Schema, zero threshold or, for gauges, custom bounds changed.
    Layout,
    /// A counter follows a gauge or the other way round.
    GaugeOrCounter,
    /// The series was stale and lives again.
    AfterStale,
    /// The chunk has as many samples as its header counts: 65,535, with start timestamps 16,383.
    Full,
}

/// How a sample that can be appended becomes part of the chunk.
#[derive(Debug)]
pub(crate) enum Fit {
    /// As it is.
    Plain,
    /// With other buckets: for each side where that is so, what becomes of it.
    Expanded(Box<[Option<Side>; 2]>),
}

/// One side's buckets once both the chunk and the sample have all of them.
#[derive(Debug)]
pub(crate) struct Side {
    union: Union,
    spans: Vec<BucketSpan>,
}

impl Side {
    fn new(chunk: &[BucketSpan], new: &[BucketSpan]) -> Option<Self> {
        if chunk == new {
            return None;
        }
        let union = Union::new(chunk, new);
        // Which spans describe the same buckets does not matter to readers; upstream prefers those that exist.
        let spans = match (union.adds(), union.misses()) {
            (false, false) => return None,
            (false, true) => chunk.to_vec(),
            (true, false) => new.to_vec(),
            (true, true) => union.spans.clone(),
        };
        Some(Self { union, spans })
    }

    /// Whether the chunk has to be written again.
    pub(crate) fn adds_to_chunk(&self) -> bool {
        self.union.adds()
    }

    /// Gives a sample of the chunk the buckets that it lacks.
    pub(crate) fn expand_old<S: Sample>(&self, side: usize, sample: &mut S) {
        let counts: Vec<_> = S::counts(sample.buckets()[side]).collect();
        self.expand(side, sample, &counts, |(old, _)| *old);
    }

    /// Gives the new sample the buckets that it lacks.
    pub(crate) fn expand_new<S: Sample>(&self, side: usize, sample: &mut S) {
        let counts: Vec<_> = S::counts(sample.buckets()[side]).collect();
        self.expand(side, sample, &counts, |(_, new)| *new);
    }

    fn expand<S: Sample>(
        &self,
        side: usize,
        sample: &mut S,
        counts: &[S::Count],
        position: impl Fn(&(Option<usize>, Option<usize>)) -> Option<usize>,
    ) {
        let count = |positions| position(positions).and_then(|i| counts.get(i).copied()).unwrap_or_default();
        sample.set_side(side, self.spans.clone(), self.union.positions.iter().map(count).collect());
    }
}

/// Whether a histogram's parts fit together, so that it can be written at all.
pub(crate) fn validate<S: Sample>(sample: &S) -> Result<(), ChunkError> {
    let layout = sample.layout();
    if is_stale_nan(sample.sum()) {
        return Ok(());
    }
    if !layout.known_schema() {
        return Err(ChunkError::UnknownSchema { schema: i64::from(layout.schema) });
    }
    for ((spans, buckets), sign) in
        layout.spans.into_iter().zip(sample.buckets()).zip(["positive", "negative"])
    {
        let spanned = bucket_count(spans);
        if spanned != buckets.len() as u64 {
            return Err(ChunkError::BucketCount { sign, buckets: buckets.len(), spanned });
        }
        // Buckets ascend: a gap between spans cannot be negative.
        if let Some(span) = spans.iter().skip(1).find(|span| span.offset < 0) {
            return Err(ChunkError::SpanOffset { sign, offset: span.offset });
        }
    }
    Ok(())
}

/// Whether `new` can follow `last` in a chunk of gauges (`gauges`) or counters.
pub(crate) fn fit<S: Sample>(gauges: bool, last: &S, new: &S) -> Result<Fit, CutReason> {
    if is_stale_nan(new.sum()) {
        return Ok(Fit::Plain);
    }
    if gauges != (new.hint() == CounterResetHint::Gauge) {
        return Err(CutReason::GaugeOrCounter);
    }
    if new.hint() == CounterResetHint::Reset {
        return Err(CutReason::CounterReset);
    }
    if is_stale_nan(last.sum()) {
        return Err(CutReason::AfterStale);
    }
    if !gauges && new.count_fell(last) {
        return Err(CutReason::CounterReset);
    }
    let (old_layout, new_layout) = (last.layout(), new.layout());
    if !old_layout.same_resolution(&new_layout) {
        return Err(CutReason::Layout);
    }
    if !old_layout.same_bounds(&new_layout) {
        return Err(if gauges { CutReason::Layout } else { CutReason::CounterReset });
    }
    if !gauges && new.zero_count_fell(last) {
        return Err(CutReason::CounterReset);
    }
    let sides = [0, 1].map(|side| Side::new(old_layout.spans[side], new_layout.spans[side]));
    if !gauges && (0..2).any(|side| bucket_fell(sides[side].as_ref(), side, last, new)) {
        return Err(CutReason::CounterReset);
    }
    if sides.iter().all(Option::is_none) {
        return Ok(Fit::Plain);
    }
    Ok(Fit::Expanded(Box::new(sides)))
}

/// Whether a bucket of one side has a lower count than before; one that is gone counts as 0.
fn bucket_fell<S: Sample>(expansion: Option<&Side>, side: usize, last: &S, new: &S) -> bool {
    let (old, new) = (S::counts(last.buckets()[side]), S::counts(new.buckets()[side]));
    let Some(expansion) = expansion else {
        return old.zip(new).any(|(old, new)| new < old);
    };
    let (old, new): (Vec<_>, Vec<_>) = (old.collect(), new.collect());
    let at =
        |counts: &[S::Count], i: Option<usize>| i.and_then(|i| counts.get(i).copied()).unwrap_or_default();
    let zero = S::Count::default();
    expansion.union.positions.iter().any(|&(i, j)| match (i, j) {
        (Some(_), None) => at(&old, i) != zero,
        _ => i.is_some() && at(&new, j) < at(&old, i),
    })
}

/// Whether two samples say the same, empty buckets aside.
pub(crate) fn same_observations<S: Sample>(a: &S, b: &S) -> bool {
    if is_stale_nan(a.sum()) || is_stale_nan(b.sum()) {
        return is_stale_nan(a.sum()) && is_stale_nan(b.sum());
    }
    let (a_layout, b_layout) = (a.layout(), b.layout());
    let gauge = |sample: &S| sample.hint() == CounterResetHint::Gauge;
    gauge(a) == gauge(b)
        && a.same_totals(b)
        && a_layout.same_resolution(&b_layout)
        && a_layout.same_bounds(&b_layout)
        && (0..2).all(|side| {
            let (a_counts, b_counts) = (S::counts(a.buckets()[side]), S::counts(b.buckets()[side]));
            let (a_counts, b_counts): (Vec<_>, Vec<_>) = (a_counts.collect(), b_counts.collect());
            let at = |counts: &[S::Count], i: Option<usize>| i.and_then(|i| counts.get(i).copied());
            Union::new(a_layout.spans[side], b_layout.spans[side]).positions.iter().all(|&(i, j)| {
                let (a, b) = (at(&a_counts, i).unwrap_or_default(), at(&b_counts, j).unwrap_or_default());
                S::same_count(a, b)
            })
        })
}
