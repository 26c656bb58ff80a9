//! Who an ingester is: the file `identity` in its data directory (`docs/formats/identity.md`).
//!
//! A directory that was made anew has another incarnation than the one that the metastore has on record for the
//! instance: then everything that the instance acknowledged before may be gone.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use env::{FileSystem, OpenOptions, Rng};
use model::TimeRange;

use crate::error::StartError;
use crate::lost::merge_lost;

const FIRST_LINE: &str = "barograph identity 1";
/// A file of so many bytes has room for all ranges, and for what a later version may add.
const MAX_BYTES: u64 = 64 << 10;
/// Another one after every start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What an ingester has to say about itself before it may count in its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Of its data directory: random, never 0, the same for as long as the directory is.
    pub incarnation: u64,
    /// Ranges of which samples that it acknowledged may be missing, as far back as it keeps samples.
    pub lost: Vec<TimeRange>,
    /// What it has lost besides if its record in the cluster has another incarnation: from the beginning of the retention
    /// to a little after now.
    pub everything: TimeRange,
}

/// What its operator wants of an ingester, beyond restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// When it is stopped next, it shall hand over what it has, and leave.
    pub shutdown_prepared: bool,
    /// Since when (milliseconds since the Unix epoch) it shall take no new series; `None`: it takes them.
    pub read_only_since_ms: Option<i64>,
}

/// A run that acknowledges before it has synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsynced {
    /// How much may be lost.
    pub(crate) interval: Duration,
    /// Which start of the machine it was in; `None` where that cannot be known.
    pub(crate) boot: Option<String>,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    instance: String,
    incarnation: u64,
    unsynced: Option<Unsynced>,
    lost: Vec<TimeRange>,
    wishes: Wishes,
    /// Lines of a later version.
    others: Vec<String>,
}

/// The file, and what it says.
pub(crate) struct IdentityFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    content: Content,
}

impl IdentityFile {
    /// Reads the file of the instance; makes it where there is none. A damaged one counts as none: whether what was
    /// acknowledged is there can be told no more.
    pub(crate) fn open(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        instance: &str,
        rng: &dyn Rng,
    ) -> Result<Self, StartError> {
        let path = dir.join("identity");
        let read = match env::read_file(&**fs, &path, MAX_BYTES) {
            Ok(bytes) => Content::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StartError::Io { path, source }),
        };
        match read {
            Some(content) if content.instance != instance => Err(StartError::OtherInstance {
                path,
                found: content.instance,
                instance: instance.to_owned(),
            }),
            Some(content) => Ok(Self { fs: fs.clone(), path, content }),
            None => {
                let file = Self { fs: fs.clone(), path, content: Content::new(instance, rng) };
                file.write(&file.content)
                    .map_err(|source| StartError::Io { path: file.path.clone(), source })?;
                tracing::info!(instance, incarnation = file.content.incarnation, "data directory made");
                Ok(file)
            }
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.content.incarnation
    }

    pub(crate) fn lost(&self) -> &[TimeRange] {
        &self.content.lost
    }

    pub(crate) fn wishes(&self) -> Wishes {
        self.content.wishes
    }

    /// The run before this one, if it acknowledged before it had synced, and did not end by itself.
    pub(crate) fn unsynced(&self) -> Option<&Unsynced> {
        self.content.unsynced.as_ref()
    }

    /// Changes what the operator wants.
    pub(crate) fn set_wishes(&mut self, wishes: Wishes) -> io::Result<()> {
        self.change(|content| content.wishes = wishes)
    }

    /// Notes that a run acknowledges before it has synced, or does so no more.
    pub(crate) fn set_unsynced(&mut self, unsynced: Option<Unsynced>) -> io::Result<()> {
        self.change(|content| content.unsynced = unsynced)
    }

    /// Notes losses, and forgets those before `oldest_ms`.
    pub(crate) fn add_lost(&mut self, more: &[TimeRange], oldest_ms: i64) -> io::Result<()> {
        self.change(|content| content.lost = merge_lost(&content.lost, more, oldest_ms))
    }

    fn change(&mut self, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        let mut changed = self.content.clone();
        change(&mut changed);
        if changed != self.content {
            self.write(&changed)?;
            self.content = changed;
        }
        Ok(())
    }

    fn write(&self, content: &Content) -> io::Result<()> {
        env::write_file_durable(&*self.fs, &self.path, content.encode().as_bytes())
    }
}

impl Content {
    fn new(instance: &str, rng: &dyn Rng) -> Self {
        Self {
            instance: instance.to_owned(),
            // 0 means that nobody has one.
            incarnation: rng.next_u64().max(1),
            unsynced: None,
            lost: Vec::new(),
            wishes: Wishes::default(),
            others: Vec::new(),
        }
    }

    fn encode(&self) -> String {
        let mut lines = vec![
            FIRST_LINE.to_owned(),
            format!("instance {}", self.instance),
            format!("incarnation {:016x}", self.incarnation),
        ];
        if let Some(Unsynced { interval, boot }) = &self.unsynced {
            lines.push(format!("unsynced {} {}", interval.as_millis(), boot.as_deref().unwrap_or("-")));
        }
        lines.extend(self.lost.iter().map(|lost| format!("lost {} {}", lost.start_ms(), lost.end_ms())));
        if self.wishes.shutdown_prepared {
            lines.push("shutdown-prepared".to_owned());
        }
        lines.extend(self.wishes.read_only_since_ms.map(|since_ms| format!("read-only {since_ms}")));
        lines.extend(self.others.iter().cloned());
        let mut text = lines.join("\n");
        text.push('\n');
        let crc = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("crc32c {crc:08x}\n"));
        text
    }

    /// What a file says; `None` where it is damaged, or no such file.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (_, last) = text.rsplit_once('\n')?;
        let crc = u32::from_str_radix(last.strip_prefix("crc32c ")?, 16).ok()?;
        let body = text.strip_suffix(last)?;
        if crc32c::crc32c(body.as_bytes()) != crc {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let instance = lines.next()?.strip_prefix("instance ")?.to_owned();
        let incarnation = u64::from_str_radix(lines.next()?.strip_prefix("incarnation ")?, 16).ok()?;
        let mut content = Self {
            instance,
            incarnation,
            unsynced: None,
            lost: Vec::new(),
            wishes: Wishes::default(),
            others: Vec::new(),
        };
        for line in lines {
            content.line(line)?;
        }
        Some(content)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "lost" => {
                let (start_ms, end_ms) = pair::<i64, i64>(rest)?;
                self.lost.push(TimeRange::new(start_ms, end_ms)?);
            }
            "unsynced" => {
                let (millis, boot) = pair::<u64, String>(rest)?;
                let boot = Some(boot).filter(|boot| boot != "-");
                self.unsynced = Some(Unsynced { interval: Duration::from_millis(millis), boot });
            }
            "shutdown-prepared" => self.wishes.shutdown_prepared = true,
            "read-only" => self.wishes.read_only_since_ms = Some(rest.parse().ok()?),
            _ => self.others.push(line.to_owned()),
        }
        Some(())
    }
}

fn pair<A: FromStr, B: FromStr>(text: &str) -> Option<(A, B)> {
    let (a, b) = text.split_once(' ')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// Which start of the machine this is; `None` where the system does not say.
pub(crate) fn boot_id(fs: &dyn FileSystem) -> Option<String> {
    let file = fs.open(Path::new(BOOT_ID), OpenOptions::READ).ok()?;
    // The kernel says that the file is empty, whatever it holds.
    let mut buffer = [0; 64];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let id = std::str::from_utf8(buffer.get(..length)?).ok()?.trim();
    (!id.is_empty() && !id.contains(char::is_whitespace)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use env::{CrashMode, SeededRng, SimFs};

    use super::*;

    fn open(fs: &SimFs, instance: &str, seed: u64) -> Result<IdentityFile, StartError> {
        let fs: Arc<dyn FileSystem> = Arc::new(fs.clone());
        env::create_dir_durable(&*fs, Path::new("/data")).unwrap();
        IdentityFile::open(&fs, Path::new("/data"), instance, &SeededRng::new(seed))
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(start, end).unwrap()
    }

    #[test]
    fn an_incarnation_lasts_as_long_as_the_directory() {
        let fs = SimFs::new(1);
        let first = open(&fs, "a", 1).unwrap().incarnation();
        assert_ne!(first, 0);
        let fs = fs.crash(CrashMode::LoseAll);
        assert_eq!(open(&fs, "a", 2).unwrap().incarnation(), first);
        assert_ne!(open(&SimFs::new(2), "a", 2).unwrap().incarnation(), first);
        let error = open(&fs, "b", 3).err().expect("it is another's");
        assert!(error.to_string().contains(r#""a""#), "{error}");
    }

    #[test]
    fn what_is_noted_survives_a_crash() {
        let fs = SimFs::new(1);
        let mut file = open(&fs, "a", 1).unwrap();
        let unsynced = Unsynced { interval: Duration::from_millis(100), boot: None };
        file.set_unsynced(Some(unsynced.clone())).unwrap();
        file.add_lost(&[range(5, 9), range(20, 30)], 8).unwrap();
        let wishes = Wishes { shutdown_prepared: true, read_only_since_ms: Some(-7) };
        file.set_wishes(wishes).unwrap();
        let mut again = open(&fs.crash(CrashMode::LoseAll), "a", 2).unwrap();
        assert_eq!(again.content, file.content);
        assert_eq!((again.lost(), again.wishes()), (&[range(5, 9), range(20, 30)][..], wishes));
        assert_eq!(again.unsynced(), Some(&unsynced));
        again.add_lost(&[range(31, 40)], 10).unwrap();
        assert_eq!(again.lost(), [range(20, 40)], "what nobody asks for any more is forgotten");
    }

    #[test]
    fn lines_of_a_later_version_stay() {
        let rng = SeededRng::new(1);
        let mut content = Content::new("a", &rng);
        content.others.push("mood 7 bright".to_owned());
        content.lost.push(range(1, 2));
        content.unsynced = Some(Unsynced { interval: Duration::ZERO, boot: Some("b-1".to_owned()) });
        let encoded = content.encode();
        assert_eq!(Content::decode(encoded.as_bytes()), Some(content));
    }

    #[test]
    fn a_damaged_file_is_another_incarnation() {
        let encoded = Content::new("a", &SeededRng::new(1)).encode().into_bytes();
        for at in 0..encoded.len() {
            let mut damaged = encoded.clone();
            damaged[at] ^= 4;
            assert_eq!(Content::decode(&damaged), None, "byte {at}");
            assert_eq!(Content::decode(&encoded[..at]), None, "{at} bytes");
        }
        let fs = SimFs::new(1);
        let first = open(&fs, "a", 1).unwrap().incarnation();
        fs.flip_bit(Path::new("/data/identity"), 30, 2).unwrap();
        assert_ne!(open(&fs, "a", 2).unwrap().incarnation(), first);
    }
}
