//! From a frame's labels to the number of its series, which is made where it is new.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{METRIC_NAME, SeriesHash};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use proto::{Frame, PushRequest, RejectReason, SeriesBatch, Version};

use crate::config::Limits;
use crate::head::series::Series;
use crate::head::tenant::{Index, Tenant};
use crate::push::frames::{self, FrameError, Pair};

/// What resolving found for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// The series' number, and where in the frame's body the labels end.
    Series { id: u32, rest: u32 },
    /// It cannot be stored.
    Refused(RejectReason),
}

/// All frames of a request, resolved.
pub(crate) struct Resolution<'t> {
    /// Held until the record is in the log, so that no series is released in between.
    _index: RwLockReadGuard<'t, Index>,
    /// By frame.
    pub(crate) frames: Vec<Resolved>,
    /// Frames whose series' labels have to be in the record.
    pub(crate) unlogged: Vec<u32>,
}

/// Finds or makes the series of all frames.
pub(crate) fn resolve<'t>(tenant: &'t Tenant, request: &PushRequest, limits: &Limits) -> Resolution<'t> {
    let batch = &request.batch;
    let mut resolved = Vec::with_capacity(batch.frames.len());
    let mut unlogged = Vec::new();
    let mut unknown = Vec::new();
    let index = tenant.index.read();
    // First all look-ups by hash, which wait for memory side by side, then what needs the series themselves.
    let by_hash: Vec<_> = batch.frames.iter().map(|frame| index.find_where(frame.hash, |_| true)).collect();
    let mut finder = Finder::new(&index, batch);
    for (position, (frame, likely)) in batch.frames.iter().zip(by_hash).enumerate() {
        let Ok((found, rest)) = finder.find(frame, likely) else {
            resolved.push(Resolved::Refused(RejectReason::Malformed));
            continue;
        };
        let rest = rest as u32;
        match found {
            Some(series) => {
                if !series.logged.load(Ordering::Acquire) {
                    unlogged.push(position as u32);
                }
                resolved.push(Resolved::Series { id: series.id, rest });
            }
            None => {
                unknown.push((position, rest));
                resolved.push(Resolved::Refused(RejectReason::SeriesLimit));
            }
        }
    }
    drop(finder);
    if unknown.is_empty() {
        return Resolution { _index: index, frames: resolved, unlogged };
    }
    drop(index);
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(16);
    let mut index = tenant.index.write();
    for (position, rest) in unknown {
        let frame = &batch.frames[position];
        // It was read without an error above.
        let made = frames::labels(batch, frame, &mut pairs)
            .map_err(|_| RejectReason::Malformed)
            .and_then(|_| find_or_create(&mut index, frame.hash, &pairs, limits));
        resolved[position] = match made {
            Ok(id) => {
                unlogged.push(position as u32);
                Resolved::Series { id, rest }
            }
            Err(reason) => Resolved::Refused(reason),
        };
    }
    Resolution { _index: RwLockWriteGuard::downgrade(index), frames: resolved, unlogged }
}

/// Finds the series of frames among those that exist.
struct Finder<'r> {
    index: &'r Index,
    batch: &'r SeriesBatch,
    pairs: Vec<Pair<'r>>,
    /// Of the request's symbols, one more than the numbers that the tenant has for them; 0 as long as no series was found
    /// that has the symbol.
    symbols: Vec<u32>,
}

impl<'r> Finder<'r> {
    fn new(index: &'r Index, batch: &'r SeriesBatch) -> Self {
        Self { index, batch, pairs: Vec::with_capacity(16), symbols: vec![0; batch.symbols.len()] }
    }

    /// The series of a frame, if there is one, and where in the frame's body its labels end. Nearly always it is the one
    /// with the same hash, `likely`.
    fn find(
        &mut self,
        frame: &Frame,
        likely: Option<&'r Arc<Series>>,
    ) -> Result<(Option<&'r Arc<Series>>, usize), FrameError> {
        let index = self.index;
        match self.batch.version {
            Version::V1 => {
                let rest = frames::labels(self.batch, frame, &mut self.pairs)?;
                let found = likely.filter(|series| series.labels.are(index.symbols(), &self.pairs));
                Ok((found.or_else(|| likely.and_then(|_| index.find(frame.hash, &self.pairs))), rest))
            }
            Version::V2 => {
                let Some(likely) = likely else {
                    return Ok((None, frames::label_refs(self.batch, frame, |_, _| Ok(true))?));
                };
                let (same, rest) = self.is_series(frame, likely)?;
                if same {
                    return Ok((Some(likely), rest));
                }
                let rest = frames::labels(self.batch, frame, &mut self.pairs)?;
                Ok((index.find(frame.hash, &self.pairs), rest))
            }
        }
    }

    /// Whether a frame's labels are those of `series`, and if so where they end.
    fn is_series(&mut self, frame: &Frame, series: &Series) -> Result<(bool, usize), FrameError> {
        let Self { index, batch, symbols, .. } = self;
        let mut labels = series.labels.iter();
        let mut same = true;
        let rest = frames::label_refs(batch, frame, |name, value| {
            same = match labels.next() {
                Some((own_name, own_value)) => {
                    is_symbol(index, batch, symbols, name, own_name)?
                        && is_symbol(index, batch, symbols, value, own_value)?
                }
                None => false,
            };
            Ok(same)
        })?;
        Ok((same && labels.next().is_none(), rest))
    }
}

/// Whether a symbol of the request is the string with this number. Texts are compared once for each symbol.
#[inline]
fn is_symbol(
    index: &Index,
    batch: &SeriesBatch,
    symbols: &mut [u32],
    reference: u32,
    number: u32,
) -> Result<bool, FrameError> {
    let count = symbols.len();
    let known =
        symbols.get_mut(reference as usize).ok_or(FrameError::Symbol { reference, symbols: count })?;
    if *known == 0 && frames::symbol(&batch.symbols, reference)? == index.symbols().get(number).as_bytes() {
        *known = number + 1;
    }
    Ok(*known == number + 1)
}

fn find_or_create(
    index: &mut Index,
    hash: SeriesHash,
    pairs: &[Pair<'_>],
    limits: &Limits,
) -> Result<u32, RejectReason> {
    // Another request may have made it in the meantime.
    if let Some(series) = index.find(hash, pairs) {
        return Ok(series.id);
    }
    let labels = checked(pairs)?;
    if limits.max_global_series_per_user > 0 && index.len() >= limits.max_global_series_per_user {
        return Err(RejectReason::SeriesLimit);
    }
    let per_metric = limits.max_global_series_per_metric;
    if per_metric > 0 && series_of_metric(index, &labels) >= per_metric {
        return Err(RejectReason::MetricSeriesLimit);
    }
    index.create(hash, &labels).map(|series| series.id).ok_or(RejectReason::SeriesLimit)
}

/// The distributor has checked all this; a series with labels that are not sorted could never be found again.
fn checked<'a>(pairs: &[Pair<'a>]) -> Result<Vec<(&'a str, &'a str)>, RejectReason> {
    if pairs.is_empty() || pairs.windows(2).any(|w| w[0].0 >= w[1].0) {
        return Err(RejectReason::Malformed);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| RejectReason::InvalidLabel);
    pairs.iter().map(|(name, value)| Ok((text(name)?, text(value)?))).collect()
}

fn series_of_metric(index: &Index, labels: &[(&str, &str)]) -> usize {
    let symbols = index.symbols();
    let pair = labels
        .iter()
        .find(|(name, _)| *name == METRIC_NAME)
        .and_then(|(name, value)| Some((symbols.find(name)?, symbols.find(value)?)));
    pair.map_or(0, |(name, value)| index.postings().with(name, value).len())
}
