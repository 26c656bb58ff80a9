//! What the tests share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use promql::{InstantSample, SampleValue};
use rules::{Evaluated, Group, NoQueries, RuleFile, RuleSample, Settings, TemplateQueries};

/// A minute in milliseconds.
pub(crate) const MINUTE: i64 = 60_000;

/// The conformance data beside the checkout, if it is there.
#[expect(clippy::print_stderr, reason = "a skipped corpus has to be seen")]
pub(crate) fn conformance(sub: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/conformance").join(sub))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("CONFORMANCE DATA ABSENT: shared/conformance/{sub}");
    }
    found
}

/// All files below a folder that end in `.yaml`, `.yml` or `.rules`.
pub(crate) fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(yaml_files(&path));
        } else if path
            .extension()
            .is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "rules")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The errors of a file, one per line.
pub(crate) fn errors(text: &str) -> Vec<String> {
    match RuleFile::parse(text, &rules::FileOptions::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn settings() -> Settings {
    Settings { external_url: Arc::from("http://rules.example"), ..Settings::default() }
}

/// The only group of a file.
pub(crate) fn group_with(text: &str, settings: Settings, restored: bool) -> Group {
    let file = RuleFile::parse(text, &rules::FileOptions::default()).expect("a good file");
    let [group] = file.groups.as_slice() else { panic!("one group") };
    Group::new("rules.yml", group, Arc::new(settings), restored).expect("good templates")
}

pub(crate) fn group(text: &str) -> Group {
    group_with(text, settings(), true)
}

pub(crate) fn no_queries() -> Arc<dyn TemplateQueries> {
    Arc::new(NoQueries)
}

/// A sample; the series is written as in a query.
pub(crate) fn sample(series: &str, value: f64) -> InstantSample {
    InstantSample { labels: labels(series), value: SampleValue::Float(value) }
}

pub(crate) fn labels(series: &str) -> Labels {
    promql::parse_metric_prefix(series).expect("a series").0
}

/// Evaluates the first rule over these samples, and says that all was written.
pub(crate) fn evaluate(group: &mut Group, at_ms: i64, result: &[InstantSample]) -> Evaluated {
    let evaluated = group.evaluate(0, at_ms, Ok(result.to_vec()), &no_queries());
    group.written(0, &evaluated, rules::Written::All);
    evaluated
}

/// Samples as `series value @time`, stale markers as `stale`.
pub(crate) fn shown(samples: &[RuleSample]) -> Vec<String> {
    let shown = |sample: &RuleSample| {
        let value = match sample.value {
            SampleValue::Float(value) if model::is_stale_nan(value) => "stale".to_owned(),
            SampleValue::Float(value) => value.to_string(),
            SampleValue::Histogram(_) => "histogram".to_owned(),
        };
        format!("{} {value} @{}", sample.labels, sample.timestamp_ms)
    };
    samples.iter().map(shown).collect()
}
