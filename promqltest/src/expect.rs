//! What an `eval` expects: rows of results, failure, annotations, order.

use model::Labels;
use promql::text::duration::parse_ms;
use regex::Regex;

use crate::script::Line;
use testseries::{Item, parse_items};

/// How a text is compared.
#[derive(Debug)]
pub(crate) enum Text {
    Any,
    Exactly(String),
    Matching(Regex),
}

impl Text {
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => text.trim() == expected,
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

/// What is expected of one kind of annotation.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) some: Vec<Text>,
    pub(crate) none: bool,
}

/// A row of a result.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    pub(crate) items: Vec<Item>,
}

/// Everything that an `eval` expects.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    pub(crate) failure: Option<Text>,
    pub(crate) warnings: Notes,
    pub(crate) infos: Notes,
    pub(crate) ordered: bool,
    pub(crate) string: Option<Vec<u8>>,
    /// The first time and the step of a range vector.
    pub(crate) range_vector: Option<(i64, i64)>,
    pub(crate) scalar: Option<f64>,
    pub(crate) rows: Vec<Row>,
}

impl Expectations {
    /// What the word of the command says already.
    pub(crate) fn of_command(command: &str) -> Result<Self, String> {
        let mut out = Self::default();
        match command {
            "eval" => {}
            "eval_fail" => out.failure = Some(Text::Any),
            "eval_warn" => out.warnings.some.push(Text::Any),
            "eval_info" => out.infos.some.push(Text::Any),
            "eval_ordered" => out.ordered = true,
            other => return Err(format!("unknown command {other:?}")),
        }
        Ok(out)
    }

    /// Reads the lines of a block, and returns how many belong to it.
    pub(crate) fn read(&mut self, block: &[Line<'_>], instant: bool) -> Result<usize, String> {
        for (used, (number, line)) in block.iter().enumerate() {
            let ends = self.line(line, instant).map_err(|e| format!("line {number}: {e}"))?;
            if ends {
                return Ok(used + 1);
            }
        }
        Ok(block.len())
    }

    /// Reads a line; true if the block ends with it.
    fn line(&mut self, line: &str, instant: bool) -> Result<bool, String> {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            self.failure = Some(Text::Exactly(text.trim().to_owned()));
            return Ok(true);
        }
        if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            self.failure = Some(matching(pattern)?);
            return Ok(true);
        }
        if let Some(expectation) = line.strip_prefix("expect ") {
            self.expectation(expectation.trim())?;
            return Ok(false);
        }
        if let Some(value) = scalar(line) {
            self.scalar = Some(value);
            return Ok(true);
        }
        let (labels, length) = promql::parse_metric_prefix(line).map_err(|e| e.to_string())?;
        let items = parse_items(&line[length..])?;
        if instant && self.range_vector.is_none() && items.len() != 1 {
            return Err(format!("expected one value, found {}", items.len()));
        }
        self.rows.push(Row { labels, items });
        Ok(false)
    }

    fn expectation(&mut self, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match word {
            "fail" if self.failure.is_some() => return Err("more than one failure expected".to_owned()),
            "fail" => self.failure = Some(text_of(rest)?),
            "warn" => self.warnings.some.push(text_of(rest)?),
            "info" => self.infos.some.push(text_of(rest)?),
            "no_warn" => self.warnings.none = true,
            "no_info" => self.infos.none = true,
            "ordered" => self.ordered = true,
            "string" => self.string = Some(quoted(rest)?),
            "range" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let ["vector", "from", start, "to", _, "step", step] = words.as_slice() else {
                    return Err(format!("cannot read {text:?}"));
                };
                self.range_vector = Some((parse_ms(start)?, parse_ms(step)?));
            }
            _ => return Err(format!("unknown expectation {text:?}")),
        }
        for (kind, notes) in [("warn", &self.warnings), ("info", &self.infos)] {
            if notes.none && !notes.some.is_empty() {
                return Err(format!("both {kind} and no_{kind} expected"));
            }
        }
        Ok(())
    }
}

/// `msg:` or `regex:` with what follows; nothing accepts everything.
fn text_of(text: &str) -> Result<Text, String> {
    if text.is_empty() {
        return Ok(Text::Any);
    }
    if let Some(message) = text.strip_prefix("msg:") {
        return Ok(Text::Exactly(message.trim().to_owned()));
    }
    match text.strip_prefix("regex:") {
        Some(pattern) => matching(pattern),
        None => Err(format!("expected msg: or regex:, found {text:?}")),
    }
}

fn matching(pattern: &str) -> Result<Text, String> {
    let regex = Regex::new(pattern.trim()).map_err(|e| format!("bad regular expression: {e}"))?;
    Ok(Text::Matching(regex))
}

/// The text in quotes, read as the query language reads it.
fn quoted(text: &str) -> Result<Vec<u8>, String> {
    match promql::parse(text, &promql::ParseOptions::default()) {
        Ok(promql::ast::Expr::String(literal)) => Ok(literal.bytes),
        _ => Err(format!("not a quoted text: {text:?}")),
    }
}

/// A line that is just a number.
fn scalar(line: &str) -> Option<f64> {
    let unsigned = line.strip_prefix(['+', '-']).unwrap_or(line);
    let sign = if line.starts_with('-') { -1.0 } else { 1.0 };
    if let Some(digits) = unsigned.to_ascii_lowercase().strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(|v| sign * v as f64);
    }
    let starts_well = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let is_word = ["inf", "infinity", "nan"].iter().any(|w| unsigned.eq_ignore_ascii_case(w));
    (starts_well || is_word).then(|| unsigned.parse::<f64>().ok()).flatten().map(|v| sign * v)
}
