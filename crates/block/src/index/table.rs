//! The postings offset table: where the postings of each label pair are.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;

use super::section::Section;

/// Every how many values of a name a place is remembered.
const STRIDE: u32 = 32;

/// How many texts an entry has: a name and a value.
const KEYS: u64 = 2;

/// About what an entry of the map of names takes besides its texts.
const NAME_BYTES: usize = 64;

/// An entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// Where the list begins in the file.
    pub(super) offset: u64,
}

impl<'a> Entry<'a> {
    fn read(cut: &mut Cut<'a>) -> Result<Self, BlockError> {
        let at = cut.clone();
        let keys = cut.uvarint("the number of keys")?;
        if keys != KEYS {
            return Err(
                at.wrong(format!("an entry of the postings offset table has {keys} keys, not {KEYS}"))
            );
        }
        let (name, value) = (cut.text("a label name")?, cut.text("a label value")?);
        Ok(Self { name, value, offset: cut.uvarint("the offset of postings")? })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_uvarint(KEYS);
        out.put_text(self.name);
        out.put_text(self.value);
        out.put_uvarint(self.offset);
    }
}

/// Where the list of a label pair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Where the list behind it in the table begins, which is behind it in the file nearly always.
    pub(super) next: Option<u64>,
}

/// The values of a name: consecutive entries.
#[derive(Debug, Clone, Default)]
struct Values {
    count: u32,
    /// Where in the content every [`STRIDE`]th entry begins.
    places: Vec<u32>,
}

/// The table, in the bytes that it was read from.
#[derive(Debug, Clone, Default)]
pub(super) struct PostingsTable {
    file: String,
    content: Bytes,
    offset: u64,
    names: BTreeMap<Box<str>, Values>,
}

impl PostingsTable {
    pub(super) fn read(file: &str, section: &Section) -> Result<Self, BlockError> {
        let mut cut = section.cut(file);
        let count = cut.u32("the number of lists of postings")?;
        let begin = cut.clone();
        let mut sorted = true;
        let mut last: Option<Entry<'_>> = None;
        for _ in 0..count {
            let entry = Entry::read(&mut cut)?;
            sorted &= last.is_none_or(|last| (last.name, last.value) < (entry.name, entry.value));
            last = Some(entry);
        }
        if !cut.is_empty() {
            return Err(cut.wrong("there is more in the postings offset table than its entries"));
        }
        // Upstream's first version did not sort them.
        let content = match sorted {
            true => section.content.slice(4..),
            false => sort(begin, count)?,
        };
        Self::of_sorted(file, content, section.offset + 4)
    }

    fn of_sorted(file: &str, content: Bytes, offset: u64) -> Result<Self, BlockError> {
        let mut names: BTreeMap<Box<str>, Values> = BTreeMap::new();
        let mut cut = Cut::new(file, &content, offset);
        // The name that entries are being read of.
        let mut current: (&str, Values) = ("", Values::default());
        while !cut.is_empty() {
            let place = (cut.offset() - offset) as u32;
            let entry = Entry::read(&mut cut)?;
            if entry.name != current.0 {
                let (name, values) = std::mem::replace(&mut current, (entry.name, Values::default()));
                names.insert(name.into(), values);
            }
            if current.1.count.is_multiple_of(STRIDE) {
                current.1.places.push(place);
            }
            current.1.count += 1;
        }
        names.insert(current.0.into(), current.1);
        names.retain(|_, values| values.count > 0);
        Ok(Self { file: file.to_owned(), content, offset, names })
    }

    /// The names of labels, sorted. The empty name, whose one list has all series, is none.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name).filter(|name| !name.is_empty())
    }

    /// All entries, sorted by name and value; that of all series comes first.
    pub(super) fn all(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries_at(0)
    }

    /// The entries of a name, sorted by value.
    pub(super) fn entries(&self, name: &str) -> impl Iterator<Item = Entry<'_>> {
        let values = self.names.get(name);
        let first = values.and_then(|values| values.places.first()).copied().unwrap_or(0);
        self.entries_at(first).take(values.map_or(0, |values| values.count as usize))
    }

    /// The entries from a place on; they have been read once.
    fn entries_at(&self, place: u32) -> impl Iterator<Item = Entry<'_>> {
        let bytes = self.content.get(place as usize..).unwrap_or_default();
        let mut cut = Cut::new(&self.file, bytes, self.offset + u64::from(place));
        std::iter::from_fn(move || (!cut.is_empty()).then(|| Entry::read(&mut cut).ok()).flatten())
    }

    /// The entry of a label pair.
    pub(super) fn find(&self, name: &str, value: &str) -> Option<Entry<'_>> {
        self.entries_from(name, value).next().filter(|entry| entry.name == name && entry.value == value)
    }

    /// Where the list of a label pair is.
    pub(super) fn place(&self, name: &str, value: &str) -> Option<Place> {
        let mut entries = self.entries_from(name, value);
        let entry = entries.next().filter(|entry| entry.name == name && entry.value == value)?;
        Some(Place { offset: entry.offset, next: entries.next().map(|next| next.offset) })
    }

    /// The values of a name that begin with `prefix`, ascending, and where their lists are.
    pub(super) fn places(&self, name: &str, prefix: &str) -> impl Iterator<Item = (&str, Place)> {
        let mut entries = self.entries_from(name, prefix).peekable();
        std::iter::from_fn(move || {
            let entry = entries.next_if(|entry| entry.name == name && entry.value.starts_with(prefix))?;
            let next = entries.peek().map(|next| next.offset);
            Some((entry.value, Place { offset: entry.offset, next }))
        })
    }

    /// The entries from the first value of a name on that is not less than `value`; nothing where there is no such name.
    fn entries_from(&self, name: &str, value: &str) -> impl Iterator<Item = Entry<'_>> {
        let values = self.names.get(name);
        let places = values.map_or(&[][..], |values| &values.places);
        let before = |place: &u32| self.entries_at(*place).next().is_some_and(|entry| entry.value <= value);
        let near = places.partition_point(before).saturating_sub(1);
        let entries = places.get(near).map(|place| self.entries_at(*place));
        entries.into_iter().flatten().skip_while(move |entry| entry.name == name && entry.value < value)
    }

    /// How many entries there are.
    fn len(&self) -> u32 {
        self.names.values().map(|values| values.count).sum()
    }

    /// As it is in a file: the number of entries, and the entries.
    pub(super) fn content(&self) -> Vec<u8> {
        [&self.len().to_be_bytes()[..], &self.content].concat()
    }

    /// Where that begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset - 4
    }

    /// About how many bytes of memory it takes.
    pub(super) fn heap_bytes(&self) -> usize {
        let names = self.names.iter();
        let of_names = names.map(|(name, values)| name.len() + 4 * values.places.len() + NAME_BYTES);
        self.content.len() + of_names.sum::<usize>()
    }
}

fn sort(mut cut: Cut<'_>, count: u32) -> Result<Bytes, BlockError> {
    let mut entries = (0..count).map(|_| Entry::read(&mut cut)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_unstable();
    let mut bytes = Vec::new();
    for entry in &entries {
        entry.put(&mut bytes);
    }
    Ok(bytes.into())
}
