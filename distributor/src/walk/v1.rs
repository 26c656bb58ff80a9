//! Remote write 1.0.

use model::hash::push_canonical_label;
use model::{Metadata, MetricType, SeriesHash};
use proto::{MetadataEntry, Version};
use wire::{WireError, rw1};

use super::labels::{QuickCheck, RawLabel, USUAL_LABELS, show};
use super::rewrite::Decision;
use super::tail::Tail;
use super::{Walker, malformed};
use crate::error::WriteError;

pub(super) fn walk(walker: &mut Walker<'_>) -> Result<(), WriteError> {
    let body = walker.body;
    for field in rw1::request(body) {
        match field.map_err(|source| malformed(Version::V1, source))? {
            rw1::RequestField::TimeSeries { start, body } => {
                walker.series_v1(start, body).map_err(|error| error.shifted(start))?;
            }
            rw1::RequestField::Metadata { start, body } => {
                let metadata =
                    rw1::metadata(body).map_err(|source| malformed(Version::V1, source.shifted(start)))?;
                walker.metadata_v1(&metadata);
            }
        }
    }
    Ok(())
}

impl Walker<'_> {
    #[inline]
    fn series_v1(&mut self, start: usize, body: &[u8]) -> Result<(), WriteError> {
        let mut labels = rw1::leading_labels(body);
        let mut check = QuickCheck::new(self.context.limits);
        let quick = !self.rewrite_all
            && labels.all(|label| check.accepts(label.name, label.value))
            && check.accepts_all();
        let canonical = body.get(..labels.position()).unwrap_or_default();
        if !quick || !is_utf8(canonical) {
            return self.slow_v1(start, body);
        }
        let tail = Tail::of_v1(body, canonical.len(), self.latest_ms)
            .map_err(|source| malformed(Version::V1, source))?;
        if tail.has_labels || !tail.future.is_empty() {
            return self.slow_v1(start, body);
        }
        self.plan.received += tail.content.into();
        if !tail.has_nothing_to_store() {
            let hash = SeriesHash::of_canonical(self.context.seed, canonical);
            self.forward(hash, start, body.len(), tail.content);
        }
        Ok(())
    }

    #[inline(never)]
    fn slow_v1(&mut self, start: usize, body: &[u8]) -> Result<(), WriteError> {
        let read = |source: WireError| malformed(Version::V1, source);
        let tail = Tail::of_v1(body, 0, self.latest_ms).map_err(read)?;
        self.plan.received += tail.content.into();
        let mut raw: Vec<RawLabel<'_>> = Vec::with_capacity(USUAL_LABELS);
        for field in rw1::series(body) {
            if let rw1::SeriesField::Label(label) = field.map_err(read)? {
                raw.push((label.name, label.value));
            }
        }
        let prepared = match self.decide(&raw) {
            Decision::Store(prepared) => prepared,
            other => {
                self.leave_out(other, &tail);
                return Ok(());
            }
        };
        let pairs = prepared.pairs();
        if !tail.future.is_empty() {
            self.refuse_future(tail.future, tail.newest_ms, &show(pairs.iter().copied()));
        }
        if tail.kept().is_empty() {
            return Ok(());
        }
        self.canonical.clear();
        for (name, value) in pairs.iter() {
            push_canonical_label(&mut self.canonical, name.as_bytes(), value.as_bytes());
        }
        if tail.future.is_empty() && self.is_unchanged_v1(body, raw.len()) {
            let hash = SeriesHash::of_canonical(self.context.seed, &self.canonical);
            self.forward(hash, start, body.len(), tail.content);
            return Ok(());
        }
        self.rewrite(Version::V1, &[], body, &tail)
    }

    /// Whether the body begins with the canonical bytes and has no other labels.
    fn is_unchanged_v1(&self, body: &[u8], labels: usize) -> bool {
        body.starts_with(&self.canonical) && rw1::leading_labels(&self.canonical).count() == labels
    }

    fn metadata_v1(&mut self, metadata: &rw1::Metadata<'_>) {
        let longest = self.context.limits.max_metadata_length;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "metadata_invalid_utf8");
        let read = || {
            let (family, help, unit) = (text(metadata.family)?, text(metadata.help)?, text(metadata.unit)?);
            if family.is_empty() {
                return Err("missing_metric_name");
            }
            if family.len() > longest {
                return Err("metric_name_too_long");
            }
            if unit.len() > longest {
                return Err("unit_too_long");
            }
            Ok(MetadataEntry {
                family: family.to_owned(),
                metadata: Metadata {
                    metric_type: MetricType::from_wire(metadata.metric_type).unwrap_or_default(),
                    help: cut(help, longest).to_owned(),
                    unit: unit.to_owned(),
                },
            })
        };
        match read() {
            Ok(entry) => self.plan.place_metadata(self.context.owners, self.context.seed, &entry),
            Err(reason) => self.plan.refused_metadata.push(reason),
        }
    }
}

/// Whether the texts in canonical bytes are UTF-8: every text lies between bytes below 0x80, so they all are if the
/// whole is. Lengths of 128 and more are not UTF-8; then the texts are looked at one by one.
#[inline]
fn is_utf8(canonical: &[u8]) -> bool {
    simdutf8::basic::from_utf8(canonical).is_ok()
        || rw1::leading_labels(canonical).all(|label| {
            simdutf8::basic::from_utf8(label.name).is_ok() && simdutf8::basic::from_utf8(label.value).is_ok()
        })
}

/// The beginning of a text: at most `longest` bytes, and no letter torn.
fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text)
}
