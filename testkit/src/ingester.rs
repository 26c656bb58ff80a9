//! An ingester that keeps what it gets in plain maps, and refuses what a real one has to refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Exemplar, Labels, SeriesHash, TenantId, TenantSeed, Value};
use parking_lot::Mutex;
use proto::{
    Code, Error, Frame, IngesterWrite, MetadataEntry, PushRequest, PushResponse, RejectReason, Rejection,
    SeriesBatch, Version, Written,
};
use wire::{histogram, rw1, rw2};

/// What the ingester does with pushes.
#[derive(Debug, Clone, Default)]
pub enum Behaviour {
    /// Stores them.
    #[default]
    Store,
    /// Fails with this error.
    Fail(Error),
    /// Never answers.
    Hang,
    /// Refuses every series for this reason.
    Refuse(RejectReason),
}

/// What a tenant has stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// Samples by series, sorted by time.
    pub samples: BTreeMap<Labels, BTreeMap<i64, Value>>,
    /// Exemplars by series, in the order in which they came.
    pub exemplars: BTreeMap<Labels, Vec<Exemplar>>,
    /// Metadata of 1.0 requests, in the order in which it came.
    pub metadata: Vec<MetadataEntry>,
}

/// An ingester for tests.
#[derive(Debug, Default)]
pub struct FakeIngester {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    tenants: BTreeMap<TenantId, Stored>,
    pushes: Vec<PushRequest>,
}

impl FakeIngester {
    /// An ingester that behaves so.
    pub fn new(behaviour: Behaviour) -> Arc<Self> {
        let ingester = Self::default();
        ingester.state.lock().behaviour = behaviour;
        Arc::new(ingester)
    }

    /// Makes it behave otherwise from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().behaviour = behaviour;
    }

    /// What it has of a tenant.
    pub fn stored(&self, tenant: &TenantId) -> Stored {
        self.state.lock().tenants.get(tenant).cloned().unwrap_or_default()
    }

    /// The pushes it got, as they came.
    pub fn pushes(&self) -> Vec<PushRequest> {
        self.state.lock().pushes.clone()
    }
}

#[async_trait]
impl IngesterWrite for FakeIngester {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        let behaviour = {
            let mut state = self.state.lock();
            state.pushes.push(request.clone());
            state.behaviour.clone()
        };
        match behaviour {
            Behaviour::Fail(error) => Err(error),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Store => {
                let mut state = self.state.lock();
                let stored = state.tenants.entry(request.tenant.clone()).or_default();
                store(stored, &request)
            }
            Behaviour::Refuse(reason) => refuse(&request, reason),
        }
    }
}

fn refuse(request: &PushRequest, reason: RejectReason) -> Result<PushResponse, Error> {
    let mut response = PushResponse::default();
    for (i, frame) in request.batch.frames.iter().enumerate() {
        let series = Series::read(&request.batch, frame)?;
        response.rejected.push(Rejection {
            series: i as u32,
            reason,
            refused: series.content(),
            message: format!("series {}: refused", series.labels),
        });
    }
    Ok(response)
}

fn store(stored: &mut Stored, request: &PushRequest) -> Result<PushResponse, Error> {
    let seed = TenantSeed::of(&request.tenant);
    let mut response = PushResponse::default();
    for (i, frame) in request.batch.frames.iter().enumerate() {
        let series = Series::read(&request.batch, frame)?;
        if SeriesHash::of(seed, &series.labels) != frame.hash {
            return Err(Error::internal(format!("wrong hash of {}", series.labels)));
        }
        let rejected = store_series(stored, &series, &mut response.written);
        response.rejected.extend(rejected.map(|(reason, refused)| Rejection {
            series: i as u32,
            reason,
            refused,
            message: format!("series {}: {}", series.labels, reason.as_str()),
        }));
    }
    stored.metadata.extend(request.metadata.iter().cloned());
    Ok(response)
}

/// Stores what is right of a series; the first reason why something is not, and how much.
fn store_series(
    stored: &mut Stored,
    series: &Series,
    written: &mut Written,
) -> Option<(RejectReason, Written)> {
    let mut first = None;
    let mut refused = Written::default();
    for (timestamp_ms, value) in &series.samples {
        let samples = stored.samples.entry(series.labels.clone()).or_default();
        let newest = samples.last_key_value().map_or(i64::MIN, |(t, _)| *t);
        let reason = match samples.get(timestamp_ms) {
            _ if histogram::validate(value).is_err() => Some(RejectReason::InvalidHistogram),
            Some(old) if old.same_bits(value) => None,
            Some(_) => Some(RejectReason::NewValueForTimestamp),
            None if *timestamp_ms < newest => Some(RejectReason::OutOfOrder),
            None => None,
        };
        let count = match reason {
            Some(_) => &mut refused,
            None => &mut *written,
        };
        match value {
            Value::Float(_) => count.samples += 1,
            Value::Histogram(_) | Value::FloatHistogram(_) => count.histograms += 1,
        }
        match reason {
            Some(reason) => drop(first.get_or_insert(reason)),
            None => drop(samples.insert(*timestamp_ms, value.clone())),
        }
    }
    if !series.exemplars.is_empty() {
        written.exemplars += series.exemplars.len() as u64;
        let exemplars = stored.exemplars.entry(series.labels.clone()).or_default();
        exemplars.extend(series.exemplars.iter().cloned());
    }
    first.map(|reason| (reason, refused))
}

/// A series, decoded.
struct Series {
    labels: Labels,
    samples: Vec<(i64, Value)>,
    exemplars: Vec<Exemplar>,
}

impl Series {
    fn read(batch: &SeriesBatch, frame: &Frame) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(Code::Internal, format!("frame {frame:?}: {what}"));
        let body = batch.body(frame).ok_or_else(|| wrong("it leaves its buffer"))?;
        let (pairs, series) = match batch.version {
            Version::V1 => Self::read_v1(body),
            Version::V2 => Self::read_v2(batch, body),
        }
        .ok_or_else(|| wrong("it is malformed"))?;
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) || pairs.iter().any(|(_, value)| value.is_empty()) {
            return Err(wrong("its labels are not sorted, unique and filled"));
        }
        Ok(series)
    }

    fn read_v1(body: &[u8]) -> Option<(Vec<(String, String)>, Self)> {
        let (mut pairs, mut samples, mut exemplars) = (Vec::new(), Vec::new(), Vec::new());
        for field in rw1::series(body) {
            match field.ok()? {
                rw1::SeriesField::Label(label) => pairs.push((text(label.name)?, text(label.value)?)),
                rw1::SeriesField::Sample(s) => samples.push((s.timestamp_ms, Value::Float(s.value))),
                rw1::SeriesField::Histogram(body) => {
                    let sample = histogram::decode(body).ok()?;
                    samples.push((sample.timestamp_ms, sample.value));
                }
                rw1::SeriesField::Exemplar(body) => {
                    let exemplar = rw1::exemplar(body).ok()?;
                    let labels: Option<Vec<_>> = exemplar
                        .labels()
                        .map(|label| Some((text(label.name)?, text(label.value)?)))
                        .collect();
                    exemplars.push(Exemplar {
                        labels: Labels::from_pairs(labels?),
                        value: exemplar.value,
                        timestamp_ms: exemplar.timestamp_ms,
                    });
                }
            }
        }
        Self::new(pairs, samples, exemplars)
    }

    fn read_v2(batch: &SeriesBatch, body: &[u8]) -> Option<(Vec<(String, String)>, Self)> {
        let symbol = |reference| text(batch.symbols.get(reference)?);
        let pairs_of = |refs: Vec<u32>| -> Option<Vec<(String, String)>> {
            let (pairs, rest) = refs.as_chunks::<2>();
            let read = |[name, value]: &[u32; 2]| Some((symbol(*name)?, symbol(*value)?));
            rest.is_empty().then(|| pairs.iter().map(read).collect())?
        };
        let (mut refs, mut samples, mut exemplars) = (Vec::new(), Vec::new(), Vec::new());
        for field in rw2::series(body) {
            match field.ok()? {
                rw2::SeriesField::LabelRefs(more) => refs.extend(more.map_while(Result::ok)),
                rw2::SeriesField::Sample(s) => samples.push((s.timestamp_ms, Value::Float(s.value))),
                rw2::SeriesField::Histogram(body) => {
                    let sample = histogram::decode(body).ok()?;
                    samples.push((sample.timestamp_ms, sample.value));
                }
                rw2::SeriesField::Exemplar(body) => {
                    let exemplar = rw2::exemplar(body).ok()?;
                    exemplars.push(Exemplar {
                        labels: Labels::from_pairs(pairs_of(exemplar.label_refs().collect())?),
                        value: exemplar.value,
                        timestamp_ms: exemplar.timestamp_ms,
                    });
                }
                rw2::SeriesField::Metadata(metadata) => {
                    symbol(metadata.help_ref)?;
                    symbol(metadata.unit_ref)?;
                }
                rw2::SeriesField::CreatedTimestamp(_) => {}
            }
        }
        Self::new(pairs_of(refs)?, samples, exemplars)
    }

    fn new(
        pairs: Vec<(String, String)>,
        samples: Vec<(i64, Value)>,
        exemplars: Vec<Exemplar>,
    ) -> Option<(Vec<(String, String)>, Self)> {
        let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name, value)));
        let series = Self { labels, samples, exemplars };
        Some((pairs, series))
    }

    fn content(&self) -> Written {
        let floats = self.samples.iter().filter(|(_, v)| matches!(v, Value::Float(_))).count() as u64;
        Written {
            samples: floats,
            histograms: self.samples.len() as u64 - floats,
            exemplars: self.exemplars.len() as u64,
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
