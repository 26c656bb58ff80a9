//! How many series, values and bytes a tenant has: what all ingesters know, merged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use futures::stream::{self, BoxStream, StreamExt};
use model::TenantId;
use proto::{
    ActiveSeries, ActiveSeriesStream, CardinalityRequest, Code, Error, IndexStats, LabelValuesCardinality,
    Stat,
};

use crate::error::ApiError;
use crate::service::Querier;

/// So many merged active series are handed on at once.
const ACTIVE_BATCH_SERIES: usize = 1024;

/// Active series, one after the other.
pub(crate) type ActiveSeriesItems = BoxStream<'static, Result<ActiveSeries, Error>>;

impl Querier {
    /// How many distinct values each label has, sorted by label.
    pub(crate) async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
    ) -> Result<BTreeMap<String, u64>, ApiError> {
        let max_values = self.limits(&request.tenant).cardinality_max_label_values;
        let readers = self.ingesters().readers(&request.tenant)?;
        let asked = readers.iter().map(|reader| reader.label_names_cardinality(request.clone(), max_values));
        let mut by_name = BTreeMap::<String, Vec<u64>>::new();
        for label in try_join_all(asked).await?.into_iter().flatten() {
            by_name.entry(label.name).or_default().extend(label.values);
        }
        let count = |(name, mut values): (String, Vec<u64>)| {
            values.sort_unstable();
            values.dedup();
            (name, values.len() as u64)
        };
        Ok(by_name.into_iter().map(count).collect())
    }

    /// How many series have which values of `names`. Where several ingesters hold each series, what they count is divided
    /// by how many do.
    pub(crate) async fn label_values_cardinality(
        &self,
        names: &[String],
        request: CardinalityRequest,
    ) -> Result<(u64, BTreeMap<String, BTreeMap<String, u64>>), ApiError> {
        let max_values = self.limits(&request.tenant).cardinality_max_label_values;
        let copies = self.ingesters().copies() as u64;
        let readers = self.ingesters().readers(&request.tenant)?;
        let asked = readers
            .iter()
            .map(|reader| reader.label_values_cardinality(names.to_vec(), request.clone(), max_values));
        let answers: Vec<LabelValuesCardinality> = try_join_all(asked).await?;
        let total: u64 = answers.iter().map(|answer| answer.series_total).sum();
        let mut labels = BTreeMap::<String, BTreeMap<String, u64>>::new();
        for label in answers.into_iter().flat_map(|answer| answer.labels) {
            let values = labels.entry(label.name).or_default();
            for (value, count) in label.values {
                *values.entry(value).or_default() += count;
            }
        }
        for count in labels.values_mut().flat_map(BTreeMap::values_mut) {
            *count = count.div_ceil(copies);
        }
        Ok((total.div_ceil(copies), labels))
    }

    /// Active series, sorted by labels, each once.
    pub(crate) async fn active_series(
        &self,
        request: CardinalityRequest,
    ) -> Result<ActiveSeriesItems, ApiError> {
        let max_series = self.limits(&request.tenant).cardinality_max_active_series;
        let readers = self.ingesters().readers(&request.tenant)?;
        let asked = readers.iter().map(|reader| reader.active_series(request.clone(), max_series));
        let merged = Merged { inputs: try_join_all(asked).await?.into_iter().map(Input::new).collect() };
        Ok(stream::try_unfold(merged, Merged::next).boxed())
    }

    /// The tenant's index in numbers, each list with at most `limit` entries. Of several ingesters' counts of values the
    /// largest is taken, since they know nearly the same values.
    pub(crate) async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, ApiError> {
        let copies = self.ingesters().copies() as u64;
        let readers = self.ingesters().readers(tenant)?;
        let mut answers =
            try_join_all(readers.iter().map(|reader| reader.index_stats(tenant, limit))).await?;
        if answers.len() == 1 {
            return Ok(answers.swap_remove(0));
        }
        let sum = |of: fn(&IndexStats) -> u64| answers.iter().map(of).sum::<u64>().div_ceil(copies);
        let lists = |of: fn(&IndexStats) -> &Vec<Stat>, merge: fn(u64, u64) -> u64, copies: u64| {
            let mut merged = BTreeMap::<&str, u64>::new();
            for stat in answers.iter().flat_map(of) {
                let value = merged.entry(&stat.name).or_default();
                *value = merge(*value, stat.value);
            }
            let largest: BTreeSet<_> =
                merged.into_iter().map(|(name, value)| (Reverse(value.div_ceil(copies)), name)).collect();
            let stat = |(value, name): (Reverse<u64>, &str)| Stat { name: name.to_owned(), value: value.0 };
            largest.into_iter().take(limit).map(stat).collect()
        };
        let add = |a: u64, b: u64| a + b;
        Ok(IndexStats {
            series: sum(|s| s.series),
            label_pairs: answers.iter().map(|s| s.label_pairs).max().unwrap_or_default(),
            chunks: sum(|s| s.chunks),
            range: answers.iter().filter_map(|s| s.range).reduce(model::TimeRange::hull),
            series_by_metric: lists(|s| &s.series_by_metric, add, copies),
            values_by_label: lists(|s| &s.values_by_label, u64::max, 1),
            bytes_by_label: lists(|s| &s.bytes_by_label, add, copies),
            series_by_pair: lists(|s| &s.series_by_pair, add, copies),
        })
    }
}

/// Lists of active series as one, sorted by labels, each series once; an error where there are more than `max_series`.
pub(crate) fn merge_active(streams: Vec<ActiveSeriesStream>, max_series: usize) -> ActiveSeriesStream {
    let merged = Merged { inputs: streams.into_iter().map(Input::new).collect() };
    let numbered = stream::try_unfold(merged, Merged::next).enumerate().map(move |(number, series)| {
        if number >= max_series {
            let message = format!("more than {max_series} active series");
            return Err(Error::new(Code::Unprocessable, message));
        }
        series
    });
    numbered.ready_chunks(ACTIVE_BATCH_SERIES).map(|batch| batch.into_iter().collect()).boxed()
}

/// Several lists as one.
struct Merged {
    inputs: Vec<Input>,
}

/// One list, with its next series.
struct Input {
    stream: ActiveSeriesStream,
    batch: std::vec::IntoIter<ActiveSeries>,
    head: Option<ActiveSeries>,
    ended: bool,
}

impl Input {
    fn new(stream: ActiveSeriesStream) -> Self {
        Self { stream, batch: Vec::new().into_iter(), head: None, ended: false }
    }

    /// Fetches the next series, unless it is there already.
    async fn fill(&mut self) -> Result<(), Error> {
        while self.head.is_none() && !self.ended {
            self.head = self.batch.next();
            if self.head.is_none() {
                match self.stream.next().await {
                    Some(batch) => self.batch = batch?.into_iter(),
                    None => self.ended = true,
                }
            }
        }
        Ok(())
    }
}

impl Merged {
    async fn next(mut self) -> Result<Option<(ActiveSeries, Self)>, Error> {
        try_join_all(self.inputs.iter_mut().map(Input::fill)).await?;
        let heads = self.inputs.iter().filter_map(|input| input.head.as_ref());
        let Some(labels) = heads.map(|series| &series.labels).min().cloned() else {
            return Ok(None);
        };
        let of_this = |series: &mut ActiveSeries| series.labels == labels;
        let same = self.inputs.iter_mut().filter_map(|input| input.head.take_if(of_this));
        let buckets = same.map(|series| series.buckets).fold(None, Option::max);
        Ok(Some((ActiveSeries { labels, buckets }, self)))
    }
}
