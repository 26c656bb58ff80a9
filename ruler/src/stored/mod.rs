//! Rules that tenants have set by the API: groups in namespaces, as they were written and as what they mean.

mod change;
mod folder;
mod follow;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TenantId;
use promql::ParseOptions;
use rules::{FileError, FileOptions, RuleFile, RuleGroup, Tree};

pub(crate) use folder::RuleDir;
pub(crate) use records::RuleRecords;

/// The longest name of a namespace, in bytes.
pub(crate) const MAX_NAMESPACE_NAME_BYTES: usize = 512;
/// The largest namespace, as the text that it is kept as, in bytes.
const MAX_NAMESPACE_BYTES: usize = 32 << 20;

/// A group that a tenant has set.
#[derive(Debug)]
pub(crate) struct StoredGroup {
    name: String,
    /// As it was written.
    tree: Tree,
    /// What it means; or why it cannot be used any more, though it could when it was set.
    said: Result<Arc<RuleGroup>, String>,
}

impl StoredGroup {
    /// The group that a text is.
    ///
    /// # Errors
    /// All that is wrong with it, one line each, at places of the text.
    pub(crate) fn read(text: &str, expressions: ParseOptions) -> Result<Self, String> {
        let options = FileOptions { expressions, ignore_unknown_fields: false };
        let lines =
            |errors: Vec<FileError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let parsed = RuleFile::parse_group(text, &options).map_err(lines)?;
        let tree = Tree::parse(text).map_err(|error| error.to_string())?;
        let (Some(parsed), Some(tree)) = (parsed, tree) else {
            return Err("unable to decode rule group: there is none".to_owned());
        };
        let kept = Self::kept(tree, expressions);
        match &kept.said {
            Ok(said) if said.means(&parsed) => Ok(kept),
            Ok(_) => Err(format!("group {:?} means something else once it is kept", parsed.name)),
            Err(error) => Err(format!("group {:?} cannot be kept as it is written: {error}", parsed.name)),
        }
    }

    /// A group as it was kept.
    fn kept(tree: Tree, expressions: ParseOptions) -> Self {
        let options = FileOptions { expressions, ignore_unknown_fields: false };
        let said = match RuleFile::parse_group(&tree.to_yaml(), &options) {
            Ok(Some(group)) => Ok(Arc::new(group)),
            Ok(None) => Err("there is no group".to_owned()),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        };
        let name = tree.get("name").and_then(Tree::text).unwrap_or_default().to_owned();
        Self { name, tree, said }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As it was written.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What it means, or why it cannot be used.
    pub(crate) fn said(&self) -> &Result<Arc<RuleGroup>, String> {
        &self.said
    }
}

/// What is to happen to a namespace.
pub(crate) enum Change {
    Set(Arc<StoredGroup>),
    DeleteGroup(String),
    DeleteAll,
}

/// Where what tenants set is kept.
pub(crate) enum Keeper {
    /// In files of this process, which is all there is.
    Folder(RuleDir),
    /// In the metastore of a cluster.
    Metastore(Arc<RuleRecords>),
}

/// The groups of a namespace, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace(Vec<Arc<StoredGroup>>);

/// The namespaces of a tenant by name. None is without groups.
pub(crate) type Namespaces = BTreeMap<String, Arc<Namespace>>;

/// The namespaces of all tenants. None is without namespaces.
pub(crate) type Stored = BTreeMap<TenantId, Namespaces>;

impl Namespace {
    /// Its groups.
    pub(crate) fn groups(&self) -> &[Arc<StoredGroup>] {
        &self.0
    }

    /// The group of that name.
    pub(crate) fn group(&self, name: &str) -> Option<&StoredGroup> {
        self.0.iter().find(|group| group.name == name).map(Arc::as_ref)
    }

    /// Whether it has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a group in the place of the one of its name, or behind all.
    pub(crate) fn set(&mut self, group: Arc<StoredGroup>) {
        match self.0.iter_mut().find(|known| known.name == group.name) {
            Some(old) => *old = group,
            None => self.0.push(group),
        }
    }

    /// Takes a group out; whether it was there.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|group| group.name != name);
        self.0.len() < before
    }

    /// The groups as a list.
    pub(crate) fn to_tree(&self) -> Tree {
        Tree::List(self.0.iter().map(|group| group.tree.clone()).collect())
    }
}
