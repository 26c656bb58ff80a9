//! Functions that templates of rules and of notifications have in common. Whoever makes templates adds those it wants.

pub mod humanize;
mod pattern;

use crate::format::quote;
use crate::object::{Function, text_argument};
use crate::value::{Type, Value};

pub use pattern::compile;

/// Every letter as a capital, where that is one letter.
pub fn to_upper(text: &str) -> String {
    map_chars(text, |c| single(c, c.to_uppercase()))
}

/// Every letter as a small one, where that is one letter.
pub fn to_lower(text: &str) -> String {
    map_chars(text, |c| single(c, c.to_lowercase()))
}

fn map_chars(text: &str, map: fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

/// The mapped character, where it is one: Go maps each character to one.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(mapped), None) => mapped,
        _ => c,
    }
}

/// Each word with a capital first, and small behind it. An apostrophe, a point and an underscore between letters are part
/// of a word.
pub fn title(text: &str) -> String {
    titled(text, |c: char| c.to_lowercase())
}

/// Each word with a capital first, and what stands behind it as it is.
pub fn title_keeping(text: &str) -> String {
    titled(text, std::iter::once)
}

/// A letter as the first of a word: some of those that are two have a form for that.
fn first(c: char) -> String {
    match c {
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ".to_owned(),
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ".to_owned(),
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ".to_owned(),
        'Ǳ' | 'ǲ' | 'ǳ' => "ǲ".to_owned(),
        c => {
            // `ß` is `Ss`, not `SS`.
            let mut upper = c.to_uppercase();
            let mut text: String = upper.next().into_iter().collect();
            text.extend(upper.flat_map(char::to_lowercase));
            text
        }
    }
}

fn titled<I: Iterator<Item = char>>(text: &str, behind: impl Fn(char) -> I) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_alphabetic() {
            if inside {
                out.extend(behind(c));
            } else {
                out.push_str(&first(c));
            }
            inside = true;
            continue;
        }
        out.push(c);
        let joins = matches!(c, '\'' | '\u{2019}' | '.' | '_' | ':')
            && rest.peek().is_some_and(|c| c.is_alphabetic());
        inside = inside && (joins || c == '_' || c.is_numeric());
    }
    out
}

/// `match`: whether a regular expression is found in a text.
pub fn matches() -> Function {
    Function::new([Type::Text, Type::Text], |args| {
        Ok(Value::Bool(compile(text_argument(args, 0))?.is_match(text_argument(args, 1))))
    })
}

/// `reReplaceAll`: a text in which all that an expression, the first argument, finds is replaced by the second.
pub fn replace_all() -> Function {
    Function::new([Type::Text, Type::Text, Type::Text], |args| {
        let [pattern, replacement, text] = [0, 1, 2].map(|index| text_argument(args, index));
        let expression =
            compile(pattern).map_err(|error| format!("regexp: Compile({}): {error}", quoted(pattern)))?;
        Ok(Value::from(expression.replace_all(text, replacement).into_owned()))
    })
}

/// An expression in the quotes in which Go shows it.
fn quoted(pattern: &str) -> String {
    let plain = |c: char| c == '\t' || !(c.is_control() || c == '`' || c == '\u{feff}');
    if pattern.chars().all(plain) { format!("`{pattern}`") } else { quote(pattern) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_capitals() {
        assert_eq!(title("this paRT of_it's 3rd"), "This Part Of_it's 3Rd");
        assert_eq!(title_keeping("this paRT"), "This PaRT");
        assert_eq!((to_upper("straße"), to_lower("ÀB")), ("STRAßE".to_owned(), "àb".to_owned()));
    }
}
