//! Replacements with references to what a regular expression captured: `$1`, `${1}`, `$name`, `${name}`, `$$`.
//!
//! A name without braces is as long as possible: `$1x` refers to the group named `1x`, not to group 1. References to
//! groups that do not exist are empty. Source: Go's `regexp.Expand`, which Prometheus uses.

use regex::{Captures, Regex};

/// A replacement.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// A text without references.
    pub(crate) fn literal(text: String) -> Self {
        Self { parts: vec![Part::Text(text)] }
    }

    /// The template in `text`, with references to the groups of `regex`.
    pub(crate) fn parse(text: &str, regex: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                literal.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(rest) {
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.extend(group(name, regex).map(Part::Group));
                rest = after;
            } else {
                literal.push('$');
            }
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Self { parts }
    }

    /// The text of a template without references; empty otherwise.
    pub(crate) fn text(&self) -> &str {
        match self.parts.as_slice() {
            [Part::Text(text)] => text,
            _ => "",
        }
    }

    /// The text with references replaced by what was captured.
    pub(crate) fn expand(&self, captures: &Captures<'_>) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Group(group) => captures.get(*group).map_or("", |m| m.as_str()),
            })
            .collect()
    }
}

/// The name behind a dollar sign, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let (name, rest) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => text.split_at(text.find(|c| !in_name(c)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(in_name)).then_some((name, rest))
}

fn group(name: &str, regex: &Regex) -> Option<usize> {
    let number = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if number {
        return name.parse().ok().filter(|group| *group < regex.captures_len());
    }
    regex.capture_names().position(|known| known == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: &str) {
        let regex = Regex::new("^(a)(?P<name>b)$").unwrap();
        let captures = regex.captures("ab").unwrap();
        assert_eq!(Template::parse(template, &regex).expand(&captures), expected, "{template}");
    }

    #[test]
    fn references() {
        check("", "");
        check("x$1y", "x");
        check("x${1}y", "xay");
        check("$1-$2", "a-b");
        check("$0", "ab");
        check("$name.${name}", "b.b");
        check("$names", "");
        check("$3${7}", "");
        check("$$1", "$1");
        check("a$", "a$");
        check("$.${}${a-b}${1", "$.${}${a-b}${1");
        check("$01", "");
    }
}
