//! One tenant: its dispatcher, and the task that tells what is due.

use std::sync::Arc;
use std::time::Duration;

use env::Scope;
use model::TenantId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::alert::Alert;
use crate::dispatch::{DispatchLimits, Dispatcher, Flushed, Notification, Outcome, Pushed};
use crate::health::Healths;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey};
use crate::notify::{KINDS, Reason, SendError, Sending, Sent, Telling};
use crate::service::Shared;
use crate::setup::Setup;
use crate::silence::{Silence, SilenceError};
use crate::state::{Record, TenantState};

/// How many changes of the configuration may wait to be taken.
const MAX_WAITING_RELOADS: usize = 16;
/// A clock may jump, so that nothing is waited for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Another configuration, and whom to tell that it is in use.
struct Reload(Arc<Setup>, oneshot::Sender<()>);

/// A tenant.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) dispatcher: Mutex<Dispatcher>,
    /// How telling goes, for people who look.
    pub(crate) health: Mutex<Healths>,
    setup: RwLock<Arc<Setup>>,
    /// Wakes the task: something may be due earlier.
    changed: Notify,
    reloads: mpsc::Sender<Reload>,
    /// Held while a silence is decided on and kept, so that no other is decided on in between.
    changing: tokio::sync::Mutex<()>,
}

/// Why a silence is not as it was asked for.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// It is refused.
    Refused(SilenceError),
    /// It cannot be kept.
    Unkept(String),
}

impl Tenant {
    /// A tenant that nothing runs for yet; `start` is to be run for it.
    pub(crate) fn new(
        id: TenantId,
        setup: Arc<Setup>,
        limits: DispatchLimits,
        state: TenantState,
    ) -> (Arc<Self>, Start) {
        let (reloads, receiver) = mpsc::channel(MAX_WAITING_RELOADS);
        let dispatcher = Dispatcher::with_state(&setup.config, limits, state.silences, state.log);
        let tenant = Self {
            id,
            dispatcher: Mutex::new(dispatcher),
            health: Mutex::new(Healths::default()),
            setup: RwLock::new(setup),
            changed: Notify::new(),
            reloads,
            changing: tokio::sync::Mutex::new(()),
        };
        (Arc::new(tenant), Start(receiver))
    }

    /// The configuration in use.
    pub(crate) fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read())
    }

    /// Takes alerts in.
    pub(crate) fn push(&self, alerts: Vec<Alert>, now: Moment) -> Pushed {
        let mut sum = Pushed::default();
        let mut dispatcher = self.dispatcher.lock();
        for alert in alerts {
            let pushed = dispatcher.push(alert, now);
            sum.groups_refused += pushed.groups_refused;
            sum.refused |= pushed.refused;
        }
        drop(dispatcher);
        self.changed.notify_one();
        sum
    }

    /// Creates or changes a silence: what it is called. It is durable then.
    pub(crate) async fn set_silence(&self, shared: &Shared, silence: Silence) -> Result<String, ChangeError> {
        let _changing = self.changing.lock().await;
        let (language, limit) = (shared.config.language(), shared.config.max_silences);
        let id = shared.new_id();
        let decided = {
            let dispatcher = self.dispatcher.lock();
            dispatcher.silences().change(silence, &id, language, limit, shared.now())
        };
        let change = decided.map_err(ChangeError::Refused)?;
        self.keep(shared, change.store).await?;
        Ok(change.id)
    }

    /// Ends a silence. Its end is durable then.
    pub(crate) async fn expire_silence(&self, shared: &Shared, id: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let decided = self.dispatcher.lock().silences().expire(id, shared.now());
        match decided.map_err(ChangeError::Refused)? {
            Some(ended) => self.keep(shared, vec![ended]).await,
            None => Ok(()),
        }
    }

    async fn keep(&self, shared: &Shared, silences: Vec<Silence>) -> Result<(), ChangeError> {
        let record = |silence| Record::Silence(self.id.clone(), Box::new(silence));
        let records: Vec<Record> = silences.into_iter().map(record).collect();
        shared.keep(&records).await.map_err(ChangeError::Unkept)
    }

    /// Takes another configuration; ready when it is in use.
    pub(crate) async fn reload(&self, setup: Arc<Setup>) {
        let (done, answer) = oneshot::channel();
        if self.reloads.send(Reload(setup, done)).await.is_ok() {
            // Where the task has ended, nothing is told any more anyway.
            let _ = answer.await;
        }
    }
}

/// What has to run for a tenant.
pub(crate) struct Start(mpsc::Receiver<Reload>);

impl Start {
    /// Runs for a tenant, in a task of `scope`, until that is cancelled.
    pub(crate) fn run(self, tenant: Arc<Tenant>, shared: Arc<Shared>, scope: &Scope) {
        let scope = scope.clone();
        let runner = Runner { tenant, shared, sending: scope.child("sending"), scope: scope.clone() };
        // The scope ends the task.
        drop(scope.spawn("tenant", runner.run(self.0)));
    }
}

struct Runner {
    tenant: Arc<Tenant>,
    shared: Arc<Shared>,
    scope: Scope,
    /// What is being sent by the present configuration.
    sending: Scope,
}

impl Runner {
    async fn run(mut self, mut reloads: mpsc::Receiver<Reload>) {
        let mut cancelled = std::pin::pin!(self.scope.cancelled());
        let cleanup_interval = self.shared.config.cleanup_interval;
        let mut cleanup_at = self.shared.clock.monotonic() + cleanup_interval;
        loop {
            let next = self.next(cleanup_at);
            tokio::select! {
                biased;
                () = &mut cancelled => break,
                Some(Reload(setup, done)) = reloads.recv() => {
                    self.reload(setup).await;
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                () = self.tenant.changed.notified() => {}
                () = self.shared.clock.sleep(next) => {}
            }
            self.flush();
            if self.shared.clock.monotonic() >= cleanup_at {
                cleanup_at = self.shared.clock.monotonic() + cleanup_interval;
                let now = self.shared.now();
                self.tenant.dispatcher.lock().forget(self.shared.config.retention, now);
            }
        }
        self.end_sending().await;
    }

    /// How long there is nothing to do.
    fn next(&self, cleanup_at: Duration) -> Duration {
        let cleanup = cleanup_at.saturating_sub(self.shared.clock.monotonic());
        let due = self.tenant.dispatcher.lock().next_due();
        match due {
            Some(due) => due.since(self.shared.now()).min(cleanup).min(LONGEST_SLEEP),
            None => cleanup,
        }
    }

    /// What is on its way gets time to end, so that it is known to have been told; the rest is called off.
    async fn end_sending(&self) {
        self.sending.cancel();
        self.sending.join(&*self.shared.clock, self.shared.config.send_grace).await;
        self.sending.abort();
    }

    async fn reload(&mut self, setup: Arc<Setup>) {
        self.end_sending().await;
        self.sending = self.scope.child("sending");
        *self.tenant.setup.write() = Arc::clone(&setup);
        self.tenant.health.lock().reload(&setup.config);
        self.tenant.dispatcher.lock().reload(&setup.config, self.shared.now());
    }

    fn flush(&self) {
        let Flushed { notifications, noted, suppressed } =
            self.tenant.dispatcher.lock().flush(self.shared.now());
        let metrics = &self.shared.metrics;
        metrics.suppressed("inhibition", suppressed.inhibited);
        metrics.suppressed("silence", suppressed.silenced);
        metrics.suppressed("mute_time_interval", suppressed.muted);
        metrics.suppressed("active_time_interval", suppressed.inactive);
        if !noted.is_empty() {
            let (tenant, shared) = (Arc::clone(&self.tenant), Arc::clone(&self.shared));
            // Outlives the configuration: it says what is so.
            drop(self.scope.spawn("noted", async move { shared.record(&tenant.id, noted).await }));
        }
        for notification in notifications {
            let (tenant, shared) = (Arc::clone(&self.tenant), Arc::clone(&self.shared));
            let sending = self.sending.clone();
            drop(self.sending.spawn("notification", async move {
                tell(&tenant, &shared, &notification, &sending).await;
            }));
        }
    }
}

/// Sends a notification, keeps that it was sent, and lets its group go on.
async fn tell(tenant: &Tenant, shared: &Shared, notification: &Notification, sending: &Scope) {
    let sent = send(tenant, shared, notification, sending).await;
    let outcome = match &sent.failed {
        None => {
            let at = shared.now();
            tenant.health.lock().told(&notification.key, at);
            let entry: (LogKey, LogEntry) = tenant.dispatcher.lock().log_entry(notification, at);
            shared.record(&tenant.id, vec![entry]).await;
            Outcome::Sent
        }
        Some(error) => {
            tracing::error!(
                tenant = %tenant.id,
                receiver = notification.key.receiver,
                integration = notification.key.integration,
                group = notification.key.group,
                attempts = sent.attempts,
                "a notification was given up: {error}"
            );
            // What was called off says nothing of the receiver.
            if error.reason != Reason::Canceled {
                tenant.health.lock().failed(&notification.key, &error.message, shared.now());
            }
            Outcome::Failed
        }
    };
    tenant.dispatcher.lock().done(notification, outcome, shared.now());
    tenant.changed.notify_one();
}

async fn send(tenant: &Tenant, shared: &Shared, notification: &Notification, sending: &Scope) -> Sent {
    let setup = tenant.setup();
    let kind = KINDS.into_iter().find(|kind| *kind == notification.key.integration).unwrap_or("webhook");
    let unsent = |message: String| {
        shared.metrics.notifications.of(kind).inc();
        shared.metrics.failed(kind, Reason::Other);
        Sent { attempts: 0, failed: Some(SendError::for_good(message)) }
    };
    let Some(way) = setup.integrations.get(&notification.key) else {
        return unsent("the configuration has no such receiver any more".to_owned());
    };
    let telling = match Telling::new(notification, Arc::clone(&setup.templates), &shared.external_url) {
        Ok(telling) => telling,
        Err(error) => return unsent(format!("labels of the route: {error}")),
    };
    let sending_off = Sending {
        way,
        kind,
        telling,
        timeout: notification.deadline.since(shared.now()),
        clock: Arc::clone(&shared.clock),
        rng: Arc::clone(&shared.rng),
        metrics: shared.metrics.clone(),
    };
    sending_off.run(sending).await
}
