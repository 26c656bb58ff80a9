//! Fewer faults: which of a run's it takes to fail.

use crate::run::{Options, Outcome, run};

/// Leaves out one fault after the other as long as the run fails without, and gives the run that is left, with what it came
/// to. Draws of what remains are the same; what happens is not, so another fault may be what it fails by then.
pub fn shrink(options: &Options, mut tell: impl FnMut(&str)) -> (Options, Outcome) {
    let mut kept = options.clone();
    let mut outcome = run(&kept);
    if outcome.failure.is_none() {
        return (kept, outcome);
    }
    for number in (0..outcome.faults.len()).rev() {
        let mut fewer = kept.clone();
        if !fewer.without.insert(number) {
            continue;
        }
        let without = run(&fewer);
        if without.failure.is_some() {
            tell(&format!("it fails without {}", without.faults.get(number).map_or("", String::as_str)));
            (kept, outcome) = (fewer, without);
        }
    }
    (kept, outcome)
}
