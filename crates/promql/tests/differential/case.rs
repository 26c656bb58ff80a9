//! One case: data, options, times and a query, all from a seed; and whether engine and naive evaluator agree on it.
//!
//! Values have to agree to [`TOLERANCE`], relative. Where they do not, and only there, the naive evaluator is asked
//! again several times, shaken: rounding sums a few last places off, and adding histograms in other orders. If its own
//! answers then scatter, the question is ill-conditioned: no answer can be more exact than [`SCATTER`] times that much,
//! and where they scatter in which series there are at all, the case says nothing. Such cases are counted, and may not
//! be many.

use std::collections::{BTreeMap, BTreeSet};

use model::Labels;
use promql::ast::Expr;
use promql::{
    Engine, EngineOptions, ErrorKind, QueryError, QueryResult, QueryTime, QueryValue, SampleValue, parse,
};

use super::data::{Data, LENGTH_MS, Random};
use super::naive::{self, Answer, Naive, Note, Times};
use super::queries;

/// How far values may be apart, relative to the larger one.
const TOLERANCE: f64 = 1e-12;
/// How far they may be apart where shaken answers scatter, relative to how far those do.
const SCATTER: f64 = 4.0;
/// How often is shaken.
const SHAKES: u64 = 12;
/// Cases in a row that share their data.
pub(crate) const PER_DATA: u64 = 20;

pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) query: String,
    pub(crate) options: EngineOptions,
    pub(crate) times: Times,
}

/// How a case went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Both have the same answer, with values or without.
    Agreed { empty: bool },
    /// Neither has one.
    BothFail,
    /// The question is ill-conditioned.
    Undecided,
}

/// Which value of an answer: series, time, and what of a histogram (or the float).
type Key = (Labels, i64, String);
/// An answer, taken apart. Parts of histograms that are zero are left out.
type Parts = BTreeMap<Key, f64>;

/// The data that a seed's case is about.
pub(crate) fn data_of(seed: u64) -> Data {
    Data::random(&mut Random::new(seed / PER_DATA))
}

impl Case {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_0000_0000);
        let is_range = random.chance(2);
        let query = match is_range {
            true => queries::random_range(&mut random),
            false => queries::query_in_turn(seed, &mut random),
        };
        let options = EngineOptions {
            lookback_ms: if random.chance(10) { 90_000 } else { 300_000 },
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            delayed_name_removal: random.chance(35),
            start_timestamps: random.chance(35),
            type_and_unit_labels: random.chance(20),
            ..EngineOptions::default()
        };
        let start_ms = random.below(LENGTH_MS as usize / 30_000) as i64 * 30_000 + [0, 0, 7][random.below(3)];
        let steps = [1, 2, 3, 5, 5, 12, 12, 70][random.below(8)];
        let step_ms = [15_000, 60_000, 97_000, 30_000][random.below(4)];
        let times = match steps {
            steps if steps == 1 || is_range => Times { start_ms, end_ms: start_ms, step_ms: 0 },
            _ => Times { start_ms, end_ms: start_ms + (steps - 1) * step_ms + 1, step_ms },
        };
        Self { seed, query, options, times }
    }

    pub(crate) fn describe(&self) -> String {
        format!("seed {}: {} at {:?} with {:?}", self.seed, self.query, self.times, self.options)
    }

    pub(crate) fn expr(&self) -> Expr {
        parse(&self.query, &self.options.parse_options())
            .unwrap_or_else(|e| panic!("{}: {e}", self.describe()))
    }

    fn engine(&self, data: &Data) -> Result<QueryResult, QueryError> {
        let engine = Engine::new(self.options.clone());
        let Times { start_ms, end_ms, step_ms } = self.times;
        let time = match step_ms {
            0 => QueryTime::Instant(start_ms),
            _ => QueryTime::Range { start_ms, end_ms, step_ms },
        };
        let query = engine.prepare(&self.query, time, None)?;
        engine.run(&query, data, &|| None)
    }

    /// Both answers, to be read.
    pub(crate) fn answers(&self, data: &Data) -> String {
        let lines = |parts: Result<Parts, String>| match parts {
            Err(e) => format!("  fails: {e}\n"),
            Ok(parts) => {
                parts.iter().map(|((labels, t, what), v)| format!("  {labels} {t} {what} {v:?}\n")).collect()
            }
        };
        let naive = Naive::new(data, &self.options, self.times).answer(&self.expr());
        let engine = self.engine(data).map_err(|e| e.to_string());
        format!(
            "naive:\n{}engine:\n{}",
            lines(naive.map(|answer| of_naive(&answer))),
            lines(engine.map(|answer| of_engine(&answer.value, self.times)))
        )
    }

    /// Asks both.
    pub(crate) fn check(&self, data: &Data) -> Result<Verdict, String> {
        let expr = self.expr();
        let mut naive = Naive::new(data, &self.options, self.times);
        let expected = naive.answer(&expr);
        let actual = self.engine(data);
        let problem = match (&expected, &actual) {
            (Err(_), Err(e)) if matches!(e.kind, ErrorKind::Execution | ErrorKind::BadData) => {
                return Ok(Verdict::BothFail);
            }
            (Ok(expected), Ok(actual)) => {
                let parts = [of_naive(expected), of_engine(&actual.value, self.times)];
                let notes: BTreeSet<Note> = actual
                    .annotations
                    .iter()
                    .map(|a| Note::new(a.severity, &a.message, a.position))
                    .collect();
                let same = different(&parts[0], &parts[1], |_| 0.0).map_or(Ok(()), Err);
                match same.and_then(|()| self.same_order(&expr, expected, &actual.value)) {
                    Err(problem) => problem,
                    Ok(()) => match naive.notes().agree_with(&notes) {
                        Err(problem) => problem,
                        Ok(()) => return Ok(Verdict::Agreed { empty: parts[0].is_empty() }),
                    },
                }
            }
            (expected, actual) => format!(
                "naive {}, engine {}",
                expected.as_ref().map_or_else(|e| format!("fails: {e}"), |_| "has an answer".to_owned()),
                actual.as_ref().map_or_else(|e| format!("fails: {e}"), |_| "has an answer".to_owned()),
            ),
        };
        if self.is_ill_conditioned(&expr, data, &expected, &actual) {
            return Ok(Verdict::Undecided);
        }
        Err(problem)
    }

    /// Of an instant query that sorts, the order counts.
    fn same_order(&self, expr: &Expr, expected: &Answer, actual: &QueryValue) -> Result<(), String> {
        let QueryValue::Vector(actual) = actual else { return Ok(()) };
        if !naive::has_order(expr) {
            return Ok(());
        }
        let expected: Vec<&Labels> = expected[0].1.iter().map(|s| &s.labels).collect();
        let actual: Vec<&Labels> = actual.iter().map(|s| &s.labels).collect();
        if expected == actual {
            Ok(())
        } else {
            Err(format!("order: naive {expected:?}\n  engine {actual:?}"))
        }
    }

    /// Whether shaken answers scatter so much that the engine's is as good as any.
    fn is_ill_conditioned(
        &self,
        expr: &Expr,
        data: &Data,
        expected: &Result<Answer, String>,
        actual: &Result<QueryResult, QueryError>,
    ) -> bool {
        let mut shaken = Vec::new();
        let mut first_notes: Option<String> = None;
        for shake in 0..SHAKES {
            let seed = self.seed.wrapping_mul(SHAKES) + shake;
            let mut naive = Naive::shaken(data, &self.options, self.times, seed);
            let answer = naive.answer(expr);
            if naive.is_arbitrary() || answer.is_ok() != expected.is_ok() {
                return true;
            }
            // Notes that come and go say nothing.
            let notes = naive.notes().to_string();
            if *first_notes.get_or_insert_with(|| notes.clone()) != notes {
                return true;
            }
            shaken.extend(answer.ok().map(|answer| of_naive(&answer)));
        }
        let (Ok(expected), Ok(actual)) = (expected, actual) else { return false };
        let (expected, actual) = (of_naive(expected), of_engine(&actual.value, self.times));
        let is_value = |key: &&Key| matches!(key.2.as_str(), "float" | "count");
        let samples = |parts: &Parts| parts.keys().filter(is_value).cloned().collect::<BTreeSet<Key>>();
        if shaken.iter().any(|s| samples(s) != samples(&expected)) {
            return true;
        }
        if different(&expected, &actual, |_| 0.0).is_none() {
            return false;
        }
        let at = |parts: &Parts, key: &Key| parts.get(key).copied().unwrap_or(0.0);
        let scatter = |key: &Key| {
            let exact = at(&expected, key);
            let off = shaken.iter().map(|s| at(s, key)).map(|v| match (v.is_nan(), exact.is_nan()) {
                (false, false) => (v - exact).abs(),
                (true, true) => 0.0,
                // A value that is a number only sometimes may be any.
                _ => f64::INFINITY,
            });
            SCATTER * off.fold(0.0, f64::max)
        };
        different(&expected, &actual, scatter).is_none()
    }
}

/// The first part that differs by more than the tolerance and what is allowed for it.
fn different(expected: &Parts, actual: &Parts, allowed: impl Fn(&Key) -> f64) -> Option<String> {
    let keys: BTreeSet<&Key> = expected.keys().chain(actual.keys()).collect();
    for key in keys {
        let whole = matches!(key.2.as_str(), "float" | "count");
        let missing = if whole { None } else { Some(0.0) };
        let (a, b) = (expected.get(key).copied().or(missing), actual.get(key).copied().or(missing));
        let equal = match (a, b) {
            (Some(a), Some(b)) => {
                let distance = (a - b).abs();
                a == b
                    || a.is_nan() && b.is_nan()
                    || distance <= TOLERANCE * a.abs().max(b.abs())
                    || allowed(key) > 0.0 && (distance <= allowed(key) || allowed(key).is_infinite())
            }
            _ => false,
        };
        if !equal {
            let all = |parts: &Parts| {
                let same = parts.iter().filter(|(k, _)| (&k.0, k.1) == (&key.0, key.1));
                same.map(|(k, v)| format!("{} {v:?}", k.2)).collect::<Vec<_>>().join(", ")
            };
            return Some(format!(
                "{} at {}, {}: naive {a:?}, engine {b:?}\n  naive:  {}\n  engine: {}",
                key.0,
                key.1,
                key.2,
                all(expected),
                all(actual)
            ));
        }
    }
    None
}

fn put_histogram(out: &mut Parts, labels: &Labels, t: i64, h: &naive::Hist) {
    let mut put = |what: String, value: f64| {
        if value != 0.0 || what == "count" {
            out.insert((labels.clone(), t, what), value);
        }
    };
    put("count".to_owned(), h.count);
    put("sum".to_owned(), h.sum);
    put("schema".to_owned(), f64::from(h.schema));
    put("hint".to_owned(), f64::from(h.hint as u8));
    put("zero threshold".to_owned(), h.zero_threshold);
    put("zero count".to_owned(), h.zero_count);
    h.bounds.iter().enumerate().for_each(|(i, bound)| put(format!("bound {i}"), *bound));
    h.positive.iter().for_each(|(i, count)| put(format!("bucket {i}"), *count));
    h.negative.iter().for_each(|(i, count)| put(format!("bucket -{i}"), *count));
}

fn of_naive(answer: &Answer) -> Parts {
    let mut out = Parts::new();
    for (t, vector) in answer {
        let t = *t;
        for sample in vector {
            match &sample.value {
                naive::Value::Float(v) => {
                    out.insert((sample.labels.clone(), t, "float".to_owned()), *v);
                }
                naive::Value::Histogram(h) => put_histogram(&mut out, &sample.labels, t, h),
            }
        }
    }
    out
}

fn of_engine(value: &QueryValue, times: Times) -> Parts {
    let mut out = Parts::new();
    let at = times.start_ms;
    match value {
        QueryValue::Scalar(v) => {
            out.insert((Labels::empty(), at, "float".to_owned()), *v);
        }
        QueryValue::Vector(samples) => {
            for sample in samples {
                let before = out.len();
                match &sample.value {
                    SampleValue::Float(v) => {
                        out.insert((sample.labels.clone(), at, "float".to_owned()), *v);
                    }
                    SampleValue::Histogram(h) => {
                        put_histogram(&mut out, &sample.labels, at, &naive::Hist::of(h));
                    }
                }
                assert!(out.len() > before, "{} is there twice", sample.labels);
            }
        }
        QueryValue::Matrix(series) => {
            for found in series {
                for (t, v) in &found.floats {
                    let before = out.insert((found.labels.clone(), *t, "float".to_owned()), *v);
                    assert!(before.is_none(), "{} is there twice", found.labels);
                }
                for (t, h) in &found.histograms {
                    put_histogram(&mut out, &found.labels, *t, &naive::Hist::of(h));
                }
            }
        }
        QueryValue::String(_) => panic!("no query is a text"),
    }
    out
}
