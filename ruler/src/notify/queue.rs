//! The queue of one Alertmanager.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::{Clock, Scope};
use model::TenantId;
use parking_lot::Mutex;
use proto::{Code, Error, PostedAlert};
use telemetry::metrics::{Counter, Gauge};
use tokio::sync::Notify;

use super::{Target, Waiting};
use crate::config::RulerConfig;
use crate::metrics::{NotificationMetrics, TargetLabels};

/// How often alerts are sent that do not arrive; then they are dropped, and rules send them again if they still matter.
const MAX_ATTEMPTS: u32 = 5;
/// How long it is waited before the second attempt; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// What sending to all Alertmanagers has in common.
pub(super) struct Sending {
    /// How many alerts may wait for one Alertmanager.
    pub(super) capacity: usize,
    batch: usize,
    timeout: Duration,
    /// How often Alertmanagers are looked for.
    pub(super) refresh: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: NotificationMetrics,
}

/// Alerts that wait to be sent to one Alertmanager.
pub(super) struct Queue {
    target: Target,
    with: Arc<Sending>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// The batch that is being sent.
    under_way: Mutex<Vec<Waiting>>,
    /// There is more, or nothing is to be sent any more.
    more: Notify,
    closed: AtomicBool,
    sent: Counter,
    errors: Counter,
    dropped: Counter,
    length: Gauge,
}

impl Sending {
    pub(super) fn new(config: &RulerConfig, clock: Arc<dyn Clock>, metrics: NotificationMetrics) -> Self {
        Self {
            capacity: config.notification_queue_capacity,
            batch: config.notification_batch_size,
            timeout: config.notification_timeout,
            refresh: config.alertmanager_refresh_interval,
            clock,
            metrics,
        }
    }
}

impl Queue {
    /// Begins to send to `target` what is put in, in a task of `scope`.
    pub(super) fn start(target: Target, with: Arc<Sending>, scope: &Scope) -> Arc<Self> {
        let (labels, metrics) = (labels(&target), &with.metrics);
        let queue = Arc::new(Self {
            sent: metrics.sent.get_or_create_owned(&labels),
            errors: metrics.errors.get_or_create_owned(&labels),
            dropped: metrics.dropped.get_or_create_owned(&labels),
            length: metrics.queue_length.get_or_create_owned(&labels),
            target,
            with,
            waiting: Mutex::default(),
            under_way: Mutex::default(),
            more: Notify::new(),
            closed: AtomicBool::new(false),
        });
        let sending = Arc::clone(&queue);
        let cancelled = scope.cancelled();
        // The scope ends the task. What waits then is sent by whoever evaluates the rules next.
        drop(scope.spawn("alerts", async move {
            tokio::select! {
                biased;
                () = cancelled => {}
                () = sending.run() => {}
            }
        }));
        queue
    }

    /// What the Alertmanager is called.
    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// Puts alerts in. When there are too many, the oldest are dropped: what is newer says more.
    pub(super) fn push(&self, alerts: impl Iterator<Item = Waiting>) {
        let mut waiting = self.waiting.lock();
        waiting.extend(alerts);
        let excess = waiting.len().saturating_sub(self.with.capacity);
        waiting.drain(..excess);
        self.shown(&waiting);
        drop(waiting);
        if excess > 0 {
            self.dropped.inc_by(excess as u64);
            tracing::warn!(
                alertmanager = self.target.name,
                alerts = excess,
                capacity = self.with.capacity,
                "the queue of alerts is full; the oldest were dropped"
            );
        }
        self.more.notify_one();
    }

    /// Sends nothing more, once the batch that is under way has been tried; what has not arrived, this batch included. The
    /// Alertmanager has no metrics any more.
    pub(super) fn close(&self) -> VecDeque<Waiting> {
        self.closed.store(true, Ordering::Release);
        self.more.notify_one();
        let (labels, metrics) = (labels(&self.target), &self.with.metrics);
        for counters in [&metrics.sent, &metrics.errors, &metrics.dropped] {
            counters.remove(&labels);
        }
        metrics.queue_length.remove(&labels);
        let mut waiting = self.waiting.lock();
        let mut left: VecDeque<Waiting> = std::mem::take(&mut *self.under_way.lock()).into();
        left.append(&mut waiting);
        left
    }

    async fn run(&self) {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            match self.next() {
                Some((tenant, batch)) => {
                    self.send(&tenant, &batch).await;
                    self.under_way.lock().clear();
                }
                None => self.more.notified().await,
            }
        }
    }

    /// The next alerts of one tenant.
    fn next(&self) -> Option<(TenantId, Vec<PostedAlert>)> {
        let mut waiting = self.waiting.lock();
        let (tenant, first) = waiting.pop_front()?;
        let mut batch = vec![first];
        while batch.len() < self.with.batch {
            match waiting.pop_front_if(|(of, _)| *of == tenant) {
                Some((_, alert)) => batch.push(alert),
                None => break,
            }
        }
        self.shown(&waiting);
        // Before others see that it does not wait any more.
        *self.under_way.lock() = batch.iter().map(|alert| (tenant.clone(), alert.clone())).collect();
        Some((tenant, batch))
    }

    async fn send(&self, tenant: &TenantId, batch: &[PostedAlert]) {
        let count = batch.len() as u64;
        let mut wait = FIRST_WAIT;
        for attempt in 1..=MAX_ATTEMPTS {
            let began = self.with.clock.monotonic();
            let posted = tokio::select! {
                biased;
                posted = self.target.way.post(tenant, batch) => posted,
                () = self.with.clock.sleep(self.with.timeout) => {
                    Err(Error::new(Code::DeadlineExceeded, format!("no answer within {:?}", self.with.timeout)))
                }
            };
            self.with
                .metrics
                .latency
                .observe(self.with.clock.monotonic().saturating_sub(began).as_secs_f64());
            let error = match posted {
                Ok(()) => {
                    self.sent.inc_by(count);
                    return;
                }
                Err(error) => error,
            };
            self.errors.inc_by(count);
            let closed = self.closed.load(Ordering::Acquire);
            let again = error.code.is_retryable() && attempt < MAX_ATTEMPTS && !closed;
            tracing::warn!(
                alertmanager = self.target.name, %tenant, alerts = count, attempt, again, %error,
                "alerts could not be sent"
            );
            if !again {
                break;
            }
            self.with.clock.sleep(wait).await;
            wait *= 2;
        }
        self.dropped.inc_by(count);
    }

    fn shown(&self, waiting: &VecDeque<Waiting>) {
        self.length.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    }
}

fn labels(target: &Target) -> TargetLabels {
    [("alertmanager", Arc::from(target.name.as_str()))]
}
