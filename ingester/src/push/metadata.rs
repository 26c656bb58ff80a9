//! Metadata in a request that the tenant does not have yet.

use model::{METRIC_NAME, Metadata, MetricType};
use proto::{Frame, PushRequest};
use wire::rw2::MetadataRefs;

use crate::config::Limits;
use crate::head::tenant::Tenant;
use crate::push::frames;

/// So many metrics of a request are remembered, by the last bits of the number of their name's symbol.
const REMEMBERED: usize = 256;

/// Finds what is new. Remote write 2.0 repeats metadata in every series of every request; what a request has said about a
/// metric before need not be looked up again.
pub(crate) struct NewMetadata<'r> {
    tenant: &'r Tenant,
    max_families: usize,
    /// The symbol of a metric's name, and what a series said about it; made with the first.
    seen: Vec<(u32, MetadataRefs)>,
    /// The symbol `__name__`.
    name_label: Option<u32>,
}

impl<'r> NewMetadata<'r> {
    pub(crate) fn of(tenant: &'r Tenant, limits: &Limits) -> Self {
        let max_families = match limits.max_global_metadata_per_user {
            0 => usize::MAX,
            max => max,
        };
        Self { tenant, max_families, seen: Vec::new(), name_label: None }
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
        if self.seen.is_empty() {
            self.seen.resize(REMEMBERED, (0, MetadataRefs::default()));
        }
        let seen = self.seen.get_mut(name as usize % REMEMBERED)?;
        if *seen == (name, refs) {
            return None;
        }
        *seen = (name, refs);
        let found = describe(request, frames::symbol(&request.batch.symbols, name).ok()?, refs);
        found.filter(|(family, metadata)| self.is_new(family, metadata))
    }

    /// The symbol that is the name of a frame's metric.
    fn metric_name(&mut self, request: &PushRequest, frame: &Frame) -> Option<u32> {
        let symbols = &request.batch.symbols;
        let is_name = |r: u32| frames::symbol(symbols, r).is_ok_and(|text| text == METRIC_NAME.as_bytes());
        let mut found = None;
        let walked = frames::label_refs(&request.batch, frame, |name, value| {
            if Some(name) == self.name_label || is_name(name) {
                self.name_label = Some(name);
                found = Some(value);
            }
            Ok(found.is_none())
        });
        walked.ok().and(found)
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
