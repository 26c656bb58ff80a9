//! `load_with_nhcb`: classic histograms become native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{BucketSpan, FloatHistogram, Labels, METRIC_NAME};

use testseries::{Loaded, LoadedValue};

/// The parts of a classic histogram at one time.
#[derive(Debug, Default)]
struct Parts {
    /// Bounds and cumulative counts, ascending by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms that loaded series make.
pub(crate) fn convert(series: &[(Labels, Vec<Loaded>)]) -> Result<Vec<(Labels, Vec<Loaded>)>, String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Parts>> = BTreeMap::new();
    for (labels, samples) in series {
        let name = labels.metric_name().unwrap_or("");
        let (part, base) = if let Some(base) = name.strip_suffix("_bucket") {
            (Part::Bucket(labels.get_or_empty("le").parse().unwrap_or(f64::NAN)), base)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (Part::Sum, base)
        } else if let Some(base) = name.strip_suffix("_count") {
            (Part::Count, base)
        } else {
            continue;
        };
        if matches!(part, Part::Bucket(bound) if bound.is_nan()) {
            continue;
        }
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, base).remove("le");
        let by_time = found.entry(builder.build()).or_default();
        for sample in samples {
            let LoadedValue::Float(value) = sample.value else { continue };
            by_time.entry(sample.timestamp_ms).or_default().set(&part, value);
        }
    }
    let convert = |(labels, by_time): (Labels, BTreeMap<i64, Parts>)| {
        let samples: Result<Vec<Loaded>, String> = by_time
            .into_iter()
            .map(|(timestamp_ms, parts)| {
                let histogram = parts.histogram().map_err(|e| format!("{labels}: {e}"))?;
                Ok(Loaded { timestamp_ms, start_ms: 0, value: LoadedValue::Histogram(Arc::new(histogram)) })
            })
            .collect();
        Ok((labels, samples?))
    };
    found.into_iter().map(convert).collect()
}

enum Part {
    Bucket(f64),
    Sum,
    Count,
}

impl Parts {
    fn set(&mut self, part: &Part, value: f64) {
        match part {
            Part::Sum => self.sum = value,
            Part::Count => self.count = Some(value),
            Part::Bucket(bound) => {
                let at = self.buckets.partition_point(|(b, _)| b < bound);
                self.buckets.insert(at, (*bound, value));
            }
        }
    }

    fn histogram(mut self) -> Result<FloatHistogram, String> {
        let count = self.count.or(self.buckets.last().map(|b| b.1)).unwrap_or(0.0);
        match self.buckets.last() {
            Some((bound, total)) if *bound == f64::INFINITY => {
                if *total != count {
                    return Err(format!("count {count} is not that of the highest bucket, {total}"));
                }
            }
            _ => self.buckets.push((f64::INFINITY, count)),
        }
        let mut before = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (bound, total) in &self.buckets {
            if *total < before {
                return Err(format!("count {total} of bucket {bound} is below that of the one before it"));
            }
            counts.push(total - before);
            before = *total;
        }
        let integral = self.buckets.iter().all(|(_, c)| c.fract() == 0.0) && count.fract() == 0.0;
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![BucketSpan { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts,
            custom_values: self.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect(),
            ..FloatHistogram::default()
        };
        histogram.compact(if integral { 2 } else { 0 });
        Ok(histogram)
    }
}
