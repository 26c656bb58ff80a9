//! Alertmanagers of a simulated cluster: whoever is to be told is told, once, whatever befalls them.

use clap::ValueEnum as _;
use sim::{AlertmanagerMutant, AlertmanagerOptions, AlertmanagerStats, Keep, RoleOutcome, run_alertmanagers};

/// Seeds that each are as promised.
const SEEDS: u64 = 100;
/// Further seeds that once were not.
const FOUND: [u64; 20] =
    [107, 111, 136, 197, 202, 216, 288, 294, 330, 331, 475, 484, 538, 622, 636, 1129, 1243, 1330, 1514, 1683];
/// Seeds that are run again.
const REPEATED: u64 = 5;
/// Within so many seeds Alertmanagers that are built wrong are found out.
const SEEDS_OF_MUTANT: u64 = 30;

fn outcome(seed: u64, mutant: Option<AlertmanagerMutant>) -> RoleOutcome<AlertmanagerStats> {
    run_alertmanagers(AlertmanagerOptions { seed, mutant, keep: Keep::Nothing })
}

#[test]
fn everybody_is_told_once_whoever_dies() {
    let (mut told, mut due, mut repeated, mut cut_off, mut overruled, mut unheard) = (0, 0, 0, 0, 0, 0);
    let (mut without_metastore, mut unaware, mut unheard_of) = (0, 0, 0);
    let (mut moved, mut longest_ms) = (0, 0);
    for seed in (1..=SEEDS).chain(FOUND) {
        let outcome = outcome(seed, None);
        let faults = outcome.faults.join("\n  ");
        assert_eq!(outcome.failure, None, "seed {seed}\n  {faults}");
        let stats = outcome.stats;
        assert!(stats.told > 30 && stats.silences > 1, "seed {seed} did nothing: {stats:?}");
        told += stats.told;
        due += stats.due;
        repeated += stats.repeated;
        cut_off += stats.cut_off;
        overruled += stats.overruled;
        unheard += stats.unheard;
        without_metastore += stats.without_metastore;
        unaware += stats.unaware;
        unheard_of += stats.unheard_of;
        moved += stats.moved;
        longest_ms = longest_ms.max(stats.longest_ms);
        if seed <= REPEATED {
            assert_eq!(self::outcome(seed, None), outcome, "seed {seed} is another story the second time");
        }
    }
    println!(
        "{} seeds: {told} told, {due} had to be, after {longest_ms} ms at most; repeated {repeated} after a kill, {cut_off} after a \
         cut, {overruled} overruled, {unheard} whose answer was lost, {without_metastore} without the metastore; {unaware} told in spite of a silence and \
         {unheard_of} in spite of a post that could not be known; {moved} times by another process",
        SEEDS + FOUND.len() as u64
    );
    assert!(moved > SEEDS && due > 10 * SEEDS, "tenants pass from one to another");
}

#[test]
fn alertmanagers_that_are_built_wrong_are_found_out() {
    for mutant in AlertmanagerMutant::value_variants().iter().copied() {
        let mut seeds = 1..=SEEDS_OF_MUTANT;
        let found = seeds.find_map(|seed| Some((seed, outcome(seed, Some(mutant)).failure?)));
        let (seed, failure) = found.unwrap_or_else(|| panic!("{mutant:?} was not found"));
        println!("{mutant:?}: seed {seed}: {failure}");
    }
}
