//! Reading cases.

use std::io::Write;
use std::path::{Path, PathBuf};

use alertmanager::config::Config;
use alertmanager::matcher::Language;
use alertmanager::{Alert, Moment};
use model::Labels;
use serde_json::Value as Json;

/// A folder or file of the conformance data, which lies in a folder above the checkout; `None`, said loudly, where it is
/// absent.
pub(crate) fn conformance_path(name: &str) -> Option<PathBuf> {
    let data = Path::new("shared/conformance/alertmanager").join(name);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.map(|folder| folder.join(&data)).find(|path| path.exists());
    if found.is_none() {
        // Not eprintln: the test harness would keep it to itself.
        let _ =
            writeln!(std::io::stderr(), "CONFORMANCE DATA ABSENT: {}; nothing was checked", data.display());
    }
    found
}

/// A text of the conformance data.
pub(crate) fn conformance(name: &str) -> Option<String> {
    let path = conformance_path(name)?;
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// YAML as JSON.
pub(crate) fn yaml(text: &str) -> Json {
    settings::yaml::parse("cases", text).expect("valid YAML").expect("a document").to_json()
}

/// The cases of a file of the conformance data.
pub(crate) fn cases(name: &str) -> Vec<Json> {
    conformance(name).map(|text| list(&yaml(&text))).unwrap_or_default()
}

pub(crate) fn list(value: &Json) -> Vec<Json> {
    value.as_array().cloned().unwrap_or_default()
}

pub(crate) fn text<'a>(value: &'a Json, key: &str) -> &'a str {
    value.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// A mapping of texts as labels; numbers and truths are texts here.
pub(crate) fn labels(value: &Json) -> Labels {
    let entries = value.as_object().cloned().unwrap_or_default();
    Labels::from_pairs(entries.iter().map(|(name, value)| (name.clone(), plain(value))))
}

pub(crate) fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn config(text: &str) -> Config {
    Config::parse(text, Language::Fallback).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// So many seconds after 1970, to the nanosecond.
pub(crate) fn seconds(seconds: f64) -> Moment {
    Moment::from_nanos((seconds * 1e9).round() as i64)
}

/// A firing alert of these labels.
pub(crate) fn alert(labels: Labels, starts_at: Moment, ends_at: Option<Moment>) -> Alert {
    Alert {
        labels,
        annotations: Default::default(),
        starts_at,
        ends_at,
        generator_url: "".into(),
        updated_at: starts_at,
        timeout: false,
    }
}

/// Panics with all that is wrong.
#[track_caller]
pub(crate) fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
