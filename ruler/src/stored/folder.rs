//! Where rules of tenants are kept: a folder for each tenant, and in it a file for each namespace.
//!
//! ```text
//! <dir>/<tenant>/<namespace>.yml
//! ```
//!
//! A file says which namespace it is under `namespace`, and its groups under `groups`, so that it can be loaded elsewhere as it is.
//! It is written beside the old one, synced and renamed: after a crash a namespace is as it was before a change or after it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::FileSystem;
use model::TenantId;
use promql::ParseOptions;
use rules::Tree;
use rules::tree::MAX_NODES;
use xxhash_rust::xxh3::xxh3_128;

use super::{MAX_NAMESPACE_BYTES, Namespace, Namespaces, Stored, StoredGroup};

const SUFFIX: &str = ".yml";
/// Names of files of namespaces are not longer than this, in bytes, without the suffix: with a hash they are that long.
const MAX_STEM_BYTES: usize = 180;
/// What stands between the beginning of a long name and its hash. No name without a hash has it.
const HASHED: char = '~';
/// How long a hash is, in hexadecimal digits.
const HASH_DIGITS: usize = 32;
const HEAD: &str =
    "# What a tenant has set by the ruler's API. Change it there, or while the process is stopped.\n";

/// The folder.
#[derive(Clone)]
pub(crate) struct RuleDir {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) dir: PathBuf,
}

impl RuleDir {
    /// Everything that is there, with what expressions of a tenant may use. Blocks.
    pub(crate) fn load(&self, expressions: impl Fn(&TenantId) -> ParseOptions) -> io::Result<Stored> {
        let mut tenants = Stored::new();
        if !self.fs.exists(&self.dir) {
            return Ok(tenants);
        }
        for folder in self.fs.read_dir(&self.dir)?.into_iter().filter(|entry| entry.is_dir) {
            let path = self.dir.join(&folder.name);
            let tenant = TenantId::new(&folder.name).map_err(|error| damaged(&path, &error.to_string()))?;
            let namespaces = self.namespaces(&path, expressions(&tenant))?;
            if !namespaces.is_empty() {
                tenants.insert(tenant, namespaces);
            }
        }
        Ok(tenants)
    }

    fn namespaces(&self, folder: &Path, expressions: ParseOptions) -> io::Result<Namespaces> {
        let mut namespaces = Namespaces::new();
        for entry in self.fs.read_dir(folder)? {
            // What else is there is left by a crash while it was written.
            if !entry.name.ends_with(SUFFIX) {
                continue;
            }
            let path = folder.join(&entry.name);
            let bytes = env::read_file(&*self.fs, &path, (MAX_NAMESPACE_BYTES + HEAD.len()) as u64)?;
            let text = String::from_utf8(bytes).map_err(|error| damaged(&path, &error.to_string()))?;
            let (name, namespace) =
                Namespace::of_file(&text, expressions).map_err(|why| damaged(&path, &why))?;
            if file_name(&name) != entry.name {
                let why = format!("it is namespace {name:?}, whose file is {}", file_name(&name));
                return Err(damaged(&path, &why));
            }
            if !namespace.is_empty() {
                namespaces.insert(name, Arc::new(namespace));
            }
        }
        Ok(namespaces)
    }

    /// Keeps the text of a namespace; without one it is gone. Blocks. It is durable then.
    pub(crate) fn keep(&self, tenant: &TenantId, name: &str, text: Option<&str>) -> io::Result<()> {
        let folder = self.dir.join(tenant.as_str());
        let path = folder.join(file_name(name));
        if let Some(text) = text {
            env::create_dir_durable(&*self.fs, &folder)?;
            return env::write_file_durable(&*self.fs, &path, text.as_bytes());
        }
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ if self.fs.exists(&folder) => self.fs.sync_dir(&folder),
            _ => Ok(()),
        }
    }
}

impl Namespace {
    /// The text of its file; `None` where it is larger than what is read again.
    pub(crate) fn to_file(&self, name: &str) -> Option<String> {
        let entries = [("namespace", Tree::Text(name.to_owned())), ("groups", self.to_tree())];
        let tree = Tree::Map(entries.map(|(key, value)| (key.to_owned(), value)).to_vec());
        let text = tree.to_yaml();
        (text.len() <= MAX_NAMESPACE_BYTES && tree.nodes() <= MAX_NODES).then(|| format!("{HEAD}{text}"))
    }

    /// What a file says: name and groups.
    fn of_file(text: &str, expressions: ParseOptions) -> Result<(String, Self), String> {
        let tree = Tree::parse(text).map_err(|error| error.to_string())?;
        let get = |key: &str| tree.as_ref().and_then(|tree| tree.get(key));
        let name = get("namespace").and_then(Tree::text).ok_or("it has no namespace")?;
        let Some(Tree::List(groups)) = get("groups") else {
            return Err("it has no groups".to_owned());
        };
        let mut namespace = Self::default();
        for tree in groups {
            let group = StoredGroup::kept(tree.clone(), expressions);
            if group.name().is_empty() || namespace.group(group.name()).is_some() {
                return Err(format!("it has two groups {:?}, or one without a name", group.name()));
            }
            namespace.set(Arc::new(group));
        }
        Ok((name.to_owned(), namespace))
    }
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}

/// The file of a namespace.
fn file_name(namespace: &str) -> String {
    format!("{}{SUFFIX}", stem(namespace, MAX_STEM_BYTES))
}

/// A name as a file or a part of a key can have it, of so many bytes at most: as it is where that is possible, else the beginning
/// of it and a hash.
pub(super) fn stem(name: &str, max_bytes: usize) -> String {
    let escaped: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    if escaped.len() <= max_bytes {
        return escaped;
    }
    let begin: String = escaped.chars().take(max_bytes - HASH_DIGITS - 1).collect();
    format!("{begin}{HASHED}{:032x}", xxh3_128(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};

    use super::*;

    fn dir(fs: &SimFs) -> RuleDir {
        RuleDir { fs: Arc::new(fs.clone()), dir: PathBuf::from("/data/ruler/rules") }
    }

    fn load(fs: &SimFs) -> Stored {
        dir(fs).load(|_| ParseOptions::default()).unwrap()
    }

    fn namespace(groups: &[(&str, &str)]) -> Namespace {
        let mut namespace = Namespace::default();
        for (name, expr) in groups {
            let text = format!("name: {name}\nrules: [{{record: r, expr: '{expr}'}}]");
            namespace.set(Arc::new(StoredGroup::read(&text, ParseOptions::default()).unwrap()));
        }
        namespace
    }

    fn keep(fs: &SimFs, tenant: &str, name: &str, namespace: &Namespace) {
        let text = namespace.to_file(name).filter(|_| !namespace.is_empty());
        dir(fs).keep(&TenantId::new(tenant).unwrap(), name, text.as_deref()).unwrap();
    }

    fn shown(stored: &Stored) -> Vec<String> {
        let of = |(tenant, namespaces): (&TenantId, &Namespaces)| {
            let shown =
                namespaces.iter().map(|(name, n)| format!("{tenant}/{name}:{}", n.to_tree().to_json()));
            shown.collect::<Vec<_>>()
        };
        stored.iter().flat_map(of).collect()
    }

    #[test]
    fn files_have_names_of_their_own() {
        let long = |end: &str| "ü".repeat(100) + end;
        let names = [
            "a",
            "A",
            "a b/ü%",
            "../x",
            ".",
            "A-b_9",
            "a%20b",
            "a~b",
            &long("x"),
            &long("y"),
            &"x".repeat(180),
        ];
        let files: BTreeSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len());
        for file in &files {
            assert!(file.len() <= 184 && !file.starts_with('.') && !file.contains('/'), "{file}");
        }
        assert!(files.contains("%2E%2E%2Fx.yml"), "{files:?}");
    }

    #[test]
    fn what_is_kept_survives_a_crash() {
        let fs = SimFs::new(1);
        let first = namespace(&[("g", "1.10")]);
        keep(&fs, "team-a", "my/rules", &first);
        let fs = fs.crash(CrashMode::LoseAll);
        let one = "team-a/my/rules:[{\"name\":\"g\",\"rules\":[{\"expr\":\"1.10\",\"record\":\"r\"}]}]";
        assert_eq!(shown(&load(&fs)), [one]);
        let second = namespace(&[("g", "2"), ("h", "3")]);
        keep(&fs, "team-a", "other", &second);
        keep(&fs, "team-b", "other", &first);
        keep(&fs, "team-a", "my/rules", &Namespace::default());
        keep(&fs, "team-c", "never", &Namespace::default());
        let kept = shown(&load(&fs.crash(CrashMode::LoseAll)));
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept[0].starts_with("team-a/other:") && kept[0].contains("\"h\""), "{kept:?}");
        assert!(kept[1].starts_with("team-b/other:") && kept[1].contains("1.10"), "{kept:?}");
    }

    #[test]
    fn a_crash_leaves_what_was_before_or_what_is_after() {
        let before = namespace(&[("g", "1")]);
        let mut outcomes = BTreeSet::new();
        for (seed, after) in (0..120)
            .flat_map(|seed| [(seed, namespace(&[("g", "2"), ("h", "2")])), (seed, Namespace::default())])
        {
            let fs = SimFs::new(seed);
            keep(&fs, "t", "n", &before);
            let was = shown(&load(&fs));
            let text = after.to_file("n").filter(|_| !after.is_empty());
            let nth = seed % 6;
            fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
            let kept = dir(&fs).keep(&TenantId::new("t").unwrap(), "n", text.as_deref());
            let found = shown(&load(&fs.crash(CrashMode::Torn)));
            let is_after = match after.is_empty() {
                true => found.is_empty(),
                false => found.len() == 1 && found[0].contains("\"h\""),
            };
            assert!(is_after || found == was, "{seed}: {found:?}");
            assert!(is_after || kept.is_err(), "{seed}: what was acknowledged is gone");
            outcomes.insert((after.is_empty(), is_after, kept.is_ok()));
        }
        // Both, of changes that were acknowledged and of some that were not.
        assert!(outcomes.len() >= 5, "{outcomes:?}");
    }

    #[test]
    fn damage_is_named_and_what_cannot_be_used_stays() {
        let fs = SimFs::new(1);
        let path = PathBuf::from("/data/ruler/rules/t/n.yml");
        keep(&fs, "t", "n", &namespace(&[("g", "1")]));
        let write = |text: &str| env::write_file_durable(&fs, &path, text.as_bytes()).unwrap();
        for (text, why) in [
            ("groups: []", "it has no namespace"),
            ("namespace: n", "it has no groups"),
            ("namespace: m\ngroups: []", "whose file is m.yml"),
            ("namespace: n\ngroups: [{name: g}, {name: g}]", "two groups"),
            ("namespace: [", "n.yml: "),
        ] {
            write(text);
            let error = dir(&fs).load(|_| ParseOptions::default()).unwrap_err().to_string();
            assert!(error.contains("t/n.yml") && error.contains(why), "{error}");
        }
        write("namespace: n\ngroups: [{name: g, rules: [{record: r, expr: gone(up)}]}]");
        let loaded = load(&fs);
        let group = loaded[&TenantId::new("t").unwrap()]["n"].group("g").unwrap().said().clone();
        assert!(group.unwrap_err().contains("unknown function"));
    }

    #[test]
    fn a_namespace_that_would_not_be_read_again_is_not_kept() {
        let mut namespace = namespace(&[("g", "1")]);
        assert!(namespace.to_file("n").is_some());
        let text =
            format!("name: h\nrules: [{{record: r, expr: '1', labels: {{a: {}}}}}]", "x".repeat(12 << 20));
        for name in ["h", "i", "j"] {
            let text = text.replacen('h', name, 1);
            namespace.set(Arc::new(StoredGroup::read(&text, ParseOptions::default()).unwrap()));
        }
        assert!(namespace.to_file("n").is_none());
    }
}
