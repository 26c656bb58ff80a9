//! Whether everybody was told of everything, once, and of nothing that was silenced: judged when a run is over, by what was seen.
//! What processes may not know they may not know since something kept it from them, and the plan says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::apart::{Apart, VIEW_BEHIND, Window};
use super::knowledge::{Known, machine};
use super::seen::{AlertmanagerStats, Ended, Facts, GroupState, Posted, Silenced, Told};
use super::traffic::Alert;
use crate::site::{CALL_TIMEOUT, LEASE_TTL};
use crate::stage::SKEW_MS;

/// How long what was acknowledged may not have arrived everywhere, where nothing keeps it up.
pub(super) const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// How long an Alertmanager waits for the metastore to have what was told before it tells the others, and until they have it.
const PASSED_ON_WITHIN: Duration = Duration::from_millis(500);
/// How long an Alertmanager goes on to send another one what it was posted.
const SENT_WITHIN: Duration = Duration::from_secs(6);
/// How wrong clocks are with each other.
pub(super) const SKEW: Duration = Duration::from_millis(600);
/// How long after a process has its lease it has asked the others for their alerts.
const ASKED_WITHIN: Duration = Duration::from_secs(6);

/// Judges a run.
pub(super) struct Judge<'r> {
    pub(super) alerts: &'r [Alert],
    pub(super) apart: Apart<'r>,
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
                .kept()
                .and_then(|()| self.once(&mut stats))
                .and_then(|()| self.nothing_wrong(&mut stats))
                .and_then(|()| self.all_told(&mut stats)),
        };
        (stats, result)
    }

    /// That a majority of those that live has what is acknowledged.
    fn kept(&self) -> Result<(), String> {
        for posted in &self.facts.posted {
            let during = (posted.at, posted.acknowledged);
            let ended = self.facts.ended.iter().filter(|ended| is_within(ended.at, during)).count();
            let have: Vec<&String> = posted.holders().collect();
            if have.len() + ended > 1 {
                continue;
            }
            let Some(only) = have.first().map(|life| machine(life)) else {
                return Err(format!("nobody has what was acknowledged: {posted}"));
            };
            let lately = (posted.at.saturating_sub(LEASE_TTL + KNOWN_WITHIN), posted.acknowledged);
            let counts = |(life, known): &(&String, &Known)| {
                let name = machine(life);
                name != only
                    && self.is_member(only, name, known, posted.at)
                    && !self.apart.are(only, name, lately)
            };
            if let Some((other, _)) = posted.knowledge.iter().find(counts) {
                return Err(format!("{only} alone has what was acknowledged, and {other} lives: {posted}"));
            }
        }
        Ok(())
    }

    /// That what told nothing new was told because its first teller was cut short before that was known.
    fn once(&self, stats: &mut AlertmanagerStats) -> Result<(), String> {
        let mut last: BTreeMap<(&str, &str), &Told> = BTreeMap::new();
        let mut teller: BTreeMap<&str, &str> = BTreeMap::new();
        let mut excused = BTreeSet::new();
        for told in &self.facts.told {
            let is_gone = self.gone.iter().any(|window| is_within(told.sent, *window));
            if told.alone && !is_gone {
                return Err(format!(
                    "{} goes on alone at {:?}, and has no reason to",
                    told.life, told.decided
                ));
            }
            let before = teller.insert(&told.tenant, &told.life);
            stats.moved += u64::from(before.is_some_and(|before| before != told.life));
            let Some(before) = last.insert((&told.tenant, &told.group), told) else { continue };
            if is_news(&before.state, &told.state) {
                continue;
            }
            if before.alone || told.alone {
                stats.without_metastore += 1;
            } else if before.unheard {
                stats.unheard += 1;
            } else if let Some(end) = self.cut_short_before_commit(before)
                && excused.insert((end, &told.tenant, &told.group))
            {
                stats.repeated += 1;
            } else if self.was_cut_off(before, told) {
                stats.cut_off += 1;
            } else if self.was_overruled(before, told.decided) {
                stats.overruled += 1;
            } else {
                return Err(format!(
                    "{} {} was told {:?} at {:?} by {} and at {:?} by {}",
                    told.tenant, told.group, told.alerts, before.at, before.life, told.at, told.life
                ));
            }
        }
        Ok(())
    }

    /// When the metastore was seen to have what was told.
    fn committed(&self, told: &Told) -> Option<Duration> {
        let committed = self.facts.committed.iter().find(|committed| {
            committed.seen >= told.sent
                && (&committed.tenant, &committed.group) == (&told.tenant, &told.group)
                && committed.state == told.state
        });
        committed.map(|committed| committed.seen)
    }

    /// Whether neither the metastore had what was told when it was told again, nor whoever told it again could hear of it: it was cut
    /// from whoever told it first, was not known to that one, or the answer had only just come.
    fn was_cut_off(&self, told: &Told, again: &Told) -> bool {
        let (first, second) = (machine(&told.life), machine(&again.life));
        let between = (told.sent, again.decided);
        // It may have had its lease from before it was cut off.
        let leased = (told.sent.saturating_sub(LEASE_TTL), again.decided);
        let known = again.knowledge.get(&again.life);
        let is_known = known.is_some_and(|known| self.is_member(first, second, known, told.answered));
        self.committed(told).is_none_or(|committed| committed > again.decided)
            && self.apart.is_behind(first, leased)
            && (self.apart.are(first, second, between)
                || !is_known
                || told.answered + PASSED_ON_WITHIN > again.decided)
    }

    /// Whether the metastore had, by some time, taken for later what another process told of the group about as late: clocks
    /// differ.
    pub(super) fn was_overruled(&self, told: &Told, by: Duration) -> bool {
        let skew = Duration::from_millis(SKEW_MS.unsigned_abs());
        let group = (&told.tenant, &told.group);
        let mut others = self.facts.told.iter().filter(|other| {
            (&other.tenant, &other.group) == group
                && machine(&other.life) != machine(&told.life)
                && other.sent.abs_diff(told.sent) <= skew
        });
        others.any(|other| {
            self.facts.committed.iter().any(|committed| {
                (&committed.tenant, &committed.group) == group
                    && committed.state == other.state
                    && (told.sent..=by).contains(&committed.seen)
            })
        })
    }

    /// Whether a machine knows at a time that another one is an Alertmanager, by the lease that it has. The registration may take
    /// its time, or the view of it.
    fn is_member(&self, to: &str, name: &str, known: &Known, at: Duration) -> bool {
        let within = (at.saturating_sub(VIEW_BEHIND + CALL_TIMEOUT), at);
        let is_disturbed = self.apart.is_behind(to, within) || self.apart.is_behind(name, within);
        let takes = if is_disturbed { VIEW_BEHIND + CALL_TIMEOUT } else { KNOWN_WITHIN };
        known.registered.is_some_and(|registered| registered + takes < at)
    }

    /// The place of what cut the teller short after it had sent this, and before the metastore was seen to have it.
    pub(super) fn cut_short_before_commit(&self, told: &Told) -> Option<usize> {
        let until = self.committed(told).unwrap_or(Duration::MAX);
        let mut ends = self.facts.cut_short.iter();
        ends.position(|(life, at)| *life == told.life && (told.sent..=until).contains(at))
    }

    /// That nothing was told of what was silenced or inhibited, no end of what fires, and no fire of what has ended, by anybody who
    /// could know.
    fn nothing_wrong(&self, stats: &mut AlertmanagerStats) -> Result<(), String> {
        let mut last: BTreeMap<&str, &Told> = BTreeMap::new();
        for told in &self.facts.told {
            let before = last.insert(&told.tenant, told);
            for (id, fires) in &told.alerts {
                let Some(alert) = self.alerts.iter().find(|alert| alert.id == *id) else { continue };
                let wrong = |why: String| {
                    let word = if *fires { "to fire" } else { "to have ended" };
                    format!("{id} was told {word} at {:?} by {}: {why}", told.at, told.life)
                };
                for silence in self.facts.silences.iter().filter(|silence| is_about(silence, alert)) {
                    stats.unaware += u64::from(self.in_spite_of(silence, told).map_err(wrong)?);
                }
                let others = self.alerts.iter().filter(|source| source.inhibits(alert));
                let news = others.map(|source| (source, true)).chain([(alert, !*fires)]);
                for (about, that_fires) in news {
                    let unheard_of = self.contradicted(told, before, about, that_fires);
                    stats.unheard_of += u64::from(unheard_of.map_err(wrong)?);
                }
            }
        }
        Ok(())
    }

    /// Whether something was told in spite of a silence, by a process that could not know of it.
    fn in_spite_of(&self, silence: &Silenced, told: &Told) -> Result<bool, String> {
        let at = told.decided;
        let Some(known) = silence.acknowledged.filter(|known| *known + KNOWN_WITHIN < at) else {
            return Ok(false);
        };
        if at + SKEW >= silence.ends {
            return Ok(false);
        }
        // It hears of it from whoever took it, and from the metastore.
        let name = machine(&told.life);
        let unsent = self.apart.are(name, &silence.by, (silence.requested, known + SENT_WITHIN));
        let unseen =
            at < known + VIEW_BEHIND && self.apart.is_behind(name, (known.saturating_sub(VIEW_BEHIND), at));
        match told.alone || (unsent && unseen) {
            true => Ok(true),
            false => Err(format!("it was silenced by {silence:?}")),
        }
    }

    /// Whether what was told contradicts something that was acknowledged of an alert, and holds: that it fires, or does not any
    /// more. Whoever told it must not have been able to know that.
    fn contradicted(
        &self,
        told: &Told,
        before: Option<&Told>,
        about: &Alert,
        that_fires: bool,
    ) -> Result<bool, String> {
        let at = told.decided;
        let holds = |until: Option<Duration>| until.is_none_or(|until| at + SKEW < until);
        if that_fires && !holds(about.ends) {
            return Ok(false);
        }
        let mut contradicted = false;
        let about = self.facts.posted.iter().filter(|posted| posted.alert == about.id);
        for posted in about.filter(|posted| posted.fires == that_fires) {
            // To a clock that is behind, an end that has just come is one to come; as upstream has it, whoever was posted it holds on
            // to the later end that was said before, until the end is posted again.
            let is_clear = match that_fires {
                true => holds(posted.until),
                false => posted.until.is_none_or(|until| until + SKEW < posted.at),
            };
            if posted.acknowledged + KNOWN_WITHIN < at && is_clear {
                self.need_not_know(told, before, posted)?;
                contradicted = true;
            }
        }
        Ok(contradicted)
    }

    /// That whoever told something need not know then what was posted. `before` is what its tenant was told before.
    fn need_not_know(&self, told: &Told, before: Option<&Told>, posted: &Posted) -> Result<(), String> {
        let Some(known) = told.knowledge.get(&told.life) else { return Ok(()) };
        if known.alerts.get(&posted.alert).is_some_and(|at| *at >= posted.posted_ns) {
            return Err(format!("it knew: {posted}"));
        }
        if !self.may_be_unsent(&told.life, posted) {
            return Err(format!("it was to be sent: {posted}"));
        }
        // Who takes over asks the others.
        let has_taken_over = known.registered.is_none_or(|at| at > posted.at)
            || before.is_some_and(|before| before.life != told.life && before.at > posted.at);
        if !has_taken_over {
            return Ok(());
        }
        let since = known.registered.unwrap_or(known.began).max(posted.at);
        let answers = |(life, other): &(&String, &Known)| {
            let (name, own) = (machine(life), machine(&told.life));
            let has = other.alerts.get(&posted.alert).is_some_and(|at| *at >= posted.posted_ns);
            has && other.registered.is_some()
                && name != own
                && !self.apart.are(name, own, (since, told.decided))
        };
        match told.knowledge.iter().find(answers) {
            Some((life, _)) => Err(format!("it was to ask {life}: {posted}")),
            None => Ok(()),
        }
    }

    /// Whether a process may not have been sent what was posted to another one.
    fn may_be_unsent(&self, life: &str, posted: &Posted) -> bool {
        let known = posted.knowledge.get(life);
        let during = (posted.at.saturating_sub(KNOWN_WITHIN), posted.acknowledged + SENT_WITHIN);
        let mut senders: Vec<&String> = match &posted.to {
            Some(to) => vec![to],
            None => posted.holders().collect(),
        };
        senders.retain(|sender| *sender != life);
        senders.iter().any(|sender| {
            let (sender, name) = (machine(sender), machine(life));
            let is_member = known.is_some_and(|known| self.is_member(sender, name, known, posted.at));
            !is_member || self.apart.are(sender, name, during)
        })
    }

    /// Whether nobody knows any more of something that was posted, at a time: all who did have ended, before others could ask.
    pub(super) fn is_forgotten(&self, posted: &Posted, by: Duration) -> Result<bool, String> {
        let during = (posted.acknowledged, by);
        let knows = |known: &Known| known.alerts.get(&posted.alert).is_some_and(|at| *at >= posted.posted_ns);
        let is_last = |ended: &&Ended| is_within(ended.at, during) && !ended.left.values().any(knows);
        let Some(ended) = self.facts.ended.iter().find(is_last) else { return Ok(false) };
        for (life, known) in ended.left.iter() {
            let since = known.registered.unwrap_or(ended.at).max(posted.at);
            let may_have_asked = known.registered.is_some_and(|at| at + ASKED_WITHIN < ended.at);
            let unsent =
                known.registered.is_some_and(|at| at < posted.at) && self.may_be_unsent(life, posted);
            let apart = self.apart.are(machine(life), machine(&ended.life), (since, ended.at));
            if may_have_asked && !unsent && !apart {
                return Err(format!(
                    "{life} lived, {} ended, and nobody knows any more: {posted}",
                    ended.life
                ));
            }
        }
        Ok(true)
    }
}

pub(super) fn is_about(silence: &Silenced, alert: &Alert) -> bool {
    (&silence.tenant, &silence.name) == (&alert.tenant, &alert.name)
}

fn is_within(at: Duration, (from, to): Window) -> bool {
    (from..=to).contains(&at)
}

/// Whether there was something new to tell, after what was told before.
fn is_news(before: &GroupState, now: &GroupState) -> bool {
    match now.firing.is_empty() {
        true => !before.firing.is_empty(),
        false => !now.firing.is_subset(&before.firing) || !now.resolved.is_subset(&before.resolved),
    }
}
