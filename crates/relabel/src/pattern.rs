//! Regular expressions as Prometheus means them (Go's syntax, which is RE2's), said in the syntax of the `regex` crate.
//!
//! The two agree but for details: `\d`, `\w`, `\s` and `\b` know ASCII only; a brace that is no repetition and a bracket
//! inside a class are themselves; `\Q…\E` quotes.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use crate::RuleError;

/// The compiled size of a rule's regular expression is bounded.
const SIZE_LIMIT_BYTES: usize = 4 << 20;

/// Compiles a pattern that has to match the whole text; `.` matches newlines too.
pub(crate) fn compile(pattern: &str) -> Result<Regex, RuleError> {
    RegexBuilder::new(&format!("^(?s:{})$", translate(pattern)))
        .size_limit(SIZE_LIMIT_BYTES)
        .build()
        .map_err(|error| RuleError::Regex { regex: pattern.to_owned(), reason: error.to_string() })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Q') => quoted(&mut rest, &mut out),
                Some('b') => out.push_str(r"(?-u:\b)"),
                Some(escaped) => match class(escaped) {
                    Some((negated, members)) => {
                        out.push_str(if negated { "[^" } else { "[" });
                        out.push_str(members);
                        out.push(']');
                    }
                    None => out.extend(['\\', escaped]),
                },
                None => out.push('\\'),
            },
            '[' => bracketed(&mut rest, &mut out),
            '{' if !is_repetition(rest.clone()) => out.push_str(r"\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether the class is negated, and its members.
fn class(letter: char) -> Option<(bool, &'static str)> {
    let members = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\x0c\r ",
        _ => return None,
    };
    Some((letter.is_ascii_uppercase(), members))
}

/// Copies what `\Q` quotes.
fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// Copies a class in brackets, behind the opening one.
fn bracketed(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    out.extend(rest.next_if_eq(&'^'));
    if rest.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
    while let Some(c) = rest.next() {
        match c {
            ']' => {
                out.push(']');
                return;
            }
            '[' if rest.peek() == Some(&':') => named_class(rest, out),
            '[' | '&' | '~' => out.extend(['\\', c]),
            '\\' => match rest.next() {
                Some(escaped) => match class(escaped) {
                    Some((false, members)) => out.push_str(members),
                    Some((true, members)) => {
                        out.push_str("[^");
                        out.push_str(members);
                        out.push(']');
                    }
                    None => out.extend(['\\', escaped]),
                },
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
}

/// Copies `[:alpha:]` and the like, behind the opening bracket.
fn named_class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    for c in rest.by_ref() {
        out.push(c);
        if c == ']' {
            return;
        }
    }
}

/// Whether what follows an opening brace makes it a repetition: `2}`, `2,}`, `2,3}`.
fn is_repetition(rest: Peekable<Chars<'_>>) -> bool {
    let inner: String = rest.take_while(|c| *c != '}' && (c.is_ascii_digit() || *c == ',')).collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match inner.split_once(',') {
        Some((low, high)) => digits(low) && (high.is_empty() || digits(high)),
        None => digits(&inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let regex = compile(pattern).unwrap();
        for text in matching {
            assert!(regex.is_match(text), "{pattern} should match {text:?}");
        }
        for text in others {
            assert!(!regex.is_match(text), "{pattern} should not match {text:?}");
        }
    }

    #[test]
    fn patterns_of_go() {
        check("f|o", &["f", "o"], &["fo"]);
        check("a.c", &["a\nc"], &[]);
        check(r"\d+", &["12"], &["١٢"]);
        check(r"\w", &["a"], &["ä"]);
        check(r"\W", &["ä"], &["a"]);
        check(r"[^\d]", &["a"], &["1"]);
        check(r"[\D]", &["a"], &["1"]);
        check(r"a\b.*", &["a b"], &["ab"]);
        check("a{2}", &["aa"], &["a{2}"]);
        check("a{,2}", &["a{,2}"], &["aa"]);
        check("{{x}}", &["{{x}}"], &["x"]);
        check("[[a]", &["[", "a"], &["]"]);
        check("[]a]", &["]", "a"], &["["]);
        check("[a&&b]", &["a", "&", "b"], &[]);
        check("[[:alpha:]1]+", &["ab1"], &["2"]);
        check(r"\Qa.b\E.", &["a.bc"], &["axbc"]);
        check(r"\.", &["."], &["a"]);
        check(r"(?i)ab", &["AB"], &[]);
    }

    #[test]
    fn bad_and_huge_patterns_are_refused() {
        assert!(compile("(").is_err());
        assert!(compile(r"\").is_err());
        assert!(compile("((a{1000}){1000}){1000}").is_err());
    }
}
