//! The generator: sends a population step by step, never two requests of one series at once.

mod send;
mod statistics;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use env::Clock;
use futures::stream::{FuturesUnordered, TryStreamExt};
use http::Uri;
use parking_lot::Mutex;
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::encode::{GroupEncoder, Protocol, TIMESTAMPS_MS};
use crate::group::groups;
use crate::ledger::{Ledger, LedgerError, LedgerHeader};
use crate::population::{Population, PopulationConfig, PopulationError};
pub use send::RetryPolicy;
use send::{Delivery, deliver};
pub use statistics::{Statistics, Summary};

/// How to write.
#[derive(Debug, Clone)]
pub struct WriteConfig {
    /// Where remote write is accepted: each by one of several servers. Requests are spread over them, and a
    /// repetition goes to the next one, as behind a load balancer.
    pub urls: Vec<String>,
    /// What is written.
    pub population: PopulationConfig,
    /// How many steps.
    pub steps: u32,
    /// Which remote write is spoken.
    pub protocol: Protocol,
    /// The most series in one request.
    pub series_per_request: u32,
    /// The most requests in flight.
    pub concurrency: usize,
    /// The most samples per second, 0 for as many as the server takes.
    pub rate: f64,
    /// Whether a step waits for its time on the wall clock.
    pub realtime: bool,
    /// What to do with requests that fail.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Where to note what was acknowledged.
    pub acks: Option<PathBuf>,
    /// Whether to go on with that file instead of beginning it; the population is then the file's.
    pub resume: bool,
}

/// Why writing cannot begin, or cannot go on.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The address is wrong.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The population is impossible.
    #[error(transparent)]
    Population(#[from] PopulationError),
    /// The ledger cannot be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The encoder could not compress.
    #[error("compressing a request of {bytes} bytes")]
    Compress {
        /// Its size.
        bytes: usize,
        /// What the compressor said.
        #[source]
        source: snap::Error,
    },
    /// Times outside what the encoder can patch.
    #[error("samples from {start_ms} to {end_ms} ms; all have to be between the years 1972 and 2109")]
    Times {
        /// The first.
        start_ms: i64,
        /// The last.
        end_ms: i64,
    },
}

/// A run of the generator. [`Run::go`] does the work; everything else may be called meanwhile.
pub struct Run {
    config: WriteConfig,
    urls: Vec<Uri>,
    client: Client,
    clock: Arc<dyn Clock>,
    population: Arc<Population>,
    ledger: Arc<Ledger>,
    queue: Mutex<VecDeque<GroupState>>,
    group_count: usize,
    statistics: Mutex<Statistics>,
    /// Samples handed out to be sent, for the rate.
    begun_samples: AtomicU64,
    stop: AtomicBool,
}

struct GroupState {
    index: usize,
    tenant: Option<String>,
    step: u32,
    encoder: GroupEncoder,
}

/// How often a waiting writer looks whether it shall stop.
const STOP_CHECK: Duration = Duration::from_millis(100);

impl Run {
    /// Prepares a run: checks the configuration and opens the ledger.
    pub fn new(mut config: WriteConfig, clock: Arc<dyn Clock>) -> Result<Self, WriteError> {
        let urls = crate::client::parse_urls(&config.urls)?;
        let resumed = match (&config.acks, config.resume) {
            (Some(path), true) => Some(Ledger::resume(path)?),
            _ => None,
        };
        if let Some((header, _)) = &resumed {
            config.population = header.population.clone();
            config.series_per_request = header.series_per_request;
            config.protocol = header.protocol;
            config.steps = header.steps;
        }
        let population = Arc::new(Population::new(config.population.clone())?);
        let (start_ms, interval) = (config.population.start_ms, config.population.interval_ms);
        let end_ms = start_ms.saturating_add(i64::from(config.steps).saturating_mul(interval));
        if !TIMESTAMPS_MS.contains(&start_ms) || !TIMESTAMPS_MS.contains(&end_ms) {
            return Err(WriteError::Times { start_ms, end_ms });
        }
        let header = LedgerHeader::new(
            config.population.clone(),
            config.series_per_request,
            config.protocol,
            config.steps,
        );
        let ledger = match (resumed, &config.acks) {
            (Some((_, ledger)), _) => ledger,
            (None, Some(path)) => Ledger::create(path, &header)?,
            (None, None) => Ledger::in_memory(),
        };
        let fates = ledger.fates();
        let groups = groups(&population, config.series_per_request);
        let group_count = groups.len();
        let queue = groups.into_iter().enumerate().map(|(index, group)| GroupState {
            index,
            tenant: population.tenant_id(group.tenant),
            step: fates.resume_at(index),
            encoder: GroupEncoder::new(population.clone(), group, config.protocol),
        });
        Ok(Self {
            urls,
            client: Client::new(config.timeout),
            clock,
            queue: Mutex::new(queue.collect()),
            population,
            ledger: Arc::new(ledger),
            group_count,
            statistics: Mutex::new(Statistics::default()),
            begun_samples: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            config,
        })
    }

    /// The population being written.
    pub fn population(&self) -> &Arc<Population> {
        &self.population
    }

    /// What was sent and acknowledged so far.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// How the population is divided into requests.
    pub fn series_per_request(&self) -> u32 {
        self.config.series_per_request
    }

    /// The samples of the whole run, about: churn adds staleness markers.
    pub fn expected_samples(&self) -> u64 {
        u64::from(self.population.slots()) * u64::from(self.config.steps)
    }

    /// Counts so far.
    pub fn summary(&self) -> Summary {
        self.statistics.lock().summary(self.clock.monotonic())
    }

    /// Makes [`Run::go`] return soon; requests in flight are awaited, retries given up.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Writes everything, or until [`Run::stop`].
    pub async fn go(&self) -> Result<(), WriteError> {
        self.statistics.lock().begin(self.clock.monotonic());
        // More writers than groups would find the queue empty and give up too early.
        let writers = self.config.concurrency.clamp(1, self.group_count);
        let writers: FuturesUnordered<_> = (0..writers).map(|_| self.writer()).collect();
        let result = writers.try_collect::<Vec<()>>().await;
        self.statistics.lock().end(self.clock.monotonic());
        result.map(|_| ())
    }

    /// Takes group after group, oldest step first, and sends its next request.
    async fn writer(&self) -> Result<(), WriteError> {
        let mut compressor = snap::raw::Encoder::new();
        while !self.stopping() {
            let Some(mut group) = self.queue.lock().pop_front() else { break };
            if group.step >= self.config.steps {
                continue;
            }
            self.pace(&group).await;
            if self.stopping() {
                break;
            }
            self.send_next(&mut group, &mut compressor).await?;
            group.step += 1;
            self.queue.lock().push_back(group);
        }
        Ok(())
    }

    async fn send_next(
        &self,
        group: &mut GroupState,
        compressor: &mut snap::raw::Encoder,
    ) -> Result<(), WriteError> {
        let (request, counts) = group.encoder.request(group.step);
        let bytes = request.len();
        let body =
            compressor.compress_vec(request).map_err(|source| WriteError::Compress { bytes, source })?;
        self.statistics.lock().encoded(counts, bytes, body.len());
        self.ledger.sent(group.index, group.step)?;
        let attempt = |number: usize| {
            let url = &self.urls[(group.index + group.step as usize + number) % self.urls.len()];
            self.client.push(url, group.tenant.as_deref(), self.config.protocol, body.clone().into())
        };
        let delivery =
            deliver(&self.config.retry, self.clock.as_ref(), &self.stop, &self.statistics, attempt).await;
        if let Delivery::Acknowledged(answer) = delivery {
            self.ledger.acknowledged(group.index, group.step)?;
            let mut statistics = self.statistics.lock();
            statistics.acknowledged(counts);
            if self.config.protocol == Protocol::V2 {
                statistics.check_written(counts, &answer);
            }
        }
        Ok(())
    }

    /// Waits until this request is due, by the rate and by the wall clock.
    async fn pace(&self, group: &GroupState) {
        let samples = u64::from(group.encoder.slots());
        let before = self.begun_samples.fetch_add(samples, Ordering::Relaxed);
        if self.config.rate > 0.0 {
            let began = self.statistics.lock().began();
            let due = began + Duration::from_secs_f64(before as f64 / self.config.rate);
            while !self.stopping() {
                let Some(wait) = due.checked_sub(self.clock.monotonic()).filter(|wait| !wait.is_zero())
                else {
                    break;
                };
                self.clock.sleep(wait.min(STOP_CHECK)).await;
            }
        }
        if self.config.realtime {
            let config = self.population.config();
            // Requests of one step are spread over the interval, as scrapes are.
            let share = config.interval_ms * group.index as i64 / self.group_count as i64;
            let due = config.start_ms + i64::from(group.step) * config.interval_ms + share;
            while !self.stopping() && self.clock.now_ms() < due {
                let wait = Duration::from_millis(due.abs_diff(self.clock.now_ms()));
                self.clock.sleep(wait.min(STOP_CHECK)).await;
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
