//! What rule files say, as groups of namespaces.

use std::path::Path;

use ::rules::{FileError, FileOptions, RuleFile, Tree};
use clap::ArgMatches;
use env::FileSystem;

use super::{Files, shown};
use crate::rules::{args, read};

/// The groups of the files of the command line. A file's namespace is what the command line says, or what it says itself, or what
/// it is called without its ending.
pub(super) fn local(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<Files, String> {
    let mut all = Files::default();
    let mut problems = Vec::new();
    for file in args::texts(asked, "file") {
        let text = read(fs, file)?;
        match groups(&text) {
            Err(wrong) => problems.extend(wrong.into_iter().map(|problem| format!("{file}: {problem}"))),
            Ok((own, groups)) => {
                let stem = || Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
                let given = asked.get_one::<String>("in").cloned();
                let namespace = given.or(own).or_else(stem).unwrap_or_default();
                all.namespaces.insert(namespace.clone());
                for group in groups {
                    let name = group.get("name").and_then(Tree::text).unwrap_or_default().to_owned();
                    let name = (namespace.clone(), name);
                    if all.groups.contains_key(&name) {
                        problems.push(format!("{file}: group {} stands twice", shown(&name)));
                    }
                    all.groups.insert(name, group);
                }
            }
        }
    }
    match problems.is_empty() {
        true => Ok(all),
        false => {
            problems.push("nothing was sent; `barograph rules check` says more of rule files".to_owned());
            Err(problems.join("\n"))
        }
    }
}

/// The namespace that a file says, if it does, and its groups; or all that is wrong with it.
fn groups(text: &str) -> Result<(Option<String>, Vec<Tree>), Vec<String>> {
    let tree = Tree::parse(text).map_err(|error| vec![error.to_string()])?;
    let Some(tree) = tree else { return Ok((None, Vec::new())) };
    let own = tree.get("namespace").and_then(Tree::text).map(str::to_owned);
    // What files of mimirtool have, and Prometheus' do not.
    let is_own = |error: &FileError| {
        own.is_some() && error.message.starts_with("field namespace not found")
            || error.message.starts_with("field source_tenants not found")
    };
    let parsed = match RuleFile::parse(text, &FileOptions::default()) {
        // With nothing else that is unknown, what is mimirtool's own is passed over.
        Err(errors) if errors.iter().all(is_own) => {
            RuleFile::parse(text, &FileOptions { ignore_unknown_fields: true, ..FileOptions::default() })
        }
        parsed => parsed,
    };
    if let Err(errors) = parsed {
        let others = errors.iter().filter(|error| !is_own(error));
        return Err(others.map(ToString::to_string).collect());
    }
    let spec = tree.get("kind").and_then(Tree::text).filter(|kind| *kind == "PrometheusRule");
    let root = spec.and_then(|_| tree.get("spec")).unwrap_or(&tree);
    let groups = root.get("groups").map(Tree::items).unwrap_or_default();
    Ok((own, groups.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_namespaces_and_groups() {
        let said = |text: &str| {
            let (namespace, groups) = groups(text)?;
            let names = groups.iter().filter_map(|group| group.get("name")?.text());
            Ok::<_, Vec<String>>((namespace, names.collect::<Vec<_>>().join(",")))
        };
        let none = |names: &str| Ok((None, names.to_owned()));
        assert_eq!(said("groups: [{name: a, rules: []}, {name: b, rules: []}]"), none("a,b"));
        assert_eq!(said("kind: PrometheusRule\nspec: {groups: [{name: c, rules: []}]}"), none("c"));
        assert_eq!(said("# nothing"), none(""));
        assert_eq!(
            said("namespace: n\ngroups: [{name: a, rules: []}]"),
            Ok((Some("n".to_owned()), "a".to_owned()))
        );
        for (text, why) in [
            (
                "groups: [{name: a, rules: [{record: r, expr: sum(}]}]",
                "1:46: group \"a\", rule 1, \"r\": could not",
            ),
            (
                "namespace: n\ngroups: [{name: a, rules: [{record: r}]}]",
                "2:28: group \"a\", rule 1, \"r\": field 'expr'",
            ),
            ("namespace: n\nrules: []", "field rules not found"),
            ("groups: [", "not valid YAML"),
            ("groups: []\n---\ngroups: []", "a second document"),
        ] {
            let wrong = said(text).unwrap_err().join("\n");
            assert!(wrong.contains(why), "{text}: {wrong}");
        }
    }
}
