//! What Prometheus has feature flags for: one opt-in per tenant, which may change while queries come.

use std::collections::HashMap;

use model::TenantId;
use querier::QuerierLimits;

use crate::fake::{Api, Fake, api, api_with, escape};

fn fake() -> Fake {
    Fake::default().floats(&[("__name__", "up"), ("job", "a")], &[(120, 1.0), (60, 2.0), (0, 3.0)])
}

/// What tenants get to hear that have not opted in, in the words of Prometheus.
const REFUSED: [(&str, &str); 7] = [
    (
        "limitk(1, up)",
        "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
    ),
    ("info(up)", r#"1:1: parse error: function "info" is not enabled"#),
    ("mad_over_time(up[5m])", r#"1:1: parse error: function "mad_over_time" is not enabled"#),
    ("up anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
    ("increase(up[5m] anchored)", "1:10: parse error: anchored modifier is experimental and not enabled"),
    ("rate(up[5m] smoothed)", "1:6: parse error: smoothed modifier is experimental and not enabled"),
    ("up + fill(0) up", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
];

async fn check_refused(api: &Api) {
    for (query, message) in REFUSED {
        let message = format!(r#"invalid parameter "query": {message}"#);
        for endpoint in ["query", "format_query", "parse_query"] {
            let path = format!("{endpoint}?query={}", escape(query));
            api.expect_error(&path, 400, "bad_data", &message).await;
        }
    }
}

async fn check_accepted(api: &Api) {
    for (query, _) in REFUSED.iter().filter(|(query, _)| *query != "up anchored") {
        for endpoint in ["query", "format_query", "parse_query"] {
            let answer = api.get(&format!("{endpoint}?query={}", escape(query))).await;
            assert_eq!(answer.status.as_u16(), 200, "{query}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn without_the_opt_in_the_error_is_that_of_prometheus() {
    check_refused(&api(fake())).await;
    // What is no longer experimental needs no opt-in.
    let api = api(fake());
    let answer = api.get(&format!("query?query={}", escape("sum_over_time(up[1m + 1m])"))).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
}

#[tokio::test]
async fn the_opt_in_is_a_limit_and_changes_with_the_limits() {
    let tenants = |opted_in: bool| {
        let limits = QuerierLimits { experimental_promql: opted_in, ..QuerierLimits::default() };
        HashMap::from([(TenantId::anonymous(), limits)])
    };
    let api = api(fake());
    api.limits.replace(tenants(true));
    check_accepted(&api).await;
    api.limits.replace(tenants(false));
    check_refused(&api).await;
    // The default of the process holds for tenants that the file does not name.
    check_accepted(&api_with(vec![fake()], &[], &[("experimental_promql", "true")])).await;
}

#[tokio::test]
async fn names_are_dropped_late_where_the_tenant_opted_in() {
    let query = format!("query?query={}", escape(r#"label_replace(-up, "n", "$1", "__name__", "(.*)")"#));
    let result = |labels: &str| {
        format!(
            r#"{{"resultType":"vector","result":[{{"metric":{{"job":"a"{labels}}},"value":[1700000000,"-3"]}}]}}"#
        )
    };
    api(fake()).expect(&query, &result("")).await;
    let opted_in = api_with(vec![fake()], &[], &[("experimental_promql", "true")]);
    opted_in.expect(&query, &result(r#","n":"up""#)).await;
}
