//! The workspace as it lies on disk: files that git knows or would add, and packages as cargo sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::layers::Layers;
use crate::report::Report;

/// Where dependencies have their reasons.
pub(crate) const REASONS: &str = "docs/decisions/dependencies.md";

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path from the root of the workspace.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// A crate of ours.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its `Cargo.toml`, from the root of the workspace.
    pub(crate) manifest: String,
    /// What is in that.
    pub(crate) manifest_text: String,
    /// Its folder, from the root of the workspace.
    pub(crate) directory: String,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
}

impl Package {
    /// The line of the manifest that names the dependency, for messages.
    pub(crate) fn line_of(&self, dependency: &str) -> usize {
        let names =
            |line: &str| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
        self.manifest_text.lines().position(names).map_or(1, |index| index + 1)
    }
}

/// What a crate depends on.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The name of the crate.
    pub(crate) name: String,
    /// For what.
    pub(crate) kind: DependencyKind,
    /// Whether the crate is of this workspace.
    pub(crate) ours: bool,
}

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    /// For the crate itself.
    Normal,
    /// For its build script.
    Build,
    /// For its tests and benchmarks.
    Dev,
}

/// Everything that the checks look at.
pub(crate) struct Workspace {
    root: PathBuf,
    /// Text files, sorted by path.
    pub(crate) files: Vec<File>,
    /// Our crates.
    pub(crate) packages: Vec<Package>,
    /// `layers.toml`.
    pub(crate) layers: Layers,
    /// The table of reasons for dependencies.
    pub(crate) reasons: String,
    /// The external names in `[workspace.dependencies]` and their lines.
    pub(crate) declared: Vec<(String, usize)>,
}

impl Workspace {
    /// The workspace that the current directory is in.
    pub(crate) fn open() -> Result<Self, String> {
        let metadata: Metadata = {
            let text =
                run(Path::new("."), "cargo", &["metadata", "--format-version=1", "--no-deps", "--locked"])?;
            serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?
        };
        let root = metadata.workspace_root.clone();
        let files = files(&root)?;
        let read =
            |path: &str| std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
        let layers =
            toml::from_str(&read("xtask/layers.toml")?).map_err(|error| format!("layers.toml: {error}"))?;
        let packages = packages(&root, metadata)?;
        let declared = declared(&read("Cargo.toml")?);
        // A missing table is an empty one: every dependency then lacks its reason.
        let reasons = read(REASONS).unwrap_or_default();
        Ok(Self { files, packages, layers, reasons, declared, root })
    }

    /// Finds shell scripts that do not parse, or do not stop at errors.
    pub(crate) fn check_shell(&self, report: &mut Report) {
        for file in self.files.iter().filter(|file| is_shell(file)) {
            if !file.text.lines().any(|line| line.trim() == "set -euo pipefail") {
                report.find(&file.path, 1, "the script goes on after errors", "add set -euo pipefail");
            }
            if let Err(error) = run(&self.root, "bash", &["-n", &file.path]) {
                report.find(&file.path, 1, format!("bash does not parse it: {error}"), "mend it");
            }
        }
    }
}

fn is_shell(file: &File) -> bool {
    let first = file.text.lines().next().unwrap_or("");
    first.starts_with("#!") && first.ends_with("bash") || file.path.ends_with(".sh")
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{program}: {error}"))
}

/// The text files that git tracks or would add; binary ones are left out.
fn files(root: &Path) -> Result<Vec<File>, String> {
    let listed = run(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut files: Vec<File> = listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| {
            Some(File { path: path.to_owned(), text: std::fs::read_to_string(root.join(path)).ok()? })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

fn packages(root: &Path, metadata: Metadata) -> Result<Vec<Package>, String> {
    let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    let mut packages = Vec::new();
    for package in metadata.packages {
        let manifest = relative(&package.manifest_path);
        let manifest_text = std::fs::read_to_string(&package.manifest_path)
            .map_err(|error| format!("{manifest}: {error}"))?;
        let dependencies = package.dependencies.into_iter().map(|dependency| Dependency {
            ours: dependency.path.is_some(),
            kind: match dependency.kind.as_deref() {
                Some("dev") => DependencyKind::Dev,
                Some("build") => DependencyKind::Build,
                _ => DependencyKind::Normal,
            },
            name: dependency.name,
        });
        packages.push(Package {
            directory: manifest.strip_suffix("/Cargo.toml").unwrap_or("").to_owned(),
            dependencies: dependencies.collect(),
            name: package.name,
            manifest,
            manifest_text,
        });
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// The names in `[workspace.dependencies]`.
fn declared(manifest: &str) -> Vec<(String, usize)> {
    let lines = manifest
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != "[workspace.dependencies]")
        .skip(1);
    lines
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(index, line)| Some((line.split_once('=')?.0.trim().to_owned(), index + 1)))
        .filter(|(name, _)| !name.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_names_are_read_with_their_lines() {
        let text = "[workspace]\n[workspace.dependencies]\n# a = b\nbytes = \"1\"\nsnap = { version = \"1\" }\n\n[profile.dev]\nx = 1\n";
        assert_eq!(declared(text), [("bytes".to_owned(), 4), ("snap".to_owned(), 5)]);
    }

    #[test]
    fn shell_is_recognised() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        assert!(is_shell(&file(".ci/run", "#!/usr/bin/env bash\n")));
        assert!(is_shell(&file("a.sh", "echo\n")));
        assert!(!is_shell(&file("a.py", "#!/usr/bin/env python3\n")));
    }
}
