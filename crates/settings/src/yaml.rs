//! YAML files of the configuration: the tree of crate `yaml`, with problems that name the file.

pub use ::yaml::{Key, Kind, MAX_FILE_BYTES, MAX_NODES, Node};

use crate::problem::{Location, Problem};

/// The one document in `text`; `None` when there is nothing but comments. `file` names the text in errors.
pub fn parse(file: &str, text: &str) -> Result<Option<Node>, Problem> {
    ::yaml::parse(text)
        .map_err(|problem| Problem::new(Location::file(file, problem.line, problem.column), problem.message))
}
