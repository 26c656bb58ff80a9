//! The natural order of texts: runs of digits compare as numbers, so that `node10` comes after `node9`.

use std::cmp::Ordering;

/// Compares in natural order; texts that differ only in leading zeros compare by their bytes.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (chunk_a, chunk_b) = (chunk(rest_a), chunk(rest_b));
        let digits = |c: &str| c.as_bytes().first().is_some_and(u8::is_ascii_digit);
        let order = if digits(chunk_a) && digits(chunk_b) {
            let (x, y) = (chunk_a.trim_start_matches('0'), chunk_b.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            chunk_a.cmp(chunk_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        rest_a = &rest_a[chunk_a.len()..];
        rest_b = &rest_b[chunk_b.len()..];
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// The run of digits, or of anything else, at the start.
fn chunk(text: &str) -> &str {
    let digits = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let length = text.bytes().take_while(|b| b.is_ascii_digit() == digits).count();
    &text[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts() {
        let mut names = ["b1", "a10", "a9", "a", "a09b", "", "a9b"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["", "a", "a9", "a09b", "a9b", "a10", "b1"]);
    }
}
