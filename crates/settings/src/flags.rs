//! Flags for every key of a schema, with the keys' documentation as their help.

use clap::{Arg, ArgAction, Command};

use crate::section::KeySpec;
use crate::values::Schema;

/// The heading of flags that are in no section.
const GENERAL: &str = "General";

impl Schema {
    /// `command` with one flag for each key, grouped by section.
    pub fn add_flags(&self, command: Command) -> Command {
        self.keys().fold(command, |command, key| command.arg(flag(key)))
    }
}

fn flag(key: &KeySpec) -> Arg {
    let heading = match key.path.rsplit_once('.') {
        Some((section, _)) => section.to_owned(),
        None => GENERAL.to_owned(),
    };
    let arg = Arg::new(key.path.clone())
        .long(key.flag())
        .value_name(key.type_name.to_uppercase())
        .help(help(key))
        // `-h` shows what most people need, `--help` everything.
        .hide_short_help(heading != GENERAL && heading != "web")
        .help_heading(heading)
        .action(ArgAction::Set);
    match key.type_name {
        // `--flag` alone switches on, so that flags read as they do elsewhere.
        "boolean" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.allow_hyphen_values(true),
    }
}

fn help(key: &KeySpec) -> String {
    let mut help = key.doc_lines().collect::<Vec<_>>().join(" ").trim().to_owned();
    let allowed = key.allowed();
    let notes = [
        (!allowed.is_empty()).then_some(allowed),
        (!key.default.is_empty() && !key.secret).then(|| format!("default {}", key.default)),
        Some(key.variable()),
    ];
    let notes = notes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    help.push_str(&format!(" [{notes}]"));
    help
}
