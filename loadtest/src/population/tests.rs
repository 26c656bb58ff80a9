//! Tests of the population: it is a function, its series are distinct, churn replaces what it should.

use std::collections::{HashMap, HashSet};

use super::*;

pub(crate) fn config() -> PopulationConfig {
    PopulationConfig {
        seed: 1,
        series: 3_500,
        tenants: 0,
        tenant_name: "tenant".to_owned(),
        interval_ms: 15_000,
        start_ms: 1_780_000_000_000,
        churn_per_hour: 0.0,
        native_histograms: false,
        exemplars: false,
    }
}

fn name_of(population: &Population, slot: u32, generation: u32) -> String {
    let mut text = String::new();
    population.labels(slot, generation, |name, value| {
        assert!(!value.is_empty(), "{name} is empty in slot {slot}");
        let _ = write!(text, "{name}={value},");
    });
    text
}

#[test]
fn every_series_of_every_generation_is_distinct() {
    let population = Population::new(config()).unwrap();
    let mut seen = HashSet::new();
    for slot in 0..population.slots() {
        for generation in 0..3 {
            assert!(
                seen.insert(name_of(&population, slot, generation)),
                "slot {slot} generation {generation}"
            );
        }
    }
}

#[test]
fn another_seed_is_another_population() {
    let one = Population::new(config()).unwrap();
    let two = Population::new(PopulationConfig { seed: 2, ..config() }).unwrap();
    assert_ne!(name_of(&one, 5, 0), name_of(&two, 5, 0));
    assert_eq!(one.float(40, 0, 9).to_bits(), Population::new(config()).unwrap().float(40, 0, 9).to_bits());
}

#[test]
fn tenants_share_the_slots_without_gap_or_overlap() {
    let population = Population::new(PopulationConfig { tenants: 7, ..config() }).unwrap();
    let mut next = 0;
    for tenant in 0..7 {
        let slots = population.tenant_slots(tenant);
        assert_eq!(slots.start, next);
        assert!(!slots.is_empty());
        next = slots.end;
    }
    assert_eq!(next, population.slots());
    assert_eq!(population.tenant_id(3).as_deref(), Some("tenant-0003"));
}

#[test]
fn churn_replaces_the_share_asked_for_and_births_match_generations() {
    let population = Population::new(PopulationConfig { churn_per_hour: 0.5, ..config() }).unwrap();
    let mut replaced = 0;
    for slot in 0..population.slots() {
        for step in 1..=240 {
            let generation = population.generation(slot, step);
            if generation != population.generation(slot, step - 1) {
                replaced += 1;
                assert_eq!(population.birth(slot, generation), step);
            }
        }
    }
    let share = f64::from(replaced) / f64::from(population.slots());
    assert!((0.35..0.65).contains(&share), "{share} of the series were replaced");
}

#[test]
fn shares_of_values_are_as_in_a_fleet() {
    let population = Population::new(config()).unwrap();
    let (mut constant, mut distinct) = (0u32, HashMap::new());
    for slot in 0..1_000 {
        let values: HashSet<u64> = (0..240).map(|step| population.float(slot, 0, step).to_bits()).collect();
        constant += u32::from(values.len() == 1);
        *distinct.entry(values.len() / 60).or_insert(0u32) += 1;
    }
    assert!((250..550).contains(&constant), "{constant} of 1000 series never change");
}

#[test]
fn impossible_populations_are_refused() {
    let check = |config, error| assert_eq!(Population::new(config).err(), Some(error));
    check(PopulationConfig { series: 0, ..config() }, PopulationError::Series { series: 0 });
    check(
        PopulationConfig { series: 2, tenants: 3, ..config() },
        PopulationError::Tenants { tenants: 3, series: 2 },
    );
    check(PopulationConfig { interval_ms: 0, ..config() }, PopulationError::Interval { interval_ms: 0 });
    check(PopulationConfig { churn_per_hour: -1.0, ..config() }, PopulationError::Churn { churn: -1.0 });
}
