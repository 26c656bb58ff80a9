//! Templates that know each other, with the functions that they may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builtin;
use crate::error::{ExecError, ParseError};
use crate::exec::{self, Limits};
use crate::object::Function;
use crate::syntax::{self, Tree};
use crate::value::Value;

/// What a lookup in a map gives where there is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Nothing, which prints as `<no value>`.
    #[default]
    Invalid,
    /// The zero value of what the map holds.
    Zero,
    /// The execution fails.
    Error,
}

/// Templates by name, and their functions. Clones share what they hold, so that a text can be parsed into a clone and
/// thrown away with it.
#[derive(Debug, Clone)]
pub struct Templates {
    pub(crate) trees: BTreeMap<Arc<str>, Arc<Tree>>,
    pub(crate) functions: Arc<BTreeMap<String, Function>>,
    pub(crate) missing_key: MissingKey,
}

impl Default for Templates {
    fn default() -> Self {
        Self::new(MissingKey::Invalid)
    }
}

impl Templates {
    /// No templates, and the functions that every template of Go has.
    pub fn new(missing_key: MissingKey) -> Self {
        Self { trees: BTreeMap::new(), functions: Arc::new(builtin::functions()), missing_key }
    }

    /// Adds a function, or replaces one. Templates that name it have to be parsed afterwards.
    pub fn add_function(&mut self, name: &str, function: Function) {
        Arc::make_mut(&mut self.functions).insert(name.to_owned(), function);
    }

    /// Parses a text: the template `name` and those it defines are added, and replace those of the same names, except
    /// that what is nothing but space and comments replaces nothing.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), ParseError> {
        let functions = &self.functions;
        let trees =
            syntax::parse(name, text, &|word| exec::is_special(word) || functions.contains_key(word))?;
        for tree in trees {
            if tree.is_empty() && self.trees.contains_key(&tree.name) {
                continue;
            }
            self.trees.insert(tree.name.clone(), Arc::new(tree));
        }
        Ok(())
    }

    /// These templates with the functions of others: what was parsed with functions of the same names need not be parsed
    /// again where they are to do something else.
    #[must_use]
    pub fn with_functions_of(&self, other: &Self) -> Self {
        Self { functions: Arc::clone(&other.functions), ..self.clone() }
    }

    /// Takes a template away, if there is one of that name.
    pub fn remove(&mut self, name: &str) {
        self.trees.remove(name);
    }

    /// The names of the templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(|name| &**name)
    }

    /// Executes a template: what it writes, or why it does not come to an end.
    pub fn execute(&self, name: &str, data: &Value, limits: Limits) -> Result<String, ExecError> {
        exec::execute(self, name, data, limits)
    }

    /// As [`Templates::execute`], with everything that is put into HTML escaped for where it stands, as `html/template`
    /// does it. Values in scripts are refused.
    pub fn execute_html(&self, name: &str, data: &Value, limits: Limits) -> Result<String, ExecError> {
        let escaped = crate::html::escape(self, name)?;
        exec::execute(&escaped, name, data, limits)
    }
}
