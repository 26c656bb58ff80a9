//! A hundred thousand series, from the write to the answer out of the bucket alone.

use serde_json::Value as Json;
use wire::encode::Rw1Writer;

use super::host::Host;
use super::samples::{HOUR_MS, begin, push};
use crate::http::{get, query_value};
use crate::support::now_ms;

const SERIES: u64 = 100_000;
const SERIES_PER_REQUEST: u64 = 5_000;

fn write(host: &Host, at: i64, value: impl Fn(u64) -> f64) {
    for first in (0..SERIES).step_by(SERIES_PER_REQUEST as usize) {
        let mut writer = Rw1Writer::default();
        for series in first..first + SERIES_PER_REQUEST {
            let (group, series_text) = ((series % 7).to_string(), series.to_string());
            begin(&mut writer, &[("__name__", "many"), ("group", &group), ("series", &series_text)]);
            writer.sample(at, value(series));
            writer.end_series();
        }
        push(host.addr(), writer.message());
    }
}

#[test]
fn a_hundred_thousand_series() {
    let mut host = Host::with_files();
    let end_ms = now_ms() / HOUR_MS * HOUR_MS - 2 * HOUR_MS;
    for step in 0..3 {
        write(&host, end_ms - (2 - step) * 30_000, |series| (series * 3) as f64 + step as f64);
    }
    host.flushed();
    host.lose_disk();
    let value = |query: &str| {
        let path = format!("/prometheus/api/v1/query?query={}&time={}", query_value(query), end_ms / 1000);
        let (status, body) = get(host.addr(), &path);
        assert_eq!(status, 200, "{body}");
        let answer: Json = serde_json::from_str(&body).expect("JSON");
        let found = answer["data"]["result"].as_array().expect("series");
        found.iter().map(|one| one["value"][1].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(value("count(many)"), ["100000"]);
    let sum = (0..SERIES).map(|series| series * 3 + 2).sum::<u64>();
    assert_eq!(value("sum(many)"), [sum.to_string()]);
    assert_eq!(value("sum(count_over_time(many[5m]))"), ["300000"]);
    assert_eq!(value("many{series=\"77777\"}"), ["233333"]);
    assert_eq!(value("count(many{group=\"3\", series=~\"1.*\"})"), [by_hand().to_string()]);
}

/// How many series are in group 3 and begin with 1.
fn by_hand() -> usize {
    (0..SERIES).filter(|series| series % 7 == 3 && series.to_string().starts_with('1')).count()
}
