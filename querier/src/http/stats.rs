//! What a query cost, in the form that Prometheus gives it.

use crate::service::{QueryResponse, StatsWanted};

use super::json::push_array;

/// The values of the parameter `stats`, and what is said to those who send another.
pub(super) fn wanted(parameter: &str) -> (StatsWanted, Option<String>) {
    match parameter {
        "" => (StatsWanted::None, None),
        "true" => (StatsWanted::Totals, None),
        "all" => (StatsWanted::PerStep, None),
        other => {
            let warning = format!(
                "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
                 use \"true\" or \"all\"",
                promql::text::quote::quote(other)
            );
            (StatsWanted::Totals, Some(warning))
        }
    }
}

/// `stats` of the answer; none where it was not asked for.
pub(super) fn json(response: &QueryResponse, wanted: StatsWanted) -> Option<String> {
    let counts = response.counts.as_ref()?;
    let timings = &response.stats;
    let mut out = Vec::with_capacity(512);
    let mut timing = |name: &str, seconds: f64| {
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        out.extend_from_slice(ryu::Buffer::new().format_finite(seconds).as_bytes());
        out.push(b',');
    };
    timing("evalTotalTime", (timings.preparation + timings.evaluation).as_secs_f64());
    // Results come out of the evaluation in order.
    timing("resultSortTime", 0.0);
    timing("queryPreparationTime", timings.preparation.as_secs_f64());
    timing("innerEvalTime", timings.evaluation.as_secs_f64());
    timing("execQueueTime", timings.queue.as_secs_f64());
    timing("execTotalTime", timings.total.as_secs_f64());
    out.pop();
    let timings = String::from_utf8_lossy(&out).into_owned();
    let mut samples = Vec::with_capacity(512);
    let per_step = wanted == StatsWanted::PerStep;
    let mut push = |name: &str, steps: &[u64], total: u64| {
        if per_step {
            samples.extend_from_slice(format!("\"{name}PerStep\":").as_bytes());
            let times = (0..).map(|step: i64| counts.start_ms + step * counts.interval_ms);
            let points: Vec<(i64, u64)> = times.zip(steps.iter().copied()).collect();
            push_array(&mut samples, &points, |out, (time_ms, samples)| {
                out.extend_from_slice(format!("[{},{samples}]", *time_ms as f64 / 1_000.0).as_bytes());
            });
            samples.push(b',');
        }
        samples.extend_from_slice(format!("\"{name}\":{total},").as_bytes());
    };
    push("totalQueryableSamples", &counts.queryable, counts.total_queryable());
    push("samplesRead", &counts.read, counts.total_read());
    let peak = response.engine.peak_samples;
    let samples = String::from_utf8_lossy(&samples).into_owned();
    Some(format!("{{\"timings\":{{{timings}}},\"samples\":{{{samples}\"peakSamples\":{peak}}}}}"))
}
