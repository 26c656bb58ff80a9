//! A zone of ingesters that come, crash and go, against a plain map: together they have what was acknowledged, exactly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};
use model::{BucketSpan, Histogram, TenantSeed, Value};
use proptest::prelude::*;
use proto::{Successors, TakeOver};
use ring::{Instance, InstanceId, Quorum, Ring, RingView, State};

use super::hand_over::up;
use super::support::*;
use crate::Ingester;

const NAMES: [&str; 3] = ["ingester-0", "ingester-1", "ingester-2"];
/// Samples may be this late.
const WINDOW: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
enum Step {
    /// Series, seconds after the start.
    Push(Vec<(u8, i64)>),
    /// It joins with an empty directory, if it is not there.
    Join(usize),
    /// It hands over and is gone.
    Leave(usize),
    /// It hands over, and the machines of all others crash at an operation in the middle; then it stays.
    LeaveInVain(usize, u64),
    Crash(usize),
    Stop(usize),
    Snapshot(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0..6u8, 0..900i64);
    prop_oneof![
        16 => proptest::collection::vec(sample, 1..16).prop_map(Step::Push),
        3 => (0..3usize).prop_map(Step::Join),
        2 => (0..3usize).prop_map(Step::Leave),
        2 => (0..3usize, 0..12u64).prop_map(|(i, nth)| Step::LeaveInVain(i, nth)),
        2 => (0..3usize).prop_map(Step::Crash),
        1 => (0..3usize).prop_map(Step::Stop),
        1 => (0..3usize).prop_map(Step::Snapshot),
    ]
}

/// The value that a series has at a time; some series are histograms, and some are both.
fn value(series: u8, seconds: i64) -> Value {
    if series < 3 || (series == 3 && seconds % 60 < 30) {
        return Value::Float(f64::from(series) + seconds as f64);
    }
    Value::Histogram(Arc::new(Histogram {
        count: 2 + seconds as u64,
        sum: 1.5,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![1 + seconds, -seconds],
        ..Histogram::default()
    }))
}

/// An ingester and its disk.
struct Member {
    fs: SimFs,
    host: Host,
}

/// The ingesters that are in the zone, by the position of their names.
struct Zone {
    /// With the tokens that each has when it is there.
    places: Vec<Instance>,
    members: BTreeMap<usize, Member>,
    disks: u64,
}

struct Heirs(BTreeMap<InstanceId, Ingester>);

impl Successors for Heirs {
    fn successor(&self, id: &InstanceId) -> Option<Arc<dyn TakeOver>> {
        self.0.get(id).map(|ingester| Arc::new(ingester.clone()) as Arc<dyn TakeOver>)
    }
}

impl Zone {
    async fn new() -> Self {
        let zone = || Some(Arc::from("zone-a"));
        let places = Instance::all_active(NAMES.map(|name| (InstanceId::new(name), zone())));
        let mut zone = Self { places, members: BTreeMap::new(), disks: 0 };
        zone.join(0).await;
        zone
    }

    fn view(&self) -> RingView {
        let there = self.members.keys().map(|i| self.places[*i].clone());
        RingView::fixed(Ring::new(there.collect(), Quorum::new(1)).unwrap())
    }

    async fn join(&mut self, i: usize) {
        if !self.members.contains_key(&i) {
            self.disks += 1;
            let fs = SimFs::new(self.disks);
            let host = up(NAMES[i], &fs, limits(WINDOW)).await.unwrap();
            self.members.insert(i, Member { fs, host });
        }
    }

    async fn restart(&mut self, i: usize, mode: CrashMode) {
        let Some(member) = self.members.remove(&i) else { return };
        end(member.host).await;
        let fs = member.fs.crash(mode);
        let host = up(NAMES[i], &fs, limits(WINDOW)).await.unwrap();
        self.members.insert(i, Member { fs, host });
    }

    async fn hand_over(&self, i: usize) -> bool {
        let Some(leaver) = self.members.get(&i) else { return false };
        leaver.host.ingester.set_state(State::Leaving);
        let others = self.members.iter().filter(|(other, _)| **other != i);
        let heirs = others.map(|(other, m)| (InstanceId::new(NAMES[*other]), m.host.ingester.clone()));
        let (me, view, heirs) = (InstanceId::new(NAMES[i]), self.view(), Heirs(heirs.collect()));
        let done = leaver.host.ingester.hand_over(&me, &view, &heirs).await.is_ok();
        leaver.host.ingester.set_state(if done { State::Left } else { State::Active });
        done
    }

    /// Writes each row to its owner; those that were stored.
    async fn push(&self, rows: &[Row]) -> Vec<Row> {
        let (view, team) = (self.view(), tenant("team-a"));
        let mut stored = Vec::new();
        for row in rows {
            let hash = model::SeriesHash::of(TenantSeed::of(&team), &row.labels);
            let owner = view.ring().lookup(hash).iter().next().expect("somebody is there");
            let owner = &view.ring().instances()[owner].id;
            let owner = NAMES.iter().position(|name| *name == owner.as_str()).expect("a name");
            let answer = self.members[&owner].host.push(&team, std::slice::from_ref(row)).await.unwrap();
            if answer.rejected.is_empty() {
                stored.push(row.clone());
            }
        }
        stored
    }

    async fn apply(&mut self, step: &Step, map: &mut Samples) {
        match *step {
            Step::Push(ref samples) => {
                let row = |(series, seconds): &(u8, i64)| Row {
                    labels: labels("m", usize::from(*series)),
                    timestamp_ms: NOW_MS + seconds * 1000,
                    value: value(*series, *seconds),
                };
                let rows: Vec<Row> = samples.iter().map(row).collect();
                for row in self.push(&rows).await {
                    map.entry(row.labels).or_default().insert(row.timestamp_ms, row.value);
                }
            }
            Step::Join(i) => self.join(i).await,
            Step::Leave(i) => {
                if self.hand_over(i).await
                    && let Some(gone) = self.members.remove(&i)
                {
                    end(gone.host).await;
                }
            }
            Step::LeaveInVain(i, nth) => {
                let others: Vec<usize> = self.members.keys().copied().filter(|other| *other != i).collect();
                for other in &others {
                    let fs = &self.members[other].fs;
                    fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
                }
                self.hand_over(i).await;
                if let Some(stays) = self.members.get(&i) {
                    stays.host.ingester.set_state(State::Active);
                }
                for other in others {
                    self.restart(other, CrashMode::Torn).await;
                }
            }
            Step::Crash(i) => self.restart(i, CrashMode::LoseAll).await,
            Step::Stop(i) => {
                if let Some(member) = self.members.get(&i) {
                    member.host.ingester.stop().await;
                }
                self.restart(i, CrashMode::KeepAll).await;
            }
            Step::Snapshot(i) => {
                if let Some(member) = self.members.get(&i) {
                    assert!(member.host.snapshot().await);
                }
            }
        }
    }

    /// What all of them have together; two of them may have the same, but not at odds.
    async fn read(&self) -> BTreeMap<String, BTreeMap<i64, String>> {
        let mut all: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
        for member in self.members.values() {
            for (labels, samples) in plain(member.host.read_all(&tenant("team-a")).await) {
                let series = all.entry(labels).or_default();
                for (at, value) in samples {
                    let other = series.insert(at, value.clone());
                    assert!(other.is_none_or(|other| other == value), "two values at {at}");
                }
            }
        }
        all
    }
}

fn plain(samples: Samples) -> BTreeMap<String, BTreeMap<i64, String>> {
    let text = |value: Value| match value {
        Value::Histogram(h) => format!("{} {} {:?}", h.count, h.sum, h.positive_buckets),
        other => format!("{other:?}"),
    };
    let texts =
        |samples: BTreeMap<i64, Value>| samples.into_iter().map(|(at, value)| (at, text(value))).collect();
    samples.into_iter().map(|(labels, samples)| (labels.to_string(), texts(samples))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn a_zone_has_what_it_acknowledged_whoever_comes_crashes_or_goes(
        steps in proptest::collection::vec(step(), 1..50),
    ) {
        run(async {
            let (mut zone, mut map) = (Zone::new().await, Samples::new());
            for step in &steps {
                zone.apply(step, &mut map).await;
                assert_eq!(zone.read().await, plain(map.clone()), "after {step:?}");
            }
            for (_, member) in zone.members {
                end(member.host).await;
            }
        });
    }
}
