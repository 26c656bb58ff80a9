//! Remote write 1.0 (`prometheus.WriteRequest`), walked in place.
//!
//! Source: the Remote-Write 1.0 specification and its protobuf definitions.

use crate::WireError;
use crate::protobuf::{Field, Fields, varint};
use crate::sample::{self, Sample};

/// One field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestField<'a> {
    /// A `TimeSeries` message: see [`series`].
    TimeSeries {
        /// Where `body` begins in the request.
        start: usize,
        /// The message, without tag and length.
        body: &'a [u8],
    },
    /// A `MetricMetadata` message: see [`metadata`].
    Metadata {
        /// Where `body` begins in the request.
        start: usize,
        /// The message, without tag and length.
        body: &'a [u8],
    },
}

/// The series and metadata of a request, in order. Ends after the first error.
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
                1 => {
                    let body = field.bytes()?;
                    let start = field.end - body.len();
                    Some(RequestField::TimeSeries { start, body })
                }
                3 => {
                    let body = field.bytes()?;
                    let start = field.end - body.len();
                    Some(RequestField::Metadata { start, body })
                }
                _ => None,
            })
        })
    }
}

/// A label as it was sent: neither checked to be UTF-8 nor to be there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// One field of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeriesField<'a> {
    /// A label.
    Label(Label<'a>),
    /// A float sample.
    Sample(Sample),
    /// An `Exemplar` message: see [`exemplar`].
    Exemplar(&'a [u8]),
    /// A `Histogram` message: see [`crate::histogram::decode`].
    Histogram(&'a [u8]),
}

/// The labels, samples, exemplars and histograms of a `TimeSeries` message, in order. Ends after the first error.
#[inline]
pub fn series(body: &[u8]) -> Series<'_> {
    Series { fields: Fields::new(body) }
}

/// What is left of a `TimeSeries` message behind its [`LeadingLabels`], or from any other beginning of a field.
#[inline]
pub fn series_from(body: &[u8], position: usize) -> Series<'_> {
    Series { fields: Fields::starting_at(body, position) }
}

/// Made by [`series`].
#[derive(Debug, Clone)]
pub struct Series<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Series<'a> {
    type Item = Result<SeriesField<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.fields.next_known(|field| {
            Ok(match field.number {
                1 => Some(SeriesField::Label(label(field)?)),
                2 => Some(SeriesField::Sample(within(field, sample::decode)?)),
                3 => Some(SeriesField::Exemplar(field.bytes()?)),
                4 => Some(SeriesField::Histogram(field.bytes()?)),
                _ => None,
            })
        })
    }
}

/// Reads the message inside a field; errors count from where the field's own message begins.
#[inline]
pub(crate) fn within<'a, T>(
    field: &Field<'a>,
    read: impl Fn(&'a [u8]) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let body = field.bytes()?;
    read(body).map_err(|error| error.shifted(field.end - body.len()))
}

fn label<'a>(field: &Field<'a>) -> Result<Label<'a>, WireError> {
    within(field, |body| {
        let mut label = Label { name: &[], value: &[] };
        for field in Fields::new(body) {
            let field = field?;
            match field.number {
                1 => label.name = field.bytes()?,
                2 => label.value = field.bytes()?,
                _ => {}
            }
        }
        Ok(label)
    })
}

/// The labels at the beginning of a `TimeSeries` message, for as long as each is encoded canonically (name, value,
/// nothing else, shortest lengths, neither empty): the form in which [`model::hash`] hashes them.
///
/// Where it ends, [`LeadingLabels::position`] tells how far it came: if the labels were sorted and no further label
/// follows, the bytes before that position are the series' canonical bytes.
#[derive(Debug, Clone)]
pub struct LeadingLabels<'a> {
    body: &'a [u8],
    position: usize,
}

/// See [`LeadingLabels`].
#[inline]
pub fn leading_labels(body: &[u8]) -> LeadingLabels<'_> {
    LeadingLabels { body, position: 0 }
}

impl<'a> LeadingLabels<'a> {
    /// Where the label that [`Iterator::next`] would read begins.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    #[inline]
    fn read(&self) -> Option<(Label<'a>, usize)> {
        let mut position = self.position;
        let len = self.tagged_len(0x0a, &mut position)?;
        let end = position.checked_add(len)?;
        let name_len = self.tagged_len(0x0a, &mut position)?;
        let name = self.take(&mut position, name_len)?;
        let value_len = self.tagged_len(0x12, &mut position)?;
        let value = self.take(&mut position, value_len)?;
        (position == end && !name.is_empty() && !value.is_empty()).then_some((Label { name, value }, end))
    }

    /// A tag of one byte and a shortest varint behind it.
    #[inline]
    fn tagged_len(&self, tag: u8, position: &mut usize) -> Option<usize> {
        match *self.body.get(*position..)? {
            [found, len, ..] if found == tag && len < 0x80 => {
                *position += 2;
                Some(usize::from(len))
            }
            [found, ..] if found == tag => {
                *position += 1;
                let start = *position;
                let len = varint(self.body, position).ok()?;
                let shortest = crate::protobuf::varint_len(len) == *position - start;
                shortest.then_some(usize::try_from(len).ok()?)
            }
            _ => None,
        }
    }

    #[inline]
    fn take(&self, position: &mut usize, len: usize) -> Option<&'a [u8]> {
        let bytes = self.body.get(*position..position.checked_add(len)?)?;
        *position += len;
        Some(bytes)
    }
}

impl<'a> Iterator for LeadingLabels<'a> {
    type Item = Label<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (label, end) = self.read()?;
        self.position = end;
        Some(label)
    }
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
    /// Its own labels, as they were sent.
    pub fn labels(&self) -> impl Iterator<Item = Label<'a>> + use<'a> {
        // The whole message has been walked without an error when this exemplar was made.
        Fields::new(self.body)
            .flatten()
            .filter(|field| field.number == 1)
            .filter_map(|field| label(&field).ok())
    }
}

/// Reads an `Exemplar` message: 1 labels, 2 value, 3 timestamp.
pub fn exemplar(body: &[u8]) -> Result<Exemplar<'_>, WireError> {
    let mut exemplar = Exemplar { value: 0.0, timestamp_ms: 0, body };
    for field in Fields::new(body) {
        let field = field?;
        match field.number {
            1 => drop(label(&field)?),
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok(exemplar)
}

/// Metadata of a metric family, as it was sent: texts are not checked to be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// The number of its type: see [`model::MetricType::from_wire`].
    pub metric_type: u64,
    /// The family's name.
    pub family: &'a [u8],
    /// The help text.
    pub help: &'a [u8],
    /// The unit.
    pub unit: &'a [u8],
}

/// Reads a `MetricMetadata` message: 1 type, 2 family, 4 help, 5 unit.
pub fn metadata(body: &[u8]) -> Result<Metadata<'_>, WireError> {
    let mut metadata = Metadata::default();
    for field in Fields::new(body) {
        let field = field?;
        match field.number {
            1 => metadata.metric_type = field.varint()?,
            2 => metadata.family = field.bytes()?,
            4 => metadata.help = field.bytes()?,
            5 => metadata.unit = field.bytes()?,
            _ => {}
        }
    }
    Ok(metadata)
}
