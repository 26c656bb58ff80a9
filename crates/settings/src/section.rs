//! Sections: what a role declares about its configuration, and how a key's value is found, parsed and checked.

use std::cmp::Ordering;

use crate::problem::{Location, Problem, Problems};
use crate::setting::{Expected, Setting, with_article};
use crate::yaml::Node;

/// One group of keys and the struct that holds their values. Written by [`section!`](crate::section!).
pub trait Section: Sized + Clone + Send + Sync + 'static {
    /// The dotted path in front of the keys; empty for keys at the top.
    const NAME: &'static str;
    /// What the section is about.
    const DOC: &'static str;

    /// The keys in the order of their declaration.
    fn keys() -> Vec<KeySpec>;

    /// The values that `lookup` gives, defaults for the rest; or everything that is wrong with them.
    fn read(lookup: &dyn Lookup) -> Result<Self, Problems>;

    /// Every key with its value as text, secrets included: hide what [`KeySpec::secret`] marks.
    fn print(&self) -> Vec<(KeySpec, String)>;
}

/// What is known about a key: name, meaning, default and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// The dotted path as YAML has it, in snake case: `ingester.snapshot_interval`.
    pub path: String,
    /// What the key means, lines as they were written.
    pub doc: &'static str,
    /// The type in one word.
    pub type_name: &'static str,
    /// The default as text.
    pub default: &'static str,
    /// The words that are accepted, where they can be listed.
    pub choices: &'static [&'static str],
    /// The smallest value allowed, as text.
    pub low: Option<&'static str>,
    /// The largest value allowed, as text.
    pub high: Option<&'static str>,
    /// Whether the value is hidden when configuration is shown.
    pub secret: bool,
}

impl KeySpec {
    /// A key of `section` named `field` with values of type `T`.
    pub fn new<T: Setting>(section: &str, field: &str, doc: &'static str, default: &'static str) -> Self {
        let path = if section.is_empty() { field.to_owned() } else { format!("{section}.{field}") };
        Self {
            path,
            doc,
            type_name: T::TYPE,
            default,
            choices: T::choices(),
            low: None,
            high: None,
            secret: T::SECRET,
        }
    }

    /// Values lie between `low` and `high`, both included.
    #[must_use]
    pub fn range(self, low: &'static str, high: &'static str) -> Self {
        Self { low: Some(low), high: Some(high), ..self }
    }

    /// Values are at least `low`.
    #[must_use]
    pub fn min(self, low: &'static str) -> Self {
        Self { low: Some(low), ..self }
    }

    /// Values are at most `high`.
    #[must_use]
    pub fn max(self, high: &'static str) -> Self {
        Self { high: Some(high), ..self }
    }

    /// The flag without dashes: `ingester.snapshot-interval`.
    pub fn flag(&self) -> String {
        self.path.replace('_', "-")
    }

    /// The environment variable: `BAROGRAPH_INGESTER_SNAPSHOT_INTERVAL`.
    pub fn variable(&self) -> String {
        format!("{}{}", crate::values::VARIABLE_PREFIX, self.path.replace(['.', '-'], "_").to_uppercase())
    }

    /// What is allowed, as one phrase; empty when the type says it all.
    pub fn allowed(&self) -> String {
        if !self.choices.is_empty() {
            return format!("one of {}", self.choices.join(", "));
        }
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("from {low} to {high}"),
            (Some(low), None) => format!("at least {low}"),
            (None, Some(high)) => format!("at most {high}"),
            (None, None) => String::new(),
        }
    }

    /// The lines of the documentation without the space that a doc comment begins with.
    pub fn doc_lines(&self) -> impl Iterator<Item = &'static str> {
        self.doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
    }
}

/// A value before it is parsed.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// From the environment, a flag or a default.
    Text(&'a str),
    /// From a file.
    Node(&'a Node),
}

/// Where values come from.
pub trait Lookup {
    /// The value of the key with this path, if one was given, and where.
    fn find(&self, path: &str) -> Option<(Location, Input<'_>)>;

    /// What messages call the key with this path.
    fn name(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// Finds no value: every key has its default.
#[derive(Debug, Clone, Copy)]
pub struct Defaults;

impl Lookup for Defaults {
    fn find(&self, _path: &str) -> Option<(Location, Input<'_>)> {
        None
    }
}

/// The value of `key`, parsed and within its range. Used by [`section!`](crate::section!).
pub fn read_key<T: Setting>(key: &KeySpec, lookup: &dyn Lookup) -> Result<T, Problem> {
    let (location, input) = lookup.find(&key.path).unwrap_or((Location::Default, Input::Text(key.default)));
    let (given, parsed) = match input {
        Input::Text(text) => (Some(text), T::parse(text)),
        Input::Node(node) => (node.scalar().filter(|_| !node.is_null()), T::from_node(node)),
    };
    let refuse = |expected: Expected| {
        let value = match given {
            _ if key.secret => " (hidden)".to_owned(),
            Some(text) => format!(" {text:?}"),
            None => String::new(),
        };
        let allowed = match key.allowed() {
            allowed if allowed.is_empty() || !key.choices.is_empty() => String::new(),
            allowed => format!(", {allowed}"),
        };
        let message =
            format!("{}: value{value} refused; expected {}{allowed}", lookup.name(&key.path), expected.0);
        Problem::new(location.clone(), message)
    };
    let value = parsed.map_err(refuse)?;
    let beyond = |bound: Option<&'static str>, side: Ordering| match bound.map(T::parse) {
        None => false,
        Some(Ok(bound)) => value.compare(&bound) == Some(side),
        // The declaration is wrong; the test that every section has finds it.
        Some(Err(_)) => true,
    };
    if beyond(key.low, Ordering::Less) || beyond(key.high, Ordering::Greater) {
        return Err(refuse(Expected(with_article(key.type_name))));
    }
    Ok(value)
}

/// The defaults of `S`.
///
/// # Panics
/// When the declaration contradicts itself (a default that does not parse or lies outside its range). Defaults are
/// part of the program, so any test that makes them finds this.
pub fn defaults<S: Section>() -> S {
    match S::read(&Defaults) {
        Ok(section) => section,
        Err(problems) => panic!("section {:?} is declared wrongly: {problems}", S::NAME),
    }
}

/// The values of `S` with those in `values` (path below the section and text) in place of defaults; for tests and
/// programs that have no file.
pub fn with_values<S: Section>(values: &[(&str, &str)]) -> Result<S, Problems> {
    struct Given<'a>(Vec<(String, &'a str)>);
    impl Lookup for Given<'_> {
        fn find(&self, path: &str) -> Option<(Location, Input<'_>)> {
            let (_, text) = self.0.iter().find(|(given, _)| given == path)?;
            Some((Location::Flag { flag: format!("--{}", path.replace('_', "-")) }, Input::Text(text)))
        }
    }
    let path = |field: &str| KeySpec::new::<String>(S::NAME, field, "", "").path;
    let given = Given(values.iter().map(|(field, text)| (path(field), *text)).collect());
    let known = S::keys();
    if let Some((unknown, _)) = given.0.iter().find(|(path, _)| known.iter().all(|key| key.path != *path)) {
        let location = Location::Flag { flag: format!("--{unknown}") };
        return Err(Problem::new(location, format!("{unknown}: no such key")).into());
    }
    S::read(&given)
}

/// Where the values of a section stand, for what is wrong with them together: at the first one that was given.
pub fn section_location<S: Section>(_section: &S, lookup: &dyn Lookup) -> Location {
    let given = S::keys().into_iter().find_map(|key| lookup.find(&key.path));
    given.map_or(Location::Default, |(location, _)| location)
}
