//! Answers of the API to requests that are wrong in one way or another: what Alertmanager 0.34.0 answered to the same.

use serde_json::{Value as Json, json};

use crate::role::{Role, disk};

const CONFIG: &str = "route: {receiver: r}\nreceivers: [{name: r}]";

const JSON: &str = "application/json";

/// An answer to a request that does not follow the specification.
fn fault(code: u16, message: &str) -> Json {
    json!({"code": code, "message": message})
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_in_upstreams_words() {
    let role = Role::start(&disk(CONFIG)).await.expect("a role");
    let type_error =
        "parsing silence body from \"\" failed, because json: cannot unmarshal number into Go struct field";
    let bodies = [
        (
            "alerts",
            "text/plain",
            "[]",
            415,
            fault(415, "unsupported media type \"text/plain\", only [application/json] are allowed"),
        ),
        (
            "alerts",
            "x",
            "[]",
            400,
            fault(
                400,
                "parsing Content-Type header from \"x\" failed, because mediatype: malformed: \"x\" has no subtype",
            ),
        ),
        ("alerts", "Application/JSON; charset=utf-8", "[]", 200, json!("")),
        ("silences", JSON, " ", 422, fault(602, "silence in body is required")),
        ("alerts", JSON, "[{\"labels\":{\"a\":\"b\"}}] x", 200, json!("")),
        (
            "alerts",
            JSON,
            "[",
            400,
            fault(400, "parsing alerts body from \"\" failed, because unexpected EOF"),
        ),
        (
            "alerts",
            JSON,
            r#"[{"labels":{"a":"b"},"startsAt":"2024-01-01T00:00:00Z","endsAt":""}]"#,
            400,
            json!("start time must be before end time"),
        ),
        (
            "silences",
            JSON,
            r#"{"matchers":[{"name":"a","value":"(","isRegex":true}],"startsAt":"","endsAt":"2124-01-01T00:00:00Z","createdBy":"","comment":""}"#,
            400,
            json!(
                "invalid silence: invalid label matcher 0 in set 0: invalid regular expression \"(\": error parsing regexp: missing closing ): `(`"
            ),
        ),
        (
            "silences",
            JSON,
            r#"{"matchers":[{"name":"a","value":"b","isRegex":1}]}"#,
            400,
            fault(400, &format!("{type_error} Matcher.matchers.isRegex of type bool")),
        ),
        (
            "silences",
            JSON,
            r#"{"matchers":[{"name":"a","value":"(","isRegex":true}],"startsAt":"2124-01-02","endsAt":"2124-01-01 12:00:00","createdBy":"","comment":""}"#,
            400,
            json!("Failed to create silence: start time must be before end time"),
        ),
        (
            "alerts",
            JSON,
            r#"[{"generatorURL":"http://x y"}]"#,
            422,
            fault(601, "0.generatorURL in body must be of type uri: \"http://x y\""),
        ),
        (
            "silences",
            JSON,
            r#"{"comment":1}"#,
            400,
            fault(400, &format!("{type_error} Silence.comment of type string")),
        ),
    ];
    for (what, kind, body, status, expected) in bodies {
        let (got, answer) = role.ask_as("t", "POST", &format!("/api/v2/{what}"), (kind, body)).await;
        assert_eq!((got.as_u16(), &answer), (status, &expected), "{kind} {body}");
    }
}

#[tokio::test]
async fn an_empty_parameter_says_nothing_but_an_empty_filter_is_wrong() {
    let role = Role::start(&disk(CONFIG)).await.expect("a role");
    role.ask("t", "POST", "/api/v2/alerts", r#"[{"labels":{"a":"b"}}]"#).await;
    let (_, found) = role.ask("t", "GET", "/api/v2/alerts?receiver=&active=", "").await;
    assert_eq!(found[0]["labels"], json!({"a": "b"}));
    for (query, message) in [
        ("receiver=(", "failed to parse receiver param: error parsing regexp: missing closing ): `^(?:()$`"),
        ("filter=", "bad matcher format: "),
    ] {
        let (status, answer) = role.ask("t", "GET", &format!("/api/v2/alerts?{query}"), "").await;
        assert_eq!((status.as_u16(), answer), (400, json!(message)), "{query}");
    }
}

#[tokio::test]
async fn a_silence_shows_annotations_only_where_it_has_some() {
    let role = Role::start(&disk(CONFIG)).await.expect("a role");
    for (annotations, shown) in
        [("", None), (r#","annotations":{}"#, None), (r#","annotations":{"a":"b"}"#, Some("b"))]
    {
        let matchers = r#"[{"name":"a","value":"b","isRegex":false}]"#;
        let body = format!(
            r#"{{"matchers":{matchers},"startsAt":"","endsAt":"2124-01-01T00:00:00Z","createdBy":"","comment":""{annotations}}}"#
        );
        let (_, created) = role.ask("t", "POST", "/api/v2/silences", &body).await;
        let id = created["silenceID"].as_str().expect("its name").to_owned();
        let (_, silence) = role.ask("t", "GET", &format!("/api/v2/silence/{id}"), "").await;
        let got = silence.get("annotations").map(|annotations| annotations["a"].as_str());
        assert_eq!(got, shown.map(Some), "{silence}");
    }
}
