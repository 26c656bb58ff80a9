//! PromQL over HTTP against a real Prometheus: both get the same samples by remote write, and the same queries; what
//! comes back is the same, errors and annotations included.

mod cancellation;
mod compare;
mod data;
mod exclusions;
mod fixed;
mod generator;
mod pair;
mod random;
mod real;

use compare::{Differences, differences, has_data};
use pair::{Answers, Connections, Features, Pair, Query};

/// How many fixed queries there are at least.
const FIXED: usize = 500;
/// How many random ones there are.
const RANDOM: usize = 2_000;
/// The seed of the random ones, unless BAROGRAPH_SEED names another.
const SEED: u64 = 35;
/// How many of a hundred random queries have data, at least.
const WITH_DATA_PERCENT: usize = 70;
/// In how many of a hundred queries cancellation may show, at most.
const CANCELLED_PERCENT: usize = 2;

/// How many of a hundred queries of rules and dashboards may fail.
const FAILED_PERCENT: usize = 3;

/// What came of a query.
struct Outcome {
    has_data: bool,
    failed: bool,
    /// It was no query at all.
    refused: bool,
    /// Values differ, and cancellation explains it.
    cancelled: bool,
    differences: Differences,
}

fn judge(connections: &mut Connections, query: &Query, answers: &Answers) -> Outcome {
    let mut found = differences(query, answers);
    let cancelled = found.texts.is_empty()
        && !found.numbers.is_empty()
        && cancellation::explains(connections, query, found.distance());
    if cancelled {
        found.numbers.clear();
    }
    Outcome {
        has_data: has_data(&answers.theirs),
        failed: answers.ours.status != 200,
        refused: answers.ours.body["errorType"] == "bad_data",
        cancelled,
        differences: found,
    }
}

/// What came of many queries.
struct Totals {
    asked: usize,
    with_data: usize,
    failed: usize,
    refused: usize,
    cancelled: usize,
}

/// Asks both, prints how it went, and fails where they differ for no known reason.
#[expect(clippy::print_stdout, reason = "how many queries were compared has to be seen")]
fn compare_all(pair: &Pair, queries: &[Query]) -> Totals {
    let outcomes = pair.ask_all(queries, judge);
    let count = |of: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| of(outcome)).count();
    let totals = Totals {
        asked: queries.len(),
        with_data: count(|outcome| outcome.has_data),
        failed: count(|outcome| outcome.failed),
        refused: count(|outcome| outcome.refused),
        cancelled: count(|outcome| outcome.cancelled),
    };
    let differ = queries.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.differences.is_empty());
    let (excluded, failures): (Vec<_>, Vec<_>) =
        differ.partition(|(query, _)| exclusions::reason(query).is_some());
    println!(
        "{} queries: {} with data, {} with an error, {} differ by cancellation, {} differ for a known reason",
        totals.asked,
        totals.with_data,
        totals.failed,
        totals.cancelled,
        excluded.len()
    );
    for (query, _) in queries.iter().zip(&outcomes).filter(|(_, outcome)| outcome.cancelled) {
        println!("differs by cancellation: {query}");
    }
    let equal = queries.iter().zip(&outcomes).filter(|(_, outcome)| outcome.differences.is_empty());
    for (query, _) in equal.filter(|(query, _)| exclusions::reason(query).is_some()) {
        println!("on the list of exclusions, but equal here: {query}");
    }
    let shown = failures.iter().map(|(query, outcome)| show(query, &outcome.differences));
    let shown: Vec<_> = shown.collect();
    assert!(shown.is_empty(), "{} of {} differ:\n{}", shown.len(), queries.len(), shown.join("\n"));
    totals
}

/// A query and the first few of its differences.
fn show(query: &Query, differences: &Differences) -> String {
    let texts = differences.texts.iter().take(2).cloned();
    let numbers =
        differences.numbers.iter().take(2).map(|(at, a, b)| format!("{at}: ours {a}, Prometheus' {b}"));
    let lines: Vec<_> = texts.chain(numbers).map(|line| format!("\n    {line}")).collect();
    format!("{query}{}", lines.concat())
}

fn fixed_queries(features: Features) {
    let queries = fixed::queries();
    assert!(queries.len() >= FIXED, "only {} queries", queries.len());
    compare_all(&Pair::start(&data::all(), features), &queries);
}

#[test]
fn fixed_queries_of_the_stable_language() {
    fixed_queries(Features::Stable);
}

#[test]
fn fixed_queries_with_all_that_is_experimental() {
    fixed_queries(Features::Experimental);
}

#[expect(clippy::print_stdout, reason = "the seed repeats a failure")]
fn random_queries(features: Features) {
    let seed = std::env::var("BAROGRAPH_SEED").ok().map_or(SEED, |seed| seed.parse().expect("a number"));
    println!("BAROGRAPH_SEED={seed}");
    let queries = generator::queries(seed, RANDOM, features);
    let totals = compare_all(&Pair::start(&data::all(), features), &queries);
    assert!(totals.with_data * 100 >= totals.asked * WITH_DATA_PERCENT, "too many queries have no data");
    assert!(totals.cancelled * 100 <= totals.asked * CANCELLED_PERCENT, "cancellation explains too much");
}

#[test]
fn random_queries_of_the_stable_language() {
    random_queries(Features::Stable);
}

#[test]
fn random_queries_with_all_that_is_experimental() {
    random_queries(Features::Experimental);
}

#[test]
fn expressions_of_rules_and_dashboards() {
    let Some(expressions) = real::expressions() else { return };
    assert!(expressions.len() > 6_000, "only {} expressions", expressions.len());
    let (series, without) = real::series(&expressions);
    println!("{} series; none for {without} selectors", series.len());
    let totals = compare_all(&Pair::start(&series, Features::Stable), &real::queries(&expressions));
    assert!(totals.with_data * 100 >= totals.asked * WITH_DATA_PERCENT, "too many queries have no data");
    // Series made for one expression may be too many for another, which then fails, as it does in Prometheus.
    assert_eq!(totals.refused, 0, "queries were refused");
    assert!(totals.failed * 100 <= totals.asked * FAILED_PERCENT, "too many queries fail");
}
