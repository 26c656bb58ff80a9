//! Seeds go as promised, and each is one story.

use std::collections::BTreeMap;
use std::process::Command;

use sim::{Carries, Mutant, Options, Outcome, Soak, run};

/// Those that are built wrong and known to be found out.
const FOUND: [Mutant; 4] = [
    Mutant::QuorumOneLess,
    Mutant::StandInOfAnotherZone,
    Mutant::LostRangeUnpublished,
    Mutant::ReadsBelowQuorum,
];

/// Where the seeds of this test begin; `make soak` begins elsewhere.
const FIRST: u64 = 1;
/// Seeds that each are as promised.
const SEEDS: u64 = 60;
/// Seeds that are as promised over HTTP/2 as it is.
const SEEDS_OF_BYTES: u64 = 6;
/// Seeds that are run again, in another process and beside other threads.
const REPEATED: u64 = 20;
/// Within so many seeds a cluster that is built wrong is found out.
const SEEDS_OF_MUTANT: u64 = 50;

fn soak(count: u64, carries: Carries, mutant: Option<Mutant>) -> Soak {
    Soak { first: FIRST, count, jobs: 2, longest: None, carries, mutant, until_failure: mutant.is_some() }
}

fn outcomes(soak: &Soak) -> BTreeMap<u64, Outcome> {
    let mut outcomes = BTreeMap::new();
    soak.run(|seed, outcome| drop(outcomes.insert(seed, outcome)));
    outcomes
}

fn check(seed: u64, outcome: &Outcome) {
    let faults = outcome.faults.join("\n  ");
    if let Some(failure) = &outcome.failure {
        panic!("seed {seed}: {failure}\n  {faults}\nsee: cargo run -p sim -- --seed {seed} --shrink");
    }
    let stats = &outcome.stats;
    assert!(
        stats.acknowledged > 100 && stats.compared > 1000,
        "seed {seed} did nothing: {stats:?}\n  {faults}"
    );
}

#[test]
fn seeds_go_as_promised_and_repeat() {
    let outcomes = outcomes(&soak(SEEDS, Carries::Calls, None));
    assert_eq!(outcomes.len() as u64, SEEDS);
    outcomes.iter().for_each(|(seed, outcome)| check(*seed, outcome));
    // In another process, one after the other.
    let again = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seed", &FIRST.to_string(), "--count", &REPEATED.to_string()])
        .output()
        .unwrap();
    let told = String::from_utf8(again.stdout).unwrap();
    for (seed, outcome) in outcomes.iter().take(usize::try_from(REPEATED).unwrap()) {
        let line = format!("seed {seed} {:016x} as promised: {} events", outcome.hash, outcome.events);
        assert!(told.contains(&line), "{line} is not in:\n{told}");
    }
}

#[test]
fn seeds_go_as_promised_over_http_2() {
    let outcomes = outcomes(&soak(SEEDS_OF_BYTES, Carries::Bytes, None));
    assert_eq!(outcomes.len() as u64, SEEDS_OF_BYTES);
    outcomes.iter().for_each(|(seed, outcome)| check(*seed, outcome));
}

#[test]
fn seeds_that_found_something_go_as_promised() {
    for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let (seed, _) = line.split_once(' ').unwrap();
        let seed = seed.parse().unwrap();
        check(seed, &run(&Options::of(seed)));
    }
}

#[test]
fn clusters_that_are_built_wrong_are_found_out() {
    for mutant in FOUND {
        let found = outcomes(&soak(SEEDS_OF_MUTANT, Carries::Calls, Some(mutant)));
        let found = found.iter().find(|(_, outcome)| outcome.failure.is_some());
        let (seed, outcome) = found.unwrap_or_else(|| panic!("{mutant:?} was not found"));
        println!("{mutant:?}: seed {seed}: {}", outcome.failure.as_deref().unwrap());
    }
}
