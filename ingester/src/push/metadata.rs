//! Metadata in a request that the tenant does not have yet.

use model::{METRIC_NAME, Metadata, MetricType};
use proto::{Frame, PushRequest};
use wire::rw2::MetadataRefs;

use crate::config::Limits;
use crate::head::tenant::Tenant;
use crate::push::frames;

/// Finds what is new. Remote write 2.0 repeats metadata in every series of every request; the series of a family
/// follow each other, so comparing with the one before spares most look-ups.
pub(crate) struct NewMetadata<'r> {
    tenant: &'r Tenant,
    max_families: usize,
    /// The symbol of the metric's name, and what the series before said.
    previous: Option<(u32, MetadataRefs)>,
    /// The symbol `__name__`.
    name_label: Option<u32>,
    refs: Vec<(u32, u32)>,
}

impl<'r> NewMetadata<'r> {
    pub(crate) fn of(tenant: &'r Tenant, limits: &Limits) -> Self {
        let max_families = match limits.max_global_metadata_per_user {
            0 => usize::MAX,
            max => max,
        };
        Self { tenant, max_families, previous: None, name_label: None, refs: Vec::new() }
    }

    /// Whether the tenant does not have this yet, and may.
    pub(crate) fn is_new(&self, family: &str, metadata: &Metadata) -> bool {
        let known = self.tenant.metadata.lock();
        !known.is_current(family, metadata) && known.has_room(family, self.max_families)
    }

    /// What a series says about its family, if that is new.
    pub(crate) fn of_series(
        &mut self,
        request: &PushRequest,
        frame: &Frame,
        refs: MetadataRefs,
    ) -> Option<(String, Metadata)> {
        if refs == MetadataRefs::default() {
            return None;
        }
        let name = self.metric_name(request, frame)?;
        if self.previous == Some((name, refs)) {
            return None;
        }
        self.previous = Some((name, refs));
        let found = describe(request, frames::symbol(&request.batch.symbols, name).ok()?, refs);
        found.filter(|(family, metadata)| self.is_new(family, metadata))
    }

    /// The symbol that is the name of a frame's metric.
    fn metric_name(&mut self, request: &PushRequest, frame: &Frame) -> Option<u32> {
        frames::label_refs(&request.batch, frame, &mut self.refs).ok()?;
        let known = self.refs.iter().find(|(name, _)| Some(*name) == self.name_label);
        if let Some((_, value)) = known {
            return Some(*value);
        }
        let symbols = &request.batch.symbols;
        let is_name = |r: u32| frames::symbol(symbols, r).is_ok_and(|text| text == METRIC_NAME.as_bytes());
        let (name, value) = self.refs.iter().find(|(name, _)| is_name(*name))?;
        self.name_label = Some(*name);
        Some(*value)
    }
}

fn describe(request: &PushRequest, name: &[u8], refs: MetadataRefs) -> Option<(String, Metadata)> {
    let symbols = &request.batch.symbols;
    let text = |r| frames::symbol(symbols, r).ok().and_then(|b| std::str::from_utf8(b).ok());
    let metric_type = MetricType::from_wire(refs.metric_type)?;
    let family = family(std::str::from_utf8(name).ok()?, metric_type).to_owned();
    let (help, unit) = (text(refs.help_ref)?.to_owned(), text(refs.unit_ref)?.to_owned());
    Some((family, Metadata { metric_type, help, unit }))
}

/// The family of a series: classic histograms and summaries have several series of one family.
fn family(name: &str, metric_type: MetricType) -> &str {
    let suffixes: &[&str] = match metric_type {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_sum", "_count"],
        MetricType::Summary => &["_sum", "_count"],
        _ => &[],
    };
    suffixes.iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name)
}
