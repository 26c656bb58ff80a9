//! Alerts that come all the time, and who was told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::harness::{Notified, Replicas};
use super::log::Log;
use crate::support::{now_ms, wait_until};

/// How many tenants share the replicas.
pub(super) const TENANTS: usize = 20;
/// How long after it came in a notification may be on its way into the log.
const COMMIT_MS: i64 = 1_000;

/// Alerts that come all the time, each once, and the notifications of them.
pub(super) struct Watched {
    pub(super) replicas: Replicas,
    /// When each alert was taken.
    pub(super) taken: BTreeMap<String, i64>,
    /// What the receiver was told.
    told: Vec<Notified>,
    /// What the metastore has of it.
    log: Log,
}

/// That a replica was killed or stopped, and when: from just before until just after.
#[derive(Debug, Clone, Copy)]
pub(super) struct CutShort {
    pub(super) name: &'static str,
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
}

/// The same was told twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repeated {
    first: Notified,
    again: Notified,
    /// When the metastore was seen to have the first one.
    committed_ms: Option<i64>,
}

impl Watched {
    pub(super) fn start() -> Self {
        Self::of(Replicas::start())
    }

    /// These replicas, watched.
    pub(super) fn of(replicas: Replicas) -> Self {
        let log = Log::of(replicas.nodes());
        Self { replicas, taken: BTreeMap::new(), told: Vec::new(), log }
    }

    /// Posts an alert of a tenant to some replica.
    fn post(&mut self) {
        let n = self.taken.len();
        let alert = format!("a{n}");
        self.replicas.post_to_any(n, &format!("t{}", n % TENANTS), &alert);
        self.taken.insert(alert, now_ms());
    }

    fn look(&mut self) {
        self.told = self.replicas.notifications();
    }

    /// Goes on for so long.
    pub(super) fn go_on(&mut self, time: Duration) {
        let until = now_ms() + time.as_millis() as i64;
        while now_ms() < until {
            self.post();
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(20));
                self.look();
            }
        }
    }

    /// Kills a replica.
    pub(super) fn kill(&mut self, name: &'static str) -> CutShort {
        let from_ms = now_ms();
        self.replicas.kill(name);
        CutShort { name, from_ms, until_ms: now_ms() }
    }

    /// Waits until everybody was told of everything, and a while longer; the notifications that came twice.
    pub(super) fn ended(&mut self) -> Vec<Repeated> {
        wait_until("all notifications", || {
            self.look();
            let told: std::collections::BTreeSet<&String> =
                self.told.iter().map(|told| &told.alert).collect();
            let lost: Vec<&String> = self.taken.keys().filter(|alert| !told.contains(alert)).collect();
            if lost.is_empty() { Ok(()) } else { Err(format!("not told: {lost:?}")) }
        });
        self.go_on(Duration::from_secs(5));
        wait_until("the last ones", || {
            self.look();
            let told = |alert: &String| self.told.iter().any(|told| told.alert == *alert);
            self.taken.keys().all(told).then_some(()).ok_or_else(String::new)
        });
        let committed = self.log.committed();
        let mut last: BTreeMap<&String, &Notified> = BTreeMap::new();
        let mut repeated = Vec::new();
        for again in &self.told {
            if let Some(first) = last.insert(&again.alert, again) {
                let between = first.arrived_ms..=again.arrived_ms;
                let seen = committed.iter().find(|(group, at)| *group == again.group && between.contains(at));
                let (first, again) = (first.clone(), again.clone());
                repeated.push(Repeated { first, again, committed_ms: seen.map(|(_, at)| *at) });
            }
        }
        repeated
    }

    /// How long alerts took from when they were taken to their notification: the median, and the longest, in milliseconds.
    pub(super) fn delays(&self) -> (i64, i64) {
        let mut delays: Vec<i64> = self
            .told
            .iter()
            .filter_map(|told| Some(told.arrived_ms - self.taken.get(&told.alert)?))
            .collect();
        delays.sort_unstable();
        (delays[delays.len() / 2], delays.last().copied().unwrap_or_default())
    }

    /// Goes on for so long, with alerts for these replicas only.
    pub(super) fn go_on_with(&mut self, names: &[&str], time: Duration) {
        let until = now_ms() + time.as_millis() as i64;
        while now_ms() < until {
            let n = self.taken.len();
            let alert = format!("a{n}");
            // It is sent again until it is taken, as Prometheus does.
            wait_until("it to be taken", || {
                let taken =
                    names.iter().any(|name| self.replicas.post(name, &format!("t{}", n % TENANTS), &alert));
                taken.then_some(()).ok_or_else(String::new)
            });
            self.taken.insert(alert, now_ms());
            std::thread::sleep(Duration::from_millis(200));
            self.look();
        }
    }
}

/// Whatever came twice was told first by one that was cut short after the receiver had it, before the metastore had it: once for
/// each that was, and group.
#[track_caller]
pub(super) fn only_between_answer_and_commit(repeated: &[Repeated], cut_short: &[CutShort]) {
    let mut excused = BTreeSet::new();
    for Repeated { first, again, committed_ms } in repeated {
        assert_eq!(*committed_ms, None, "the metastore had it: {first:?}, {again:?}");
        let cut = cut_short.iter().position(|cut| {
            let committing = first.arrived_ms..=first.arrived_ms + COMMIT_MS;
            cut.name == first.teller
                && cut.until_ms >= *committing.start()
                && cut.from_ms <= *committing.end()
        });
        assert!(cut.is_some(), "nobody was cut short: {first:?}, {again:?}; {cut_short:?}");
        assert!(excused.insert((cut, &first.group)), "twice for one end: {first:?}, {again:?}");
    }
}
