//! Float chunks: what goes in comes out, bit by bit, and what cannot be read is an error.

use chunk::{ChunkError, XorAppender, XorCursor};
use proptest::prelude::*;

type Bits = Vec<(i64, u64)>;

fn encode(samples: &Bits) -> XorAppender {
    let mut appender = XorAppender::new();
    for &(timestamp, value) in samples {
        appender.append(timestamp, f64::from_bits(value)).expect("room for a sample");
    }
    appender
}

fn decode(chunk: &[u8]) -> Result<Bits, ChunkError> {
    let mut cursor = XorCursor::new(chunk)?;
    let mut samples = Vec::new();
    while let Some((timestamp, value)) = cursor.next_sample()? {
        samples.push((timestamp, value.to_bits()));
    }
    Ok(samples)
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 0i64..100_000,
        2 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        1 => Just(0),
    ]
}

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u32..1000).prop_map(|v| f64::from(v).to_bits()),
        4 => (0u32..100_000).prop_map(|v| (f64::from(v) / 1000.0).to_bits()),
        4 => any::<u64>(),
        1 => Just(model::STALE_NAN_BITS),
        1 => Just(f64::NAN.to_bits()),
        1 => Just(f64::INFINITY.to_bits()),
        1 => Just((-0.0f64).to_bits()),
        1 => (0u64..1 << 51).prop_map(|payload| payload | 0x7ff8 << 48),
        1 => Just(1),
    ]
}

fn series() -> impl Strategy<Value = Bits> {
    let steady =
        (any::<i32>(), prop::collection::vec((0i64..40, values()), 0..150)).prop_map(|(start, samples)| {
            let at = |(i, (jitter, value)): (usize, (i64, u64))| {
                (i64::from(start) + i as i64 * 15_000 + jitter, value)
            };
            samples.into_iter().enumerate().map(at).collect()
        });
    prop_oneof![steady, prop::collection::vec((timestamps(), values()), 0..100)]
}

proptest! {
    #[test]
    fn samples_come_back(samples in series()) {
        let appender = encode(&samples);
        prop_assert_eq!(usize::from(appender.num_samples()), samples.len());
        prop_assert_eq!(appender.last().map(|(t, v)| (t, v.to_bits())), samples.last().copied());
        prop_assert_eq!(decode(appender.bytes()).unwrap(), samples.clone());

        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        let mut cursor = XorCursor::new(appender.bytes()).unwrap();
        let first = cursor.next_sample().unwrap();
        cursor.decode_into(&mut timestamps, &mut values).unwrap();
        let all: Bits = first.into_iter().chain(timestamps.into_iter().zip(values)).map(|(t, v)| (t, v.to_bits())).collect();
        prop_assert_eq!(all, samples);
    }

    #[test]
    fn a_chunk_is_valid_after_every_sample_and_can_be_resumed(samples in series(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(samples.len() + 1);
        let mut resumed = XorAppender::resume(encode(&samples[..cut].to_vec()).bytes()).unwrap();
        for (i, &(timestamp, value)) in samples[cut..].iter().enumerate() {
            resumed.append(timestamp, f64::from_bits(value)).unwrap();
            prop_assert_eq!(decode(resumed.bytes()).unwrap(), samples[..=cut + i].to_vec());
        }
        let whole = encode(&samples);
        prop_assert_eq!(resumed.bytes(), whole.bytes());
    }

    #[test]
    fn slack_stays_small(samples in series()) {
        let appender = encode(&samples);
        let length = appender.bytes().len();
        prop_assert!(appender.heap_bytes() <= (length + length / 2 + 16).max(32));
        let finished = appender.clone().into_bytes();
        prop_assert_eq!(finished.as_ref(), appender.bytes());
    }

    #[test]
    fn shortened_chunks_are_errors(samples in series(), cut in any::<prop::sample::Index>()) {
        prop_assume!(!samples.is_empty());
        let chunk = encode(&samples).into_bytes();
        let short = &chunk[..cut.index(chunk.len())];
        prop_assert!(decode(short).is_err());
        prop_assert!(XorAppender::resume(short).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(samples) = decode(&bytes) {
            prop_assert_eq!(samples.len(), usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
        }
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        if let Ok(mut cursor) = XorCursor::new(&bytes) {
            let outcome = cursor.decode_into(&mut timestamps, &mut values);
            prop_assert_eq!(outcome.is_ok(), decode(&bytes).is_ok());
            prop_assert!(timestamps.capacity() <= bytes.len() * 4 + 4);
        }
        if let Ok(mut appender) = XorAppender::resume(&bytes) {
            let before = decode(&bytes).unwrap();
            appender.append(7, 7.0).unwrap();
            let after = decode(appender.bytes()).unwrap();
            prop_assert_eq!(&after[..before.len()], before.as_slice());
            prop_assert_eq!(after.last().copied(), Some((7, 7.0f64.to_bits())));
        }
    }
}

#[test]
fn a_chunk_byte_by_byte() {
    let mut appender = XorAppender::new();
    assert_eq!(appender.bytes(), [0, 0]);
    appender.append(-1, 1.0).unwrap();
    // Zigzag of -1 is 1; then the float as it is.
    assert_eq!(appender.bytes(), [0, 1, 1, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    appender.append(299, 1.0).unwrap();
    // Delta 300 as a varint, then a 0 for the same value.
    assert_eq!(appender.bytes()[10..], [0, 0xac, 0x02, 0]);
    appender.append(599, 2.0).unwrap();
    // 0 | 0: same delta; 1 1 00001 001011: 1 leading zero, 11 significant bits; 1.0 xor 2.0 = 0x7ff0…
    assert_eq!(appender.bytes()[13..], [0b0011_0000, 0b1001_0111, 0b1111_1111, 0b1100_0000]);
    assert_eq!(appender.num_samples(), 3);
}

#[test]
fn a_full_chunk_refuses_the_next_sample_and_stays_whole() {
    let mut appender = XorAppender::new();
    for i in 0..i64::from(u16::MAX) {
        appender.append(i, 0.0).unwrap();
    }
    let before = appender.bytes().to_vec();
    assert_eq!(appender.append(1 << 20, 1.0), Err(ChunkError::Full));
    assert_eq!(appender.bytes(), before);
    assert_eq!(decode(&before).unwrap().len(), usize::from(u16::MAX));
}

#[test]
fn bytes_behind_the_last_sample_are_read_over_but_not_continued() {
    let mut chunk = encode(&vec![(1, 2), (3, 4)]).into_bytes().into_vec();
    chunk.extend([0, 0]);
    assert_eq!(decode(&chunk).unwrap(), [(1, 2), (3, 4)]);
    assert_eq!(XorAppender::resume(&chunk).unwrap_err(), ChunkError::TrailingBytes { bytes: 2 });
}

#[test]
fn the_state_beside_the_buffer_is_small() {
    assert!(size_of::<XorAppender>() <= size_of::<Vec<u8>>() + 32);
}
