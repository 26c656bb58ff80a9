//! What has to change that a server has what files say.

use std::fmt;

use ::rules::{FileOptions, RuleFile, RuleGroup, Tree};
use serde_json::{Value, json};

use super::lines::differences;
use super::{Files, Groups, Name, as_json, shown};

/// One thing that has to change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// A group that only the files have.
    Add(Name, Tree),
    /// One that differs: as it is on the server, and as the files have it.
    Replace(Name, Tree, Tree),
    /// One that only the server has.
    Remove(Name, Tree),
}

impl Change {
    /// The lines that differ, where there are some on both sides.
    pub(super) fn lines(&self) -> String {
        match self {
            Self::Replace(_, there, here) => differences(&there.to_yaml(), &here.to_yaml()),
            Self::Add(..) | Self::Remove(..) => String::new(),
        }
    }

    /// The same for a program.
    pub(super) fn to_json(&self) -> Value {
        let (what, name, there, here) = match self {
            Self::Add(name, here) => ("add", name, None, Some(here)),
            Self::Replace(name, there, here) => ("replace", name, Some(there), Some(here)),
            Self::Remove(name, there) => ("remove", name, Some(there), None),
        };
        let mut shown = as_json(name);
        shown["change"] = json!(what);
        for (key, tree) in [("server", there), ("files", here)] {
            if let Some(tree) = tree {
                shown[key] = tree.to_json();
            }
        }
        shown
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, name) = match self {
            Self::Add(name, _) => ('+', name),
            Self::Replace(name, ..) => ('~', name),
            Self::Remove(name, _) => ('-', name),
        };
        write!(f, "{mark} {}", shown(name))
    }
}

/// What has to change on the server, in order of names. What it has in namespaces that no file names stays, unless `all` of it is
/// compared.
pub(super) fn changes(local: &Files, server: &Groups, all: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, group) in &local.groups {
        match server.get(name) {
            None => changes.push(Change::Add(name.clone(), group.clone())),
            Some(there) if is_same(there, group) => {}
            Some(there) => changes.push(Change::Replace(name.clone(), there.clone(), group.clone())),
        }
    }
    let is_named = |namespace: &str| all || local.namespaces.contains(namespace);
    let gone = server.iter().filter(|(name, _)| !local.groups.contains_key(*name) && is_named(&name.0));
    changes.extend(gone.map(|(name, there)| Change::Remove(name.clone(), there.clone())));
    changes
}

/// Whether two groups mean the same. What is no group to this program is compared by its words.
fn is_same(one: &Tree, other: &Tree) -> bool {
    match (meaning(one), meaning(other)) {
        (Some(one), Some(other)) => one.means(&other),
        _ => sorted(one) == sorted(other),
    }
}

fn meaning(tree: &Tree) -> Option<RuleGroup> {
    RuleFile::parse_group(&tree.to_yaml(), &FileOptions::default()).ok().flatten()
}

/// The same with keys in order, and without what is there for nothing.
fn sorted(tree: &Tree) -> Tree {
    match tree {
        Tree::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), sorted(value)));
            let mut entries: Vec<(String, Tree)> =
                entries.filter(|(_, value)| *value != Tree::Map(Vec::new())).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Tree::Map(entries)
        }
        Tree::List(items) => Tree::List(items.iter().map(sorted).collect()),
        Tree::Plain(text) => Tree::Text(text.clone()),
        Tree::Text(text) => Tree::Text(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(all: &[(&str, &str, &str)]) -> Groups {
        let of = |text: &str| Tree::parse(text).unwrap().unwrap();
        all.iter().map(|(n, g, text)| (((*n).to_owned(), (*g).to_owned()), of(text))).collect()
    }

    #[test]
    fn only_what_differs_changes() {
        let local = Files {
            namespaces: ["x".to_owned(), "z".to_owned()].into(),
            groups: groups(&[
                ("x", "a", "{name: a, interval: 60s, rules: [{record: r, expr: '1+1', labels: {}}]}"),
                ("x", "b", "{name: b, rules: []}"),
                ("x", "c", "{name: c, interval: 1m}"),
                ("x", "f", "{name: f, source_tenants: [a], rules: []}"),
            ]),
        };
        let server = groups(&[
            ("x", "a", "{rules: [{expr: 1 + 1, record: r}], name: a, interval: 1m}"),
            ("x", "c", "{name: c, interval: 2m}"),
            ("x", "d", "{name: d}"),
            ("x", "f", "{rules: [], name: f, source_tenants: [a]}"),
            ("y", "e", "{name: e}"),
            ("z", "g", "{name: g}"),
        ]);
        let text = |all| changes(&local, &server, all).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(false), ["+ x/b", "~ x/c", "- x/d", "- z/g"]);
        assert_eq!(text(true), ["+ x/b", "~ x/c", "- x/d", "- y/e", "- z/g"]);
        let replaced = &changes(&local, &server, false)[1];
        assert_eq!(replaced.lines(), "      name: c\n    - interval: 2m\n    + interval: 1m\n");
        assert_eq!(
            replaced.to_json(),
            json!({
                "namespace": "x", "group": "c", "change": "replace",
                "server": {"name": "c", "interval": "2m"}, "files": {"name": "c", "interval": "1m"},
            })
        );
    }
}
