//! Reading a log back: which segments there are, how far each is to be trusted, and what is damaged.

mod replay;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{File, FileSystem, OpenOptions, create_dir_durable};

use self::replay::{Replayed, SegmentReplay};
use crate::format::{
    HeaderRead, PAGE_BYTES, PAGE_HEADER_BYTES, PageHeader, SegmentId, Version, segment_name, segment_number,
};
use crate::scan::{Pages, first_group, has_every_sector, has_fragment};
use crate::segment::Previous;
use crate::{OpenError, Position, RecoverError, TimeHull};

/// What a recovery has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Where the last record ends. What is appended later lies behind it.
    pub end: Position,
    /// What was committed and cannot be read.
    pub damage: Vec<Damage>,
    /// How many records were handed out.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes after `end`: of a group that was being written when the process ended and was never acknowledged.
    pub torn_tail_bytes: u64,
    /// The segment to go on with, and what it says about the one before.
    next: u32,
    previous: Previous,
}

/// A range of the log that cannot be read although it had been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment, or the first of those that are missing.
    pub segment: u32,
    /// Where the unreadable range begins in the segment.
    pub from_offset: u32,
    /// Where reading went on; `u32::MAX` where a whole segment is missing.
    pub to_offset: u32,
    /// A hull of all samples that may be lost; empty where none is. `None`: nothing is known, it may be any time.
    pub time: Option<TimeHull>,
    /// What is the matter.
    pub reason: DamageReason,
}

/// What is the matter with a damaged range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageReason {
    /// Bytes with a wrong checksum, or fragments that do not belong together.
    Unreadable,
    /// Only the header of a page is unreadable; no record is lost.
    PageHeader,
    /// The file ends before what had been committed.
    Truncated,
    /// The segments from the damage's to this one are missing.
    Missing {
        /// The last of them.
        last: u32,
    },
}

/// Reads the log in `dir` and hands every record at or after `from` to `record`, in order. A directory that does not
/// exist is an empty log. Takes a few MiB of memory, and the size of the largest record.
///
/// # Errors
/// When the file system refuses, or a segment is of a format that is not known here.
pub fn recover(
    fs: &dyn FileSystem,
    dir: &Path,
    from: Position,
    mut record: impl FnMut(Position, &[u8]),
) -> Result<Recovery, RecoverError> {
    let segments = list(fs, dir)?;
    let used = used_segments(fs, dir, &segments)?;
    let mut recovery = Recovery {
        end: from,
        damage: Vec::new(),
        records: 0,
        bytes: 0,
        torn_tail_bytes: 0,
        next: from.segment + u32::from(from.offset > 0),
        previous: Previous::NONE,
    };
    // The last segment is read even where none of its records is asked for: where it ends must be known.
    let first =
        segments.iter().position(|segment| segment.id.number >= from.segment).unwrap_or(segments.len());
    let first = first.min(used.saturating_sub(1));
    let mut expected = from.segment;
    for (index, segment) in segments.iter().enumerate().take(used).skip(first) {
        let next = segments.get(index + 1).filter(|next| next.id.number == segment.id.number + 1);
        let next_header = next.and_then(|next| next.header);
        if segment.id.number > expected {
            recovery.damage.push(missing(expected, segment));
        }
        expected = expected.max(segment.id.number + 1);
        let last = index + 1 == used && next_header.is_none();
        let replay = SegmentReplay::new(segment.id, from, last, next_header);
        let len = next_header.map_or(segment.len, |next| next.previous_valid_len);
        let path = dir.join(segment_name(segment.id.number));
        let file = fs.open(&path, OpenOptions::READ).map_err(|source| at(&path, source))?;
        let replayed =
            replay.run(&file, segment.len, len, &mut record).map_err(|source| at(&path, source))?;
        recovery.add(segment, replayed);
    }
    recovery.torn_tail_bytes += segments.iter().skip(used).map(|segment| segment.len).sum::<u64>();
    Ok(recovery)
}

impl Recovery {
    fn add(&mut self, segment: &Segment, replayed: Replayed) {
        let number = segment.id.number;
        self.damage.extend(replayed.damage);
        self.records += replayed.records;
        self.bytes += replayed.bytes;
        self.torn_tail_bytes += replayed.torn_tail_bytes;
        let end = Position { segment: number, offset: replayed.end.valid_len };
        self.end = self.end.max(end);
        if number + 1 >= self.next {
            self.next = number + 1;
            self.previous = replayed.end;
        }
    }

    /// The segment that the log goes on with, and what that says about the one before it.
    pub(crate) fn next(&self) -> (u32, Previous) {
        (self.next, self.previous)
    }

    /// Makes the directory ready to go on: there, without leftovers of segments that never held anything, and with
    /// durably on the disk what was handed out.
    pub(crate) fn prepare(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), OpenError> {
        let fail = |source| OpenError::Io { path: dir.to_owned(), source };
        create_dir_durable(fs, dir).map_err(fail)?;
        remove_segments(fs, dir, |number| number >= self.next).map_err(fail)?;
        let last = dir.join(segment_name(self.next.saturating_sub(1)));
        if fs.exists(&last) {
            let synced = fs.open(&last, OpenOptions::READ_WRITE).and_then(|file| file.sync_data());
            synced.map_err(|source| OpenError::Io { path: last, source })?;
        }
        fs.sync_dir(dir).map_err(fail)
    }
}

/// Removes the segments that `chosen` names, durably, and gives how many.
pub(crate) fn remove_segments(
    fs: &dyn FileSystem,
    dir: &Path,
    chosen: impl Fn(u32) -> bool,
) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs.read_dir(dir)? {
        if segment_number(&entry.name).is_some_and(&chosen) {
            fs.remove_file(&dir.join(entry.name))?;
            removed += 1;
        }
    }
    if removed > 0 {
        fs.sync_dir(dir)?;
    }
    Ok(removed)
}

struct Segment {
    id: SegmentId,
    /// Of the file.
    len: u64,
    /// The first page header that can be read, by preference that of page 0.
    header: Option<PageHeader>,
}

fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Segment>, RecoverError> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let mut segments = Vec::new();
    for entry in fs.read_dir(dir).map_err(|source| at(dir, source))? {
        if let Some(number) = segment_number(&entry.name) {
            let path = dir.join(&entry.name);
            let file = fs.open(&path, OpenOptions::READ).map_err(|source| at(&path, source))?;
            let header = read_header(&*file, &path, number, entry.len)?;
            let id = match header {
                Some(header) => header.segment,
                None => guess_version(&file, number, entry.len).map_err(|source| at(&path, source))?,
            };
            segments.push(Segment { id, len: entry.len, header });
        }
    }
    segments.sort_by_key(|segment| segment.id.number);
    Ok(segments)
}

/// Every page repeats what the segment says about the one before it, so any header will do. That of page 0 also has
/// the previous segment's hulls; where it is lost, so are they.
fn read_header(
    file: &dyn File,
    path: &Path,
    number: u32,
    len: u64,
) -> Result<Option<PageHeader>, RecoverError> {
    for page in 0..len.div_ceil(PAGE_BYTES as u64) as u32 {
        let mut bytes = [0; PAGE_HEADER_BYTES];
        match env::read_exact_at(file, &mut bytes, u64::from(page) * PAGE_BYTES as u64) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(at(path, error)),
        }
        match PageHeader::read(&bytes, number, page) {
            HeaderRead::Valid(header) => return Ok(Some(header)),
            HeaderRead::UnknownVersion(found) => {
                return Err(RecoverError::UnknownFormat {
                    path: path.to_owned(),
                    found,
                    known: Version::WRITTEN.to_byte(),
                });
            }
            HeaderRead::Invalid => {}
        }
    }
    Ok(None)
}

/// A segment of which no page header can be read is taken for the newest version in which one of its fragments can be.
fn guess_version(file: &Arc<dyn File>, number: u32, len: u64) -> io::Result<SegmentId> {
    let mut pages = Pages::new(Arc::clone(file), clamp(len));
    for version in Version::KNOWN {
        let id = SegmentId { number, version };
        if has_fragment(&mut pages, id)? {
            return Ok(id);
        }
    }
    Ok(SegmentId { number, version: Version::WRITTEN })
}

/// How many of the segments hold something. Behind them are only files that were being made when the process ended.
fn used_segments(fs: &dyn FileSystem, dir: &Path, segments: &[Segment]) -> Result<usize, RecoverError> {
    for (index, segment) in segments.iter().enumerate().rev() {
        let next = segments.get(index + 1).filter(|next| next.id.number == segment.id.number + 1);
        let vouched = next.and_then(|next| next.header).is_some_and(|header| header.previous_valid_len > 0);
        let path = dir.join(segment_name(segment.id.number));
        let file = fs.open(&path, OpenOptions::READ).map_err(|source| at(&path, source))?;
        let mut pages = Pages::new(file, clamp(segment.len));
        let found = first_group(&mut pages, segment.id, 0).map_err(|source| at(&path, source))?;
        if vouched || found.is_some() {
            return Ok(index + 1);
        }
        // Its only group may have been written, and damaged since.
        let (page, _) = pages.get(0).map_err(|source| at(&path, source))?;
        if has_every_sector(page, PAGE_HEADER_BYTES, segment.id.version) {
            return Ok(index + 1);
        }
    }
    Ok(0)
}

fn missing(first: u32, present: &Segment) -> Damage {
    let last = present.id.number - 1;
    // The segment after a gap knows what the last one of the gap held, and nothing about those before.
    let header = present.header.filter(|header| first == last && header.page == 0);
    Damage {
        segment: first,
        from_offset: 0,
        to_offset: u32::MAX,
        time: header.map(|header| header.segment_hull),
        reason: DamageReason::Missing { last },
    }
}

fn clamp(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn at(path: &Path, source: io::Error) -> RecoverError {
    RecoverError::Io { path: PathBuf::from(path), source }
}
