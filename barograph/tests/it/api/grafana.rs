//! The calls that Grafana's Prometheus data source makes, in their order, as docs/operations/grafana.md lists them. The
//! URL of the data source is `/prometheus`.

use serde_json::{Value, json};

use super::data::{SAMPLES, STEP_MS, write};
use crate::http::{Connection, query_value};
use crate::support::Barograph;

const BASE: &str = "/prometheus/api/v1";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A data source as Grafana has it.
struct DataSource {
    connection: Connection,
    /// The time range of a dashboard, in seconds.
    start: i64,
    end: i64,
}

impl DataSource {
    fn new(barograph: &Barograph) -> Self {
        let end = write(barograph.addr) / 1_000;
        let connection = Connection::open(barograph.addr).expect("connected");
        Self { connection, start: end - SAMPLES * STEP_MS / 1_000, end }
    }

    fn range(&self) -> String {
        format!("start={}&end={}", self.start, self.end)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Value {
        let headers: &[(&str, &str)] = if method == "POST" { &[FORM] } else { &[] };
        let response = self
            .connection
            .request(method, &format!("{BASE}{path}"), headers, body.as_bytes())
            .expect("an answer");
        assert_eq!(response.status, 200, "{method} {path} {body}: {response:?}");
        assert_eq!(response.header("content-type"), Some("application/json"), "{path}");
        let answer: Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// Queries are posted as forms; where a data source is set to GET, they are in the path. Both give the same.
    fn query(&mut self, path: &str, form: &str) -> Value {
        let posted = self.call("POST", path, form);
        assert_eq!(self.call("GET", &format!("{path}?{form}"), ""), posted, "{path} {form}");
        posted
    }
}

#[test]
fn the_data_source_is_saved_and_tested() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    let mut source = DataSource::new(&barograph);
    // The health check evaluates at the end of a range of four seconds in 1970.
    let sum = source.query("/query", "query=1%2B1&time=4");
    assert_eq!(sum, json!({"resultType": "scalar", "result": [4, "2"]}));
    // Without `features` it is a Prometheus, and has no API that changes rules.
    let info = source.call("GET", "/status/buildinfo", "");
    assert!(info["version"].as_str().is_some_and(|v| v.starts_with("3.")), "{info}");
    assert!(info.get("features").is_none(), "{info}");
}

#[test]
fn explore_and_the_editor_complete_names() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    let mut source = DataSource::new(&barograph);
    let range = source.range();
    let names = json!([
        "api.gauge with spaces",
        "api_custom_seconds",
        "api_native_seconds",
        "api_requests_total",
        "api_seconds_bucket"
    ]);
    assert_eq!(source.call("GET", &format!("/label/__name__/values?limit=40000&{range}"), ""), names);
    let labels = json!(["__name__", "code", "http.status", "instance", "job", "le"]);
    assert_eq!(source.query("/labels", &format!("limit=40000&{range}")), labels);
    let metadata = source.call("GET", "/metadata?limit=40000", "");
    assert_eq!(
        metadata,
        json!({"api_requests_total": [{"type": "counter", "unit": "", "help": "Requests <so far>."}]})
    );
    // The metrics browser: what the labels of a metric are, and what values they have.
    let selector = query_value("{__name__=\"api_requests_total\",instance=\"a\"}");
    let labels = source.query("/labels", &format!("limit=40000&{range}&match%5B%5D={selector}"));
    assert_eq!(labels, json!(["__name__", "code", "instance", "job"]));
    let codes = source.call("GET", &format!("/label/code/values?limit=1000&{range}&match[]={selector}"), "");
    assert_eq!(codes, json!(["200", "500"]));
    // A label whose name is not plain is escaped in the path.
    let statuses = source.call("GET", &format!("/label/U__http_2e_status/values?limit=1000&{range}"), "");
    assert_eq!(statuses, json!(["<200>"]));
    // Where the server does not know matchers for labels, and with older settings, series are asked for.
    let everything = query_value("{__name__!=\"\"}");
    let series = source.query("/series", &format!("{range}&match%5B%5D={everything}&limit=40000"));
    assert_eq!(series.as_array().map(Vec::len), Some(9), "{series}");
    let limited = source.query("/series", &format!("{range}&match%5B%5D={everything}&limit=2"));
    assert_eq!(limited.as_array().map(Vec::len), Some(2));
    // A POST to what only knows GET: Grafana tries again with GET after a 405.
    let path = format!("{BASE}/label/job/values");
    let refused = source.connection.request("POST", &path, &[FORM], b"").expect("an answer");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")));
}

#[test]
fn explore_and_dashboards_query() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    let mut source = DataSource::new(&barograph);
    let (start, end, range) = (source.start, source.end, source.range());
    let query = |expression: &str| query_value(expression);
    // A panel: a range query with the step of the panel and the data source's timeout.
    let rate = query("sum by (code) (rate(api_requests_total{job=\"api\"}[1m0s]))");
    let matrix = source.query("/query_range", &format!("query={rate}&{range}&step=15&timeout=60"));
    assert_eq!(matrix["resultType"], "matrix");
    let series = matrix["result"].as_array().expect("series");
    assert_eq!(series.len(), 2);
    assert!(series.iter().all(|s| s["values"].as_array().is_some_and(|v| v.len() > 30)), "{matrix}");
    // A table, and the instant half of a query of both types.
    let vector = source.query("/query", &format!("query=api_requests_total&time={end}"));
    assert_eq!(vector["resultType"], "vector");
    assert_eq!(vector["result"].as_array().map(Vec::len), Some(3));
    assert_eq!(vector["result"][0]["value"][0], json!(end));
    // Times with fractions, as Grafana computes them.
    let vector = source.query("/query", &format!("query=api_requests_total&time={end}.25"));
    assert_eq!(vector["result"][0]["value"][0], json!(end as f64 + 0.25));
    // A heat map of a native histogram, and one of a classic histogram.
    let native = source.query("/query_range", &format!("query=api_native_seconds&{range}&step=15"));
    let histogram = &native["result"][0]["histograms"][0];
    assert!(histogram[1]["buckets"][0].as_array().is_some_and(|b| b.len() == 4), "{native}");
    let by_le = query("sum by (le) (increase(api_seconds_bucket[1m]))");
    let classic = source.query("/query_range", &format!("query={by_le}&{range}&step=15"));
    assert_eq!(classic["result"].as_array().map(Vec::len), Some(3));
    // Exemplars of the same expression.
    let exemplars = source.query("/query_exemplars", &format!("query={rate}&{range}"));
    assert_eq!(exemplars.as_array().map(Vec::len), Some(3), "{exemplars}");
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], "a-200");
    // An annotation: a range query with a step of its own, here of what is down.
    let annotation = query("api_requests_total{code=\"500\"} > 100");
    let marks = source.query("/query_range", &format!("query={annotation}&{range}&step=60"));
    assert_eq!(marks["resultType"], "matrix");
    // What a user types in between is an error that the editor shows, not a failure.
    let path = format!("{BASE}/query_range");
    let form = format!("query={}&start={start}&end={end}&step=15", query("sum(api_requests_total"));
    let wrong = source.connection.request("POST", &path, &[FORM], form.as_bytes()).expect("an answer");
    let error: Value = serde_json::from_str(&wrong.body).expect("JSON");
    assert_eq!((wrong.status, &error["errorType"]), (400, &json!("bad_data")));
    assert!(error["error"].as_str().is_some_and(|e| e.contains("parse error")), "{error}");
}

#[test]
fn template_variables_and_filters() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    let mut source = DataSource::new(&barograph);
    let (end, range) = (source.end, source.range());
    // label_names()
    let names = source.query("/labels", &range);
    assert!(names.as_array().is_some_and(|n| n.contains(&json!("instance"))), "{names}");
    // label_values(instance)
    assert_eq!(source.call("GET", &format!("/label/instance/values?{range}"), ""), json!(["a", "b"]));
    // label_values(api_requests_total{code="500"}, instance)
    let matcher = query_value("api_requests_total{code=\"500\"}");
    let path = format!("/label/instance/values?match[]={matcher}&{range}");
    assert_eq!(source.call("GET", &path, ""), json!(["a"]));
    // metrics(.*seconds.*): all names, of which Grafana takes those that match.
    let names = source.call("GET", &format!("/label/__name__/values?{range}"), "");
    assert!(names.as_array().is_some_and(|n| n.contains(&json!("api_seconds_bucket"))), "{names}");
    // query_result(…)
    let count = query_value("count by (job) (api_requests_total)");
    let result = source.query("/query", &format!("query={count}&time={end}"));
    assert_eq!(result["result"], json!([{"metric": {"job": "api"}, "value": [end, "3"]}]));
    // A series query.
    let series = source.query("/series", &format!("match%5B%5D=api_requests_total&{range}"));
    assert_eq!(series.as_array().map(Vec::len), Some(3));
    // Ad hoc filters: the labels of what the dashboard's queries select, and their values.
    let selector = query_value("{job=\"api\"}");
    let labels = source.query("/labels", &format!("match%5B%5D={selector}&{range}&limit=1000"));
    assert!(labels.as_array().is_some_and(|l| l.contains(&json!("code"))), "{labels}");
}

#[test]
fn alerts_are_evaluated_and_rules_are_asked_for() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    let mut source = DataSource::new(&barograph);
    let (end, range) = (source.end, source.range());
    // Grafana evaluates its own alert rules with instant or range queries from its backend.
    let condition = query_value("sum(rate(api_requests_total{code=\"500\"}[5m])) > 0");
    let firing = source.query("/query", &format!("query={condition}&time={end}"));
    assert_eq!(firing["result"].as_array().map(Vec::len), Some(1));
    let over_time = source.query("/query_range", &format!("query={condition}&{range}&step=15"));
    assert_eq!(over_time["result"].as_array().map(Vec::len), Some(1));
    // The list of alert rules asks every data source for its own.
    assert_eq!(source.call("GET", "/rules", ""), json!({"groups": []}));
    assert_eq!(source.call("GET", "/rules?type=alert&exclude_alerts=true", ""), json!({"groups": []}));
    assert_eq!(source.call("GET", "/alerts", ""), json!({"alerts": []}));
}
