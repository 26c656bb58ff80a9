//! Alerts that come all the time, and who was told of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::Replicas;
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
    /// When each notification was seen to have come in.
    told: Vec<(String, i64)>,
}

impl Watched {
    pub(super) fn start() -> Self {
        Self::of(Replicas::start())
    }

    /// These replicas, watched.
    pub(super) fn of(replicas: Replicas) -> Self {
        Self { replicas, taken: BTreeMap::new(), told: Vec::new() }
    }

    /// Posts an alert of a tenant to some replica.
    fn post(&mut self) {
        let n = self.taken.len();
        let alert = format!("a{n}");
        self.replicas.post_to_any(n, &format!("t{}", n % TENANTS), &alert);
        self.taken.insert(alert, now_ms());
    }

    fn look(&mut self) {
        let all = self.replicas.told();
        let now = now_ms();
        let new = all.into_iter().skip(self.told.len()).map(|alert| (alert, now));
        self.told.extend(new.collect::<Vec<_>>());
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

    /// Waits until everybody was told of everything, and a while longer; the notifications that came twice, with the time of
    /// the first one.
    pub(super) fn ended(&mut self) -> Vec<(String, i64, i64)> {
        wait_until("all notifications", || {
            self.look();
            let told: std::collections::BTreeSet<&String> =
                self.told.iter().map(|(alert, _)| alert).collect();
            let lost: Vec<&String> = self.taken.keys().filter(|alert| !told.contains(alert)).collect();
            if lost.is_empty() { Ok(()) } else { Err(format!("not told: {lost:?}")) }
        });
        self.go_on(Duration::from_secs(5));
        wait_until("the last ones", || {
            self.look();
            let told = |alert: &String| self.told.iter().any(|(told, _)| told == alert);
            self.taken.keys().all(told).then_some(()).ok_or_else(String::new)
        });
        let mut first: BTreeMap<&String, i64> = BTreeMap::new();
        let mut repeated = Vec::new();
        for (alert, at) in &self.told {
            match first.get(alert) {
                Some(first) => repeated.push((alert.clone(), *first, *at)),
                None => drop(first.insert(alert, *at)),
            }
        }
        repeated
    }

    /// How long alerts took from when they were taken to their notification: the median, and the longest, in milliseconds.
    pub(super) fn delays(&self) -> (i64, i64) {
        let mut delays: Vec<i64> =
            self.told.iter().filter_map(|(alert, at)| Some(at - self.taken.get(alert)?)).collect();
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

/// Whatever came twice came first when somebody was killed or stopped, before that was written down.
#[track_caller]
pub(super) fn only_between_answer_and_commit(repeated: &[(String, i64, i64)], killed: &[i64]) {
    for (alert, first, again) in repeated {
        let close = killed.iter().any(|kill| (first - COMMIT_MS..=first + COMMIT_MS).contains(kill));
        assert!(close, "{alert} was told at {first} and {again}, and nobody died then: {killed:?}");
    }
}
