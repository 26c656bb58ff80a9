//! What a ruler sees: time that is simulated, series in memory, Alertmanagers that take down what they are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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
use ruler::{Alertmanagers, Deps, Ruler, RulerConfig, RulerLimits, StartError, Target};
use serde_json::Value;
use settings::Overrides;
use telemetry::Registry;
use testseries::{Loaded, LoadedValue, Storage};
use tower::ServiceExt as _;
use wire::rw1::{RequestField, SeriesField};

/// Where simulated time begins: 2026-01-01, in milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// A series' floats: when and what.
pub(crate) type Floats = (Labels, Vec<(i64, f64)>);

/// Series in memory, of each tenant its own.
pub(crate) struct World {
    engine: Engine,
    storage: RwLock<BTreeMap<TenantId, Storage>>,
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
        self.put_of(&TenantId::anonymous(), series, value);
    }

    /// Appends a sample of now to what a tenant has.
    pub(crate) fn put_of(&self, tenant: &TenantId, series: &str, value: f64) {
        self.append(tenant, series, (self.now_ms(), value));
    }

    /// Appends a sample of a time that may be to come.
    pub(crate) fn put_at(&self, series: &str, timestamp_ms: i64, value: f64) {
        self.append(&TenantId::anonymous(), series, (timestamp_ms, value));
    }

    fn append(&self, tenant: &TenantId, series: &str, (timestamp_ms, value): (i64, f64)) {
        let (labels, _) = promql::parse_metric_prefix(series).expect("a series");
        let loaded = Loaded { timestamp_ms, start_ms: 0, value: LoadedValue::Float(value) };
        let mut storage = self.storage.write();
        storage.entry(tenant.clone()).or_default().append_one(&labels, loaded).expect("in order");
    }

    /// All floats of the series that have this name, by labels.
    pub(crate) fn floats(&self, name: &str) -> Vec<Floats> {
        self.floats_of(&TenantId::anonymous(), name)
    }

    /// The same of what a tenant has.
    pub(crate) fn floats_of(&self, tenant: &TenantId, name: &str) -> Vec<Floats> {
        let storage = self.storage.read();
        let Some(storage) = storage.get(tenant) else { return Vec::new() };
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
        let (storage, mut several) = (self.storage.read(), Storage::default());
        for tenant in &query.source_tenants {
            for (labels, samples) in storage.get(tenant).into_iter().flat_map(Storage::written) {
                let mut labels = labels.to_builder();
                let labels = labels.set("__tenant_id__", tenant.as_str()).build();
                for sample in samples {
                    several.append_one(&labels, sample.clone()).expect("in order");
                }
            }
        }
        let storage = if query.source_tenants.is_empty() { storage.get(&query.tenant) } else { None };
        let result = self.engine.instant(&query.text, query.time_ms, storage.unwrap_or(&several));
        result.map(|result| result.value).map_err(|error| Error::new(Code::Unprocessable, error.to_string()))
    }

    async fn newest(&self, request: NewestRequest) -> Result<Vec<NewestSample>, Error> {
        let storage = self.storage.read();
        let Some(storage) = storage.get(&request.tenant) else { return Ok(Vec::new()) };
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
                        let mut storage = self.storage.write();
                        let storage = storage.entry(request.tenant.clone()).or_default();
                        if let Err(refused) = storage.append_one(&labels, loaded) {
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
    /// Whose they were, with their labels.
    pub(crate) of: Mutex<Vec<(TenantId, Labels)>>,
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
            of: Mutex::default(),
            refusing: Mutex::default(),
            taking: Mutex::default(),
        })
    }

    pub(crate) fn target(self: &Arc<Self>, name: &str) -> Alertmanagers {
        self.named(name).into()
    }

    pub(crate) fn named(self: &Arc<Self>, name: &str) -> Target {
        Target { name: name.to_owned(), way: Arc::clone(self) as _ }
    }

    pub(crate) fn take(&self) -> Vec<(i64, PostedAlert)> {
        std::mem::take(&mut *self.alerts.lock())
    }
}

#[async_trait]
impl PostAlerts for Told {
    async fn post(&self, tenant: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error> {
        let taking = *self.taking.lock();
        if !taking.is_zero() {
            self.clock.sleep(taking).await;
        }
        if let Some(error) = self.refusing.lock().clone() {
            return Err(error);
        }
        let now_ms = self.clock.now_ms();
        self.alerts.lock().extend(alerts.iter().map(|alert| (now_ms, alert.clone())));
        self.of.lock().extend(alerts.iter().map(|alert| (tenant.clone(), alert.labels.clone())));
        Ok(())
    }
}

/// A ruler and what it counts.
pub(crate) struct Site {
    pub(crate) ruler: Ruler,
    pub(crate) registry: Registry,
    /// The limits of its tenants.
    pub(crate) limits: Overrides<RulerLimits>,
    scope: Scope,
}

impl Site {
    /// A ruler of these files that tells these Alertmanagers; `settings` are keys of the section `ruler` and values.
    pub(crate) async fn start(
        world: &Arc<World>,
        files: &[PathBuf],
        alertmanagers: Vec<Alertmanagers>,
        settings: &[(&str, &str)],
    ) -> Self {
        // Nobody sets rules, so that nothing is ever there.
        let dir = std::env::temp_dir().join("no-rules-are-kept-here");
        let site = Self::start_in(&dir, world, (files, alertmanagers), settings).await;
        site.expect("good rules")
    }

    /// The same with what tenants set kept in a folder.
    pub(crate) async fn start_in(
        dir: &Path,
        world: &Arc<World>,
        (files, alertmanagers): (&[PathBuf], Vec<Alertmanagers>),
        settings: &[(&str, &str)],
    ) -> Result<Self, StartError> {
        let config: RulerConfig = settings::section::with_values(settings).expect("settings");
        let limits = Overrides::fixed(settings::section::with_values(&[]).expect("limits"));
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
            dir: dir.to_owned(),
            cluster: None,
            limits: limits.clone(),
            external_url: "http://barograph.example".to_owned(),
        };
        let ruler = Ruler::start(config, deps).await?;
        ruler.begin().await.expect("good rules");
        Ok(Self { ruler, registry, limits, scope })
    }

    /// Ends as a crash does.
    pub(crate) fn crash(self) {
        self.scope.abort();
    }

    /// What a request of a tenant is answered: status and body.
    pub(crate) async fn send(&self, tenant: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned()));
        let mut request = request.expect("a request");
        request.extensions_mut().insert(rpc::Tenant(TenantId::new(tenant).expect("a tenant")));
        let response = self.ruler.router().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    /// What a path of the API answers: status and body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, Value) {
        self.ask_of(model::tenant::ANONYMOUS, path).await
    }

    /// The same for a tenant.
    pub(crate) async fn ask_of(&self, tenant: &str, path: &str) -> (u16, Value) {
        let (status, body) = self.send(tenant, "GET", path, "").await;
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
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
