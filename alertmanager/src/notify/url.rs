//! Parts of URLs, written as Go writes them: receivers see the same characters from us as from upstream.

use std::fmt::Write;

/// A text in the path of a URL: slashes stay.
pub(super) fn path_text(text: &str) -> String {
    encoded(text, |byte| b"$&+,/:;=@-_.~".contains(&byte))
}

/// A text in a query, or in a form: a space is a plus.
pub(super) fn query_text(text: &str) -> String {
    encoded(text, |byte| b"-_.~ ".contains(&byte)).replace(' ', "+")
}

/// A form of these names and values, in the order of the names.
pub(super) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
    pairs.sort_by_key(|(name, _)| *name);
    let shown: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", query_text(name), query_text(value))).collect();
    shown.join("&")
}

/// A URL with a path behind its own; what stands in its query stays there.
pub(super) fn joined(url: &str, path: &str) -> String {
    let (base, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    format!("{}/{}{rest}", base.trim_end_matches('/'), path.trim_start_matches('/'))
}

/// A URL with another query.
pub(super) fn with_query(url: &str, query: &str) -> String {
    let base = url.split(['?', '#']).next().unwrap_or_default();
    format!("{base}?{query}")
}

fn encoded(text: &str, keeps: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keeps(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_encoded_for_where_they_stand() {
        assert_eq!(path_text("a b/c?ü*"), "a%20b/c%3F%C3%BC%2A");
        assert_eq!(query_text("a b+c~*/"), "a+b%2Bc~%2A%2F");
        assert_eq!(form([("b", "x y"), ("a", "&")]), "a=%26&b=x+y");
    }

    #[test]
    fn paths_go_behind_those_of_urls() {
        assert_eq!(joined("http://x/a/?q=1", "/b/c"), "http://x/a/b/c?q=1");
        assert_eq!(joined("http://x", "b"), "http://x/b");
        assert_eq!(with_query("http://x/a?b=c#d", "e=f"), "http://x/a?e=f");
    }
}
