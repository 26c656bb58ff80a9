//! What zones count, put together: by what was counted where that is told, else by how many copies there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use model::Matcher;
use proto::{
    ActiveSeriesStream, Error, IndexStats, LabelNameCardinality, LabelValueCardinality,
    LabelValuesCardinality, Stat, TenantStats,
};

use super::plan::Copies;

/// Counts of more series than this are made up from what zones count; of fewer, series are listed where zones do not
/// agree.
pub(super) const MAX_LISTED_SERIES: u64 = 100_000;

impl Copies {
    /// Whether each zone holds every series.
    fn are_everywhere(self) -> bool {
        self.zones <= self.replicas
    }

    /// What zones count together, as one number: where each holds everything, the one that has most has missed least;
    /// otherwise they have `replicas` of `zones` parts of it between them.
    fn one(self, counts: impl Iterator<Item = u64>) -> u64 {
        let (mut sum, mut max, mut zones) = (0_u64, 0, 0_u64);
        for count in counts {
            sum = sum.saturating_add(count);
            max = count.max(max);
            zones += 1;
        }
        if self.are_everywhere() {
            return max;
        }
        let whole = u128::from(sum) * self.zones as u128;
        let parts = u128::from(zones) * self.replicas as u128;
        u64::try_from(whole.div_ceil(parts.max(1))).unwrap_or(u64::MAX).max(max)
    }
}

fn total(zone: &[TenantStats], of: fn(&TenantStats) -> u64) -> u64 {
    zone.iter().map(of).sum()
}

/// A tenant's numbers.
pub(super) fn stats(zones: &[Vec<TenantStats>], copies: Copies) -> TenantStats {
    TenantStats {
        series: copies.one(zones.iter().map(|zone| total(zone, |stats| stats.series))),
        samples: copies.one(zones.iter().map(|zone| total(zone, |stats| stats.samples))),
    }
}

/// The values of labels: every one that somebody knows.
pub(super) fn label_names(answers: impl Iterator<Item = LabelNameCardinality>) -> Vec<LabelNameCardinality> {
    let mut by_name = BTreeMap::<String, Vec<u64>>::new();
    for label in answers {
        by_name.entry(label.name).or_default().extend(label.values);
    }
    let unite = |(name, mut values): (String, Vec<u64>)| {
        values.sort_unstable();
        values.dedup();
        LabelNameCardinality { name, values }
    };
    by_name.into_iter().map(unite).collect()
}

type ByValue = BTreeMap<String, BTreeMap<String, u64>>;

fn as_answer(series_total: u64, labels: ByValue) -> LabelValuesCardinality {
    let label = |(name, values): (String, BTreeMap<String, u64>)| LabelValueCardinality {
        name,
        values: values.into_iter().collect(),
    };
    LabelValuesCardinality { series_total, labels: labels.into_iter().map(label).collect() }
}

/// How many series have which values, where that is certain: where each zone has one ingester that holds everything, and
/// all say the same. Otherwise about how many.
pub(super) fn label_values(
    zones: &[Vec<LabelValuesCardinality>],
    copies: Copies,
) -> Result<LabelValuesCardinality, LabelValuesCardinality> {
    if let [[first], others @ ..] = zones.iter().map(Vec::as_slice).collect::<Vec<_>>().as_slice()
        && copies.are_everywhere()
        && others.iter().all(|other| *other == std::slice::from_ref(first))
    {
        return Ok(first.clone());
    }
    let mut counted = BTreeMap::<&str, BTreeMap<&str, Vec<u64>>>::new();
    for (number, zone) in zones.iter().enumerate() {
        for label in zone.iter().flat_map(|answer| &answer.labels) {
            let values = counted.entry(&label.name).or_default();
            for (value, count) in &label.values {
                let by_zone = values.entry(value).or_insert_with(|| vec![0; zones.len()]);
                if let Some(sum) = by_zone.get_mut(number) {
                    *sum += count;
                }
            }
        }
    }
    let one = |(value, by_zone): (&str, Vec<u64>)| (value.to_owned(), copies.one(by_zone.into_iter()));
    let labels =
        counted.into_iter().map(|(name, values)| (name.to_owned(), values.into_iter().map(one).collect()));
    let totals = zones.iter().map(|zone| zone.iter().map(|answer| answer.series_total).sum());
    Err(as_answer(copies.one(totals), labels.collect()))
}

/// How many of the listed series have which values of `names`, if the matchers match them.
pub(super) async fn of_listed(
    mut series: ActiveSeriesStream,
    names: &[String],
    matchers: &[Matcher],
) -> Result<LabelValuesCardinality, Error> {
    let (mut series_total, mut labels) = (0, ByValue::new());
    while let Some(batch) = series.try_next().await? {
        for series in batch {
            series_total += 1;
            if !matchers.iter().all(|m| m.matches(series.labels.get(m.name()).unwrap_or_default())) {
                continue;
            }
            for name in names {
                if let Some(value) = series.labels.get(name) {
                    let values = labels.entry(name.clone()).or_default();
                    *values.entry(value.to_owned()).or_default() += 1;
                }
            }
        }
    }
    Ok(as_answer(series_total, labels))
}

/// An index in numbers. Of values, which a zone's ingesters mostly share, the largest count is taken.
pub(super) fn index(zones: &[Vec<IndexStats>], copies: Copies, limit: usize) -> IndexStats {
    let count = |of: fn(&IndexStats) -> u64| copies.one(zones.iter().map(|zone| zone.iter().map(of).sum()));
    let all = || zones.iter().flatten();
    let sums = |of: fn(&IndexStats) -> &Vec<Stat>| {
        let mut counted = BTreeMap::<&str, Vec<u64>>::new();
        for (number, zone) in zones.iter().enumerate() {
            for stat in zone.iter().flat_map(of) {
                let by_zone = counted.entry(&stat.name).or_insert_with(|| vec![0; zones.len()]);
                if let Some(sum) = by_zone.get_mut(number) {
                    *sum += stat.value;
                }
            }
        }
        let one =
            |(name, by_zone): (&str, Vec<u64>)| (Reverse(copies.one(by_zone.into_iter())), name.to_owned());
        largest(counted.into_iter().map(one).collect(), limit)
    };
    let mut values = BTreeMap::<&str, u64>::new();
    for stat in all().flat_map(|answer| &answer.values_by_label) {
        let value = values.entry(&stat.name).or_default();
        *value = stat.value.max(*value);
    }
    let values = values.into_iter().map(|(name, value)| (Reverse(value), name.to_owned())).collect();
    IndexStats {
        series: count(|answer| answer.series),
        label_pairs: all().map(|answer| answer.label_pairs).max().unwrap_or_default(),
        chunks: count(|answer| answer.chunks),
        range: all().filter_map(|answer| answer.range).reduce(model::TimeRange::hull),
        series_by_metric: sums(|answer| &answer.series_by_metric),
        values_by_label: largest(values, limit),
        bytes_by_label: sums(|answer| &answer.bytes_by_label),
        series_by_pair: sums(|answer| &answer.series_by_pair),
    }
}

fn largest(sorted: BTreeSet<(Reverse<u64>, String)>, limit: usize) -> Vec<Stat> {
    sorted.into_iter().take(limit).map(|(Reverse(value), name)| Stat { name, value }).collect()
}
