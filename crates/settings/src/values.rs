//! All sections of a process together, and the values given for them: file, then environment, then flags; the later
//! wins.

use std::collections::{BTreeMap, BTreeSet};

use clap::ArgMatches;

use crate::problem::{Location, Problem, Problems, nearest};
use crate::section::{Input, KeySpec, Lookup, Section};
use crate::yaml::{self, Kind, Node};

/// What environment variables of ours start with.
pub const VARIABLE_PREFIX: &str = "BAROGRAPH_";

/// A section of the schema without its type.
#[derive(Clone)]
pub(crate) struct SectionSpec {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: Vec<KeySpec>,
    check: fn(&Values) -> Result<(), Problems>,
}

/// The sections that a process has.
#[derive(Clone, Default)]
pub struct Schema {
    pub(crate) sections: Vec<SectionSpec>,
}

impl Schema {
    /// A schema without sections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section.
    ///
    /// Two sections may declare the same key (a limit that two roles read), if they declare it alike.
    ///
    /// # Panics
    /// When a key is declared twice and differently: the program contradicts itself.
    #[must_use]
    pub fn with<S: Section>(mut self) -> Self {
        let keys = S::keys();
        for key in &keys {
            let other = self.key(&key.path);
            let alike =
                other.is_none_or(|other| other.default == key.default && other.type_name == key.type_name);
            assert!(alike, "key {} is declared twice, with different defaults or types", key.path);
        }
        let check = |values: &Values| values.get::<S>().map(drop);
        self.sections.push(SectionSpec { name: S::NAME, doc: S::DOC, keys, check });
        self
    }

    /// Every key once, in the order of declaration.
    pub fn keys(&self) -> impl Iterator<Item = &KeySpec> {
        let mut seen = BTreeSet::new();
        self.sections
            .iter()
            .flat_map(|section| &section.keys)
            .filter(move |key| seen.insert(key.path.as_str()))
    }

    fn key(&self, path: &str) -> Option<&KeySpec> {
        self.keys().find(|key| key.path == path)
    }

    /// The values given by a file (its name and text), the environment and flags, all of them checked.
    pub fn values(
        &self,
        file: Option<(&str, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Option<&ArgMatches>,
    ) -> Result<Values, Problems> {
        let mut values = Values::default();
        let mut problems = Problems::default();
        if let Some((name, text)) = file {
            match yaml::parse(name, text) {
                Ok(Some(root)) if !root.is_null() => {
                    self.take_mapping(name, "", root, &mut values, &mut problems);
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        self.take_environment(environment, &mut values);
        if let Some(flags) = flags {
            self.take_flags(flags, &mut values);
        }
        for section in &self.sections {
            if let Err(found) = (section.check)(&values) {
                problems.extend(found);
            }
        }
        problems.into_result(values)
    }

    /// Takes the keys of a YAML mapping that stands at `path`.
    fn take_mapping(&self, file: &str, path: &str, node: Node, values: &mut Values, problems: &mut Problems) {
        let Node { line, column, kind } = node;
        let Kind::Mapping(entries) = kind else {
            let node = Node { line, column, kind };
            let message = match path {
                "" => format!("expected keys and values, not {}", node.describe()),
                path => format!("{path}: expected a mapping of the section's keys, not {}", node.describe()),
            };
            return problems.push(Problem::new(Location::file(file, line, column), message));
        };
        for (key, value) in entries {
            let name = key.text.replace('-', "_");
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            let location = Location::file(file, key.line.max(1), key.column);
            if let Some(spec) = self.key(&path) {
                let place = Location::file(file, value.line, value.column);
                if values.given.insert(spec.path.clone(), (place, Given::Node(value))).is_some() {
                    problems.push(Problem::new(location, format!("{path}: given twice in this file")));
                }
            } else if self
                .keys()
                .any(|key| key.path.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')))
            {
                if !value.is_null() {
                    self.take_mapping(file, &path, value, values, problems);
                }
            } else {
                problems.push(Problem::new(location, self.unknown(&path)));
            }
        }
    }

    fn unknown(&self, path: &str) -> String {
        match nearest(path, self.keys().map(|key| key.path.as_str())) {
            Some(near) => format!("{path}: no such key; did you mean {near}?"),
            None => format!("{path}: no such key; `barograph config defaults` lists all of them"),
        }
    }

    fn take_environment(&self, environment: impl Iterator<Item = (String, String)>, values: &mut Values) {
        let known: BTreeMap<String, &KeySpec> = self.keys().map(|key| (key.variable(), key)).collect();
        for (variable, text) in environment.filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)) {
            match known.get(&variable) {
                Some(key) => {
                    values
                        .given
                        .insert(key.path.clone(), (Location::Environment { variable }, Given::Text(text)));
                }
                None => values.unknown_variables.push(UnknownVariable {
                    near: nearest(&variable, known.keys().map(String::as_str)).map(str::to_owned),
                    variable,
                }),
            }
        }
    }

    fn take_flags(&self, flags: &ArgMatches, values: &mut Values) {
        for key in self.keys() {
            if let Ok(Some(text)) = flags.try_get_one::<String>(&key.path) {
                let flag = format!("--{}", key.flag());
                values.given.insert(key.path.clone(), (Location::Flag { flag }, Given::Text(text.clone())));
            }
        }
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys().map(|key| &key.path)).finish()
    }
}

#[derive(Debug, Clone)]
enum Given {
    Text(String),
    Node(Node),
}

/// An environment variable that starts like ours and is none of ours.
///
/// It is reported, not refused: Kubernetes sets such variables in every container beside a service named `barograph`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// The variable.
    pub variable: String,
    /// A variable of ours that it resembles.
    pub near: Option<String>,
}

/// The values given for the keys of a [`Schema`].
#[derive(Debug, Clone, Default)]
pub struct Values {
    given: BTreeMap<String, (Location, Given)>,
    unknown_variables: Vec<UnknownVariable>,
}

impl Values {
    /// The section `S`: values given, defaults for the rest.
    pub fn get<S: Section>(&self) -> Result<S, Problems> {
        S::read(self)
    }

    /// Environment variables that start like ours and are none of ours: worth a warning.
    pub fn unknown_variables(&self) -> &[UnknownVariable] {
        &self.unknown_variables
    }

    /// Where the value of the key with this path was given, if it was.
    pub fn given(&self, path: &str) -> Option<&Location> {
        self.given.get(path).map(|(location, _)| location)
    }
}

impl Lookup for Values {
    fn find(&self, path: &str) -> Option<(Location, Input<'_>)> {
        let (location, given) = self.given.get(path)?;
        let input = match given {
            Given::Text(text) => Input::Text(text),
            Given::Node(node) => Input::Node(node),
        };
        Some((location.clone(), input))
    }
}
