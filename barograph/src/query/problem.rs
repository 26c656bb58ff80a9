//! What the server has to say about a query, with a mark below the place that it means.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::answer::{Answer, Failure};

/// Warnings and infos.
pub(super) fn annotations(answer: &Answer, expression: &str) -> String {
    let mut out = String::new();
    for (kind, texts) in [("warning", &answer.warnings), ("info", &answer.infos)] {
        for text in texts {
            push(&mut out, kind, text, place(text), expression);
        }
    }
    out
}

/// An error.
pub(super) fn failure(failure: &Failure, expression: &str) -> String {
    let mut out = String::new();
    let kind = if failure.kind.is_empty() { "error".to_owned() } else { format!("error ({})", failure.kind) };
    push(&mut out, &kind, &failure.message, place(&failure.message), expression);
    out
}

fn push(out: &mut String, kind: &str, text: &str, place: Option<(usize, usize)>, expression: &str) {
    // Control characters of a foreign server have no business in a terminal.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Writing to a String does not fail.
    let _ = writeln!(out, "{kind}: {text}");
    if let Some(marked) = place.and_then(|(line, column)| marked(expression, line, column)) {
        out.push_str(&marked);
    }
}

/// The line of an expression, and a caret below a column; both count from 1, columns in bytes.
fn marked(expression: &str, line: usize, column: usize) -> Option<String> {
    let text = expression.lines().nth(line.checked_sub(1)?)?;
    let before = text.get(..column.checked_sub(1)?.min(text.len())).or_else(|| {
        let end = text.floor_char_boundary(column - 1);
        text.get(..end)
    })?;
    // Tabs stay tabs, so that the caret is below its place whatever they are worth.
    let padding: String = before
        .chars()
        .map(|c| if c == '\t' { "\t".to_owned() } else { " ".repeat(c.to_string().width()) })
        .collect();
    Some(format!("  {text}\n  {padding}^\n"))
}

/// The place that a message names: `3:14: parse error` at its start or behind a colon, or `(3:14)` at its end.
fn place(message: &str) -> Option<(usize, usize)> {
    if let Some(at) = message.find(": parse error:") {
        let before = message.get(..at)?;
        let start = before.rfind(' ').map_or(0, |space| space + 1);
        return line_and_column(before.get(start..)?);
    }
    let inner = message.trim_end().strip_suffix(')')?;
    line_and_column(inner.get(inner.rfind('(')? + 1..)?)
}

fn line_and_column(text: &str) -> Option<(usize, usize)> {
    let (line, column) = text.split_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expression: &str, expected: &str) {
        let failed = Failure { kind: "bad_data".into(), message: message.into() };
        assert_eq!(failure(&failed, expression), format!("error (bad_data): {message}\n{expected}"));
    }

    #[test]
    fn a_caret_marks_the_place() {
        check(
            r#"invalid parameter "query": 1:5: parse error: unexpected end of input"#,
            "sum(",
            "  sum(\n      ^\n",
        );
        check("2:3: parse error: no", "sum(\n\tup)", "  \tup)\n  \t ^\n");
        check("1:7: parse error: no", "\"日\" + )", "  \"日\" + )\n       ^\n");
        check("1:99: parse error: no", "up", "  up\n    ^\n");
        check("9:1: parse error: no", "up", "");
        check("something else", "up", "");
    }

    #[test]
    fn annotations_are_marked_where_they_have_a_place() {
        let answer = Answer::parse(
            r#"{"status":"success","data":[],"warnings":["short"],"infos":["PromQL info: metric might not be a counter (1:6)"]}"#,
        );
        let text = annotations(&answer.expect("an answer"), "rate(up[5m])");
        let expected = "warning: short\ninfo: PromQL info: metric might not be a counter (1:6)\n  rate(up[5m])\n       ^\n";
        assert_eq!(text, expected);
    }
}
