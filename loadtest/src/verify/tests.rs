//! Tests of the oracle's comparison: it accepts what was written and finds every kind of damage.

use serde_json::{Value as Json, json};

use std::sync::Arc;

use super::answer::Matrix;
use super::window::{Knowledge, Part, Window, group_of};
use super::*;
use crate::group::{Group, groups};
use crate::ledger::{Fates, Ledger};
use crate::population::{Population, PopulationConfig, test_config};

const SERIES_PER_REQUEST: u32 = 400;
const STEPS: u32 = 12;

struct Fixture {
    population: Population,
    groups: Vec<Group>,
    fates: Fates,
    part: Part,
}

/// A population whose first group was acknowledged throughout, whose second was sent at all steps and acknowledged at
/// the even ones, and whose third never left.
fn fixture() -> Fixture {
    let config =
        PopulationConfig { series: 1_000, churn_per_hour: 20.0, native_histograms: true, ..test_config() };
    let population = Population::new(config).unwrap();
    let groups = groups(&population, SERIES_PER_REQUEST);
    let ledger = Ledger::in_memory();
    for step in 0..STEPS {
        ledger.sent(0, step).unwrap();
        ledger.acknowledged(0, step).unwrap();
        ledger.sent(1, step).unwrap();
        if step % 2 == 0 {
            ledger.acknowledged(1, step).unwrap();
        }
    }
    let part = Part { tenant: 0, unit: 0, slots: 0..1_000 };
    Fixture { population, groups, fates: ledger.fates(), part }
}

/// What a server answers that stored the requests for which `stored` says yes.
fn answer(fixture: &Fixture, stored: impl Fn(usize, u32) -> bool) -> Vec<Json> {
    let population = &fixture.population;
    let mut result: Vec<Json> = Vec::new();
    for slot in fixture.part.slots.clone() {
        let mut last = None;
        for step in (0..STEPS).filter(|step| stored(group_of(&fixture.groups, slot), *step)) {
            let generation = population.generation(slot, step);
            if last != Some(generation) {
                last = Some(generation);
                let mut metric = serde_json::Map::new();
                population.labels(slot, generation, |name, value| {
                    metric.insert(name.to_owned(), json!(value));
                });
                result.push(json!({"metric": metric, "values": [], "histograms": []}));
            }
            let at = population.timestamp_ms(slot, step) as f64 / 1_000.0;
            let series = result.last_mut().unwrap();
            if population.is_native(slot) {
                let text = histogram_json(&population.histogram(slot, generation, step));
                series["histograms"].as_array_mut().unwrap().push(json!([at, text]));
            } else {
                let text = population.float(slot, generation, step).to_string();
                series["values"].as_array_mut().unwrap().push(json!([at, text]));
            }
        }
    }
    result
}

fn histogram_json(histogram: &model::Histogram) -> Json {
    let float = histogram.to_float();
    let mut buckets = Vec::new();
    if float.zero_count > 0.0 {
        let zero = histogram.zero_threshold;
        buckets.push(json!([3, format!("-{zero}"), zero.to_string(), float.zero_count.to_string()]));
    }
    let mut index = 0;
    let mut counts = float.positive_buckets.iter();
    for span in &histogram.positive_spans {
        index += span.offset;
        for count in counts.by_ref().take(span.length as usize) {
            let bound = |index: i32| 2f64.powf(f64::from(index) / 8.0).to_string();
            if *count > 0.0 {
                buckets.push(json!([0, bound(index - 1), bound(index), count.to_string()]));
            }
            index += 1;
        }
    }
    json!({"count": float.count.to_string(), "sum": float.sum.to_string(), "buckets": buckets})
}

fn compare(fixture: &Fixture, result: &[Json]) -> (Compared, Differences) {
    let text = json!({"result": result}).to_string();
    let matrix: Matrix<'_> = serde_json::from_str(&text).unwrap();
    let knowledge = Knowledge {
        population: &fixture.population,
        groups: &fixture.groups,
        before: &fixture.fates,
        after: &fixture.fates,
    };
    let mut differences = Differences::default();
    let compared = Window::new(&knowledge, &fixture.part, 0..STEPS).compare(&matrix, &mut differences);
    (compared, differences)
}

/// Damages a good answer and expects exactly these differences.
fn check(damage: impl FnOnce(&mut Vec<Json>), expected: &[(DifferenceKind, u64)]) {
    let fixture = fixture();
    let mut result = answer(&fixture, |group, step| group == 0 || (group == 1 && step % 2 == 0));
    damage(&mut result);
    let (_, differences) = compare(&fixture, &result);
    let found: Vec<_> = differences.counts.into_iter().collect();
    assert_eq!(found, expected, "{:#?}", differences.first);
}

/// The first series of floats.
fn floats(result: &mut [Json]) -> &mut Vec<Json> {
    result[0]["values"].as_array_mut().unwrap()
}

#[test]
fn acknowledged_samples_suffice_and_unacknowledged_ones_may_be_there() {
    let fixture = fixture();
    let without = answer(&fixture, |group, step| group == 0 || (group == 1 && step % 2 == 0));
    let (compared, differences) = compare(&fixture, &without);
    assert!(differences.is_empty(), "{:#?}", differences.first);
    assert_eq!(compared, Compared { samples: 400 * 12 + 400 * 6, unacknowledged: 0 });
    let with = answer(&fixture, |group, _| group < 2);
    let (compared, differences) = compare(&fixture, &with);
    assert!(differences.is_empty(), "{:#?}", differences.first);
    assert_eq!(compared, Compared { samples: 800 * 12, unacknowledged: 400 * 6 });
}

#[test]
fn damage_is_found() {
    check(|result| drop(floats(result).remove(0)), &[(DifferenceKind::Missing, 1)]);
    check(|result| floats(result)[0][1] = json!("0.125"), &[(DifferenceKind::WrongValue, 1)]);
    check(
        |result| {
            let again = floats(result)[0].clone();
            floats(result).push(again);
        },
        &[(DifferenceKind::Duplicate, 1)],
    );
    check(
        |result| {
            let at = floats(result)[0][0].as_f64().unwrap();
            floats(result).push(json!([at + 0.001, "1"]));
        },
        &[(DifferenceKind::WrongTime, 1)],
    );
    check(
        |result| result[0]["metric"]["cluster"] = json!("elsewhere"),
        &[(DifferenceKind::Missing, result_len()), (DifferenceKind::UnknownSeries, 1)],
    );
}

/// Samples of the first series: its first generation.
fn result_len() -> u64 {
    let fixture = fixture();
    let result = answer(&fixture, |_, _| true);
    result[0]["values"].as_array().unwrap().len() as u64
}

#[test]
fn samples_that_were_never_sent_are_found() {
    let fixture = fixture();
    let (_, differences) = compare(&fixture, &answer(&fixture, |_, _| true));
    assert_eq!(differences.counts.into_iter().collect::<Vec<_>>(), [(DifferenceKind::NeverSent, 200 * 12)]);
    assert_eq!(differences.first.len(), 20);
}

#[test]
fn histograms_are_compared() {
    let mut fixture = fixture();
    let ledger = Ledger::in_memory();
    for (group, step) in (0..3).flat_map(|group| (0..STEPS).map(move |step| (group, step))) {
        ledger.sent(group, step).unwrap();
        ledger.acknowledged(group, step).unwrap();
    }
    fixture.fates = ledger.fates();
    let mut result = answer(&fixture, |_, _| true);
    let (_, differences) = compare(&fixture, &result);
    assert!(differences.is_empty(), "{:#?}", differences.first);
    let at = result
        .iter()
        .position(|series| series["histograms"].as_array().is_some_and(|h| !h.is_empty()))
        .expect("a native histogram");
    result[at]["histograms"][0][1]["buckets"][0][3] = json!("123456789");
    let (_, differences) = compare(&fixture, &result);
    assert_eq!(differences.counts.into_iter().collect::<Vec<_>>(), [(DifferenceKind::WrongValue, 1)]);
}

#[test]
fn parts_cover_every_slot_of_every_tenant_once() {
    let config = PopulationConfig { series: 5_300, tenants: 7, ..test_config() };
    let population = Arc::new(Population::new(config).unwrap());
    let clock = Arc::new(env::SystemClock::new());
    let oracle = Oracle::new(VerifyConfig::new(String::new()), population, SERIES_PER_REQUEST, clock);
    let mut next = 0;
    for part in oracle.parts() {
        assert_eq!(part.slots.start, next);
        assert!(part.slots.len() <= 1_000);
        assert!(oracle.population.tenant_slots(part.tenant).contains(&part.slots.start));
        next = part.slots.end;
        let windows = oracle.windows(&part, 2_000);
        assert_eq!(windows.iter().map(ExactSizeIterator::len).sum::<usize>(), 2_000);
    }
    assert_eq!(next, 5_300);
}
