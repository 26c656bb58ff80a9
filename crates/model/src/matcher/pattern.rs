//! A regular expression that may not need a regular expression: sets of literals and literals with gaps are compared
//! as such, all others are tried only where what they must begin and end with is there.

use memchr::memmem;
use regex::Regex;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind, Look};

use super::re2::translate;

/// The compiled size of a regular expression is bounded, so that a query cannot exhaust memory with one.
const REGEX_SIZE_LIMIT_BYTES: usize = 4 << 20;
/// How many literals a set may have; a pattern for more is matched as a regular expression.
const SET_LIMIT: usize = 4096;
/// How many bytes the literals of a set may have together.
const SET_LIMIT_BYTES: usize = 1 << 20;

/// A pattern, anchored at both ends, whose dot matches newlines too.
#[derive(Debug)]
pub(super) struct Pattern {
    strategy: Strategy,
    prefix: String,
    suffix: String,
}

#[derive(Debug)]
enum Strategy {
    /// One of these, in order.
    Set(Box<[Box<str>]>),
    /// Literals with anything between them; one of several such.
    Globs(Vec<Glob>),
    /// None of the above.
    Regex(Regex),
}

/// Literals, each behind a gap of any text.
#[derive(Debug, Default)]
struct Glob {
    /// What it begins with.
    prefix: String,
    /// Gap and literal in turn; the last literal ends the text.
    parts: Vec<(Gap, String)>,
}

/// How much text there is at least in front of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// `.*`
    Any,
    /// `.+`
    NotEmpty,
}

impl Pattern {
    /// The error says what is wrong with the pattern.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern)?;
        let hir = regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .build()
            .parse(&translated)
            .map_err(|e| reason(pattern, &translated, &e))?;
        let (prefix, suffix) = (common(&hir, ExtractKind::Prefix), common(&hir, ExtractKind::Suffix));
        let strategy = match fast(strip_anchors(&hir)) {
            Some(strategy) => strategy,
            None => Strategy::Regex(compile(&translated)?),
        };
        Ok(Self { strategy, prefix, suffix })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match &self.strategy {
            Strategy::Set(set) => set.binary_search_by(|literal| (**literal).cmp(value)).is_ok(),
            Strategy::Globs(globs) => globs.iter().any(|glob| glob.matches(value)),
            Strategy::Regex(regex) => {
                value.starts_with(&self.prefix) && value.ends_with(&self.suffix) && regex.is_match(value)
            }
        }
    }

    pub(super) fn set(&self) -> Option<&[Box<str>]> {
        match &self.strategy {
            Strategy::Set(set) => Some(set),
            Strategy::Globs(_) | Strategy::Regex(_) => None,
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether every value matches: `.*`.
    pub(super) fn matches_all(&self) -> bool {
        matches!(&self.strategy, Strategy::Globs(globs) if globs.iter().any(Glob::matches_all))
    }

    /// Whether every value but the empty one matches: `.+`.
    pub(super) fn matches_all_but_empty(&self) -> bool {
        matches!(&self.strategy, Strategy::Globs(globs) if matches!(&globs[..], [glob] if glob.matches_all_but_empty()))
    }
}

/// What is wrong with a pattern, as Go says it: a phrase, and the part of the pattern that it is about.
fn reason(pattern: &str, translated: &str, error: &regex_syntax::Error) -> String {
    use regex_syntax::Error::{Parse, Translate};
    use regex_syntax::ast::ErrorKind as Kind;
    let from = |offset: usize| translated.get(offset..).unwrap_or_default();
    let until = |text: &str, chars: usize| text.chars().take(chars).collect::<String>();
    let (phrase, part) = match error {
        Parse(e) => {
            let span = e.span();
            let part = translated.get(span.start.offset..span.end.offset).unwrap_or_default();
            match e.kind() {
                Kind::GroupUnclosed => ("missing closing )", pattern.to_owned()),
                Kind::GroupUnopened => ("unexpected )", pattern.to_owned()),
                Kind::RepetitionMissing => {
                    ("missing argument to repetition operator", until(from(span.start.offset), 1))
                }
                Kind::RepetitionCountInvalid | Kind::DecimalInvalid => {
                    ("invalid repeat count", part.to_owned())
                }
                Kind::FlagUnrecognized | Kind::UnsupportedLookAround | Kind::UnsupportedBackreference => {
                    let start = translated.get(..span.end.offset).and_then(|text| text.rfind("(?"));
                    let rest = from(start.unwrap_or(span.start.offset));
                    if rest.starts_with("(?<") {
                        ("invalid named capture", rest.to_owned())
                    } else {
                        ("invalid or unsupported Perl syntax", until(rest, 3))
                    }
                }
                _ => return last_line(&e.to_string()),
            }
        }
        Translate(e) => {
            let span = e.span();
            let part = translated.get(span.start.offset..span.end.offset).unwrap_or_default();
            match e.kind() {
                regex_syntax::hir::ErrorKind::UnicodePropertyNotFound
                | regex_syntax::hir::ErrorKind::UnicodePropertyValueNotFound => {
                    ("invalid character class range", part.to_owned())
                }
                _ => return last_line(&e.to_string()),
            }
        }
        other => return last_line(&other.to_string()),
    };
    format!("{phrase}: `{part}`")
}

/// Errors of the parser quote the pattern in several lines, of which the last one gives the reason.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default();
    line.trim_start_matches("error:").trim().to_owned()
}

fn compile(translated: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?s:{translated})$"))
        .size_limit(REGEX_SIZE_LIMIT_BYTES)
        .build()
        .map_err(|e| last_line(&e.to_string()))
}

/// What every match begins or ends with. A match is the whole value, so that it is what the value begins or ends with.
fn common(hir: &Hir, kind: ExtractKind) -> String {
    let prefix = matches!(kind, ExtractKind::Prefix);
    let literals = Extractor::new().kind(kind).extract(hir);
    let bytes = if prefix { literals.longest_common_prefix() } else { literals.longest_common_suffix() };
    let bytes = bytes.unwrap_or_default();
    // Literals may part within a character.
    let whole = if prefix {
        bytes.utf8_chunks().next().map(|chunk| chunk.valid())
    } else {
        let start = bytes.iter().position(|b| !(0x80..0xc0).contains(b)).unwrap_or(bytes.len());
        bytes.get(start..).and_then(|rest| std::str::from_utf8(rest).ok())
    };
    whole.unwrap_or_default().to_owned()
}

/// Anchors at the ends say what holds anyway.
fn strip_anchors(hir: &Hir) -> &[Hir] {
    let mut parts = match hir.kind() {
        HirKind::Concat(parts) => &parts[..],
        _ => std::slice::from_ref(hir),
    };
    while let [first, rest @ ..] = parts
        && matches!(first.kind(), HirKind::Look(Look::Start))
    {
        parts = rest;
    }
    while let [rest @ .., last] = parts
        && matches!(last.kind(), HirKind::Look(Look::End))
    {
        parts = rest;
    }
    parts
}

fn fast(parts: &[Hir]) -> Option<Strategy> {
    if let Some(mut set) = product(parts) {
        set.sort_unstable();
        set.dedup();
        return Some(Strategy::Set(set.into_iter().map(String::into_boxed_str).collect()));
    }
    if let [only] = parts {
        let mut inner = only;
        while let HirKind::Capture(capture) = inner.kind() {
            inner = &capture.sub;
        }
        if let HirKind::Alternation(branches) = inner.kind() {
            return branches
                .iter()
                .map(|b| glob(strip_anchors(b)))
                .collect::<Option<_>>()
                .map(Strategy::Globs);
        }
        return glob(strip_anchors(inner)).map(|glob| Strategy::Globs(vec![glob]));
    }
    glob(parts).map(|glob| Strategy::Globs(vec![glob]))
}

/// All texts that the parts match behind one another, if they are few.
fn product(parts: &[Hir]) -> Option<Vec<String>> {
    let mut texts = vec![String::new()];
    for part in parts {
        texts = cross(&texts, &literals(part)?)?;
    }
    Some(texts)
}

fn cross(heads: &[String], tails: &[String]) -> Option<Vec<String>> {
    let count = heads.len() * tails.len();
    let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    let total = bytes(heads) * tails.len() + bytes(tails) * heads.len();
    if count > SET_LIMIT || total > SET_LIMIT_BYTES {
        return None;
    }
    Some(heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect())
}

/// All texts that `hir` matches, if they are few.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(ClassUnicodeRange::len).sum();
            let chars = || class.ranges().iter().flat_map(|range| range.start()..=range.end());
            (count <= SET_LIMIT).then(|| chars().map(String::from).collect())
        }
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Concat(parts) => product(parts),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(literals(branch)?);
                if all.len() > SET_LIMIT {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Repetition(repetition) => {
            let once = literals(&repetition.sub)?;
            let most = repetition.max?;
            let (mut exactly, mut all) = (vec![String::new()], Vec::new());
            for times in 0..=most {
                if times >= repetition.min {
                    all.extend_from_slice(&exactly);
                }
                if times < most {
                    exactly = cross(&exactly, &once)?;
                }
                if all.len() > SET_LIMIT {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
    }
}

/// The parts as literals and gaps, if they are nothing else.
fn glob(parts: &[Hir]) -> Option<Glob> {
    let mut glob = Glob::default();
    let mut gap = None;
    for part in parts.iter().flat_map(flatten) {
        match part.kind() {
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).ok()?;
                match gap.take() {
                    Some(gap) => glob.parts.push((gap, text.to_owned())),
                    None => glob.parts.last_mut().map_or(&mut glob.prefix, |(_, last)| last).push_str(text),
                }
            }
            HirKind::Repetition(repetition) if is_any_char(&repetition.sub) && repetition.max.is_none() => {
                gap = match (repetition.min, gap) {
                    (0, None) => Some(Gap::Any),
                    (0, gap) => gap,
                    (1, None | Some(Gap::Any)) => Some(Gap::NotEmpty),
                    _ => return None,
                };
            }
            HirKind::Empty => {}
            _ => return None,
        }
    }
    // The text ends with a literal, which may be empty; without any gap it would be a set.
    if let Some(gap) = gap {
        glob.parts.push((gap, String::new()));
    }
    Some(glob)
}

/// A part, or the parts of a group.
fn flatten(hir: &Hir) -> &[Hir] {
    match hir.kind() {
        HirKind::Concat(parts) => parts,
        HirKind::Capture(capture) => flatten(&capture.sub),
        _ => std::slice::from_ref(hir),
    }
}

fn is_any_char(hir: &Hir) -> bool {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        return false;
    };
    matches!(class.ranges(), [range] if range.start() == '\0' && range.end() == char::MAX)
}

impl Gap {
    fn bytes_min(self) -> usize {
        match self {
            Self::Any => 0,
            Self::NotEmpty => 1,
        }
    }
}

impl Glob {
    fn matches(&self, value: &str) -> bool {
        let Some(mut rest) = value.as_bytes().strip_prefix(self.prefix.as_bytes()) else {
            return false;
        };
        let Some(((last_gap, last), middle)) = self.parts.split_last() else {
            return rest.is_empty();
        };
        // The first occurrence leaves the most for what follows.
        for (gap, literal) in middle {
            let Some(behind_gap) = rest.get(gap.bytes_min()..) else {
                return false;
            };
            let Some(at) = memmem::find(behind_gap, literal.as_bytes()) else {
                return false;
            };
            rest = behind_gap.get(at + literal.len()..).unwrap_or_default();
        }
        rest.len() >= last_gap.bytes_min() + last.len() && rest.ends_with(last.as_bytes())
    }

    fn matches_all(&self) -> bool {
        self.prefix.is_empty() && matches!(&self.parts[..], [(Gap::Any, last)] if last.is_empty())
    }

    fn matches_all_but_empty(&self) -> bool {
        self.prefix.is_empty() && matches!(&self.parts[..], [(Gap::NotEmpty, last)] if last.is_empty())
    }
}
