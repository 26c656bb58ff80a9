//! Remote write 2.0 (`io.prometheus.write.v2.Request`), walked in place.
//!
//! Source: the Remote-Write 2.0 specification and its protobuf definitions.

use crate::WireError;
use crate::protobuf::{Field, FieldValue, Fields, varint};
use crate::rw1::within;
use crate::sample::{self, Sample};

/// One field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestField<'a> {
    /// A symbol; its index is how many came before it.
    Symbol {
        /// Where `text` begins in the request.
        start: usize,
        /// The symbol, not checked to be UTF-8.
        text: &'a [u8],
    },
    /// A `TimeSeries` message: see [`series`].
    TimeSeries {
        /// Where `body` begins in the request.
        start: usize,
        /// The message, without tag and length.
        body: &'a [u8],
    },
}

/// The symbols and series of a request, in order. Ends after the first error.
pub fn request(message: &[u8]) -> Request<'_> {
    Request(Fields::new(message))
}

/// Made by [`request`].
#[derive(Debug, Clone)]
pub struct Request<'a>(Fields<'a>);

impl<'a> Iterator for Request<'a> {
    type Item = Result<RequestField<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_known(|field| {
            Ok(match field.number {
                4 => {
                    let text = field.bytes()?;
                    let start = field.end - text.len();
                    Some(RequestField::Symbol { start, text })
                }
                5 => {
                    let body = field.bytes()?;
                    let start = field.end - body.len();
                    Some(RequestField::TimeSeries { start, body })
                }
                _ => None,
            })
        })
    }
}

/// References to symbols: `repeated uint32`, packed.
#[derive(Debug, Clone)]
pub struct Refs<'a> {
    packed: &'a [u8],
    position: usize,
}

impl<'a> Refs<'a> {
    /// The references in a run of varints.
    #[inline]
    pub fn new(packed: &'a [u8]) -> Self {
        Self { packed, position: 0 }
    }
}

impl Iterator for Refs<'_> {
    type Item = Result<u32, WireError>;

    /// A number that does not fit 32 bits becomes the largest that does, which no table of symbols has.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.packed.len() {
            return None;
        }
        let number = varint(self.packed, &mut self.position);
        if number.is_err() {
            self.position = self.packed.len();
        }
        Some(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    }
}

/// Metadata of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataRefs {
    /// The number of its type: see [`model::MetricType::from_wire`].
    pub metric_type: u64,
    /// The symbol that is the help text.
    pub help_ref: u32,
    /// The symbol that is the unit.
    pub unit_ref: u32,
}

/// One field of a series.
#[derive(Debug, Clone)]
pub enum SeriesField<'a> {
    /// References of label names and values by turns. A series may have several such fields, one behind the other.
    LabelRefs(Refs<'a>),
    /// A float sample.
    Sample(Sample),
    /// A `Histogram` message: see [`crate::histogram::decode`].
    Histogram(&'a [u8]),
    /// An `Exemplar` message: see [`exemplar`].
    Exemplar(&'a [u8]),
    /// Metadata.
    Metadata(MetadataRefs),
    /// When counting began, in milliseconds since the Unix epoch, as senders before the final specification gave it
    /// for the whole series.
    CreatedTimestamp(i64),
}

/// The fields of a `TimeSeries` message, in order. Ends after the first error.
#[inline]
pub fn series(body: &[u8]) -> Series<'_> {
    Series(Fields::new(body))
}

/// What is left of a `TimeSeries` message from a field that begins at `position`.
#[inline]
pub fn series_from(body: &[u8], position: usize) -> Series<'_> {
    Series(Fields::starting_at(body, position))
}

/// Made by [`series`].
#[derive(Debug, Clone)]
pub struct Series<'a>(Fields<'a>);

impl<'a> Series<'a> {
    /// Where the next field begins.
    #[inline]
    pub fn position(&self) -> usize {
        self.0.position()
    }
}

impl<'a> Iterator for Series<'a> {
    type Item = Result<SeriesField<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let message = self.0.message();
        self.0.next_known(|field| {
            Ok(match field.number {
                1 => Some(SeriesField::LabelRefs(Refs::new(packed_refs(message, field)?))),
                2 => Some(SeriesField::Sample(within(field, sample::decode)?)),
                3 => Some(SeriesField::Histogram(field.bytes()?)),
                4 => Some(SeriesField::Exemplar(field.bytes()?)),
                5 => Some(SeriesField::Metadata(within(field, metadata)?)),
                6 => Some(SeriesField::CreatedTimestamp(field.int64()?)),
                _ => None,
            })
        })
    }
}

/// The varints of a repeated number, packed or not.
#[inline]
fn packed_refs<'a>(message: &'a [u8], field: &Field<'a>) -> Result<&'a [u8], WireError> {
    match field.value {
        FieldValue::Bytes(packed) => Ok(packed),
        // Not packed: tag and number are two varints; the number alone is a packed run of one.
        FieldValue::Varint(_) => {
            let mut position = field.start;
            varint(message, &mut position)?;
            Ok(message.get(position..field.end).unwrap_or_default())
        }
        _ => Err(field.wrong_type("2 (packed varints)")),
    }
}

/// What nearly every series has behind its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsualTail {
    /// Its only sample.
    pub sample: Sample,
    /// Its metadata, if it has some.
    pub metadata: Option<MetadataRefs>,
}

/// Reads what is left of a `TimeSeries` message from `position`, where that is one float and perhaps metadata behind it,
/// written as senders write them. Where there is anything else, or anything wrong, there is no answer: then
/// [`series_from`] has to look.
#[inline]
pub fn usual_tail(body: &[u8], position: usize) -> Option<UsualTail> {
    let (sample, rest) = short_field(body.get(position..)?, 2 << 3 | 2)?;
    let sample = sample::decode_usual(sample)?;
    if rest.is_empty() {
        return Some(UsualTail { sample, metadata: None });
    }
    let (encoded, rest) = short_field(rest, 5 << 3 | 2)?;
    let mut metadata = MetadataRefs::default();
    let mut position = 0;
    while let Some(tag) = encoded.get(position) {
        position += 1;
        let number = varint(encoded, &mut position).ok()?;
        match tag >> 3 {
            1 if tag & 7 == 0 => metadata.metric_type = number,
            3 if tag & 7 == 0 => metadata.help_ref = u32::try_from(number).ok()?,
            4 if tag & 7 == 0 => metadata.unit_ref = u32::try_from(number).ok()?,
            _ => return None,
        }
    }
    rest.is_empty().then_some(UsualTail { sample, metadata: Some(metadata) })
}

/// The field of fewer than 128 bytes that `message` begins with, if it has this tag, and what is behind it.
#[inline]
fn short_field(message: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    match message {
        [found, len, rest @ ..] if *found == tag && *len < 0x80 => rest.split_at_checked(usize::from(*len)),
        _ => None,
    }
}

fn metadata(body: &[u8]) -> Result<MetadataRefs, WireError> {
    let mut metadata = MetadataRefs::default();
    for field in Fields::new(body) {
        let field = field?;
        let reference = || field.varint().map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        match field.number {
            1 => metadata.metric_type = field.varint()?,
            3 => metadata.help_ref = reference()?,
            4 => metadata.unit_ref = reference()?,
            _ => {}
        }
    }
    Ok(metadata)
}

/// An exemplar.
#[derive(Debug, Clone)]
pub struct Exemplar<'a> {
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    body: &'a [u8],
}

impl<'a> Exemplar<'a> {
    /// References of its own labels' names and values by turns.
    pub fn label_refs(&self) -> impl Iterator<Item = u32> + use<'a> {
        let body = self.body;
        // The whole message has been walked without an error when this exemplar was made.
        Fields::new(body)
            .flatten()
            .filter(|field| field.number == 1)
            .filter_map(move |field| packed_refs(body, &field).ok())
            .flat_map(|packed| Refs::new(packed).flatten())
    }
}

/// Reads an `Exemplar` message: 1 label references, 2 value, 3 timestamp.
pub fn exemplar(body: &[u8]) -> Result<Exemplar<'_>, WireError> {
    let mut exemplar = Exemplar { value: 0.0, timestamp_ms: 0, body };
    for field in Fields::new(body) {
        let field = field?;
        match field.number {
            1 => Refs::new(packed_refs(body, &field)?).try_for_each(|reference| reference.map(drop))?,
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok(exemplar)
}
