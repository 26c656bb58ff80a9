//! JSON as Prometheus writes it, appended to a buffer: no tree of values in between.
//!
//! Strings come in two kinds: label names and values escape only what JSON must; all other texts also escape `<`, `>`
//! and `&`, because Go's encoder does.

use model::{Exemplar, Labels};

use super::float::{push_timestamp, push_value};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a string as label names and values are written.
pub(crate) fn push_label_text(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |byte| byte < 0x20 || byte == b'"' || byte == b'\\');
}

/// Appends a string as everything else is written.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    // U+2028 and U+2029 begin with this byte.
    const SEPARATORS_START: u8 = 0xe2;
    if !text.as_bytes().contains(&SEPARATORS_START) {
        push_escaped(out, text, |byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&'));
        return;
    }
    let mut rest = text;
    out.push(b'"');
    while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
        push_unquoted_text(out, &rest[..at]);
        out.extend_from_slice(if rest[at..].starts_with('\u{2028}') { b"\\u2028" } else { b"\\u2029" });
        rest = &rest[at + '\u{2028}'.len_utf8()..];
    }
    push_unquoted_text(out, rest);
    out.push(b'"');
}

/// Appends an array of strings.
pub(crate) fn push_texts<'a>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = &'a str>) {
    push_array(out, texts, push_text);
}

/// Appends an array, each item written by `push`.
pub(crate) fn push_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Appends a label set as an object.
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_label_text(out, name);
        out.push(b':');
        push_label_text(out, value);
    }
    out.push(b'}');
}

/// Appends `"value"`, as samples have it.
pub(crate) fn push_quoted_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    push_value(out, value);
    out.push(b'"');
}

/// Appends an exemplar.
pub(crate) fn push_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b"{\"labels\":");
    push_labels(out, &exemplar.labels);
    out.extend_from_slice(b",\"value\":");
    push_quoted_value(out, exemplar.value);
    out.extend_from_slice(b",\"timestamp\":");
    push_timestamp(out, exemplar.timestamp_ms);
    out.push(b'}');
}

fn push_escaped(out: &mut Vec<u8>, text: &str, special: impl Fn(u8) -> bool) {
    out.push(b'"');
    push_unquoted(out, text, special);
    out.push(b'"');
}

fn push_unquoted_text(out: &mut Vec<u8>, text: &str) {
    push_unquoted(out, text, |byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&'));
}

fn push_unquoted(out: &mut Vec<u8>, text: &str, special: impl Fn(u8) -> bool) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if !special(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[copied..i]);
        copied = i + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 0xf)]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_escape_html_and_labels_do_not() {
        let text = "a<b>&\"\\\n\u{1}\u{2028}ü";
        assert_eq!(written(|out| push_text(out, text)), r#""a\u003cb\u003e\u0026\"\\\n\u0001\u2028ü""#);
        assert_eq!(written(|out| push_label_text(out, "a<b>&\"\\\n\u{1}ü")), r#""a<b>&\"\\\n\u0001ü""#);
    }

    proptest! {
        #[test]
        fn every_text_reads_back(text in any::<String>()) {
            let read = |json: String| serde_json::from_str::<String>(&json).unwrap();
            prop_assert_eq!(&read(written(|out| push_text(out, &text))), &text);
            prop_assert_eq!(&read(written(|out| push_label_text(out, &text))), &text);
        }
    }
}
