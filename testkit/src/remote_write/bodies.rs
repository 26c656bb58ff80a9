//! What the cases send, by name. Names are taken apart (`sample-<shape>-<value>`), so that a case that combines known
//! parts in a new way is known too.

use model::{Exemplar, Labels, Metadata, MetricType};
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::protobuf::put_bytes_field;
use wire::snappy;

use super::histograms::histogram;
use super::{CaseRequest, RATE_LIMITED_TENANT, RW1_CONTENT_TYPE, RW2_CONTENT_TYPE, TENANT};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A label value with what JSON, YAML and the text format have to escape.
const SPECIAL: &str = "quote \" backslash \\ newline \n tab \t emoji 🚀 中文 {}=,";

/// A 2.0 request being written, with what it holds.
#[derive(Default)]
struct Draft {
    writer: Rw2Writer,
    sent: [u64; 3],
}

impl Draft {
    fn labels(&mut self, labels: &[(&str, &str)]) -> &mut Self {
        for (name, value) in labels {
            self.writer.label(name, value);
        }
        self
    }

    /// A series of the case: its name tells it from those of other cases.
    fn named(&mut self, id: &str, suffix: &str) -> &mut Self {
        // `+Inf` and `-Inf` are two series.
        let id = id.replace('+', "plus");
        let name: String = id.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        self.labels(&[("__name__", &format!("{name}{suffix}"))])
    }

    fn sample(&mut self, timestamp_ms: i64, value: f64) -> &mut Self {
        self.sample_since(timestamp_ms, value, 0)
    }

    fn sample_since(&mut self, timestamp_ms: i64, value: f64, start_ms: i64) -> &mut Self {
        self.writer.sample(timestamp_ms, value, start_ms);
        self.sent[0] += 1;
        self
    }

    fn histogram(&mut self, shape: &str, timestamp_ms: i64, start_ms: i64) -> Option<&mut Self> {
        let mut sample = histogram(shape, timestamp_ms)?;
        sample.start_timestamp_ms = start_ms;
        self.writer.histogram(&sample);
        self.sent[1] += 1;
        Some(self)
    }

    fn exemplar(&mut self, labels: &[(&str, &str)], timestamp_ms: i64, value: f64) -> &mut Self {
        self.writer.exemplar(&Exemplar {
            labels: Labels::from_pairs(labels.iter().copied()),
            value,
            timestamp_ms,
        });
        self.sent[2] += 1;
        self
    }

    fn trace(&mut self, timestamp_ms: i64) -> &mut Self {
        self.exemplar(&[("trace_id", "abcdef0123456789")], timestamp_ms, 0.5)
    }

    fn metadata(&mut self, metric_type: MetricType, help: &str, unit: &str) -> &mut Self {
        self.writer.metadata(&Metadata { metric_type, help: help.to_owned(), unit: unit.to_owned() });
        self
    }

    fn end(&mut self) -> &mut Self {
        self.writer.end_series();
        self
    }

    fn request(&self) -> CaseRequest {
        request(RW2_CONTENT_TYPE, &self.writer.message(), self.sent)
    }
}

fn request(content_type: &str, message: &[u8], sent: [u64; 3]) -> CaseRequest {
    CaseRequest {
        tenant: Some(TENANT),
        content_type: content_type.to_owned(),
        content_encoding: "snappy".to_owned(),
        body: snappy::compress(message),
        sent,
    }
}

pub(super) fn requests(id: &str, now_ms: i64) -> Option<Vec<CaseRequest>> {
    if let Some(rest) = id.strip_prefix("own-") {
        return own(id, rest, now_ms);
    }
    let mut draft = Draft::default();
    let one = |draft: &Draft| Some(vec![draft.request()]);
    let (kind, rest) = id.split_once('-')?;
    match kind {
        "content" | "corrupt" | "rw1" => return transport(id, now_ms),
        "sample" | "samples" => samples(&mut draft, id, rest, now_ms)?,
        "counter" => drop(draft.named(id, "").sample_since(now_ms, 1.0, now_ms - HOUR_MS).end()),
        "exemplar" | "exemplars" => exemplars(&mut draft, id, rest, now_ms)?,
        "histogram" | "histograms" => histograms(&mut draft, id, rest, now_ms)?,
        "metadata" => metadata(&mut draft, id, rest, now_ms)?,
        "combined" | "fifty" => families(&mut draft, id, now_ms)?,
        "mixed" => {
            draft.named(id, "_a").sample(now_ms - HOUR_MS, 1.0).end();
            draft.named(id, "_b").sample(now_ms, 2.0).trace(now_ms - 30 * MINUTE_MS).end();
        }
        "special" => {
            draft.named(id, "").labels(&[("special", SPECIAL)]).sample(now_ms, 1.0);
            draft.metadata(MetricType::Gauge, SPECIAL, "");
            draft.exemplar(&[("trace_id", SPECIAL)], now_ms, 1.0).end();
        }
        _ => return None,
    }
    one(&draft)
}

/// Cases about headers and compression.
fn transport(id: &str, now_ms: i64) -> Option<Vec<CaseRequest>> {
    let mut draft = Draft::default();
    let mut request = draft.named(id, "").sample(now_ms, 1.0).end().request();
    if id == "rw1-basic" {
        return Some(vec![rw1_request(id, RW1_CONTENT_TYPE, now_ms)]);
    }
    if let Some(subtype) = id.strip_prefix("content-type-") {
        request.content_type = subtype.replacen('-', "/", 1);
    } else if let Some(encoding) = id.strip_prefix("content-encoding-") {
        request.content_encoding = encoding.to_owned();
    } else if id == "rw1-corrupt" {
        request = rw1_request(id, RW1_CONTENT_TYPE, now_ms);
    } else if id != "corrupt-body" {
        return None;
    }
    if let Some(first) = request.body.first_mut() {
        *first = 0xff;
    }
    Some(vec![request])
}

fn rw1_request(id: &str, content_type: &str, now_ms: i64) -> CaseRequest {
    let mut writer = Rw1Writer::default();
    writer.label("__name__", &id.replace('-', "_")).label("job", "x");
    writer.sample(now_ms, 1.0).end_series();
    request(content_type, writer.message(), [1, 0, 0])
}

/// `<shape>-<value>`.
fn samples(draft: &mut Draft, id: &str, rest: &str, now_ms: i64) -> Option<()> {
    let shapes = [
        "simple",
        "labels",
        "newline",
        "dots",
        "spaces",
        "no-name",
        "no-labels",
        "one-of-four-no-name",
        "four-no-name",
        "four",
    ];
    let (shape, value) =
        shapes.iter().find_map(|shape| Some((*shape, rest.strip_prefix(shape)?.strip_prefix('-')?)))?;
    let value = number(value)?;
    match shape {
        "simple" => drop(draft.named(id, "")),
        "labels" => drop(draft.named(id, "").labels(&[("instance", "localhost:9090"), ("job", "x")])),
        "newline" => drop(draft.named(id, "").labels(&[("text", "line one\nline two\n")])),
        "dots" => {
            let labels = [("__name__", "resource.cpu.usage"), ("instance.name", id), ("job.name", "x")];
            draft.labels(&labels);
        }
        "spaces" => {
            let labels = [("__name__", "resource cpu usage"), ("instance name", id), ("job name", "x")];
            draft.labels(&labels);
        }
        "no-name" => drop(draft.labels(&[("instance", "localhost:9090"), ("job", "x")])),
        "no-labels" => {}
        _ => {
            for i in 0..4 {
                let nameless = shape == "four-no-name" || (shape == "one-of-four-no-name" && i == 0);
                if !nameless {
                    draft.named(id, "");
                }
                draft.labels(&[("i", &i.to_string())]).sample(now_ms, value).end();
            }
            return Some(());
        }
    }
    draft.sample(now_ms, value).end();
    Some(())
}

fn number(text: &str) -> Option<f64> {
    match text {
        "StaleNaN" => Some(model::stale_nan()),
        text => text.parse().ok(),
    }
}

fn exemplars(draft: &mut Draft, id: &str, rest: &str, now_ms: i64) -> Option<()> {
    let long_ago = now_ms - 2 * HOUR_MS;
    let plain: &[(&str, &str)] = match rest {
        "basic" | "valid-name" | "created-timestamp" => &[("trace_id", "abcdef0123456789")],
        "span" => &[("span_id", "0123"), ("trace_id", "abcd")],
        "no-trace" => &[("user_id", "42")],
        "many-labels" => &[("endpoint", "/api"), ("trace_id", "abcd"), ("user", "me")],
        "no-labels" => &[],
        "special-chars" => &[("trace_id", "a-b_c.d-1")],
        "unicode" => &[("標籤", "中文")],
        _ => return more_exemplars(draft, id, rest, now_ms),
    };
    draft.named(id, "");
    if rest == "unicode" {
        draft.labels(&[("emoji", "🚀")]);
    }
    let start = if rest == "created-timestamp" { long_ago } else { 0 };
    draft.sample_since(now_ms, 1.0, start).exemplar(plain, now_ms, 0.5).end();
    Some(())
}

fn more_exemplars(draft: &mut Draft, id: &str, rest: &str, now_ms: i64) -> Option<()> {
    match rest {
        "three" => {
            for i in ["1", "2", "3"] {
                draft.named(id, i).sample(now_ms, 1.0).trace(now_ms).end();
            }
        }
        "timestamps" => {
            draft.named(id, "");
            for age in [HOUR_MS, MINUTE_MS, 0] {
                draft.sample(now_ms - age, 1.0).trace(now_ms - age);
            }
            draft.end();
        }
        "series-no-name" => drop(draft.labels(&[("job", id)]).sample(now_ms, 1.0).trace(now_ms).end()),
        "series-empty-name" => {
            draft.labels(&[("__name__", ""), ("job", id)]).sample(now_ms, 1.0).trace(now_ms).end();
        }
        "without-data" => drop(draft.named(id, "").trace(now_ms).end()),
        value => {
            let value = number(value.strip_prefix("value-")?)?;
            draft.named(id, "").sample(now_ms, value);
            draft.exemplar(&[("trace_id", "abcd")], now_ms, value).end();
        }
    }
    Some(())
}

/// A shape, or `<shape>-<what else>`, or what else a basic histogram comes with.
fn histograms(draft: &mut Draft, id: &str, rest: &str, now_ms: i64) -> Option<()> {
    if rest == "several" {
        for (i, shape) in ["basic", "positive", "negative", "custom"].iter().enumerate() {
            draft.named(id, &i.to_string()).histogram(shape, now_ms, 0)?.end();
        }
        return Some(());
    }
    let shape = match histogram(rest, now_ms) {
        Some(_) => rest,
        None if rest.starts_with("custom") => "custom",
        None => "basic",
    };
    let extras = ["created-timestamp", "metadata", "exemplar"];
    if shape != rest && !extras.iter().any(|extra| rest.ends_with(extra)) {
        return None;
    }
    let start = if rest.contains("created-timestamp") { now_ms - 30 * MINUTE_MS } else { 0 };
    draft.named(id, "").histogram(shape, now_ms, start)?;
    if rest.contains("metadata") {
        draft.metadata(MetricType::Histogram, "how long it takes", "seconds");
    }
    if rest.contains("exemplar") {
        draft.trace(now_ms);
    }
    draft.end();
    Some(())
}

fn metadata(draft: &mut Draft, id: &str, rest: &str, now_ms: i64) -> Option<()> {
    let metric_type = |name: &str| {
        let name = if name == "unspecified" { "unknown" } else { name };
        (0..8).filter_map(MetricType::from_wire).find(|known| known.as_str() == name)
    };
    let mut one = |metric_type, help: &str, unit: &str| {
        draft.named(id, "").sample(now_ms, 1.0).metadata(metric_type, help, unit).end();
    };
    match rest {
        "no-help-no-unit" => one(MetricType::Counter, "", ""),
        "special-characters-in-help" => one(MetricType::Counter, SPECIAL, ""),
        "valid-name" => one(MetricType::Counter, "help", ""),
        "several" => {
            for (i, metric_type) in (0..8).filter_map(MetricType::from_wire).enumerate() {
                draft.named(id, &i.to_string()).sample(now_ms, 1.0);
                draft.metadata(metric_type, metric_type.as_str(), "").end();
            }
        }
        "created-timestamp" => {
            draft.named(id, "").sample_since(now_ms, 1.0, now_ms - HOUR_MS);
            draft.metadata(MetricType::Counter, "help", "").end();
        }
        "complex-labels" => {
            draft.named(id, "");
            for i in 10..30 {
                draft.labels(&[(&format!("label_{i}"), &format!("value {i}"))]);
            }
            draft.sample(now_ms, 1.0).metadata(MetricType::Gauge, "help", "bytes").end();
        }
        "no-name" => {
            draft.labels(&[("job", id)]).sample(now_ms, 1.0);
            draft.metadata(MetricType::Counter, "help", "").end();
        }
        "empty-name" => {
            draft.labels(&[("__name__", ""), ("job", id)]).sample(now_ms, 1.0);
            draft.metadata(MetricType::Counter, "help", "").end();
        }
        "without-data" => drop(draft.named(id, "").metadata(MetricType::Counter, "help", "").end()),
        _ => {
            let name = rest.strip_prefix("type-").or_else(|| rest.strip_suffix("-with-help-and-unit"))?;
            one(metric_type(name)?, "what it counts", "seconds");
        }
    }
    Some(())
}

/// Several series with metadata and exemplars each.
fn families(draft: &mut Draft, id: &str, now_ms: i64) -> Option<()> {
    let count = if id.starts_with("fifty") { 50 } else { 3 };
    for i in 0..count {
        draft.named(id, &format!("_{i}"));
        if id.ends_with("histograms") {
            draft.histogram("basic", now_ms, 0)?.metadata(MetricType::Histogram, "help", "seconds");
        } else if id.ends_with("samples") {
            draft.sample(now_ms, f64::from(i)).metadata(MetricType::Counter, "help", "");
        } else {
            return None;
        }
        draft.trace(now_ms).end();
    }
    Some(())
}

/// The cases that this project added.
fn own(id: &str, rest: &str, now_ms: i64) -> Option<Vec<CaseRequest>> {
    let mut draft = Draft::default();
    draft.named(id, "");
    let requests = match rest {
        "rw1-proto-parameter" => {
            let content_type = format!("{RW1_CONTENT_TYPE};proto=prometheus.WriteRequest");
            vec![rw1_request(id, &content_type, now_ms)]
        }
        "unknown-proto" => {
            let mut request = draft.sample(now_ms, 1.0).end().request();
            request.content_type = format!("{RW1_CONTENT_TYPE};proto=foo.Bar");
            vec![request]
        }
        "rw2-body-as-rw1" => {
            let mut request = draft.sample(now_ms, 1.0).end().request();
            request.content_type = RW1_CONTENT_TYPE.to_owned();
            vec![request]
        }
        "symbol-out-of-range" => {
            draft.writer.label_refs(&[999, 1_000]);
            vec![draft.sample(now_ms, 1.0).end().request()]
        }
        "odd-refs" => {
            draft.writer.label_refs(&[1]);
            vec![draft.sample(now_ms, 1.0).end().request()]
        }
        "symbol-zero" => vec![symbol_zero(id, now_ms)],
        "samples-and-histograms" => {
            let draft = draft.sample(now_ms - MINUTE_MS, 1.0).histogram("basic", now_ms, 0)?;
            vec![draft.end().request()]
        }
        "resend" => {
            let request = draft.sample(now_ms, 1.0).end().request();
            vec![request.clone(), request]
        }
        "duplicate-other-value" => two(id, [(now_ms, 1.0), (now_ms, 2.0)]),
        "out-of-order" => two(id, [(now_ms, 1.0), (now_ms - HOUR_MS, 1.0)]),
        "empty-request" => vec![Draft::default().request()],
        "no-tenant" => {
            let mut request = draft.sample(now_ms, 1.0).end().request();
            request.tenant = None;
            vec![request]
        }
        "rate-limited" => {
            for i in 0..1_000 {
                draft.sample(now_ms + i, 1.0);
            }
            let mut request = draft.end().request();
            request.tenant = Some(RATE_LIMITED_TENANT);
            vec![request]
        }
        "label-limits" => {
            for i in 0..1_000 {
                draft.labels(&[(&format!("label_{i:04}"), "x")]);
            }
            draft.labels(&[("long", &"x".repeat(1 << 20))]);
            vec![draft.sample(now_ms, 1.0).end().request()]
        }
        _ => return None,
    };
    Some(requests)
}

/// Two requests with one sample each of the same series.
fn two(id: &str, samples: [(i64, f64); 2]) -> Vec<CaseRequest> {
    let one =
        |(timestamp_ms, value)| Draft::default().named(id, "").sample(timestamp_ms, value).end().request();
    samples.map(one).into()
}

/// A request whose symbol 0 is not the empty text.
fn symbol_zero(id: &str, now_ms: i64) -> CaseRequest {
    let name = id.replace('-', "_");
    let mut message = Vec::new();
    for symbol in ["__name__", &name] {
        put_bytes_field(&mut message, 4, symbol.as_bytes());
    }
    let mut series = Rw2Writer::default();
    series.label_refs(&[0, 1]).sample(now_ms, 1.0, 0).end_series();
    // The writer's own symbol 0, which is two bytes long, is left out.
    message.extend_from_slice(series.message().get(2..).unwrap_or_default());
    request(RW2_CONTENT_TYPE, &message, [1, 0, 0])
}
