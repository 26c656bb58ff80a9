//! Random histories of a cluster against a plain map: an answer has everything that was acknowledged, or it is an error.

use std::time::Duration;

use env::Clock;
use model::TimeRange;
use proptest::prelude::*;
use proto::Code;
use ring::State;

use crate::cluster::{Cluster, Samples, cluster, labels, run, select};
use crate::node::Behaviour;

#[derive(Debug, Clone)]
enum Step {
    /// Samples of series, some seconds old, for these replicas of each.
    Write(Vec<(usize, i64, u8)>),
    /// Nothing is heard of an instance, or it is heard of again.
    Unhealthy(usize),
    Active(usize),
    Leaving(usize),
    Join(usize),
    Wipe(usize),
    Resize(u32),
    /// Time passes.
    Wait(u16),
    /// Nodes behave, and somebody reads the time from so many seconds ago to so many seconds later.
    Read(Vec<(usize, Behaviour)>, i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0usize..24, 0i64..3_000, prop_oneof![6 => Just(7u8), 6 => 0u8..8]);
    let behaviour = prop_oneof![
        (0usize..4).prop_map(Behaviour::FailsAfter),
        (0usize..4).prop_map(Behaviour::HangsAfter),
    ];
    let reads = (proptest::collection::vec((0usize..9, behaviour), 0..4), 0i64..6_000, 0i64..6_000);
    prop_oneof![
        12 => proptest::collection::vec(write, 1..40).prop_map(Step::Write),
        1 => (0usize..9).prop_map(Step::Unhealthy),
        1 => (0usize..9).prop_map(Step::Active),
        1 => (0usize..9).prop_map(Step::Leaving),
        1 => (0usize..9).prop_map(Step::Join),
        1 => (0usize..9).prop_map(Step::Wipe),
        1 => (1u32..4).prop_map(Step::Resize),
        2 => (1u16..2_000).prop_map(Step::Wait),
        8 => reads.prop_map(|(nodes, ago, length)| Step::Read(nodes, ago, length)),
    ]
}

/// A sample that was sent: what it is, when it was sent, and whether that was acknowledged.
struct Sent {
    series: usize,
    at: i64,
    sent_ms: i64,
    acknowledged: bool,
}

/// The value of a sample; every sample has another.
fn value(series: usize, at: i64) -> f64 {
    series as f64 * 1e9 + (at % 1_000_000_000) as f64
}

struct History {
    cluster: Cluster,
    sent: Vec<Sent>,
    joined: usize,
    answered: usize,
}

impl History {
    fn take(&mut self, step: &Step) {
        let now = self.cluster.clock.now_ms();
        match step {
            Step::Write(samples) => {
                let shard = self.cluster.shard();
                for (series, ago, mask) in samples {
                    let at = now - ago * 1_000;
                    let acknowledged =
                        self.cluster.write_to(&shard, &labels(*series), at, value(*series, at), *mask);
                    self.sent.push(Sent { series: *series, at, sent_ms: now, acknowledged });
                }
            }
            Step::Unhealthy(number) => self.cluster.set_state(*number, State::Unhealthy),
            Step::Active(number) => self.cluster.set_state(*number, State::Active),
            Step::Leaving(number) => self.cluster.set_state(*number, State::Leaving),
            Step::Join(number) => {
                let count = self.cluster.instances.len();
                let zone = self.cluster.instances.values().nth(number % count).unwrap().0.zone.clone();
                let name = format!("joined-{}", self.joined);
                self.joined += 1;
                self.cluster.join(&name, zone.as_deref(), now);
            }
            Step::Wipe(number) => self.cluster.wipe(*number),
            Step::Resize(size) => self.cluster.size.change(now, *size, i64::MIN),
            Step::Wait(seconds) => self.cluster.clock.advance(Duration::from_secs((*seconds).into())),
            Step::Read(nodes, ago, length) => self.read(nodes, *ago, *length),
        }
    }

    fn read(&mut self, nodes: &[(usize, Behaviour)], ago: i64, length: i64) {
        let start = self.cluster.clock.now_ms() - ago * 1_000;
        let range = TimeRange::new(start, start + length * 1_000).unwrap();
        for (number, behaviour) in nodes {
            self.cluster.node(*number).behave(*behaviour);
        }
        let must_answer = self.cluster.can_answer(range);
        match run(select(&self.cluster.reader(), range)) {
            Ok(got) => {
                self.check(range, &got);
                self.answered += 1;
            }
            Err(error) => {
                assert!(!must_answer, "enough zones can answer, but: {error}");
                assert!(matches!(error.code, Code::Unavailable | Code::DeadlineExceeded), "{error:?}");
            }
        }
        self.cluster.nodes().for_each(|node| node.behave(Behaviour::Answers));
    }

    fn check(&self, range: TimeRange, got: &Samples) {
        let since = self.cluster.clock.now_ms() - self.cluster.hold.as_millis() as i64;
        for sent in &self.sent {
            let expected = sent.acknowledged && sent.sent_ms >= since && range.contains(sent.at);
            let found = got.get(&labels(sent.series)).and_then(|samples| samples.get(&sent.at));
            assert!(found.is_some() || !expected, "series {} lacks {}", sent.series, sent.at);
        }
        for (at, (series, found)) in got.iter().flat_map(|(labels, samples)| {
            let series = (0..24).find(|number| crate::cluster::labels(*number) == *labels).unwrap();
            samples.iter().map(move |(at, found)| (at, (series, found)))
        }) {
            assert_eq!(*found, value(series, *at), "series {series} at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn an_answer_is_whole_or_an_error(
        (zones, per_zone, zoned) in prop_oneof![
            4 => Just((3, 2, true)),
            1 => Just((3, 1, true)),
            1 => Just((5, 1, true)),
            1 => Just((4, 1, false)),
            1 => Just((2, 2, true)),
            1 => Just((1, 2, true)),
        ],
        hold_minutes in prop_oneof![Just(30u64), Just(60 * 24)],
        steps in proptest::collection::vec(step(), 4..40),
    ) {
        let mut cluster = cluster(zones, per_zone, zoned);
        cluster.hold = Duration::from_secs(hold_minutes * 60);
        let mut history = History { cluster, sent: Vec::new(), joined: 0, answered: 0 };
        for step in &steps {
            history.take(step);
        }
        // When everybody answers and nothing was lost, so does the cluster.
        history.cluster.lost.clear();
        let before = history.answered;
        if !steps.iter().any(|step| matches!(step, Step::Wipe(_))) {
            history.read(&[], 100_000, 200_000);
            prop_assert_eq!(history.answered, before + 1);
        }
    }
}
