//! Who posts alerts, and who sets silences: what there is to tell, drawn before anything happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::RemoteAlertmanagers;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use model::{Labels, TenantId};
use proto::{PostAlerts as _, PostedAlert};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until, timeout};
use tower::ServiceExt as _;

use super::faults::ALL_OVER;
use super::knowledge::{Knowledge, machine};
use super::machines::Machines;
use super::seen::{Posted, Seen, Silenced};
use crate::draw::Draw;
use crate::site::START_MS;
use crate::stage::SKEW_MS;

/// How many tenants there are, and how many of the first post over HTTP; the others as rulers of the cluster do.
pub(super) const TENANTS: usize = 5;
const OVER_HTTP: usize = 3;
/// How many alerts and silences a tenant has, and how many names alerts share.
const ALERTS: usize = 9;
const SILENCES: u64 = 3;
const NAMES: usize = 4;
/// How often it is looked what is to be posted, and how often an alert that goes on is posted again.
const TICK: Duration = Duration::from_secs(1);
const RESEND: Duration = Duration::from_secs(5);
/// For how long an alert fires that is not posted again: four times as long as that takes, as Prometheus has it.
pub(super) const LASTS: Duration = Duration::from_secs(20);
/// How long it is said that an alert does not fire any more.
const RESOLVED_FOR: Duration = Duration::from_secs(60);
/// How long somebody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long after a silence was refused it is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// When alerts and silences begin.
const FIRST: Duration = Duration::from_secs(8);

/// An alert.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) service: String,
    pub(super) severity: &'static str,
    pub(super) starts: Duration,
    /// `None`: it fires when the run ends.
    pub(super) ends: Option<Duration>,
    /// It is posted until that is acknowledged, and not again.
    pub(super) once: bool,
}

/// The alerts of a run.
pub(super) fn draw_alerts(draw: &Draw) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for tenant in 0..TENANTS {
        for number in 0..ALERTS {
            let starts = draw.time(FIRST, ALL_OVER - Duration::from_secs(10));
            let lasts = match draw.chance(250) {
                true => draw.time(Duration::from_secs(2), Duration::from_secs(8)),
                false => draw.time(Duration::from_secs(30), Duration::from_secs(80)),
            };
            let severity = match draw.between(0, 9) {
                0..2 => "critical",
                2..5 => "warning",
                _ => "info",
            };
            alerts.push(Alert {
                id: format!("t{tenant}-{number}"),
                tenant: format!("t{tenant}"),
                name: format!("A{}", draw.between(0, NAMES as u64 - 1)),
                service: format!("s{}", draw.between(0, 2)),
                severity,
                starts,
                ends: Some(starts + lasts).filter(|ends| *ends < ALL_OVER + Duration::from_secs(5)),
                once: tenant < OVER_HTTP && draw.chance(250),
            });
        }
    }
    alerts
}

impl Alert {
    /// Whether it inhibits another one.
    pub(super) fn inhibits(&self, other: &Self) -> bool {
        self.severity == "critical"
            && other.severity == "warning"
            && (&self.tenant, &self.service) == (&other.tenant, &other.service)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let labels = [
            ("alertname", self.name.as_str()),
            ("id", &self.id),
            ("service", &self.service),
            ("severity", self.severity),
            ("tenant", &self.tenant),
        ];
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Until when it fires, if that is said at `now`.
    fn until(&self, now: Duration) -> Option<Duration> {
        match self.ends.filter(|ends| *ends <= now) {
            None if self.once => None,
            None => Some(now + LASTS),
            ends => ends,
        }
    }
}

/// Who posts, and sets silences.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) machines: Machines,
    pub(super) names: Arc<Vec<String>>,
    pub(super) remote: Arc<RemoteAlertmanagers>,
    pub(super) seen: Seen,
    pub(super) draw: Draw,
}

/// What was posted of an alert last: when, and whether it fired.
type Last = (Duration, bool);

/// To which process something was posted that was acknowledged, if that is known, and what was known then.
type Taken = (Option<String>, Arc<Knowledge>);

/// An answer of an Alertmanager.
struct Answered {
    status: u16,
    /// The body, if it is JSON.
    body: Value,
    /// Who has answered.
    life: String,
    /// What was known when it did.
    knowledge: Arc<Knowledge>,
}

impl Clients {
    /// Posts a tenant's alerts until the run ends.
    pub(super) async fn post(self, tenant: usize, alerts: Vec<Alert>) {
        let mut posted: BTreeMap<String, Last> = BTreeMap::new();
        loop {
            sleep(self.draw.time(TICK / 2, TICK * 3 / 2)).await;
            let now = self.seen.now();
            let is_due = |alert: &&Alert| is_due(alert, posted.get(&alert.id), now);
            let due: Vec<&Alert> = alerts.iter().filter(is_due).collect();
            if due.is_empty() {
                continue;
            }
            let taken = match tenant < OVER_HTTP {
                true => self.post_over_http(tenant, &due, now).await,
                false => self.post_as_rulers_do(tenant, &due, now).await,
            };
            let Some((to, knowledge)) = taken else { continue };
            let acknowledged = self.seen.now();
            for alert in due {
                let fires = alert.ends.is_none_or(|ends| ends > now);
                let id = &alert.id;
                posted.insert(id.clone(), (now, fires));
                let posted_ns = posted_ns(&knowledge, to.as_deref(), id, now);
                self.seen.acknowledge(Posted {
                    alert: id.clone(),
                    fires,
                    at: now,
                    acknowledged,
                    until: alert.until(now),
                    posted_ns,
                    to: to.clone(),
                    knowledge: Arc::clone(&knowledge),
                });
            }
        }
    }

    async fn post_over_http(&self, tenant: usize, due: &[&Alert], now: Duration) -> Option<Taken> {
        let post = |alert: &&Alert| {
            let mut post = json!({"labels": alert.labels(), "startsAt": time(alert.starts)});
            if let Some(until) = alert.until(now) {
                post["endsAt"] = time(until).into();
            }
            post
        };
        let body = Value::Array(due.iter().map(post).collect());
        let answer = self.ask(&format!("t{tenant}"), Method::POST, "/api/v2/alerts", Some(body)).await;
        let answer = answer.filter(|answer| answer.status == 200)?;
        Some((Some(answer.life), answer.knowledge))
    }

    async fn post_as_rulers_do(&self, tenant: usize, due: &[&Alert], now: Duration) -> Option<Taken> {
        let post = |alert: &&Alert| PostedAlert {
            labels: Labels::from_pairs(alert.labels()),
            annotations: Arc::default(),
            starts_at_ms: wall_ms(alert.starts),
            ends_at_ms: wall_ms(alert.until(now).unwrap_or(now + LASTS)),
            generator_url: "".into(),
        };
        let alerts: Vec<PostedAlert> = due.iter().map(post).collect();
        let id = TenantId::new(&format!("t{tenant}")).ok()?;
        let posting = self.remote.post(&id, &alerts);
        timeout(3 * PATIENCE, posting).await.ok()?.ok()?;
        Some((None, self.seen.knowledge()))
    }

    /// Sets silences of a tenant, and ends some of them before their time.
    pub(super) async fn silence(self, tenant: usize) {
        let began = tokio::time::Instant::now();
        let mut times: Vec<Duration> = (0..self.draw.between(1, SILENCES))
            .map(|_| self.draw.time(FIRST, ALL_OVER - Duration::from_secs(20)))
            .collect();
        times.sort();
        for at in times {
            let lasts = self.draw.time(Duration::from_secs(8), Duration::from_secs(30));
            let name = format!("A{}", self.draw.between(0, NAMES as u64 - 1));
            let is_ended = self.draw.chance(500);
            sleep_until(began + at).await;
            self.silence_once(&format!("t{tenant}"), &name, lasts, is_ended).await;
        }
    }

    async fn silence_once(&self, tenant: &str, name: &str, lasts: Duration, is_ended: bool) {
        let requested = self.seen.now();
        let ends = requested + lasts;
        let body = json!({
            "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
            "startsAt": time(requested), "endsAt": time(ends), "createdBy": "somebody", "comment": "a reason",
        });
        let silence = Silenced {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            requested,
            acknowledged: None,
            by: String::new(),
            ends,
            over: ends,
        };
        let number = self.seen.silence(silence);
        let mut attempts = 0;
        let (id, by) = loop {
            attempts += 1;
            let answer = self.ask(tenant, Method::POST, "/api/v2/silences", Some(body.clone())).await;
            if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                break (answer.body["silenceID"].as_str().unwrap_or_default().to_owned(), answer.life);
            }
            sleep(ASK_AGAIN).await;
            if self.seen.now() + Duration::from_secs(2) > ends {
                return;
            }
        };
        let now = self.seen.now();
        self.seen.silence_is(number, |silence| {
            (silence.acknowledged, silence.by) = (Some(now), machine(&by).to_owned());
        });
        // What was refused may have been done: another silence, that nobody knows.
        if !is_ended || attempts > 1 {
            return;
        }
        sleep(ends.saturating_sub(now) / 2).await;
        let asked = self.seen.now();
        self.seen.silence_is(number, |silence| silence.ends = asked.min(ends));
        let path = format!("/api/v2/silence/{id}");
        while self.seen.now() < ends {
            let answer = self.ask(tenant, Method::DELETE, &path, None).await;
            if answer.is_some_and(|answer| answer.status == 200) {
                let over = self.seen.now();
                self.seen.silence_is(number, |silence| silence.over = over.min(ends));
                return;
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// What one of the Alertmanagers answers a tenant.
    async fn ask(&self, tenant: &str, method: Method, path: &str, body: Option<Value>) -> Option<Answered> {
        let name = self.draw.one(&self.names)?;
        sleep(self.draw.time(Duration::ZERO, Duration::from_millis(20))).await;
        let (running, scope) = self.machines.running(name)?;
        let life = self.machines.life(name)?;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
        let mut request = request.ok()?;
        request.extensions_mut().insert(rpc::Tenant(TenantId::new(tenant).ok()?));
        let router = running.role.router();
        let mut asked = scope.spawn("request", async move {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        });
        let Ok(answer) = timeout(PATIENCE, &mut asked).await else {
            // Who waits no longer hangs up.
            asked.abort();
            return None;
        };
        let (status, body) = answer.ok()??;
        let knowledge = self.seen.knowledge();
        sleep(self.draw.time(Duration::ZERO, Duration::from_millis(20))).await;
        Some(Answered { status, body, life, knowledge })
    }
}

/// When it was that an alert was posted, by the clock of whoever was posted it, as far as is known of those that know it.
fn posted_ns(knowledge: &Knowledge, to: Option<&str>, alert: &str, at: Duration) -> i64 {
    let of = |life: &str| knowledge.get(life)?.alerts.get(alert).copied();
    if let Some(posted_ns) = to.and_then(of) {
        return posted_ns;
    }
    // One may have been posted it first, and have been alone with it: what was acknowledged was posted later, to a clock that may
    // be behind.
    let earliest = (wall_ms(at) - SKEW_MS / 2) * 1_000_000;
    let all = knowledge.values().filter_map(|known| known.alerts.get(alert).copied());
    all.filter(|posted_ns| *posted_ns >= earliest).min().unwrap_or(i64::MAX)
}

/// Whether something is to be posted of an alert.
fn is_due(alert: &Alert, posted: Option<&Last>, now: Duration) -> bool {
    let fires = alert.ends.is_none_or(|ends| ends > now);
    match posted {
        _ if alert.starts > now || alert.ends.is_some_and(|ends| ends + RESOLVED_FOR < now) => false,
        None => true,
        Some((at, fired)) => *fired != fires || (!alert.once && *at + RESEND <= now),
    }
}

fn wall_ms(at: Duration) -> i64 {
    START_MS + i64::try_from(at.as_millis()).unwrap_or(0)
}

/// A time of the run, as the API has it: runs begin with a year, and last no hour.
fn time(at: Duration) -> String {
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    format!("2026-01-01T00:{:02}:{:02}.{millis:03}Z", seconds / 60, seconds % 60)
}
