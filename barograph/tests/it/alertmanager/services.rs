//! Receivers that are more than one request: SNS, whose requests are signed, and Jira, whose issues are looked for first.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{ReceivedRequest, Receiver, Reply};

use super::receivers::config;
use super::{ask, body, push, requests, start};
use crate::support::Barograph;

/// The fields of a form.
fn form(request: &ReceivedRequest) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.body.as_bytes()).into_owned().collect()
}

/// An Alertmanager with these variables in its environment, and none else that AWS's clients look at.
fn start_in(folder: &Path, config: &str, variables: &[(&str, &str)]) -> Barograph {
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config).expect("written");
    let arguments =
        ["--target=alertmanager", "--alertmanager-config", file.to_str().expect("a path in UTF-8")];
    let mut command = Barograph::command(&arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env("HOME", folder).envs(variables.iter().copied());
    Barograph::start_command(command, &folder.join("data"))
}

#[test]
fn sns_gets_signed_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver
        .answer_next(Reply::new(500, "<ErrorResponse><Error><Message>no</Message></Error></ErrorResponse>"));
    let lines = format!(
        "api_url: '{}'\nsigv4: {{region: eu-west-1, access_key: AKID, secret_key: secret}}\n\
         topic_arn: 'arn:aws:sns:eu-west-1:1:alerts.fifo'\nsubject: '{{{{ .Status }}}}'\nmessage: 'ä & {{{{ len .Alerts }}}}'\n\
         attributes: {{severity: '{{{{ .CommonLabels.severity }}}}'}}",
        receiver.url("/")
    );
    let barograph = start(folder.path(), &config("sns", &lines));
    push(barograph.addr, &[json!({"alertname": "a", "severity": "high"})]);
    let told = &requests(&receiver, 2)[1];
    assert_eq!(told.header("content-type"), Some("application/x-www-form-urlencoded; charset=utf-8"));
    let authorization = told.header("authorization").expect("a signature");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
    assert!(
        authorization.contains("/eu-west-1/sns/aws4_request, SignedHeaders=content-type;host;x-amz-date, ")
    );
    let fields = form(told);
    let key = fields["MessageGroupId"].clone();
    let expected = [
        ("Action", "Publish"),
        ("Message", "ä & 1"),
        ("MessageAttributes.entry.1.Name", "severity"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        ("MessageAttributes.entry.1.Value.StringValue", "high"),
        ("MessageDeduplicationId", &key),
        ("MessageGroupId", &key),
        ("Subject", "firing"),
        ("TopicArn", "arn:aws:sns:eu-west-1:1:alerts.fifo"),
        ("Version", "2010-03-31"),
    ];
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(fields, expected);
}

#[test]
fn sns_is_asked_in_a_role_with_what_the_environment_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sns, sts) = (Receiver::start(), Receiver::start());
    let granted = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>TEMP</AccessKeyId>\
                   <SecretAccessKey>s</SecretAccessKey><SessionToken>tok&amp;en</SessionToken>\
                   <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    sts.answer(Reply::new(200, granted));
    let lines = format!(
        "api_url: '{}'\nsigv4: {{role_arn: 'arn:aws:iam::1:role/x', external_id: e}}\nphone_number: '+1'\nsubject: ''\n\
         message: '{{{{ printf \"%2000s\" \"x\" }}}}'",
        sns.url("/")
    );
    let variables = [
        ("AWS_ACCESS_KEY_ID", "OWN"),
        ("AWS_SECRET_ACCESS_KEY", "own"),
        ("AWS_REGION", "us-east-2"),
        ("AWS_ENDPOINT_URL_STS", &sts.url("/")),
    ];
    let barograph = start_in(folder.path(), &config("sns", &lines), &variables);
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = requests(&sns, 1)[0].clone();
    push(barograph.addr, &[json!({"alertname": "b"})]);
    requests(&sns, 2);
    // The role is taken on once.
    let [asked] = &sts.requests()[..] else { panic!("{:?}", sts.requests()) };
    let fields = form(asked);
    assert_eq!((fields["Action"].as_str(), fields["ExternalId"].as_str()), ("AssumeRole", "e"));
    assert!(asked.header("authorization").is_some_and(|text| text.contains("Credential=OWN/")));
    assert_eq!(told.header("x-amz-security-token"), Some("tok&en"));
    let authorization = told.header("authorization").expect("a signature");
    assert!(
        authorization.contains("Credential=TEMP/") && authorization.contains("/us-east-2/sns/"),
        "{authorization}"
    );
    let fields = form(&told);
    assert_eq!((fields["Message"].len(), fields["PhoneNumber"].as_str()), (1600, "+1"));
    assert_eq!(fields["MessageAttributes.entry.1.Name"], "truncated");
}

#[test]
fn sns_is_asked_with_a_profile() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    std::fs::create_dir(folder.path().join(".aws")).expect("made");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(".aws").join(name), text).expect("written");
    };
    write("config", "[profile mine]\nregion = eu-north-1\n");
    write(
        "credentials",
        "[default]\naws_access_key_id = NO\n[mine]\naws_access_key_id = YES\naws_secret_access_key = s\n",
    );
    let lines = format!("api_url: '{}'\nsigv4: {{profile: mine}}\ntarget_arn: t", receiver.url("/"));
    let barograph = start_in(
        folder.path(),
        &config("sns", &lines),
        &[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "e")],
    );
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let authorization = requests(&receiver, 1)[0].header("authorization").expect("a signature").to_owned();
    assert!(
        authorization.contains("Credential=YES/") && authorization.contains("/eu-north-1/sns/"),
        "{authorization}"
    );
}

fn issues(status: &str) -> Reply {
    let issue =
        json!({"key": "OPS-1", "fields": {"status": {"name": "s", "statusCategory": {"key": status}}}});
    Reply::new(200, &json!({"issues": [issue]}).to_string())
}

fn sent(request: &ReceivedRequest) -> (String, Value) {
    let body = if request.body.is_empty() { Value::Null } else { body(request) };
    (format!("{} {}", request.method, request.path), body)
}

#[test]
fn jira_has_one_issue_for_a_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(Reply::new(200, r#"{"issues": []}"#));
    receiver.answer_next(Reply::new(201, r#"{"key": "OPS-1"}"#));
    let lines = format!(
        "api_url: '{}'\nproject: OPS\nissue_type: Bug\nlabels: [z, '{{{{ .Status }}}}']\npriority: High\n\
         summary: {{template: '{{{{ .Status }}}}', enable_update: false}}\ndescription: d\n\
         resolve_transition: Done\nreopen_transition: Again\nreopen_duration: 1h\nwont_fix_resolution: No\n\
         fields: {{customfield_1: {{value: '{{{{ .GroupLabels.alertname }}}}'}}}}",
        receiver.url("/rest/api/2/")
    );
    let barograph = start(folder.path(), &config("jira", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = requests(&receiver, 2);
    let (path, search) = sent(&told[0]);
    assert_eq!(
        (path.as_str(), &search["fields"], &search["maxResults"]),
        ("POST /rest/api/2/search", &json!(["status"]), &json!(2))
    );
    assert_eq!(told[0].header("accept-language"), Some("en"));
    let query = search["jql"].as_str().expect("a query");
    let start = "(resolution is EMPTY or resolution != \"No\") and (resolutiondate is EMPTY OR resolutiondate >= -60m) and project=\"OPS\" and labels=\"ALERT{";
    assert!(
        query.starts_with(start) && query.ends_with("}\" order by status ASC,resolutiondate DESC"),
        "{query}"
    );
    let (path, made) = sent(&told[1]);
    assert_eq!(path, "POST /rest/api/2/issue");
    let fields = &made["fields"];
    assert_eq!(
        (&fields["project"], &fields["issuetype"], &fields["summary"]),
        (&json!({"key": "OPS"}), &json!({"name": "Bug"}), &json!("firing"))
    );
    assert_eq!(
        (&fields["priority"], &fields["customfield_1"]),
        (&json!({"name": "High"}), &json!({"value": "a"}))
    );
    let labels = fields["labels"].as_array().expect("labels");
    assert!(labels.len() == 3 && labels[1..] == [json!("firing"), json!("z")], "{labels:?}");

    receiver.answer_next(issues("indeterminate"));
    receiver.answer_next(Reply::new(204, ""));
    receiver.answer_next(Reply::new(
        200,
        r#"{"transitions": [{"id": "1", "name": "Again"}, {"id": "2", "name": "Done"}]}"#,
    ));
    let resolved = json!([{"labels": {"alertname": "a"}, "endsAt": "2026-01-01T00:00:00Z"}]).to_string();
    ask(barograph.addr, "POST", "/api/v2/alerts", &resolved);
    let told = requests(&receiver, 6);
    assert!(
        sent(&told[2]).1["jql"]
            .as_str()
            .is_some_and(|query| query.contains(") and statusCategory != Done and project="))
    );
    let (path, changed) = sent(&told[3]);
    assert_eq!((path.as_str(), &changed["fields"]["summary"]), ("PUT /rest/api/2/issue/OPS-1", &Value::Null));
    assert_eq!(changed["fields"]["description"], json!("d"));
    assert_eq!(sent(&told[4]), ("GET /rest/api/2/issue/OPS-1/transitions".to_owned(), Value::Null));
    assert_eq!(
        sent(&told[5]),
        ("POST /rest/api/2/issue/OPS-1/transitions".to_owned(), json!({"transition": {"id": "2"}}))
    );
}

#[test]
fn jira_cloud_is_searched_where_it_wants_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(issues("done"));
    let lines = format!(
        "api_url: '{}'\napi_type: cloud\nproject: P\nissue_type: Bug\ndescription: '{{\"type\": \"doc\"}}'",
        receiver.url("/rest/api/3")
    );
    let barograph = start(folder.path(), &config("jira", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = requests(&receiver, 2);
    assert_eq!(sent(&told[0]).0, "POST /rest/api/3/search/jql");
    let (path, changed) = sent(&told[1]);
    assert_eq!(
        (path.as_str(), &changed["fields"]["description"]),
        ("PUT /rest/api/3/issue/OPS-1", &json!({"type": "doc"}))
    );
}
