//! Which series have which label pair: for every pair a sorted list of series numbers.
//!
//! A label pair costs 8 bytes in a table of its name, and most pairs of a tenant have one series (names of pods, IDs),
//! whose number stands there itself. Longer lists are plain numbers, 4 bytes a series, which can be lent as they are.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::index::LabelIds;
use crate::index::numbers::{insert_sorted, subtract};

/// The postings of one tenant's head.
#[derive(Default)]
pub(crate) struct Postings {
    names: HashTable<Label>,
    lists: Lists,
    /// All series, sorted.
    all: Vec<u32>,
}

/// One label name.
struct Label {
    name: u32,
    values: HashTable<Value>,
    /// How many series have the label.
    series: usize,
}

/// One value of a label. Numbers of symbols are less than 2^31, since that many would not fit the memory, so that the
/// highest bit is free.
struct Value {
    /// The value's number; with [`SEVERAL`] where it has several series.
    value: u32,
    /// The only series, or where in [`Lists`] they are.
    series: u32,
}

const SEVERAL: u32 = 1 << 31;

impl Value {
    fn id(&self) -> u32 {
        self.value & !SEVERAL
    }

    fn list(&self) -> Option<usize> {
        (self.value & SEVERAL != 0).then_some(self.series as usize)
    }
}

/// Lists of several series; places of lists that are gone are used again.
#[derive(Default)]
struct Lists {
    lists: Vec<Vec<u32>>,
    free: Vec<u32>,
}

impl Lists {
    fn get<'a>(&'a self, value: &'a Value) -> &'a [u32] {
        match value.list() {
            Some(place) => self.lists.get(place).map_or(&[], Vec::as_slice),
            None => std::slice::from_ref(&value.series),
        }
    }

    fn insert(&mut self, value: &mut Value, id: u32) {
        if let Some(place) = value.list() {
            if let Some(list) = self.lists.get_mut(place) {
                insert_sorted(list, id);
            }
            return;
        }
        let mut list = Vec::with_capacity(4);
        insert_sorted(&mut list, value.series);
        insert_sorted(&mut list, id);
        *value = Value { value: value.value | SEVERAL, series: self.add(list) };
    }

    fn add(&mut self, list: Vec<u32>) -> u32 {
        if let Some(place) = self.free.pop() {
            if let Some(free) = self.lists.get_mut(place as usize) {
                *free = list;
            }
            return place;
        }
        if self.lists.len() == self.lists.capacity() {
            self.lists.reserve_exact(self.lists.len() / 4 + 16);
        }
        self.lists.push(list);
        (self.lists.len() - 1) as u32
    }

    /// Leaves `gone` (sorted) out; `false` where nothing remains.
    fn remove(&mut self, value: &mut Value, gone: &[u32]) -> bool {
        let Some(place) = value.list() else {
            return gone.binary_search(&value.series).is_err();
        };
        let Some(list) = self.lists.get_mut(place) else { return false };
        subtract(list, gone);
        if let [] | [_] = list[..] {
            let left = list.first().copied();
            *list = Vec::new();
            self.free.push(value.series);
            *value = Value { value: value.id(), series: left.unwrap_or_default() };
            return left.is_some();
        }
        if list.capacity() > list.len() + list.len() / 2 + 4 {
            list.shrink_to_fit();
        }
        true
    }
}

/// Spreads a symbol's number over all bits, as the tables want it.
fn hash(number: u32) -> u64 {
    let product = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

impl Postings {
    /// Adds a series that is not there yet.
    pub(crate) fn add(&mut self, id: u32, labels: &LabelIds) {
        insert_sorted(&mut self.all, id);
        for (name, value) in labels.iter() {
            let entry = self.names.entry(hash(name), |label| label.name == name, |label| hash(label.name));
            let label =
                entry.or_insert_with(|| Label { name, values: HashTable::new(), series: 0 }).into_mut();
            label.series += 1;
            match label.values.entry(hash(value), |v| v.id() == value, |v| hash(v.id())) {
                Entry::Occupied(known) => self.lists.insert(known.into_mut(), id),
                Entry::Vacant(new) => drop(new.insert(Value { value, series: id })),
            }
        }
    }

    /// Removes series: `gone` is sorted, `labels` are all of theirs.
    pub(crate) fn remove<'a>(&mut self, gone: &[u32], labels: impl IntoIterator<Item = &'a LabelIds>) {
        subtract(&mut self.all, gone);
        let mut pairs: Vec<(u32, u32)> = labels.into_iter().flat_map(LabelIds::iter).collect();
        pairs.sort_unstable();
        for of_name in pairs.chunk_by(|a, b| a.0 == b.0) {
            self.remove_values(gone, of_name);
        }
    }

    /// Removes series from the lists of one name's values, each as often as it has a series that goes.
    fn remove_values(&mut self, gone: &[u32], pairs: &[(u32, u32)]) {
        let Some((name, _)) = pairs.first() else { return };
        let Ok(mut label) = self.names.find_entry(hash(*name), |label| label.name == *name) else { return };
        let Label { values, series, .. } = label.get_mut();
        *series = series.saturating_sub(pairs.len());
        for of_value in pairs.chunk_by(|a, b| a == b) {
            let Some((_, value)) = of_value.first() else { continue };
            let Ok(mut entry) = values.find_entry(hash(*value), |v| v.id() == *value) else { continue };
            if !self.lists.remove(entry.get_mut(), gone) {
                entry.remove();
            }
        }
        if values.is_empty() {
            label.remove();
        } else if values.len() < values.capacity() / 4 {
            values.shrink_to_fit(|v| hash(v.id()));
        }
    }

    fn label(&self, name: u32) -> Option<&Label> {
        self.names.find(hash(name), |label| label.name == name)
    }

    /// All series.
    pub(crate) fn all(&self) -> &[u32] {
        &self.all
    }

    /// Whether all series have this label.
    pub(crate) fn have_all(&self, name: u32) -> bool {
        self.label(name).is_some_and(|label| label.series == self.all.len())
    }

    /// The series with this label pair.
    pub(crate) fn with(&self, name: u32, value: u32) -> &[u32] {
        let found = self.label(name).and_then(|label| label.values.find(hash(value), |v| v.id() == value));
        found.map_or(&[], |value| self.lists.get(value))
    }

    /// The values of a label and the series that have each, in no order.
    pub(crate) fn values(&self, name: u32) -> impl Iterator<Item = (u32, &[u32])> {
        let values = self.label(name).into_iter().flat_map(|label| &label.values);
        values.map(|value| (value.id(), self.lists.get(value)))
    }

    /// The names of all labels, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = u32> {
        self.names.iter().map(|label| label.name)
    }

    /// Bytes of heap that the postings occupy.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let lists = self.lists.lists.iter().map(Vec::capacity).sum::<usize>() + self.all.capacity();
        let tables: usize = self.names.iter().map(|label| label.values.allocation_size()).sum();
        lists * size_of::<u32>()
            + self.lists.lists.capacity() * size_of::<Vec<u32>>()
            + self.names.allocation_size()
            + tables
    }
}
