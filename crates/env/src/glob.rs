//! Patterns of file names as shells and Prometheus have them: `*`, `?`, `[a-z]`, `[^a]`, `\` before what is meant literally.

use std::path::{Component, Path, PathBuf};

use crate::FileSystem;

/// How many files a pattern may mean; what is beyond is left out.
const MAX_FILES: usize = 100_000;

/// The files and folders that a pattern means, in order. A star does not cross folders.
pub fn files(fs: &dyn FileSystem, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        found = match component {
            Component::Normal(name) => match name.to_str() {
                Some(name) if name.contains(['*', '?', '[', '\\']) => {
                    let folders = found.iter().flat_map(|folder| matching(fs, folder, name));
                    folders.take(MAX_FILES).collect()
                }
                _ => found.iter().map(|folder| folder.join(name)).collect(),
            },
            other => found.iter().map(|folder| folder.join(other)).collect(),
        };
    }
    found.retain(|path| fs.exists(path));
    found
}

fn matching(fs: &dyn FileSystem, folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // What is no folder, or cannot be looked into, has nothing that matches.
    let entries = fs.read_dir(listed).unwrap_or_default();
    let matching = entries.into_iter().filter(|entry| matches(pattern, &entry.name));
    matching.map(|entry| folder.join(entry.name)).collect()
}

/// Whether a pattern means a name. Stars are tried from the last one on only, so that no pattern takes long.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, n));
            p += 1;
        } else if let Some(length) = name.get(n).and_then(|c| one(pattern.get(p..).unwrap_or_default(), *c)) {
            p += length;
            n += 1;
        } else if let Some((behind, from)) = star {
            star = Some((behind, from + 1));
            (p, n) = (behind, from + 1);
        } else {
            return false;
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == '*')
}

/// How many characters of a pattern mean this one at its start, if they do.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', class @ ..] => {
            let (negated, class) = match class {
                ['^', class @ ..] => (true, class),
                class => (false, class),
            };
            let end = class.iter().skip(1).position(|c| *c == ']')? + 1;
            let mut members = class.get(..end)?;
            let mut found = false;
            while let [low, rest @ ..] = members {
                let (high, rest) = match rest {
                    ['-', high, rest @ ..] => (high, rest),
                    rest => (low, rest),
                };
                found |= (low..=high).contains(&&c);
                members = rest;
            }
            (found != negated).then_some(end + 2 + usize::from(negated))
        }
        ['\\', literal, ..] => (*literal == c).then_some(2),
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_shells() {
        for (pattern, name, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyy", false),
            ("?[a-c][^x].y", "qbz.y", true),
            ("?[a-c][^x].y", "qbx.y", false),
            ("[]a]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[a", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_of_several_folders_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["x/a.yml", "x/b.txt", "y/c.yml"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        let found = |pattern: &str| -> Vec<String> {
            let files = files(&crate::RealFs, &folder.path().join(pattern));
            files.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("*/*.yml"), ["x/a.yml", "y/c.yml"]);
        assert_eq!(found("x/a.yml"), ["x/a.yml"]);
        assert!(found("z/*.yml").is_empty() && found("x/none.yml").is_empty());
    }
}
