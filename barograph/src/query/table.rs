//! Answers as tables for people.

use std::collections::{BTreeMap, BTreeSet};

use unicode_width::UnicodeWidthStr;

use super::Screen;
use super::answer::{Data, Labels, Point, Series, series_name};
use super::time;

/// Between columns.
const GAP: usize = 2;

/// An answer as a table.
pub(super) fn render(data: &Data, screen: Screen) -> String {
    match data {
        Data::Single(point) => format!("{}\n", visible(&point.text)),
        Data::Names(names) => names.iter().map(|name| visible(name) + "\n").collect(),
        Data::Series(series) => with_values(series.iter(), &[]),
        Data::Vector(series) => {
            let values: Vec<String> = series.iter().map(|s| last(s).text.clone()).collect();
            with_values(series.iter().map(|s| &s.labels), &values)
        }
        Data::Matrix(series) => over_time(series, screen),
    }
}

fn last(series: &Series) -> Point {
    series.points.last().cloned().unwrap_or(Point { time_ms: 0, text: String::new(), number: None })
}

/// A row per series: its labels, and a value if there are any. What all series have in common comes first, once.
fn with_values<'a>(series: impl Iterator<Item = &'a Labels>, values: &[String]) -> String {
    let series: Vec<&Labels> = series.collect();
    let names: BTreeSet<&str> = series.iter().flat_map(|s| s.keys().map(String::as_str)).collect();
    let (common, different): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| {
        let mut all = series.iter().map(|s| s.get(*name));
        let first = all.next();
        series.len() > 1 && all.all(|other| Some(other) == first)
    });
    let mut rows = vec![different.iter().map(|name| label_title(name)).collect::<Vec<_>>()];
    for labels in &series {
        rows.push(different.iter().map(|name| labels.get(*name).cloned().unwrap_or_default()).collect());
    }
    let mut right = vec![false; different.len()];
    if !values.is_empty() {
        let column = std::iter::once("value".to_owned()).chain(values.iter().cloned());
        rows.iter_mut().zip(column).for_each(|(row, cell)| row.push(cell));
        right.push(true);
    }
    let mut out = String::new();
    if let (Some(first), false) = (series.first(), common.is_empty()) {
        let common: Labels =
            common.iter().filter_map(|name| Some(((*name).to_owned(), first.get(*name)?.clone()))).collect();
        out.push_str(&format!("all of {}\n\n", visible(&series_name(&common))));
    }
    if series.is_empty() {
        return "nothing found\n".to_owned();
    }
    out.push_str(&grid(&rows, &right));
    out
}

fn label_title(name: &str) -> String {
    if name == "__name__" { "metric".to_owned() } else { name.to_owned() }
}

/// A row per time and a column per series, whose names come first. Columns that do not fit go below.
fn over_time(series: &[Series], screen: Screen) -> String {
    if series.is_empty() {
        return "nothing found\n".to_owned();
    }
    let mut out = String::new();
    for (i, s) in series.iter().enumerate() {
        out.push_str(&format!("[{}] {}\n", i + 1, visible(&series_name(&s.labels))));
    }
    let mut times = BTreeMap::<i64, Vec<Option<&str>>>::new();
    for (i, s) in series.iter().enumerate() {
        for point in &s.points {
            times.entry(point.time_ms).or_insert_with(|| vec![None; series.len()])[i] = Some(&point.text);
        }
    }
    let widths: Vec<usize> = (0..series.len())
        .map(|i| {
            times.values().filter_map(|row| row[i]).map(UnicodeWidthStr::width).max().unwrap_or(0).max(5)
        })
        .collect();
    let mut first = 0;
    while first < series.len() {
        let mut end = first;
        let mut used = time::rfc3339(0).len();
        while end < series.len() && (end == first || used + GAP + widths[end] <= screen.width) {
            used += GAP + widths[end];
            end += 1;
        }
        let head = (first..end).map(|i| format!("[{}]", i + 1));
        let mut rows = vec![std::iter::once("time".to_owned()).chain(head).collect::<Vec<_>>()];
        for (time_ms, row) in &times {
            let cells = row[first..end].iter().map(|cell| cell.unwrap_or("").to_owned());
            rows.push(std::iter::once(time::rfc3339(*time_ms)).chain(cells).collect());
        }
        let mut right = vec![true; end - first + 1];
        right[0] = false;
        out.push('\n');
        out.push_str(&grid(&rows, &right));
        first = end;
    }
    out
}

/// Rows with their cells below each other; those of `right` end where the column does.
pub(crate) fn grid(rows: &[Vec<String>], right: &[bool]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let mut widths = vec![0; right.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(&widths).zip(right) {
            if !line.is_empty() || *width == 0 {
                line.push_str(&" ".repeat(GAP));
            }
            let padding = " ".repeat(width - cell.width());
            line.push_str(&if *right { padding + cell } else { format!("{cell}{padding}") });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A text without characters that would move the cursor.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen = Screen { width: 50, height: 10, colour: false };

    fn series(pairs: &[(&str, &str)], points: &[(i64, &str)]) -> Series {
        Series {
            labels: pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            points: points
                .iter()
                .map(|(t, v)| Point { time_ms: *t, text: (*v).to_owned(), number: v.parse().ok() })
                .collect(),
        }
    }

    #[test]
    fn a_vector_has_a_column_per_label_that_differs() {
        let of = |job: &str, value: &str| {
            series(&[("__name__", "up"), ("job", job), ("zone", "x")], &[(0, value)])
        };
        let data = Data::Vector(vec![of("node", "1"), of("日本", "0.25"), of("a\nb", "1")]);
        let expected = "all of up{zone=\"x\"}\n\njob   value\nnode      1\n日本   0.25\na\u{fffd}b       1\n";
        assert_eq!(render(&data, SCREEN), expected);
        let one = render(&Data::Vector(vec![of("node", "1")]), SCREEN);
        assert_eq!(one, "metric  job   zone  value\nup      node  x         1\n");
        assert_eq!(render(&Data::Vector(Vec::new()), SCREEN), "nothing found\n");
        assert_eq!(render(&Data::Vector(vec![series(&[], &[(0, "3")])]), SCREEN), "value\n    3\n");
    }

    #[test]
    fn a_matrix_has_a_row_per_time_and_wraps_its_columns() {
        let data = Data::Matrix(vec![
            series(&[("job", "a")], &[(0, "1"), (60_000, "2")]),
            series(&[("job", "b")], &[(60_000, "10000000000000000000")]),
            series(&[("job", "c")], &[(0, "5")]),
        ]);
        let expected = "\
[1] {job=\"a\"}
[2] {job=\"b\"}
[3] {job=\"c\"}

time                    [1]                   [2]
1970-01-01T00:00:00Z      1
1970-01-01T00:01:00Z      2  10000000000000000000

time                    [3]
1970-01-01T00:00:00Z      5
1970-01-01T00:01:00Z
";
        let text = render(&data, SCREEN);
        let squeezed: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        let wanted: Vec<Vec<&str>> = expected.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(squeezed, wanted, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 50), "{text}");
    }

    #[test]
    fn names_and_series() {
        assert_eq!(render(&Data::Names(vec!["a".into(), "b".into()]), SCREEN), "a\nb\n");
        let data = Data::Series(vec![series(&[("a", "1"), ("b", "2")], &[]).labels, Labels::new()]);
        assert_eq!(render(&data, SCREEN), "a  b\n1  2\n\n");
    }
}
