//! What no text file of the repository may contain: paths of one machine, hosts of package registries, words that mark
//! work left undone; and YAML that does not parse.

use crate::code::has_word;
use crate::report::Report;
use crate::workspace::File;

/// Parts of paths that exist on one machine only. Written in two halves, so that this file does not contain them.
const MACHINE_PATHS: [(&str, &str); 4] =
    [("/wo", "rk/"), ("/ro", "ot/"), ("/tmp/bri", "efs"), (".libr", "ary/")];

/// Hosts that packages come from: a script takes them from the machine's own configuration.
const REGISTRY_HOSTS: [(&str, &str); 8] = [
    ("deb.deb", "ian.org"),
    ("snapshot.deb", "ian.org"),
    ("security.deb", "ian.org"),
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("files.python", "hosted.org"),
    ("registry.npm", "js.org"),
    ("proxy.go", "lang.org"),
];

const UNDONE: [(&str, &str); 3] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X")];

/// Checks one file.
pub(crate) fn check(file: &File, report: &mut Report) {
    if file.path == "Cargo.lock" {
        return;
    }
    for (index, line) in file.text.lines().enumerate() {
        check_line(&file.path, index + 1, line, report);
    }
    if file.path.ends_with(".yml") || file.path.ends_with(".yaml") {
        check_yaml(file, report);
    }
}

fn check_line(path: &str, number: usize, line: &str, report: &mut Report) {
    for (a, b) in MACHINE_PATHS {
        if has_path(line, &format!("{a}{b}")) {
            report.find(
                path,
                number,
                "a path of one machine",
                "make it relative, or take it from the environment",
            );
        }
    }
    for (a, b) in REGISTRY_HOSTS {
        if line.contains(&format!("{a}{b}")) {
            report.find(
                path,
                number,
                "the host of a package registry",
                "take it from the machine's own configuration",
            );
        }
    }
    for (a, b) in UNDONE {
        if has_word(line, &format!("{a}{b}")) {
            report.find(path, number, format!("{a}{b}"), "do it, or open an issue");
        }
    }
}

/// Whether `path` stands in `line` as the beginning of an absolute path, or as a folder where it is relative.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || "_.-}".contains(c))
    })
}

fn check_yaml(file: &File, report: &mut Report) {
    // Templates are YAML only once rendered.
    if file.text.contains("{{") {
        return;
    }
    let parsed: Result<Vec<serde_json::Value>, _> = serde_saphyr::from_multiple(&file.text);
    if let Err(error) = parsed {
        let line = error.location().map_or(1, |location| location.line() as usize);
        let message = error.to_string();
        let message = message.lines().next().unwrap_or("").to_owned();
        report.find(&file.path, line, format!("YAML does not parse: {message}"), "mend it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str, expected: &[&str]) {
        let mut report = Report::default();
        check(&File { path: path.into(), text: text.into() }, &mut report);
        assert_eq!(report.findings().len(), expected.len(), "{report}");
        for (finding, expected) in report.findings().iter().zip(expected) {
            assert!(finding.contains(expected), "{report}");
        }
    }

    #[test]
    fn bad_lines_are_found() {
        found("a.md", concat!("see /wo", "rk/main\n"), &["a.md:1: a path of one machine"]);
        found("a.md", concat!("at\n~/ro", "ot/x /ro", "ot/.cargo\n"), &["a.md:2: a path of one machine"]);
        found(
            "a.sh",
            concat!("curl http://deb.deb", "ian.org/x\n"),
            &["a.sh:1: the host of a package registry"],
        );
        found("a.rs", concat!("// TO", "DO: later\n"), &["a.rs:1: TO"]);
    }

    #[test]
    fn good_lines_pass() {
        found("a.md", concat!("frame", "work/x ./wo", "rk/x TO", "DOS mktemp XX", "XXXX\n"), &[]);
        found("Cargo.lock", concat!("static.cra", "tes.io"), &[]);
    }

    #[test]
    fn yaml_must_parse() {
        found("a.yml", "a: [1\n", &["a.yml:"]);
        found("a.yaml", "a: 1\n---\nb: [2, 3]\n", &[]);
        found("chart.yaml", "a: {{ .Values.x }}\n", &[]);
    }
}
