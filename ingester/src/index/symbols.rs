//! Interned strings: every label name and value of a tenant once.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Label names and values by number. Numbers of strings that nothing refers to any more are used again.
#[derive(Default)]
pub(crate) struct Symbols {
    entries: Vec<Entry>,
    by_text: HashTable<u32>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Entry {
    text: Box<str>,
    references: u32,
}

/// The table of strings grows by a quarter, to have little slack.
const GROWTH_DIVISOR: usize = 4;

fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

impl Symbols {
    /// How many different strings there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_text.len()
    }

    /// The string with this number; empty for a number that is not in use.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> &str {
        self.entries.get(id as usize).map_or("", |e| &e.text)
    }

    /// The number of a string, if it is interned.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.by_text.find(hash(text), |id| self.get(*id) == text).copied()
    }

    /// Interns a string and counts one more reference to it.
    pub(crate) fn acquire(&mut self, text: &str) -> u32 {
        let hash_of_text = hash(text);
        let entries = &mut self.entries;
        if let Some(id) = self.by_text.find(hash_of_text, |id| *entries[*id as usize].text == *text) {
            entries[*id as usize].references += 1;
            return *id;
        }
        let entry = Entry { text: text.into(), references: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                entries[id as usize] = entry;
                id
            }
            None => {
                if entries.len() == entries.capacity() {
                    entries.reserve_exact(entries.len() / GROWTH_DIVISOR + 16);
                }
                entries.push(entry);
                (entries.len() - 1) as u32
            }
        };
        self.by_text.insert_unique(hash_of_text, id, |id| hash(&entries[*id as usize].text));
        id
    }

    /// Counts one reference less; the string goes with the last one.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(entry) = self.entries.get_mut(id as usize).filter(|e| e.references > 0) else { return };
        entry.references -= 1;
        if entry.references == 0 {
            if let Ok(found) = self.by_text.find_entry(hash(&entry.text), |other| *other == id) {
                found.remove();
            }
            *entry = Entry::default();
            self.free.push(id);
        }
    }
}
