//! Remote write 2.0.

use bytes::Bytes;
use hashbrown::HashMap;
use model::SeriesHash;
use model::hash::push_canonical_label;
use proto::{RejectReason, SymbolTable, Version};
use wire::protobuf::{put_varint, varint_len};
use wire::{WireError, rw2};

use super::canonical::{Canonical, Span};
use super::labels::{QuickCheck, RawLabel, USUAL_LABELS, prefix, show};
use super::rewrite::Decision;
use super::tail::Tail;
use super::{Refusal, Walker, malformed};
use crate::error::WriteError;

/// The most symbols of a request.
const MAX_SYMBOLS: usize = 4_000_000;

pub(super) fn walk(walker: &mut Walker<'_>) -> Result<(), WriteError> {
    let body = walker.body;
    let mut symbols = Symbols::read(body)?;
    let mut canonical = Canonical::new();
    for field in rw2::request(body) {
        let field = field.map_err(|source| malformed(Version::V2, source))?;
        if let rw2::RequestField::TimeSeries { start, body } = field {
            walker
                .series_v2(&mut symbols, &mut canonical, start, body)
                .map_err(|error| error.shifted(start))?;
        }
    }
    walker.plan.symbols = symbols.into_table(body);
    Ok(())
}

/// The symbols of the request at hand.
struct Symbols<'a> {
    body: &'a [u8],
    spans: Vec<Span>,
    /// The first bytes of each, as names are compared by.
    prefixes: Vec<u64>,
    /// Whether all of them are known to be UTF-8.
    all_utf8: bool,
    /// Those that rewrites added, with their references.
    added: HashMap<Bytes, u32>,
    added_in_order: Vec<Bytes>,
}

impl<'a> Symbols<'a> {
    fn read(body: &'a [u8]) -> Result<Self, WriteError> {
        let (mut spans, mut prefixes) = (Vec::new(), Vec::new());
        let (mut first, mut last, mut adjacent) = (0, 0, true);
        for field in rw2::request(body) {
            let field = field.map_err(|source| malformed(Version::V2, source))?;
            let rw2::RequestField::Symbol { start, text } = field else {
                continue;
            };
            if spans.len() == MAX_SYMBOLS {
                return Err(WriteError::TooManySymbols { max: MAX_SYMBOLS });
            }
            let tag_and_length = 1 + varint_len(text.len() as u64);
            match spans.is_empty() {
                true => first = start,
                false => adjacent &= start == last + tag_and_length,
            }
            last = start + text.len();
            spans.push((start as u32, text.len() as u32));
            prefixes.push(prefix(text));
        }
        let texts = body.get(first..last).unwrap_or_default();
        let (added, added_in_order) = (HashMap::new(), Vec::new());
        let mut symbols = Self { body, spans, prefixes, all_utf8: false, added, added_in_order };
        // As with labels: where nothing but tags and lengths lies between texts, all of them are UTF-8 if the whole is;
        // lengths of 128 and more are not, and then the texts are looked at one by one.
        symbols.all_utf8 = (adjacent && is_utf8(texts))
            || symbols.spans.iter().all(|span| symbols.text(*span).is_some_and(is_utf8));
        Ok(symbols)
    }

    #[inline]
    fn text(&self, (start, len): Span) -> Option<&'a [u8]> {
        self.body.get(start as usize..)?.get(..len as usize)
    }

    #[inline]
    fn get(&self, reference: u32) -> Option<&'a [u8]> {
        self.text(*self.spans.get(reference as usize)?)
    }

    /// The reference of a text that the request may not have.
    fn add(&mut self, text: &str) -> u32 {
        let next = (self.spans.len() + self.added_in_order.len()) as u32;
        if let Some(reference) = self.added.get(text.as_bytes()) {
            return *reference;
        }
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.added.insert(text.clone(), next);
        self.added_in_order.push(text);
        next
    }

    fn into_table(self, body: &Bytes) -> SymbolTable {
        let mut table =
            SymbolTable::new(body.clone(), self.spans).expect("the spans come from the walk over this body");
        for text in self.added_in_order {
            table.add(text);
        }
        table
    }
}

impl Walker<'_> {
    #[inline]
    fn series_v2(
        &mut self,
        symbols: &mut Symbols<'_>,
        canonical: &mut Canonical,
        start: usize,
        body: &[u8],
    ) -> Result<(), WriteError> {
        let Some(position) = self.quick_labels_v2(symbols, canonical, body) else {
            return self.slow_v2(symbols, start, body);
        };
        let tail =
            Tail::of_v2(body, position, self.latest_ms).map_err(|source| malformed(Version::V2, source))?;
        if tail.has_labels || !tail.future.is_empty() {
            return self.slow_v2(symbols, start, body);
        }
        self.plan.received += tail.content.into();
        if !tail.has_nothing_to_store() {
            let hash = SeriesHash::of_canonical(self.context.seed, canonical.bytes());
            self.forward(hash, start, body.len(), tail.content);
        }
        Ok(())
    }

    /// Makes the canonical bytes of a series whose labels are right as they are; where its label references end.
    #[inline]
    fn quick_labels_v2(
        &self,
        symbols: &Symbols<'_>,
        canonical: &mut Canonical,
        body: &[u8],
    ) -> Option<usize> {
        if self.rewrite_all || !symbols.all_utf8 {
            return None;
        }
        let mut fields = rw2::series(body);
        let Some(Ok(rw2::SeriesField::LabelRefs(mut refs))) = fields.next() else {
            return None;
        };
        let mut check = QuickCheck::new(self.context.limits);
        canonical.clear();
        while let Some(name) = refs.next() {
            let name_ref = name.ok()? as usize;
            let (name, prefix) = (*symbols.spans.get(name_ref)?, *symbols.prefixes.get(name_ref)?);
            let value = *symbols.spans.get(refs.next()?.ok()? as usize)?;
            if !check.accepts_prefixed(symbols.text(name)?, prefix, value.1 as usize) {
                return None;
            }
            canonical.push(symbols.body, name, value)?;
        }
        check.accepts_all().then_some(fields.position())
    }

    #[inline(never)]
    fn slow_v2(&mut self, symbols: &mut Symbols<'_>, start: usize, body: &[u8]) -> Result<(), WriteError> {
        let read = |source: WireError| malformed(Version::V2, source);
        let tail = Tail::of_v2(body, 0, self.latest_ms).map_err(read)?;
        self.plan.received += tail.content.into();
        let mut refs = Vec::with_capacity(2 * USUAL_LABELS);
        for field in rw2::series(body) {
            if let rw2::SeriesField::LabelRefs(more) = field.map_err(read)? {
                for reference in more {
                    refs.push(reference.map_err(read)?);
                }
            }
        }
        let raw = match resolve(symbols, &refs, start) {
            Ok(raw) => raw,
            Err(refusal) => {
                self.refuse(tail.content.into(), refusal);
                return Ok(());
            }
        };
        let prepared = match self.decide(&raw) {
            Decision::Store(prepared) => prepared,
            other => {
                self.leave_out(other, &tail);
                return Ok(());
            }
        };
        let pairs = prepared.pairs();
        if !tail.future.is_empty() {
            self.refuse_future(tail.future, tail.newest_ms, &show(pairs.iter().copied()));
        }
        if tail.kept().is_empty() && !tail.has_metadata {
            return Ok(());
        }
        self.canonical.clear();
        let (mut packed, mut unchanged) = (Vec::with_capacity(4 * USUAL_LABELS), pairs.len() == raw.len());
        for (i, (name, value)) in pairs.iter().enumerate() {
            push_canonical_label(&mut self.canonical, name.as_bytes(), value.as_bytes());
            unchanged &= raw.get(i) == Some(&(name.as_bytes(), value.as_bytes()));
            for text in [name, value] {
                put_varint(&mut packed, u64::from(reference(symbols, &raw, &refs, text)));
            }
        }
        if unchanged && tail.future.is_empty() {
            let hash = SeriesHash::of_canonical(self.context.seed, &self.canonical);
            self.forward(hash, start, body.len(), tail.content);
            return Ok(());
        }
        self.rewrite(Version::V2, &packed, body, &tail)
    }
}

fn is_utf8(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

/// The labels that references stand for.
fn resolve<'a>(symbols: &Symbols<'a>, refs: &[u32], start: usize) -> Result<Vec<RawLabel<'a>>, Refusal> {
    let refuse = |what: String| Refusal {
        reason: RejectReason::Malformed,
        message: format!("the series at byte {start}: {what}"),
    };
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(refuse(format!(
            "labels_refs has {} entries; names and values come in pairs",
            refs.len()
        )));
    }
    let text = |reference: u32| {
        symbols.get(reference).ok_or_else(|| {
            refuse(format!(
                "labels_refs points to symbol {reference}, but the request has {} symbols",
                symbols.spans.len()
            ))
        })
    };
    pairs.iter().map(|&[name, value]| Ok((text(name)?, text(value)?))).collect()
}

/// The reference of a text: the series' own, if it was sent with the text.
fn reference(symbols: &mut Symbols<'_>, raw: &[RawLabel<'_>], refs: &[u32], text: &str) -> u32 {
    let sent = raw.iter().flat_map(|(name, value)| [*name, *value]);
    let own = sent.zip(refs).find(|(sent, _)| *sent == text.as_bytes());
    match own {
        Some((_, reference)) => *reference,
        None => symbols.add(text),
    }
}
