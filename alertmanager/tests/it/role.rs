//! The role in this process: its API asked without sockets, its files on a simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alertmanager::{Alertmanager, AlertmanagerConfig, AlertmanagerLimits, Deps, StartError};
use axum::body::Body;
use env::{Scope, SeededRng, SimFs, SystemClock};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use rpc::{TenantLayer, TenantResolver};
use serde_json::{Value as Json, json};
use telemetry::Registry;
use tower::ServiceExt as _;

/// A role that runs.
pub(crate) struct Role {
    pub(crate) role: Alertmanager,
    pub(crate) registry: Registry,
    scope: Scope,
}

impl Role {
    /// Starts one whose disk is `fs`; its configuration is in `/am.yml` there.
    pub(crate) async fn start(fs: &SimFs) -> Result<Self, StartError> {
        Self::start_with(fs, &[]).await
    }

    /// The same, with settings.
    pub(crate) async fn start_with(fs: &SimFs, settings: &[(&str, &str)]) -> Result<Self, StartError> {
        let (scope, registry) = (Scope::simulated("test"), Registry::new());
        let config: AlertmanagerConfig = settings::with_values(settings).expect("good settings");
        let deps = Deps {
            fs: Arc::new(fs.clone()),
            clock: Arc::new(SystemClock::new()),
            // No two starts draw the same names.
            rng: Arc::new(SeededRng::new(fs.op_count())),
            scope: scope.clone(),
            registry: registry.clone(),
            dir: PathBuf::from("/data"),
            config_file: Some(PathBuf::from("/am.yml")),
            external_url: "http://am".to_owned(),
            limits: settings::Overrides::fixed(AlertmanagerLimits::default()),
            cluster: None,
            receivers: None,
        };
        let role = Alertmanager::start(config, deps).await?;
        Ok(Self { role, registry, scope })
    }

    /// Asks, for a tenant: the status and the body, as JSON where it is some.
    pub(crate) async fn ask(&self, tenant: &str, method: &str, path: &str, body: &str) -> (StatusCode, Json) {
        self.ask_as(tenant, method, path, ("application/json", body)).await
    }

    /// The same, with a body of some type.
    pub(crate) async fn ask_as(
        &self,
        tenant: &str,
        method: &str,
        path: &str,
        (kind, body): (&str, &str),
    ) -> (StatusCode, Json) {
        let router = self.role.router().layer(TenantLayer::new(TenantResolver::multi_tenant()));
        let request = Request::builder().method(method).uri(path);
        let request = request.header("x-scope-orgid", tenant).header("content-type", kind);
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = router.oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        (status, serde_json::from_str(&text).unwrap_or(Json::String(text)))
    }

    /// Ends it, as a crash does.
    pub(crate) fn kill(self) {
        self.scope.abort();
    }

    /// The value of a metric, whatever its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.registry.gather().iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }
}

/// A disk with a configuration.
pub(crate) fn disk(config: &str) -> SimFs {
    let fs = SimFs::new(1);
    write(&fs, config);
    fs
}

pub(crate) fn write(fs: &SimFs, config: &str) {
    env::write_file_durable(fs, Path::new("/am.yml"), config.as_bytes()).expect("written");
}

/// A silence of alerts with a label, as the API takes it.
pub(crate) fn silence(name: &str, value: &str) -> String {
    json!({
        "matchers": [{"name": name, "value": value, "isRegex": false, "isEqual": true}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "somebody",
        "comment": "a reason",
    })
    .to_string()
}

const NOBODY: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let role = Role::start(&disk(NOBODY)).await.expect("a start");
    let alerts = r#"[{"labels":{"alertname":"a"}}]"#;
    assert_eq!(role.ask("one", "POST", "/api/v2/alerts", alerts).await.0, StatusCode::OK);
    assert_eq!(role.ask("one", "POST", "/api/v2/silences", &silence("a", "b")).await.0, StatusCode::OK);
    let count = async |tenant: &str, path: &str| {
        role.ask(tenant, "GET", path, "").await.1.as_array().map(Vec::len).unwrap_or(usize::MAX)
    };
    for path in ["/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences"] {
        assert_eq!((count("one", path).await, count("two", path).await), (1, 0), "{path}");
    }
}

#[tokio::test]
async fn there_are_not_more_tenants_or_alerts_than_there_may_be() {
    let settings = [("max_tenants", "1"), ("max_alerts", "2")];
    let role = Role::start_with(&disk(NOBODY), &settings).await.expect("a start");
    let push = async |tenant: &str, value: &str| {
        let alerts = format!(r#"[{{"labels":{{"a":"{value}"}}}}]"#);
        role.ask(tenant, "POST", "/api/v2/alerts", &alerts).await.0
    };
    assert_eq!(push("one", "x").await, StatusCode::OK);
    assert_eq!(push("two", "x").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(push("one", "y").await, StatusCode::OK);
    assert_eq!(push("one", "z").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(push("one", "x").await, StatusCode::OK, "it is known");
    assert_eq!(role.metric("alertmanager_alerts_limited_total"), 1.0);
}

#[tokio::test]
async fn a_configuration_that_is_wrong_changes_nothing() {
    let fs = disk(NOBODY);
    let role = Role::start(&fs).await.expect("a start");
    write(&fs, "route: {receiver: x}\n");
    let error = role.role.reload().await.expect_err("it is wrong");
    assert_eq!(error.to_string(), "undefined receiver \"x\" used in route");
    assert_eq!(role.metric("alertmanager_config_last_reload_successful"), 0.0);
    let (_, status) = role.ask("one", "GET", "/api/v2/status", "").await;
    let shown = status["config"]["original"].as_str().expect("a configuration");
    assert!(shown.contains("receiver: r\n"), "{shown}");
    write(&fs, "route: {receiver: other}\nreceivers: [{name: other}]\n");
    role.role.reload().await.expect("it is right");
    assert_eq!(role.metric("alertmanager_config_last_reload_successful"), 1.0);
    let (_, receivers) = role.ask("one", "GET", "/api/v2/receivers", "").await;
    assert_eq!(receivers, json!([{"labels": {"name": "other"}, "name": "other"}]));
}

#[tokio::test]
async fn a_start_with_a_wrong_configuration_says_why() {
    let error = Role::start(&disk("route: {}\n")).await.err().expect("it is wrong");
    let StartError::Setup(error) = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "root route must specify a default receiver");
    let fs = SimFs::new(1);
    let error = Role::start(&fs).await.err().expect("there is none");
    assert!(matches!(error, StartError::Setup(_)), "{error:?}");
}
