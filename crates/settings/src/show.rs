//! Configuration as commented YAML: all defaults, or what a process runs with.

use crate::section::{KeySpec, Section};
use crate::values::Schema;

/// What stands in place of a secret.
pub const HIDDEN: &str = "(hidden)";

impl Schema {
    /// Every key with its meaning, default and what is allowed, as a YAML file that sets each to its default.
    pub fn defaults(&self) -> String {
        let entries = self.keys().map(|key| (key.clone(), key.default.to_owned()));
        render(entries.collect(), |section| self.section_doc(section), true)
    }

    fn section_doc(&self, name: &str) -> Vec<String> {
        let docs = self.sections.iter().filter(|section| section.name == name).map(|section| section.doc);
        docs.flat_map(str::lines).map(|line| line.trim().to_owned()).collect()
    }
}

/// The values of sections as YAML, secrets hidden. Made of [`Section::print`].
#[derive(Debug, Clone, Default)]
pub struct Shown(Vec<(KeySpec, String)>);

impl Shown {
    /// Adds the values of a section; a key that is here already stays.
    pub fn add<S: Section>(&mut self, section: &S) {
        for (key, value) in section.print() {
            if self.0.iter().all(|(other, _)| other.path != key.path) {
                let value = if key.secret && !value.is_empty() { HIDDEN.to_owned() } else { value };
                self.0.push((key, value));
            }
        }
    }

    /// Each flag, without dashes, and its value.
    pub fn flags(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(key, value)| (key.flag(), value.as_str()))
    }

    /// The values as YAML.
    pub fn to_yaml(&self) -> String {
        render(self.0.clone(), |_| Vec::new(), false)
    }
}

/// `entries` as nested YAML: keys at the top first, then sections by name.
fn render(mut entries: Vec<(KeySpec, String)>, doc: impl Fn(&str) -> Vec<String>, comments: bool) -> String {
    entries.sort_by(|(a, _), (b, _)| section_of(a).cmp(section_of(b)));
    let mut out = String::new();
    let mut open: Vec<&str> = Vec::new();
    for (key, value) in &entries {
        let section = section_of(key);
        let parts: Vec<&str> = section.split('.').filter(|part| !part.is_empty()).collect();
        let shared = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        for (depth, part) in parts.iter().enumerate().skip(shared) {
            let indent = "  ".repeat(depth);
            if comments {
                out.push('\n');
                let path = parts.get(..=depth).unwrap_or_default().join(".");
                doc(&path).iter().for_each(|line| out.push_str(&format!("{indent}# {line}\n")));
            }
            out.push_str(&format!("{indent}{part}:\n"));
        }
        let indent = "  ".repeat(parts.len());
        if comments {
            push_comments(&mut out, key, &indent);
        }
        let name = key.path.rsplit('.').next().unwrap_or(&key.path);
        out.push_str(format!("{indent}{name}: {}", scalar(key, value)).trim_end());
        out.push('\n');
        open = parts;
    }
    out
}

fn section_of(key: &KeySpec) -> &str {
    key.path.rsplit_once('.').map_or("", |(section, _)| section)
}

fn push_comments(out: &mut String, key: &KeySpec, indent: &str) {
    for line in key.doc_lines() {
        out.push_str(format!("{indent}# {line}").trim_end());
        out.push('\n');
    }
    let allowed = key.allowed();
    let allowed = if allowed.is_empty() { allowed } else { format!(", {allowed}") };
    out.push_str(&format!("{indent}# Type: {}{allowed}. Flag: --{}.\n", key.type_name, key.flag()));
}

/// `value` as YAML: quoted where plain text would mean something else.
fn scalar(key: &KeySpec, value: &str) -> String {
    let structure = key.type_name == "structure";
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./+-,=() ".contains(c);
    let plain = value.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./".contains(c))
        && value.chars().all(safe)
        && !value.ends_with(' ')
        && !value.contains(": ");
    let word = matches!(value, "true" | "false" | "null") && key.type_name == "text";
    if structure || (plain && !word) { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}
