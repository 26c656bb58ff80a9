//! Canonical bytes: what the leading labels of a body are, and that they hash as the label set does.

use model::{Labels, SeriesHash, TenantId, TenantSeed};
use proptest::prelude::*;
use wire::encode::Rw1Writer;
use wire::protobuf::{self, Fields, put_bytes_field, put_varint};
use wire::rw1;

/// The body of a series with these labels.
fn body(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Rw1Writer::default();
    for (name, value) in labels {
        writer.label(name, value);
    }
    writer.sample(1, 1.0).end_series();
    match rw1::request(writer.message()).next() {
        Some(Ok(rw1::RequestField::TimeSeries { body, .. })) => body.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn leading(body: &[u8]) -> (usize, usize) {
    let mut labels = rw1::leading_labels(body);
    (labels.by_ref().count(), labels.position())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn leading_bytes_hash_as_the_labels_do(
        pairs in prop::collection::btree_map("[a-zü]{1,4}", ".{1,200}", 0..8),
    ) {
        let labels = Labels::from_pairs(&pairs);
        let seed = TenantSeed::of(&TenantId::anonymous());
        let body = body(&labels.iter().collect::<Vec<_>>());
        let (count, end) = leading(&body);
        prop_assert_eq!(count, labels.len());
        prop_assert_eq!(SeriesHash::of_canonical(seed, &body[..end]), SeriesHash::of(seed, &labels));
    }

    #[test]
    fn varints_round_trip(number in any::<u64>(), signed in any::<i64>()) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        prop_assert_eq!(bytes.len(), protobuf::varint_len(number));
        let mut position = 0;
        prop_assert_eq!(protobuf::varint(&bytes, &mut position), Ok(number));
        prop_assert_eq!(position, bytes.len());
        prop_assert_eq!(protobuf::zigzag(protobuf::to_zigzag(signed)), signed);
    }

    #[test]
    fn leading_labels_are_those_that_the_walk_finds(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let walked: Vec<_> = rw1::series(&bytes).map_while(Result::ok).collect();
        for (label, field) in rw1::leading_labels(&bytes).zip(walked) {
            prop_assert_eq!(rw1::SeriesField::Label(label), field);
        }
    }
}

/// One label, encoded as its parts say.
fn label(parts: &[(u32, &[u8])]) -> Vec<u8> {
    let mut inner = Vec::new();
    for (field, bytes) in parts {
        put_bytes_field(&mut inner, *field, bytes);
    }
    let mut outer = Vec::new();
    put_bytes_field(&mut outer, 1, &inner);
    outer
}

#[test]
fn what_is_not_canonical_ends_the_leading_labels() {
    let good = label(&[(1, b"a"), (2, b"x")]);
    let check = |second: &[u8]| {
        let body = [&good, second].concat();
        assert_eq!(leading(&body), (1, good.len()), "{second:?}");
    };
    check(&label(&[(2, b"x"), (1, b"a")]));
    check(&label(&[(1, b"a")]));
    check(&label(&[(1, b"a"), (2, b"")]));
    check(&label(&[(1, b""), (2, b"x")]));
    check(&label(&[(1, b"a"), (2, b"x"), (3, b"")]));
    // Lengths with a byte too many.
    check(&[0x0a, 0x86, 0x00, 0x0a, 1, b'a', 0x12, 1, b'x']);
    check(&[0x0a, 7, 0x0a, 0x81, 0x00, b'a', 0x12, 1, b'x']);
    // A label that is longer than the body.
    check(&[0x0a, 7, 0x0a, 1, b'a', 0x12, 1, b'x']);
    check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
}

#[test]
fn errors_name_the_byte_and_what_was_expected() {
    let error = |bytes: &[u8]| match Fields::new(bytes).find_map(Result::err) {
        Some(error) => error.to_string(),
        None => "no error".to_owned(),
    };
    assert_eq!(error(&[0x08]), "byte 1: the message ends where the rest of a varint was expected");
    assert_eq!(error(&[0x08, 0x80]), "byte 2: the message ends where the rest of a varint was expected");
    assert_eq!(error(&[0x08, 1, 0x09, 1, 2]), "byte 5: the message ends where a 64-bit number was expected");
    assert_eq!(error(&[0x0d, 1]), "byte 2: the message ends where a 32-bit number was expected");
    assert_eq!(
        error(&[0x0a, 3, 1]),
        "byte 2: length 3 was found where at most the 1 bytes left were expected"
    );
    assert_eq!(error(&[0x0b]), "byte 0: a field tag was expected, found 0xb");
    assert_eq!(error(&[0x00, 1]), "byte 0: a field tag was expected, found 0x0");
    let overlong = [[0x08].as_slice(), &[0xff; 9], &[2]].concat();
    assert_eq!(error(&overlong), "byte 1: a varint of at most 64 bits was expected");
    let largest = [[0x08].as_slice(), &[0xff; 9], &[1]].concat();
    assert_eq!(error(&largest), "no error");

    // Inside a series: the byte is counted from where the series begins.
    let wrong_type = [0x12, 2, 0x08, 1];
    let error = rw1::series(&wrong_type).find_map(Result::err).map(|e| e.to_string());
    assert_eq!(error.as_deref(), Some("byte 2: field 1 has wire type 0, expected 1 (64-bit)"));
}

#[test]
fn unknown_fields_are_skipped() {
    let mut with_unknown = vec![0x98, 0x06, 7, 0x9d, 0x06, 1, 2, 3, 4, 0x9a, 0x06, 1, 9];
    with_unknown.extend(body(&[("a", "x")]));
    assert_eq!(rw1::series(&with_unknown).map(Result::unwrap).count(), 2);
}
