//! Series, label names, label values, metadata and exemplars: what all ingesters know, merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::try_join_all;
use model::{Labels, Matcher, Metadata, TenantId, TimeRange};
use proto::{
    Error, ExemplarsRequest, IngesterRead, LabelValuesRequest, MetadataRequest, SeriesExemplars,
    SeriesRequest,
};

use crate::config::QuerierLimits;
use crate::error::ApiError;
use crate::select::BEGINNINGS;
use crate::service::{Querier, oldest_ms, whole_ms};
use crate::sources::Once;
use crate::zones::merge_exemplars;

/// A request about series rather than samples.
#[derive(Debug, Clone)]
pub struct LabelRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// Series that one of these sets matches; no sets: all series.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// In milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// In milliseconds since the Unix epoch; before the start there is nothing.
    pub end_ms: i64,
    /// How many results at most; 0 for no limit of the client's.
    pub limit: usize,
}

/// Results, and whether there were more than the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited<T> {
    /// The results, sorted.
    pub items: Vec<T>,
    /// Whether some were left out.
    pub truncated: bool,
}

impl Querier {
    /// The label sets of series.
    ///
    /// # Errors
    /// When an ingester fails.
    pub async fn series(&self, request: LabelRequest) -> Result<Limited<Labels>, ApiError> {
        let tenant_limit = self.limits(&request.tenant).max_series_query_limit;
        self.limited(request, tenant_limit, |reader, request| async move { reader.series(request).await })
            .await
    }

    /// The names of labels.
    ///
    /// # Errors
    /// When an ingester fails.
    pub async fn label_names(&self, request: LabelRequest) -> Result<Limited<String>, ApiError> {
        let tenant_limit = self.limits(&request.tenant).max_label_names_limit;
        self.limited(
            request,
            tenant_limit,
            |reader, request| async move { reader.label_names(request).await },
        )
        .await
    }

    /// The values of the label `name`.
    ///
    /// # Errors
    /// When an ingester fails.
    pub async fn label_values(&self, name: &str, request: LabelRequest) -> Result<Limited<String>, ApiError> {
        let tenant_limit = self.limits(&request.tenant).max_label_values_limit;
        self.limited(request, tenant_limit, |reader, series| {
            let name = name.to_owned();
            async move { reader.label_values(LabelValuesRequest { name, series }).await }
        })
        .await
    }

    /// Metadata by family, at most `limit` families with at most `limit_per_family` entries each.
    ///
    /// # Errors
    /// When an ingester fails.
    pub async fn metadata(
        &self,
        request: MetadataRequest,
    ) -> Result<BTreeMap<String, Vec<Metadata>>, ApiError> {
        let (limit, limit_per_family) = (unlimited(request.limit), unlimited(request.limit_per_family));
        let readers = self.ingesters().readers(&request.tenant)?;
        let answers = try_join_all(readers.iter().map(|reader| reader.metadata(request.clone()))).await?;
        let mut families = BTreeMap::<String, Vec<Metadata>>::new();
        for family in answers.into_iter().flatten() {
            let entries = families.entry(family.family).or_default();
            for entry in family.entries {
                if entries.len() < limit_per_family && !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
        Ok(families.into_iter().take(limit).collect())
    }

    /// Exemplars by series, those of each series by time.
    ///
    /// # Errors
    /// When an ingester fails.
    pub async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, ApiError> {
        let readers = self.ingesters().readers(&request.tenant)?;
        let answers = try_join_all(readers.iter().map(|reader| reader.exemplars(request.clone()))).await?;
        Ok(merge_exemplars(answers.into_iter().flatten()))
    }

    /// Asks all ingesters, and merges what they say.
    async fn limited<T: Ord, F>(
        &self,
        request: LabelRequest,
        tenant_limit: usize,
        ask: impl Fn(Arc<dyn IngesterRead>, SeriesRequest) -> F,
    ) -> Result<Limited<T>, ApiError>
    where
        F: Future<Output = Result<Vec<T>, Error>>,
    {
        let limits = self.limits(&request.tenant);
        let Some(range) = self.label_range(&request, &limits) else {
            return Ok(Limited { items: Vec::new(), truncated: false });
        };
        let limit = unlimited(request.limit).min(unlimited(tenant_limit));
        let readers = self.sources().readers(&request.tenant, range)?;
        let request = SeriesRequest {
            tenant: request.tenant,
            matcher_sets: request.matcher_sets,
            range,
            // One more than wanted tells whether there are more.
            limit: if limit == usize::MAX { 0 } else { limit + 1 },
        };
        let mut begun = 1;
        loop {
            let Once { ingesters, blocks, watch } = readers.once();
            let blocks = blocks.map(|blocks| Arc::new(blocks) as Arc<dyn IngesterRead>);
            let all = ingesters.into_iter().chain(blocks);
            let answers = try_join_all(all.map(|reader| ask(reader, request.clone()))).await?;
            let Some(watch) = watch else { return Ok(merge(answers, limit)) };
            if watch.is_current().await? {
                return Ok(merge(answers, limit));
            }
            if begun == BEGINNINGS {
                return Err(watch.outdated().into());
            }
            begun += 1;
        }
    }

    /// The part of the request's range that the tenant may ask about.
    fn label_range(&self, request: &LabelRequest, limits: &QuerierLimits) -> Option<TimeRange> {
        let mut start = request.start_ms.max(oldest_ms(self.clock(), limits));
        let longest = whole_ms(limits.max_labels_query_length);
        if longest > 0 {
            let end = request.end_ms.min(self.clock().now_ms());
            start = start.max(end.saturating_sub(longest));
        }
        TimeRange::new(start, request.end_ms)
    }
}

/// The sorted union of sorted answers, cut at `limit`.
fn merge<T: Ord>(mut answers: Vec<Vec<T>>, limit: usize) -> Limited<T> {
    let mut items = if answers.len() == 1 {
        answers.swap_remove(0)
    } else {
        let union: BTreeSet<T> = answers.into_iter().flatten().collect();
        union.into_iter().collect()
    };
    let truncated = items.len() > limit;
    items.truncate(limit);
    Limited { items, truncated }
}

/// A limit of which 0 means none.
fn unlimited(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}
