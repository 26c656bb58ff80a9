//! Where configurations of tenants are kept by a process that is alone: a file for each.
//!
//! ```text
//! <dir>/configs/<tenant>.yml     as the API has it
//! ```
//!
//! It is written beside the old one, synced and renamed: after a crash it is as it was before a change or after it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::FileSystem;
use model::TenantId;

use super::OwnText;

const SUFFIX: &str = ".yml";
const HEAD: &str =
    "# What a tenant has set by the Alertmanager's API. Change it there, or while the process is stopped.\n";
/// The largest file that is read, in bytes: in quotes a text may have six times its bytes.
const MAX_FILE_BYTES: u64 = 6 * super::MAX_CONFIG_BYTES as u64 + (1 << 16);

/// The folder.
#[derive(Clone)]
pub(crate) struct ConfigDir {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) dir: PathBuf,
}

impl ConfigDir {
    /// Everything that is there. Blocks.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<TenantId, OwnText>> {
        let mut found = BTreeMap::new();
        if !self.fs.exists(&self.dir) {
            return Ok(found);
        }
        for entry in self.fs.read_dir(&self.dir)? {
            // What else is there is left by a crash while it was written.
            let Some(name) = entry.name.strip_suffix(SUFFIX) else { continue };
            let path = self.dir.join(&entry.name);
            let tenant = TenantId::new(name).map_err(|error| damaged(&path, &error.to_string()))?;
            let bytes = env::read_file(&*self.fs, &path, MAX_FILE_BYTES)?;
            let text = String::from_utf8(bytes).map_err(|error| damaged(&path, &error.to_string()))?;
            found.insert(tenant, OwnText::of_body(&text).map_err(|why| damaged(&path, &why))?);
        }
        Ok(found)
    }

    /// Keeps what a tenant has set; without it, it is gone. Blocks. It is durable then.
    pub(crate) fn keep(&self, tenant: &TenantId, own: Option<&OwnText>) -> io::Result<()> {
        let path = self.dir.join(format!("{tenant}{SUFFIX}"));
        if let Some(own) = own {
            env::create_dir_durable(&*self.fs, &self.dir)?;
            let text = format!("{HEAD}{}", own.to_body());
            return env::write_file_durable(&*self.fs, &path, text.as_bytes());
        }
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ if self.fs.exists(&self.dir) => self.fs.sync_dir(&self.dir),
            _ => Ok(()),
        }
    }
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}
