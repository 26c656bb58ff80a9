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
    let mut finder = Finder::new(&index, batch);
    for (position, frame) in batch.frames.iter().enumerate() {
        let Ok((found, rest)) = finder.find(frame) else {
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
    refs: Vec<(u32, u32)>,
    /// Of the request's symbols, the numbers that the tenant has for them, looked up when first needed.
    symbols: Vec<Symbol>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol {
    NotLookedUp,
    Unknown,
    Known(u32),
}

impl<'r> Finder<'r> {
    fn new(index: &'r Index, batch: &'r SeriesBatch) -> Self {
        let symbols = vec![Symbol::NotLookedUp; batch.symbols.len()];
        Self { index, batch, pairs: Vec::with_capacity(16), refs: Vec::with_capacity(16), symbols }
    }

    /// The series of a frame, if there is one, and where in the frame's body its labels end.
    fn find(&mut self, frame: &Frame) -> Result<(Option<&'r Arc<Series>>, usize), FrameError> {
        match self.batch.version {
            Version::V1 => {
                let rest = frames::labels(self.batch, frame, &mut self.pairs)?;
                Ok((self.index.find(frame.hash, &self.pairs), rest))
            }
            Version::V2 => {
                let rest = frames::label_refs(self.batch, frame, &mut self.refs)?;
                for position in 0..self.refs.len() {
                    let (name, value) = self.refs[position];
                    match (self.symbol(name)?, self.symbol(value)?) {
                        (Some(name), Some(value)) => self.refs[position] = (name, value),
                        // No series has this string.
                        _ => return Ok((None, rest)),
                    }
                }
                Ok((self.index.find_numbered(frame.hash, &self.refs), rest))
            }
        }
    }

    fn symbol(&mut self, reference: u32) -> Result<Option<u32>, FrameError> {
        let symbols = self.symbols.len();
        let entry =
            self.symbols.get_mut(reference as usize).ok_or(FrameError::Symbol { reference, symbols })?;
        if *entry == Symbol::NotLookedUp {
            let text = std::str::from_utf8(frames::symbol(&self.batch.symbols, reference)?).ok();
            let known = text.and_then(|text| self.index.symbols().find(text));
            *entry = known.map_or(Symbol::Unknown, Symbol::Known);
        }
        Ok(match *entry {
            Symbol::Known(number) => Some(number),
            Symbol::Unknown | Symbol::NotLookedUp => None,
        })
    }
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
