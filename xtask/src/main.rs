//! Checks of the workspace that the compiler does not make: layers, purity, sizes, words and names that must not be
//! in the repository, and dependencies that nobody justified.
//!
//! `cargo run -p xtask -- check` prints one line for each finding, `path:line: what; what to do`, and exits with 1 when
//! there is any. Each check is a pure function of texts; only `workspace` reads files and runs programs.

mod code;
mod dependencies;
mod layers;
mod purity;
mod report;
mod shape;
mod text;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use report::Report;
use workspace::Workspace;

const USAGE: &str = "\
xtask: checks of the workspace

USAGE: cargo run -p xtask -- check

check   layers, purity of L0, sizes of files and functions, words and paths that must not be committed, dependencies
        without a reason, YAML and shell syntax. Prints path:line: what; what to do. Exits with 1 on any finding.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    let (text, code) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["check"] => match Workspace::open() {
            Ok(workspace) => {
                let report = check(&workspace);
                (report.to_string(), if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Err(error) => (format!("xtask: {error}\n"), ExitCode::FAILURE),
        },
        [] | ["help" | "--help" | "-h"] => (USAGE.to_owned(), ExitCode::SUCCESS),
        other => (format!("xtask: no such command: {}\n\n{USAGE}", other.join(" ")), ExitCode::FAILURE),
    };
    match out.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn check(workspace: &Workspace) -> Report {
    let mut report = Report::default();
    layers::check(&workspace.layers, &workspace.packages, &mut report);
    dependencies::check_reasons(&workspace.packages, &workspace.reasons, &mut report);
    dependencies::check_declared(&workspace.declared, &workspace.packages, &mut report);
    for package in &workspace.packages {
        layers::check_lints(package, &mut report);
        dependencies::check_used(package, &workspace.files, &mut report);
        if workspace.layers.layers.get(&package.name) == Some(&0) {
            purity::check(&workspace.layers.pure.words, package, &workspace.files, &mut report);
        }
    }
    for file in &workspace.files {
        shape::check(file, &mut report);
        text::check(file, &mut report);
    }
    workspace.check_shell(&mut report);
    report.note(format!("{} files, {} crates checked", workspace.files.len(), workspace.packages.len()));
    report
}
