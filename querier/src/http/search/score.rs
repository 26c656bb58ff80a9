//! How well a text answers a search term. The scores are those that Prometheus' search API gives.

/// What a match that is not exact is scaled by, so that it stays below an exact one.
const INEXACT: f64 = 0.999;

/// How much of a common beginning counts for Jaro-Winkler, and how much each character of it.
const PREFIX_CHARACTERS: usize = 4;
const PREFIX_WEIGHT: f64 = 0.1;

/// Where `term` stands in `text`: 1 at the beginning, down to 0.1 at the end; `None` where it does not.
pub(super) fn substring(term: &str, text: &str) -> Option<f64> {
    let at = text.find(term)?;
    if at == 0 {
        return Some(1.0);
    }
    let position = text[..at].chars().count();
    let last = text.chars().count().saturating_sub(term.chars().count());
    Some(if last == 0 { 1.0 } else { 1.0 - 0.9 * position as f64 / last as f64 })
}

/// How well `term` can be read out of `text` by leaving characters out; `None` where it cannot, 1 where `text` begins with
/// it.
///
/// Runs of adjacent characters count by the square of their length. Characters left out before and between them cost,
/// those behind half as much. Reading is greedy; of all places where it can begin the best counts.
pub(super) fn subsequence(term: &str, text: &str) -> Option<f64> {
    if text.starts_with(term) {
        return Some(1.0);
    }
    let (term, text): (Vec<char>, Vec<char>) = (term.chars().collect(), text.chars().collect());
    let first = *term.first()?;
    let starts = text.len().checked_sub(term.len())?;
    let begins = (0..=starts).filter(|start| text[*start] == first);
    // Where the rest is not found behind one beginning it is not found behind a later one either.
    let scores = begins.map_while(|start| read_from(&term, &text, start));
    let best = scores.fold(-1.0, f64::max);
    let score = best / (term.len() * term.len()) as f64 * INEXACT;
    (best >= 0.0 && score > 0.0).then_some(score)
}

/// The raw score of reading `term` from `start`, where its first character is.
fn read_from(term: &[char], text: &[char], start: usize) -> Option<f64> {
    let per_character = 1.0 / text.len() as f64;
    let (mut score, mut taken, mut at, mut gap) = (0.0, 0, start, start);
    while taken < term.len() {
        let run = term[taken..].iter().zip(&text[at..]).take_while(|(a, b)| a == b).count();
        if run == 0 {
            return None;
        }
        if gap > 0 {
            score -= gap as f64 * per_character;
        }
        score += (run * run) as f64;
        taken += run;
        at += run;
        if let Some(wanted) = term.get(taken) {
            gap = text[at..].iter().position(|c| c == wanted)?;
            at += gap;
        }
    }
    let behind = text.len() - at;
    if behind > 0 {
        score -= behind as f64 * per_character * 0.5;
    }
    Some(score)
}

/// The Jaro-Winkler similarity: 1 for equal texts, 0 for texts without anything in common.
pub(super) fn jaro_winkler(term: &str, text: &str) -> f64 {
    if term == text {
        return 1.0;
    }
    let (mut short, mut long): (Vec<char>, Vec<char>) = (term.chars().collect(), text.chars().collect());
    if short.len() > long.len() {
        std::mem::swap(&mut short, &mut long);
    }
    if short.is_empty() {
        return 0.0;
    }
    let (of_short, of_long) = common(&short, &long);
    let matches = of_short.len() as f64;
    if of_short.is_empty() {
        return 0.0;
    }
    let moved = of_short.iter().zip(&of_long).filter(|(a, b)| a != b).count() as f64;
    let (per_short, per_long) = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro = (matches * per_short + matches * per_long + (matches - moved * 0.5) / matches) / 3.0;
    let prefix = short.iter().zip(&long).take(PREFIX_CHARACTERS).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * PREFIX_WEIGHT * (1.0 - jaro)
}

/// The characters that both have at nearly the same place, in the order of each.
fn common(short: &[char], long: &[char]) -> (Vec<char>, Vec<char>) {
    let distance = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut of_short = Vec::new();
    for (i, c) in short.iter().enumerate() {
        let near = i.saturating_sub(distance)..(i + distance + 1).min(long.len());
        if let Some(found) = near.into_iter().find(|j| !taken[*j] && long[*j] == *c) {
            taken[found] = true;
            of_short.push(*c);
        }
    }
    let of_long = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| *c).collect();
    (of_short, of_long)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    /// By hand: a run of n counts n², what is left out costs its part of the text, behind the last run half of it.
    #[test]
    fn subsequences() {
        for (term, text, raw) in [
            ("tex", "my awesome text", 9.0 - 11.0 / 15.0 - 0.5 / 15.0),
            // The second beginning is better than the first.
            ("bac", "babac", 9.0 - 2.0 / 5.0),
            ("met", "my awesome text", 5.0 - 8.0 / 15.0 - 1.0 / 15.0 - 1.5 / 15.0),
            ("ac", "xaéc", 2.0 - 2.0 / 4.0),
        ] {
            let n = term.chars().count() as f64;
            let score = subsequence(term, text).unwrap();
            assert!(near(score, raw / (n * n) * INEXACT), "{term} in {text}: {score}");
        }
        assert_eq!(subsequence("my", "my awesome text"), Some(1.0));
        for (term, text) in [("abcd", "abc"), ("abc", ""), ("xyz", "abc"), ("é", "ab"), ("ba", "ab")] {
            assert_eq!(subsequence(term, text), None, "{term} in {text}");
        }
    }

    #[test]
    fn substrings() {
        assert_eq!(substring("http", "http_requests"), Some(1.0));
        assert!(near(substring("b", "ab").unwrap(), 0.1));
        assert!(near(substring("c", "abcdef").unwrap(), 1.0 - 0.9 * 2.0 / 5.0));
        assert!(near(substring("é", "aéb").unwrap(), 1.0 - 0.9 / 2.0));
        assert_eq!(substring("x", "abc"), None);
    }

    /// Values of the literature.
    #[test]
    fn similarities() {
        for (a, b, expected) in [
            ("martha", "marhta", 0.961_111_111_111),
            ("dwayne", "duane", 0.84),
            ("dixon", "dicksonx", 0.813_333_333_333),
            ("abc", "xyz", 0.0),
            ("", "abc", 0.0),
            ("", "", 1.0),
            ("màrthà", "màrhtà", 0.961_111_111_111),
        ] {
            let (score, back) = (jaro_winkler(a, b), jaro_winkler(b, a));
            assert!((score - expected).abs() < 1e-9 && near(score, back), "{a} {b}: {score} {back}");
        }
    }

    proptest! {
        #[test]
        fn scores_are_within_bounds(term in "[ab_é]{1,6}", text in "[ab_é]{0,12}") {
            let is_subsequence = {
                let mut rest = text.chars();
                term.chars().all(|c| rest.any(|t| t == c))
            };
            let score = subsequence(&term, &text);
            // A term far apart in a long text can score nothing at all.
            prop_assert!(score.is_none() || is_subsequence);
            prop_assert!(score.is_none_or(|s| s > 0.0 && s <= 1.0));
            prop_assert_eq!(substring(&term, &text).is_some(), text.contains(&term));
            let similarity = jaro_winkler(&term, &text);
            prop_assert!((0.0..=1.0).contains(&similarity));
        }
    }
}
