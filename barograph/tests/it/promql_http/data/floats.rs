//! Counters, gauges, odd values, classic histograms, info metrics, names that are no identifiers.

use model::{Value, stale_nan};

use super::Series;
use crate::promql_http::random::Random;

/// Jobs and instances that most metrics have.
pub(super) const TARGETS: [(&str, &str); 4] = [("api", "0"), ("api", "1"), ("web", "0"), ("web", "1")];

pub(super) fn all() -> Vec<Series> {
    let mut out = Vec::new();
    counters(&mut out);
    gauges(&mut out);
    odd(&mut out);
    classic(&mut out);
    broken_classic(&mut out);
    infos(&mut out);
    names(&mut out);
    out
}

fn float(value: f64) -> Option<Value> {
    Some(Value::Float(value))
}

/// A counter that grows by quarters, at random, and falls to nearly nothing where `resets` says so.
fn counter(random: &mut Random, resets: &[i64]) -> impl FnMut(i64) -> f64 {
    let mut random = Random::new(random.next());
    let mut value = (400 + random.below(4_000)) as f64 * 0.25;
    move |i| {
        if resets.contains(&i) {
            value = 0.0;
        }
        if !random.chance(20) {
            value += random.below(100) as f64 * 0.25;
        }
        value
    }
}

fn counters(out: &mut Vec<Series>) {
    let mut random = Random::new(1);
    for (n, (job, instance)) in TARGETS.into_iter().enumerate() {
        for (m, (method, code)) in
            [("GET", "200"), ("GET", "500"), ("POST", "200"), ("POST", "404")].into_iter().enumerate()
        {
            let labels = [("code", code), ("instance", instance), ("job", job), ("method", method)];
            let resets: &[i64] = match (n + m) % 4 {
                0 => &[],
                1 => &[120],
                2 => &[77, 78, 300],
                _ => &[240, 420],
            };
            let mut counter = counter(&mut random, resets);
            let delay_ms = if job == "web" { 1_234 } else { 0 };
            out.push(Series::new("http_requests_total", &labels, delay_ms, |i| {
                let value = counter(i);
                match (n, m) {
                    // A gap of ten minutes, without a marker.
                    (1, 0) if (200..240).contains(&i) => None,
                    // Stale, and back after a reset.
                    (2, 1) if i == 150 => float(stale_nan()),
                    (2, 1) if (151..190).contains(&i) => None,
                    // Ends early; begins late.
                    (3, 2) if i > 330 => None,
                    (3, 3) if i < 100 => None,
                    _ => float(value),
                }
            }));
        }
        let mut errors = counter(&mut random, &[]);
        let labels = [("instance", instance), ("job", job)];
        out.push(Series::new("errors_total", &labels, 0, |i| float(errors(i / 16 * 16))));
    }
}

fn gauges(out: &mut Vec<Series>) {
    let mut random = Random::new(2);
    for (n, (job, instance)) in TARGETS.into_iter().enumerate() {
        let labels = [("instance", instance), ("job", job)];
        let mut memory = 1_000.0 + n as f64 * 64.0;
        out.push(Series::new("memory_bytes", &labels, 0, |_| {
            memory += (random.below(65) as f64 - 32.0) / 16.0;
            float(memory)
        }));
        out.push(Series::new("up", &labels, 0, |i| float(f64::from((i + n as i64 * 7) % 90 > 4))));
        out.push(Series::new("queue_length", &labels, 500, |_| float(random.below(6) as f64 - 2.0)));
        for sensor in ["cpu", "disk"] {
            let labels = [("instance", instance), ("job", job), ("sensor", sensor)];
            let phase = n as f64 + sensor.len() as f64;
            out.push(Series::new("temperature_celsius", &labels, 250, |i| {
                let there = sensor == "cpu" || !(250..275).contains(&i);
                there.then(|| Value::Float(((i as f64 / 40.0 + phase).sin() * 300.0).round() / 10.0))
            }));
        }
    }
    for (job, limit) in [("api", 1_024.0), ("web", 2_048.5)] {
        out.push(Series::new("memory_limit_bytes", &[("job", job)], 0, |i| {
            float(if i < 240 { limit } else { limit + 512.0 })
        }));
    }
    // Every four minutes, so that some lookbacks find nothing.
    out.push(Series::new("sparse", &[("job", "api")], 0, |i| {
        (i % 16 == 0).then_some(Value::Float(i as f64))
    }));
    out.push(Series::new("event_timestamp_seconds", &[("job", "api")], 0, |i| {
        float(1_700_000_000.0 + (i * i) as f64 * 321.5)
    }));
}

/// Values that are hard to compute with, one kind each.
fn odd(out: &mut Vec<Series>) {
    let at = |i: i64, values: &[f64]| float(values[i as usize % values.len()]);
    for (kind, values) in [
        ("nan", &[f64::NAN][..]),
        ("inf", &[f64::INFINITY]),
        ("neginf", &[f64::NEG_INFINITY]),
        ("mixed", &[1.0, f64::NAN, -2.0, f64::INFINITY, 0.0, f64::NEG_INFINITY, 3.5]),
        ("somenan", &[1.0, 2.0, f64::NAN, 4.0, 5.5]),
        ("zero", &[0.0, -0.0]),
        ("tiny", &[5e-324, 1e-300, 2.5e-310]),
        ("huge", &[1e300, f64::MAX, -1e300]),
        ("big", &[1e15, 1e16, 123_456_789_012_345.0]),
        ("constant", &[7.0]),
    ] {
        out.push(Series::new("odd_value", &[("kind", kind)], 0, |i| at(i, values)));
    }
    out.push(Series::new("odd_value", &[("kind", "stale")], 0, |i| match i % 40 {
        0..20 => float(i as f64),
        20 => float(stale_nan()),
        _ => None,
    }));
}

/// `latency_seconds`, with buckets, sum and count.
fn classic(out: &mut Vec<Series>) {
    const BOUNDS: [&str; 7] = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    let mut random = Random::new(3);
    for (job, instance) in TARGETS {
        let seed = random.next();
        let reset = if instance == "1" { 222 } else { i64::MAX };
        for (b, le) in BOUNDS.into_iter().enumerate() {
            let labels = [("instance", instance), ("job", job), ("le", le)];
            let mut counts = Observations::new(seed, reset);
            out.push(Series::new("latency_seconds_bucket", &labels, 0, |i| {
                counts.observe(i);
                float(counts.buckets[..=b].iter().sum())
            }));
        }
        for suffix in ["sum", "count"] {
            let mut counts = Observations::new(seed, reset);
            let name = format!("latency_seconds_{suffix}");
            out.push(Series::new(&name, &[("instance", instance), ("job", job)], 0, |i| {
                counts.observe(i);
                float(if suffix == "sum" { counts.sum } else { counts.buckets.iter().sum() })
            }));
        }
    }
}

struct Observations {
    random: Random,
    reset: i64,
    buckets: [f64; 7],
    sum: f64,
}

impl Observations {
    fn new(seed: u64, reset: i64) -> Self {
        Self { random: Random::new(seed), reset, buckets: [0.0; 7], sum: 0.0 }
    }

    fn observe(&mut self, i: i64) {
        if i == self.reset {
            (self.buckets, self.sum) = ([0.0; 7], 0.0);
        }
        for _ in 0..1 + self.random.below(12) {
            // The smaller of two is small more often.
            let bucket = self.random.below(7).min(self.random.below(7)) as usize;
            self.buckets[bucket] += 1.0;
            self.sum += bucket as f64 / 8.0;
        }
    }
}

/// Classic histograms that are not as they should be.
fn broken_classic(out: &mut Vec<Series>) {
    for (kind, buckets) in [
        ("no_inf", &[("1", 1), ("2", 3)][..]),
        ("only_inf", &[("+Inf", 4)]),
        ("not_monotonic", &[("1", 5), ("2", 3), ("4", 9), ("+Inf", 9)]),
        ("bad_le", &[("1", 1), ("x", 2), ("+Inf", 3)]),
        ("negative", &[("-2", 1), ("-1", 4), ("0", 5), ("3", 9), ("+Inf", 10)]),
        ("empty", &[("1", 0), ("+Inf", 0)]),
        ("twice", &[("1", 2), ("1.0", 2), ("2", 4), ("+Inf", 5)]),
    ] {
        for (le, count) in buckets {
            out.push(Series::new("odd_bucket", &[("kind", kind), ("le", le)], 0, |i| {
                float((count * (i + 10)) as f64)
            }));
        }
    }
    out.push(Series::new("odd_bucket", &[("kind", "no_le")], 0, |i| float(i as f64)));
}

/// What `info` joins with. The version changes in the middle, one target has none.
fn infos(out: &mut Vec<Series>) {
    for (job, instance) in &TARGETS[..3] {
        for (version, from, to) in [("1.0", 0, 200), ("1.1", 200, 481)] {
            let labels = [("instance", *instance), ("job", *job), ("region", "eu"), ("version", version)];
            out.push(Series::new("target_info", &labels, 0, |i| match i {
                _ if (from..to).contains(&i) => float(1.0),
                // The series that ends says so.
                _ if i == to => float(stale_nan()),
                _ => None,
            }));
        }
        let labels = [("go", "1.24"), ("instance", *instance), ("job", *job)];
        out.push(Series::new("build_info", &labels, 0, |_| float(1.0)));
    }
}

fn names(out: &mut Vec<Series>) {
    for (n, (name, labels)) in [
        ("http.server.duration", [("service.name", "a b"), ("température", "élevée")]),
        ("http.server.duration", [("service.name", "c"), ("température", "🥵")]),
        ("日本", [("job", "api"), ("service.name", "\"quoted\\\n")]),
        ("with:colon", [("job", "api"), ("sum", "by")]),
        ("sum", [("job", "api"), ("on", "offset")]),
    ]
    .into_iter()
    .enumerate()
    {
        out.push(Series::new(name, &labels, 0, |i| float((i * (n as i64 + 1)) as f64)));
    }
}
