//! The calls that Grafana makes: when a data source is saved, in Explore, and for variables.

use model::MetricType;

use crate::fake::{Fake, api, escape, family};

#[tokio::test]
async fn saving_a_data_source() {
    let api = api(Fake::default());
    let answer = api.get("status/buildinfo").await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(json["status"], "success");
    let data = json["data"].as_object().unwrap();
    let keys: Vec<_> = data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["branch", "buildDate", "buildUser", "goVersion", "revision", "version"]);
    let version = data["version"].as_str().unwrap();
    assert!(version.split('.').count() == 3 && version.starts_with("3."), "{version}");
    // "Save & test" asks this in a form.
    let answer = api.post("query", "query=1%2B1&time=1700000000").await;
    assert_eq!(
        answer.body,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"2"]}}"#
    );
}

#[tokio::test]
async fn explore_and_variables() {
    let mut fake = Fake::default().floats(
        &[("__name__", "node_load1"), ("instance", "a"), ("job", "node")],
        &[(60, 0.5), (30, 0.75), (0, 1.25)],
    );
    fake.metadata = vec![family("node_load1", MetricType::Gauge, "1m load average.")];
    let api = api(fake);
    let ok = |answer: crate::fake::Answer, data: &str| {
        assert_eq!(answer.body, format!(r#"{{"status":"success","data":{data}}}"#));
    };
    // The metrics browser and completion.
    let range = "start=1699996400&end=1700000000";
    ok(api.get(&format!("label/__name__/values?{range}")).await, r#"["node_load1"]"#);
    ok(
        api.get(&format!("metadata?{range}&limit=40000")).await,
        r#"{"node_load1":[{"type":"gauge","unit":"","help":"1m load average."}]}"#,
    );
    ok(
        api.post("labels", &format!("{range}&match[]={}", escape(r#"{__name__="node_load1"}"#))).await,
        r#"["__name__","instance","job"]"#,
    );
    ok(
        api.post("series", &format!("{range}&match%5B%5D=node_load1&limit=40000")).await,
        r#"[{"__name__":"node_load1","instance":"a","job":"node"}]"#,
    );
    // The table and the graph of Explore.
    ok(
        api.post("query", "query=node_load1%7Bjob%3D%22node%22%7D&time=1700000000").await,
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"node_load1","instance":"a","job":"node"},"value":[1700000000,"1.25"]}]}"#,
    );
    ok(
        api.post(
            "query_range",
            "query=node_load1%7Bjob%3D%22node%22%7D&start=1699999940&end=1700000000&step=30",
        )
        .await,
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"node_load1","instance":"a","job":"node"},"values":[[1699999940,"0.5"],[1699999970,"0.75"],[1700000000,"1.25"]]}]}"#,
    );
    ok(api.post("query_exemplars", &format!("query=node_load1&{range}")).await, "[]");
    // A variable: label_values(node_load1, instance).
    ok(api.get(&format!("label/instance/values?match[]=node_load1&{range}")).await, r#"["a"]"#);
    // The editor's formatter.
    ok(api.get("format_query?query=node_load1%7B%7D").await, r#""node_load1""#);
}
