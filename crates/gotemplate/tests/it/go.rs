//! Templates of all kinds, and what Go 1.26 writes or says of each: recorded by running it.

use gotemplate::{Limits, MissingKey};
use serde_json::Value as Json;

use crate::data::{data, templates};

/// What a template makes of the data, or the message of what is wrong with it.
fn run(template: &str, missing_key: MissingKey) -> Result<String, String> {
    let mut templates = templates(missing_key);
    templates.parse("t", template).map_err(|error| error.to_string())?;
    templates.execute("t", &data(), Limits::default()).map_err(|error| error.to_string())
}

fn check(cases: &str, run: impl Fn(&str, MissingKey) -> Result<String, String>) {
    let cases: Vec<Json> = serde_json::from_str(cases).expect("a list of cases");
    let text = |case: &Json, key: &str| case.get(key).and_then(Json::as_str).map(str::to_owned);
    let mut wrong = Vec::new();
    for case in &cases {
        let template = text(case, "template").expect("a template");
        let missing_key = match text(case, "missingkey").as_deref() {
            Some("zero") => MissingKey::Zero,
            Some("error") => MissingKey::Error,
            _ => MissingKey::Invalid,
        };
        let expected = text(case, "output").ok_or_else(|| text(case, "error").expect("output or error"));
        let got = run(&template, missing_key);
        // Go shows contexts in terms of its own.
        let until_context = |message: &String| message.split(": {state").next().map(str::to_owned);
        let same_error = match (&got, &expected) {
            (Err(got), Err(expected)) if expected.contains(": {state") => {
                let known = until_context(expected).unwrap_or_default();
                got.starts_with(&known)
            }
            _ => false,
        };
        if got != expected && !same_error {
            wrong.push(format!("{template}\n  Go:   {expected:?}\n  ours: {got:?}"));
        }
    }
    assert!(cases.len() > 40, "only {} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn text_templates_write_what_go_writes() {
    check(include_str!("go/text.json"), run);
}

fn run_html(template: &str, missing_key: MissingKey) -> Result<String, String> {
    let mut templates = templates(missing_key);
    templates.parse("t", template).map_err(|error| error.to_string())?;
    templates.execute_html("t", &data(), Limits::default()).map_err(|error| error.to_string())
}

#[test]
fn html_templates_escape_what_go_escapes() {
    check(include_str!("go/html.json"), run_html);
}
