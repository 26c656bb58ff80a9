//! What a ruler sees: time that is simulated, series in memory, Alertmanagers that take down what they are told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use env::{Clock, RealFs, Scope, SimClock};
use http::Request;
use http_body_util::BodyExt as _;
use model::{Labels, TenantId};
use parking_lot::{Mutex, RwLock};
use promql::{Engine, EngineOptions, ParseOptions, QueryValue};
use proto::{
    Code, Error, InstantQuery, NewestRequest, NewestSample, PostAlerts, PostedAlert, Query, Write,
    WriteRequest, WriteResponse,
};
use ruler::{Deps, Ruler, RulerConfig, Target};
use serde_json::Value;
use telemetry::Registry;
use testseries::{Loaded, LoadedValue, Storage};
use tower::ServiceExt as _;
use wire::rw1::{RequestField, SeriesField};

/// Where simulated time begins: 2026-01-01, in milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// Series in memory.
pub(crate) struct World {
    engine: Engine,
    pub(crate) storage: RwLock<Storage>,
    pub(crate) clock: SimClock,
    /// Queries that contain this text take so long.
    pub(crate) slow: Mutex<Option<(String, Duration)>>,
    /// Why every query fails, if it does.
    pub(crate) failing: Mutex<Option<Error>>,
    pub(crate) queries: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            engine: Engine::new(EngineOptions::default()),
            storage: RwLock::default(),
            clock: SimClock::new(START_MS, 0),
            slow: Mutex::default(),
            failing: Mutex::default(),
            queries: AtomicU64::new(0),
        })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Appends a sample of now.
    pub(crate) fn put(&self, series: &str, value: f64) {
        let (labels, _) = promql::parse_metric_prefix(series).expect("a series");
        let loaded = Loaded { timestamp_ms: self.now_ms(), start_ms: 0, value: LoadedValue::Float(value) };
        self.storage.write().append_one(&labels, loaded).expect("in order");
    }

    /// All floats of the series that have this name, by labels: when and what.
    pub(crate) fn floats(&self, name: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
        let storage = self.storage.read();
        let series = storage.written().filter(|(labels, _)| labels.metric_name() == Some(name));
        series
            .map(|(labels, samples)| {
                let floats = samples.iter().filter_map(|sample| match sample.value {
                    LoadedValue::Float(value) => Some((sample.timestamp_ms, value)),
                    LoadedValue::Histogram(_) => None,
                });
                (labels.clone(), floats.collect())
            })
            .collect()
    }
}

#[async_trait]
impl Query for World {
    async fn instant(&self, query: InstantQuery) -> Result<QueryValue, Error> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let slow = self.slow.lock().clone().filter(|(text, _)| query.text.contains(text));
        if let Some((_, duration)) = slow {
            self.clock.sleep(duration).await;
        }
        if let Some(error) = self.failing.lock().clone() {
            return Err(error);
        }
        let result = self.engine.instant(&query.text, query.time_ms, &*self.storage.read());
        result.map(|result| result.value).map_err(|error| Error::new(Code::Unprocessable, error.to_string()))
    }

    async fn newest(&self, request: NewestRequest) -> Result<Vec<NewestSample>, Error> {
        let storage = self.storage.read();
        let matching = storage.written().filter(|(labels, _)| {
            request.matchers.iter().all(|matcher| matcher.matches(labels.get_or_empty(matcher.name())))
        });
        let newest = matching.filter_map(|(labels, samples)| {
            let last = samples.iter().rev().find(|sample| request.range.contains(sample.timestamp_ms))?;
            let LoadedValue::Float(value) = last.value else { return None };
            Some(NewestSample { labels: labels.clone(), timestamp_ms: last.timestamp_ms, value })
        });
        Ok(newest.collect())
    }

    fn parse_options(&self, _tenant: &TenantId) -> ParseOptions {
        ParseOptions::default()
    }
}

#[async_trait]
impl Write for World {
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, Error> {
        let mut error = None;
        for field in wire::rw1::request(&request.body) {
            let Ok(RequestField::TimeSeries { body, .. }) = field else { panic!("a series: {field:?}") };
            let mut pairs = Vec::new();
            for field in wire::rw1::series(body) {
                match field.expect("valid") {
                    SeriesField::Label(label) => {
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                        pairs.push((text(label.name), text(label.value)));
                    }
                    SeriesField::Sample(sample) => {
                        let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name, value)));
                        let value = LoadedValue::Float(sample.value);
                        let loaded = Loaded { timestamp_ms: sample.timestamp_ms, start_ms: 0, value };
                        if let Err(refused) = self.storage.write().append_one(&labels, loaded) {
                            error.get_or_insert(Error::invalid(format!("{labels}: {refused}")));
                        }
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
        Ok(WriteResponse { error, ..WriteResponse::default() })
    }
}

/// An Alertmanager that takes down what it is told, and when.
pub(crate) struct Told {
    pub(crate) clock: SimClock,
    pub(crate) alerts: Mutex<Vec<(i64, PostedAlert)>>,
    /// What it answers instead, if it does not take alerts.
    pub(crate) refusing: Mutex<Option<Error>>,
    /// How long it takes.
    pub(crate) taking: Mutex<Duration>,
}

impl Told {
    pub(crate) fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            clock: world.clock.clone(),
            alerts: Mutex::default(),
            refusing: Mutex::default(),
            taking: Mutex::default(),
        })
    }

    pub(crate) fn target(self: &Arc<Self>, name: &str) -> Target {
        Target { name: name.to_owned(), way: Arc::clone(self) as _ }
    }

    pub(crate) fn take(&self) -> Vec<(i64, PostedAlert)> {
        std::mem::take(&mut *self.alerts.lock())
    }
}

#[async_trait]
impl PostAlerts for Told {
    async fn post(&self, _tenant: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error> {
        let taking = *self.taking.lock();
        if !taking.is_zero() {
            self.clock.sleep(taking).await;
        }
        if let Some(error) = self.refusing.lock().clone() {
            return Err(error);
        }
        let now_ms = self.clock.now_ms();
        self.alerts.lock().extend(alerts.iter().map(|alert| (now_ms, alert.clone())));
        Ok(())
    }
}

/// A ruler and what it counts.
pub(crate) struct Site {
    pub(crate) ruler: Ruler,
    pub(crate) registry: Registry,
    scope: Scope,
}

impl Site {
    /// A ruler of these files that tells these Alertmanagers; `settings` are keys of the section `ruler` and values.
    pub(crate) async fn start(
        world: &Arc<World>,
        files: &[PathBuf],
        alertmanagers: Vec<Target>,
        settings: &[(&str, &str)],
    ) -> Self {
        let config: RulerConfig = settings::section::with_values(settings).expect("settings");
        let (registry, scope) = (Registry::new(), Scope::simulated("test"));
        let deps = Deps {
            fs: Arc::new(RealFs),
            clock: Arc::new(world.clock.clone()),
            scope: scope.child("ruler"),
            registry: registry.clone(),
            query: Arc::clone(world) as _,
            write: Arc::clone(world) as _,
            alertmanagers,
            files: files.to_vec(),
            external_url: "http://barograph.example".to_owned(),
        };
        let ruler = Ruler::start(config, deps).await.expect("good rules");
        ruler.begin().await.expect("good rules");
        Self { ruler, registry, scope }
    }

    /// Ends as a crash does.
    pub(crate) fn crash(self) {
        self.scope.abort();
    }

    /// What a path of the API answers: status and body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, Value) {
        let mut request = Request::get(path).body(Body::empty()).expect("a request");
        request.extensions_mut().insert(rpc::Tenant(TenantId::anonymous()));
        let response = self.ruler.router().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let json = serde_json::from_slice(&body);
        (status, json.unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&body))))
    }

    /// The data of a path of the API.
    pub(crate) async fn data(&self, path: &str) -> Value {
        let (status, mut body) = self.ask(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body["data"].take()
    }

    /// The value of a sample in the metrics: its name, and a part of its labels.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.registry.encode(telemetry::Format::Prometheus);
        let of_name = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']);
        let found = text.lines().filter(of_name).find(|line| line.contains(labels));
        let found = found.unwrap_or_else(|| panic!("no {name} with {labels} in\n{text}"));
        found.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }
}

/// A folder with one file of rules.
pub(crate) fn rules(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, text).expect("written");
    (folder, file)
}

/// Lets simulated time pass.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Seconds.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
