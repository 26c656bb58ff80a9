//! Texts of durations, sizes and lists, and that printing and parsing agree.

use std::time::Duration;

use proptest::prelude::*;
use settings::{ByteSize, Setting};

fn duration(text: &str) -> Option<u64> {
    Duration::parse(text).ok().map(|duration| duration.as_millis() as u64)
}

#[test]
fn durations() {
    let cases = [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("500ms", Some(500)),
        ("1h30m", Some(5_400_000)),
        ("1m30s", Some(90_000)),
        ("2d", Some(172_800_000)),
        ("1h0m0s", Some(3_600_000)),
        ("1y", Some(31_536_000_000)),
        ("", None),
        ("5", None),
        ("m", None),
        ("30m1h", None),
        ("1m1m", None),
        ("-1m", None),
        ("1.5h", None),
        ("1 m", None),
        ("99999999999999999999y", None),
        ("18446744073709551615y", None),
    ];
    for (text, expected) in cases {
        assert_eq!(duration(text), expected, "{text:?}");
    }
    let print = |milliseconds| settings::duration::print(Duration::from_millis(milliseconds));
    assert_eq!(print(5_400_000), "1h30m");
    assert_eq!(print(1_209_600_000), "2w");
    assert_eq!(print(1_296_000_000), "15d");
    assert_eq!(print(0), "0s");
}

#[test]
fn sizes() {
    let bytes = |text| ByteSize::parse(text).ok().map(ByteSize::bytes);
    assert_eq!(bytes("0"), Some(0));
    assert_eq!(bytes("64MiB"), Some(64 << 20));
    assert_eq!(bytes("1GB"), Some(1_000_000_000));
    assert_eq!(bytes("10kb"), Some(10_000));
    for wrong in ["", "MiB", "1.5GiB", "-1", "1 MB", "1XB", "99999999TiB"] {
        assert_eq!(bytes(wrong), None, "{wrong:?}");
    }
    assert_eq!(ByteSize(64 << 20).print(), "64MiB");
    assert_eq!(ByteSize(1_000).print(), "1000");
}

#[test]
fn lists() {
    assert_eq!(Vec::<u32>::parse("1, 2,3").unwrap(), [1, 2, 3]);
    assert!(Vec::<u32>::parse("").unwrap().is_empty());
    assert!(Vec::<u32>::parse("1,x").unwrap_err().0.ends_with("in place of \"x\""));
}

proptest! {
    #[test]
    fn durations_read_back(milliseconds in 0..u64::MAX / 2) {
        let duration = Duration::from_millis(milliseconds);
        prop_assert_eq!(Duration::parse(&duration.print()).unwrap(), duration);
    }

    #[test]
    fn sizes_read_back(bytes: u64) {
        prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).print()).unwrap(), ByteSize(bytes));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = (Duration::parse(&text), ByteSize::parse(&text), settings::yaml::parse("f", &text));
    }
}
