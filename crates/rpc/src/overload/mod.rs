//! Overload: requests are refused with 503 and `Retry-After` before memory or processors run out, reads first.
//!
//! One task measures: the memory of the process, and how late the runtime runs a task that was due. `decide` makes of it
//! what is shed, and every request looks at that with one load.

mod decide;
mod layer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use env::{Clock, Scope};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use proto::Error;
use settings::ByteSize;
use telemetry::Registry;
use telemetry::metrics::FloatGauge;

pub use decide::{DELAYS, Decider, Measured, Shedding, Thresholds};
pub use layer::{ShedLayer, ShedService};

/// When a client that was shed may come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

settings::section! {
    /// When the process refuses requests, with 503, because it has too much to do.
    pub struct OverloadConfig ("overload") {
        /// How much memory the process may have. Zero: what its control group may have, or else what the machine has.
        memory_limit: ByteSize = "0";
        /// Reads are refused while the process has this part of its memory limit, pages of files not counted.
        memory_reads: f64 = "0.85", range "0.1"..="1";
        /// The same for writes.
        memory_writes: f64 = "0.92", range "0.1"..="1";
        /// Reads are refused while work that is due begins so much later, because processors are busy. Zero: never.
        delay_reads: Duration = "500ms", max "1m";
        /// The same for writes.
        delay_writes: Duration = "2s", max "1m";
        /// How long things must have been better before less is refused.
        recovery: Duration = "5s", range "0"..="10m";
        /// How often memory and lateness are measured.
        interval: Duration = "100ms", range "10ms"..="10s";
    }
    check overload_is_consistent;
}

fn overload_is_consistent(config: &OverloadConfig) -> Result<(), String> {
    let OverloadConfig { memory_reads, memory_writes, delay_reads, delay_writes, .. } = config;
    if memory_writes < memory_reads {
        return Err(format!(
            "overload.memory_writes is {memory_writes} and overload.memory_reads {memory_reads}; reads are refused first, so it must \
             not be less"
        ));
    }
    if !delay_writes.is_zero() && delay_writes < delay_reads {
        return Err(format!(
            "overload.delay_writes is {delay_writes:?} and overload.delay_reads {delay_reads:?}; reads are refused first, so it must \
             not be less"
        ));
    }
    Ok(())
}

/// What a request is, as far as shedding is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It asks for data.
    Read,
    /// It brings data.
    Write,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How much memory the process has, in bytes; `None` where nobody knows.
pub type MemoryReader = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Says whether requests are taken. Clones are the same.
#[derive(Clone)]
pub struct Governor {
    shedding: Arc<AtomicU8>,
    shed: Family<ShedLabels, Counter>,
    level: Gauge,
    delay: FloatGauge,
    memory: FloatGauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    class: &'static str,
}

impl Governor {
    /// A governor that takes everything until [`Governor::watch`] has measured. Registers metrics, named `…_overload_…`.
    pub fn register(registry: &Registry) -> Self {
        let registry = registry.sub("overload");
        Self {
            shedding: Arc::default(),
            shed: registry.family("shed_requests", "Requests refused because the process has too much to do"),
            level: registry.gauge("shedding", "What is refused: 0 nothing, 1 reads, 2 reads and writes"),
            delay: registry.float_gauge(
                "delay_seconds",
                "How late work that was due began, at least, in the last measurements",
            ),
            memory: registry.float_gauge("memory_ratio", "The part of its memory limit that the process has"),
        }
    }

    /// Keeps measuring in a task of `scope`. `memory_limit` is in bytes; `None` where memory has no limit.
    pub fn watch(
        &self,
        config: &OverloadConfig,
        memory_limit: Option<u64>,
        memory: MemoryReader,
        scope: &Scope,
        clock: Arc<dyn Clock>,
    ) {
        let (governor, interval) = (self.clone(), config.interval);
        let mut decider = Decider::new(Thresholds {
            memory_reads: config.memory_reads,
            memory_writes: config.memory_writes,
            delay_reads: config.delay_reads,
            delay_writes: config.delay_writes,
            recovery: config.recovery,
        });
        let cancelled = scope.cancelled();
        let measure = async move {
            loop {
                let begun = clock.monotonic();
                clock.sleep(interval).await;
                let now = clock.monotonic();
                let delay = now.saturating_sub(begun).saturating_sub(interval);
                let part =
                    memory_limit.zip(memory()).map_or(0.0, |(limit, used)| used as f64 / limit.max(1) as f64);
                let shedding = decider.decide(now, Measured { memory: part, delay });
                governor.memory.set(part);
                governor.delay.set(decider.delay().as_secs_f64());
                governor.change(shedding, part, decider.delay());
            }
        };
        drop(scope.spawn("overload", async move {
            tokio::select! {
                biased;
                () = cancelled => {}
                () = measure => {}
            }
        }));
    }

    fn change(&self, shedding: Shedding, memory: f64, delay: Duration) {
        let before = self.shedding.swap(shedding as u8, Ordering::Relaxed);
        if before == shedding as u8 {
            return;
        }
        self.level.set(i64::from(shedding as u8));
        let delay_seconds = delay.as_secs_f64();
        if shedding as u8 > before {
            tracing::warn!(memory, delay_seconds, "overload: refusing {}", shedding.name());
        } else {
            tracing::info!(memory, delay_seconds, "overload is less: refusing {}", shedding.name());
        }
    }

    /// Whether a request is taken.
    ///
    /// # Errors
    /// [`proto::Code::Unavailable`], with when to come back, where requests of its class are shed.
    pub fn admit(&self, class: Class) -> Result<(), Error> {
        let refused_from = match class {
            Class::Read => Shedding::Reads,
            Class::Write => Shedding::Everything,
        };
        if self.shedding.load(Ordering::Relaxed) < refused_from as u8 {
            return Ok(());
        }
        self.shed.get_or_create(&ShedLabels { class: class.name() }).inc();
        Err(Error::unavailable(
            format!("the process is overloaded and refuses {}s; come back later", class.name()),
            RETRY_AFTER,
        ))
    }
}

impl std::fmt::Debug for Governor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Governor").field("shedding", &self.shedding).finish_non_exhaustive()
    }
}
