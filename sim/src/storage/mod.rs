//! The bucket that all processes of a run share, and the way that each machine has to it: slow, with answers that are lost and
//! uploads that are torn, and at times with no bucket at its end.

mod contents;
mod way;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bucket::faults::Memory;
use bucket::{BackendKind, Backing, Bucket, BucketConfig, BucketDeps};
use env::{SeededRng, SimClock};
use parking_lot::Mutex;
use settings::ByteSize;
use telemetry::Registry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::draw::Draw;
use crate::node::Role;
use crate::oracle::Oracle;
use crate::site::{Process, START_MS, Variant};
use crate::trace::Trace;
use way::MachineWay;

/// How long windows are that ingesters cut; two hours elsewhere.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// The times that blocks grow into.
pub(crate) const LADDER: [Duration; 3] = [WINDOW, Duration::from_secs(20), Duration::from_secs(60)];
/// How old what readers know of blocks may be.
const REFRESH: Duration = Duration::from_secs(1);
/// How long a block stays in the bucket after it was marked.
pub(crate) const DELETION_DELAY: Duration = Duration::from_secs(12);
/// By how much the clocks of two machines may differ in a run with a bucket, rounding to seconds included.
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(4);

/// Whether the run of a seed has a bucket: a third of all, by a hash of its own, so that those without one are what they were before
/// there were buckets, those among them that have found something.
pub(crate) fn is_in_run(seed: u64) -> bool {
    xxh3_64_with_seed(b"has storage", seed) % 1000 < 330
}

/// What operations on the bucket meet with; of 1000 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The longest time that a request or its answer takes.
    pub(crate) longest: Duration,
    /// Requests that are refused.
    pub(crate) refused: u64,
    /// Changes that are made, but their answers are lost.
    pub(crate) unanswered: u64,
    /// Objects that are written or read by half.
    pub(crate) half: u64,
}

impl Trouble {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self =
        Self { longest: Duration::from_millis(8), refused: 0, unanswered: 0, half: 0 };
}

/// The bucket. Clones are the same.
#[derive(Clone)]
pub(crate) struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    memory: Memory,
    /// Of the server: right.
    clock: SimClock,
    draw: Draw,
    trace: Trace,
    oracle: Oracle,
    state: Mutex<State>,
}

struct State {
    is_down: bool,
    /// Machines that cannot reach it, by how many faults keep them from it.
    away: BTreeMap<String, u32>,
    trouble: Trouble,
}

impl Storage {
    /// An empty bucket.
    pub(crate) fn new(draw: Draw, trace: Trace, oracle: Oracle) -> Self {
        let clock = SimClock::new(START_MS, 0);
        let state = State { is_down: false, away: BTreeMap::new(), trouble: Trouble::NONE };
        let memory = Memory::timed(Arc::new(clock.clone()));
        Self { inner: Arc::new(Inner { memory, clock, draw, trace, oracle, state: Mutex::new(state) }) }
    }

    /// The bucket as a process has it.
    pub(crate) fn bucket(&self, process: &Process, role: Role) -> Bucket {
        let way = MachineWay::new(self, process, role);
        let deps = BucketDeps {
            clock: Arc::clone(&process.clock),
            rng: process.draw.rng(),
            registry: process.registry.clone(),
        };
        Bucket::new(Backing::on_way(&self.inner.memory, Arc::new(way)), &config(process.variant), deps)
    }

    /// The bucket as somebody has it whom nothing goes wrong for.
    fn seen_from_outside(&self) -> Bucket {
        let deps = BucketDeps {
            clock: Arc::new(self.inner.clock.clone()),
            rng: Arc::new(SeededRng::new(0)),
            registry: Registry::new(),
        };
        let faults = Arc::new(bucket::faults::Faults::new());
        Bucket::new(Backing::on_way(&self.inner.memory, faults), &config(Variant::default()), deps)
    }

    /// Nobody can reach it from now on, or everybody can.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.inner.state.lock().is_down = is_down;
    }

    /// A machine cannot reach it from now on.
    pub(crate) fn cut_off(&self, machine: &str) {
        *self.inner.state.lock().away.entry(machine.to_owned()).or_default() += 1;
    }

    /// Undoes a [`Storage::cut_off`].
    pub(crate) fn mend(&self, machine: &str) {
        if let Some(faults) = self.inner.state.lock().away.get_mut(machine) {
            *faults = faults.saturating_sub(1);
        }
    }

    /// What operations meet with from now on.
    pub(crate) fn set_trouble(&self, trouble: Trouble) {
        self.inner.state.lock().trouble = trouble;
    }
}

/// Pieces are small, so that files have several; waits are short, so that a failure is known before the fault is over.
fn config(variant: Variant) -> BucketConfig {
    BucketConfig {
        // Not one of memory: then queriers would keep no copies on their disks.
        backend: BackendKind::S3,
        name: "simulated".to_owned(),
        request_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(8),
        attempts: 4,
        first_wait: Duration::from_millis(50),
        longest_wait: Duration::from_millis(500),
        max_requests: variant.of(11, [64, 2, 8]),
        hedge_after: Duration::from_millis(variant.of(12, [0, 5, 100])),
        index_refresh: REFRESH,
        part_size: ByteSize(variant.of(13, [16 << 20, 700, 2000])),
        parallel_parts: variant.of(14, [4, 1, 2]),
        ..BucketConfig::default()
    }
}
