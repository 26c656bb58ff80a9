//! The languages of matchers.

use alertmanager::matcher::{Language, MAX_MATCHERS_BYTES, Matcher, display};
use model::{Labels, MatchOp};
use proptest::prelude::*;

use crate::support::{cases, list, none_wrong, text};

#[test]
fn the_language_with_utf8_is_upstreams() {
    let mut wrong = Vec::new();
    for case in cases("matchers.yml") {
        let input = text(&case, "input");
        let got = Language::Utf8.matchers(input);
        let expected = case.get("matchers").map(|matchers| {
            let of =
                |m: &serde_json::Value| [text(m, "name"), text(m, "op"), text(m, "value")].map(str::to_owned);
            list(matchers).iter().map(of).collect::<Vec<_>>()
        });
        let shown = got.as_ref().ok().map(|matchers| {
            let of = |m: &Matcher| [m.name(), m.op().as_str(), m.value()].map(str::to_owned);
            matchers.iter().map(of).collect::<Vec<_>>()
        });
        if shown != expected {
            wrong.push(format!("{input}: {got:?}, expected {expected:?}"));
        }
    }
    none_wrong(&wrong);
}

fn shown(language: Language, text: &str) -> String {
    match language.matchers(text) {
        Ok(matchers) => display(&matchers),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn each_language_reads_what_it_knows() {
    use Language::{Classic, Fallback, Utf8};
    let cases = [
        (Classic, "a=b", r#"{a="b"}"#),
        (Classic, r#"{ a = "b" , c =~ "d|e", }"#, r#"{a="b",c=~"d|e"}"#),
        (Classic, r#"a="b,c",d!=e"#, r#"{a="b,c",d!="e"}"#),
        (Classic, r#"a="b\nc\\d\"e\f""#, r#"{a="b\nc\\d\"e\\f"}"#),
        (Classic, "a=", r#"{a=""}"#),
        (Classic, "a\u{2028}=b", "error: bad matcher format: a\u{2028}=b"),
        (Classic, "a=~(b", "error: error parsing regexp: missing closing ): `^(?:(b)$`"),
        (Utf8, r#"a="\xf0\x9f""#, r#"error: 2:12: "\xf0\x9f": invalid input"#),
        (Classic, "{}", "{}"),
        (Classic, "Σ=b", "error: bad matcher format: Σ=b"),
        (Classic, r#"a="b"#, r#"error: matcher value contains unescaped double quote: "b"#),
        (Classic, r#"a=b"c"#, r#"error: matcher value contains unescaped double quote: b"c"#),
        (Classic, "a=~*", "error: error parsing regexp: missing argument to repetition operator: `*`"),
        (Utf8, "Σ=b", r#"{Σ="b"}"#),
        (Utf8, r#""a b"="c""#, r#"{"a b"="c"}"#),
        (Utf8, "", "{}"),
        (Utf8, "a=b c", "error: 4:5: unexpected c: expected a comma or close brace"),
        (Utf8, "{a=b", "error: 0:4: end of input: expected close brace"),
        (Utf8, "a=b}", "error: 0:4: }: expected opening brace"),
        (Utf8, "{a=b}}", "error: 5:6: }: expected end of input"),
        (Utf8, "a", "error: end of input: expected an operator such as '=', '!=', '=~' or '!~'"),
        (
            Utf8,
            "a!b",
            "error: 1:2: !: expected one of '=~': expected an operator such as '=', '!=', '=~' or '!~'",
        ),
        (Utf8, "a=\"b", "error: 2:4: \"b: missing end \": expected label value"),
        (Utf8, "a=b,,", "error: 4:5: unexpected ,: expected a matcher or close brace after comma"),
        (Fallback, "Σ=b", r#"{Σ="b"}"#),
        // Only the classic one reads this, and of what both read otherwise the classic one decides.
        (Fallback, "a=~[\"x]", "error: matcher value contains unescaped double quote: [\"x]"),
        (Fallback, r#"a=~\d+"#, r#"{a=~"\\d+"}"#),
        (Fallback, "a=b c", r#"{a="b c"}"#),
        (Fallback, r#"a="\\d""#, r#"{a="\\d"}"#),
        (Fallback, "=", "error: bad matcher format: ="),
    ];
    let mut wrong = Vec::new();
    for (language, text, expected) in cases {
        let got = shown(language, text);
        if got != expected {
            wrong.push(format!("{language:?} {text}\n  got:      {got}\n  expected: {expected}"));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn one_matcher_is_one_and_has_no_braces() {
    assert!(Language::Fallback.matcher("a=b").is_ok());
    let message = |text: &str| Language::Utf8.matcher(text).unwrap_err().to_string();
    assert_eq!(message("{a=b}"), "unexpected open or close brace: {a=b}");
    assert_eq!(message("a=b,c=d"), "expected 1 matcher, found 2");
    assert_eq!(message(""), "no matchers");
    assert!(message(&"a".repeat(MAX_MATCHERS_BYTES + 1)).contains("at most"));
}

#[test]
fn regular_expressions_are_anchored_and_know_lines() {
    let matches = |op, pattern: &str, value: &str| {
        Matcher::new("a", op, pattern).unwrap().matches(&Labels::from_pairs([("a", value)]))
    };
    assert!(matches(MatchOp::Regex, "b.*", "bcd"));
    assert!(!matches(MatchOp::Regex, "b", "bcd"));
    assert!(!matches(MatchOp::Regex, "b.d", "b\nd"));
    assert!(matches(MatchOp::NotRegex, "b.d", "b\nd"));
    assert!(matches(MatchOp::Regex, "(?s)b.d|x", "b\nd"));
    assert!(matches(MatchOp::NotEqual, "x", ""));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[{}!=~,\\\\\"'` a-cΣ🙂\n]{0,20}") {
        for language in [Language::Classic, Language::Utf8, Language::Fallback] {
            let _ = language.matchers(&text);
            let _ = language.matcher(&text);
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(name in "[a-z Σ{]{1,4}", value in any::<String>(), equal in any::<bool>()) {
        let op = if equal { MatchOp::Equal } else { MatchOp::NotEqual };
        let matcher = Matcher::new(&name, op, &value).unwrap();
        prop_assert_eq!(Language::Fallback.matchers(&matcher.to_string()).unwrap(), vec![matcher]);
    }
}
