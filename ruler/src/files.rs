//! Files of rules: which there are, and what they say.

use std::path::{Path, PathBuf};

use env::{FileSystem, glob};
use promql::ParseOptions;
use rules::{FileOptions, RuleFile};

use crate::error::LoadError;

/// The longest file of rules that is read, in bytes.
const MAX_FILE_BYTES: u64 = settings::yaml::MAX_FILE_BYTES as u64;

/// Files of rules as they were found: each with its text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Texts(Vec<(String, String)>);

impl Texts {
    /// Reads all files that the patterns mean, each once, in order. Blocks.
    pub(crate) fn read(fs: &dyn FileSystem, patterns: &[PathBuf]) -> Result<Self, LoadError> {
        let mut texts: Vec<(String, String)> = Vec::new();
        for pattern in patterns {
            let found = glob::files(fs, pattern);
            if found.is_empty() && !is_pattern(pattern) {
                return Err(LoadError::Missing { pattern: pattern.clone() });
            }
            for path in found {
                let name = path.display().to_string();
                if texts.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                texts.push((name, read(fs, &path)?));
            }
        }
        Ok(Self(texts))
    }

    /// What they say.
    pub(crate) fn parse(&self, expressions: ParseOptions) -> Result<Vec<(String, RuleFile)>, LoadError> {
        let options = FileOptions { expressions, ignore_unknown_fields: false };
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for (name, text) in &self.0 {
            match RuleFile::parse(text, &options) {
                Ok(file) => files.push((name.clone(), file)),
                Err(errors) => problems.extend(errors.iter().map(|error| format!("{name}: {error}"))),
            }
        }
        if problems.is_empty() { Ok(files) } else { Err(LoadError::Wrong { problems }) }
    }
}

/// Whether a path is a pattern, which may mean no file.
fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn read(fs: &dyn FileSystem, path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let bytes = env::read_file(fs, path, MAX_FILE_BYTES).map_err(unreadable)?;
    String::from_utf8(bytes)
        .map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}
