//! Rulers of a simulated cluster: every group is evaluated, once, whatever befalls them.

use clap::ValueEnum as _;
use sim::{Keep, RoleOutcome, RulerMutant, RulerOptions, RulerStats, run_rulers};

/// Seeds that each are as promised.
const SEEDS: u64 = 100;
/// Seeds that are run again.
const REPEATED: u64 = 10;
/// Within so many seeds rulers that are built wrong are found out.
const SEEDS_OF_MUTANT: u64 = 100;

fn outcome(seed: u64, mutant: Option<RulerMutant>) -> RoleOutcome<RulerStats> {
    run_rulers(RulerOptions { seed, mutant, keep: Keep::Nothing })
}

#[test]
fn every_group_is_evaluated_once_whoever_dies() {
    let (mut recorded, mut doubled, mut missing, mut moved) = (0, 0, 0, 0);
    for seed in 1..=SEEDS {
        let outcome = outcome(seed, None);
        let faults = outcome.faults.join("\n  ");
        assert_eq!(outcome.failure, None, "seed {seed}\n  {faults}");
        assert!(outcome.stats.recorded > 300, "seed {seed} did nothing: {:?}", outcome.stats);
        recorded += outcome.stats.recorded;
        doubled += outcome.stats.doubled;
        missing += outcome.stats.missing;
        moved += outcome.stats.moved;
        if seed <= REPEATED {
            assert_eq!(self::outcome(seed, None), outcome, "seed {seed} is another story the second time");
        }
    }
    println!(
        "{SEEDS} seeds: {recorded} recorded, {missing} missing, {doubled} twice, {moved} times another ruler"
    );
    assert!(moved > SEEDS, "groups pass from one ruler to another");
}

#[test]
fn rulers_that_are_built_wrong_are_found_out() {
    for mutant in RulerMutant::value_variants().iter().copied() {
        let mut seeds = 1..=SEEDS_OF_MUTANT;
        let found = seeds.find_map(|seed| Some((seed, outcome(seed, Some(mutant)).failure?)));
        let (seed, failure) = found.unwrap_or_else(|| panic!("{mutant:?} was not found"));
        println!("{mutant:?}: seed {seed}: {failure}");
    }
}
