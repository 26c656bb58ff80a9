//! Per-tenant limits: two roles, one overrides file, reloads good and bad.

use std::collections::BTreeMap;
use std::time::Duration;

use model::TenantId;
use settings::{LimitsLoader, Nested, Overrides};

settings::limits! {
    /// What the distributor limits.
    pub struct WriteLimits {
        /// Samples a second.
        ingestion_rate: f64 = "10000", min "0";
        /// Labels of a series.
        max_label_names_per_series: u32 = "30";
        /// Rewrites of labels.
        relabel: Nested<Vec<Rule>> = "[]";
    }
}

settings::limits! {
    /// What the ingester limits.
    pub struct KeepLimits {
        /// How late samples may come.
        out_of_order_time_window: Duration = "0s", max "1d";
        /// Labels of a series.
        max_label_names_per_series: u32 = "30";
    }
}

/// A structured limit.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    source_labels: Vec<String>,
    #[serde(default)]
    options: BTreeMap<String, u64>,
}

struct Process {
    loader: LimitsLoader,
    write: Overrides<WriteLimits>,
    keep: Overrides<KeepLimits>,
}

fn process() -> Process {
    let mut loader = LimitsLoader::new();
    let write = loader.register(WriteLimits { ingestion_rate: 500.0, ..WriteLimits::default() });
    let keep = loader.register(KeepLimits::default());
    Process { loader, write, keep }
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("a valid tenant")
}

const FILE: &str = "
overrides:
  a:
    max_label_names_per_series: 40
    out-of-order-time-window: 1h
    relabel:
      - source_labels: [__name__, job]
        options: {x: 7}
  b: &b
    ingestion_rate: 1e6
  c:
    <<: *b
    max_label_names_per_series: 7
  d:
";

#[test]
fn every_role_gets_its_limits_and_the_rest_are_the_process_defaults() {
    let process = process();
    assert_eq!(process.loader.load("o.yaml", FILE).unwrap().tenants, 4);
    let (a, b, c) =
        (process.write.of(&tenant("a")), process.write.of(&tenant("b")), process.write.of(&tenant("c")));
    assert_eq!((a.max_label_names_per_series, a.ingestion_rate), (40, 500.0));
    assert_eq!((b.max_label_names_per_series, b.ingestion_rate), (30, 1e6));
    assert_eq!((c.max_label_names_per_series, c.ingestion_rate), (7, 1e6));
    assert_eq!(a.relabel[0].source_labels, ["__name__", "job"]);
    assert_eq!(a.relabel[0].options["x"], 7);
    assert_eq!(process.keep.of(&tenant("a")).out_of_order_time_window, Duration::from_secs(3_600));
    assert_eq!(process.keep.of(&tenant("a")).max_label_names_per_series, 40, "both roles read it");
    for id in ["d", "nobody"] {
        assert_eq!(process.write.of(&tenant(id)).ingestion_rate, 500.0);
    }
}

#[test]
fn a_reload_forgets_tenants_no_longer_named_and_reaches_clones() {
    let process = process();
    let kept = process.write.clone();
    process.loader.load("o.yaml", FILE).unwrap();
    let before = kept.generation();
    process.loader.load("o.yaml", "overrides: {b: {ingestion_rate: 3}}").expect("a good file");
    assert_eq!(kept.of(&tenant("b")).ingestion_rate, 3.0);
    assert_eq!(kept.of(&tenant("a")).max_label_names_per_series, 30);
    assert_eq!(kept.generation(), before + 1);
    process.loader.load("o.yaml", "# nothing\n").unwrap();
    assert_eq!(kept.of(&tenant("b")).ingestion_rate, 500.0);
}

fn refused(text: &str, expected: &str) {
    let process = process();
    process.loader.load("o.yaml", "overrides: {b: {ingestion_rate: 3}}").expect("a good file");
    let error = process.loader.load("o.yaml", text).expect_err(text).to_string();
    assert_eq!(error, expected);
    assert_eq!(process.write.of(&tenant("b")).ingestion_rate, 3.0, "what was in force stays: {text}");
    assert_eq!(process.keep.generation(), 1, "{text}");
}

#[test]
fn a_bad_file_changes_nothing() {
    refused(
        "overrides:\n  a:\n    ingestion_rat: 3\n",
        "o.yaml:3:5: overrides.a.ingestion_rat: no such limit; did you mean ingestion_rate?",
    );
    refused(
        "overrides:\n  a:\n    ingestion_rate: -3\n",
        "o.yaml:3:21: overrides.a.ingestion_rate: value \"-3\" refused; expected a number, at least 0",
    );
    refused(
        "overrides:\n  b:\n    ingestion_rate: 4\n  a:\n    out_of_order_time_window: 2d\n",
        "o.yaml:5:31: overrides.a.out_of_order_time_window: value \"2d\" refused; expected a duration, at most 1d",
    );
    refused(
        "overrides:\n  a:\n    relabel:\n      - source_label: [a]\n",
        "o.yaml:4:7: overrides.a.relabel: value refused; expected another structure: unknown field `source_label`, expected \
         `source_labels` or `options`",
    );
    refused(
        "multi_kv_config: {}\n",
        "o.yaml:1:1: multi_kv_config: no such key; an overrides file has one key, overrides",
    );
    refused("overrides: [a]\n", "o.yaml:1:12: overrides: expected a mapping, not a list");
    refused("overrides:\n  a: 3\n", "o.yaml:2:6: a: expected a mapping, not a single value");
    refused("overrides: {a: {}, a: {}}\n", "o.yaml:1:20: key \"a\" stands twice in one mapping");
    refused("--- {}\n--- {}\n", "o.yaml:2:1: a second document; a file holds one");
}

#[test]
fn tenants_with_impossible_names_are_refused() {
    let error = process().loader.load("o.yaml", "overrides:\n  \"a/b\": {}\n").unwrap_err().to_string();
    assert!(error.starts_with("o.yaml:2:3: overrides: tenant ID \"a/b\" contains '/'"), "{error}");
}

#[test]
fn aliases_cannot_blow_up() {
    let mut text = "overrides:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("  a{level}: &a{level} [{inner}]\n"));
    }
    let error = process().loader.load("o.yaml", &text).unwrap_err().to_string();
    assert!(error.contains("values, aliases written out"), "{error}");
}
