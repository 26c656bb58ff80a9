//! Files that a pattern names, as the configuration writes them: `templates/*.tmpl`.

use std::path::{Component, Path, PathBuf};

use env::FileSystem;

/// How many files a pattern may name.
const MAX_FILES: usize = 10_000;

/// The files that a pattern names, in order; relative patterns are inside of `dir`. What cannot be read has no files.
pub(crate) fn files(fs: &dyn FileSystem, dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let whole = dir.join(pattern);
    let mut found = vec![PathBuf::new()];
    for component in whole.components() {
        let name = component.as_os_str().to_string_lossy();
        if !matches!(component, Component::Normal(_)) || !name.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let pattern: Vec<char> = name.chars().collect();
        let mut next = Vec::new();
        for path in &found {
            let entries = fs.read_dir(path).unwrap_or_default();
            let matching = entries.iter().filter(|entry| {
                let name: Vec<char> = entry.name.chars().collect();
                matches(&pattern, &name)
            });
            next.extend(matching.map(|entry| path.join(&entry.name)));
        }
        next.truncate(MAX_FILES);
        found = next;
    }
    found.retain(|path| fs.exists(path));
    found.sort();
    found
}

/// Whether a name, which is no path, is of a pattern.
pub(crate) fn is_of(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches(&pattern, &name)
}

/// Whether a pattern may name more than the one file of its name.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Whether a name is of a pattern: `*` is any text, `?` any character, `[a-z]` and `[^a-z]` one of these or none of them.
fn matches(mut pattern: &[char], mut name: &[char]) -> bool {
    // What is behind the last `*`, and where in the name that was tried: an earlier one needs no other try.
    let mut star = None;
    loop {
        if let Some(('*', rest)) = pattern.split_first() {
            (pattern, star) = (rest, Some((rest, name)));
            continue;
        }
        let Some((c, behind)) = name.split_first() else { return pattern.is_empty() };
        match (step(pattern, *c), star) {
            (Some(rest), _) => (pattern, name) = (rest, behind),
            (None, Some((rest, [_, tried @ ..]))) => {
                (pattern, name, star) = (rest, tried, Some((rest, tried)));
            }
            (None, _) => return false,
        }
    }
}

/// What is left of a pattern whose first part, which is no `*`, is of this character.
fn step(pattern: &[char], c: char) -> Option<&[char]> {
    let (first, rest) = pattern.split_first()?;
    match first {
        '?' => Some(rest),
        '[' => {
            let end = rest.iter().skip(1).position(|c| *c == ']')? + 1;
            let (class, behind) = (&rest[..end], &rest[end + 1..]);
            let (negated, class) = match class.split_first() {
                Some(('^', class)) => (true, class),
                _ => (false, class),
            };
            (in_class(class, c) != negated).then_some(behind)
        }
        '\\' => rest.split_first().filter(|(escaped, _)| **escaped == c).map(|(_, rest)| rest),
        first => (*first == c).then_some(rest),
    }
}

fn in_class(mut class: &[char], c: char) -> bool {
    loop {
        class = match class {
            [] => return false,
            [low, '-', high, rest @ ..] => {
                if (*low..=*high).contains(&c) {
                    return true;
                }
                rest
            }
            [one, rest @ ..] => {
                if *one == c {
                    return true;
                }
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use env::SimFs;

    use super::*;

    #[test]
    fn a_pattern_of_many_stars_takes_no_longer() {
        let pattern = "*a".repeat(100) + "*b";
        assert!(!is_of(&pattern, &"a".repeat(1_000)));
        assert!(is_of(&pattern, &("a".repeat(1_000) + "b")));
        assert!(
            is_of("*", "") && is_of("a*", "a") && !is_of("a?", "a") && is_of(r"\*[a-c]*.tmpl", "*b.x.tmpl")
        );
    }

    #[test]
    fn patterns_name_files() {
        let fs = SimFs::new(1);
        for file in ["/etc/am/a.tmpl", "/etc/am/b.tmpl", "/etc/am/c.txt", "/etc/am/x/d.tmpl"] {
            let path = Path::new(file);
            env::create_dir_durable(&fs, path.parent().expect("a folder")).expect("made");
            env::write_file_durable(&fs, path, b"x").expect("written");
        }
        let check = |pattern: &str, expected: &[&str]| {
            let found = files(&fs, Path::new("/etc/am"), pattern);
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("*.tmpl", &["/etc/am/a.tmpl", "/etc/am/b.tmpl"]);
        check("a.tmpl", &["/etc/am/a.tmpl"]);
        check("none.tmpl", &[]);
        check("?.t[a-mx]*", &["/etc/am/a.tmpl", "/etc/am/b.tmpl", "/etc/am/c.txt"]);
        check("?.t[^a-l]*", &["/etc/am/a.tmpl", "/etc/am/b.tmpl", "/etc/am/c.txt"]);
        check("*/*.tmpl", &["/etc/am/x/d.tmpl"]);
        check("/etc/*/b.tmpl", &["/etc/am/b.tmpl"]);
        check("[", &[]);
    }
}
