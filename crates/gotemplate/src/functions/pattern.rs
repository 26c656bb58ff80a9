//! Regular expressions of Go for the `regex` crate, where captures are needed: classes know ASCII only, brackets are flat.

use regex::{Regex, RegexBuilder};

/// The largest compiled expression, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Compiles an expression that is found anywhere in a text; what is wrong with it is said in the words of Go.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    model::Matcher::new("", model::MatchOp::Regex, pattern).map_err(|error| error.to_string())?;
    RegexBuilder::new(&translate(pattern))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|_| format!("error parsing regexp: expression nests too deeply: `{pattern}`"))
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut bracket = false;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Q') => {
                    let (quoted, behind) = rest.as_str().split_once("\\E").unwrap_or((rest.as_str(), ""));
                    out.push_str(&regex::escape(quoted));
                    rest = behind.chars();
                }
                Some('b') if !bracket => out.push_str(r"(?-u:\b)"),
                Some('B') if !bracket => out.push_str(r"(?-u:\B)"),
                Some(letter) => out.push_str(&class(letter).unwrap_or_else(|| format!("\\{letter}"))),
                None => out.push('\\'),
            },
            '[' if bracket && rest.as_str().starts_with(':') => {
                // A named class keeps its own brackets.
                let end = rest.as_str().find(":]").map_or(0, |end| end + ":]".len());
                out.push('[');
                out.push_str(&rest.as_str()[..end]);
                rest = rest.as_str()[end..].chars();
            }
            '[' if bracket => out.push_str("\\["),
            '&' | '~' if bracket => out.extend(['\\', c]),
            '[' => {
                bracket = true;
                out.push('[');
                for (first, written) in [("^", "^"), ("]", "\\]")] {
                    if let Some(behind) = rest.as_str().strip_prefix(first) {
                        out.push_str(written);
                        rest = behind.chars();
                    }
                }
            }
            ']' => {
                bracket = false;
                out.push(']');
            }
            '{' if !bracket && !is_repetition(rest.as_str()) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// A class of one letter as it is in Go; brackets may stand in brackets.
fn class(letter: char) -> Option<String> {
    let members = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\f\r ",
        _ => return None,
    };
    let negated = if letter.is_ascii_uppercase() { "^" } else { "" };
    Some(format!("[{negated}{members}]"))
}

/// Whether what follows a brace makes it a repetition: `2}`, `2,}`, `2,3}`.
fn is_repetition(rest: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.split_once('}').is_some_and(|(inside, _)| match inside.split_once(',') {
        None => digits(inside),
        Some((low, high)) => digits(low) && (high.is_empty() || digits(high)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_found_as_in_go() {
        let replaced =
            |pattern: &str, text: &str| compile(pattern).unwrap().replace_all(text, "<$1>").into_owned();
        assert_eq!(replaced(r"(\d+)", "a12 ٣"), "a<12> ٣");
        assert_eq!(replaced(r"([\w.]+)@x", "é.b@x"), "é<.b>");
        assert_eq!(replaced(r"([[:alpha:]&&b]+)", "a&b1"), "<a&b>1");
        assert_eq!(replaced(r"([]a]+)", "]a["), "<]a>[");
        assert_eq!(replaced(r"(\Qa.b\E)", "a.b axb"), "<a.b> axb");
        assert_eq!(replaced(r"({x)", "{x"), "<{x>");
        assert_eq!(
            compile("*").unwrap_err(),
            "error parsing regexp: missing argument to repetition operator: `*`"
        );
    }
}
