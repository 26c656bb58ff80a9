//! Answers for spreadsheets: a row per point, with a column per label. Text is quoted as RFC 4180 has it.

use std::collections::BTreeSet;

use super::answer::{Data, Labels, Series};
use super::time;

/// An answer as CSV, its first row the names of the columns.
pub(super) fn render(data: &Data) -> String {
    let mut out = String::new();
    match data {
        Data::Single(point) => {
            row(&mut out, ["time", "timestamp", "value"]);
            row(&mut out, [&time::plain(point.time_ms), &seconds(point.time_ms), &point.text]);
        }
        Data::Names(names) => {
            row(&mut out, ["name"]);
            names.iter().for_each(|name| row(&mut out, [name]));
        }
        Data::Series(series) => {
            let names = names(series.iter());
            row(&mut out, names.iter().copied());
            series.iter().for_each(|labels| row(&mut out, cells(labels, &names)));
        }
        Data::Vector(series) | Data::Matrix(series) => points(&mut out, series),
    }
    out
}

fn points(out: &mut String, series: &[Series]) {
    let names = names(series.iter().map(|s| &s.labels));
    row(out, ["time", "timestamp"].into_iter().chain(names.iter().copied()).chain(["value"]));
    for series in series {
        for point in &series.points {
            let (time, seconds) = (time::plain(point.time_ms), seconds(point.time_ms));
            let labels = cells(&series.labels, &names);
            row(out, [time.as_str(), &seconds].into_iter().chain(labels).chain([point.text.as_str()]));
        }
    }
}

fn names<'a>(series: impl Iterator<Item = &'a Labels>) -> BTreeSet<&'a str> {
    series.flat_map(|labels| labels.keys().map(String::as_str)).collect()
}

fn cells<'a>(labels: &'a Labels, names: &BTreeSet<&'a str>) -> Vec<&'a str> {
    names.iter().map(|name| labels.get(*name).map_or("", String::as_str)).collect()
}

/// Seconds since the Unix epoch, with as many decimals as there are.
fn seconds(ms: i64) -> String {
    (ms as f64 / 1_000.0).to_string()
}

fn row<'a>(out: &mut String, cells: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) {
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let cell = cell.as_ref();
        if cell.contains(['"', ',', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::answer::Point;
    use super::*;

    #[test]
    fn a_row_per_point() {
        let point = |time_ms, text: &str| Point { time_ms, text: text.into(), number: None };
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let series = vec![
            Series {
                labels: labels(&[("__name__", "up"), ("a", "x,\"y\"")]),
                points: vec![point(0, "1"), point(1_500, "NaN")],
            },
            Series { labels: labels(&[("b", "z")]), points: vec![point(0, "{count:1, sum:2}")] },
        ];
        let expected = "time,timestamp,__name__,a,b,value\n\
            1970-01-01 00:00:00,0,up,\"x,\"\"y\"\"\",,1\n\
            1970-01-01 00:00:01.500,1.5,up,\"x,\"\"y\"\"\",,NaN\n\
            1970-01-01 00:00:00,0,,,z,\"{count:1, sum:2}\"\n";
        assert_eq!(render(&Data::Matrix(series)), expected);
        assert_eq!(render(&Data::Names(vec!["a".into()])), "name\na\n");
        assert_eq!(render(&Data::Single(point(0, "7"))), "time,timestamp,value\n1970-01-01 00:00:00,0,7\n");
        assert_eq!(render(&Data::Series(vec![labels(&[("a", "b")])])), "a\nb\n");
    }
}
