//! What is known of a tenant's blocks on this disk, in a file beside them: which are there and how far each has come on its
//! way to the bucket, and what has been cut.
//!
//! ```text
//! blocks/<tenant>/ledger.json    this file, replaced as a whole
//! blocks/<tenant>/<ulid>/        a block; one that the ledger does not name is a leftover
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::FileSystem;
use model::TenantId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::head::coverage::{Coverage, Saved};

/// The name of the file.
const FILE: &str = "ledger.json";
/// The version of the file.
const VERSION: u32 = 1;
/// The largest ledger that is read: a hundred thousand blocks.
const MAX_BYTES: u64 = 16 << 20;

/// How far a block has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// It is on this disk.
    Cut,
    /// It is in the bucket, and was read back.
    Uploaded,
    /// The bucket's index has it, or another with its samples.
    Listed {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: i64,
    },
}

/// A block on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalBlock {
    /// Its name.
    pub(crate) ulid: Ulid,
    /// The first time that may be in it, in milliseconds since the Unix epoch.
    pub(crate) min_time: i64,
    /// The first time behind it.
    pub(crate) max_time: i64,
    /// How far it has come.
    pub(crate) stage: Stage,
    /// Not to be uploaded before this, so that not all ingesters do so at the same time; a restart forgets it.
    pub(crate) not_before_ms: i64,
}

/// The ledger of a tenant.
pub(crate) struct Ledger {
    folder: PathBuf,
    blocks: Mutex<Vec<LocalBlock>>,
    /// Held while the file is written: what is written later is newer.
    file: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    #[serde(default)]
    window_ms: i64,
    cut_before_ms: Option<i64>,
    #[serde(default)]
    open_windows: Vec<i64>,
    blocks: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    ulid: String,
    min_time: i64,
    max_time: i64,
    stage: Stage,
}

impl Ledger {
    fn empty(folder: PathBuf) -> Self {
        Self { folder, blocks: Mutex::default(), file: Mutex::default() }
    }

    /// The folder of the tenant's blocks.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a block.
    pub(crate) fn folder_of(&self, block: Ulid) -> PathBuf {
        self.folder.join(block.to_string())
    }

    /// The blocks, oldest samples first.
    pub(crate) fn blocks(&self) -> Vec<LocalBlock> {
        self.blocks.lock().clone()
    }

    /// Changes what is known of the blocks. It has to be saved then.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Vec<LocalBlock>) -> T) -> T {
        let mut blocks = self.blocks.lock();
        let changed = change(&mut blocks);
        blocks.sort_by_key(|block| (block.min_time, block.ulid));
        changed
    }

    /// From this time on there may be samples that the bucket's index does not have for sure.
    pub(crate) fn unlisted_from(&self) -> i64 {
        self.blocks.lock().iter().map(|block| block.min_time).min().unwrap_or(i64::MAX)
    }

    /// Makes what is known durable, together with what has been cut, the window `done` included. Blocks.
    pub(crate) fn save(&self, fs: &dyn FileSystem, coverage: &Coverage, done: Option<i64>) -> io::Result<()> {
        let _file = self.file.lock();
        let saved = coverage.save(done);
        let entry = |block: &LocalBlock| Entry {
            ulid: block.ulid.to_string(),
            min_time: block.min_time,
            max_time: block.max_time,
            stage: block.stage,
        };
        let content = Content {
            version: VERSION,
            window_ms: saved.length_ms,
            cut_before_ms: saved.cut_before_ms,
            open_windows: saved.open,
            blocks: self.blocks.lock().iter().map(entry).collect(),
        };
        let bytes = serde_json::to_vec(&content).map_err(io::Error::other)?;
        let written = env::create_dir_durable(fs, &self.folder)
            .and_then(|()| env::write_file_durable(fs, &self.folder.join(FILE), &bytes));
        if written.is_err() {
            coverage.not_saved();
        }
        written
    }

    /// Reads the file, and removes blocks that it does not name. What has been cut is given. A ledger that cannot be
    /// understood is as none: the head has what is not in the bucket, and it is cut again.
    fn load(fs: &dyn FileSystem, folder: PathBuf) -> io::Result<(Self, Saved)> {
        let file = folder.join(FILE);
        let content: Option<Content> = match env::read_file(fs, &file, MAX_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .inspect_err(|error| {
                    tracing::error!(file = %file.display(), %error, "a ledger of blocks is damaged, its blocks are cut again");
                })
                .ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let ledger = Self::empty(folder);
        let mut saved = Saved::default();
        if let Some(content) = content {
            saved.length_ms = content.window_ms;
            saved.cut_before_ms = content.cut_before_ms;
            saved.open = content.open_windows;
            let blocks = content.blocks.into_iter().filter_map(|entry| {
                let ulid = Ulid::from_string(&entry.ulid).ok()?;
                let Entry { min_time, max_time, stage, .. } = entry;
                Some(LocalBlock { ulid, min_time, max_time, stage, not_before_ms: i64::MIN })
            });
            *ledger.blocks.lock() = blocks.collect();
        }
        ledger.remove_leftovers(fs)?;
        ledger.miss(fs, &mut saved);
        Ok((ledger, saved))
    }

    fn remove_leftovers(&self, fs: &dyn FileSystem) -> io::Result<()> {
        let known: Vec<String> = self.blocks.lock().iter().map(|block| block.ulid.to_string()).collect();
        for entry in fs.read_dir(&self.folder)? {
            if entry.is_dir && !known.contains(&entry.name) {
                fs.remove_dir_all(&self.folder.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Blocks that are named, but gone from the disk: what has not reached the bucket is cut again.
    fn miss(&self, fs: &dyn FileSystem, saved: &mut Saved) {
        self.blocks.lock().retain(|block| {
            let is_there = fs.exists(&self.folder_of(block.ulid).join("meta.json"));
            if !is_there {
                tracing::error!(block = %block.ulid, "a block is gone from the disk, it is cut again");
                saved.open.push(block.min_time);
            }
            is_there
        });
    }
}

/// The ledgers of all tenants.
pub(crate) struct Ledgers {
    folder: PathBuf,
    of: Mutex<BTreeMap<TenantId, Arc<Ledger>>>,
}

impl Ledgers {
    /// Reads all of them, and calls `restored` with what has been cut of each tenant.
    pub(crate) fn load(
        fs: &dyn FileSystem,
        folder: PathBuf,
        mut restored: impl FnMut(&TenantId, &Saved),
    ) -> io::Result<Self> {
        let mut of = BTreeMap::new();
        for entry in fs.read_dir(&folder)? {
            let Some(tenant) = TenantId::new(&entry.name).ok().filter(|_| entry.is_dir) else { continue };
            let (ledger, saved) = Ledger::load(fs, folder.join(&entry.name))?;
            restored(&tenant, &saved);
            of.insert(tenant, Arc::new(ledger));
        }
        Ok(Self { folder, of: Mutex::new(of) })
    }

    /// That of a tenant, made where there is none.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<Ledger> {
        let new = || Arc::new(Ledger::empty(self.folder.join(tenant.as_str())));
        self.of.lock().entry(tenant.clone()).or_insert_with(new).clone()
    }

    /// That of a tenant, where there is one.
    pub(crate) fn find(&self, tenant: &TenantId) -> Option<Arc<Ledger>> {
        self.of.lock().get(tenant).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(TenantId, Arc<Ledger>)> {
        self.of.lock().iter().map(|(tenant, ledger)| (tenant.clone(), ledger.clone())).collect()
    }
}
