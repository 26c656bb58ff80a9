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
use crate::keeper::Keeper;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey};
use crate::notify::{Attempts, KINDS, Reason, SendError, Sending, Sent, Telling};
use crate::service::Shared;
use crate::setup::Setup;
use crate::silence::{Silence, SilenceError};
use crate::state::{Record, TenantState};

/// How many orders may wait to be carried out.
const MAX_WAITING_ORDERS: usize = 16;
/// How often a process that does not tell looks what another one has told.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(15);
/// How often a change of a silence is decided on anew because somebody else was faster.
const MAX_DECISIONS: u32 = 16;
/// A clock may jump, so that nothing is waited for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What the task is to do.
enum Order {
    /// To use another configuration.
    Reload(Arc<Setup>),
    /// To tell receivers, or to leave that to another process.
    Dispatch(bool),
}

/// An order, and whom to tell that it was carried out.
struct Ordered(Order, oneshot::Sender<()>);

/// A tenant.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) dispatcher: Mutex<Dispatcher>,
    /// How telling goes, for people who look.
    pub(crate) health: Mutex<Healths>,
    setup: RwLock<Arc<Setup>>,
    /// Wakes the task: something may be due earlier.
    changed: Notify,
    orders: mpsc::Sender<Ordered>,
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
        let (orders, receiver) = mpsc::channel(MAX_WAITING_ORDERS);
        let dispatcher = Dispatcher::with_state(&setup.config, limits, state.silences, state.log);
        let tenant = Self {
            id,
            dispatcher: Mutex::new(dispatcher),
            health: Mutex::new(Healths::default()),
            setup: RwLock::new(setup),
            changed: Notify::new(),
            orders,
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
        self.take_in(alerts, |dispatcher, alert| dispatcher.push(alert, now))
    }

    /// Takes in alerts that another process has.
    pub(crate) fn hear(&self, alerts: Vec<Alert>, now: Moment) -> Pushed {
        self.take_in(alerts, |dispatcher, alert| dispatcher.hear(alert, now))
    }

    fn take_in(&self, alerts: Vec<Alert>, take: impl Fn(&mut Dispatcher, Alert) -> Pushed) -> Pushed {
        let mut sum = Pushed::default();
        let mut dispatcher = self.dispatcher.lock();
        for alert in alerts {
            let pushed = take(&mut dispatcher, alert);
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
        let limit = self.max_silences(shared);
        for _ in 0..MAX_DECISIONS {
            let known = self.known_revision(shared, &silence.id)?;
            let (language, id) = (shared.config.language(), shared.new_id());
            let decided = {
                let dispatcher = self.dispatcher.lock();
                dispatcher.silences().change(silence.clone(), &id, language, limit, shared.now())
            };
            let change = decided.map_err(ChangeError::Refused)?;
            if self.keep(shared, change.store, known).await? {
                return Ok(change.id);
            }
        }
        Err(contended())
    }

    /// Ends a silence. Its end is durable then.
    pub(crate) async fn expire_silence(&self, shared: &Shared, id: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        for _ in 0..MAX_DECISIONS {
            let known = self.known_revision(shared, id)?;
            let decided = self.dispatcher.lock().silences().expire(id, shared.now());
            let Some(ended) = decided.map_err(ChangeError::Refused)? else { return Ok(()) };
            if self.keep(shared, vec![ended], known).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    fn max_silences(&self, shared: &Shared) -> usize {
        match shared.limits.of(&self.id).alertmanager_max_silences_count {
            0 => shared.config.max_silences,
            count => count.min(shared.config.max_silences),
        }
    }

    /// What a change of a silence is decided on; to be asked before that.
    fn known_revision(&self, shared: &Shared, id: &str) -> Result<u64, ChangeError> {
        match shared.keeper.cluster() {
            Some(cluster) => cluster.silence_revision(&self.id, id).map_err(ChangeError::Unkept),
            None => Ok(0),
        }
    }

    /// Keeps silences, of which those that are not new are as they were at a revision; whether nobody else was faster.
    async fn keep(&self, shared: &Shared, silences: Vec<Silence>, known: u64) -> Result<bool, ChangeError> {
        let record = |silence| Record::Silence(self.id.clone(), Box::new(silence));
        let records: Vec<Record> = silences.into_iter().map(record).collect();
        let max = shared.limits.of(&self.id).alertmanager_max_silence_size_bytes;
        if let Some(bytes) =
            records.iter().map(|record| record.encode().len()).find(|bytes| max > 0 && *bytes > max)
        {
            return Err(ChangeError::Refused(SilenceError::TooLarge { bytes, limit: max }));
        }
        match &shared.keeper {
            Keeper::Folder { .. } => {
                shared.keeper.keep(&records).await.map(|()| true).map_err(ChangeError::Unkept)
            }
            Keeper::Cluster(cluster) => {
                let kept = cluster.keep_silences(&self.id, &records, known, shared.config.retention).await;
                kept.map_err(|error| ChangeError::Unkept(format!("cannot be kept: {}", error.message)))
            }
        }
    }

    /// Takes another configuration; ready when it is in use.
    pub(crate) async fn reload(&self, setup: Arc<Setup>) {
        self.order(Order::Reload(setup)).await;
    }

    /// Tells receivers from now on, or leaves that to another process; ready when it is so, and what is on its way has ended.
    pub(crate) async fn dispatch(&self, dispatches: bool) {
        self.order(Order::Dispatch(dispatches)).await;
    }

    async fn order(&self, order: Order) {
        let (done, answer) = oneshot::channel();
        if self.orders.send(Ordered(order, done)).await.is_ok() {
            // Where the task has ended, nothing is told any more anyway.
            let _ = answer.await;
        }
    }

    /// Something may be due earlier.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }
}

fn contended() -> ChangeError {
    ChangeError::Unkept(format!("cannot be kept: others have changed it {MAX_DECISIONS} times meanwhile"))
}

/// What has to run for a tenant.
pub(crate) struct Start(mpsc::Receiver<Ordered>);

impl Start {
    /// Runs for a tenant, in a task of the scope, until that is cancelled; it tells receivers at once if it `dispatches`.
    pub(crate) fn run(self, tenant: Arc<Tenant>, shared: Arc<Shared>, (scope, dispatches): (&Scope, bool)) {
        let scope = scope.clone();
        let sending = scope.child("sending");
        let runner = Runner { tenant, shared, sending, scope: scope.clone(), dispatches };
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
    /// Whether it is this process that tells.
    dispatches: bool,
}

impl Runner {
    async fn run(mut self, mut orders: mpsc::Receiver<Ordered>) {
        let mut cancelled = std::pin::pin!(self.scope.cancelled());
        let cleanup_interval = self.shared.config.cleanup_interval;
        let mut cleanup_at = self.shared.clock.monotonic() + cleanup_interval;
        let mut follow_at = Duration::ZERO;
        loop {
            let next = self.next(cleanup_at, follow_at);
            tokio::select! {
                biased;
                () = &mut cancelled => break,
                Some(Ordered(order, done)) = orders.recv() => {
                    self.carry_out(order).await;
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                () = self.tenant.changed.notified() => {}
                () = self.shared.clock.sleep(next) => {}
            }
            let monotonic = self.shared.clock.monotonic();
            if self.dispatches {
                self.flush();
            } else if monotonic >= follow_at {
                self.tenant.dispatcher.lock().follow(self.shared.now());
                follow_at = monotonic + FOLLOW_INTERVAL;
            }
            if monotonic >= cleanup_at {
                cleanup_at = monotonic + cleanup_interval;
                let now = self.shared.now();
                self.tenant.dispatcher.lock().forget(self.shared.config.retention, now);
            }
        }
        self.end_sending().await;
    }

    /// How long there is nothing to do.
    fn next(&self, cleanup_at: Duration, follow_at: Duration) -> Duration {
        let monotonic = self.shared.clock.monotonic();
        let cleanup = cleanup_at.saturating_sub(monotonic);
        let due = self.tenant.dispatcher.lock().next_due();
        match due {
            Some(due) if self.dispatches => due.since(self.shared.now()).min(cleanup).min(LONGEST_SLEEP),
            Some(_) => follow_at.saturating_sub(monotonic).min(cleanup),
            None => cleanup,
        }
    }

    async fn carry_out(&mut self, order: Order) {
        match order {
            Order::Reload(setup) => self.reload(setup).await,
            Order::Dispatch(true) if !self.dispatches => {
                self.tenant.dispatcher.lock().take_over(self.shared.now());
                self.dispatches = true;
            }
            Order::Dispatch(false) if self.dispatches => {
                self.dispatches = false;
                self.end_sending().await;
                self.sending = self.scope.child("sending");
                self.tenant.dispatcher.lock().call_off();
            }
            Order::Dispatch(_) => {}
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
async fn tell(tenant: &Arc<Tenant>, shared: &Arc<Shared>, notification: &Notification, sending: &Scope) {
    let (sent, began) = send(tenant, shared, notification, sending).await;
    // Not when that is kept, which may take its time: of what others tell meanwhile, the later word has to hold. Nor when the
    // process went on, where it stood still before it had the answer.
    let now = shared.now();
    let at = match (shared.keeper.cluster(), began) {
        (Some(cluster), Some(began)) => now.min(began.plus(cluster.alone_for())),
        _ => now,
    };
    let outcome = match &sent.failed {
        None => {
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
    tenant.dispatcher.lock().done(notification, outcome, at);
    tenant.changed.notify_one();
}

async fn send(
    tenant: &Arc<Tenant>,
    shared: &Arc<Shared>,
    notification: &Notification,
    sending: &Scope,
) -> (Sent, Option<Moment>) {
    let setup = tenant.setup();
    let kind = KINDS.into_iter().find(|kind| *kind == notification.key.integration).unwrap_or("webhook");
    let unsent = |message: String| {
        shared.metrics.notifications.of(kind).inc();
        shared.metrics.failed(kind, Reason::Other);
        (Sent { attempts: 0, failed: Some(SendError::for_good(message)) }, None)
    };
    let Some(way) = setup.integrations.get(&notification.key) else {
        return unsent("the configuration has no such receiver any more".to_owned());
    };
    let telling = Telling::new(notification, Arc::clone(&setup.templates), &shared.external_url);
    let attempts = Arc::new(Attempted {
        tenant: Arc::clone(tenant),
        shared: Arc::clone(shared),
        key: notification.key.clone(),
        began: Mutex::new(None),
    });
    let sending_off = Sending {
        attempts: Arc::clone(&attempts) as _,
        way,
        kind,
        telling,
        timeout: notification.deadline.since(shared.now()),
        clock: Arc::clone(&shared.clock),
        rng: Arc::clone(&shared.rng),
        metrics: shared.metrics.clone(),
    };
    let sent = sending_off.run(sending).await;
    let began = *attempts.began.lock();
    (sent, began)
}

/// What a notification on its way asks and says.
struct Attempted {
    tenant: Arc<Tenant>,
    shared: Arc<Shared>,
    key: LogKey,
    /// When the last attempt began.
    began: Mutex<Option<Moment>>,
}

impl Attempts for Attempted {
    fn may_send(&self) -> bool {
        *self.began.lock() = Some(self.shared.now());
        self.shared.keeper.cluster().is_none_or(|cluster| cluster.may_act())
    }

    fn failed(&self, error: &SendError) {
        self.tenant.health.lock().failing(&self.key, &error.message, self.shared.now());
    }
}
