//! Whether everybody was told of everything, once, and of nothing that was silenced: judged when a run is over, by what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::faults::Scheduled;
use super::seen::{AlertmanagerStats, Facts, GroupState, Silenced, Told};
use super::traffic::Alert;

/// Within this time whoever is to be told is told, whatever befalls Alertmanagers meanwhile: a lease that has to end, what others
/// are waited for that do not answer, and the interval of a group.
const TOLD_WITHIN: Duration = Duration::from_secs(35);
/// How long a silence, or an alert that inhibits, may not be known to whoever tells: where nothing befalls anybody, and while a
/// view may be behind.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
const VIEW_WITHIN: Duration = Duration::from_secs(12);
/// The same of alerts, which are posted to one and passed on to those that it reaches.
const PASSED_WITHIN: Duration = Duration::from_secs(20);
/// How wrong clocks are with each other.
const SKEW: Duration = Duration::from_millis(600);
/// How long what was blocked may stay so: until its group is looked at again.
const SETTLES_WITHIN: Duration = Duration::from_secs(6);
/// How long after a process began again it has asked the others for their alerts.
const ASKED_WITHIN: Duration = Duration::from_secs(6);

/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(3_600);

/// A time from when to when.
type Window = (Duration, Duration);

/// Judges a run.
pub(super) struct Judge<'r> {
    pub(super) alerts: &'r [Alert],
    pub(super) plan: &'r [Scheduled],
    /// When the metastore may have been gone for somebody.
    pub(super) gone: &'r [Window],
    pub(super) facts: &'r Facts,
    pub(super) now: Duration,
}

impl Judge<'_> {
    /// What was seen; and what must not be and was.
    pub(super) fn judge(&self) -> (AlertmanagerStats, Result<(), String>) {
        let mut stats =
            AlertmanagerStats { told: self.facts.told.len() as u64, ..AlertmanagerStats::default() };
        let set = self.facts.silences.iter().filter(|silence| silence.acknowledged.is_some());
        stats.silences = set.count() as u64;
        let result = match &self.facts.violation {
            Some(violation) => Err(violation.clone()),
            None => self
                .once(&mut stats)
                .and_then(|()| self.not_silenced(&mut stats))
                .and_then(|()| self.all_told(&mut stats)),
        };
        (stats, result)
    }

    fn is_gone(&self, at: Duration) -> bool {
        self.gone.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// That what told nothing new was told because its first teller was cut short before that was known.
    fn once(&self, stats: &mut AlertmanagerStats) -> Result<(), String> {
        let mut last: BTreeMap<(&str, &str), &Told> = BTreeMap::new();
        let mut teller: BTreeMap<&str, &str> = BTreeMap::new();
        let mut excused = BTreeSet::new();
        for told in &self.facts.told {
            let before = teller.insert(&told.tenant, &told.life);
            stats.moved += u64::from(before.is_some_and(|before| before != told.life));
            let Some(before) = last.insert((&told.tenant, &told.group), told) else { continue };
            if is_news(&before.state, &told.state) {
                continue;
            }
            if self.is_gone(before.at) || self.is_gone(told.at) {
                stats.without_metastore += 1;
            } else if before.unheard {
                stats.unheard += 1;
            } else if let Some(end) = self.cut_short_before_commit(before)
                && excused.insert((end, &told.tenant, &told.group))
            {
                stats.repeated += 1;
            } else {
                return Err(format!(
                    "{} {} was told {:?} at {:?} by {} and at {:?} by {}",
                    told.tenant, told.group, told.alerts, before.at, before.life, told.at, told.life
                ));
            }
        }
        Ok(())
    }

    /// The place of what cut the teller short after it had sent this, and before the metastore was seen to have it.
    fn cut_short_before_commit(&self, told: &Told) -> Option<usize> {
        let committed = self.facts.committed.iter().find(|committed| {
            committed.seen >= told.sent
                && (&committed.tenant, &committed.group) == (&told.tenant, &told.group)
                && committed.state == told.state
        });
        let until = committed.map_or(Duration::MAX, |committed| committed.seen);
        let mut ends = self.facts.cut_short.iter();
        ends.position(|(life, at)| *life == told.life && (told.sent..=until).contains(at))
    }

    /// That nothing was told of what was silenced or inhibited, once that could be known.
    fn not_silenced(&self, stats: &mut AlertmanagerStats) -> Result<(), String> {
        for told in &self.facts.told {
            for id in told.alerts.keys() {
                let Some(alert) = self.alerts.iter().find(|alert| alert.id == *id) else { continue };
                let Some(why) = self.silenced(alert, told.decided).or_else(|| self.inhibited(alert, told))
                else {
                    continue;
                };
                if !self.is_gone(told.decided) {
                    return Err(format!("{id} was told at {:?} by {}: {why}", told.at, told.life));
                }
                stats.unaware += 1;
            }
        }
        Ok(())
    }

    fn silenced(&self, alert: &Alert, at: Duration) -> Option<String> {
        let holds = |silence: &&Silenced| {
            let known = silence.acknowledged.map(|known| known + self.grace(known, at, VIEW_WITHIN));
            is_about(silence, alert) && known.is_some_and(|known| known < at) && at + SKEW < silence.ends
        };
        self.facts.silences.iter().find(holds).map(|silence| format!("it was silenced by {silence:?}"))
    }

    fn inhibited(&self, alert: &Alert, told: &Told) -> Option<String> {
        let at = told.decided;
        let holds = |source: &&Alert| {
            let known = self.facts.acknowledged.get(&source.id).and_then(|known| known.firing);
            let known = known.map(|known| known + self.grace(known, at, PASSED_WITHIN));
            let fires = source.ends.is_none_or(|ends| at + SKEW < ends);
            source.inhibits(alert) && fires && known.is_some_and(|known| known < at)
        };
        let source = self.alerts.iter().filter(|source| !source.once).find(holds);
        source.map(|source| format!("{source:?} inhibited it"))
    }

    /// How long after it was known to one, at a time, something may not be known to another one.
    fn grace(&self, known: Duration, at: Duration, longest: Duration) -> Duration {
        let befell = |fault: &Scheduled| fault.begins < at && fault.ends + VIEW_WITHIN > known;
        if self.plan.iter().any(befell) { longest } else { KNOWN_WITHIN }
    }

    /// That everybody was told, in time, of what fires and of what does not any more.
    fn all_told(&self, stats: &mut AlertmanagerStats) -> Result<(), String> {
        for alert in self.alerts {
            let words = self.words(&alert.id);
            let end = alert.ends.unwrap_or(self.now);
            for (from, to) in self.open(alert, end) {
                let by = from + TOLD_WITHIN;
                let known = self.facts.acknowledged.get(&alert.id).and_then(|known| known.firing);
                if to < by || self.may_be_forgotten(alert, known, by) {
                    continue;
                }
                let before = words.iter().rev().find(|(at, _)| *at <= by);
                if !before.is_some_and(|(_, fires)| *fires) {
                    return Err(format!("{alert:?} had to be told from {from:?} on: {words:?}"));
                }
                stats.due += 1;
                let first = words.iter().find(|(at, fires)| *at >= from && *fires);
                self.note(stats, first.filter(|(at, _)| *at <= by).map(|(at, _)| at.saturating_sub(from)));
            }
            if let Some(end) = alert.ends {
                self.told_to_end(alert, end, &words, stats)?;
            }
        }
        Ok(())
    }

    fn told_to_end(
        &self,
        alert: &Alert,
        end: Duration,
        words: &[(Duration, bool)],
        stats: &mut AlertmanagerStats,
    ) -> Result<(), String> {
        let by = end + TOLD_WITHIN;
        let fired = words.iter().rev().find(|(at, _)| *at <= by).is_some_and(|(_, fires)| *fires);
        let is_open = self.blocked(alert).iter().all(|(from, to)| *to < end || by < *from);
        let known = self.facts.acknowledged.get(&alert.id).and_then(|known| known.resolved);
        let due = by < self.now && is_open && !self.may_be_forgotten(alert, known, by);
        if fired && due {
            return Err(format!("{alert:?} does not fire any more, and was told last: {words:?}"));
        }
        let ended = words.iter().find(|(at, fires)| (end..=by).contains(at) && !*fires);
        if let Some((at, _)) = ended.filter(|_| due) {
            stats.due += 1;
            self.note(stats, Some(at.saturating_sub(end)));
        }
        Ok(())
    }

    fn note(&self, stats: &mut AlertmanagerStats, delay: Option<Duration>) {
        let millis = delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        stats.longest_ms = stats.longest_ms.max(millis);
    }

    /// What was said of an alert, in order.
    fn words(&self, id: &str) -> Vec<(Duration, bool)> {
        let words = self.facts.told.iter().filter_map(|told| Some((told.at, *told.alerts.get(id)?)));
        words.collect()
    }

    /// The times within which an alert fires and nothing keeps it from being told.
    fn open(&self, alert: &Alert, end: Duration) -> Vec<Window> {
        let (mut open, mut from) = (Vec::new(), alert.starts);
        for (begins, ends) in self.blocked(alert) {
            if begins > from {
                open.push((from, begins.min(end)));
            }
            from = from.max(ends);
        }
        open.push((from, end));
        open
    }

    /// The times within which an alert may be silenced or inhibited, as far as anybody may know, in order.
    fn blocked(&self, alert: &Alert) -> Vec<Window> {
        let silences = self.facts.silences.iter().filter(|silence| is_about(silence, alert));
        let silences = silences.map(|silence| (silence.requested, silence.over + VIEW_WITHIN));
        let sources = self.alerts.iter().filter(|source| source.inhibits(alert));
        let sources = sources.map(|source| {
            // Until everybody has heard of its end, or it has lapsed.
            let ends = source.ends.map_or(FOREVER, |ends| ends + PASSED_WITHIN + SETTLES_WITHIN);
            (source.starts, ends)
        });
        let mut blocked: Vec<Window> = silences.chain(sources).collect();
        blocked.sort();
        blocked
    }

    /// Whether what was posted once of an alert, and was acknowledged at a time, may be known to nobody any more by another: those
    /// that had it may have ended, one after the other, before the next had asked them.
    fn may_be_forgotten(&self, alert: &Alert, known: Option<Duration>, by: Duration) -> bool {
        if !alert.once {
            return false;
        }
        let Some(known) = known else { return true };
        let near = |fault: &&Scheduled| fault.begins < by && fault.ends + ASKED_WITHIN > known;
        let gone: BTreeSet<&str> =
            self.plan.iter().filter(near).filter_map(|one| one.fault.forgets()).collect();
        gone.len() > 1
    }
}

fn is_about(silence: &Silenced, alert: &Alert) -> bool {
    (&silence.tenant, &silence.name) == (&alert.tenant, &alert.name)
}

/// Whether there was something new to tell, after what was told before.
fn is_news(before: &GroupState, now: &GroupState) -> bool {
    match now.firing.is_empty() {
        true => !before.firing.is_empty(),
        false => !now.firing.is_subset(&before.firing) || !now.resolved.is_subset(&before.resolved),
    }
}
