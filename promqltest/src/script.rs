//! Scripts: `clear`, `load`, `eval`, and the lines that belong to them.

use model::Labels;
use promql::text::duration::parse_ms;
use thiserror::Error;

use crate::eval::{Eval, When};
use crate::expect::Expectations;
use crate::nhcb;
use testseries::{Item, parse_items};
use testseries::{Loaded, LoadedValue, Storage};

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

pub(crate) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to be loaded.
pub(crate) struct Load {
    series: Vec<(Labels, Vec<Loaded>)>,
    with_nhcb: bool,
}

impl Load {
    pub(crate) fn apply(self, storage: &mut Storage) -> Result<(), String> {
        let native = if self.with_nhcb { nhcb::convert(&self.series)? } else { Vec::new() };
        for (labels, samples) in self.series.into_iter().chain(native) {
            storage.append(&labels, samples)?;
        }
        Ok(())
    }
}

/// A line and its number.
pub(crate) type Line<'t> = (usize, &'t str);

/// The commands of a script, or what is wrong with them, with the numbers of their lines.
pub(crate) fn parse(text: &str) -> Vec<Result<(usize, Command), ScriptError>> {
    let lines: Vec<Line<'_>> = text.split('\n').map(str::trim).enumerate().map(|(i, l)| (i + 1, l)).collect();
    let is_empty = |line: &str| line.is_empty() || line.starts_with('#');
    let mut commands = Vec::new();
    let mut rest = lines.as_slice();
    while let Some(((number, line), after)) = rest.split_first() {
        rest = after;
        if is_empty(line) {
            continue;
        }
        let end = rest.iter().position(|(_, l)| is_empty(l)).unwrap_or(rest.len());
        let block = &rest[..end];
        let word = line.split_whitespace().next().unwrap_or("");
        let at = |reason: String| ScriptError { line: *number, reason };
        let command = if word == "clear" {
            Ok(Command::Clear)
        } else if word.starts_with("load") {
            rest = &rest[end..];
            load(line, block).map(Command::Load)
        } else if word.starts_with("eval") {
            match eval(line, block) {
                Ok((eval, used)) => {
                    rest = &rest[used..];
                    Ok(Command::Eval(Box::new(eval)))
                }
                Err(reason) => {
                    rest = &rest[end..];
                    Err(reason)
                }
            }
        } else {
            Err(format!("unknown command {word:?}"))
        };
        commands.push(command.map(|command| (*number, command)).map_err(at));
    }
    commands
}

fn load(line: &str, block: &[Line<'_>]) -> Result<Load, String> {
    let mut words = line.split_whitespace();
    let with_nhcb = match words.next() {
        Some("load") => false,
        Some("load_with_nhcb") => true,
        other => return Err(format!("unknown command {:?}", other.unwrap_or(""))),
    };
    let step_ms = parse_ms(words.next().ok_or("load without a step")?)?;
    let mut series: Vec<(Labels, Vec<Loaded>)> = Vec::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for (number, line) in block {
        let at = |reason: String| format!("line {number}: {reason}");
        let (labels, length) = promql::parse_metric_prefix(line).map_err(|e| at(e.to_string()))?;
        let values = &line[length..];
        if let Some(offsets) = values.strip_prefix("@st") {
            starts = Some((labels, start_offsets(offsets).map_err(at)?));
            continue;
        }
        let items = parse_items(values).map_err(at)?;
        let offsets = match starts.take() {
            Some((of, offsets)) if of == labels && offsets.len() == items.len() => offsets,
            Some(_) => {
                return Err(at("start timestamps are of another series or of other length".to_owned()));
            }
            None => vec![None; items.len()],
        };
        let samples = samples(items, &offsets, step_ms);
        match series.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, known)) => *known = samples,
            None => series.push((labels, samples)),
        }
    }
    Ok(Load { series, with_nhcb })
}

fn samples(items: Vec<Item>, offsets: &[Option<i64>], step_ms: i64) -> Vec<Loaded> {
    let mut out = Vec::with_capacity(items.len());
    for (i, (item, offset)) in items.into_iter().zip(offsets).enumerate() {
        let timestamp_ms = i as i64 * step_ms;
        let value = match item {
            Item::Omitted => continue,
            Item::Float(v) => LoadedValue::Float(v),
            Item::Histogram(h, _) => LoadedValue::Histogram(h),
        };
        out.push(Loaded { timestamp_ms, start_ms: offset.map_or(0, |offset| timestamp_ms + offset), value });
    }
    out
}

/// Start timestamps, as offsets from the timestamps of samples.
fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let (word, times) = match word.rsplit_once('x') {
            Some((word, times)) => {
                (word, Some(times.parse::<usize>().map_err(|_| format!("bad repetition in {word:?}"))?))
            }
            None => (word, None),
        };
        if times.unwrap_or(0) > 1_000_000 {
            return Err(format!("too many repetitions in {text:?}"));
        }
        if word == "_" {
            out.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
            continue;
        }
        let (mut offset, rest) = signed_duration(word)?;
        let step = if rest.is_empty() { 0 } else { signed_duration(rest)?.0 };
        for _ in 0..=times.unwrap_or(0) {
            out.push(Some(offset));
            offset += step;
        }
    }
    Ok(out)
}

/// A duration with an optional sign, up to the next sign.
fn signed_duration(text: &str) -> Result<(i64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(['+', '-']).unwrap_or(unsigned.len());
    let ms = parse_ms(&unsigned[..end])?;
    Ok((if text.starts_with('-') { -ms } else { ms }, &unsigned[end..]))
}

/// An `eval`, and how many lines of its block it takes.
fn eval(line: &str, block: &[Line<'_>]) -> Result<(Eval, usize), String> {
    let mut words = Words { rest: line };
    let command = words.next()?;
    let when = match words.next()? {
        "instant" => {
            words.expect("at")?;
            When::Instant(words.duration()?)
        }
        "range" => {
            words.expect("from")?;
            let start_ms = words.duration()?;
            words.expect("to")?;
            let end_ms = words.duration()?;
            words.expect("step")?;
            let step_ms = words.duration()?;
            if end_ms < start_ms {
                return Err("the range ends before it starts".to_owned());
            }
            When::Range { start_ms, end_ms, step_ms }
        }
        other => return Err(format!("eval neither instant nor range but {other:?}")),
    };
    let query = words.rest.trim().to_owned();
    let mut expectations = Expectations::of_command(command)?;
    let used = expectations.read(block, matches!(when, When::Instant(_)))?;
    Ok((Eval { when, query, expectations }, used))
}

struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Result<&'t str, String> {
        let text = self.rest.trim_start();
        if text.is_empty() {
            return Err("the command ends too early".to_owned());
        }
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        self.rest = &text[end..];
        Ok(&text[..end])
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next()? {
            found if found == word => Ok(()),
            found => Err(format!("expected {word:?}, found {found:?}")),
        }
    }

    fn duration(&mut self) -> Result<i64, String> {
        parse_ms(self.next()?)
    }
}
