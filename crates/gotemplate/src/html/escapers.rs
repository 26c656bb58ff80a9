//! The functions that escape. Their names are none that a template can write.

use std::fmt::Write;

use super::context::{Kind, kind_of};
use crate::format::{sprint, sprint_pointed};
use crate::object::{Function, Outcome};
use crate::value::{Safe, Type, Value};

pub(super) const TEXT: &str = "_html_template_htmlescaper";
pub(super) const RAW_TEXT: &str = "_html_template_rcdataescaper";
pub(super) const ATTRIBUTE: &str = "_html_template_attrescaper";
pub(super) const NO_SPACE: &str = "_html_template_nospaceescaper";
pub(super) const ATTRIBUTE_NAME: &str = "_html_template_htmlnamefilter";
pub(super) const URL_FILTER: &str = "_html_template_urlfilter";
pub(super) const URL_NORMALIZED: &str = "_html_template_urlnormalizer";
pub(super) const URL_QUERY: &str = "_html_template_urlescaper";
pub(super) const CSS_VALUE: &str = "_html_template_cssvaluefilter";
pub(super) const CSS_TEXT: &str = "_html_template_cssescaper";
pub(super) const COMMENT: &str = "_html_template_commentescaper";
pub(super) const EVALUATED: &str = "_eval_args_";

/// What stands for a value that must not stand where it would.
const REFUSED: &str = "ZgotmplZ";

/// The escapers by name.
pub(super) fn functions() -> [(&'static str, Function); 12] {
    let function = |body: fn(Option<Safe>, &str) -> String| {
        Function::variadic([], Type::Any, move |args| {
            let (safe, text) = shown(args)?;
            Ok(Value::from(body(safe, &text)))
        })
    };
    [
        (TEXT, function(|safe, text| if safe == Some(Safe::Html) { text.to_owned() } else { html(text) })),
        (
            RAW_TEXT,
            function(|safe, text| if safe == Some(Safe::Html) { html_again(text) } else { html(text) }),
        ),
        (
            ATTRIBUTE,
            function(|safe, text| match safe {
                Some(Safe::Html) => html_again(&without_tags(text)),
                _ => html(text),
            }),
        ),
        (
            NO_SPACE,
            function(|safe, text| match safe {
                _ if text.is_empty() => REFUSED.to_owned(),
                Some(Safe::Html) => without_spaces(&without_tags(text), false),
                _ => without_spaces(text, true),
            }),
        ),
        (ATTRIBUTE_NAME, function(attribute_name)),
        (URL_FILTER, Function::variadic([], Type::Any, url_filter)),
        (URL_NORMALIZED, function(|_, text| url(text, true))),
        (URL_QUERY, function(|safe, text| url(text, safe == Some(Safe::Url)))),
        (
            CSS_VALUE,
            function(|safe, text| if safe == Some(Safe::Css) { text.to_owned() } else { css_value(text) }),
        ),
        (CSS_TEXT, function(|_, text| css_text(text))),
        (COMMENT, function(|_, _| String::new())),
        (
            EVALUATED,
            Function::variadic([], Type::Any, |args| match args {
                [one] => Ok(one.clone()),
                args => Ok(Value::from(sprint(args)?)),
            }),
        ),
    ]
}

/// The values as one text, and in which context it is safe. Nothing is no text.
fn shown(arguments: &[Value]) -> Result<(Option<Safe>, String), String> {
    match arguments {
        [Value::Safe(safe, text)] => Ok((Some(*safe), text.to_string())),
        arguments => {
            let something: Vec<Value> =
                arguments.iter().filter(|value| !matches!(value, Value::Nil)).cloned().collect();
            Ok((None, sprint_pointed(&something)?))
        }
    }
}

/// The reference of a character that means something in HTML.
fn reference(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "\u{fffd}",
        '"' => "&#34;",
        '\'' => "&#39;",
        '+' => "&#43;",
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        _ => return None,
    })
}

fn html(text: &str) -> String {
    replaced(text, reference)
}

/// What is HTML already, for where tags mean nothing: references stay.
fn html_again(text: &str) -> String {
    replaced(text, |c| if c == '&' { None } else { reference(c) })
}

fn replaced(text: &str, replacement: impl Fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match replacement(c) {
            Some(replacement) => out.push_str(replacement),
            None => out.push(c),
        }
    }
    out
}

/// For values without quotes.
fn without_spaces(text: &str, ampersands: bool) -> String {
    replaced(text, |c| match c {
        '\0' => Some("&#xfffd;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\u{b}' => Some("&#11;"),
        '\u{c}' => Some("&#12;"),
        '\r' => Some("&#13;"),
        ' ' => Some("&#32;"),
        '=' => Some("&#61;"),
        '`' => Some("&#96;"),
        '&' if !ampersands => None,
        c => reference(c),
    })
}

/// HTML without its tags and comments.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let end = if tag.starts_with("<!--") {
            tag.find("-->").map(|at| at + 3)
        } else {
            tag.find('>').map(|at| at + 1)
        };
        let named = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match end {
            Some(end) if named => rest = &tag[end..],
            None if named => return out,
            _ => {
                out.push('<');
                rest = &tag[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn attribute_name(safe: Option<Safe>, text: &str) -> String {
    if safe == Some(Safe::Attribute) {
        return text.to_owned();
    }
    let name = text.to_ascii_lowercase();
    let plain = !name.is_empty()
        && kind_of(&name) == Kind::Plain
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { name } else { REFUSED.to_owned() }
}

/// A URL of a scheme that does nothing by itself, or of none.
fn url_filter(arguments: &[Value]) -> Outcome {
    let (safe, text) = shown(arguments)?;
    if safe == Some(Safe::Url) {
        return Ok(Value::Safe(Safe::Url, text.into()));
    }
    let harmless = match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        }
        _ => true,
    };
    Ok(Value::from(if harmless { text } else { format!("#{REFUSED}") }))
}

/// A text in a URL: percent-encoded; `whole` leaves what means something in URLs, and what is encoded already.
fn url(text: &str, whole: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    for (at, byte) in bytes.iter().enumerate() {
        let encoded = || matches!(bytes.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        let keeps = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@'
            | b'[' | b']' => whole,
            b'%' => whole && encoded(),
            byte => byte.is_ascii_alphanumeric(),
        };
        if keeps {
            out.push(char::from(*byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

/// A value of CSS: a word, a number, a colour; nothing that could end it or call something.
fn css_value(text: &str) -> String {
    let mut words = String::new();
    let mut before = '\0';
    for c in text.chars() {
        let forbidden = matches!(
            c,
            '\0' | '"' | '\'' | '(' | ')' | '/' | ';' | '@' | '[' | '\\' | ']' | '`' | '{' | '}' | '<' | '>'
        );
        if forbidden || (c == '-' && before == '-') {
            return REFUSED.to_owned();
        }
        if c.is_ascii_alphanumeric() {
            words.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    match words.contains("expression") || words.contains("mozbinding") {
        true => REFUSED.to_owned(),
        false => text.to_owned(),
    }
}

/// A text between quotes in CSS.
fn css_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        let special = matches!(
            c,
            '\0'..='\x1f'
                | '"'
                | '&'
                | '\''
                | '('
                | ')'
                | '+'
                | '/'
                | ':'
                | ';'
                | '<'
                | '>'
                | '{'
                | '}'
                | '\\'
        );
        if special {
            // Writing to a text does not fail.
            let _ = if c == '\\' { out.write_str("\\\\") } else { write!(out, "\\{:x}", u32::from(c)) };
            escaped = c != '\\';
            continue;
        }
        // A space ends the escape before what could be its next digit.
        if escaped && (c.is_ascii_hexdigit() || c == ' ' || c == '\t') {
            out.push(' ');
        }
        out.push(c);
        escaped = false;
    }
    if escaped {
        out.push(' ');
    }
    out
}
