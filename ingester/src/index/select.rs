//! Which series match: what is equal is intersected, the shortest list first; only then patterns are tried, once for
//! each value; what may not be is subtracted.

use std::borrow::Cow;

use model::{MatchOp, Matcher};

use crate::index::numbers::{Bits, intersect, subtract, union_of_disjoint};
use crate::index::{Postings, Symbols};

/// Candidates are few where they are at most this part of all series.
const FEW_DIVISOR: usize = 4;

/// What a matcher means for the series of an index.
enum Condition<'a> {
    /// All of them match.
    Always,
    /// None matches.
    Never,
    /// Those of this list match.
    Is(&'a [u32]),
    /// Those of the values match that the test says yes to.
    IsAny(u32, Test<'a>),
    /// Those of the values do not match that the test says yes to; those without the label do.
    IsNone(u32, Test<'a>),
}

/// Some of a label's values.
enum Test<'a> {
    /// All.
    Every,
    /// Those of this list, of which the empty one means nothing here.
    Listed(&'a [Box<str>]),
    /// This one.
    Equal(&'a str),
    /// Those that the matcher matches.
    Matching(&'a Matcher),
    /// Those that it does not match.
    NotMatching(&'a Matcher),
}

impl Postings {
    /// The series that all `matchers` match, sorted. No matchers match all.
    pub(crate) fn select(&self, symbols: &Symbols, matchers: &[Matcher]) -> Vec<u32> {
        let (mut wanted, mut patterns, mut unwanted) = (Vec::new(), Vec::new(), Vec::new());
        for matcher in matchers {
            match self.condition(symbols, matcher) {
                Condition::Always => {}
                Condition::Never | Condition::Is([]) => return Vec::new(),
                Condition::Is(list) => wanted.push(Cow::Borrowed(list)),
                Condition::IsAny(name, test) => patterns.push((name, test)),
                Condition::IsNone(name, test) => unwanted.push((name, test)),
            }
        }
        let mut result = intersection(wanted);
        // Lists of values first: they are cheap, and leave fewer series for which patterns are tried.
        patterns.sort_by_key(|(_, test)| !matches!(test, Test::Listed(_)));
        for (name, test) in patterns {
            if result.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
            let list = self.union(symbols, name, &test, result.as_deref());
            result = match result {
                Some(mut result) => {
                    intersect(&mut result, &list);
                    Some(result)
                }
                None => Some(list.into_owned()),
            };
        }
        let mut result = result.unwrap_or_else(|| self.all().to_vec());
        for (name, test) in unwanted {
            if result.is_empty() {
                break;
            }
            let list = self.union(symbols, name, &test, Some(&result));
            subtract(&mut result, &list);
        }
        result
    }

    fn condition<'a>(&'a self, symbols: &Symbols, matcher: &'a Matcher) -> Condition<'a> {
        let matches_empty = matcher.matches_empty();
        let Some(name) = symbols.find(matcher.name()) else {
            return if matches_empty { Condition::Always } else { Condition::Never };
        };
        let set = matcher.set_matches();
        match (matcher.op(), matches_empty) {
            (MatchOp::Equal, false) => {
                let value = symbols.find(matcher.value());
                value.map_or(Condition::Never, |value| Condition::Is(self.with(name, value)))
            }
            (MatchOp::Regex, true) if matcher.pattern_matches_all() => Condition::Always,
            (MatchOp::NotRegex, false) if matcher.pattern_matches_all() => Condition::Never,
            // Whoever has the label, whatever its value.
            (MatchOp::NotEqual, false) if self.have_all(name) => Condition::Always,
            (MatchOp::NotEqual, false) => Condition::IsAny(name, Test::Every),
            (MatchOp::Regex, false) if matcher.pattern_matches_all_but_empty() => {
                if self.have_all(name) {
                    Condition::Always
                } else {
                    Condition::IsAny(name, Test::Every)
                }
            }
            // Whoever has not.
            (MatchOp::Equal, true) if self.have_all(name) => Condition::Never,
            (MatchOp::Equal, true) => Condition::IsNone(name, Test::Every),
            (MatchOp::NotRegex, true) if matcher.pattern_matches_all_but_empty() => {
                Condition::IsNone(name, Test::Every)
            }
            (MatchOp::NotEqual, true) => Condition::IsNone(name, Test::Equal(matcher.value())),
            (MatchOp::Regex, false) => {
                Condition::IsAny(name, set.map_or(Test::Matching(matcher), Test::Listed))
            }
            (MatchOp::NotRegex, true) => {
                Condition::IsNone(name, set.map_or(Test::NotMatching(matcher), Test::Listed))
            }
            (MatchOp::Regex, true) => Condition::IsNone(name, Test::NotMatching(matcher)),
            (MatchOp::NotRegex, false) => Condition::IsAny(name, Test::Matching(matcher)),
        }
    }

    /// The series with one of the values; those that are not among the candidates may be left out.
    fn union<'a>(
        &'a self,
        symbols: &Symbols,
        name: u32,
        test: &Test<'_>,
        candidates: Option<&[u32]>,
    ) -> Cow<'a, [u32]> {
        let with = |text: &str| symbols.find(text).map(|value| self.with(name, value));
        let few = candidates.filter(|candidates| candidates.len() <= self.all().len() / FEW_DIVISOR);
        let few = few.and_then(|candidates| Bits::new(candidates, self.all().len()));
        let that = |wanted: &dyn Fn(&str) -> bool| {
            // To look whether a value matters is cheaper than to try a pattern.
            let matters = |list: &[u32]| few.as_ref().is_none_or(|few| few.contain_any(list));
            let values =
                self.values(name).filter(|(value, list)| matters(list) && wanted(symbols.get(*value)));
            values.map(|(_, list)| list).collect()
        };
        let lists: Vec<&[u32]> = match test {
            Test::Every => that(&|_| true),
            Test::Listed(texts) => texts.iter().filter_map(|text| with(text)).collect(),
            Test::Equal(text) => with(text).into_iter().collect(),
            Test::Matching(matcher) => that(&|value| matcher.matches(value)),
            Test::NotMatching(matcher) => that(&|value| !matcher.matches(value)),
        };
        // A series has one value of a label, so the lists share nothing.
        match lists[..] {
            [list] => Cow::Borrowed(list),
            _ => Cow::Owned(union_of_disjoint(&lists)),
        }
    }
}

/// What is in all lists; `None` where there are no lists.
fn intersection(mut lists: Vec<Cow<'_, [u32]>>) -> Option<Vec<u32>> {
    lists.sort_by_key(|list| list.len());
    let mut lists = lists.into_iter();
    let mut result = lists.next()?.into_owned();
    for list in lists {
        intersect(&mut result, &list);
    }
    Some(result)
}
