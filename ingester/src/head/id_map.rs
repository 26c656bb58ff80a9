//! Series by number: an array in pages, so that numbers of released series cost nothing.

use std::sync::Arc;

use crate::head::series::Series;

const PAGE_SERIES: usize = 256;

/// Series by their number within the tenant.
#[derive(Default)]
pub(crate) struct IdMap {
    pages: Vec<Option<Page>>,
    len: usize,
}

struct Page {
    slots: Box<[Option<Arc<Series>>; PAGE_SERIES]>,
    used: usize,
}

impl Page {
    fn new() -> Self {
        Self { slots: Box::new([const { None }; PAGE_SERIES]), used: 0 }
    }
}

fn place(id: u32) -> (usize, usize) {
    (id as usize / PAGE_SERIES, id as usize % PAGE_SERIES)
}

impl IdMap {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&Arc<Series>> {
        let (page, slot) = place(id);
        self.pages.get(page)?.as_ref()?.slots[slot].as_ref()
    }

    /// Puts a series at its number, and returns what was there.
    pub(crate) fn insert(&mut self, series: Arc<Series>) -> Option<Arc<Series>> {
        let (page, slot) = place(series.id);
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(Page::new);
        let previous = page.slots[slot].replace(series);
        if previous.is_none() {
            page.used += 1;
            self.len += 1;
        }
        previous
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Arc<Series>> {
        let (number, slot) = place(id);
        let entry = self.pages.get_mut(number)?;
        let page = entry.as_mut()?;
        let removed = page.slots[slot].take()?;
        page.used -= 1;
        self.len -= 1;
        if page.used == 0 {
            *entry = None;
        }
        Some(removed)
    }

    /// The series with numbers in `ids`, at most one page of numbers a call: the next number to go on from, or `None`
    /// at the end. Lets a long walk give up its lock now and then.
    pub(crate) fn page_from(&self, first: u32, out: &mut Vec<Arc<Series>>) -> Option<u32> {
        let (mut number, _) = place(first);
        while number < self.pages.len() {
            if let Some(page) = &self.pages[number] {
                out.extend(page.slots.iter().flatten().filter(|s| s.id >= first).cloned());
                return u32::try_from((number + 1) * PAGE_SERIES).ok();
            }
            number += 1;
        }
        None
    }
}
