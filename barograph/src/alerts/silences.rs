//! `barograph alerts silence …`.

use std::io::Read as _;
use std::path::Path;

use alertmanager::matcher::{Language, Matcher};
use clap::ArgMatches;
use env::FileSystem;
use model::MatchOp;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::list::second;
use super::{Outcome, text, texts, wants_json};
use crate::query::table::grid;
use crate::query::time;

/// The largest file of silences that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// What of a silence its maker says; the rest the Alertmanager does.
const POSTED: [&str; 6] = ["matchers", "startsAt", "endsAt", "createdBy", "comment", "annotations"];

/// Prints the silences that are asked for.
pub(super) fn list(asked: &ArgMatches) -> Result<Outcome, String> {
    let client = Client::new(asked)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for matcher in texts(asked, "matcher") {
        query.append_pair("filter", matcher);
    }
    let found = client.get(&format!("/api/v2/silences?{}", query.finish()))?.unwrap_or_default();
    let all = found.as_array().cloned().unwrap_or_default();
    let over = asked.get_flag("expired");
    let silences: Vec<Value> =
        all.into_iter().filter(|silence| over || state(silence) != "expired").collect();
    if wants_json(asked) {
        return Ok(Outcome::good(format!("{:#}\n", Value::Array(silences))));
    }
    if silences.is_empty() {
        return Ok(Outcome::good("no silences\n"));
    }
    let mut rows = vec![["id", "state", "until", "by", "alerts", "why"].map(str::to_owned).to_vec()];
    for silence in &silences {
        let part = |name: &str| silence[name].as_str().unwrap_or_default().to_owned();
        let matchers = silence["matchers"].as_array().into_iter().flatten().map(shown);
        let matchers: Vec<String> = matchers.collect();
        let until = second(&part("endsAt"));
        let state = state(silence).to_owned();
        rows.push(vec![part("id"), state, until, part("createdBy"), matchers.join(" "), part("comment")]);
    }
    Ok(Outcome::good(grid(&rows, &[false; 6])))
}

fn state(silence: &Value) -> &str {
    silence["status"]["state"].as_str().unwrap_or_default()
}

fn shown(matcher: &Value) -> String {
    let is = |name: &str, otherwise: bool| matcher[name].as_bool().unwrap_or(otherwise);
    let op = match (is("isEqual", true), is("isRegex", false)) {
        (true, false) => "=",
        (false, false) => "!=",
        (true, true) => "=~",
        (false, true) => "!~",
    };
    let part = |name: &str| matcher[name].as_str().unwrap_or_default();
    format!("{}{op}{}", part("name"), gotemplate::quote(part("value")))
}

/// Makes a silence, and prints its name.
pub(super) fn add(asked: &ArgMatches, now_ms: i64) -> Result<Outcome, String> {
    let duration = text(asked, "duration");
    let millis =
        settings::duration::parse(duration).and_then(|duration| i64::try_from(duration.as_millis()).ok());
    let end = millis.and_then(|millis| now_ms.checked_add(millis));
    let end = end.ok_or_else(|| format!("--duration: {duration:?} is no duration; 2h would be one"))?;
    let mut matchers = Vec::new();
    for matcher in texts(asked, "matcher") {
        let parsed = Language::Fallback.matcher(matcher).map_err(|error| format!("{matcher:?}: {error}"))?;
        matchers.push(posted(&parsed));
    }
    let silence = json!({
        "matchers": matchers,
        "startsAt": time::rfc3339(now_ms),
        "endsAt": time::rfc3339(end),
        "createdBy": text(asked, "author"),
        "comment": text(asked, "comment"),
    });
    let answer = Client::new(asked)?.post("/api/v2/silences", &silence)?;
    Ok(Outcome::good(format!("{}\n", answer["silenceID"].as_str().unwrap_or_default())))
}

fn posted(matcher: &Matcher) -> Value {
    json!({
        "name": matcher.name(),
        "value": matcher.value(),
        "isRegex": matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
        "isEqual": matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
    })
}

/// Ends silences. All are tried; what was wrong with some is said.
pub(super) fn expire(asked: &ArgMatches) -> Result<Outcome, String> {
    let client = Client::new(asked)?;
    let mut problems = Vec::new();
    for id in texts(asked, "id") {
        let escaped: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        problems.extend(client.delete(&format!("/api/v2/silence/{escaped}")).err());
    }
    if problems.is_empty() { Ok(Outcome::good("")) } else { Err(problems.join("\n")) }
}

/// Makes the silences of a file.
pub(super) fn import(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<Outcome, String> {
    let file = text(asked, "file");
    let wrong = |why: &dyn std::fmt::Display| format!("{file}: {why}");
    let bytes = match file {
        "-" => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(MAX_FILE_BYTES).read_to_end(&mut bytes);
            read.map_err(|error| wrong(&error))?;
            bytes
        }
        file => env::read_file(fs, Path::new(file), MAX_FILE_BYTES).map_err(|error| wrong(&error))?,
    };
    let silences: Vec<Map<String, Value>> = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    let client = Client::new(asked)?;
    let (mut made, mut problems) = (String::new(), Vec::new());
    for (index, silence) in silences.iter().enumerate() {
        if silence.get("status").is_some_and(|status| status["state"] == "expired") {
            continue;
        }
        match import_one(&client, silence) {
            Ok(id) => made.push_str(&format!("{id}\n")),
            Err(problem) => problems.push(format!("{file}: silence {}: {problem}", index + 1)),
        }
    }
    for problem in &problems {
        crate::output::error(problem);
    }
    Ok(Outcome { text: made, good: problems.is_empty() })
}

fn import_one(client: &Client, silence: &Map<String, Value>) -> Result<String, String> {
    let mut posted: Map<String, Value> = silence
        .iter()
        .filter(|(name, _)| POSTED.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    if let Some(id) = silence.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        let escaped: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let known = client.get(&format!("/api/v2/silence/{escaped}"))?;
        if known.is_some_and(|known| state(&known) != "expired") {
            posted.insert("id".to_owned(), id.into());
        }
    }
    let answer = client.post("/api/v2/silences", &Value::Object(posted))?;
    Ok(answer["silenceID"].as_str().unwrap_or_default().to_owned())
}
