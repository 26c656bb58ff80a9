//! What was sent and what was acknowledged, per request: kept in memory, and in a file that outlives a killed
//! process, so that the oracle can tell acknowledged samples from those of unknown fate and those never sent.
//!
//! The file: one line of JSON ([`LedgerHeader`]), then records of 12 bytes, little-endian: a check and the kind in
//! four bytes, the group in four, the step in four. A record `sent` is written before a request leaves, a record
//! `acknowledged` after its 2xx came. A torn last record is ignored.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::encode::Protocol;
use crate::population::{PopulationConfig, mix};

const RECORD_BYTES: usize = 12;
/// The longest header line that is read.
const MAX_HEADER_BYTES: usize = 1 << 20;
const VERSION: u32 = 1;

/// What the steps and groups of a ledger refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerHeader {
    /// Of the format.
    pub version: u32,
    /// The population written.
    pub population: PopulationConfig,
    /// How it was divided into requests.
    pub series_per_request: u32,
    /// Which remote write it was sent by.
    pub protocol: Protocol,
    /// How many steps were to be written.
    pub steps: u32,
}

impl LedgerHeader {
    /// A header of the current version.
    pub fn new(
        population: PopulationConfig,
        series_per_request: u32,
        protocol: Protocol,
        steps: u32,
    ) -> Self {
        Self { version: VERSION, population, series_per_request, protocol, steps }
    }
}

/// Why a ledger cannot be read or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file system refused.
    #[error("ledger {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The first line is no header.
    #[error("ledger {path} has no readable header in its first line")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file of another version.
    #[error("ledger {path} has version {version}; this program reads version {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A record in the middle does not check.
    #[error("ledger {path} is damaged at byte {offset}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
}

/// What is known about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Never sent: none of its samples may be there.
    NeverSent,
    /// Sent without an acknowledgement: its samples may be there or not.
    Unknown,
    /// Acknowledged: all of its samples have to be there.
    Acknowledged,
}

/// The fates of all requests, by group and step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fates {
    groups: Vec<GroupFates>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct GroupFates {
    sent: Bits,
    acknowledged: Bits,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, n: u32) {
        let word = n as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (n % 64);
    }

    fn get(&self, n: u32) -> bool {
        self.0.get(n as usize / 64).is_some_and(|word| word & (1 << (n % 64)) != 0)
    }

    /// One more than the highest that is set; 0 when none is.
    fn end(&self) -> u32 {
        let highest = self.0.iter().enumerate().rev().find(|(_, word)| **word != 0);
        highest.map_or(0, |(i, word)| (i as u32 + 1) * 64 - word.leading_zeros())
    }
}

impl Fates {
    /// The fate of a request.
    pub fn of(&self, group: usize, step: u32) -> Fate {
        match self.groups.get(group) {
            Some(fates) if fates.acknowledged.get(step) => Fate::Acknowledged,
            Some(fates) if fates.sent.get(step) => Fate::Unknown,
            _ => Fate::NeverSent,
        }
    }

    /// Where a group goes on: the last step sent, again if it was not acknowledged, else the one after it.
    pub fn resume_at(&self, group: usize) -> u32 {
        let end = self.groups.get(group).map_or(0, |fates| fates.sent.end());
        match end.checked_sub(1) {
            Some(last) if self.of(group, last) == Fate::Unknown => last,
            _ => end,
        }
    }

    /// One more than the last step of which any request was sent.
    pub fn steps(&self) -> u32 {
        self.groups.iter().map(|fates| fates.sent.end()).max().unwrap_or(0)
    }

    fn record(&mut self, kind: Kind, group: u32, step: u32) {
        let group = group as usize;
        if self.groups.len() <= group {
            self.groups.resize_with(group + 1, GroupFates::default);
        }
        match kind {
            Kind::Sent => self.groups[group].sent.set(step),
            Kind::Acknowledged => self.groups[group].acknowledged.set(step),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sent = 1,
    Acknowledged = 2,
}

/// A ledger being written.
#[derive(Debug)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    fates: Fates,
    file: Option<(PathBuf, File)>,
}

impl Ledger {
    /// A ledger without a file.
    pub fn in_memory() -> Self {
        Self { inner: Mutex::new(Inner { fates: Fates::default(), file: None }) }
    }

    /// A new ledger in a new file.
    pub fn create(path: &Path, header: &LedgerHeader) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(io)?;
        let mut line = serde_json::to_vec(header)
            .map_err(|source| LedgerError::Header { path: path.to_owned(), source })?;
        line.push(b'\n');
        file.write_all(&line).map_err(io)?;
        let fates = Fates::default();
        Ok(Self { inner: Mutex::new(Inner { fates, file: Some((path.to_owned(), file)) }) })
    }

    /// Goes on with the ledger in a file, after the last whole record.
    pub fn resume(path: &Path) -> Result<(LedgerHeader, Self), LedgerError> {
        let io = |source| LedgerError::Io { path: path.to_owned(), source };
        let (header, fates, whole_bytes) = read_with_length(path)?;
        let mut file = OpenOptions::new().write(true).open(path).map_err(io)?;
        file.set_len(whole_bytes).map_err(io)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(io)?;
        Ok((header, Self { inner: Mutex::new(Inner { fates, file: Some((path.to_owned(), file)) }) }))
    }

    /// Notes that a request is about to leave.
    pub fn sent(&self, group: usize, step: u32) -> Result<(), LedgerError> {
        self.record(Kind::Sent, group, step)
    }

    /// Notes that a request was acknowledged.
    pub fn acknowledged(&self, group: usize, step: u32) -> Result<(), LedgerError> {
        self.record(Kind::Acknowledged, group, step)
    }

    /// What is known at this moment.
    pub fn fates(&self) -> Fates {
        self.inner.lock().fates.clone()
    }

    fn record(&self, kind: Kind, group: usize, step: u32) -> Result<(), LedgerError> {
        let group = group as u32;
        let mut inner = self.inner.lock();
        inner.fates.record(kind, group, step);
        if let Some((path, file)) = &mut inner.file {
            // One unbuffered write: it survives the death of this process the moment it returns.
            file.write_all(&encode(kind, group, step))
                .map_err(|source| LedgerError::Io { path: path.clone(), source })?;
        }
        Ok(())
    }
}

/// Reads a ledger.
pub fn read(path: &Path) -> Result<(LedgerHeader, Fates), LedgerError> {
    let (header, fates, _) = read_with_length(path)?;
    Ok((header, fates))
}

fn read_with_length(path: &Path) -> Result<(LedgerHeader, Fates, u64), LedgerError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
    let line = bytes.iter().take(MAX_HEADER_BYTES).position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(line);
    let header: LedgerHeader = serde_json::from_slice(line)
        .map_err(|source| LedgerError::Header { path: path.to_owned(), source })?;
    if header.version != VERSION {
        return Err(LedgerError::Version { path: path.to_owned(), version: header.version });
    }
    let records = rest.get(1..).unwrap_or_default();
    let mut fates = Fates::default();
    for (i, record) in records.chunks_exact(RECORD_BYTES).enumerate() {
        let (kind, group, step) = decode(record).ok_or_else(|| LedgerError::Damaged {
            path: path.to_owned(),
            offset: line.len() + 1 + i * RECORD_BYTES,
        })?;
        fates.record(kind, group, step);
    }
    let whole = line.len() + 1 + records.len() / RECORD_BYTES * RECORD_BYTES;
    Ok((header, fates, whole as u64))
}

fn check(kind: Kind, group: u32, step: u32) -> u32 {
    let mixed = mix((u64::from(group) << 32) | u64::from(step)) as u32;
    (mixed & !0xff) | kind as u32
}

fn encode(kind: Kind, group: u32, step: u32) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..4].copy_from_slice(&check(kind, group, step).to_le_bytes());
    record[4..8].copy_from_slice(&group.to_le_bytes());
    record[8..].copy_from_slice(&step.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> Option<(Kind, u32, u32)> {
    let word = |i: usize| Some(u32::from_le_bytes(record.get(i..i + 4)?.try_into().ok()?));
    let (mark, group, step) = (word(0)?, word(4)?, word(8)?);
    let kind = match mark & 0xff {
        1 => Kind::Sent,
        2 => Kind::Acknowledged,
        _ => return None,
    };
    (check(kind, group, step) == mark).then_some((kind, group, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> LedgerHeader {
        LedgerHeader::new(crate::population::test_config(), 100, Protocol::V1, 10)
    }

    #[test]
    fn survives_a_torn_end_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acks");
        let ledger = Ledger::create(&path, &header()).unwrap();
        ledger.sent(3, 0).unwrap();
        ledger.acknowledged(3, 0).unwrap();
        ledger.sent(3, 1).unwrap();
        drop(ledger);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[1, 2, 3, 4, 5]).unwrap();

        let (read_header, fates) = read(&path).unwrap();
        assert_eq!(read_header, header());
        assert_eq!(fates.of(3, 0), Fate::Acknowledged);
        assert_eq!(fates.of(3, 1), Fate::Unknown);
        assert_eq!(fates.of(3, 2), Fate::NeverSent);
        assert_eq!(fates.of(9, 0), Fate::NeverSent);
        assert_eq!((fates.resume_at(3), fates.resume_at(0), fates.steps()), (1, 0, 2));

        let (_, ledger) = Ledger::resume(&path).unwrap();
        ledger.acknowledged(3, 1).unwrap();
        drop(ledger);
        let (_, fates) = read(&path).unwrap();
        assert_eq!(fates.of(3, 1), Fate::Acknowledged);
        assert_eq!(fates.resume_at(3), 2);
    }

    #[test]
    fn damage_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acks");
        let ledger = Ledger::create(&path, &header()).unwrap();
        ledger.sent(0, 0).unwrap();
        ledger.sent(0, 1).unwrap();
        drop(ledger);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read(&path), Err(LedgerError::Damaged { .. })));
    }
}
