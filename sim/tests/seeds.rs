//! Seeds go as promised, and each is one story.

use std::collections::BTreeMap;
use std::process::Command;

use clap::ValueEnum as _;
use sim::{Carries, Mutant, Options, Outcome, Soak, run};

/// Where the seeds of this test begin; `make soak` begins elsewhere.
const FIRST: u64 = 1;
/// Seeds that each are as promised.
const SEEDS: u64 = 170;
/// Seeds that are as promised over HTTP/2 as it is.
const SEEDS_OF_BYTES: u64 = 30;
/// Seeds that are run again, in another process and beside other threads.
const REPEATED: u64 = 35;
/// The same, of those over HTTP/2.
const REPEATED_OF_BYTES: u64 = 5;
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

/// Runs seeds beside each other, each of which has to go as promised, and some of them again in another process, one after
/// the other, which have to be the same stories.
fn check_all(count: u64, repeated: u64, carries: Carries) {
    let outcomes = outcomes(&soak(count, carries, None));
    assert_eq!(outcomes.len() as u64, count);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--seed", &FIRST.to_string(), "--count", &repeated.to_string()]);
    if carries == Carries::Bytes {
        command.arg("--wire");
    }
    let again = command.output().expect("the program runs");
    let told = String::from_utf8(again.stdout).expect("it prints text");
    outcomes.iter().for_each(|(seed, outcome)| check(*seed, outcome));
    for (seed, outcome) in outcomes.iter().take(usize::try_from(repeated).expect("a small number")) {
        let line = format!("seed {seed} {:016x} as promised: {} events", outcome.hash, outcome.events);
        assert!(told.contains(&line), "{line} is not in:\n{told}");
    }
}

#[test]
fn seeds_go_as_promised_and_repeat() {
    check_all(SEEDS, REPEATED, Carries::Calls);
}

#[test]
fn seeds_go_as_promised_and_repeat_over_http_2() {
    check_all(SEEDS_OF_BYTES, REPEATED_OF_BYTES, Carries::Bytes);
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
    for mutant in Mutant::value_variants().iter().copied() {
        let found = outcomes(&soak(SEEDS_OF_MUTANT, Carries::Calls, Some(mutant)));
        let found = found.iter().find(|(_, outcome)| outcome.failure.is_some());
        let (seed, outcome) = found.unwrap_or_else(|| panic!("{mutant:?} was not found"));
        println!("{mutant:?}: seed {seed}: {}", outcome.failure.as_deref().unwrap());
    }
}
