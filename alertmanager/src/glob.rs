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

/// Whether a name is of a pattern: `*` is any text, `?` any character, `[a-z]` and `[^a-z]` one of these or none of them.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        '*' => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        '?' => name.split_first().is_some_and(|(_, name)| matches(rest, name)),
        '[' => {
            let Some(end) = rest.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else {
                return false;
            };
            let Some((c, name)) = name.split_first() else { return false };
            let (class, behind) = (&rest[..end], &rest[end + 1..]);
            let (negated, class) = match class.split_first() {
                Some(('^', class)) => (true, class),
                _ => (false, class),
            };
            in_class(class, *c) != negated && matches(behind, name)
        }
        '\\' => match (rest.split_first(), name.split_first()) {
            (Some((escaped, rest)), Some((c, name))) => escaped == c && matches(rest, name),
            _ => false,
        },
        first => name.split_first().is_some_and(|(c, name)| c == first && matches(rest, name)),
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
