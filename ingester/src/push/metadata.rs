//! Metadata in a request that the tenant does not have yet.

use model::{METRIC_NAME, Metadata, MetricType};
use proto::{Frame, PushRequest};
use wire::rw2::MetadataRefs;

use crate::config::Limits;
use crate::head::tenant::Tenant;
use crate::push::frames::{self, Pair};

/// Finds what is new. Remote write 2.0 repeats metadata in every series of every request; the series of a family
/// follow each other, so comparing with the one before spares most look-ups.
pub(crate) struct NewMetadata<'r> {
    tenant: &'r Tenant,
    max_families: usize,
    previous: Option<(Vec<u8>, MetadataRefs)>,
    pairs: Vec<Pair<'r>>,
}

impl<'r> NewMetadata<'r> {
    pub(crate) fn of(tenant: &'r Tenant, limits: &Limits) -> Self {
        let max_families = match limits.max_global_metadata_per_user {
            0 => usize::MAX,
            max => max,
        };
        Self { tenant, max_families, previous: None, pairs: Vec::new() }
    }

    /// Whether the tenant does not have this yet, and may.
    pub(crate) fn is_new(&self, family: &str, metadata: &Metadata) -> bool {
        let known = self.tenant.metadata.lock();
        !known.is_current(family, metadata) && known.has_room(family, self.max_families)
    }

    /// What a series says about its family, if that is new.
    pub(crate) fn of_series(
        &mut self,
        request: &'r PushRequest,
        frame: &Frame,
        refs: MetadataRefs,
    ) -> Option<(String, Metadata)> {
        if refs == MetadataRefs::default() {
            return None;
        }
        frames::labels(&request.batch, frame, &mut self.pairs).ok()?;
        let name = self.pairs.iter().find(|(name, _)| *name == METRIC_NAME.as_bytes())?.1;
        if self.previous.as_ref().is_some_and(|(previous, r)| *r == refs && previous == name) {
            return None;
        }
        let found = describe(request, name, refs);
        self.previous = Some((name.to_vec(), refs));
        found.filter(|(family, metadata)| self.is_new(family, metadata))
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
