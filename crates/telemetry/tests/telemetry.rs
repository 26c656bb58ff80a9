//! The registry, its expositions, tenants' labels and the log rate limit, through the public API.

use std::time::Duration;

use telemetry::metrics::{Counter, EncodeLabelSet, Family};
use telemetry::tenants::OVERFLOW_TENANT;
use telemetry::{Format, LogRateLimit, Registry, TenantFamily};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

fn reason(text: &str) -> Reason {
    Reason { reason: text.to_owned() }
}

#[test]
fn names_carry_the_prefix_and_counters_their_suffix() {
    let registry = Registry::new();
    registry.sub("ingester").counter("appended_samples", "Samples appended.").inc_by(3);
    let text = registry.encode(Format::OpenMetrics);
    assert_eq!(
        text,
        "# HELP barograph_ingester_appended_samples Samples appended.\n\
         # TYPE barograph_ingester_appended_samples counter\n\
         barograph_ingester_appended_samples_total 3\n# EOF\n"
    );
    let text = registry.encode(Format::Prometheus);
    assert_eq!(
        text,
        "# HELP barograph_ingester_appended_samples_total Samples appended.\n\
         # TYPE barograph_ingester_appended_samples_total counter\n\
         barograph_ingester_appended_samples_total 3\n"
    );
    assert_eq!(registry.names(), ["barograph_ingester_appended_samples"]);
}

#[test]
fn gathered_samples_are_what_was_set() {
    let registry = Registry::new();
    registry.float_gauge("load", "Load").set(0.25);
    let family: Family<Reason, Counter> = registry.family("refused", "Refused");
    let awkward = "a \"quoted\" # {x=\"1\"} back\\slash\nline";
    family.get_or_create(&reason(awkward)).inc();
    registry.histogram("wait_seconds", "Wait", &[0.1, 1.0]).observe(0.5);
    let samples = registry.gather();
    let find = |name: &str, label: Option<&str>| {
        let mut matching = samples
            .iter()
            .filter(|s| s.name == name && label.is_none_or(|label| s.labels.iter().any(|(_, v)| v == label)));
        let found = matching.next().unwrap_or_else(|| panic!("no {name} {label:?} in {samples:#?}"));
        assert!(matching.next().is_none(), "{name} {label:?} is there twice");
        found
    };
    assert_eq!(find("barograph_load", None).value, 0.25);
    let refused = find("barograph_refused_total", Some(awkward));
    assert_eq!((refused.value, refused.kind.as_str()), (1.0, "counter"));
    assert_eq!(refused.family, "barograph_refused_total");
    assert_eq!(find("barograph_wait_seconds_bucket", Some("1.0")).value, 1.0);
    assert_eq!(find("barograph_wait_seconds_bucket", Some("0.1")).value, 0.0);
    assert_eq!(find("barograph_wait_seconds_bucket", Some("+Inf")).value, 1.0);
    assert_eq!(find("barograph_wait_seconds_sum", None).value, 0.5);
    assert_eq!(find("barograph_wait_seconds_sum", None).family, "barograph_wait_seconds");
}

#[test]
fn exemplars_stay_out_of_the_older_format() {
    let text = "# HELP a A.\n# TYPE a counter\na_total{l=\"x # {y\"} 1 # {trace_id=\"7\"} 1\na_total 2 # {trace_id=\"8\"} 1\n# EOF\n";
    assert_eq!(
        telemetry::exposition::to_prometheus_text(text),
        "# HELP a_total A.\n# TYPE a_total counter\na_total{l=\"x # {y\"} 1\na_total 2\n"
    );
}

#[test]
#[should_panic(expected = "metric barograph_x is registered twice")]
fn a_name_is_registered_once() {
    let registry = Registry::new();
    registry.counter("x", "X");
    registry.gauge("x", "X");
}

#[test]
fn tenants_are_bounded_and_removable() {
    let registry = Registry::new();
    let family: TenantFamily<Counter, Reason> =
        TenantFamily::register_bounded(&registry, "discarded", "D", 2);
    for (tenant, why) in [("a", "late"), ("b", "late"), ("c", "late"), ("d", "late"), ("a", "rate")] {
        family.of_labels(tenant, &reason(why)).inc();
    }
    let exposed = |tenant: &str| {
        let wanted = ("tenant".to_owned(), tenant.to_owned());
        registry.gather().iter().filter(|s| s.labels.contains(&wanted)).map(|s| s.value).sum::<f64>()
    };
    assert_eq!((exposed("a"), exposed("b"), exposed("c")), (2.0, 1.0, 0.0));
    assert_eq!(exposed(OVERFLOW_TENANT), 2.0, "c and d share the overflow");
    family.remove("a");
    assert_eq!(exposed("a"), 0.0);
    assert_eq!(family.tenants(), 2);
}

#[test]
fn one_line_per_key_and_interval() {
    let limit = LogRateLimit::new(Duration::from_secs(10));
    let at = Duration::from_secs;
    assert_eq!(limit.allow(&"a", at(0)), Some(0));
    assert_eq!(limit.allow(&"a", at(1)), None);
    assert_eq!(limit.allow(&"b", at(1)), Some(0));
    assert_eq!(limit.allow(&"a", at(9)), None);
    assert_eq!(limit.allow(&"a", at(10)), Some(2), "two were held back");
    assert_eq!(limit.allow(&"a", at(20)), Some(0));
}

#[test]
fn remembered_keys_are_bounded() {
    let limit = LogRateLimit::new(Duration::from_secs(1_000));
    for key in 0..telemetry::rate_limit::MAX_KEYS + 1 {
        assert_eq!(limit.allow(&key, Duration::from_millis(key as u64)), Some(0));
    }
    assert_eq!(limit.allow(&0, Duration::from_secs(2)), Some(0), "the stalest key was forgotten");
    assert_eq!(limit.allow(&5, Duration::from_secs(2)), None);
}

#[test]
fn formats_are_negotiated() {
    assert_eq!(
        Format::negotiate(Some("application/openmetrics-text;version=1.0.0;q=0.5,*/*")),
        Format::OpenMetrics
    );
    assert_eq!(Format::negotiate(Some("text/plain")), Format::Prometheus);
    assert_eq!(Format::negotiate(None), Format::Prometheus);
}

#[test]
fn log_filters_are_checked() {
    assert!(telemetry::logging::check_filter("info,ingester=debug").is_ok());
    assert!(telemetry::logging::check_filter("ingester=loud").is_err());
}
