//! Names of objects.

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use thiserror::Error;

/// The longest name in bytes: what S3 allows.
const MAX_NAME_BYTES: usize = 1024;

/// The name of an object, or what the names of several begin with: parts of letters, digits and `!-_.*'()`, with slashes
/// between them. Nothing in it has to be escaped, neither in a URL's path nor as a file, so every backend has the object
/// under this very name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Arc<str>);

/// Why a text is not the name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{name:?} is not the name of an object: {why}; parts of letters, digits and !-_.*'() with slashes between them are"
)]
pub struct NameError {
    name: String,
    why: &'static str,
}

impl ObjectName {
    /// The name, if it is one.
    ///
    /// # Errors
    /// Where a part is empty, `.` or `..`, or has another character, or all of it has more than 1,024 bytes.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        let why = match &name {
            long if long.len() > MAX_NAME_BYTES => Some("it is longer than 1024 bytes"),
            name if name.split('/').any(str::is_empty) => Some("a part of it is empty"),
            name if name.split('/').any(|part| matches!(part, "." | "..")) => {
                Some("a part of it means a folder")
            }
            name if !name.chars().all(|c| c == '/' || allowed(c)) => Some("a character is not allowed"),
            _ => None,
        };
        match why {
            None => Ok(Self(name.into())),
            Some(why) => Err(NameError { name, why }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the name.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn path(&self) -> Path {
        Path::parse(&*self.0).expect("what a name may have, a path may have, too")
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_backend_takes() {
        for right in ["a", "team-a/01JWS713P2E4MQW7T643GYGD69/chunks/000001", "o'hara(1)*!/markers/x.json"] {
            assert_eq!(ObjectName::new(right).unwrap().path().as_ref(), right);
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for wrong in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "a%2fb", "a#1", "ä", "a\\b", &long] {
            let error = ObjectName::new(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) || error.contains('\\'), "{error}");
        }
        assert_eq!(ObjectName::new("a/b/c").unwrap().last(), "c");
    }
}
