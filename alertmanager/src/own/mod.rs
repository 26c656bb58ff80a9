//! The configuration that a tenant has set by the API: its text and its templates, word by word, and what is made of them.
//! A tenant without one has that of the process.

mod body;
mod change;
mod check;
mod folder;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::change::ConfigChangeError;
pub(crate) use self::check::config as refuse;
pub(crate) use self::folder::ConfigDir;

use crate::limits::AlertmanagerLimits;
use crate::matcher::Language;
use crate::notify::Surroundings;
use crate::setup::Setup;

/// The largest configuration that is kept, templates included, in bytes: the metastore takes 2 MiB for a value.
pub(crate) const MAX_CONFIG_BYTES: usize = (2 << 20) - (8 << 10);

/// What a tenant has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnText {
    /// The configuration, as upstream's file has it.
    pub(crate) yaml: String,
    /// Templates by the name of their file.
    pub(crate) templates: BTreeMap<String, String>,
}

/// What a tenant has set, and what is made of it.
pub(crate) struct Own {
    pub(crate) text: OwnText,
    pub(crate) setup: Arc<Setup>,
    /// Why it cannot be used any more, though it could when it was set: nobody is told then.
    pub(crate) unusable: Option<String>,
}

impl OwnText {
    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        let templates = self.templates.iter().map(|(name, text)| name.len() + text.len());
        self.yaml.len() + templates.sum::<usize>()
    }

    /// Everything that is made of it, unless something is wrong with it. Blocks.
    pub(crate) fn checked(
        &self,
        limits: &AlertmanagerLimits,
        language: Language,
        around: &Surroundings,
    ) -> Result<Setup, String> {
        check::limits(self, limits)?;
        self.setup(language, around)
    }

    /// Everything that is made of it, of whatever size. Blocks.
    fn setup(&self, language: Language, around: &Surroundings) -> Result<Setup, String> {
        check::names(self)?;
        Setup::of_tenant(self, language, around)
    }

    /// What was set once. Blocks.
    pub(crate) fn kept(self, language: Language, around: &Surroundings) -> Own {
        match self.setup(language, around) {
            Ok(setup) => Own { text: self, setup: Arc::new(setup), unusable: None },
            Err(why) => {
                let nobody = Setup::nobody(language, around);
                Own { text: self, setup: Arc::new(nobody), unusable: Some(why) }
            }
        }
    }
}
