//! What rulers are handed, which is one for all of them, and what it has seen of them: series in memory, written and asked by whoever
//! reaches them, and an Alertmanager.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use env::{Clock as _, Scope, SimClock};
use model::{Labels, TenantId, is_stale_nan};
use parking_lot::Mutex;
use promql::{Engine, EngineOptions, ParseOptions, QueryValue};
use proto::{
    Code, Error, InstantQuery, NewestRequest, NewestSample, PostAlerts, PostedAlert, Query, Write,
    WriteRequest, WriteResponse,
};
use testseries::{Loaded, LoadedValue, Storage};
use wire::rw1::{RequestField, SeriesField};

use super::RulerMutant;
use crate::draw::Draw;

/// What a run saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RulerStats {
    /// Times of groups that were recorded.
    pub recorded: u64,
    /// Those that two rulers wrote.
    pub doubled: u64,
    /// Times of groups that nobody recorded.
    pub missing: u64,
    /// How often alerts were told.
    pub told: u64,
    /// How often a group's times were written by another ruler than the time before.
    pub moved: u64,
}

/// Everything that rulers write and tell. Clones are the same.
#[derive(Clone)]
pub(super) struct Seen(Arc<Inner>);

struct Inner {
    engine: Engine,
    /// Of nobody's machine: right.
    clock: SimClock,
    outside: Scope,
    draw: Draw,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    storage: Storage,
    /// By group and time: the lives of rulers that have recorded it.
    writers: BTreeMap<(String, i64), BTreeSet<String>>,
    /// Since when alerts have been, as their series say, in seconds.
    since: BTreeMap<String, BTreeSet<i64>>,
    /// When alerts were told last, and until when that holds.
    told: BTreeMap<String, (i64, i64)>,
    stats: RulerStats,
    violation: Option<String>,
}

/// The longest that storage takes.
const LATENCY: Duration = Duration::from_millis(60);

impl Seen {
    pub(super) fn new(clock: SimClock, outside: Scope, draw: Draw) -> Self {
        let engine = Engine::new(EngineOptions::default());
        Self(Arc::new(Inner { engine, clock, outside, draw, state: Mutex::default() }))
    }

    /// As a life of a ruler reaches it.
    pub(super) fn of(&self, life: &str, mutant: Option<RulerMutant>) -> Arc<Reached> {
        let began_ms = self.0.clock.now_ms();
        Arc::new(Reached { seen: self.clone(), life: life.to_owned(), mutant, began_ms })
    }

    /// What must not be and was.
    pub(super) fn violation(&self) -> Option<String> {
        self.0.state.lock().violation.clone()
    }

    /// What time it is.
    pub(super) fn now_ms(&self) -> i64 {
        self.0.clock.now_ms()
    }

    pub(super) fn stats(&self) -> RulerStats {
        self.0.state.lock().stats
    }

    /// The times that were recorded of a group, and by how many.
    pub(super) fn times(&self, group: &str) -> BTreeMap<i64, BTreeSet<String>> {
        let state = self.0.state.lock();
        let of_group = state.writers.iter().filter(|((name, _), _)| name == group);
        of_group.map(|((_, at_ms), by)| (*at_ms, by.clone())).collect()
    }

    /// That no alert that was told has lapsed, and that each has been since one time.
    pub(super) fn check_alerts(&self, groups: &[String]) -> Result<(), String> {
        let now_ms = self.0.clock.now_ms();
        let state = self.0.state.lock();
        for group in groups {
            match state.told.get(group) {
                Some((_, until_ms)) if *until_ms > now_ms => {}
                told => {
                    return Err(format!("the alert of {group} is not told any more: {told:?} at {now_ms}"));
                }
            }
            let since = state.since.get(group).cloned().unwrap_or_default();
            if since.len() != 1 {
                return Err(format!("the alert of {group} has been since {since:?}"));
            }
        }
        Ok(())
    }

    fn take(&self, life: &str, labels: &Labels, timestamp_ms: i64, value: f64) -> Result<(), String> {
        let mut state = self.0.state.lock();
        let state = &mut *state;
        let loaded = Loaded { timestamp_ms, start_ms: 0, value: LoadedValue::Float(value) };
        let appended = state.storage.append_one(labels, loaded);
        let group = labels.get_or_empty("of").to_owned();
        match labels.metric_name() {
            // Markers are no evaluations.
            _ if is_stale_nan(value) => {}
            Some("recorded") => {
                let by = state.writers.entry((group.clone(), timestamp_ms)).or_default();
                by.insert(life.to_owned());
                match by.len() {
                    1 => state.stats.recorded += 1,
                    _ => state.stats.doubled += 1,
                }
                if (value * 1_000.0).round() as i64 != timestamp_ms {
                    state.violation = Some(format!("{labels} is {value} at {timestamp_ms}"));
                }
            }
            Some("ALERTS_FOR_STATE") => {
                state.since.entry(group).or_default().insert(value as i64);
            }
            _ => {}
        }
        appended.map_err(|refused| format!("{labels}: {refused}"))
    }

    fn tell(&self, alert: &PostedAlert) {
        let now_ms = self.0.clock.now_ms();
        let group = alert.labels.get_or_empty("of").to_owned();
        let mut state = self.0.state.lock();
        state.stats.told += 1;
        if let Some((_, until_ms)) = state.told.get(&group)
            && *until_ms < now_ms
        {
            state.violation =
                Some(format!("the alert of {group} had lapsed at {until_ms}, {} ms ago", now_ms - until_ms));
        }
        state.told.insert(group, (now_ms, alert.ends_at_ms));
    }
}

/// What one life of a ruler reaches.
pub(super) struct Reached {
    seen: Seen,
    life: String,
    mutant: Option<RulerMutant>,
    began_ms: i64,
}

impl Reached {
    async fn latency(&self) {
        let time = self.seen.0.draw.time(Duration::from_millis(1), LATENCY);
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl Query for Reached {
    async fn instant(&self, query: InstantQuery) -> Result<QueryValue, Error> {
        self.latency().await;
        let state = self.seen.0.state.lock();
        let result = self.seen.0.engine.instant(&query.text, query.time_ms, &state.storage);
        result.map(|result| result.value).map_err(|error| Error::new(Code::Unprocessable, error.to_string()))
    }

    async fn newest(&self, request: NewestRequest) -> Result<Vec<NewestSample>, Error> {
        self.latency().await;
        if self.mutant == Some(RulerMutant::StateNotRestored) {
            return Ok(Vec::new());
        }
        let state = self.seen.0.state.lock();
        let matching = state.storage.written().filter(|(labels, _)| {
            request.matchers.iter().all(|matcher| matcher.matches(labels.get_or_empty(matcher.name())))
        });
        let newest = matching.filter_map(|(labels, samples)| {
            let last = samples.iter().rev().find(|sample| request.range.contains(sample.timestamp_ms))?;
            let LoadedValue::Float(value) = last.value else { return None };
            Some(NewestSample { labels: labels.clone(), timestamp_ms: last.timestamp_ms, value })
        });
        Ok(newest.collect())
    }

    fn parse_options(&self, _: &TenantId) -> ParseOptions {
        ParseOptions::default()
    }
}

#[async_trait]
impl Write for Reached {
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, Error> {
        let (seen, life, time) =
            (self.seen.clone(), self.life.clone(), self.seen.0.draw.time(Duration::from_millis(1), LATENCY));
        // What was sent arrives, whatever becomes of the sender.
        let arriving = self.seen.0.outside.spawn("write", async move {
            tokio::time::sleep(time).await;
            let mut error = None;
            for (labels, timestamp_ms, value) in samples(&request)? {
                if let Err(refused) = seen.take(&life, &labels, timestamp_ms, value) {
                    error.get_or_insert(Error::invalid(refused));
                }
            }
            Ok(WriteResponse { error, ..WriteResponse::default() })
        });
        arriving.await.unwrap_or_else(|error| Err(Error::internal(error.to_string())))
    }
}

#[async_trait]
impl PostAlerts for Reached {
    async fn post(&self, _: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error> {
        self.latency().await;
        let drops = self.mutant == Some(RulerMutant::AlertDropped);
        for alert in alerts {
            if !(drops && alert.starts_at_ms < self.began_ms) {
                self.seen.tell(alert);
            }
        }
        Ok(())
    }
}

/// The samples of a request, as rulers write them.
fn samples(request: &WriteRequest) -> Result<Vec<(Labels, i64, f64)>, Error> {
    let broken = |what: &dyn std::fmt::Debug| Error::internal(format!("a ruler wrote {what:?}"));
    let mut samples = Vec::new();
    for field in wire::rw1::request(&request.body) {
        let Ok(RequestField::TimeSeries { body, .. }) = field else { return Err(broken(&field)) };
        let mut pairs = Vec::new();
        for field in wire::rw1::series(body) {
            match field {
                Ok(SeriesField::Label(label)) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    pairs.push((text(label.name), text(label.value)));
                }
                Ok(SeriesField::Sample(sample)) => {
                    samples.push((Labels::from_pairs(pairs.clone()), sample.timestamp_ms, sample.value));
                }
                other => return Err(broken(&other)),
            }
        }
    }
    Ok(samples)
}
