//! One part of the population over some steps: what has to be returned, what may be, and the comparison with what was.

use std::collections::HashMap;
use std::ops::Range;

use model::Histogram;

use super::answer::{HistogramAnswer, Matrix, MatrixSeries, key, millis, push_label};
use super::difference::{DifferenceKind, Differences};
use crate::group::Group;
use crate::ledger::{Fate, Fates};
use crate::population::Population;

/// Slots of one tenant in one unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) tenant: u32,
    pub(super) unit: u32,
    pub(super) slots: Range<u32>,
}

/// What is known of the population.
pub(super) struct Knowledge<'a> {
    pub(super) population: &'a Population,
    pub(super) groups: &'a [Group],
    /// What had been acknowledged before the query began: that much has to be there.
    pub(super) before: &'a Fates,
    /// What had been sent by the time it ended: nothing else may be there.
    pub(super) after: &'a Fates,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Compared {
    /// Samples found as they should be.
    pub(super) samples: u64,
    /// Of them samples whose request was not acknowledged.
    pub(super) unacknowledged: u64,
}

/// A part at some steps.
pub(super) struct Window<'a> {
    knowledge: &'a Knowledge<'a>,
    part: &'a Part,
    steps: Range<u32>,
    /// The steps of which a sample was returned, by slot.
    seen: Vec<bool>,
    compared: Compared,
}

impl<'a> Window<'a> {
    pub(super) fn new(knowledge: &'a Knowledge<'a>, part: &'a Part, steps: Range<u32>) -> Self {
        let seen = vec![false; part.slots.len() * steps.len()];
        Self { knowledge, part, steps, seen, compared: Compared::default() }
    }

    /// Compares an answer with what has to be and may be there.
    pub(super) fn compare(mut self, answer: &Matrix<'_>, differences: &mut Differences) -> Compared {
        let expected = expected_series(self.knowledge, self.part, self.steps.clone());
        for series in &answer.result {
            match expected.get(&key(&series.metric)) {
                Some((slot, generation)) => self.compare_series(*slot, *generation, series, differences),
                None => differences.add(DifferenceKind::UnknownSeries, || format!("{:?}", series.metric)),
            }
        }
        self.find_missing(differences);
        self.compared
    }

    fn compare_series(
        &mut self,
        slot: u32,
        generation: u32,
        series: &MatrixSeries<'_>,
        differences: &mut Differences,
    ) {
        let population = self.knowledge.population;
        for (seconds, text) in &series.values {
            let check = |step| {
                let expected = population.float(slot, generation, step);
                let same = !population.is_native(slot)
                    && text.parse::<f64>().is_ok_and(|value| value.to_bits() == expected.to_bits());
                (!same).then(|| format!("{text} instead of {expected:?}"))
            };
            self.compare_sample(slot, generation, millis(*seconds), check, differences);
        }
        for (seconds, found) in &series.histograms {
            let check = |step| {
                let expected = population.histogram(slot, generation, step);
                let same = population.is_native(slot) && same_histogram(found, &expected);
                (!same).then(|| format!("{found:?} instead of {expected:?}"))
            };
            self.compare_sample(slot, generation, millis(*seconds), check, differences);
        }
    }

    /// Compares one sample; `check` gives what is wrong with its value, if anything is.
    fn compare_sample(
        &mut self,
        slot: u32,
        generation: u32,
        timestamp_ms: i64,
        check: impl FnOnce(u32) -> Option<String>,
        differences: &mut Differences,
    ) {
        let population = self.knowledge.population;
        let who = || format!("{} at {timestamp_ms}", describe(population, slot, generation));
        let Some(step) = self.step_of(slot, timestamp_ms) else {
            differences.add(DifferenceKind::WrongTime, who);
            return;
        };
        let lives = population.generation(slot, step) == generation;
        let group = self.group_of(slot);
        if !lives || self.knowledge.after.of(group, step) == Fate::NeverSent {
            differences.add(DifferenceKind::NeverSent, || format!("{}, step {step}", who()));
            return;
        }
        let seen = self.seen_at(slot, step);
        if std::mem::replace(&mut self.seen[seen], true) {
            differences.add(DifferenceKind::Duplicate, || format!("{}, step {step}", who()));
            return;
        }
        if let Some(wrong) = check(step) {
            differences.add(DifferenceKind::WrongValue, || format!("{}, step {step}: {wrong}", who()));
            return;
        }
        self.compared.samples += 1;
        if self.knowledge.after.of(group, step) == Fate::Unknown {
            self.compared.unacknowledged += 1;
        }
    }

    fn find_missing(&self, differences: &mut Differences) {
        let population = self.knowledge.population;
        for slot in self.part.slots.clone() {
            let group = self.group_of(slot);
            for step in self.steps.clone() {
                let acknowledged = self.knowledge.before.of(group, step) == Fate::Acknowledged;
                if acknowledged && !self.seen[self.seen_at(slot, step)] {
                    differences.add(DifferenceKind::Missing, || {
                        let generation = population.generation(slot, step);
                        let at = population.timestamp_ms(slot, step);
                        format!("{} at {at}, step {step}", describe(population, slot, generation))
                    });
                }
            }
        }
    }

    /// The step of this window at which a slot is written at exactly this time.
    fn step_of(&self, slot: u32, timestamp_ms: i64) -> Option<u32> {
        let population = self.knowledge.population;
        let since = timestamp_ms.checked_sub(population.timestamp_ms(slot, 0))?;
        let step = u32::try_from(since / population.config().interval_ms).ok()?;
        (self.steps.contains(&step) && population.timestamp_ms(slot, step) == timestamp_ms).then_some(step)
    }

    fn seen_at(&self, slot: u32, step: u32) -> usize {
        (slot - self.part.slots.start) as usize * self.steps.len() + (step - self.steps.start) as usize
    }

    fn group_of(&self, slot: u32) -> usize {
        group_of(self.knowledge.groups, slot)
    }
}

/// The group that writes a slot.
pub(super) fn group_of(groups: &[Group], slot: u32) -> usize {
    groups.partition_point(|group| group.slots.end <= slot)
}

/// The series that live in a part during some steps, by key: slot and generation.
pub(super) fn expected_series(
    knowledge: &Knowledge<'_>,
    part: &Part,
    steps: Range<u32>,
) -> HashMap<String, (u32, u32)> {
    let population = knowledge.population;
    let mut expected = HashMap::with_capacity(part.slots.len());
    for slot in part.slots.clone() {
        let last = population.generation(slot, steps.end.saturating_sub(1));
        for generation in population.generation(slot, steps.start)..=last {
            let mut key = String::with_capacity(300);
            population.labels(slot, generation, |name, value| push_label(&mut key, name, value));
            expected.insert(key, (slot, generation));
        }
    }
    expected
}

/// A series for people.
pub(super) fn describe(population: &Population, slot: u32, generation: u32) -> String {
    let mut labels = Vec::new();
    population.labels(slot, generation, |name, value| labels.push(format!("{name}={value:?}")));
    format!("{{{}}}", labels.join(", "))
}

/// Whether an answer shows this histogram: count, sum, and the buckets that are not empty with their upper bounds.
fn same_histogram(found: &HistogramAnswer<'_>, expected: &Histogram) -> bool {
    let same =
        |text: &str, value: f64| text.parse::<f64>().is_ok_and(|found| found.to_bits() == value.to_bits());
    let wanted = buckets_of(expected);
    same(found.count, expected.count as f64)
        && same(found.sum, expected.sum)
        && found.buckets.len() == wanted.len()
        && found.buckets.iter().zip(&wanted).all(|((_, _, upper, count), (wanted_upper, wanted_count))| {
            let near = |upper: f64| (upper / wanted_upper - 1.0).abs() < 1e-9;
            same(count, *wanted_count) && upper.parse().is_ok_and(near)
        })
}

/// Upper bound and count of the buckets that are not empty, upwards. The population has no negative ones.
fn buckets_of(histogram: &Histogram) -> Vec<(f64, f64)> {
    let mut buckets = Vec::new();
    if histogram.zero_count > 0 {
        buckets.push((histogram.zero_threshold, histogram.zero_count as f64));
    }
    let per_doubling = f64::from(1 << histogram.schema.clamp(0, 8));
    let mut deltas = histogram.positive_buckets.iter();
    let (mut index, mut count) = (0, 0);
    for span in &histogram.positive_spans {
        index += span.offset;
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            if count > 0 {
                buckets.push(((f64::from(index) / per_doubling).exp2(), count as f64));
            }
            index += 1;
        }
    }
    buckets
}
