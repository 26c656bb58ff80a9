//! A configuration with everything that is made of it: templates, and the ways of its receivers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::FileSystem;

use crate::config::Config;
use crate::error::SetupError;
use crate::glob;
use crate::matcher::Language;
use crate::notify::{Integrations, Surroundings};
use crate::own::{self, OwnText};
use crate::template::NotificationTemplates;

/// The configuration of those who have none: it tells nobody.
const NOBODY: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
/// The largest file of configuration or templates, in bytes.
const MAX_FILE_BYTES: u64 = settings::yaml::MAX_FILE_BYTES as u64;

/// A configuration that is in use.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) templates: Arc<NotificationTemplates>,
    pub(crate) integrations: Integrations,
}

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file; without one nobody is told anything.
    pub(crate) file: Option<PathBuf>,
    pub(crate) language: Language,
}

impl Source {
    /// Reads it and makes everything of it. Blocks.
    pub(crate) fn read(&self, fs: &dyn FileSystem, around: &Surroundings) -> Result<Setup, SetupError> {
        let Some(file) = &self.file else { return Setup::new(NOBODY, self.language, fs, around) };
        let text = read(fs, file)?;
        let dir = file.parent().unwrap_or(Path::new("")).to_owned();
        let around = Surroundings { dir, ..around.clone() };
        Setup::new(&text, self.language, fs, &around)
    }
}

impl Setup {
    /// Everything that is made of a configuration. Blocks.
    pub(crate) fn new(
        text: &str,
        language: Language,
        fs: &dyn FileSystem,
        around: &Surroundings,
    ) -> Result<Self, SetupError> {
        let (config, templates) = parts(text, language, fs, &around.dir)?;
        let integrations =
            Integrations::new(&config, around).map_err(|error| SetupError::Receiver(error.to_string()))?;
        Ok(Self { config, templates: Arc::new(templates), integrations })
    }

    /// Everything that is made of a tenant's configuration, which has no files. Blocks.
    pub(crate) fn of_tenant(
        own: &OwnText,
        language: Language,
        around: &Surroundings,
    ) -> Result<Self, String> {
        let config = Config::parse(&own.yaml, language).map_err(|error| error.to_string())?;
        own::refuse(&config)?;
        let named = own
            .templates
            .iter()
            .filter(|(name, _)| config.templates.iter().any(|pattern| glob::is_of(pattern, name)));
        if let Some(pattern) = config
            .templates
            .iter()
            .find(|pattern| !glob::is_pattern(pattern) && !own.templates.contains_key(*pattern))
        {
            return Err(format!("templates: {pattern:?} is not among template_files"));
        }
        let templates = NotificationTemplates::new(named.map(|(name, text)| (name.as_str(), text.as_str())));
        let templates = templates.map_err(|error| format!("failed to parse templates: {error}"))?;
        let integrations = Integrations::new(&config, around).map_err(|error| error.to_string())?;
        Ok(Self { config, templates: Arc::new(templates), integrations })
    }

    /// A configuration that tells nobody.
    pub(crate) fn nobody(language: Language, around: &Surroundings) -> Self {
        let config = Config::parse(NOBODY, language).expect("it is upstream's least configuration");
        let templates = NotificationTemplates::new([]).expect("the default templates are right");
        let integrations = Integrations::new(&config, around).expect("its receiver has no ways");
        Self { config, templates: Arc::new(templates), integrations }
    }
}

/// A configuration and its templates, for whoever looks at it without telling anybody.
#[derive(Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// The default templates and those of its files.
    pub templates: NotificationTemplates,
}

impl Checked {
    /// Reads a configuration and the templates that it names. Blocks.
    ///
    /// # Errors
    /// When a file cannot be read, or says what it may not say.
    pub fn read(fs: &dyn FileSystem, file: &Path, language: Language) -> Result<Self, SetupError> {
        let text = read(fs, file)?;
        let (config, templates) = parts(&text, language, fs, file.parent().unwrap_or(Path::new("")))?;
        Ok(Self { config, templates })
    }
}

/// What a text says, and the templates that it names, relative to `dir`.
fn parts(
    text: &str,
    language: Language,
    fs: &dyn FileSystem,
    dir: &Path,
) -> Result<(Config, NotificationTemplates), SetupError> {
    let config = Config::parse(text, language)?;
    let mut files = Vec::new();
    for pattern in &config.templates {
        for path in glob::files(fs, dir, pattern) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, read(fs, &path)?));
        }
    }
    let named = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let templates =
        NotificationTemplates::new(named).map_err(|error| SetupError::Template(error.to_string()))?;
    Ok((config, templates))
}

fn read(fs: &dyn FileSystem, path: &Path) -> Result<String, SetupError> {
    let unreadable = |reason: String| SetupError::Unreadable { file: path.display().to_string(), reason };
    let bytes = env::read_file(fs, path, MAX_FILE_BYTES).map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))
}
