//! Which crate imports which, against `layers.toml`; and that every crate has the workspace's lints.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::report::Report;
use crate::workspace::{DependencyKind, Package};

/// `layers.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    /// Layer by crate.
    pub(crate) layers: BTreeMap<String, u8>,
    roles: Names,
    dev_only: Names,
    #[serde(default)]
    exceptions: Vec<Exception>,
    /// What L0 must not name.
    pub(crate) pure: Pure,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pure {
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    from: String,
    to: String,
    why: String,
}

const FILE: &str = "xtask/layers.toml";

/// Finds edges that go up or sideways, crates without a layer, and lines of the file that nothing needs.
pub(crate) fn check(layers: &Layers, packages: &[Package], report: &mut Report) {
    for package in packages {
        let Some(layer) = layers.layers.get(&package.name) else {
            report.find(
                &package.manifest,
                1,
                format!("crate {} has no layer", package.name),
                "add it to xtask/layers.toml",
            );
            continue;
        };
        let own = package.dependencies.iter().filter(|dependency| dependency.ours);
        for dependency in own {
            let to = &dependency.name;
            let line = package.line_of(to);
            match dependency.kind {
                DependencyKind::Dev => {
                    if is_role(layers, &package.name) && is_role(layers, to) && *to != package.name {
                        report.find(
                            &package.manifest,
                            line,
                            format!("role {} tests with role {to}", package.name),
                            ROLES,
                        );
                    }
                }
                _ if layers.dev_only.names.contains(to) => {
                    report.find(
                        &package.manifest,
                        line,
                        format!("{to} is for tests"),
                        "move it to [dev-dependencies]",
                    );
                }
                _ => check_edge(layers, package, *layer, to, line, report),
            }
        }
    }
    check_file(layers, packages, report);
}

const ROLES: &str = "roles meet through proto traits, also in tests";

fn check_edge(layers: &Layers, package: &Package, layer: u8, to: &str, line: usize, report: &mut Report) {
    let Some(below) = layers.layers.get(to) else {
        return;
    };
    let excepted = layers.exceptions.iter().any(|e| e.from == package.name && e.to == to);
    if is_role(layers, &package.name) && is_role(layers, to) {
        report.find(&package.manifest, line, format!("role {} imports role {to}", package.name), ROLES);
    } else if *below >= layer && !excepted {
        let what = format!("{} (L{layer}) imports {to} (L{below})", package.name);
        report.find(
            &package.manifest,
            line,
            what,
            "import strictly lower layers, or move what is shared down",
        );
    }
}

fn check_file(layers: &Layers, packages: &[Package], report: &mut Report) {
    for name in layers.layers.keys().filter(|name| packages.iter().all(|package| package.name != **name)) {
        report.find(FILE, 1, format!("layer for {name}, which is no crate"), "remove the line");
    }
    for exception in &layers.exceptions {
        let used = packages.iter().any(|package| {
            package.name == exception.from && package.dependencies.iter().any(|d| d.name == exception.to)
        });
        if !used || exception.why.is_empty() {
            let what = format!("exception {} -> {} is unused or has no reason", exception.from, exception.to);
            report.find(FILE, 1, what, "remove it or say why");
        }
    }
}

fn is_role(layers: &Layers, name: &str) -> bool {
    layers.roles.names.iter().any(|role| role == name)
}

/// Finds a crate that does not inherit `[workspace.lints]`.
pub(crate) fn check_lints(package: &Package, report: &mut Report) {
    let table = package.manifest_text.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    let inherits = table
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.split_whitespace().collect::<String>() == "workspace=true");
    if !inherits {
        let what = format!("crate {} does not inherit the workspace's lints", package.name);
        report.find(&package.manifest, 1, what, "add [lints] workspace = true");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    const LAYERS: &str = "
        [layers]
        model = 0
        chunk = 0
        wire = 1
        testkit = 2
        ingester = 3
        querier = 3
        [roles]
        names = ['ingester', 'querier']
        [dev_only]
        names = ['testkit']
        [[exceptions]]
        from = 'chunk'
        to = 'model'
        why = 'words'
        [pure]
        words = []
    ";

    fn package(name: &str, dependencies: &[(&str, DependencyKind)]) -> Package {
        Package {
            name: name.into(),
            manifest: format!("{name}/Cargo.toml"),
            manifest_text: "[package]\n[lints]\nworkspace = true\n".into(),
            directory: name.into(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).into(), kind: *kind, ours: true })
                .collect(),
        }
    }

    fn findings(bad: Package) -> Vec<String> {
        use DependencyKind::{Dev, Normal};
        let good = [
            package("model", &[("testkit", Dev)]),
            package("chunk", &[("model", Normal)]),
            package("wire", &[("model", Normal)]),
            package("testkit", &[("wire", Normal)]),
            package("ingester", &[("wire", Normal)]),
            package("querier", &[("chunk", Normal)]),
        ];
        let name = bad.name.clone();
        let packages: Vec<Package> =
            good.into_iter().filter(|package| package.name != name).chain(std::iter::once(bad)).collect();
        let mut report = Report::default();
        check(&toml::from_str(LAYERS).expect("a good file"), &packages, &mut report);
        report.findings().to_vec()
    }

    #[test]
    fn good_edges_pass() {
        assert_eq!(findings(package("querier", &[("chunk", DependencyKind::Normal)])), Vec::<String>::new());
    }

    #[test]
    fn bad_edges_are_found() {
        use DependencyKind::{Dev, Normal};
        let check = |bad, expected: &str| {
            let found = findings(bad);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?} lacks {expected:?}");
        };
        check(package("model", &[("wire", Normal)]), "model (L0) imports wire (L1)");
        check(package("querier", &[("ingester", Normal)]), "role querier imports role ingester");
        check(package("querier", &[("ingester", Dev)]), "role querier tests with role ingester");
        check(package("wire", &[("testkit", Normal)]), "testkit is for tests");
        check(package("chunk", &[]), "exception chunk -> model is unused");
        check(package("newcomer", &[]), "crate newcomer has no layer");
    }

    #[test]
    fn lints_are_inherited() {
        let mut package = package("model", &[]);
        let mut report = Report::default();
        check_lints(&package, &mut report);
        assert!(report.passed());
        package.manifest_text = "[package]\nname = \"model\"\n[lints.rust]\nworkspace = true\n".into();
        check_lints(&package, &mut report);
        assert_eq!(report.findings().len(), 1);
    }
}
