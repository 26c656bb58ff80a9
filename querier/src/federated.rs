//! Several tenants' data as one, for queries of rules that are allowed to see them: each series has the label
//! `__tenant_id__` then, which says whose it is, and matchers of that label choose among the tenants, as with Mimir.

use futures::StreamExt as _;
use futures::stream;
use model::{Labels, METRIC_NAME, MatchOp, Matcher, TenantId};
use proto::{Error, SelectStream, SeriesChunks};

/// Whose a series is.
const TENANT_LABEL: &str = "__tenant_id__";
/// Where the label of a series is kept that has one of that name itself.
const ORIGINAL_LABEL: &str = "original___tenant_id__";
/// So many series are handed on at a time.
const BATCH_SERIES: usize = 1024;

/// The matchers for the series of a tenant, where those of a query let it be one of the tenants at all.
pub(crate) fn matchers_of(tenant: &TenantId, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
    let (of_tenant, mut rest): (Vec<_>, Vec<_>) =
        matchers.iter().cloned().partition(|matcher| matcher.name() == TENANT_LABEL);
    if !of_tenant.iter().all(|matcher| matcher.matches(tenant.as_str())) {
        return None;
    }
    for matcher in rest.iter_mut().filter(|matcher| matcher.name() == ORIGINAL_LABEL) {
        // It has been one before.
        *matcher = Matcher::new(TENANT_LABEL, matcher.op(), matcher.value()).ok()?;
    }
    if rest.is_empty() {
        rest.push(Matcher::new(METRIC_NAME, MatchOp::Regex, ".*").ok()?);
    }
    Some(rest)
}

/// The series of a tenant as one of several. They are held as a whole: by their new labels they may come in another order.
pub(crate) async fn labelled(tenant: &TenantId, mut series: SelectStream) -> Result<SelectStream, Error> {
    let mut all: Vec<SeriesChunks> = Vec::new();
    while let Some(batch) = series.next().await {
        let relabelled =
            |SeriesChunks { labels, chunks }| SeriesChunks { labels: with(tenant, &labels), chunks };
        all.extend(batch?.into_iter().map(relabelled));
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let batches = stream::unfold(all.into_iter(), |mut rest| async move {
        let batch: Vec<SeriesChunks> = rest.by_ref().take(BATCH_SERIES).collect();
        (!batch.is_empty()).then_some((Ok(batch), rest))
    });
    Ok(batches.boxed())
}

fn with(tenant: &TenantId, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    if let Some(original) = labels.get(TENANT_LABEL) {
        builder.set(ORIGINAL_LABEL, original);
    }
    builder.set(TENANT_LABEL, tenant.as_str());
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
        Matcher::new(name, op, value).unwrap()
    }

    #[test]
    fn matchers_choose_among_tenants() {
        let up = matcher(METRIC_NAME, MatchOp::Equal, "up");
        let only_a = matcher(TENANT_LABEL, MatchOp::Regex, "a|b");
        let both = [up.clone(), only_a];
        assert_eq!(matchers_of(&tenant("a"), &both), Some(vec![up]));
        assert_eq!(matchers_of(&tenant("c"), &both), None);
        let own = matchers_of(&tenant("c"), &[matcher(ORIGINAL_LABEL, MatchOp::NotEqual, "x")]).unwrap();
        assert_eq!((own[0].name(), own[0].op(), own[0].value()), (TENANT_LABEL, MatchOp::NotEqual, "x"));
        assert_eq!(matchers_of(&tenant("c"), &[]).unwrap().len(), 1, "all of its series");
    }

    #[tokio::test]
    async fn series_say_whose_they_are_and_come_in_order() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        // In order, and in another one with the label between their names.
        let found = [
            labels(&[("A", "1")]),
            labels(&[("A", "1"), ("B", "2")]),
            labels(&[("A", "1"), ("__tenant_id__", "own")]),
        ];
        assert!(found.is_sorted());
        let batch =
            found.iter().map(|labels| SeriesChunks { labels: labels.clone(), chunks: Vec::new() }).collect();
        let mut series = labelled(&tenant("t"), stream::iter([Ok(batch)]).boxed()).await.unwrap();
        let batch = series.next().await.unwrap().unwrap();
        let found: Vec<String> = batch.iter().map(|series| series.labels.to_string()).collect();
        assert_eq!(
            found,
            [
                r#"{A="1", B="2", __tenant_id__="t"}"#,
                r#"{A="1", __tenant_id__="t"}"#,
                r#"{A="1", __tenant_id__="t", original___tenant_id__="own"}"#,
            ]
        );
        assert!(series.next().await.is_none());
    }
}
