//! Leaving: what one ingester holds is another one's afterwards, whatever crashes in between.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};
use model::{Exemplar, Labels, Metadata, MetricType, Value};
use proto::{
    Chunk, Code, Error, ExemplarsRequest, IngesterRead, IngesterWrite, MetadataEntry, MetadataRequest,
    Successors, TakeOver, TakeOverRequest, TakenOver, TakenSeries,
};
use ring::{Instance, InstanceId, Quorum, Ring, RingView, State};
use settings::Overrides;

use super::support::*;
use crate::config::{IngesterConfig, Limits};
use crate::{HandOverError, HandedOver, Ingester};

const STEP_MS: i64 = 15_000;
const BEGIN_MS: i64 = NOW_MS - 6 * 3_600_000;

pub(super) fn view() -> RingView {
    let zone = || Some(Arc::from("zone-a"));
    let members = ["leaver", "heir"].map(|name| (InstanceId::new(name), zone()));
    RingView::fixed(Ring::new(Instance::all_active(members), Quorum::new(1)).unwrap())
}

pub(super) struct Heir(pub(super) Ingester);

impl Successors for Heir {
    fn successor(&self, id: &InstanceId) -> Option<Arc<dyn TakeOver>> {
        (id.as_str() == "heir").then(|| Arc::new(self.0.clone()) as Arc<dyn TakeOver>)
    }
}

pub(super) async fn up(name: &str, fs: &SimFs, limits: Limits) -> Option<Host> {
    let (limits, config) = (Overrides::fixed(limits), IngesterConfig::default());
    start_named(name, Arc::new(fs.clone()), limits, config, State::Active).await.ok()
}

pub(super) async fn hand_over(leaver: &Host, heir: &Host) -> Result<HandedOver, HandOverError> {
    leaver.ingester.hand_over(&InstanceId::new("leaver"), &view(), &Heir(heir.ingester.clone())).await
}

fn window() -> Limits {
    limits(Duration::from_secs(600))
}

/// Steps of some series, of which every seventh is late by two steps; notes what was acknowledged.
async fn fill(host: &Host, oracle: &mut Oracle, steps: std::ops::Range<i64>) {
    for team in ["team-a", "team-b"] {
        for step in steps.clone() {
            let at = BEGIN_MS + step * STEP_MS;
            let mut rows: Vec<Row> =
                (0..3).map(|i| row(&labels("up", i), at, (step * 10 + i as i64) as f64)).collect();
            if step % 7 == 3 {
                rows.push(row(&labels("up", 0), at - 2 * STEP_MS - 1, step as f64));
            }
            let answer = host.push(&tenant(team), &rows).await;
            oracle.note(&rows, &answer);
        }
    }
}

async fn check(host: &Host, oracle: &Oracle, context: &str) {
    for team in ["team-a", "team-b"] {
        oracle.check(&host.read_all(&tenant(team)).await, &format!("{context}, {team}"));
    }
}

#[test]
fn who_had_nothing_has_the_same_chunks_afterwards() {
    run(async {
        let (fs, other) = (SimFs::new(1), SimFs::new(2));
        let leaver = up("leaver", &fs, window()).await.unwrap();
        let mut oracle = Oracle::default();
        fill(&leaver, &mut oracle, 0..700).await;
        let heir = up("heir", &other, window()).await.unwrap();
        let done = hand_over(&leaver, &heir).await.unwrap();
        assert_eq!((done.series, done.samples.repeated, done.samples.conflicting), (6, 0, 0));
        check(&heir, &oracle, "handed over").await;
        let in_order = |chunks: Vec<(Labels, Vec<Chunk>)>| -> Vec<_> {
            chunks.into_iter().filter(|(labels, _)| !labels.to_string().contains("host-0")).collect()
        };
        let team = tenant("team-a");
        let expected = in_order(leaver.chunks(&team).await);
        assert!(expected.iter().all(|(_, chunks)| chunks.len() > 5));
        assert_eq!(in_order(heir.chunks(&team).await), expected, "replicas elsewhere have just these");

        // The chunk that was being filled is filled further.
        let up = labels("up", 1);
        let (chunks, at) = (expected[0].1.len(), BEGIN_MS + 700 * STEP_MS);
        heir.push(&team, &[row(&up, at, 1.0)]).await.unwrap();
        let now = in_order(heir.chunks(&team).await);
        assert_eq!((now[0].1.len(), now[0].1.last().unwrap().range.end_ms()), (chunks, at));
        end(leaver).await;
        end(heir).await;
    });
}

#[test]
fn whoever_leaves_takes_no_writes_and_is_read_to_the_end() {
    run(async {
        let leaver = up("leaver", &SimFs::new(1), window()).await.unwrap();
        let heir = up("heir", &SimFs::new(2), window()).await.unwrap();
        let mut oracle = Oracle::default();
        fill(&leaver, &mut oracle, 0..50).await;
        leaver.ingester.set_state(State::Leaving);
        fill(&leaver, &mut oracle, 50..60).await;
        hand_over(&leaver, &heir).await.unwrap();
        let late = [row(&labels("up", 1), NOW_MS, 1.0)];
        let error = leaver.push(&tenant("team-a"), &late).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable, "{error}");
        check(&leaver, &oracle, "the leaver").await;
        check(&heir, &oracle, "the heir").await;
        leaver.ingester.set_state(State::Active);
        leaver.push(&tenant("team-a"), &late).await.expect("it stays after all");
        end(leaver).await;
        end(heir).await;
    });
}

#[test]
fn the_heir_keeps_what_it_has_and_a_repetition_changes_nothing() {
    run(async {
        let other = SimFs::new(2);
        let leaver = up("leaver", &SimFs::new(1), window()).await.unwrap();
        let heir = up("heir", &other, window()).await.unwrap();
        let (mut oracle, team) = (Oracle::default(), tenant("team-a"));
        fill(&leaver, &mut oracle, 0..400).await;
        // What came while the other was leaving, and what overlaps.
        fill(&heir, &mut oracle, 350..500).await;
        let (conflict, at) = (labels("conflict", 1), BEGIN_MS + 30 * STEP_MS);
        leaver.push(&team, &[row(&conflict, at, 1.0), row(&conflict, at + 1, 1.0)]).await.unwrap();
        heir.push(&team, &[row(&conflict, at, 2.0), row(&conflict, at + STEP_MS, 2.0)]).await.unwrap();
        let first = hand_over(&leaver, &heir).await.unwrap().samples;
        assert_eq!(first.conflicting, 1);
        assert!(first.repeated > 100 && first.stored > 1_000, "{first:?}");
        let found = heir.read_all(&team).await;
        let conflicting: Vec<_> = found[&conflict].values().cloned().collect();
        assert_eq!(conflicting, [2.0, 1.0, 2.0].map(Value::Float));
        let again = hand_over(&leaver, &heir).await.unwrap().samples;
        let expected = TakenOver { stored: 0, repeated: first.stored + first.repeated, conflicting: 1 };
        assert_eq!(again, expected);
        assert_eq!(heir.read_all(&team).await, found);

        assert!(heir.snapshot().await);
        hand_over(&leaver, &heir).await.unwrap();
        end(heir).await;
        let heir = up("heir", &other.crash(CrashMode::LoseAll), window()).await.unwrap();
        assert_eq!(heir.read_all(&team).await, found, "replayed on a snapshot that had it");
        end(leaver).await;
        end(heir).await;
    });
}

#[test]
fn nobody_is_left_in_the_zone() {
    run(async {
        let leaver = up("leaver", &SimFs::new(1), window()).await.unwrap();
        let alone = [(InstanceId::new("leaver"), Some(Arc::from("zone-a")))];
        let view = RingView::fixed(Ring::new(Instance::all_active(alone), Quorum::new(1)).unwrap());
        let heir = Heir(leaver.ingester.clone());
        let error = leaver.ingester.hand_over(&InstanceId::new("leaver"), &view, &heir).await.unwrap_err();
        assert!(error.to_string().starts_with("zone zone-a has no other instance"), "{error}");
        leaver.push(&tenant("a"), &[row(&labels("up", 1), NOW_MS, 1.0)]).await.expect("it goes on");
        end(leaver).await;
    });
}

/// Takes nothing over the first few times.
struct Unwilling {
    heir: Ingester,
    error: Error,
    times: parking_lot::Mutex<u32>,
}

#[async_trait]
impl TakeOver for Unwilling {
    async fn take_over(&self, request: TakeOverRequest) -> Result<TakenOver, Error> {
        let refuse = {
            let mut times = self.times.lock();
            let refuse = *times > 0;
            *times = times.saturating_sub(1);
            refuse
        };
        if refuse { Err(self.error.clone()) } else { self.heir.take_over(request).await }
    }
}

struct Only(Arc<Unwilling>);

impl Successors for Only {
    fn successor(&self, _id: &InstanceId) -> Option<Arc<dyn TakeOver>> {
        Some(self.0.clone())
    }
}

#[test]
fn a_parcel_is_offered_again_as_long_as_there_is_hope() {
    run(async {
        let leaver = up("leaver", &SimFs::new(1), window()).await.unwrap();
        let heir = up("heir", &SimFs::new(2), window()).await.unwrap();
        let mut oracle = Oracle::default();
        fill(&leaver, &mut oracle, 0..20).await;
        let busy = Error::unavailable("busy", Duration::from_secs(1));
        let me = InstanceId::new("leaver");
        for (error, times, works) in
            [(busy.clone(), 5, true), (busy, 100, false), (Error::invalid("no"), 1, false)]
        {
            let unwilling = Unwilling { heir: heir.ingester.clone(), error, times: times.into() };
            let done = leaver.ingester.hand_over(&me, &view(), &Only(Arc::new(unwilling))).await;
            assert_eq!(done.is_ok(), works, "{done:?}");
        }
        check(&heir, &oracle, "in the end").await;
        end(leaver).await;
        end(heir).await;
    });
}

#[test]
fn damaged_chunks_are_refused_before_they_are_logged() {
    run(async {
        let heir = up("heir", &SimFs::new(1), window()).await.unwrap();
        let leaver = up("leaver", &SimFs::new(2), window()).await.unwrap();
        let team = tenant("a");
        let rows: Vec<Row> = (0..10).map(|i| row(&labels("up", 1), NOW_MS + i, i as f64)).collect();
        leaver.push(&team, &rows).await.unwrap();
        let (labels, chunks) = leaver.chunks(&team).await.remove(0);
        let request = |labels: &Labels, chunk: Chunk| {
            let series = TakenSeries { labels: labels.clone(), chunks: vec![chunk], exemplars: Vec::new() };
            TakeOverRequest { tenant: team.clone(), series: vec![series], metadata: Vec::new() }
        };
        let short = Chunk { data: chunks[0].data.slice(..10), ..chunks[0].clone() };
        let wide = Chunk { range: model::TimeRange::ALL, ..chunks[0].clone() };
        let none = Chunk { data: bytes::Bytes::new(), ..chunks[0].clone() };
        for wrong in [request(&labels, short), request(&labels, wide), request(&labels, none)] {
            let error = heir.ingester.take_over(wrong).await.unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument, "{error}");
        }
        let nameless = request(&Labels::empty(), chunks[0].clone());
        assert_eq!(heir.ingester.take_over(nameless).await.unwrap_err().code, Code::InvalidArgument);
        assert!(heir.read_all(&team).await.is_empty());
        end(leaver).await;
        end(heir).await;
    });
}

#[test]
fn metadata_and_exemplars_go_too() {
    run(async {
        let leaver = up("leaver", &SimFs::new(1), window()).await.unwrap();
        let heir = up("heir", &SimFs::new(2), window()).await.unwrap();
        let team = tenant("a");
        let (known, new) = (counter("the heir's"), counter("the leaver's"));
        let rows = [row(&labels("up", 1), NOW_MS, 1.0)];
        let with = |families: &[(&str, &Metadata)]| {
            let entry = |(family, metadata): &(&str, &Metadata)| MetadataEntry {
                family: (*family).to_owned(),
                metadata: (*metadata).clone(),
            };
            proto::PushRequest { metadata: families.iter().map(entry).collect(), ..request(&team, &rows) }
        };
        leaver.ingester.push(with(&[("both", &new), ("one", &new)])).await.unwrap();
        heir.ingester.push(with(&[("both", &known)])).await.unwrap();
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", "abc")]),
            value: 0.5,
            timestamp_ms: NOW_MS - 5,
        };
        leaver.ingester.inner.head.tenant(&team).unwrap().exemplars.lock().add(0, exemplar.clone(), 10);
        hand_over(&leaver, &heir).await.unwrap();
        let asked = MetadataRequest { tenant: team.clone(), family: None, limit: 0, limit_per_family: 0 };
        let families = heir.ingester.metadata(asked).await.unwrap();
        let found: Vec<_> = families.iter().map(|f| (f.family.as_str(), f.entries.clone())).collect();
        assert_eq!(found, [("both", vec![known]), ("one", vec![new])]);
        let any = model::Matcher::new("__name__", model::MatchOp::Equal, "up").unwrap();
        let asked = ExemplarsRequest {
            tenant: team.clone(),
            matcher_sets: vec![vec![any]],
            range: model::TimeRange::ALL,
        };
        let found = heir.ingester.exemplars(asked).await.unwrap();
        assert_eq!(found[0].exemplars, [exemplar]);
        end(leaver).await;
        end(heir).await;
    });
}

fn counter(help: &str) -> Metadata {
    Metadata { metric_type: MetricType::Counter, help: help.to_owned(), unit: String::new() }
}

/// The heir's machine crashes at every operation in turn, and so does the leaver, which begins again.
#[test]
fn a_crash_at_every_operation_of_the_heir_loses_nothing() {
    run(async {
        let fs = SimFs::new(7);
        let mut oracle = Oracle::default();
        let leaver = up("leaver", &fs, window()).await.unwrap();
        fill(&leaver, &mut oracle, 0..150).await;
        leaver.ingester.stop().await;
        end(leaver).await;
        let own = SimFs::new(8);
        let heir = up("heir", &own, window()).await.unwrap();
        fill(&heir, &mut oracle, 120..170).await;
        heir.ingester.stop().await;
        end(heir).await;

        for nth in 0.. {
            for mode in [CrashMode::LoseAll, CrashMode::Torn] {
                let context = format!("crash at operation {nth}, {mode:?}");
                let (fs, own) = (fs.crash(CrashMode::KeepAll), own.crash(CrashMode::KeepAll));
                let leaver = up("leaver", &fs, window()).await.unwrap();
                let heir = up("heir", &own, window()).await.unwrap();
                own.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
                let done = hand_over(&leaver, &heir).await.is_ok() && heir.snapshot().await;
                end(leaver).await;
                end(heir).await;
                let own = own.crash(mode);
                let heir = up("heir", &own, window()).await.unwrap();
                let leaver = up("leaver", &fs.crash(CrashMode::LoseAll), window()).await.unwrap();
                hand_over(&leaver, &heir).await.unwrap();
                check(&heir, &oracle, &context).await;
                end(leaver).await;
                end(heir).await;
                let heir = up("heir", &own.crash(CrashMode::LoseAll), window()).await.unwrap();
                check(&heir, &oracle, &format!("{context}, and again")).await;
                end(heir).await;
                if done && mode == CrashMode::Torn {
                    assert!(nth > 5, "a hand-over and a snapshot have more operations than {nth}");
                    return;
                }
            }
        }
    });
}
