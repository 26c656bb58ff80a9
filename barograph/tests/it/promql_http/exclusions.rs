//! What is not compared, and why. Prometheus here is the 3.5 that Debian has; Barograph is held to the newest. Numbers are
//! those of upstream's changes, as its changelog names them.

use super::pair::Query;

/// Fixed queries whose answers differ: expressions, or whole parameters, and the reason.
const QUERIES: &[(&str, &[&str])] = &[
    ("start(), end() and step() are functions since 3.12 (#17877)", &["start()", "end()", "step()"]),
    (
        "a NaN as parameter has an error of its own since 3.6 (#16725)",
        &[
            "topk(NaN, up)",
            "limitk(NaN, up)",
            "limit_ratio(NaN, up)",
            "topk(scalar(nosuch), up)",
            "topk(scalar(queue_length{job=\"api\",instance=\"0\"}), memory_bytes)",
        ],
    ),
    (
        "info() gave series without an info metric the labels of another's until 3.7 (#17135)",
        &["info(http_requests_total{code=\"500\"}, {region=\"eu\"})"],
    ),
    (
        "info() with something else than a selector was an unexpected error until 3.8 (#17379)",
        &["info(up, 1)", "info(up, \"x\")"],
    ),
    (
        "filters did not check for many-to-one matching until 3.9 (#17668)",
        &["memory_bytes > on (job) memory_limit_bytes"],
    ),
    (
        "histogram_fraction of classic histograms and of custom buckets from a bound in the first bucket on was NaN until 3.8 (#17424)",
        &["histogram_fraction(0, 0.5, latency_seconds_bucket{job=\"api\"})"],
    ),
    (
        "custom buckets with different bounds are added up since 3.8 (#17278)",
        &[
            "sum(payload_other_bytes)",
            "avg(payload_other_bytes)",
            "payload_bytes + payload_other_bytes",
            "payload_bytes - on (job, instance) payload_other_bytes",
        ],
    ),
    (
        "in the parser of 3.5 step() and range() are no durations yet (3.6, #16777; range() 3.12, #17877)",
        &["up[]", "up offset", "up offset x", "up[(5m]"],
    ),
    (
        "behind a duration in brackets the parser of 3.5 takes a letter for a colon (fixed with 3.6, #16777)",
        &["up[5m x]", "up[5m:x]"],
    ),
    (
        "histogram_quantile of a histogram whose sum is NaN interpolates in its last bucket, wherever the quantile is: a defect of upstream, to this day",
        &["histogram_quantile(0.5, odd_histogram)"],
    ),
    (
        "for which series of a mix an aggregation warns depends on which comes first, here on their shards",
        &["sum(mixed_kinds)", "avg(mixed_kinds)", "sum({__name__=~\"rpc_seconds|payload_bytes\"})"],
    ),
    (
        "to upstream, 3.14 included, an empty bucket is a change, and which histograms have them depends on where it cuts chunks: \
         all of a chunk have the buckets of its last. Here they count as none. Where upstream drops them first, as in \
         `rpc_seconds + rpc_seconds`, answers are compared",
        &["changes(rpc_seconds[10m])"],
    ),
    (
        "info() forgets that names are to be dropped until after 3.14 (#19413)",
        &["info(rate(http_requests_total[5m]))"],
    ),
    (
        "mad_over_time takes no notice of NaN until 3.14 (#19040)",
        &["mad_over_time(odd_value{kind=~\"mixed|somenan\"}[5m])"],
    ),
    (
        "the logarithm of a denormalised number is wrong in Go on amd64: ln(5e-324) is -744.44, not -709.09",
        &["ln(odd_value{kind=\"tiny\"})", "log10(odd_value{kind=\"tiny\"})"],
    ),
    (
        "a time that is no number, or too large, is refused; upstream takes what the processor makes of it",
        &["query=up&time=NaN", "query=up&time=1e300"],
    ),
    (
        "a step that is no number is called that; upstream says that it is negative, which is what the processor makes of it",
        &["query=up&start=1767225600&end=1767225660&step=NaN"],
    ),
];

/// Why a query is not compared, if it is not.
pub(super) fn reason(query: &Query) -> Option<&'static str> {
    let asked = if query.expression.is_empty() { &query.parameters } else { &query.expression };
    let excludes = |(_, queries): &&(&str, &[&str])| queries.contains(&asked.as_str());
    QUERIES.iter().find(excludes).map(|(reason, _)| *reason)
}

/// A warning, an info or an error as both would say it. What is left out:
/// * which buckets had to be made monotonic, and how much: told since 3.10 (#15578);
/// * which metric a classic histogram is of: since 3.7 told with delayed name removal only (#16794).
///
/// `None` for what 3.5 does not say at all: counter resets that conflict (3.7, #17051), sorting in a range query (3.12,
/// #18498).
pub(super) fn comparable(text: &str) -> Option<String> {
    const NEW: [&str; 2] =
        ["conflicting counter resets during histogram", "sort is ineffective for range queries"];
    if NEW.iter().any(|new| text.contains(new)) {
        return None;
    }
    let mut text = text.to_owned();
    if let Some(start) = text.find(", from buckets ")
        && let Some(length) = text[start..].rfind(" (")
    {
        text.replace_range(start..start + length, "");
    }
    const OF_CLASSIC: [&str; 3] =
        ["histogram_quantile needed to be fixed", "bucket label", "classic and native"];
    if OF_CLASSIC.iter().any(|of| text.contains(of))
        && let Some(start) = text.find(" for metric name ")
        && let Some(end) = text.rfind(" (")
    {
        text.replace_range(start..end, "");
    }
    // Which of several groups the error is about, and which two series of it, is the order of upstream's storage.
    let duplicate = text.split_once("for the match group ").zip(text.split_once(";many-to-many"));
    Some(match duplicate {
        Some(((before, _), (_, after))) => format!("{before};{after}"),
        None => text,
    })
}
