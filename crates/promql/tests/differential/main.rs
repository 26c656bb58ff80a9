//! Random queries over random data: the engine against a naive evaluator, which looks at one step at a time and does
//! everything in the plainest way; and the engine against itself, with data in another order.
//!
//! A case follows from its seed. `PROMQL_DIFFERENTIAL_SEED=17` replays one and shows both answers (with
//! `PROMQL_DIFFERENTIAL_QUERY`, those to another query of its data); `PROMQL_DIFFERENTIAL_QUERIES` says how many are
//! tried, and `PROMQL_DIFFERENTIAL_FIRST` from which seed on.

mod case;
mod coverage;
mod data;
mod histograms;
mod naive;
mod odd;
mod queries;
mod query_calls;

use std::collections::BTreeSet;

use promql::{Engine, EngineOptions, QueryError, QueryTime, QueryValue, SampleValue};

use case::{Case, PER_DATA, Verdict, data_of};
use coverage::Coverage;
use data::{Data, Random};

/// How many queries are tried.
const QUERIES: u64 = 20_000;
/// Seeds beyond those on which engine and naive evaluator once differed.
const ONCE_DIFFERENT: [u64; 4] = [3_011_343, 3_032_214, 3_061_348, 3_075_472];
/// How many of the tests that look at the engine alone.
const OF_THE_ENGINE: u64 = 1_500;
/// How many threads try them: as many as a small machine has cores.
const THREADS: u64 = 2;
/// Of so many queries, at least one has to have used any construct of the language with an answer that is not empty.
const PER_CONSTRUCT: u64 = 1_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().unwrap_or_else(|e| panic!("{name} is {n:?}: {e}")))
}

fn options() -> EngineOptions {
    EngineOptions { experimental_functions: true, ..EngineOptions::default() }
}

/// Prints for whoever runs a test.
#[expect(clippy::print_stdout, reason = "what was tried, and how to repeat it, has to be seen")]
fn show(text: &str) {
    println!("{text}");
}

/// Shows a case: its query or, to look into it, another one of the same data and options.
fn replay(seed: u64) {
    let mut case = Case::of(seed);
    if let Ok(query) = std::env::var("PROMQL_DIFFERENTIAL_QUERY") {
        case.query = query;
    }
    show(&format!("{}\n{}", case.describe(), case.answers(&data_of(seed))));
    let verdict = case.check(&data_of(seed)).unwrap_or_else(|e| panic!("{e}"));
    show(&format!("{verdict:?}"));
}

/// What came of many cases.
#[derive(Default)]
struct Tally {
    agreed: u64,
    empty: u64,
    both_fail: u64,
    undecided: u64,
    coverage: Coverage,
    problems: Vec<String>,
}

impl Tally {
    fn add(&mut self, case: &Case, data: &Data) {
        match case.check(data) {
            Ok(Verdict::Agreed { empty: true }) => self.empty += 1,
            Ok(Verdict::Agreed { empty: false }) => {
                self.agreed += 1;
                self.coverage.add(case);
            }
            Ok(Verdict::BothFail) => self.both_fail += 1,
            Ok(Verdict::Undecided) => self.undecided += 1,
            Err(problem) => self.problems.push(format!("{}:\n  {problem}", case.describe())),
        }
    }

    fn merge(&mut self, other: Self) {
        self.agreed += other.agreed;
        self.empty += other.empty;
        self.both_fail += other.both_fail;
        self.undecided += other.undecided;
        self.coverage.merge(other.coverage);
        self.problems.extend(other.problems);
    }
}

/// The cases of some seeds: those whose data is this thread's.
fn cases(first: u64, end: u64, thread: u64) -> Tally {
    let mut tally = Tally::default();
    for block in (first / PER_DATA..=end / PER_DATA).filter(|block| block % THREADS == thread) {
        let data = data_of(block * PER_DATA);
        for seed in (block * PER_DATA..(block + 1) * PER_DATA).filter(|seed| (first..end).contains(seed)) {
            tally.add(&Case::of(seed), &data);
        }
    }
    tally
}

#[test]
fn engine_and_naive_evaluator_agree() {
    if let Some(seed) = variable("PROMQL_DIFFERENTIAL_SEED") {
        return replay(seed);
    }
    let first = variable("PROMQL_DIFFERENTIAL_FIRST").unwrap_or(0);
    let count = variable("PROMQL_DIFFERENTIAL_QUERIES").unwrap_or(QUERIES);
    let end = first + count;
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || cases(first, end, i))).collect();
        for thread in threads {
            tally.merge(thread.join().expect("no thread panics"));
        }
    });
    for seed in ONCE_DIFFERENT {
        tally.add(&Case::of(seed), &data_of(seed));
    }
    let answered = tally.agreed + tally.empty;
    show(&format!(
        "seeds {first} to {}: {} agree and are not empty, {} agree and are empty, {} fail on both sides, {} are ill-conditioned, {} differ; rarest construct: {:?}",
        end - 1,
        tally.agreed,
        tally.empty,
        tally.both_fail,
        tally.undecided,
        tally.problems.len(),
        tally.coverage.rarest()
    ));
    let problems = tally.problems.join("\n");
    assert!(tally.problems.is_empty(), "{} of {count} differ:\n{problems}", tally.problems.len());
    assert!(tally.agreed * 10 >= count * 7, "only {} of {count} have any result", tally.agreed);
    assert!(answered * 10 >= count * 8, "only {answered} of {count} have an answer");
    assert!(tally.undecided * 100 <= count, "{} of {count} are ill-conditioned", tally.undecided);
    let rare = tally.coverage.rarer_than(count / PER_CONSTRUCT);
    assert!(rare.is_empty(), "constructs that hardly any query used: {rare:?}");
}

/// An answer as text, bit by bit.
fn bits(result: Result<promql::QueryResult, QueryError>) -> Vec<String> {
    match result {
        Err(e) => vec![e.to_string()],
        Ok(result) => match result.value {
            QueryValue::Matrix(series) => series
                .iter()
                .flat_map(|s| {
                    let floats = s.floats.iter().map(|(t, v)| format!("{} {t} {:x}", s.labels, v.to_bits()));
                    let histograms = s.histograms.iter().map(|(t, h)| format!("{} {t} {h:?}", s.labels));
                    floats.chain(histograms).collect::<Vec<_>>()
                })
                .collect(),
            other => vec![format!("{other:?}")],
        },
    }
}

#[test]
fn order_of_data_and_kind_of_query_change_no_bit() {
    let engine = Engine::new(Case::of(0).options);
    for seed in 0..OF_THE_ENGINE {
        let mut random = Random::new(seed);
        let data = data_of(seed);
        let query = queries::query_in_turn(seed, &mut random);
        let range = (300_000, 1_500_000, 60_000);
        let sorted = bits(engine.range(&query, range, &data));
        let shuffled = bits(engine.range(&query, range, &data.shuffled(&mut random)));
        assert_eq!(sorted, shuffled, "seed {seed}: {query}");
        // A step of a range query is what an instant query at its time returns, unless it asks for the query's times.
        if ["start()", "end()", "step()", "range()"].iter().any(|f| query.contains(f)) {
            continue;
        }
        let at = range.0 + 7 * range.2;
        let instant = engine.instant(&query, at, &data);
        if let Ok(instant) = instant {
            let mut values: Vec<String> = match instant.value {
                QueryValue::Vector(samples) => samples
                    .iter()
                    .map(|s| match &s.value {
                        SampleValue::Float(v) => format!("{} {at} {:x}", s.labels, v.to_bits()),
                        SampleValue::Histogram(h) => format!("{} {at} {h:?}", s.labels),
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

/// An answer as text, bit by bit but for empty buckets.
fn bits_of_populated(result: Result<promql::QueryResult, QueryError>) -> Vec<String> {
    bits(result.map(|mut result| {
        let compact = |h: &mut std::sync::Arc<model::FloatHistogram>| *h = (**h).clone().compacted().into();
        if let QueryValue::Matrix(series) = &mut result.value {
            series.iter_mut().flat_map(|s| &mut s.histograms).for_each(|(_, h)| compact(h));
        }
        result
    }))
}

#[test]
fn empty_buckets_change_no_bit() {
    let (mut differ, mut with_histograms) = (Vec::new(), 0);
    for seed in 0..2 * OF_THE_ENGINE {
        let case = Case::of(seed);
        let engine = Engine::new(case.options.clone());
        let data = data_of(seed);
        let padded = data.padded(&mut Random::new(seed));
        let range = (300_000, 1_500_000, 60_000);
        let plain = bits_of_populated(engine.range(&case.query, range, &data));
        with_histograms += u64::from(plain.iter().any(|line| line.contains("FloatHistogram")));
        let other = bits_of_populated(engine.range(&case.query, range, &padded));
        if plain != other {
            let line = plain.iter().zip(&other).find(|(a, b)| a != b);
            differ.push(format!("seed {seed}: {}: {line:?}", case.query));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    assert!(with_histograms * 10 > OF_THE_ENGINE, "only {with_histograms} answers have histograms");
}

#[test]
fn what_is_selected_is_told_before() {
    let engine = Engine::new(Case::of(0).options);
    for seed in 0..OF_THE_ENGINE {
        let mut random = Random::new(seed);
        let data = data_of(seed);
        let query = queries::query_in_turn(seed, &mut random);
        let time = QueryTime::Range { start_ms: 300_000, end_ms: 900_000, step_ms: 60_000 };
        let prepared = engine.prepare(&query, time, None).expect("the query is valid");
        let recorder = data.recording();
        let _ = engine.run(&prepared, &recorder, &|| None);
        let told = prepared.selections();
        for (i, hints) in told.iter().enumerate() {
            assert_eq!(hints.ordinal, i, "seed {seed}: {query}");
        }
        let mut seen = BTreeSet::new();
        for asked in recorder.asked() {
            assert!(told.contains(&asked), "seed {seed}: {query}: {asked:?} is not among {told:?}");
            assert!(seen.insert(asked.ordinal), "seed {seed}: {query}: {asked:?} twice");
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
    let plain = EngineOptions { extended_range_selectors: true, fill_modifiers: true, ..options() };
    let (plain, everything) = (Engine::new(plain), Engine::new(everything));
    let mut answered = 0;
    for seed in 0..2 * OF_THE_ENGINE {
        let mut random = Random::new(seed);
        let data = odd::Odd::random(&mut random);
        let query = odd::random_query(&mut random);
        let range = (0, [0, 600_000][random.below(2)], 60_000);
        answered += u64::from(everything.range(&query, range, &data).is_ok());
        let _ = plain.range(&query, range, &data);
    }
    assert!(answered > OF_THE_ENGINE, "only {answered} queries have an answer");
}
