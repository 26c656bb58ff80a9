//! The text of a template read as HTML: how it changes the context. Comments are left out of what is written.

use super::context::{Context, Delimiter, Element, State, UrlPart, kind_of};
use super::element_of;

/// Space, as HTML has it.
const SPACES: [char; 5] = [' ', '\t', '\n', '\u{c}', '\r'];
/// How much of a text is shown where an attribute's name is wrong, in characters.
const MAX_SHOWN_CHARS: usize = 32;

/// Walks a text from a context on: the context behind it, and what of it is written.
pub(super) fn walk(mut context: Context, text: &str) -> Result<(Context, String), String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (next, length) = step(context, rest)?;
        let (passed, behind) = rest.split_at(length);
        if context.state == State::Comment {
            // Not written.
        } else if next.state == State::Comment {
            write_text(&mut out, &passed[..passed.len() - "<!--".len()]);
        } else if matches!(context.state, State::Text | State::RawText)
            && context.delimiter == Delimiter::None
        {
            // The tag that ends the text is none of it.
            let tag = if next.state == context.state { None } else { passed.rfind('<') };
            let (text, tag) = passed.split_at(tag.unwrap_or(length));
            write_text(&mut out, text);
            out.push_str(tag);
        } else {
            out.push_str(passed);
        }
        if length == 0 && next == context {
            return Err(format!("unexpected text in HTML: {}", crate::format::quote(rest)));
        }
        context = next;
        rest = behind;
    }
    Ok((context, out))
}

/// Writes text outside of tags: an angle bracket that opens none is escaped, but for that of the document's type.
fn write_text(out: &mut String, text: &str) {
    const TYPE: &str = "<!doctype";
    let mut parts = text.split('<');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let is_type = part.get(..TYPE.len() - 1).is_some_and(|part| part.eq_ignore_ascii_case(&TYPE[1..]));
        out.push_str(if is_type { "<" } else { "&lt;" });
        out.push_str(part);
    }
}

/// The next change of context, and how many bytes of the text come before it. A change without a byte is one of state.
fn step(context: Context, text: &str) -> Result<(Context, usize), String> {
    if context.delimiter != Delimiter::None {
        return Ok(value(context, text));
    }
    Ok(match context.state {
        State::Text => html(context, text),
        State::Tag => return tag(context, text),
        State::AttributeName => {
            let length = name_length(text, 0)?;
            let state = if length < text.len() { State::AfterName } else { State::AttributeName };
            (Context { state, ..context }, length)
        }
        State::AfterName => {
            let spaces = text.len() - text.trim_start_matches(SPACES).len();
            match text[spaces..].chars().next() {
                None => (context, text.len()),
                Some('=') => (Context { state: State::BeforeValue, ..context }, spaces + 1),
                Some(_) => (Context { state: State::Tag, kind: Default::default(), ..context }, spaces),
            }
        }
        State::BeforeValue => before_value(context, text),
        State::Comment => match text.find("-->") {
            Some(at) => (Context { state: State::Text, ..context }, at + "-->".len()),
            None => (context, text.len()),
        },
        State::RawText | State::Script => element(context, text),
        State::Css | State::CssDoubleQuoted | State::CssSingleQuoted | State::CssComment | State::CssUrl => {
            let end = content_end(context, text);
            match end {
                Some(0) => element(context, text),
                end => css(context, &text[..end.unwrap_or(text.len())]),
            }
        }
        State::Attribute | State::Url | State::Dead => (context, text.len()),
    })
}

fn html(context: Context, text: &str) -> (Context, usize) {
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let tag = &text[at + found..];
        if tag.starts_with("<!--") {
            return (Context { state: State::Comment, ..context }, at + found + "<!--".len());
        }
        let closes = tag.starts_with("</");
        let name_start = if closes { 2 } else { 1 };
        let length = tag[name_start..]
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':'))
            .count();
        if length > 0 && tag[name_start..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            let name = &tag[name_start..name_start + length];
            let element = if closes { Element::None } else { element_of(name) };
            return (Context { state: State::Tag, element, ..context }, at + found + name_start + length);
        }
        at += found + 1;
    }
    (context, text.len())
}

fn tag(context: Context, text: &str) -> Result<(Context, usize), String> {
    let spaces = text.len() - text.trim_start_matches(SPACES).len();
    let rest = &text[spaces..];
    if rest.is_empty() {
        return Ok((context, text.len()));
    }
    if rest.starts_with('>') {
        let state = match context.element {
            Element::None => State::Text,
            Element::Script => State::Script,
            Element::Style => State::Css,
            Element::Textarea | Element::Title => State::RawText,
        };
        return Ok((Context { state, element: context.element, ..Context::default() }, spaces + 1));
    }
    let length = name_length(text, spaces)?;
    if length == 0 {
        let rest = crate::format::quote(rest);
        return Err(format!("expected space, attr name, or end of tag, but got {rest}"));
    }
    let kind = kind_of(&rest[..length]);
    let state = if length < rest.len() { State::AfterName } else { State::AttributeName };
    Ok((Context { state, kind, ..context }, spaces + length))
}

/// How many bytes an attribute's name has that begins behind the first `start` bytes of a text. What is wrong is shown with the
/// start of the text, as Go shows it.
fn name_length(text: &str, start: usize) -> Result<usize, String> {
    let rest = &text[start..];
    for (at, c) in rest.char_indices() {
        match c {
            '=' | '>' => return Ok(at),
            '\'' | '"' | '<' => {
                let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
                let (c, shown) = (crate::format::quote(&c.to_string()), crate::format::quote(&shown));
                return Err(format!("{c} in attribute name: {shown}"));
            }
            c if SPACES.contains(&c) => return Ok(at),
            _ => {}
        }
    }
    Ok(rest.len())
}

fn before_value(context: Context, text: &str) -> (Context, usize) {
    let spaces = text.len() - text.trim_start_matches(SPACES).len();
    let (delimiter, length) = match text[spaces..].chars().next() {
        None => return (context, text.len()),
        Some('"') => (Delimiter::Double, 1),
        Some('\'') => (Delimiter::Single, 1),
        Some(_) => (Delimiter::Space, 0),
    };
    let begun = Context { state: context.value_state(), delimiter, url: UrlPart::Start, ..context };
    (begun, spaces + length)
}

/// Inside of an attribute's value.
fn value(context: Context, text: &str) -> (Context, usize) {
    let end = match context.delimiter {
        Delimiter::Double => text.find('"'),
        Delimiter::Single => text.find('\''),
        Delimiter::Space => text.find(|c: char| SPACES.contains(&c) || c == '>'),
        Delimiter::None => None,
    };
    if end == Some(0) {
        let quote = usize::from(context.delimiter != Delimiter::Space);
        let tag = Context { state: State::Tag, element: context.element, ..Context::default() };
        return (tag, quote);
    }
    let inside = &text[..end.unwrap_or(text.len())];
    match context.state {
        State::Url => (url(context, inside), inside.len()),
        State::Css | State::CssDoubleQuoted | State::CssSingleQuoted | State::CssComment | State::CssUrl => {
            // References stand for characters here; in styles of mails they are quotes, if anything.
            css(context, inside)
        }
        _ => (context, inside.len()),
    }
}

fn url(context: Context, text: &str) -> Context {
    if text.contains(['#', '?']) {
        return Context { url: UrlPart::Query, ..context };
    }
    if context.url == UrlPart::Start && !text.trim_matches(SPACES).is_empty() {
        return Context { url: UrlPart::BeforeQuery, ..context };
    }
    context
}

/// Where the end tag of the open element begins.
fn content_end(context: Context, text: &str) -> Option<usize> {
    let name = match context.element {
        Element::None => return None,
        Element::Script => "script",
        Element::Style => "style",
        Element::Textarea => "textarea",
        Element::Title => "title",
    };
    text.match_indices("</").map(|(at, _)| at).find(|at| {
        let rest = &text[at + 2..];
        let named = rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        named && rest[name.len()..].starts_with(|c: char| SPACES.contains(&c) || c == '>' || c == '/')
    })
}

/// The content of an element that is no HTML, up to its end tag.
fn element(context: Context, text: &str) -> (Context, usize) {
    match content_end(context, text) {
        Some(0) => {
            let name = text["</".len()..].bytes().take_while(u8::is_ascii_alphabetic).count();
            (Context { state: State::Tag, ..Context::default() }, "</".len() + name)
        }
        Some(at) => (context, at),
        None => (context, text.len()),
    }
}

/// The next change of context in CSS.
fn css(context: Context, text: &str) -> (Context, usize) {
    let to = |state, length| (Context { state, ..context }, length);
    match context.state {
        State::CssDoubleQuoted => string(text, '"').map_or((context, text.len()), |at| to(State::Css, at)),
        State::CssSingleQuoted => string(text, '\'').map_or((context, text.len()), |at| to(State::Css, at)),
        State::CssComment => match text.find("*/") {
            Some(at) => to(State::Css, at + 2),
            None => (context, text.len()),
        },
        State::CssUrl => match text.find(')') {
            Some(at) => to(State::Css, at + 1),
            None => (context, text.len()),
        },
        _ => {
            let lower = text.to_ascii_lowercase();
            let marks = [
                ("\"", State::CssDoubleQuoted),
                ("'", State::CssSingleQuoted),
                ("/*", State::CssComment),
                ("url(", State::CssUrl),
            ];
            let first =
                marks.iter().filter_map(|(mark, state)| lower.find(mark).map(|at| (at, mark.len(), *state)));
            match first.min_by_key(|(at, ..)| *at) {
                Some((at, length, state)) => to(state, at + length),
                None => (context, text.len()),
            }
        }
    }
}

/// Behind the end of a string of CSS.
fn string(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
