//! Random queries over random data: the engine against a naive evaluator, which looks at one step at a time and does
//! everything in the plainest way; and the engine against itself, with data in another order.

mod data;
mod naive;
mod naive_ops;
mod odd;
mod queries;

use promql::{Engine, EngineOptions, QueryError, QueryTime, QueryValue, SampleValue, parse};

use data::{Data, Random};
use naive::{Naive, Vector};

/// How many queries are tried; PROMQL_DIFFERENTIAL_QUERIES says otherwise.
const QUERIES: u64 = 3_000;
/// Differences up to this, relative, come from the order of additions.
const TOLERANCE: f64 = 1e-9;

fn queries() -> u64 {
    let set = std::env::var("PROMQL_DIFFERENTIAL_QUERIES").ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(QUERIES)
}

fn options() -> EngineOptions {
    EngineOptions { experimental_functions: true, ..EngineOptions::default() }
}

fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-3)
}

/// What the engine returned, as a vector per step.
fn vectors(value: QueryValue, times: &[i64]) -> Vec<Vector> {
    let QueryValue::Matrix(series) = value else {
        panic!("a range query returned {value:?}");
    };
    let mut out = vec![Vector::new(); times.len()];
    for found in series {
        for (t, v) in &found.floats {
            let step = times.iter().position(|time| time == t).expect("a time of the query");
            out[step].push((found.labels.clone(), *v));
        }
        assert!(found.histograms.is_empty(), "there are no histograms in the data");
    }
    out.iter_mut().for_each(|v| v.sort_by(|a, b| a.0.cmp(&b.0)));
    out
}

fn same(expected: &[Vector], actual: &[Vector]) -> Result<(), String> {
    for (step, (a, b)) in expected.iter().zip(actual).enumerate() {
        let equal = a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.0 == y.0 && close(x.1, y.1));
        if !equal {
            return Err(format!("step {step}:\n  naive  {a:?}\n  engine {b:?}"));
        }
    }
    Ok(())
}

#[test]
fn engine_and_naive_evaluator_agree() {
    let engine = Engine::new(options());
    let (mut compared, mut failed, mut non_empty) = (0, 0, 0);
    for seed in 0..queries() {
        let mut random = Random::new(seed);
        let data = Data::random(&mut random);
        let query = queries::random_query(&mut random);
        let steps = [1, 2, 5, 70][random.below(4)];
        let (start_ms, step_ms) =
            (random.below(40) as i64 * 30_000, [15_000, 60_000, 97_000][random.below(3)]);
        let times: Vec<i64> = (0..steps).map(|i| start_ms + i * step_ms).collect();
        let range = (start_ms, start_ms + (steps - 1) * step_ms, step_ms);
        let expr =
            parse(&query, &options().parse_options()).unwrap_or_else(|e| panic!("seed {seed}: {query}: {e}"));
        let naive = Naive::new(&data, options().lookback_ms, range);
        let expected: Result<Vec<Vector>, String> = times.iter().map(|t| naive.vector(&expr, *t)).collect();
        let actual = engine.range(&query, range, &data);
        match (expected, actual) {
            (Ok(expected), Ok(actual)) => {
                let actual = vectors(actual.value, &times);
                compared += 1;
                non_empty += usize::from(expected.iter().any(|v| !v.is_empty()));
                same(&expected, &actual).unwrap_or_else(|e| panic!("seed {seed}: {query} at {range:?}: {e}"));
            }
            (Err(_), Err(_)) => failed += 1,
            (expected, actual) => {
                panic!("seed {seed}: {query} at {range:?}:\n  naive {expected:?}\n  engine {actual:?}")
            }
        }
    }
    assert!(compared * 10 > (compared + failed) * 8, "{failed} of {} failed", compared + failed);
    assert!(non_empty * 10 > compared * 7, "only {non_empty} of {compared} have any result");
}

#[test]
fn order_of_data_and_kind_of_query_change_no_bit() {
    let engine = Engine::new(options());
    let bits = |result: Result<promql::QueryResult, QueryError>| match result {
        Err(e) => vec![e.to_string()],
        Ok(result) => match result.value {
            QueryValue::Matrix(series) => series
                .iter()
                .flat_map(|s| {
                    s.floats.iter().map(move |(t, v)| format!("{} {t} {:x}", s.labels, v.to_bits()))
                })
                .collect(),
            other => vec![format!("{other:?}")],
        },
    };
    for seed in 0..queries() / 4 {
        let mut random = Random::new(seed);
        let data = Data::random(&mut random);
        let query = queries::random_query(&mut random);
        let range = (300_000, 1_500_000, 60_000);
        let sorted = bits(engine.range(&query, range, &data));
        let shuffled = bits(engine.range(&query, range, &data.shuffled(&mut random)));
        assert_eq!(sorted, shuffled, "seed {seed}: {query}");
        // A step of a range query is what an instant query at its time returns, unless it asks for the query's ends.
        if query.contains("start()") || query.contains("end()") {
            continue;
        }
        let at = range.0 + 7 * range.2;
        let instant = engine.instant(&query, at, &data);
        if let Ok(instant) = instant {
            let mut values: Vec<String> = match instant.value {
                QueryValue::Vector(samples) => samples
                    .iter()
                    .map(|s| match s.value {
                        SampleValue::Float(v) => format!("{} {at} {:x}", s.labels, v.to_bits()),
                        SampleValue::Histogram(_) => String::new(),
                    })
                    .collect(),
                QueryValue::Scalar(v) => vec![format!("{{}} {at} {:x}", v.to_bits())],
                other => panic!("{other:?}"),
            };
            values.sort();
            let marker = format!(" {at} ");
            let mut of_range: Vec<String> = sorted.into_iter().filter(|s| s.contains(&marker)).collect();
            of_range.sort();
            if !of_range.is_empty() || values.is_empty() {
                assert_eq!(values, of_range, "seed {seed}: {query}");
            }
        }
    }
}

#[test]
fn what_is_selected_is_told_before() {
    let engine = Engine::new(options());
    for seed in 0..queries() / 4 {
        let mut random = Random::new(seed);
        let data = Data::random(&mut random);
        let query = queries::random_query(&mut random);
        let time = QueryTime::Range { start_ms: 300_000, end_ms: 900_000, step_ms: 60_000 };
        let prepared = engine.prepare(&query, time, None).expect("the query is valid");
        let recorder = data.recording();
        let _ = engine.run(&prepared, &recorder, &|| None);
        let told = prepared.selections();
        for (i, hints) in told.iter().enumerate() {
            assert_eq!(hints.ordinal, i, "seed {seed}: {query}");
        }
        for asked in recorder.asked() {
            assert!(told.contains(&asked), "seed {seed}: {query}: {asked:?} is not among {told:?}");
        }
    }
}

#[test]
fn nothing_panics_on_odd_data() {
    let everything = EngineOptions {
        extended_range_selectors: true,
        fill_modifiers: true,
        delayed_name_removal: true,
        start_timestamps: true,
        type_and_unit_labels: true,
        ..options()
    };
    let (plain, everything) = (Engine::new(options()), Engine::new(everything));
    let mut answered = 0;
    for seed in 0..queries() {
        let mut random = Random::new(seed);
        let data = odd::Odd::random(&mut random);
        let query = odd::random_query(&mut random);
        let range = (0, [0, 600_000][random.below(2)], 60_000);
        answered += usize::from(everything.range(&query, range, &data).is_ok());
        let _ = plain.range(&query, range, &data);
    }
    assert!(answered as u64 * 2 > queries(), "only {answered} queries have an answer");
}
