//! Reading one segment: fragments into records, and unreadable bytes into a torn tail or damage.

use std::io;
use std::sync::Arc;

use env::File;

use super::{Damage, DamageReason, clamp};
use crate::format::{Fragment, HeaderRead, PAGE_BYTES, PAGE_HEADER_BYTES, PageHeader, SegmentId};
use crate::scan::{Item, PageScan, Pages, has_every_sector, last_group};
use crate::segment::Previous;
use crate::{Position, TimeHull};

/// What a segment gave.
pub(super) struct Replayed {
    pub(super) damage: Vec<Damage>,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) torn_tail_bytes: u64,
    /// Where its last record ends, and the hulls of its records.
    pub(super) end: Previous,
}

/// A segment that is being read.
pub(super) struct SegmentReplay {
    id: SegmentId,
    from: Position,
    /// No later segment says how far this one is to be trusted.
    last: bool,
    next_header: Option<PageHeader>,
    /// In the last segment, once it was looked for: where the last group begins, before which all was durable.
    last_group: Option<Option<u32>>,
    /// The record whose fragments are being gathered: where it begins and its hull; its bytes are in `gathered`.
    partial: Option<(u32, TimeHull)>,
    gathered: Vec<u8>,
    /// Since the last damage no record has begun, so whatever else is unreadable belongs to it.
    lost: bool,
    holes: Vec<Hole>,
    /// Of every page that was reached: its header's hulls, where it can be read.
    headers: Vec<Option<(TimeHull, TimeHull)>>,
    out: Replayed,
}

struct Hole {
    from: u32,
    to: u32,
    reason: DamageReason,
    /// The hull of everything up to the first group that begins after it.
    until_group: Option<TimeHull>,
}

/// Whether to go on with the segment.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl SegmentReplay {
    pub(super) fn new(id: SegmentId, from: Position, last: bool, next_header: Option<PageHeader>) -> Self {
        Self {
            id,
            from,
            last,
            next_header,
            last_group: None,
            partial: None,
            gathered: Vec::new(),
            lost: false,
            holes: Vec::new(),
            headers: Vec::new(),
            out: Replayed {
                damage: Vec::new(),
                records: 0,
                bytes: 0,
                torn_tail_bytes: 0,
                end: Previous::NONE,
            },
        }
    }

    /// Reads the segment, of which the file has `file_len` bytes and `trusted_len` are to be trusted.
    pub(super) fn run(
        mut self,
        file: &Arc<dyn File>,
        file_len: u64,
        trusted_len: u64,
        record: &mut impl FnMut(Position, &[u8]),
    ) -> io::Result<Replayed> {
        let len = clamp(file_len.min(trusted_len));
        let mut pages = Pages::new(Arc::clone(file), len);
        'pages: for page in 0..pages.count() {
            let (bytes, offset) = pages.get(page)?;
            if self.header(bytes, page, offset, (file, len))? == Next::Stop {
                break;
            }
            for item in PageScan::new(bytes, offset, self.id) {
                let next = match item {
                    Item::Fragment(at, fragment) => {
                        self.fragment(offset + at as u32, fragment, (file, len), record)?
                    }
                    Item::Bad(from, to) => self.bad(offset + from as u32, offset + to as u32, (file, len))?,
                };
                if next == Next::Stop {
                    break 'pages;
                }
            }
        }
        self.finish(file_len, len, clamp(trusted_len));
        Ok(self.out)
    }

    fn header(
        &mut self,
        bytes: &[u8],
        page: u32,
        offset: u32,
        whole: (&Arc<dyn File>, u32),
    ) -> io::Result<Next> {
        if let HeaderRead::Valid(header) = PageHeader::read(bytes, self.id.number, page)
            && header.segment == self.id
        {
            self.headers.push(Some((header.page_hull, header.segment_hull)));
        } else {
            self.headers.push(None);
            let end = offset + bytes.len().min(PAGE_HEADER_BYTES) as u32;
            // It lies in one sector, so it was written whole or not at all.
            let is_written =
                bytes.get(..PAGE_HEADER_BYTES).is_some_and(|header| header.iter().any(|byte| *byte != 0));
            if self.is_torn(offset, whole)? && !is_written {
                return Ok(Next::Stop);
            }
            if !self.lost {
                self.holes.push(Hole {
                    from: offset,
                    to: end,
                    reason: DamageReason::PageHeader,
                    until_group: None,
                });
            }
        }
        self.out.end.page_hull = self.partial.map_or(TimeHull::EMPTY, |(_, hull)| hull);
        Ok(Next::GoOn)
    }

    fn fragment(
        &mut self,
        at: u32,
        fragment: Fragment<'_>,
        whole: (&Arc<dyn File>, u32),
        record: &mut impl FnMut(Position, &[u8]),
    ) -> io::Result<Next> {
        let end = at + fragment.total_bytes as u32;
        if fragment.kind.start {
            if self.partial.is_some() && self.bad(at, at, whole)? == Next::Stop {
                return Ok(Next::Stop);
            }
            if let Some(hull) = fragment.segment_hull {
                self.group(hull);
            }
            self.lost = false;
            self.out.end.page_hull = self.out.end.page_hull.union(fragment.hull);
            self.out.end.segment_hull = self.out.end.segment_hull.union(fragment.hull);
            if fragment.kind.end {
                self.emit(at, end, fragment.payload, record);
                return Ok(Next::GoOn);
            }
            self.gathered.clear();
            self.partial = Some((at, fragment.hull));
        } else if self.partial.is_none() {
            return self.bad(at, end, whole);
        }
        self.gathered.extend_from_slice(fragment.payload);
        if fragment.kind.end
            && let Some((start, _)) = self.partial.take()
        {
            let gathered = std::mem::take(&mut self.gathered);
            self.emit(start, end, &gathered, record);
            self.gathered = gathered;
        }
        Ok(Next::GoOn)
    }

    fn emit(&mut self, offset: u32, end: u32, bytes: &[u8], record: &mut impl FnMut(Position, &[u8])) {
        self.out.end.valid_len = end;
        let position = Position { segment: self.id.number, offset };
        if position >= self.from {
            record(position, bytes);
            self.out.records += 1;
            self.out.bytes += bytes.len() as u64;
        }
    }

    /// A group begins, and says what is before it in the segment.
    fn group(&mut self, hull: TimeHull) {
        self.out.end.segment_hull = self.out.end.segment_hull.union(hull);
        for hole in self.holes.iter_mut().rev() {
            if hole.until_group.is_some() {
                break;
            }
            hole.until_group = Some(hull);
        }
    }

    /// From `from` to `to` nothing can be read, and a record of which only the beginning was found is lost too.
    fn bad(&mut self, from: u32, to: u32, whole: (&Arc<dyn File>, u32)) -> io::Result<Next> {
        if self.is_torn(from, whole)? && !self.was_written(from, whole)? {
            return Ok(Next::Stop);
        }
        self.hole(from, to, DamageReason::Unreadable);
        Ok(Next::GoOn)
    }

    fn hole(&mut self, from: u32, to: u32, reason: DamageReason) {
        let from = self.partial.take().map_or(from, |(start, _)| start);
        match self.holes.last_mut() {
            Some(hole) if self.lost => hole.to = to,
            _ => self.holes.push(Hole { from, to, reason, until_group: None }),
        }
        self.lost = true;
    }

    /// Whether what cannot be read at `from` was never acknowledged: it is in the last segment, and no group begins
    /// behind it.
    fn is_torn(&mut self, from: u32, (file, len): (&Arc<dyn File>, u32)) -> io::Result<bool> {
        if !self.last {
            return Ok(false);
        }
        let last_group = match self.last_group {
            Some(known) => known,
            None => {
                let mut pages = Pages::new(Arc::clone(file), len);
                let found = last_group(&mut pages, self.id, from / PAGE_BYTES as u32)?;
                *self.last_group.insert(found)
            }
        };
        Ok(last_group.is_none_or(|group| group < from))
    }

    /// Whether the fragment at `from`, behind which nothing proves that it was durable, was written to its end all the same: a
    /// write that was cut short lacks a sector, which holds zeros then, or lies behind the end of the file.
    fn was_written(&self, from: u32, (file, len): (&Arc<dyn File>, u32)) -> io::Result<bool> {
        let mut pages = Pages::new(Arc::clone(file), len);
        let (page, offset) = pages.get(from / PAGE_BYTES as u32)?;
        Ok(has_every_sector(page, (from - offset) as usize, self.id.version))
    }

    fn finish(&mut self, file_len: u64, len: u32, trusted_len: u32) {
        if self.last {
            self.out.torn_tail_bytes = file_len.saturating_sub(u64::from(self.out.end.valid_len));
        } else {
            if let Some((start, _)) = self.partial {
                self.hole(start, len, DamageReason::Unreadable);
            }
            if len < trusted_len && self.next_header.is_some() {
                self.lost = false;
                self.hole(len, trusted_len, DamageReason::Truncated);
            }
            // What follows must keep on saying how far this segment was to be trusted.
            self.out.end.valid_len = trusted_len;
            if let Some(next) = self.next_header.filter(|next| next.page == 0) {
                self.out.end.page_hull = next.page_hull;
                self.out.end.segment_hull = next.segment_hull;
            }
        }
        for hole in std::mem::take(&mut self.holes) {
            let end = Position { segment: self.id.number, offset: hole.to };
            if end > self.from {
                self.out.damage.push(Damage {
                    segment: self.id.number,
                    from_offset: hole.from,
                    to_offset: hole.to,
                    time: self.time_of(&hole, trusted_len),
                    reason: hole.reason,
                });
            }
        }
    }

    /// A hull of the records that a hole has swallowed. A page's records are known from the header of the page after;
    /// where that is lost too, whatever comes later knows everything before it.
    fn time_of(&self, hole: &Hole, trusted_len: u32) -> Option<TimeHull> {
        if hole.reason == DamageReason::PageHeader {
            return Some(TimeHull::EMPTY);
        }
        let page_of = |offset: u32| (offset / PAGE_BYTES as u32) as usize;
        let (first, last) = (page_of(hole.from), page_of(hole.to.saturating_sub(1).max(hole.from)));
        let next = self.next_header.filter(|next| next.page == 0);
        let final_page = page_of(trusted_len.saturating_sub(1));
        let page_hull = |page: usize| match self.headers.get(page + 1) {
            Some(header) => header.map(|(page_hull, _)| page_hull),
            None => next.filter(|_| page == final_page).map(|next| next.page_hull),
        };
        let exact = (first..=last).map(page_hull).try_fold(TimeHull::EMPTY, |all, one| Some(all.union(one?)));
        let later = || {
            let headers = self.headers.get(last + 1..).unwrap_or_default();
            headers.iter().flatten().next().map(|(_, segment_hull)| *segment_hull)
        };
        exact.or_else(later).or(hole.until_group).or(next.map(|next| next.segment_hull))
    }
}
