//! Samples of OpenMetrics text, a line at a time. The syntax is that of OpenMetrics 1.0, with names of any characters in
//! quotation marks as Prometheus 3 writes them. Source: the OpenMetrics specification and Prometheus' exposition formats.
//!
//! Exemplars behind samples are passed over, and so are descriptors: nothing but their form is looked at.

use model::{Labels, LabelsBuilder};
use thiserror::Error;

/// The name of a metric, as a label.
const METRIC_NAME: &str = "__name__";

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A sample.
    Sample {
        /// The series, its metric's name among its labels.
        labels: Labels,
        /// The value.
        value: f64,
        /// Milliseconds since the Unix epoch, rounded; `None` where the line has no timestamp.
        timestamp_ms: Option<i64>,
    },
    /// A descriptor (`# TYPE` and its like), or another comment.
    Comment,
    /// `# EOF`: nothing may follow.
    End,
}

/// A line that is not OpenMetrics.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {what}")]
pub struct LineError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads a line, without its line feed.
///
/// # Errors
/// Where it is none of OpenMetrics.
pub fn parse_line(line: &str) -> Result<Line, LineError> {
    if line == "# EOF" {
        return Ok(Line::End);
    }
    if line.starts_with('#') {
        return Ok(Line::Comment);
    }
    let mut cut = Cut { line, rest: line };
    let mut labels = LabelsBuilder::default();
    let name = cut.bare_name();
    if !name.is_empty() {
        labels.set(METRIC_NAME, name);
    }
    if cut.take('{') {
        cut.labels(&mut labels)?;
    } else if name.is_empty() {
        return Err(cut.wrong("the name of a metric is expected"));
    }
    if labels.get(METRIC_NAME).is_none() {
        return Err(cut.wrong("the series has no metric name"));
    }
    cut.space()?;
    let value = cut.number("a value")?;
    let mut timestamp_ms = None;
    if !cut.rest.is_empty() {
        cut.space()?;
        if !cut.rest.starts_with('#') {
            timestamp_ms = Some(cut.timestamp()?);
        }
        if !cut.rest.is_empty() && !cut.rest.trim_start_matches(' ').starts_with("# {") {
            return Err(cut.wrong("the end of the line, or an exemplar, is expected"));
        }
    }
    Ok(Line::Sample { labels: labels.build(), value, timestamp_ms })
}

/// Reads a line from its front.
struct Cut<'a> {
    line: &'a str,
    rest: &'a str,
}

impl<'a> Cut<'a> {
    fn wrong(&self, what: impl Into<String>) -> LineError {
        let before = self.line.len() - self.rest.len();
        let column = 1 + self.line.get(..before).unwrap_or_default().chars().count();
        LineError { column, what: what.into() }
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Result<(), LineError> {
        if self.take(c) { Ok(()) } else { Err(self.wrong(format!("{c:?} is expected"))) }
    }

    /// At least one space.
    fn space(&mut self) -> Result<(), LineError> {
        let rest = self.rest.trim_start_matches(' ');
        if rest.len() == self.rest.len() {
            return Err(self.wrong("a space is expected"));
        }
        self.rest = rest;
        Ok(())
    }

    /// A name that needs no quotation marks; empty where there is none.
    fn bare_name(&mut self) -> &'a str {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return "";
        }
        self.rest = rest;
        name
    }

    /// Labels, behind the brace, up to the one that ends them. A name in quotation marks without a value is the metric's.
    fn labels(&mut self, labels: &mut LabelsBuilder) -> Result<(), LineError> {
        loop {
            self.rest = self.rest.trim_start_matches(' ');
            if self.take('}') {
                return Ok(());
            }
            let at = self.rest;
            let quoted = at.starts_with('"');
            let name = if quoted { self.text()? } else { self.bare_name().to_owned() };
            if name.is_empty() {
                return Err(self.wrong("the name of a label is expected"));
            }
            self.rest = self.rest.trim_start_matches(' ');
            let (name, value) = match self.take('=') {
                false if quoted => (METRIC_NAME.to_owned(), name),
                false => return Err(self.wrong("'=' is expected")),
                true => {
                    self.rest = self.rest.trim_start_matches(' ');
                    (name, self.text()?)
                }
            };
            if labels.get(&name).is_some() {
                self.rest = at;
                return Err(self.wrong(format!("label {name} is there twice")));
            }
            labels.set(&name, &value);
            self.rest = self.rest.trim_start_matches(' ');
            if !self.take(',') {
                return self.expect('}');
            }
        }
    }

    /// A text in quotation marks, its escapes resolved.
    fn text(&mut self) -> Result<String, LineError> {
        self.expect('"')?;
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => text.push(c),
                    Some((_, other)) => {
                        text.push('\\');
                        text.push(other);
                    }
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.wrong("a text is not ended by a quotation mark"))
    }

    /// What stands before the next space.
    fn word(&mut self) -> &'a str {
        let (word, rest) = self.rest.split_at(self.rest.find(' ').unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn number(&mut self, what: &str) -> Result<f64, LineError> {
        let at = self.rest;
        let word = self.word();
        word.parse().map_err(|_| {
            self.rest = at;
            self.wrong(format!("{what} is expected, not {word:?}"))
        })
    }

    /// Seconds since the Unix epoch, as milliseconds.
    fn timestamp(&mut self) -> Result<i64, LineError> {
        /// So many milliseconds either way a number of 64 bits has room for without losing one.
        const MOST: f64 = 9_007_199_254_740_992.0;
        let at = self.rest;
        let milliseconds = (self.number("a timestamp")? * 1000.0).round();
        if milliseconds.abs() <= MOST {
            return Ok(milliseconds as i64);
        }
        self.rest = at;
        Err(self.wrong("a timestamp in seconds since the Unix epoch is expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, labels: &[(&str, &str)], value: f64, timestamp_ms: Option<i64>) {
        let labels = Labels::from_pairs(labels.iter().copied());
        match parse_line(line) {
            Ok(Line::Sample { labels: found, value: number, timestamp_ms: at }) => {
                assert_eq!((found, number.to_bits(), at), (labels, value.to_bits(), timestamp_ms), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn samples_are_read() {
        check("up 1 1700000000", &[("__name__", "up")], 1.0, Some(1_700_000_000_000));
        check("up 1", &[("__name__", "up")], 1.0, None);
        check(
            r#"a:b_total{x="1", y = "q\"\\\n,}",} -2.5e3 1.0015"#,
            &[("__name__", "a:b_total"), ("x", "1"), ("y", "q\"\\\n,}")],
            -2500.0,
            Some(1002),
        );
        check(
            r#"{"my.metric","my.label"="ü"} +Inf -1.5"#,
            &[("__name__", "my.metric"), ("my.label", "ü")],
            f64::INFINITY,
            Some(-1500),
        );
        check(
            "h_bucket{le=\"1\"} 3 4 # {trace_id=\"x\"} 0.5 3",
            &[("__name__", "h_bucket"), ("le", "1")],
            3.0,
            Some(4000),
        );
        check("a{empty=\"\"} 1 # {} 0.5", &[("__name__", "a")], 1.0, None);
        assert!(matches!(parse_line("a NaN 1"), Ok(Line::Sample { value, .. }) if value.is_nan()));
        assert_eq!(parse_line("# TYPE a counter"), Ok(Line::Comment));
        assert_eq!(parse_line("# EOF"), Ok(Line::End));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_column() {
        for (line, column, what) in [
            ("", 1, "the name of a metric is expected"),
            ("1up 1", 1, "the name of a metric is expected"),
            ("up", 3, "a space is expected"),
            ("up x", 4, "a value is expected, not \"x\""),
            ("up 1 x", 6, "a timestamp is expected, not \"x\""),
            ("up 1 1e300", 6, "a timestamp in seconds"),
            ("up 1 1 1", 7, "the end of the line, or an exemplar, is expected"),
            ("up{a=\"1\",a=\"2\"} 1", 10, "label a is there twice"),
            ("up{a} 1", 5, "'=' is expected"),
            ("up{a=\"1} 1", 7, "a text is not ended"),
            ("ü 1", 1, "the name of a metric is expected"),
            ("up{ü=\"1\"} 1", 4, "the name of a label is expected"),
            ("{a=\"1\"} 1", 8, "the series has no metric name"),
            ("up{a=\"1\" b=\"2\"} 1", 10, "'}' is expected"),
        ] {
            let error = parse_line(line).expect_err(line);
            assert!(error.column == column && error.what.contains(what), "{line}: {error}");
        }
    }
}
