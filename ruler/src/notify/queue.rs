//! The queue of one Alertmanager.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};
use model::TenantId;
use parking_lot::Mutex;
use proto::{Code, Error, PostedAlert};
use telemetry::metrics::{Counter, Gauge, Histogram};
use tokio::sync::Notify;

use super::Target;
use crate::config::RulerConfig;
use crate::metrics::NotificationMetrics;

/// How often alerts are sent that do not arrive; then they are dropped, and rules send them again if they still matter.
const MAX_ATTEMPTS: u32 = 5;
/// How long it is waited before the second attempt; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Alerts that wait to be sent to one Alertmanager.
pub(super) struct Queue {
    target: Target,
    capacity: usize,
    batch: usize,
    timeout: Duration,
    waiting: Mutex<VecDeque<(TenantId, PostedAlert)>>,
    /// There is more.
    more: Notify,
    clock: Arc<dyn Clock>,
    sent: Counter,
    errors: Counter,
    dropped: Counter,
    length: Gauge,
    latency: Histogram,
}

impl Queue {
    /// Begins to send to `target` what is put in, in a task of `scope`.
    pub(super) fn start(
        target: Target,
        config: &RulerConfig,
        clock: Arc<dyn Clock>,
        metrics: &NotificationMetrics,
        scope: &Scope,
    ) -> Arc<Self> {
        let labels = [("alertmanager", Arc::from(target.name.as_str()))];
        let queue = Arc::new(Self {
            target,
            capacity: config.notification_queue_capacity,
            batch: config.notification_batch_size,
            timeout: config.notification_timeout,
            waiting: Mutex::default(),
            more: Notify::new(),
            clock,
            sent: metrics.sent.get_or_create_owned(&labels),
            errors: metrics.errors.get_or_create_owned(&labels),
            dropped: metrics.dropped.get_or_create_owned(&labels),
            length: metrics.queue_length.get_or_create_owned(&labels),
            latency: metrics.latency.clone(),
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

    /// Puts alerts in. When there are too many, the oldest are dropped: what is newer says more.
    pub(super) fn push(&self, tenant: &TenantId, alerts: &[PostedAlert]) {
        let mut waiting = self.waiting.lock();
        waiting.extend(alerts.iter().map(|alert| (tenant.clone(), alert.clone())));
        let excess = waiting.len().saturating_sub(self.capacity);
        waiting.drain(..excess);
        self.shown(&waiting);
        drop(waiting);
        if excess > 0 {
            self.dropped.inc_by(excess as u64);
            tracing::warn!(
                alertmanager = self.target.name,
                alerts = excess,
                capacity = self.capacity,
                "the queue of alerts is full; the oldest were dropped"
            );
        }
        self.more.notify_one();
    }

    async fn run(&self) {
        loop {
            let Some((tenant, batch)) = self.next() else {
                self.more.notified().await;
                continue;
            };
            self.send(&tenant, &batch).await;
        }
    }

    /// The next alerts of one tenant.
    fn next(&self) -> Option<(TenantId, Vec<PostedAlert>)> {
        let mut waiting = self.waiting.lock();
        let (tenant, first) = waiting.pop_front()?;
        let mut batch = vec![first];
        while batch.len() < self.batch {
            match waiting.pop_front_if(|(of, _)| *of == tenant) {
                Some((_, alert)) => batch.push(alert),
                None => break,
            }
        }
        self.shown(&waiting);
        Some((tenant, batch))
    }

    async fn send(&self, tenant: &TenantId, batch: &[PostedAlert]) {
        let count = batch.len() as u64;
        let mut wait = FIRST_WAIT;
        for attempt in 1..=MAX_ATTEMPTS {
            let began = self.clock.monotonic();
            let posted = tokio::select! {
                biased;
                posted = self.target.way.post(tenant, batch) => posted,
                () = self.clock.sleep(self.timeout) => {
                    Err(Error::new(Code::DeadlineExceeded, format!("no answer within {:?}", self.timeout)))
                }
            };
            self.latency.observe(self.clock.monotonic().saturating_sub(began).as_secs_f64());
            let error = match posted {
                Ok(()) => {
                    self.sent.inc_by(count);
                    return;
                }
                Err(error) => error,
            };
            self.errors.inc_by(count);
            let again = error.code.is_retryable() && attempt < MAX_ATTEMPTS;
            tracing::warn!(
                alertmanager = self.target.name, %tenant, alerts = count, attempt, again, %error,
                "alerts could not be sent"
            );
            if !again {
                break;
            }
            self.clock.sleep(wait).await;
            wait *= 2;
        }
        self.dropped.inc_by(count);
    }

    fn shown(&self, waiting: &VecDeque<(TenantId, PostedAlert)>) {
        self.length.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    }
}
