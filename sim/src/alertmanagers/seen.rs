//! What a run has seen: the receiver that Alertmanagers tell, which is one for all of them, when alerts and silences were
//! acknowledged, when the metastore had what was told, and when processes were cut short.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{Alertmanager, ReceiverNetwork};
use async_trait::async_trait;
use bytes::Bytes;
use env::Scope;
use http::{Request, Response};
use membership::records::{self, Kind as _, NotificationLog};
use membership::{LeaseHolder, View, Watcher};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::knowledge::{Knowledge, Known, Living, machine};
use crate::draw::Draw;
use crate::trace::Trace;

/// The longest that the way to the receiver takes, and the longest that a slow answer does.
const LATENCY: Duration = Duration::from_millis(60);
const SLOW: Duration = Duration::from_millis(1_500);
/// Attempts to tell the same that are further apart than this were decided on anew.
const ONE_DECISION: Duration = Duration::from_secs(12);
/// How long after it was decided on an Alertmanager waits for an answer to what it tells.
const ANSWERED_WITHIN: Duration = alertmanager::dispatch::MIN_TIMEOUT;

/// What a run saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlertmanagerStats {
    /// Notifications that the receiver took.
    pub told: u64,
    /// Those that told nothing new, since their sender's predecessor was cut short before the metastore had what it told.
    pub repeated: u64,
    /// Those that told nothing new, since their sender's predecessor was cut off both from the metastore and from it.
    pub cut_off: u64,
    /// Those that told nothing new, since another process had told of the group at nearly the same time, by a clock that is ahead.
    pub overruled: u64,
    /// Those that told nothing new, since an answer of the receiver was lost.
    pub unheard: u64,
    /// Those that told nothing new, and one of the two that told it was without the metastore.
    pub without_metastore: u64,
    /// How often something was told of what was silenced, by a process that could not know.
    pub unaware: u64,
    /// How often something was told of what was inhibited, did not fire, or did, by a process that could not know.
    pub unheard_of: u64,
    /// How often alerts had to be told that they fire, and that they do not.
    pub due: u64,
    /// How often what a tenant's alerts are was told by another process than the time before.
    pub moved: u64,
    /// How often a silence was set and ended.
    pub silences: u64,
    /// The longest from when an alert had to be told until it was, in milliseconds.
    pub longest_ms: u64,
}

/// A notification that the receiver took.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) tenant: String,
    pub(super) group: String,
    /// By which process.
    pub(super) life: String,
    /// When it was sent first, and when this time.
    pub(super) decided: Duration,
    pub(super) sent: Duration,
    /// When the receiver had it.
    pub(super) at: Duration,
    /// When the answer was there, or would have been.
    pub(super) answered: Duration,
    /// The answer was lost, or came too late.
    pub(super) unheard: bool,
    /// Whoever sent it was without the metastore then.
    pub(super) alone: bool,
    /// What was known when it was sent first.
    pub(super) knowledge: Arc<Knowledge>,
    /// The alerts, by name: whether they fire.
    pub(super) alerts: BTreeMap<String, bool>,
    pub(super) state: GroupState,
}

/// What fires of a group, and what does not, by fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct GroupState {
    pub(super) firing: BTreeSet<u64>,
    pub(super) resolved: BTreeSet<u64>,
}

/// What the metastore was seen to have.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub(super) seen: Duration,
    pub(super) tenant: String,
    pub(super) group: String,
    pub(super) state: GroupState,
}

/// Something that was said of an alert and acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Posted {
    pub(super) alert: String,
    pub(super) fires: bool,
    /// When it was sent off, and when it was acknowledged.
    pub(super) at: Duration,
    pub(super) acknowledged: Duration,
    /// Until when it holds that it fires, if that was said.
    pub(super) until: Option<Duration>,
    /// When it was posted, by the clock of whoever it was posted to, in nanoseconds.
    pub(super) posted_ns: i64,
    /// To which process; `None` where that is any of those that knew it then.
    pub(super) to: Option<String>,
    /// What was known when it was acknowledged.
    pub(super) knowledge: Arc<Knowledge>,
}

impl Posted {
    /// The processes that knew of it when it was acknowledged.
    pub(super) fn holders(&self) -> impl Iterator<Item = &String> {
        let knows =
            |known: &Known| known.alerts.get(&self.alert).is_some_and(|posted| *posted >= self.posted_ns);
        self.knowledge.iter().filter(move |(_, known)| knows(known)).map(|(life, _)| life)
    }
}

impl fmt::Display for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alert, fires, at, acknowledged, until, to, .. } = self;
        let (word, holders) =
            (if *fires { "fires" } else { "has ended" }, self.holders().collect::<Vec<_>>());
        write!(
            f,
            "{alert} {word} until {until:?}, posted to {to:?} at {at:?}, acknowledged at {acknowledged:?} by {holders:?}"
        )
    }
}

/// A process that ended, and what the others knew then.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) life: String,
    pub(super) at: Duration,
    pub(super) left: Arc<Knowledge>,
}

/// A silence, from who sets it.
#[derive(Debug, Clone, Default)]
pub(super) struct Silenced {
    pub(super) tenant: String,
    /// The value of `alertname`.
    pub(super) name: String,
    pub(super) requested: Duration,
    pub(super) acknowledged: Option<Duration>,
    /// The machine that has acknowledged it.
    pub(super) by: String,
    /// When it ends, or its end is asked for.
    pub(super) ends: Duration,
    /// When it has certainly ended, everywhere but in views that are behind.
    pub(super) over: Duration,
}

/// Everything that was seen. Clones are the same.
#[derive(Clone)]
pub(super) struct Seen(Arc<Inner>);

struct Inner {
    outside: Scope,
    draw: Draw,
    trace: Trace,
    began: Instant,
    /// How many answers are slow or lost, per mille.
    slow: u64,
    lost: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many faults make the receiver refuse.
    refusals: u32,
    /// The processes that live, by their machines.
    living: BTreeMap<String, Living>,
    /// When what a process tries to tell was sent first, and last, and what was known at first.
    attempts: BTreeMap<(String, Bytes), Attempts>,
    facts: Facts,
    /// The revisions of the metastore's records that were looked at.
    looked: BTreeMap<Bytes, u64>,
}

#[derive(Clone)]
struct Attempts {
    first: Duration,
    last: Duration,
    knowledge: Arc<Knowledge>,
}

/// What there is to judge.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) told: Vec<Told>,
    pub(super) committed: Vec<Committed>,
    /// Processes that ended or stood still, and when.
    pub(super) cut_short: Vec<(String, Duration)>,
    pub(super) silences: Vec<Silenced>,
    /// What was said of alerts, in the order of acknowledgements.
    pub(super) posted: Vec<Posted>,
    /// Processes that ended, in order.
    pub(super) ended: Vec<Ended>,
    pub(super) violation: Option<String>,
}

impl Seen {
    pub(super) fn new(outside: Scope, draw: Draw, trace: Trace) -> Self {
        // Most receivers answer at once, always.
        let slow = if draw.chance(300) { 300 } else { 0 };
        let lost = if draw.chance(200) { 20 } else { 0 };
        let state = Mutex::default();
        Self(Arc::new(Inner { outside, draw, trace, began: Instant::now(), slow, lost, state }))
    }

    /// The way of a process to receivers.
    pub(super) fn way_of(&self, life: &str) -> Arc<dyn ReceiverNetwork> {
        Arc::new(Way { seen: self.clone(), life: life.to_owned() })
    }

    /// How long the run has lasted.
    pub(super) fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// All that was seen.
    pub(super) fn facts(&self) -> Facts {
        self.0.state.lock().facts.clone()
    }

    /// From now on the receiver refuses, or no more.
    pub(super) fn refuse(&self, refuses: bool) {
        let refusals = &mut self.0.state.lock().refusals;
        *refusals = if refuses { *refusals + 1 } else { refusals.saturating_sub(1) };
    }

    /// A process ends, or stands still.
    pub(super) fn cut_short(&self, life: Option<String>) {
        let now = self.now();
        self.0.state.lock().facts.cut_short.extend(life.map(|life| (life, now)));
    }

    /// A process has started.
    pub(super) fn began(&self, life: &str, role: Alertmanager, lease: LeaseHolder) {
        let living = Living { life: life.to_owned(), began: self.now(), role, lease };
        self.0.state.lock().living.insert(machine(life).to_owned(), living);
    }

    /// The process of a machine has ended, if there was one.
    pub(super) fn ended(&self, machine: &str) {
        let Some(ended) = self.0.state.lock().living.remove(machine) else { return };
        let (at, left) = (self.now(), self.knowledge());
        self.0.state.lock().facts.ended.push(Ended { life: ended.life, at, left });
    }

    /// What is known now, and by whom.
    pub(super) fn knowledge(&self) -> Arc<Knowledge> {
        let now = self.now();
        // They are asked without the lock, which they may want.
        let living: Vec<Living> = self.0.state.lock().living.values().cloned().collect();
        Arc::new(living.into_iter().map(|living| (living.life.clone(), living.knows(now))).collect())
    }

    /// Something that was said of an alert is acknowledged.
    pub(super) fn acknowledge(&self, posted: Posted) {
        self.0.state.lock().facts.posted.push(posted);
    }

    /// Lets go of all processes.
    pub(super) fn end(&self) {
        let living = std::mem::take(&mut self.0.state.lock().living);
        drop(living);
    }

    /// A silence is asked for; its number.
    pub(super) fn silence(&self, silence: Silenced) -> usize {
        let mut state = self.0.state.lock();
        state.facts.silences.push(silence);
        state.facts.silences.len() - 1
    }

    /// What became of a silence.
    pub(super) fn silence_is(&self, number: usize, change: impl FnOnce(&mut Silenced)) {
        if let Some(silence) = self.0.state.lock().facts.silences.get_mut(number) {
            change(silence);
        }
    }

    /// Looks at what the metastore has, whenever that changes, until the watch ends.
    pub(super) async fn audit(self, log: Watcher) {
        let mut views = log.subscribe();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            self.look(&view);
            if views.changed().await.is_err() {
                return;
            }
        }
    }

    fn look(&self, view: &View) {
        let seen = self.now();
        let mut state = self.0.state.lock();
        for record in view.range(NotificationLog::PREFIX.as_bytes()) {
            if state.looked.insert(record.key.clone(), record.mod_revision) == Some(record.mod_revision) {
                continue;
            }
            match committed(record, seen) {
                Some(committed) => {
                    let Committed { tenant, group, state: told, .. } = &committed;
                    self.0.trace.event(format_args!("the metastore has {tenant} {group}: {told:?}"));
                    state.facts.committed.push(committed);
                }
                None => state.facts.violation = Some(format!("{:?} cannot be read", record.key)),
            }
        }
    }

    /// When what a process sends now was sent first, and what was known then.
    fn decided(&self, life: &str, body: &Bytes) -> (Duration, Arc<Knowledge>) {
        let (now, key) = (self.now(), (life.to_owned(), body.clone()));
        let earlier = self.0.state.lock().attempts.get(&key).cloned();
        let attempts = match earlier.filter(|earlier| now.saturating_sub(earlier.last) <= ONE_DECISION) {
            Some(earlier) => Attempts { last: now, ..earlier },
            None => Attempts { first: now, last: now, knowledge: self.knowledge() },
        };
        let decided = (attempts.first, Arc::clone(&attempts.knowledge));
        self.0.state.lock().attempts.insert(key, attempts);
        decided
    }

    /// A request is at the receiver; the status of its answer, and whether it was taken as the last of what was told.
    fn take(&self, sending: &Sending, body: &Bytes) -> u16 {
        let mut state = self.0.state.lock();
        if state.refusals > 0 {
            return 503;
        }
        let (life, at) = (&sending.life, self.0.began.elapsed());
        match told(sending, body, at) {
            Some(told) => {
                let what = &told.alerts;
                self.0.trace.event(format_args!(
                    "{life} tells {} {}: {what:?}{}",
                    told.tenant,
                    told.group,
                    if told.unheard { ", and the answer is lost" } else { "" }
                ));
                if !told.unheard {
                    state.attempts.remove(&(life.clone(), body.clone()));
                }
                state.facts.told.push(told);
                200
            }
            None => {
                state.facts.violation = Some(format!("{life} tells {}", String::from_utf8_lossy(body)));
                400
            }
        }
    }
}

/// A request on its way.
#[derive(Clone)]
struct Sending {
    life: String,
    alone: bool,
    answered: Duration,
    decided: Duration,
    knowledge: Arc<Knowledge>,
    sent: Duration,
    unheard: bool,
}

/// The way of a process to the receiver.
struct Way {
    seen: Seen,
    life: String,
}

#[async_trait]
impl ReceiverNetwork for Way {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let (seen, body) = (self.seen.clone(), request.into_body());
        let inner = &self.seen.0;
        let time = || inner.draw.time(Duration::from_millis(1), LATENCY);
        let (there, mut back) = (time(), time());
        if inner.draw.chance(inner.slow) {
            back += inner.draw.time(Duration::ZERO, SLOW);
        }
        let is_lost = inner.draw.chance(inner.lost);
        let (decided, knowledge) = seen.decided(&self.life, &body);
        let sent = seen.now();
        let answered = sent + there + back;
        let unheard = is_lost || answered + LATENCY > decided + ANSWERED_WITHIN;
        let alone = seen.knowledge().get(&self.life).is_some_and(|known| known.alone);
        let sending = Sending { life: self.life.clone(), alone, answered, decided, knowledge, sent, unheard };
        // What was sent arrives, whatever becomes of the sender.
        let arriving = inner.outside.spawn("notification", async move {
            sleep(there).await;
            seen.take(&sending, &body)
        });
        let status = arriving.await.map_err(|error| error.to_string())?;
        sleep(back).await;
        match is_lost {
            true => Err("the connection was lost".to_owned()),
            false => {
                let response = Response::builder().status(status).body(Bytes::new());
                response.map_err(|error| error.to_string())
            }
        }
    }
}

/// What a webhook's body says.
fn told(sending: &Sending, body: &Bytes, at: Duration) -> Option<Told> {
    let message: Value = serde_json::from_slice(body).ok()?;
    let tenant = message["groupLabels"]["tenant"].as_str()?.to_owned();
    let (mut alerts, mut state) = (BTreeMap::new(), GroupState::default());
    for alert in message["alerts"].as_array()? {
        if alert["labels"]["tenant"].as_str()? != tenant {
            return None;
        }
        let fires = alert["status"].as_str()? == "firing";
        let fingerprint = u64::from_str_radix(alert["fingerprint"].as_str()?, 16).ok()?;
        let of = if fires { &mut state.firing } else { &mut state.resolved };
        of.insert(fingerprint);
        alerts.insert(alert["labels"]["id"].as_str()?.to_owned(), fires);
    }
    let Sending { life, alone, answered, decided, knowledge, sent, unheard } = sending.clone();
    let group = message["groupKey"].as_str()?.to_owned();
    Some(Told { tenant, group, life, decided, sent, at, answered, unheard, alone, knowledge, alerts, state })
}

/// What a record of the notification log says.
fn committed(record: &proto::metastore::Record, seen: Duration) -> Option<Committed> {
    let value = records::value::<NotificationLog>(record).ok()?.message.record;
    let value: Value = serde_json::from_slice(&value).ok()?;
    let fingerprints = |name: &str| {
        let all = value["told"][name].as_array()?;
        all.iter().map(Value::as_u64).collect::<Option<BTreeSet<u64>>>()
    };
    let state = GroupState { firing: fingerprints("firing")?, resolved: fingerprints("resolved")? };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Committed { seen, tenant: text(&value["tenant"])?, group: text(&value["told"]["group"])?, state })
}
