//! What is asked again and again, and answers as texts that are equal where every bit is.

use std::fmt::Write as _;

use model::{FloatHistogram, Labels, Matcher, TenantId};
use promql::{QueryTime, QueryValue, RangeSeries, SampleValue};
use querier::{LabelRequest, Querier, QueryClass, QueryRequest, StatsWanted};

const HOUR_MS: i64 = 3_600_000;

/// All samples of a tenant.
pub(crate) const ALL: &str = r#"{__name__=~".+"}[100h]"#;

/// Asked at a moment.
const INSTANT: [&str; 6] = [
    "sum by (instance) (rate(requests_total[1h]))",
    "temperature",
    "histogram_quantile(0.9, rate(rpc_seconds[3h]))",
    "count_over_time(temperature[5h])",
    "sum_over_time(late_total[9h])",
    "histogram_sum(mixed) or mixed",
];
/// Asked of all the time that there is.
const RANGE: [&str; 5] = [
    "sum(increase(requests_total[2h]))",
    "avg(temperature) + on () group_left count(up)",
    r#"count by (__name__) ({__name__=~".+"})"#,
    "histogram_count(sum(rate(rpc_seconds[2h])))",
    "resets(requests_total[6h])",
];
/// Further questions: for series, names of labels, values of one.
const ABOUT_LABELS: usize = 3;

/// How many questions there are.
pub(crate) const QUESTIONS: usize = INSTANT.len() + RANGE.len() + ABOUT_LABELS;

/// Asks question number `number` about a tenant, whose samples are between two times.
pub(crate) async fn ask(
    querier: &Querier,
    tenant: &TenantId,
    number: usize,
    (begin_ms, now_ms): (i64, i64),
) -> Result<String, String> {
    let range = QueryTime::Range { start_ms: begin_ms, end_ms: now_ms, step_ms: HOUR_MS };
    if let Some(query) = INSTANT.get(number) {
        return query_text(querier, tenant, query, QueryTime::Instant(now_ms - HOUR_MS / 2)).await;
    }
    if let Some(query) = RANGE.get(number - INSTANT.len()) {
        return query_text(querier, tenant, query, range).await;
    }
    let matcher =
        Matcher::new("job", model::MatchOp::NotEqual, "nobody").map_err(|error| error.to_string())?;
    let request = LabelRequest {
        tenant: tenant.clone(),
        matcher_sets: vec![vec![matcher]],
        start_ms: begin_ms,
        end_ms: now_ms,
        limit: 0,
    };
    let answer = match number - INSTANT.len() - RANGE.len() {
        0 => querier.series(request).await.map(|found| format!("{:?}", found.items)),
        1 => querier.label_names(request).await.map(|found| format!("{:?}", found.items)),
        _ => querier.label_values("instance", request).await.map(|found| format!("{:?}", found.items)),
    };
    answer.map_err(|error| error.message)
}

/// The answer to a query.
pub(crate) async fn query(
    querier: &Querier,
    tenant: &TenantId,
    query: &str,
    time: QueryTime,
) -> Result<QueryValue, String> {
    let request = QueryRequest {
        tenant: tenant.clone(),
        query: query.to_owned(),
        time,
        lookback: None,
        timeout: None,
        stats: StatsWanted::None,
        class: QueryClass::User,
    };
    querier.query(request).await.map(|response| response.value).map_err(|error| error.message)
}

async fn query_text(
    querier: &Querier,
    tenant: &TenantId,
    text: &str,
    time: QueryTime,
) -> Result<String, String> {
    Ok(print(&query(querier, tenant, text, time).await?))
}

fn print(value: &QueryValue) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    match value {
        QueryValue::Vector(samples) => {
            for sample in samples {
                let value = match &sample.value {
                    SampleValue::Float(value) => float(*value),
                    SampleValue::Histogram(value) => histogram(value),
                };
                let _ = writeln!(text, "{} {value}", sample.labels);
            }
        }
        QueryValue::Matrix(series) => series.iter().for_each(|series| print_series(&mut text, series)),
        other => text = format!("{other:?}"),
    }
    text
}

fn print_series(text: &mut String, series: &RangeSeries) {
    let _ = writeln!(text, "{}", series.labels);
    for (at, value) in &series.floats {
        let _ = writeln!(text, "  {at} {}", float(*value));
    }
    for (at, value) in &series.histograms {
        let _ = writeln!(text, "  {at} {}", histogram(value));
    }
}

fn float(value: f64) -> String {
    format!("{value} {:016x}", value.to_bits())
}

/// A histogram without what follows from where chunks were cut: empty buckets, and what is known of resets.
pub(crate) fn histogram(value: &FloatHistogram) -> String {
    let FloatHistogram { schema, zero_threshold, zero_count, count, sum, custom_values, .. } = value;
    let numbers = [zero_threshold, zero_count, count, sum].map(|value| float(*value));
    let mut text = format!("schema {schema} {} {custom_values:?}", numbers.join(" "));
    for (spans, counts) in
        [(&value.positive_spans, &value.positive_buckets), (&value.negative_spans, &value.negative_buckets)]
    {
        let (mut index, mut counts) = (0, counts.iter());
        text.push_str(" |");
        for span in spans {
            index += span.offset;
            for count in counts.by_ref().take(span.length as usize) {
                if *count != 0.0 {
                    let _ = write!(text, " {index}:{}", float(*count));
                }
                index += 1;
            }
        }
    }
    text
}

/// The samples of an answer: floats as bits, histograms as texts.
pub(crate) fn samples(series: &[RangeSeries]) -> Vec<(Labels, i64, String)> {
    let of = |series: &RangeSeries| {
        let floats = series.floats.iter().map(|(at, value)| (*at, float(*value)));
        let histograms = series.histograms.iter().map(|(at, value)| (*at, histogram(value)));
        let mut all: Vec<(i64, String)> = floats.chain(histograms).collect();
        all.sort();
        all.into_iter().map(|(at, text)| (series.labels.clone(), at, text)).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

/// The text of a value as [`samples`] has it.
pub(crate) fn value_text(value: &model::Value) -> String {
    match value {
        model::Value::Float(value) => float(*value),
        model::Value::Histogram(value) => histogram(&value.to_float()),
        model::Value::FloatHistogram(value) => histogram(value),
    }
}
