//! Methods, encodings, origins, and what is said of the process itself.

use serde_json::Value;

use super::data::write;
use crate::http::{Connection, Response, get};
use crate::support::Barograph;

fn call(connection: &mut Connection, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    connection.request(method, path, headers, b"").expect("an answer")
}

#[test]
fn unknown_paths_and_methods_are_answered_as_prometheus_does() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &[]);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    for path in ["/nothing", "/api/v1/nothing", "/prometheus/api/v1/targets", "/prometheus"] {
        let missing = call(&mut connection, "GET", path, &[]);
        assert_eq!((missing.status, missing.body.as_str()), (404, "404 page not found\n"), "{path}");
    }
    for (method, path) in [
        ("DELETE", "/api/v1/query"),
        ("POST", "/api/v1/metadata"),
        ("GET", "/api/v1/read"),
        ("POST", "/federate"),
    ] {
        let refused = call(&mut connection, method, path, &[]);
        assert_eq!((refused.status, refused.body.as_str()), (405, "Method Not Allowed\n"), "{path}");
        assert!(refused.header("allow").is_some(), "{refused:?}");
    }
    let head = call(&mut connection, "HEAD", "/api/v1/query?query=1", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let options =
        call(&mut connection, "OPTIONS", "/prometheus/api/v1/query_range", &[("Origin", "http://g.example")]);
    assert_eq!(options.status, 204);
    assert_eq!(options.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn scripts_of_chosen_origins() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--querier.cors-origin", "https?://(a|b)\\.example"]);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    for path in ["/api/v1/query?query=1", "/prometheus/api/v1/status/flags", "/federate?match[]=up"] {
        let allowed = call(&mut connection, "GET", path, &[("Origin", "https://a.example")]);
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://a.example"), "{path}");
        let other = call(&mut connection, "GET", path, &[("Origin", "https://c.example")]);
        assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None), "{path}");
    }
    let wrong = Barograph::command(&["--querier.cors-origin", "("]).output().expect("it runs");
    let error = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && error.contains("querier.cors_origin"), "{error}");
}

#[test]
fn large_answers_are_compressed_where_that_is_accepted() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    write(barograph.addr);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    for path in
        ["/api/v1/query?query=%7Bjob%3D%22api%22%7D%5B1h%5D", "/federate?match[]=%7Bjob%3D%22api%22%7D"]
    {
        for (accepted, encoding) in [
            ("gzip, deflate, br", Some("gzip")),
            ("zstd", Some("zstd")),
            ("deflate", None),
            ("identity", None),
        ] {
            let answer = call(&mut connection, "GET", path, &[("Accept-Encoding", accepted)]);
            assert_eq!(
                (answer.status, answer.header("content-encoding")),
                (200, encoding),
                "{path} {accepted}"
            );
        }
    }
}

fn data_of(barograph: &Barograph, path: &str) -> Value {
    let (status, body) = get(barograph.addr, path);
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["status"], "success", "{path}: {body}");
    answer["data"].clone()
}

#[test]
fn the_process_tells_of_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--multitenancy-enabled", "--self-monitoring.enabled=false", "--retention", "3d"];
    let barograph = Barograph::start(folder.path(), &arguments);
    for prefix in ["/prometheus/api/v1/status", "/api/v1/status"] {
        let config = data_of(&barograph, &format!("{prefix}/config"));
        assert!(config["yaml"].as_str().is_some_and(|yaml| yaml.contains("retention: 3d")), "{config}");
        let flags = data_of(&barograph, &format!("{prefix}/flags"));
        assert_eq!((&flags["retention"], &flags["multitenancy-enabled"]), (&"3d".into(), &"true".into()));
        assert!(
            flags.as_object().is_some_and(|f| f.len() > 40 && f.values().all(Value::is_string)),
            "{flags}"
        );
        let info = data_of(&barograph, &format!("{prefix}/runtimeinfo"));
        assert_eq!(info["storageRetention"], "3d");
        assert_eq!((&info["reloadConfigSuccess"], &info["corruptionCount"]), (&true.into(), &0.into()));
        for time in ["startTime", "serverTime", "lastConfigTime"] {
            let text = info[time].as_str().unwrap_or_default();
            assert!(text.starts_with("20") && text.ends_with('Z') && text.len() == 24, "{info}");
        }
        let (_, replayed) = get(barograph.addr, &format!("{prefix}/walreplay"));
        assert_eq!(replayed, r#"{"status":"success","data":{"min":0,"max":1,"current":1}}"#);
    }
    // What belongs to a tenant wants to know which.
    for path in ["/api/v1/status/tsdb", "/federate", "/api/v1/cardinality/label_names"] {
        assert_eq!(get(barograph.addr, path).0, 401, "{path}");
    }
}

#[test]
fn tenants_have_numbers_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(folder.path(), &["--self-monitoring.enabled=false"]);
    write(barograph.addr);
    let stats = data_of(&barograph, "/prometheus/api/v1/status/tsdb?limit=1");
    assert_eq!(stats["headStats"]["numSeries"], 9);
    assert_eq!(stats["seriesCountByMetricName"][0]["value"], 3);
    let (status, body) = get(barograph.addr, "/prometheus/api/v1/cardinality/label_values?label_names[]=job");
    assert_eq!(status, 200);
    assert_eq!(
        body,
        "{\"series_count_total\":9,\"labels\":[{\"label_name\":\"job\",\"label_values_count\":1,\"series_count\":9,\
         \"cardinality\":[{\"label_value\":\"api\",\"series_count\":9}]}]}"
    );
    let selector = "selector=%7Bjob%3D%22api%22%7D";
    let (_, body) = get(barograph.addr, &format!("/api/v1/cardinality/active_series?{selector}"));
    let list: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(list["data"].as_array().map(Vec::len), Some(9));
    let (_, body) =
        get(barograph.addr, &format!("/api/v1/cardinality/active_native_histogram_metrics?{selector}"));
    let metrics: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(metrics["data"][1]["metric"], "api_native_seconds");
    assert_eq!(metrics["data"][1]["max_bucket_count"], 2);
    let (_, body) = get(barograph.addr, "/api/v1/search/metric_names?search[]=apireq&include_metadata=true");
    assert_eq!(
        body,
        "{\"results\":[{\"name\":\"api_requests_total\",\"type\":\"counter\",\"help\":\"Requests \\u003cso far\\u003e.\"}]}\n\
         {\"status\":\"success\",\"has_more\":false}\n"
    );
}
