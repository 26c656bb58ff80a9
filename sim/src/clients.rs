//! Clients: those who write, as Prometheus does, and those who ask.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use env::{Clock as _, Scope, SimClock};
use model::TenantId;
use promql::{QueryTime, QueryValue, RangeSeries};
use proto::{Version, Write as _, WriteRequest};
use querier::{QueryRequest, StatsWanted};
use tokio::time::timeout;
use wire::encode::Rw1Writer;
use xxhash_rust::xxh3::xxh3_64;

use crate::bounds::Bounds;
use crate::draw::Draw;
use crate::fleet::Fleet;
use crate::node::{Part, Role};
use crate::oracle::{METRIC, Oracle, Row};
use crate::site::START_MS;
use crate::trace::Trace;

/// How often a write is sent before the client gives it up.
const ATTEMPTS: u32 = 6;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose bursts are.
const BURST_TENANT: &str = "green";
/// The number of the first series of a burst, and how many are written at once.
const BURST_SERIES: u32 = 2000;
const BURST_WRITE: u32 = 20;
/// The number of the first series that passes, how many begin together, and how long they last.
const PASSING_SERIES: u32 = 5000;
const GENERATION_SERIES: u32 = 2;
const GENERATION_MS: i64 = 10_000;
/// How often queues are looked at during a burst.
const LOOKS_AT_BURST: u32 = 6;
const LOOK_AT_BURST_EVERY: Duration = Duration::from_millis(7);

/// What clients share. Clones are the same.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) fleet: Fleet,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    /// Of nobody's machine: right.
    pub(crate) clock: SimClock,
    pub(crate) scope: Scope,
    pub(crate) stop: Arc<AtomicBool>,
    /// Nothing more is written, but asked.
    pub(crate) stop_writing: Arc<AtomicBool>,
}

/// What came of a write.
enum Wrote {
    Acknowledged,
    Refused(String),
    Failed(String),
}

impl Clients {
    /// Writes some series of a tenant until it is told to stop.
    pub(crate) fn start_writer(&self, tenant: &'static str, series: std::ops::Range<u32>, draw: Draw) {
        let clients = self.clone();
        drop(self.scope.spawn("writer", async move {
            while clients.writes_on() {
                tokio::time::sleep(draw.time(Duration::from_millis(200), Duration::from_millis(1200))).await;
                let now_ms = clients.clock.now_ms();
                let some = series.clone().filter(|_| draw.chance(850));
                let rows: Vec<Row> = some.map(|number| row(tenant, number, now_ms)).collect();
                clients.write(tenant, &rows, &draw).await;
            }
        }));
    }

    /// Writes series of a tenant that end soon, for others to begin: what ends, ingesters forget once it is in the bucket. Some
    /// samples come late.
    pub(crate) fn start_passing_writer(&self, tenant: &'static str, draw: Draw) {
        let clients = self.clone();
        drop(self.scope.spawn("writer", async move {
            while clients.writes_on() {
                tokio::time::sleep(draw.time(Duration::from_millis(500), Duration::from_millis(2500))).await;
                let now_ms = clients.clock.now_ms();
                let generation = u32::try_from((now_ms - START_MS) / GENERATION_MS).unwrap_or(0);
                let late_ms = if draw.chance(200) { draw.between(1_000, 15_000) } else { 0 };
                let at_ms = now_ms - i64::try_from(late_ms).unwrap_or(0);
                let first = PASSING_SERIES + generation * GENERATION_SERIES;
                let rows: Vec<Row> =
                    (first..first + GENERATION_SERIES).map(|number| row(tenant, number, at_ms)).collect();
                clients.write(tenant, &rows, &draw).await;
            }
        }));
    }

    fn writes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.stop_writing.load(Ordering::Relaxed)
    }

    /// Asks about a tenant until it is told to stop.
    pub(crate) fn start_reader(&self, tenant: &'static str, draw: Draw) {
        let clients = self.clone();
        drop(self.scope.spawn("reader", async move {
            while !clients.stop.load(Ordering::Relaxed) {
                tokio::time::sleep(draw.time(Duration::from_millis(100), Duration::from_millis(1500))).await;
                let queriers = clients.fleet.names(Role::Querier);
                let Some(querier) = draw.one(&queriers) else { return };
                let until_ms =
                    clients.clock.now_ms() - i64::try_from(draw.between(0, 9) / 7 * 4000).unwrap_or(0);
                let back_ms = match draw.between(0, 3) {
                    0 => 3_600_000,
                    1 => 2_000,
                    _ => i64::try_from(draw.between(1_000, 40_000)).unwrap_or(1_000),
                };
                // What it was not is in the trace, and a violation with the oracle.
                let _ = clients.ask(querier, tenant, (until_ms - back_ms, until_ms)).await;
            }
        }));
    }

    /// Writes and asks much more than there is room for, for a moment, and waits until all of it is decided.
    pub(crate) async fn burst(&self, seed: u64) {
        let draw = Draw::new(seed, "burst");
        let mut under_way = Vec::new();
        for number in 0..draw.between(40, 80) {
            let (clients, draw) = (self.clone(), Draw::new(seed, &format!("burst {number}")));
            under_way.push(self.scope.spawn("burst", async move {
                tokio::time::sleep(draw.time(Duration::ZERO, Duration::from_millis(20))).await;
                let now_ms = clients.clock.now_ms();
                let first = BURST_SERIES + u32::try_from(number).unwrap_or(0) * BURST_WRITE;
                let rows: Vec<Row> =
                    (first..first + BURST_WRITE).map(|number| row(BURST_TENANT, number, now_ms)).collect();
                if let Some(distributor) = draw.one(&clients.fleet.names(Role::Distributor)) {
                    // What came of it, the oracle knows.
                    let _ = clients.write_once(distributor, BURST_TENANT, &rows).await;
                }
                if let Some(querier) = draw.one(&clients.fleet.names(Role::Querier)) {
                    let _ = clients.ask(querier, BURST_TENANT, (now_ms - 5_000, now_ms)).await;
                }
            }));
        }
        let bounds = Bounds::of(&self.fleet, &self.oracle);
        for _ in 0..LOOKS_AT_BURST {
            tokio::time::sleep(LOOK_AT_BURST_EVERY).await;
            bounds.check();
        }
        for one in under_way {
            // None of them is ever aborted.
            let _ = one.await;
        }
    }

    /// Writes rows, again where nothing is known of them, until they are acknowledged or given up.
    async fn write(&self, tenant: &str, rows: &[Row], draw: &Draw) {
        self.oracle.sends(tenant, rows);
        for _ in 0..ATTEMPTS {
            let distributors = self.fleet.names(Role::Distributor);
            let Some(distributor) = draw.one(&distributors) else { return };
            if self.write_once(distributor, tenant, rows).await.is_ok_and(|decided| decided) {
                return;
            }
            tokio::time::sleep(draw.time(Duration::from_millis(100), Duration::from_millis(1500))).await;
        }
    }

    /// Writes rows through a distributor: whether their fate is decided, or why nothing is known of it.
    pub(crate) async fn write_once(
        &self,
        distributor: &str,
        tenant: &str,
        rows: &[Row],
    ) -> Result<bool, String> {
        self.oracle.sends(tenant, rows);
        let wrote = self.push(distributor, tenant, rows).await;
        let at = rows.first().map_or(0, |row| row.timestamp_ms);
        match wrote {
            Wrote::Acknowledged => {
                self.oracle.acknowledged(tenant, rows);
                self.trace.event(format_args!("{distributor}: {tenant} wrote {} at {at}", rows.len()));
                Ok(true)
            }
            Wrote::Refused(why) => {
                self.trace.event(format_args!("{distributor}: {tenant} at {at} was refused: {why}"));
                Ok(true)
            }
            Wrote::Failed(why) => {
                self.oracle.write_failed();
                self.trace.event(format_args!("{distributor}: {tenant} at {at} failed: {why}"));
                Err(why)
            }
        }
    }

    async fn push(&self, distributor: &str, tenant: &str, rows: &[Row]) -> Wrote {
        let Some((Part::Distributor(distributor, _), scope)) = self.fleet.part(distributor) else {
            return Wrote::Failed("it is down".to_owned());
        };
        let Ok(id) = TenantId::new(tenant) else { return Wrote::Refused("it is no tenant".to_owned()) };
        let request = WriteRequest { tenant: id, version: Version::V1, body: body(tenant, rows) };
        let writing = scope.spawn("client's write", async move { distributor.write(request).await });
        match timeout(PATIENCE, writing).await {
            Ok(Ok(Ok(answer))) => match answer.error {
                None => Wrote::Acknowledged,
                Some(error) => Wrote::Refused(error.message),
            },
            Ok(Ok(Err(error))) => Wrote::Failed(error.message),
            Ok(Err(ended)) => Wrote::Failed(ended.to_string()),
            Err(_) => Wrote::Failed("no answer".to_owned()),
        }
    }

    /// Asks a querier for all samples of a tenant after a time and until another one, and has the answer compared. Why there
    /// was none, or what is wrong with it.
    pub(crate) async fn ask(
        &self,
        querier: &str,
        tenant: &str,
        (after_ms, until_ms): (i64, i64),
    ) -> Result<(), String> {
        let question = self.oracle.asks(tenant, after_ms, until_ms);
        let answer = self.query(querier, tenant, (after_ms, until_ms)).await;
        let seconds = (until_ms - after_ms) / 1000;
        match answer {
            Ok(series) => match self.oracle.answered(&question, &series) {
                Ok(samples) => {
                    self.trace.event(format_args!("{querier}: {tenant}, {seconds} s: {samples} samples"));
                    Ok(())
                }
                Err(violation) => {
                    self.trace.event(format_args!("{querier}: WRONG: {}", violation.0));
                    Err(violation.0)
                }
            },
            Err(why) => {
                self.oracle.query_failed();
                self.trace.event(format_args!("{querier}: {tenant}, {seconds} s: no answer: {why}"));
                Err(why)
            }
        }
    }

    async fn query(
        &self,
        querier: &str,
        tenant: &str,
        (after_ms, until_ms): (i64, i64),
    ) -> Result<Vec<RangeSeries>, String> {
        let Some((Part::Querier(querier, _), scope)) = self.fleet.part(querier) else {
            return Err("it is down".to_owned());
        };
        let request = QueryRequest {
            tenant: TenantId::new(tenant).map_err(|error| error.to_string())?,
            query: format!("{METRIC}[{}ms]", until_ms - after_ms),
            time: QueryTime::Instant(until_ms),
            lookback: None,
            timeout: None,
            stats: StatsWanted::None,
            class: querier::QueryClass::User,
        };
        let asking = scope.spawn("client's query", async move {
            querier.query(request).await.map(|response| response.value)
        });
        match timeout(PATIENCE, asking).await {
            Ok(Ok(Ok(QueryValue::Matrix(series)))) => Ok(series),
            Ok(Ok(Ok(_))) => Err("it is no matrix".to_owned()),
            Ok(Ok(Err(error))) => Err(error.message),
            Ok(Err(ended)) => Err(ended.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }
}

/// The row of a series at a time: its value says whose it is.
pub(crate) fn row(tenant: &str, series: u32, timestamp_ms: i64) -> Row {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write!(text, "{tenant} {series} {timestamp_ms}");
    // 53 bits are what a float holds.
    let value = (xxh3_64(text.as_bytes()) >> 11) as f64;
    Row { series, timestamp_ms, value }
}

fn body(tenant: &str, rows: &[Row]) -> Bytes {
    let mut writer = Rw1Writer::default();
    for row in rows {
        let series = row.series.to_string();
        writer.label("__name__", METRIC).label("of", tenant).label("series", &series);
        writer.sample(row.timestamp_ms, row.value).end_series();
    }
    Bytes::copy_from_slice(writer.message())
}
