//! Which texts a search finds, how good they are, and in which order they come.

use super::score::{jaro_winkler, subsequence, substring};

/// How terms are compared that are not contained as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// By leaving characters out.
    Subsequence,
    /// Contained, or similar.
    JaroWinkler,
}

impl Algorithm {
    /// All, as parameters name them.
    const NAMES: [(&'static str, Self); 2] =
        [("subsequence", Self::Subsequence), ("jarowinkler", Self::JaroWinkler)];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(n, _)| *n == name).map(|(_, algorithm)| algorithm)
    }
}

/// In which order results come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
    /// The best first, equally good ones in order of the text.
    Score,
}

/// What is searched for.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// One of them has to be found; none finds everything. In lower case where case does not count.
    terms: Vec<String>,
    algorithm: Algorithm,
    /// From 0 to 1: what a fuzzy match has to reach.
    threshold: f64,
    case_sensitive: bool,
}

impl Filter {
    /// A filter for these terms, of which empty ones do not count.
    pub(super) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        algorithm: Algorithm,
        threshold: f64,
        case_sensitive: bool,
    ) -> Self {
        let terms = terms.filter(|term| !term.is_empty());
        let terms = terms.map(|term| if case_sensitive { term.to_owned() } else { term.to_lowercase() });
        Self { terms: terms.collect(), algorithm, threshold, case_sensitive }
    }

    /// The score of a text; `None` where it is not found.
    fn score(&self, text: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let lower;
        let text = match self.case_sensitive {
            true => text,
            false => {
                lower = text.to_lowercase();
                &lower
            }
        };
        self.terms.iter().filter_map(|term| self.score_of(term, text)).reduce(f64::max)
    }

    fn score_of(&self, term: &str, text: &str) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence => subsequence(term, text).filter(|score| *score >= self.threshold),
            Algorithm::JaroWinkler => substring(term, text).or_else(|| {
                let similarity = || jaro_winkler(term, text);
                (self.threshold > 0.0).then(similarity).filter(|score| *score >= self.threshold)
            }),
        }
    }

    /// The texts that are found, of `texts`, which are sorted: the first `limit` in this order, and whether there are more.
    pub(super) fn apply(&self, texts: Vec<String>, order: Order, limit: usize) -> (Vec<(String, f64)>, bool) {
        let scored = |text: String| self.score(&text).map(|score| (text, score));
        let wanted = limit.saturating_add(1);
        let mut found: Vec<_> = match order {
            Order::Ascending => texts.into_iter().filter_map(scored).take(wanted).collect(),
            Order::Descending => texts.into_iter().rev().filter_map(scored).take(wanted).collect(),
            Order::Score => {
                let mut found: Vec<_> = texts.into_iter().filter_map(scored).collect();
                found.sort_by(|(a, left), (b, right)| right.total_cmp(left).then_with(|| a.cmp(b)));
                found
            }
        };
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(filter: &Filter, order: Order, limit: usize) -> (Vec<String>, bool) {
        let texts =
            ["HTTP_errors", "http_requests_total", "my_http", "process_cpu"].map(str::to_owned).to_vec();
        let (found, more) = filter.apply(texts, order, limit);
        (found.into_iter().map(|(text, _)| text).collect(), more)
    }

    fn filter(terms: &[&str], algorithm: Algorithm, threshold: f64, case_sensitive: bool) -> Filter {
        Filter::new(terms.iter().copied(), algorithm, threshold, case_sensitive)
    }

    #[test]
    fn orders_and_limits() {
        let all = filter(&[""], Algorithm::Subsequence, 0.0, true);
        assert_eq!(apply(&all, Order::Ascending, 2).0, ["HTTP_errors", "http_requests_total"]);
        assert!(apply(&all, Order::Ascending, 3).1 && !apply(&all, Order::Ascending, 4).1);
        assert_eq!(apply(&all, Order::Descending, 1).0, ["process_cpu"]);
        assert_eq!(apply(&all, Order::Score, 1).0, ["HTTP_errors"]);
        let http = filter(&["http"], Algorithm::Subsequence, 0.0, true);
        assert_eq!(apply(&http, Order::Score, 9).0, ["http_requests_total", "my_http"]);
        assert_eq!(apply(&http, Order::Descending, 9).0, ["my_http", "http_requests_total"]);
    }

    #[test]
    fn terms_case_and_thresholds() {
        let any = filter(&["HTTP", "cpu"], Algorithm::Subsequence, 0.0, false);
        assert_eq!(apply(&any, Order::Ascending, 9).0.len(), 4);
        let exact = filter(&["htreq"], Algorithm::Subsequence, 0.9, true);
        assert_eq!(apply(&exact, Order::Ascending, 9).0, [""; 0]);
        assert_eq!(
            apply(&filter(&["htreq"], Algorithm::Subsequence, 0.0, true), Order::Ascending, 9).0.len(),
            1
        );
        let similar = filter(&["my_htpt"], Algorithm::JaroWinkler, 0.9, true);
        assert_eq!(apply(&similar, Order::Ascending, 9).0, ["my_http"]);
        let contained = filter(&["my_htpt"], Algorithm::JaroWinkler, 0.0, true);
        assert_eq!(apply(&contained, Order::Ascending, 9).0, [""; 0]);
    }
}
