//! Every dependency has a reason in writing, is used by the crate that names it, and is declared once.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::{code_only, has_word};
use crate::report::Report;
use crate::workspace::{File, Package, REASONS};

/// Finds dependencies without a line in the table of reasons, and lines for what is no dependency.
///
/// A line of the table is `| name | why |`.
pub(crate) fn check_reasons(packages: &[Package], reasons: &str, report: &mut Report) {
    let rows: BTreeMap<&str, usize> = reasons
        .lines()
        .enumerate()
        .filter_map(|(index, line)| row(line).map(|name| (name, index + 1)))
        .collect();
    let mut needed: BTreeMap<&str, &Package> = BTreeMap::new();
    for package in packages {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.ours) {
            needed.entry(&dependency.name).or_insert(package);
        }
    }
    for (name, package) in &needed {
        if !rows.contains_key(name) {
            let what = format!("dependency {name} has no reason");
            report.find(&package.manifest, package.line_of(name), what, &format!("add a line to {REASONS}"));
        }
    }
    for (name, line) in rows.iter().filter(|(name, _)| !needed.contains_key(**name)) {
        report.find(REASONS, *line, format!("{name} is no dependency of any crate"), "remove the line");
    }
}

/// The name in a line `| name | why |` with a reason; headings and other lines have none.
fn row(line: &str) -> Option<&str> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
    let (name, why) = (cells.next()?, cells.next()?);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let heading = name == "name" || name.chars().all(|c| c == '-');
    (is_name && !heading && !why.is_empty()).then_some(name)
}

/// Finds lines of `[workspace.dependencies]` that no crate uses.
pub(crate) fn check_declared(declared: &[(String, usize)], packages: &[Package], report: &mut Report) {
    let used: BTreeSet<&str> = packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    for (name, line) in declared.iter().filter(|(name, _)| !used.contains(name.as_str())) {
        report.find(
            "Cargo.toml",
            *line,
            format!("no crate uses {name}"),
            "remove it from [workspace.dependencies]",
        );
    }
}

/// Finds dependencies that no source of the crate names.
pub(crate) fn check_used(package: &Package, files: &[File], report: &mut Report) {
    let inside = format!("{}/", package.directory);
    let sources: Vec<String> = files
        .iter()
        .filter(|file| file.path.starts_with(&inside) && file.path.ends_with(".rs"))
        .map(|file| code_only(&file.text))
        .collect();
    for dependency in &package.dependencies {
        // A crate such as md-5 may call its library md5.
        let names = [dependency.name.replace('-', "_"), dependency.name.replace('-', "")];
        let named = |line: &str| names.iter().any(|name| has_word(line, name));
        if !sources.iter().any(|source| source.lines().any(named)) {
            let line = package.line_of(&dependency.name);
            let what = format!("{} never names its dependency {}", package.name, dependency.name);
            report.find(&package.manifest, line, what, "remove it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Dependency, DependencyKind};

    fn package(dependencies: &[&str]) -> Package {
        let lines: Vec<String> = dependencies.iter().map(|name| format!("{name}.workspace = true")).collect();
        Package {
            name: "wire".into(),
            manifest: "crates/wire/Cargo.toml".into(),
            manifest_text: format!("[dependencies]\n{}\n", lines.join("\n")),
            directory: "crates/wire".into(),
            dependencies: dependencies
                .iter()
                .map(|name| Dependency { name: (*name).into(), kind: DependencyKind::Normal, ours: false })
                .collect(),
        }
    }

    #[test]
    fn reasons_are_complete_and_current() {
        let text = "# Title\n\n| name | why |\n| --- | --- |\n| bytes | shares buffers |\n| gone | once used |\n| snap | |\n";
        let mut report = Report::default();
        check_reasons(&[package(&["bytes", "snap"])], text, &mut report);
        let found = report.findings();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/wire/Cargo.toml:3: dependency snap has no reason"), "{found:?}");
        assert!(found[1].starts_with("docs/decisions/dependencies.md:6: gone is no dependency"), "{found:?}");
    }

    #[test]
    fn unused_dependencies_are_found() {
        let files = [
            File { path: "crates/wire/src/lib.rs".into(), text: "use bytes::Bytes; // snap".into() },
            File { path: "crates/other/src/lib.rs".into(), text: "use snap::raw;".into() },
        ];
        let mut report = Report::default();
        check_used(&package(&["bytes", "snap"]), &files, &mut report);
        assert_eq!(report.findings().len(), 1, "{report}");
        assert!(report.findings()[0].contains("wire never names its dependency snap"), "{report}");
    }

    #[test]
    fn unused_declarations_are_found() {
        let declared = [("bytes".to_owned(), 7), ("snap".to_owned(), 8)];
        let mut report = Report::default();
        check_declared(&declared, &[package(&["bytes"])], &mut report);
        assert_eq!(report.findings().len(), 1, "{report}");
        assert!(report.findings()[0].starts_with("Cargo.toml:8: no crate uses snap"), "{report}");
    }
}
