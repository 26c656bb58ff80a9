//! Tables of symbols on the way to one ingester: the symbols that its series refer to, under their old numbers.

use bytes::Bytes;
use proto::ingester::Symbols;
use proto::{Error, Frame, SeriesBatch, SymbolTable};
use wire::WireError;
use wire::rw2::{self, RequestField, SeriesField};

use super::malformed;

/// A table may be this many times as long as the list of symbols that are sent of it, ...
const MAX_SPARSENESS: usize = 16;
/// ... and this much more. A table that is longer is sent with fill, so that no small message makes a large table.
const FREE_SYMBOLS: usize = 4096;

/// The symbols that some series of a batch refer to.
pub(super) fn pick(batch: &SeriesBatch, frames: &[Frame]) -> Result<Symbols, Error> {
    let table = &batch.symbols;
    let used = used(batch, frames).map_err(|error| malformed(&error.to_string()))?;
    let sent = used.iter().filter(|used| **used).count();
    let all = table.len() > most_symbols(sent);
    let mut symbols = Symbols { count: table.len() as u32, ..Symbols::default() };
    let mut text = Vec::new();
    for (index, used) in used.into_iter().enumerate() {
        let Some(symbol) = table.get(index as u32).filter(|_| used || all) else { continue };
        symbols.indexes.push(index as u32);
        symbols.lengths.push(symbol.len() as u32);
        text.extend_from_slice(symbol);
    }
    symbols.text = text.into();
    Ok(symbols)
}

/// The table of which a part was sent. Symbols that were not sent are empty.
pub(super) fn table(symbols: &Symbols) -> Result<SymbolTable, Error> {
    let count = symbols.count as usize;
    if symbols.indexes.len() != symbols.lengths.len() || count > most_symbols(symbols.indexes.len()) {
        return Err(malformed("a table of symbols that contradicts itself"));
    }
    let mut spans = vec![(0, 0); count];
    let mut start = 0_u32;
    for (&index, &length) in symbols.indexes.iter().zip(&symbols.lengths) {
        let span = spans.get_mut(index as usize).ok_or_else(|| malformed("a symbol outside its table"))?;
        *span = (start, length);
        start = start.checked_add(length).ok_or_else(|| malformed("symbols longer than 4 GiB"))?;
    }
    let text = Bytes::clone(&symbols.text);
    SymbolTable::new(text, spans).ok_or_else(|| malformed("symbols longer than their text"))
}

fn most_symbols(sent: usize) -> usize {
    sent.saturating_mul(MAX_SPARSENESS).saturating_add(FREE_SYMBOLS)
}

/// The table of a whole request.
pub(super) fn of_request(request: &Bytes) -> Result<SymbolTable, Error> {
    let mut spans = Vec::new();
    for field in rw2::request(request) {
        let field = field.map_err(|error| malformed(&error.to_string()))?;
        if let RequestField::Symbol { start, text } = field {
            spans.push((start as u32, text.len() as u32));
        }
    }
    SymbolTable::new(request.clone(), spans).ok_or_else(|| malformed("symbols outside their request"))
}

/// Which symbols the series refer to.
fn used(batch: &SeriesBatch, frames: &[Frame]) -> Result<Vec<bool>, WireError> {
    let mut used = vec![false; batch.symbols.len()];
    let mut mark = |reference: u32| {
        if let Some(used) = used.get_mut(reference as usize) {
            *used = true;
        }
    };
    for frame in frames {
        for field in rw2::series(batch.body(frame).unwrap_or_default()) {
            match field? {
                SeriesField::LabelRefs(references) => {
                    for reference in references {
                        mark(reference?);
                    }
                }
                SeriesField::Exemplar(body) => rw2::exemplar(body)?.label_refs().for_each(&mut mark),
                SeriesField::Metadata(metadata) => {
                    mark(metadata.help_ref);
                    mark(metadata.unit_ref);
                }
                SeriesField::Sample(_) | SeriesField::Histogram(_) | SeriesField::CreatedTimestamp(_) => {}
            }
        }
    }
    Ok(used)
}
