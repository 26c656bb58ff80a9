//! What rulers did, by what they recorded and what they logged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{data, set};
use crate::cluster::harness::Cluster;
use crate::http::{get, query_value};
use crate::support::{now_ms, wait_for};

/// How many groups there are, each with a recording and an alert.
const GROUPS: usize = 12;
/// How often they are evaluated, in milliseconds.
pub(super) const INTERVAL_MS: i64 = 2_000;
/// How long the alerts wait.
const HOLD_SECONDS: u32 = 4;

/// When a group was evaluated, by whom, and how late that was, in milliseconds.
type Evaluation = (String, i64);

/// A cluster whose rulers are watched.
pub(super) struct Watched {
    pub(super) cluster: Cluster,
    /// Since when each alert has been.
    active: BTreeMap<String, String>,
    /// When all groups were being evaluated.
    pub(super) since_ms: i64,
    /// How often alerts have been looked at, and shown.
    pub(super) looks: (u32, u32),
}

/// What an alert's group is evaluated to.
fn group(name: &str) -> String {
    format!(
        "name: {name}\ninterval: {INTERVAL_MS}ms\nrules:\n- record: recorded\n  expr: vector(time())\n  labels: {{of: {name}}}\n\
         - alert: Always\n  expr: vector(1)\n  for: {HOLD_SECONDS}s\n  labels: {{of: {name}}}\n"
    )
}

impl Watched {
    /// Sets rules, and waits until all are evaluated and all alerts fire.
    pub(super) fn begin(cluster: Cluster) -> Self {
        let names: Vec<String> = (0..GROUPS).map(|n| format!("g{n}")).collect();
        let rulers = cluster.names("ruler-");
        for (name, ruler) in names.iter().zip(rulers.iter().cycle()) {
            set(&cluster, ruler, "n", &group(name));
        }
        let mut watched = Self { cluster, active: BTreeMap::new(), since_ms: 0, looks: (0, 0) };
        wait_for("all groups", || (watched.recorded()?.len() == GROUPS).then_some(()));
        watched.active = wait_for("all alerts", || {
            let alerts = watched.alerts("ruler-1").ok()?;
            let firing = alerts.values().filter(|(state, _)| state == "firing").count();
            let since = alerts.into_iter().map(|(name, (_, since))| (name, since));
            (firing == GROUPS).then(|| since.collect())
        });
        watched.since_ms = now_ms();
        watched
    }

    /// State and begin of each alert, as a ruler shows them.
    fn alerts(&self, ruler: &str) -> Result<BTreeMap<String, (String, String)>, String> {
        let found = data(&self.cluster, ruler, "/prometheus/api/v1/alerts")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = found["alerts"].as_array().into_iter().flatten();
        Ok(alerts
            .map(|alert| (text(&alert["labels"]["of"]), (text(&alert["state"]), text(&alert["activeAt"]))))
            .collect())
    }

    /// Looks at the alerts at a ruler: all fire that are shown, as long as they have; whether all are shown.
    pub(super) fn look(&mut self, ruler: &str) -> bool {
        self.looks.0 += 1;
        let Ok(alerts) = self.alerts(ruler) else { return false };
        for (name, (state, since)) in &alerts {
            assert_eq!((state.as_str(), since), ("firing", &self.active[name]), "{name} at {ruler}");
        }
        let all = alerts.len() == GROUPS;
        self.looks.1 += u32::from(all);
        all
    }

    /// The times of what was recorded, by group, in milliseconds.
    fn recorded(&self) -> Option<BTreeMap<String, BTreeSet<i64>>> {
        let query = format!("/prometheus/api/v1/query?query={}", query_value("recorded[15m]"));
        let (status, body) = get(self.cluster.http("querier-1"), &query);
        let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        let mut recorded = BTreeMap::new();
        for series in answer["data"]["result"].as_array()? {
            let mut times = BTreeSet::new();
            for pair in series["values"].as_array()? {
                let at_ms = (pair[0].as_f64()? * 1_000.0).round() as i64;
                let value: f64 = pair[1].as_str()?.parse().ok()?;
                assert_eq!(
                    (value * 1_000.0).round() as i64,
                    at_ms,
                    "what is recorded is of its time: {pair}"
                );
                times.insert(at_ms);
            }
            recorded.insert(series["metric"]["of"].as_str()?.to_owned(), times);
        }
        Some(recorded)
    }

    /// Waits until all groups are evaluated, and gives how many times of each are missing in what was recorded.
    pub(super) fn gaps(&self) -> BTreeMap<String, i64> {
        let until_ms = now_ms();
        let recorded = wait_for("groups with an owner", || {
            let recorded = self.recorded()?;
            let caught_up = |times: &BTreeSet<i64>| times.last().is_some_and(|last| *last >= until_ms);
            (recorded.len() == GROUPS && recorded.values().all(caught_up)).then_some(recorded)
        });
        let missing = recorded.into_iter().map(|(name, times)| {
            let (first, last) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
            assert!(times.iter().all(|at_ms| (at_ms - first) % INTERVAL_MS == 0), "{name}: {times:?}");
            let expected = (last - first) / INTERVAL_MS + 1;
            (name, expected - i64::try_from(times.len()).expect("a few"))
        });
        missing.filter(|(_, missing)| *missing > 0).collect()
    }

    /// Every evaluation of every group, by whom, and how late, in milliseconds, as rulers have logged them.
    fn evaluations(&self) -> BTreeMap<Evaluation, Vec<(String, i64)>> {
        let mut evaluations: BTreeMap<Evaluation, Vec<(String, i64)>> = BTreeMap::new();
        for ruler in self.cluster.names("ruler-") {
            for line in self.cluster.logged(&ruler).lines() {
                let Some((_, fields)) = line.split_once("a group was evaluated") else { continue };
                let field = |name: &str| {
                    let words = fields.split_whitespace();
                    let mut found = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                    found.next().map(|value| value.trim_matches('"').to_owned())
                };
                let number = |name: &str| field(name).and_then(|value| value.parse().ok());
                // A line that a kill has cut.
                let (Some(group), Some(at_ms), Some(late_ms), Some(0)) =
                    (field("group"), number("at_ms"), number("late_ms"), number("undone"))
                else {
                    continue;
                };
                evaluations.entry((group, at_ms)).or_default().push((ruler.clone(), late_ms));
            }
        }
        evaluations
    }

    /// The evaluations that happened twice.
    pub(super) fn doubles(&self) -> BTreeMap<Evaluation, Vec<(String, i64)>> {
        self.evaluations().into_iter().filter(|(_, by)| by.len() > 1).collect()
    }

    /// How many evaluations there were since all groups had been, and the latest, in milliseconds.
    pub(super) fn count(&self) -> (usize, i64) {
        let evaluations = self.evaluations();
        let since = evaluations.iter().filter(|((_, at_ms), _)| *at_ms > self.since_ms);
        let late = since.clone().flat_map(|(_, by)| by).map(|(_, late_ms)| *late_ms).max();
        (since.count(), late.unwrap_or_default())
    }

    /// How many groups a ruler evaluates.
    pub(super) fn groups_at(&self, ruler: &str) -> f64 {
        super::metric(&self.cluster, ruler, "barograph_ruler_groups ").unwrap_or_default()
    }
}
