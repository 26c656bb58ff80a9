//! What is in a frame, whichever remote write version it is written in.

use proto::{Frame, SeriesBatch, SymbolTable, Version};
use wire::{WireError, rw1, rw2};

/// A label pair as sent.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// What a frame has for its series.
#[derive(Debug, Clone)]
pub(crate) enum Item<'a> {
    /// A float sample; a start timestamp of 0 is unknown.
    Sample { timestamp_ms: i64, start_ms: i64, value: f64 },
    /// A `Histogram` message.
    Histogram(&'a [u8]),
    /// An `Exemplar` message of the batch's version.
    Exemplar(&'a [u8]),
    /// Metadata of the series' family.
    Metadata(rw2::MetadataRefs),
}

/// Why a frame cannot be used: the distributor should not have let it through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Not the message that it should be.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A reference to no symbol.
    #[error("label refers to symbol {reference}, but there are only {symbols}")]
    Symbol { reference: u32, symbols: usize },
    /// A name without a value.
    #[error("odd number of label references")]
    OddReferences,
    /// A label of an exemplar that is no text.
    #[error("label is not valid UTF-8")]
    NotUtf8,
    /// A frame outside its buffer.
    #[error("series lies outside the request")]
    Outside,
}

/// Reads the labels of a frame into `labels`, in the order sent, and gives where in its body the rest begins.
pub(crate) fn labels<'a>(
    batch: &'a SeriesBatch,
    frame: &Frame,
    labels: &mut Vec<Pair<'a>>,
) -> Result<usize, FrameError> {
    labels.clear();
    let body = batch.body(frame).ok_or(FrameError::Outside)?;
    match batch.version {
        Version::V1 => {
            let mut leading = rw1::leading_labels(body);
            labels.extend(leading.by_ref().map(|l| (l.name, l.value)));
            Ok(leading.position())
        }
        Version::V2 => {
            let mut fields = rw2::series(body);
            let mut rest = 0;
            while let Some(field) = fields.next() {
                let rw2::SeriesField::LabelRefs(refs) = field? else { break };
                references(&batch.symbols, refs, labels)?;
                rest = fields.position();
            }
            Ok(rest)
        }
    }
}

/// Calls `each` with the label references of a remote write 2.0 frame, until it has seen enough (`false`) or has them all,
/// and gives where in the frame's body the rest begins; 0 where `each` had enough.
#[inline]
pub(crate) fn label_refs(
    batch: &SeriesBatch,
    frame: &Frame,
    mut each: impl FnMut(u32, u32) -> Result<bool, FrameError>,
) -> Result<usize, FrameError> {
    let mut fields = rw2::series(batch.body(frame).ok_or(FrameError::Outside)?);
    let mut rest = 0;
    while let Some(field) = fields.next() {
        let rw2::SeriesField::LabelRefs(mut refs) = field? else { break };
        while let Some(name) = refs.next() {
            let value = refs.next().ok_or(FrameError::OddReferences)?;
            if !each(name?, value?)? {
                return Ok(0);
            }
        }
        rest = fields.position();
    }
    Ok(rest)
}

fn references<'a>(
    symbols: &'a SymbolTable,
    mut refs: rw2::Refs<'_>,
    labels: &mut Vec<Pair<'a>>,
) -> Result<(), FrameError> {
    while let Some(name) = refs.next() {
        let value = refs.next().ok_or(FrameError::OddReferences)?;
        labels.push((symbol(symbols, name?)?, symbol(symbols, value?)?));
    }
    Ok(())
}

/// The bytes of a symbol.
pub(crate) fn symbol(symbols: &SymbolTable, reference: u32) -> Result<&[u8], FrameError> {
    symbols.get(reference).ok_or(FrameError::Symbol { reference, symbols: symbols.len() })
}

/// Calls `each` with everything behind the labels of a frame.
pub(crate) fn items<'a>(
    batch: &'a SeriesBatch,
    frame: &Frame,
    rest: usize,
    mut each: impl FnMut(Item<'a>),
) -> Result<(), FrameError> {
    let body = batch.body(frame).ok_or(FrameError::Outside)?;
    match batch.version {
        Version::V1 => {
            for field in rw1::series_from(body, rest) {
                match field? {
                    rw1::SeriesField::Sample(s) => {
                        each(Item::Sample { timestamp_ms: s.timestamp_ms, start_ms: 0, value: s.value });
                    }
                    rw1::SeriesField::Histogram(message) => each(Item::Histogram(message)),
                    rw1::SeriesField::Exemplar(message) => each(Item::Exemplar(message)),
                    rw1::SeriesField::Label(_) => {}
                }
            }
        }
        Version::V2 => {
            if let Some(usual) = rw2::usual_tail(body, rest) {
                let rw2::UsualTail { sample: s, metadata } = usual;
                let (timestamp_ms, start_ms) = (s.timestamp_ms, s.start_timestamp_ms);
                each(Item::Sample { timestamp_ms, start_ms, value: s.value });
                if let Some(refs) = metadata {
                    each(Item::Metadata(refs));
                }
                return Ok(());
            }
            for field in rw2::series(body.get(rest..).unwrap_or_default()) {
                match field? {
                    rw2::SeriesField::Sample(s) => {
                        each(Item::Sample {
                            timestamp_ms: s.timestamp_ms,
                            start_ms: s.start_timestamp_ms,
                            value: s.value,
                        });
                    }
                    rw2::SeriesField::Histogram(message) => each(Item::Histogram(message)),
                    rw2::SeriesField::Exemplar(message) => each(Item::Exemplar(message)),
                    rw2::SeriesField::Metadata(refs) => each(Item::Metadata(refs)),
                    rw2::SeriesField::LabelRefs(_) | rw2::SeriesField::CreatedTimestamp(_) => {}
                }
            }
        }
    }
    Ok(())
}

/// When the counting of a whole series began, as senders of early remote write 2.0 said it; 0 is unknown.
pub(crate) fn created_ms(batch: &SeriesBatch, frame: &Frame, rest: usize) -> i64 {
    let body = batch.body(frame).and_then(|body| body.get(rest..)).unwrap_or_default();
    let created = |field| match field {
        Ok(rw2::SeriesField::CreatedTimestamp(created_ms)) => Some(created_ms),
        _ => None,
    };
    match batch.version {
        Version::V1 => 0,
        Version::V2 => rw2::series(body).filter_map(created).last().unwrap_or(0),
    }
}

/// Reads an exemplar: its time, its value, and its labels in canonical bytes.
pub(crate) fn exemplar(
    batch: &SeriesBatch,
    message: &[u8],
    canonical: &mut Vec<u8>,
) -> Result<(i64, f64), FrameError> {
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let (timestamp_ms, value) = match batch.version {
        Version::V1 => {
            let exemplar = rw1::exemplar(message)?;
            pairs.extend(exemplar.labels().map(|l| (l.name, l.value)));
            (exemplar.timestamp_ms, exemplar.value)
        }
        Version::V2 => {
            let exemplar = rw2::exemplar(message)?;
            let mut refs = exemplar.label_refs();
            while let Some(name) = refs.next() {
                let value = refs.next().ok_or(FrameError::OddReferences)?;
                pairs.push((symbol(&batch.symbols, name)?, symbol(&batch.symbols, value)?));
            }
            (exemplar.timestamp_ms, exemplar.value)
        }
    };
    // Nobody has looked at these texts before.
    if pairs.iter().any(|(name, value)| [name, value].iter().any(|text| std::str::from_utf8(text).is_err())) {
        return Err(FrameError::NotUtf8);
    }
    pairs.sort_unstable();
    canonical.clear();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        model::hash::push_canonical_label(canonical, name, value);
    }
    Ok((timestamp_ms, value))
}
