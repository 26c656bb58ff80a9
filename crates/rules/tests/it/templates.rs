//! Templates in annotations: functions, variables, and what stands where one fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use promql::InstantSample;
use rules::{Settings, TemplateQueries};

use crate::support::{group_with, labels, sample, settings};

/// Answers one query.
struct Fixed;

impl TemplateQueries for Fixed {
    fn query(&self, text: &str, time_ms: i64) -> Result<Vec<InstantSample>, String> {
        match text {
            "metric" => Ok(vec![
                sample("metric{instance=\"b\"}", 21.0),
                sample("metric{instance=\"a\",__value__=\"x\"}", 11.0),
            ]),
            "time" => Ok(vec![sample("{}", time_ms as f64)]),
            "nothing" => Ok(Vec::new()),
            other => Err(format!("no such query: {other}")),
        }
    }
}

/// The text as an annotation of an alert.
fn expand(text: &str) -> String {
    let settings = Settings {
        external_labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        external_url: Arc::from("http://host:9090/path/prefix"),
        ..settings()
    };
    let quoted = text.replace('\'', "''");
    let file =
        format!("groups: [{{name: g, rules: [{{alert: A, expr: up, annotations: {{t: '{quoted}'}}}}]}}]");
    let mut group = group_with(&file, settings, true);
    let queries: Arc<dyn TemplateQueries> = Arc::new(Fixed);
    let result = vec![sample("up{instance=\"i\",job=\"j\"}", 1.5e6)];
    group.evaluate(0, 1_500_000_000_123, Ok(result), &queries);
    group.alerts().next().expect("an alert").annotations["t"].clone()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(expand(text), expected, "{text}");
}

#[test]
fn variables_and_data() {
    check("{{ $labels.instance }} {{ .Labels.job }} {{ $labels.absent }}|", "i j |");
    check("{{ $value }} {{ .Value }} {{ printf \"%.2f\" $value }}", "1.5e+06 1.5e+06 1500000.00");
    check("{{ $externalLabels.region }} {{ $externalURL }}", "eu http://host:9090/path/prefix");
    check(
        "{{ range $name, $value := $labels }}{{ $name }}={{ $value }};{{ end }}",
        "__name__=up;instance=i;job=j;",
    );
    check("no template { { }}", "no template { { }}");
    check("{{ if gt $value 1000.0 }}many{{ else }}few{{ end }}", "many");
}

#[test]
fn queries_and_their_results() {
    check("{{ query \"metric\" | first | value }}", "21");
    check("{{ query \"metric\" | first | label \"instance\" }}", "b");
    check(
        "{{ range query \"metric\" | sortByLabel \"instance\" }}{{ .Labels.instance }}:{{ .Value }} {{ end }}",
        "a:11 b:21 ",
    );
    check("{{ query \"metric\" | sortByLabel \"instance\" | first | strvalue }}", "x");
    check("{{ with query \"nothing\" }}some{{ else }}none{{ end }}", "none");
    check("{{ len (query \"metric\") }} {{ (index (query \"metric\") 1).Value }}", "2 11");
    check("{{ query \"time\" | first | value | printf \"%.0f\" }}", "1500000000123");
}

#[test]
fn functions() {
    check(
        "{{ humanize 1048576.0 }} {{ humanize1024 1048576.0 }} {{ humanizeDuration 135.3563 }}",
        "1.049M 1Mi 2m 15s",
    );
    check(
        "{{ humanizePercentage 0.959 }} {{ humanizeTimestamp 1643114203.0 }}",
        "95.9% 2022-01-25 12:36:43 +0000 UTC",
    );
    check("{{ 0.1234567 | humanize }} {{ \"1000\" | humanize }} {{ 1 | humanize }}", "123.5m 1k 1");
    check("{{ title \"this paRT\" }} {{ toUpper \"is\" }} {{ toLower \"THE\" }}", "This PaRT IS the");
    check(
        "{{ stripPort \"[::1]:6006\" }} {{ stripPort \"127.0.0.1:4004\" }} {{ stripDomain \"a.b:1\" }}",
        "::1 127.0.0.1 a:1",
    );
    check("{{ parseDuration \"2h10m15s\" }} {{ parseDuration \"-1m\" }}", "7815 -60");
    check(
        "{{ if match \"[0-9]+$\" \"1234a\" }}WRONG{{ end }}{{ reReplaceAll \"r.*d\" \"re\" \"rpld text\" }}",
        "re text",
    );
    check("{{ reReplaceAll \"(a)(b)\" \"$2$1\" \"xaby\" }}", "xbay");
    check(
        "{{ graphLink \"a b\" }} {{ tableLink \"a{b=\\\"c\\\"}\" }}",
        "/graph?g0.expr=a+b&g0.tab=0 /graph?g0.expr=a%7Bb%3D%22c%22%7D&g0.tab=1",
    );
    check(
        "{{ pathPrefix }} {{ externalURL }} {{ urlQueryEscape \"a&b\" }}",
        "/path/prefix http://host:9090/path/prefix a%26b",
    );
    check("{{ safeHtml \"<b>\" }} {{ now }}", "<b> 1.500000000123e+09");
    check(
        "{{ (toTime 1500000000.5).Format \"15:04:05.000\" }} {{ toDuration 90.5 }}",
        "02:40:00.500 1m30.5s",
    );
    check("{{ define \"t\" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template \"t\" (args \"x\" 7) }}", "x-7");
}

#[test]
fn what_fails_says_so_in_the_text() {
    let prefix = "<error expanding template: error executing template __alert_A: template: __alert_A:1:";
    for (text, problem) in [
        (
            "{{ query \"nothing\" | first }}",
            "error calling first: first() called on vector with no elements>",
        ),
        ("{{ query \"other\" }}", "error calling query: no such query: other>"),
        (
            "{{ humanize \"x\" }}",
            "error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax>",
        ),
        (
            "{{ reReplaceAll \"*\" \"\" \"\" }}",
            "error calling reReplaceAll: regexp: Compile(`*`): error parsing regexp: missing argument to repetition operator: `*`>",
        ),
        ("{{ parseDuration \"x\" }}", "error calling parseDuration: not a valid duration string: \"x\">"),
        (
            "{{ toTime 1e300 }}",
            "error calling toTime: 1e+300 cannot be represented as a nanoseconds timestamp since it overflows int64>",
        ),
    ] {
        let found = expand(text);
        assert!(found.starts_with(prefix) && found.ends_with(problem), "{text}: {found}");
    }
}

#[test]
fn labels_are_templates_over_the_labels_of_the_result() {
    let file = "groups: [{name: g, rules: [{alert: A, expr: up, labels: {job: 'was {{ $labels.job }}', gone: '{{ $labels.absent }}', old: '{{ $labels.alertname }}'}}]}]";
    let mut group = group_with(file, settings(), true);
    let queries: Arc<dyn TemplateQueries> = Arc::new(Fixed);
    let outcome = group.evaluate(0, 0, Ok(vec![sample("up{job=\"j\",alertname=\"B\"}", 1.0)]), &queries);
    let alert = group.alerts().next().expect("an alert");
    assert_eq!(alert.labels, labels("{alertname=\"A\",job=\"was j\",old=\"B\"}"));
    // A label that came out empty keeps its template in the series, as upstream.
    assert_eq!(outcome.samples[0].labels.get("gone"), Some("{{ $labels.absent }}"));
}
