//! From a plan to ingesters, and from their answers to what became of each series.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Clock, Scope};
use proto::{Error, IngesterWrite, IngesterWriters, PushRequest, PushResponse, SeriesBatch, WriteRequest};
use ring::Ring;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::inflight::Permit;
use crate::metrics::Metrics;
use crate::walk::Plan;

use answers::Answers;
pub(crate) use answers::Combined;

/// How much later than it should a push is ended from here.
const TIMEOUT_SLACK: Duration = Duration::from_millis(100);

/// How pushes are made.
#[derive(Clone)]
pub(crate) struct Pusher {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
    pub(crate) ingesters: Arc<dyn IngesterWriters>,
    pub(crate) metrics: Metrics,
    /// What a push may take.
    pub(crate) timeout: Duration,
    /// What clients are told to wait.
    pub(crate) retry_after: Duration,
}

impl Pusher {
    /// Sends each ingester its part at the same time and waits until all series are decided, which may be before the
    /// last ingester has answered; `permits` are held until it has.
    pub(crate) async fn push(
        &self,
        ring: &Ring,
        request: &WriteRequest,
        plan: Plan,
        permits: Arc<Vec<Permit>>,
    ) -> Combined {
        let rewritten = Bytes::from(plan.rewritten);
        let symbols = Arc::new(plan.symbols);
        let mut answers = Answers::new(ring.quorum(), plan.tallies, plan.contents);
        let mut parts = Vec::with_capacity(plan.groups.len());
        for group in plan.groups {
            let instance = ring.instances().get(group.instance);
            let push = PushRequest {
                tenant: request.tenant.clone(),
                batch: SeriesBatch {
                    version: request.version,
                    request: request.body.clone(),
                    rewritten: rewritten.clone(),
                    symbols: Arc::clone(&symbols),
                    frames: group.frames,
                },
                metadata: group.metadata,
            };
            let ingester = instance.and_then(|instance| self.ingesters.writer(&instance.id));
            answers.expect(group.items, group.metadata_items);
            parts.push((ingester, push));
        }
        if parts.len() == 1 {
            for (ingester, push) in parts {
                answers.add(0, self.call(ingester, push).await);
            }
        } else {
            self.push_all(parts, &mut answers, permits).await;
        }
        answers.combine(plan.refusals)
    }

    async fn push_all(
        &self,
        parts: Vec<(Option<Arc<dyn IngesterWrite>>, PushRequest)>,
        answers: &mut Answers,
        permits: Arc<Vec<Permit>>,
    ) {
        let (sender, mut receiver) = mpsc::channel(parts.len().max(1));
        for (part, (ingester, push)) in parts.into_iter().enumerate() {
            let (pusher, sender, permits) = (self.clone(), sender.clone(), Arc::clone(&permits));
            let pushed = async move {
                let result = pusher.call(ingester, push).await;
                drop(permits);
                // Nobody listens any more once all series are decided.
                drop(sender.send((part, result)).await);
            };
            drop(self.scope.spawn("push", pushed.in_current_span()));
        }
        drop(sender);
        while !answers.are_decided() {
            match receiver.recv().await {
                Some((part, result)) => answers.add(part, result),
                // Tasks that were aborted do not answer.
                None => break,
            }
        }
    }

    async fn call(
        &self,
        ingester: Option<Arc<dyn IngesterWrite>>,
        push: PushRequest,
    ) -> Result<PushResponse, Error> {
        let Some(ingester) = ingester else {
            self.metrics.push_failures.inc();
            return Err(Error::unavailable("an ingester cannot be reached", self.retry_after));
        };
        let span = telemetry::request_span!("distributor.push", series = push.batch.frames.len());
        let started = self.clock.monotonic();
        // An ingester in another process is given the time and ends with it; the own clock is for all others.
        let timeout = self.clock.sleep(self.timeout.saturating_add(TIMEOUT_SLACK));
        let result = tokio::select! {
            biased;
            result = ingester.push_within(push, self.timeout).instrument(span.clone()) => result,
            () = timeout => Err(Error::unavailable(
                format!("an ingester did not answer within {:?}", self.timeout),
                self.retry_after,
            )),
        };
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.push_seconds.observe(took.as_secs_f64());
        if let Err(error) = &result {
            telemetry::trace::fail(&span, error.message.as_str());
            self.metrics.push_failures.inc();
        }
        result
    }
}
