//! `format_query` and `parse_query`.

use crate::fake::{Fake, api, escape};

async fn check_tree(query: &str, expected: &str) {
    api(Fake::default()).expect(&format!("parse_query?query={}", escape(query)), expected).await;
}

const FOO: &str = r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}"#;

#[tokio::test]
async fn trees() {
    check_tree("foo", FOO).await;
    check_tree("(1.5)", r#"{"expr":{"type":"numberLiteral","val":"1.5"},"type":"parenExpr"}"#).await;
    check_tree(r#""<a>""#, r#"{"type":"stringLiteral","val":"\u003ca\u003e"}"#).await;
    check_tree("-foo", &format!(r#"{{"expr":{FOO},"op":"-","type":"unaryExpr"}}"#)).await;
    check_tree(
        "foo > bool on(a) group_left(b) foo",
        &format!(
            r#"{{"bool":true,"lhs":{FOO},"matching":{{"card":"many-to-one","fillValues":{{"lhs":null,"rhs":null}},"include":["b"],"labels":["a"],"on":true}},"op":"\u003e","rhs":{FOO},"type":"binaryExpr"}}"#
        ),
    )
    .await;
    check_tree(
        "topk by (a) (2, foo)",
        &format!(
            r#"{{"expr":{FOO},"grouping":["a"],"op":"topk","param":{{"type":"numberLiteral","val":"2"}},"type":"aggregation","without":false}}"#
        ),
    )
    .await;
}

#[tokio::test]
async fn trees_with_time() {
    let matchers = r#""matchers":[{"name":"a","type":"!~","value":"b|c"},{"name":"__name__","type":"=","value":"foo"}],"name":"foo""#;
    check_tree(
        r#"rate(foo{a!~"b|c"}[5m] @ 1.5 offset -1m)"#,
        &format!(
            r#"{{"args":[{{"anchored":false,{matchers},"offset":-60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":1500,"type":"matrixSelector"}}],"func":{{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0}},"type":"call"}}"#
        ),
    )
    .await;
    check_tree(
        "foo[1h:1m] @ end()",
        &format!(
            r#"{{"expr":{FOO},"offset":0,"offsetExpr":null,"range":3600000,"rangeExpr":null,"startOrEnd":"end","step":60000,"stepExpr":null,"timestamp":null,"type":"subquery"}}"#
        ),
    )
    .await;
}

#[tokio::test]
async fn formatting() {
    let api = api(Fake::default());
    for (query, formatted) in [
        ("foo   +bar", "foo + bar"),
        ("sum by(job)(rate(foo{a='b'}[5m]))", r#"sum by (job) (rate(foo{a=\"b\"}[5m]))"#),
    ] {
        let path = format!("format_query?query={}", escape(query));
        api.expect(&path, &format!("\"{formatted}\"")).await;
    }
    for endpoint in ["format_query", "parse_query"] {
        let answer = api.get(&format!("{endpoint}?query=foo(")).await;
        assert_eq!(answer.status.as_u16(), 400);
        assert!(
            answer.body.contains(r#""errorType":"bad_data","error":"invalid parameter \"query\": "#),
            "{answer:?}"
        );
    }
}
