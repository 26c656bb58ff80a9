//! Whether everybody was told, in time, of what fires and of what does not any more.

use std::time::Duration;

use super::apart::{VIEW_BEHIND, Window};
use super::check::{Judge, KNOWN_WITHIN, SKEW, is_about};
use super::machines::GROUP_INTERVAL;
use super::seen::{AlertmanagerStats, Posted};
use super::traffic::{Alert, LASTS};
use crate::site::{LEASE_TTL, MAX_STALENESS, SILENCE_TIMEOUT};

/// How long an Alertmanager takes at most, one after the other, to have written down what it told, to see that, and to hear what
/// others have, before it takes tenants over (`alertmanager::cluster`).
const PREPARED_WITHIN: Duration = Duration::from_secs(15);
/// Within this time whoever is to be told is told, whatever befalls Alertmanagers meanwhile: a lease has to end, others are waited for
/// as long as a view can be behind, and a group for its interval.
const TOLD_WITHIN: Duration = LEASE_TTL
    .saturating_add(SILENCE_TIMEOUT)
    .saturating_add(MAX_STALENESS)
    .saturating_add(PREPARED_WITHIN)
    .saturating_add(GROUP_INTERVAL);
/// The same where nothing befalls anybody: the interval of a group, whose receiver may be slow or not be heard.
const TOLD_SOON: Duration = GROUP_INTERVAL.saturating_add(Duration::from_secs(5));

/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(3_600);

/// What was said of an alert, in order: when, and whether it fires.
type Words = Vec<(Duration, bool)>;

impl Judge<'_> {
    /// That everybody was told, in time, of what fires and of what does not any more.
    pub(super) fn all_told(&self, stats: &mut AlertmanagerStats) -> Result<(), String> {
        for alert in self.alerts {
            let words = self.words(&alert.id);
            let end = alert.ends.unwrap_or(self.now);
            for (from, to) in self.open(alert, end) {
                self.told_to_fire(alert, (from, to), &words, stats)?;
            }
            if let Some(end) = alert.ends {
                self.told_to_end(alert, end, &words, stats)?;
            }
        }
        Ok(())
    }

    /// That it was told that an alert fires, within a time in which nothing is against it.
    fn told_to_fire(
        &self,
        alert: &Alert,
        (mut from, to): Window,
        words: &Words,
        stats: &mut AlertmanagerStats,
    ) -> Result<(), String> {
        loop {
            // What nobody has acknowledged nobody has to tell.
            let Some(known) = self.posted(alert, true).find(|posted| self.holds(posted, from)) else {
                return Ok(());
            };
            from = from.max(known.acknowledged);
            let quiet = (from.saturating_sub(VIEW_BEHIND + LEASE_TTL), from + TOLD_SOON);
            let within = if self.apart.is_quiet(quiet) { TOLD_SOON } else { TOLD_WITHIN };
            let by = from + within;
            if to < by || (alert.once && self.is_forgotten(known, by)?) {
                return Ok(());
            }
            match words.iter().rev().find(|(at, _)| *at <= by) {
                Some((_, true)) => {
                    stats.due += 1;
                    let first = words.iter().find(|(at, fires)| (from..=by).contains(at) && *fires);
                    note(stats, first.map(|(at, _)| at.saturating_sub(from)));
                    return Ok(());
                }
                // That it had ended was told by somebody who could not know better: it has to be told again from the next post on.
                Some((at, false)) if *at > from => from = *at,
                _ => return Err(format!("{alert:?} had to be told from {from:?} to {by:?}: {words:?}")),
            }
        }
    }

    fn told_to_end(
        &self,
        alert: &Alert,
        end: Duration,
        words: &Words,
        stats: &mut AlertmanagerStats,
    ) -> Result<(), String> {
        let said = self.posted(alert, false).next();
        let lapses = self.posted(alert, true).filter_map(|posted| posted.until).max();
        let known = match said {
            Some(said) => said.acknowledged,
            None if alert.once => return Ok(()),
            None => lapses.unwrap_or(end).max(end),
        };
        let by = known + TOLD_WITHIN;
        let Some((last, fired)) = words.iter().rev().find(|(at, _)| *at <= by) else { return Ok(()) };
        // What is silenced or inhibited drops out of what its group was told: as upstream has it, its end is not told then.
        let is_open = self.blocked(alert).iter().all(|(from, to)| to < last || by < *from);
        if by >= self.now || !is_open {
            return Ok(());
        }
        // What was told is known to be of an alert by whoever knows that. That nobody does is for what was posted once.
        for posted in self.posted(alert, true).take(1).chain(said).filter(|_| alert.once) {
            if self.is_forgotten(posted, by)? {
                return Ok(());
            }
        }
        // Who has not heard that it was told has not told, and who ended before the metastore knew cannot say so. Nor can one that was
        // alone, where another told the opposite at the same time.
        let last =
            self.facts.told.iter().rev().find(|told| told.at <= by && told.alerts.contains_key(&alert.id));
        if last.is_some_and(|last| {
            let opposite = |(at, fires): &(Duration, bool)| *fires != *fired && at.abs_diff(last.at) <= SKEW;
            let is_contradicted = last.alone && words.iter().any(opposite);
            last.unheard
                || self.cut_short_before_commit(last).is_some()
                || (is_contradicted && self.was_overruled(last, by))
        }) {
            return Ok(());
        }
        if *fired {
            return Err(format!("{alert:?} does not fire any more, and was told last: {words:?}"));
        }
        if let Some((at, _)) = words.iter().find(|(at, fires)| (end..=by).contains(at) && !*fires) {
            stats.due += 1;
            note(stats, Some(at.saturating_sub(known)));
        }
        Ok(())
    }

    /// What was acknowledged of an alert: that it fires, or that it does not.
    fn posted(&self, alert: &Alert, fires: bool) -> impl Iterator<Item = &Posted> {
        let of = self.facts.posted.iter().filter(move |posted| posted.fires == fires);
        let id = alert.id.clone();
        of.filter(move |posted| posted.alert == id)
    }

    /// Whether something holds that was said, or will be said, from some time on.
    fn holds(&self, posted: &Posted, from: Duration) -> bool {
        posted.acknowledged >= from || posted.until.is_none_or(|until| until > from)
    }

    /// What was said of an alert, in order.
    fn words(&self, id: &str) -> Words {
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
        let silences = silences.map(|silence| (silence.requested, silence.over + KNOWN_WITHIN + SKEW));
        let sources = self.alerts.iter().filter(|source| source.inhibits(alert));
        let sources = sources.map(|source| (source.starts, self.inhibits_until(source)));
        let mut blocked: Vec<Window> = silences.chain(sources).collect();
        blocked.sort();
        blocked
    }

    /// Until when an alert may inhibit others: until everybody has heard of its end, or it has lapsed.
    fn inhibits_until(&self, source: &Alert) -> Duration {
        let Some(ends) = source.ends else { return FOREVER };
        let everybody = |said: &&Posted| said.holders().count() == said.knowledge.len();
        match self.posted(source, false).find(everybody) {
            Some(said) => said.acknowledged + KNOWN_WITHIN,
            None if source.once => FOREVER,
            None => ends + LASTS,
        }
    }
}

fn note(stats: &mut AlertmanagerStats, delay: Option<Duration>) {
    let millis = delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
    stats.longest_ms = stats.longest_ms.max(millis);
}
