//! `barograph rules check`: what is wrong with rule files.

use std::io::Read as _;
use std::process::ExitCode;

use ::rules::file::{Duplicate, duplicates};
use ::rules::{FileError, FileOptions, Place, RuleFile};
use clap::ArgMatches;
use env::FileSystem;
use serde_json::{Value, json};

use super::{MAX_FILE_BYTES, args, print_json, read};
use crate::output;

/// Exit code where rules are hardly meant as they are, as promtool has it.
const LINT: u8 = 3;

/// How a file was found.
struct Checked {
    file: String,
    /// Why it cannot be read.
    unreadable: Option<String>,
    errors: Vec<FileError>,
    rules: usize,
    second_document: Option<Place>,
    duplicates: Vec<Duplicate>,
}

impl Checked {
    fn is_wrong(&self) -> bool {
        self.unreadable.is_some() || !self.errors.is_empty()
    }
}

pub(super) fn check(fs: &dyn FileSystem, asked: &ArgMatches) -> ExitCode {
    let options = FileOptions {
        expressions: args::engine_options(asked).parse_options(),
        ignore_unknown_fields: asked.get_flag("ignore-unknown-fields"),
    };
    let lint = asked.get_one::<String>("lint").is_none_or(|lint| lint != "none");
    let files = args::texts(asked, "file");
    let texts: Vec<(String, Result<String, String>)> = match files.as_slice() {
        [] => vec![("standard input".to_owned(), standard_input())],
        files => files.iter().map(|file| ((*file).to_owned(), read(fs, file))).collect(),
    };
    let checked: Vec<Checked> =
        texts.into_iter().map(|(file, text)| check_text(file, text, &options, lint)).collect();
    let code = if checked.iter().any(Checked::is_wrong) {
        ExitCode::FAILURE
    } else if asked.get_flag("lint-fatal") && checked.iter().any(|checked| !checked.duplicates.is_empty()) {
        ExitCode::from(LINT)
    } else {
        ExitCode::SUCCESS
    };
    if asked.get_flag("json") {
        let files: Vec<Value> = checked.iter().map(as_json).collect();
        return print_json(&json!({ "files": files }), code);
    }
    for checked in &checked {
        if show(checked) == ExitCode::FAILURE {
            return ExitCode::FAILURE;
        }
    }
    code
}

fn standard_input() -> Result<String, String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    match read {
        Err(error) => Err(format!("standard input: {error}")),
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => {
            Err(format!("standard input: more than {MAX_FILE_BYTES} bytes"))
        }
        Ok(_) => Ok(text),
    }
}

fn check_text(file: String, text: Result<String, String>, options: &FileOptions, lint: bool) -> Checked {
    let mut checked = Checked {
        file,
        unreadable: None,
        errors: Vec::new(),
        rules: 0,
        second_document: None,
        duplicates: Vec::new(),
    };
    match text.map(|text| RuleFile::parse(&text, options)) {
        Err(unreadable) => checked.unreadable = Some(unreadable),
        Ok(Err(errors)) => checked.errors = errors,
        Ok(Ok(parsed)) => {
            checked.rules = parsed.rule_count();
            checked.second_document = parsed.second_document;
            if lint {
                checked.duplicates = duplicates(&parsed.groups);
            }
        }
    }
    checked
}

/// As promtool shows it.
fn show(checked: &Checked) -> ExitCode {
    let file = &checked.file;
    let code = output::out(&format!("Checking {file}\n"));
    if let Some(place) = checked.second_document {
        output::note(&format!("  WARNING: {file}:{place}: a second document, which is not read"));
    }
    if checked.is_wrong() {
        output::note("  FAILED:");
        if let Some(unreadable) = &checked.unreadable {
            output::note(unreadable);
        }
        for error in &checked.errors {
            output::note(&format!("{file}: {error}"));
        }
        return code;
    }
    if checked.duplicates.is_empty() {
        return output::out(&format!("  SUCCESS: {} rules found\n\n", checked.rules));
    }
    output::note(&format!("  FAILED:\n{}", lint_text(&checked.duplicates)));
    output::out("\n")
}

fn lint_text(duplicates: &[Duplicate]) -> String {
    let mut text = format!("lint error {} duplicate rule(s) found.\n", duplicates.len());
    for duplicate in duplicates {
        text.push_str(&format!("Metric: {}\nLabel(s):\n", duplicate.name));
        for (name, value) in &duplicate.labels {
            text.push_str(&format!("\t{name}: {value}\n"));
        }
    }
    text.push_str("Might cause inconsistency while recording expressions");
    text
}

fn as_json(checked: &Checked) -> Value {
    let place = |place: Place| json!({ "line": place.line, "column": place.column });
    let mut errors: Vec<Value> =
        checked.unreadable.iter().map(|message| json!({ "message": message })).collect();
    errors.extend(checked.errors.iter().map(|error| {
        let mut shown = json!({
            "line": error.place.line,
            "column": error.place.column,
            "message": error.message,
        });
        if let Some(rule) = &error.rule {
            shown["group"] = json!(rule.group);
            shown["rule"] = json!(rule.number);
            shown["name"] = json!(rule.name);
        }
        shown
    }));
    let duplicates: Vec<Value> = checked
        .duplicates
        .iter()
        .map(|duplicate| json!({ "name": duplicate.name, "labels": duplicate.labels, "count": duplicate.count }))
        .collect();
    json!({
        "file": checked.file,
        "rules": checked.rules,
        "errors": errors,
        "duplicates": duplicates,
        "second_document": checked.second_document.map(place),
    })
}
