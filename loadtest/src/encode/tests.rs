//! Tests of the encoder: what it patches together is read back by the decoder of `wire`, and is the population.

use std::collections::{BTreeMap, HashSet};

use wire::{rw1, rw2};

use super::*;
use crate::group::groups;
use crate::population::{PopulationConfig, test_config};

/// A decoded series: labels, floats, histograms, exemplars.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    labels: BTreeMap<String, String>,
    floats: Vec<(i64, u64)>,
    histograms: Vec<(i64, Value)>,
    /// Trace ID and timestamp.
    exemplars: Vec<(String, i64)>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn histogram(body: &[u8]) -> (i64, Value) {
    let sample = wire::histogram::decode(body).unwrap();
    (sample.timestamp_ms, sample.value)
}

fn decode_v1(request: &[u8]) -> (Vec<Decoded>, usize) {
    let (mut all, mut metadata) = (Vec::new(), 0);
    for field in rw1::request(request) {
        let body = match field.unwrap() {
            rw1::RequestField::TimeSeries { body, .. } => body,
            rw1::RequestField::Metadata { body, .. } => {
                rw1::metadata(body).unwrap();
                metadata += 1;
                continue;
            }
        };
        let mut series = Decoded::default();
        for field in rw1::series(body) {
            match field.unwrap() {
                rw1::SeriesField::Label(label) => {
                    let last =
                        series.labels.last_key_value().map(|(name, _)| name.clone()).unwrap_or_default();
                    assert!(last < text(label.name), "labels are not sorted");
                    series.labels.insert(text(label.name), text(label.value));
                }
                rw1::SeriesField::Sample(s) => series.floats.push((s.timestamp_ms, s.value.to_bits())),
                rw1::SeriesField::Histogram(body) => series.histograms.push(histogram(body)),
                rw1::SeriesField::Exemplar(body) => {
                    let exemplar = rw1::exemplar(body).unwrap();
                    let label = exemplar.labels().next().unwrap();
                    assert_eq!(label.name, b"trace_id");
                    series.exemplars.push((text(label.value), exemplar.timestamp_ms));
                }
            }
        }
        all.push(series);
    }
    (all, metadata)
}

fn decode_v2(request: &[u8]) -> (Vec<Decoded>, usize) {
    let (mut all, mut metadata, mut symbols) = (Vec::new(), 0, Vec::new());
    for field in rw2::request(request) {
        let body = match field.unwrap() {
            rw2::RequestField::Symbol { text: symbol, .. } => {
                symbols.push(text(symbol));
                continue;
            }
            rw2::RequestField::TimeSeries { body, .. } => body,
        };
        let mut series = Decoded::default();
        for field in rw2::series(body) {
            match field.unwrap() {
                rw2::SeriesField::LabelRefs(refs) => {
                    let refs: Vec<usize> = refs.map(|r| r.unwrap() as usize).collect();
                    let pairs = refs.chunks_exact(2);
                    series.labels.extend(pairs.map(|p| (symbols[p[0]].clone(), symbols[p[1]].clone())));
                }
                rw2::SeriesField::Sample(s) => series.floats.push((s.timestamp_ms, s.value.to_bits())),
                rw2::SeriesField::Histogram(body) => series.histograms.push(histogram(body)),
                rw2::SeriesField::Exemplar(body) => {
                    let exemplar = rw2::exemplar(body).unwrap();
                    let refs: Vec<u32> = exemplar.label_refs().collect();
                    assert_eq!(symbols[refs[0] as usize], "trace_id");
                    series.exemplars.push((symbols[refs[1] as usize].clone(), exemplar.timestamp_ms));
                }
                rw2::SeriesField::Metadata(refs) => {
                    assert!(!symbols[refs.help_ref as usize].is_empty());
                    metadata += 1;
                }
                rw2::SeriesField::CreatedTimestamp(_) => panic!("not written"),
            }
        }
        all.push(series);
    }
    assert_eq!(symbols[0], "");
    (all, metadata)
}

fn encoders(config: PopulationConfig, protocol: Protocol) -> (Arc<Population>, Vec<GroupEncoder>) {
    let population = Arc::new(Population::new(config).unwrap());
    let encoders = groups(&population, 700)
        .into_iter()
        .map(|group| GroupEncoder::new(population.clone(), group, protocol))
        .collect();
    (population, encoders)
}

fn full_config() -> PopulationConfig {
    PopulationConfig { churn_per_hour: 1.0, native_histograms: true, exemplars: true, ..test_config() }
}

fn labels(population: &Population, slot: u32, generation: u32) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    population.labels(slot, generation, |name, value| {
        labels.insert(name.to_owned(), value.to_owned());
    });
    labels
}

/// Every step of every series is as the population says, with a staleness marker where a series ends.
fn check_protocol(protocol: Protocol, decode: fn(&[u8]) -> (Vec<Decoded>, usize)) {
    let (population, mut encoders) = encoders(full_config(), protocol);
    let mut stale = 0;
    let mut traces = HashSet::new();
    for step in [0, 1, 2, 100, 101, 102, 103, 104, 239, 240] {
        for encoder in &mut encoders {
            let slots = encoder.group.slots.clone();
            let (request, counts) = encoder.request(step);
            let (decoded, metadata) = decode(request);
            if protocol == Protocol::V2 {
                assert_eq!(metadata, decoded.len());
            }
            let mut decoded: BTreeMap<_, _> =
                decoded.into_iter().map(|series| (series.labels.clone(), series)).collect();
            let mut found = Counts::default();
            for slot in slots {
                let generation = population.generation(slot, step);
                let at = population.timestamp_ms(slot, step);
                let series = decoded.remove(&labels(&population, slot, generation)).unwrap();
                if population.is_native(slot) {
                    let value = population.histogram(slot, generation, step);
                    assert_eq!(series.histograms, [(at, Value::Histogram(Arc::new(value)))]);
                    found.histograms += 1;
                } else {
                    let value = population.float(slot, generation, step);
                    assert_eq!(series.floats, [(at, value.to_bits())]);
                    found.floats += 1;
                }
                assert_eq!(series.exemplars.len(), usize::from(population.has_exemplar(slot)));
                for (trace, exemplar_at) in series.exemplars {
                    assert!(traces.insert(trace.clone()), "trace {trace} again");
                    assert_eq!(exemplar_at, at);
                    found.exemplars += 1;
                }
            }
            for series in decoded.into_values() {
                assert_eq!(series.floats[0].1, STALE_NAN_BITS, "{:?}", series.labels);
                stale += 1;
                found.floats += 1;
            }
            assert_eq!(found, counts);
        }
    }
    assert!(stale > 0, "no series ended: churn was not tested");
}

#[test]
fn requests_of_1_0_are_the_population() {
    check_protocol(Protocol::V1, decode_v1);
}

#[test]
fn requests_of_2_0_are_the_population() {
    check_protocol(Protocol::V2, decode_v2);
}

#[test]
fn the_same_step_gives_the_same_bytes_again() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let (_, mut encoders) = encoders(full_config(), protocol);
        let first = encoders[0].request(7).0.to_vec();
        encoders[0].request(200);
        assert_eq!(encoders[0].request(7).0, first);
    }
}

#[test]
fn metadata_comes_with_1_0_now_and_then() {
    let (_, mut encoders) = encoders(test_config(), Protocol::V1);
    assert!(decode_v1(encoders[0].request(0).0).1 > 50);
    assert_eq!(decode_v1(encoders[0].request(1).0).1, 0);
    assert_eq!(decode_v1(encoders[1].request(0).0).1, 0);
}

#[test]
fn sizes_are_those_of_real_samples() {
    let (_, mut encoders) = encoders(test_config(), Protocol::V1);
    let (mut bytes, mut compressed, mut samples) = (0, 0, 0);
    for encoder in &mut encoders {
        let (request, counts) = encoder.request(5);
        bytes += request.len();
        compressed += snap::raw::Encoder::new().compress_vec(request).unwrap().len();
        samples += counts.samples() as usize;
    }
    let each = bytes / samples;
    assert!((280..330).contains(&each), "{each} bytes a sample");
    let each = compressed / samples;
    assert!((25..45).contains(&each), "{each} compressed bytes a sample");
}
