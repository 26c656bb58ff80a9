//! Applying rules to a label set.

use model::LabelsBuilder;

use crate::{Action, Rule};

/// What rules make of a label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, with its labels perhaps changed.
    Keep,
    /// It is dropped.
    Drop,
}

/// Applies the rules in order; the first that drops the label set is the last.
pub fn apply(rules: &[Rule], labels: &mut LabelsBuilder) -> Verdict {
    for rule in rules {
        if apply_one(rule, labels) == Verdict::Drop {
            return Verdict::Drop;
        }
    }
    Verdict::Keep
}

fn apply_one(rule: &Rule, labels: &mut LabelsBuilder) -> Verdict {
    let keep_if = |keep| if keep { Verdict::Keep } else { Verdict::Drop };
    let source = rule.source(labels);
    let target = rule.target_label.text();
    match rule.action {
        Action::Keep => return keep_if(rule.regex.is_match(&source)),
        Action::Drop => return keep_if(!rule.regex.is_match(&source)),
        Action::KeepEqual => return keep_if(labels.get(target).unwrap_or_default() == source),
        Action::DropEqual => return keep_if(labels.get(target).unwrap_or_default() != source),
        Action::Replace => replace(rule, labels, &source),
        Action::Lowercase => drop(labels.set(target, &lowercase(&source))),
        Action::Uppercase => drop(labels.set(target, &uppercase(&source))),
        Action::HashMod => drop(labels.set(target, &rule.hash(&source).to_string())),
        Action::LabelMap => map_labels(rule, labels),
        Action::LabelDrop => drop(labels.retain(|name, _| !rule.regex.is_match(name))),
        Action::LabelKeep => drop(labels.retain(|name, _| rule.regex.is_match(name))),
    }
    Verdict::Keep
}

fn replace(rule: &Rule, labels: &mut LabelsBuilder, source: &str) {
    let Some(captures) = rule.regex.captures(source) else {
        return;
    };
    let target = rule.target_label.expand(&captures);
    // A target that comes out empty is no label name: the rule does nothing.
    if !target.is_empty() {
        // An empty value removes the label.
        labels.set(&target, &rule.replacement.expand(&captures));
    }
}

fn map_labels(rule: &Rule, labels: &mut LabelsBuilder) {
    // Labels that the rule adds are not mapped again.
    let mapped: Vec<(String, String)> = labels
        .iter()
        .filter_map(|(name, value)| {
            let captures = rule.regex.captures(name)?;
            Some((rule.replacement.expand(&captures), value.to_owned()))
        })
        .filter(|(name, _)| !name.is_empty())
        .collect();
    for (name, value) in mapped {
        labels.set(&name, &value);
    }
}

/// Letter by letter, without the rules that depend on a letter's surroundings.
fn lowercase(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Letter by letter; a letter whose upper case are several stays as it is.
fn uppercase(text: &str) -> String {
    let upper = |c: char| {
        let mut letters = c.to_uppercase();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => letter,
            _ => c,
        }
    };
    text.chars().map(upper).collect()
}
