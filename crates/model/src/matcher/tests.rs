//! Matchers against simple references: what a regular expression alone would say.

use proptest::prelude::*;

use super::*;

fn matcher(op: MatchOp, pattern: &str) -> Matcher {
    Matcher::new("l", op, pattern).unwrap()
}

fn check(op: MatchOp, pattern: &str, value: &str, expected: bool) {
    let matcher = matcher(op, pattern);
    assert_eq!(matcher.matches(value), expected, "{matcher} on {value:?}");
}

#[test]
fn the_four_operators() {
    check(MatchOp::Equal, "a", "a", true);
    check(MatchOp::Equal, "", "", true);
    check(MatchOp::NotEqual, "a", "b", true);
    check(MatchOp::Regex, "a|b", "b", true);
    check(MatchOp::Regex, "a|b", "ab", false);
    check(MatchOp::Regex, "a.c", "a\nc", true);
    check(MatchOp::NotRegex, "a.*", "abc", false);
}

#[test]
fn bad_and_oversized_patterns_are_refused() {
    let error = Matcher::new("l", MatchOp::Regex, "a(").unwrap_err();
    assert_eq!(error.to_string(), "error parsing regexp: missing closing ): `a(`");
    assert!(Matcher::new("l", MatchOp::Regex, "((a{1000}){1000}){1000}").is_err());
    assert!(Matcher::new("l", MatchOp::Regex, "(?s:.{1000}){1000}x").is_err());
}

fn check_set(pattern: &str, expected: Option<&[&str]>) {
    let matcher = matcher(MatchOp::Regex, pattern);
    let set = matcher.set_matches().map(|set| set.iter().map(|text| &**text).collect::<Vec<_>>());
    assert_eq!(set.as_deref(), expected, "{pattern}");
}

#[test]
fn patterns_that_are_sets() {
    check_set("foo", Some(&["foo"]));
    check_set("", Some(&[""]));
    check_set("b|a|b", Some(&["a", "b"]));
    check_set("(foo|bar)baz", Some(&["barbaz", "foobaz"]));
    check_set("^(?:a|b)$", Some(&["a", "b"]));
    check_set("x[0-2]y?", Some(&["x0", "x0y", "x1", "x1y", "x2", "x2y"]));
    check_set("(?i)a", Some(&["A", "a"]));
    check_set("a{2,3}", Some(&["aa", "aaa"]));
    check_set(r"host\.example:9090", Some(&["host.example:9090"]));
    check_set("a.b", None);
    check_set("a|b.*", None);
    check_set("(a|b){60}", None);
    check_set(r"a\b", None);
    let many = (0..1000).map(|i| format!("instance-{i}")).collect::<Vec<_>>().join("|");
    assert_eq!(matcher(MatchOp::Regex, &many).set_matches().map(<[_]>::len), Some(1000));
}

#[test]
fn prefixes() {
    for (pattern, prefix) in [
        ("foo.*", "foo"),
        ("foo(bar|baz).*", "fooba"),
        ("^foo.+", "foo"),
        (".*foo", ""),
        ("foo|bar.*", ""),
        ("(?i)foo.*", ""),
        ("é.*|è.*", ""),
        ("aé.*|aè.*", "a"),
        ("fo+.*", "fo"),
        ("fo*.*", "f"),
        ("[a-c]x.*", ""),
    ] {
        assert_eq!(matcher(MatchOp::Regex, pattern).prefix(), prefix, "{pattern}");
    }
    assert_eq!(matcher(MatchOp::Equal, "foo").prefix(), "");
}

#[test]
fn patterns_for_all() {
    for (pattern, all, all_but_empty) in [
        (".*", true, false),
        ("(.*)", true, false),
        (".+", false, true),
        ("^.+$", false, true),
        ("a.*", false, false),
        ("a|.*", true, false),
    ] {
        let matcher = matcher(MatchOp::Regex, pattern);
        assert_eq!(matcher.pattern_matches_all(), all, "{pattern}");
        assert_eq!(matcher.pattern_matches_all_but_empty(), all_but_empty, "{pattern}");
    }
}

/// Patterns in the syntax that both engines share.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[abé]{1,3}",
        3 => Just(".*".to_owned()),
        2 => Just(".+".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just("(?i:a)".to_owned()),
        1 => Just("a?".to_owned()),
        1 => Just("b*".to_owned()),
        1 => Just("é{1,2}".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just(String::new()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join("|")),
            1 => inner.prop_map(|part| format!("(?:{part})?")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn shortcuts_change_nothing(pattern in pattern(), values in prop::collection::vec("[abAé\n]{0,6}", 1..20)) {
        let plain = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        let (yes, no) = (matcher(MatchOp::Regex, &pattern), matcher(MatchOp::NotRegex, &pattern));
        for value in values.iter().map(String::as_str).chain([""]) {
            let expected = plain.is_match(value);
            prop_assert_eq!(yes.matches(value), expected, "{} on {:?}", yes, value);
            prop_assert_eq!(no.matches(value), !expected);
            if expected {
                prop_assert!(value.starts_with(yes.prefix()));
            }
            if let Some(set) = yes.set_matches() {
                prop_assert_eq!(set.iter().any(|text| **text == *value), expected);
            }
            prop_assert!(expected || !yes.pattern_matches_all());
            prop_assert!(expected || value.is_empty() || !yes.pattern_matches_all_but_empty());
        }
    }

    #[test]
    fn no_pattern_panics(pattern in r"[\\QE\[\](){}|*+?^$.\-,:a0-9pxé]{0,20}", value in "[a0\\[]{0,5}") {
        if let Ok(matcher) = Matcher::new("l", MatchOp::Regex, &pattern) {
            matcher.matches(&value);
        }
    }
}
