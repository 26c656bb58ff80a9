//! What parses, to what, and with which errors.

use proptest::prelude::*;

use crate::ast::{Duration, Expr};
use crate::{ParseOptions, parse, parse_metric_prefix, parse_series_selector};

#[track_caller]
fn prints(query: &str, printed: &str) {
    let expr = parse(query, &ParseOptions::ALL).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(expr.to_string(), printed, "{query}");
    let again = parse(printed, &ParseOptions::ALL).unwrap_or_else(|e| panic!("{printed}: {e}"));
    assert_eq!(again.to_string(), printed, "printed twice");
}

#[track_caller]
fn keeps(query: &str) {
    prints(query, query);
}

#[track_caller]
fn refuses(query: &str, error: &str) {
    match parse(query, &ParseOptions::ALL) {
        Ok(expr) => panic!("{query} parsed to {expr}"),
        Err(e) => assert_eq!(e.to_string(), error, "{query}"),
    }
}

#[test]
fn aggregations() {
    prints("sum by() (foo)", "sum(foo)");
    prints("sum without() (foo)", "sum without () (foo)");
    prints("SUM(foo) BY (a, \"b.c\",)", "sum by (a, \"b.c\") (foo)");
    keeps("topk(5, foo{job=\"s\"})");
    keeps("count_values(\"value\", foo)");
    prints("sum by (on, by, offset) (sum)", "sum by (on, by, offset) (sum)");
}

#[test]
fn operators_and_matching() {
    prints("a - ignoring() c", "a - c");
    prints("a - on(b) group_left c", "a - on (b) group_left () c");
    prints("a + fill(-23) b", "a + fill (-23) b");
    prints("a + fill_left(5) fill_right(5) b", "a + fill (5) b");
    prints("fill + fill", "fill + fill");
    keeps("up > bool 0");
    keeps("a </ 5 >/ b");
    for (query, structure) in [
        ("1 + 2 * 3 ^ 4 ^ 5", "(1+(2*(3^(4^5))))"),
        ("-2 ^ 2", "-(2^2)"),
        ("a or b and c == d - e", "(a or(b and(c==(d-e))))"),
        ("-a * b", "(-a*b)"),
        ("a - b - c", "((a-b)-c)"),
    ] {
        let expr = parse(query, &ParseOptions::ALL).unwrap();
        assert_eq!(shape(&expr), structure.replace("or(", "or (").replace("and(", "and ("), "{query}");
    }
}

/// The tree with all parentheses.
fn shape(expr: &Expr) -> String {
    match expr {
        Expr::Binary(e) => {
            let word = e.op.is_set();
            let (before, after) = if word { (" ", " ") } else { ("", "") };
            format!("({}{before}{}{after}{})", shape(&e.lhs), e.op.as_str(), shape(&e.rhs))
        }
        Expr::Unary(e) => format!("-{}", shape(&e.expr)),
        other => other.to_string(),
    }
}

#[test]
fn selectors_and_modifiers() {
    keeps("a offset 1m");
    keeps("a{c=\"d\"}[5m] offset -1m");
    keeps("a[1h:5m] offset 1m");
    keeps("a{b=\"c\"}[5m] anchored @ start() offset 1m");
    prints("a offset 1m @ 10", "a @ 10.000 offset 1m");
    prints("a[1m] @ -0.5", "a[1m] @ -0.500");
    prints("{``=\"0\"}", "{\"\"=\"0\"}");
    prints("{\"_0\"=\"1\"}", "{_0=\"1\"}");
    keeps("{__name__=\"\",a=\"x\"}");
    prints("{'foo.bar', a='b',}", "{__name__=\"foo.bar\",a=\"b\"}");
    keeps("start{a=\"b\"} + end + step + range + sum + offset");
    prints("foo{NaN='bc'}", "foo{NaN=\"bc\"}");
    prints("inf + NaN", "+Inf + NaN");
    prints("# a comment\nfoo # another\n", "foo");
}

#[test]
fn durations() {
    prints("a[5m + 300]", "a[5m + 300]");
    keeps("a[max_of(step(), 5s):range() / 2]");
    keeps("a offset -step() * 2");
    keeps("a offset -(20 * 3s)");
    keeps("a offset (1m + 2) * 3");
    prints("foo[90]", "foo[1m30s]");
    let Expr::Binary(sum) = parse("a offset 100 + 2", &ParseOptions::ALL).unwrap() else {
        panic!("a sum of a selector with an offset and a number");
    };
    assert_eq!(sum.rhs.to_string(), "2");
    let Expr::Vector(selector) = sum.lhs else { panic!() };
    assert_eq!(selector.offset, Duration::Fixed(100_000));
}

#[test]
fn errors_are_those_of_upstream() {
    refuses("", "unknown position: parse error: no expression found in input");
    refuses("1 +", "1:4: parse error: unexpected end of input");
    refuses("foo\n  bar", "2:3: parse error: unexpected identifier \"bar\"");
    refuses("*1", "1:1: parse error: unexpected <op:*>");
    refuses("2.5.", "1:1: parse error: bad number or duration syntax: \"2.5.\"");
    refuses("(1", "1:3: parse error: unclosed left parenthesis");
    refuses("1)", "1:3: parse error: unexpected right parenthesis ')'");
    refuses("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier");
    refuses("1 or 1", "1:1: parse error: set operator \"or\" not allowed in binary scalar expression");
    refuses(
        "foo or on(bar) group_left(baz) bar",
        "1:1: parse error: no grouping allowed for \"or\" operation",
    );
    refuses(
        "foo + on(a) group_left(a) bar",
        "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at once",
    );
    refuses(
        "rate(foo)",
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    );
    refuses("nope(1)", "1:1: parse error: unknown function with name \"nope\"");
    refuses("floor(1, 2)", "1:1: parse error: expected 1 argument(s) in call to \"floor\", got 2");
    refuses("hour(a, b, c)", "1:1: parse error: expected at most 1 argument(s) in call to \"hour\", got 3");
    refuses(
        "sum by foo (a)",
        "1:8: parse error: unexpected identifier \"foo\" in grouping opts, expected \"(\"",
    );
    refuses("sum()", "1:1: parse error: no arguments for aggregate expression provided");
    refuses(
        "topk(some_metric)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
    );
    refuses("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher");
    refuses(
        "foo{__name__=\"bar\"}",
        "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"",
    );
    refuses("foo{a=}", "1:7: parse error: unexpected \"}\" in label matching, expected string");
    refuses("foo{a", "1:6: parse error: unexpected end of input inside braces");
    refuses("foo[0m]", "1:5: parse error: duration must be greater than 0");
    refuses(
        "foo[]",
        "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    refuses("foo offset 5m[5m]", "1:14: parse error: no offset modifiers allowed before range");
    refuses(
        "foo offset",
        "1:11: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    );
    refuses("foo offset (4d/0)", "1:15: parse error: division by zero");
    refuses("foo @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf");
    refuses(
        "sum(foo) offset 5m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    );
    refuses(
        "foo[5m][5m:]",
        "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
    );
    refuses("\"\\c\"", "1:1: parse error: unknown escape sequence U+0063 'c'");
}

#[test]
fn experimental_parts_need_the_opt_in() {
    for query in ["limitk(1, a)", "info(a)", "a[5m] anchored", "a + fill(0) b"] {
        assert!(parse(query, &ParseOptions::default()).is_err(), "{query}");
        assert!(parse(query, &ParseOptions::ALL).is_ok(), "{query}");
    }
}

#[test]
fn depth_is_bounded_and_chains_may_be_long() {
    for open in ["(", "-", "abs(", "sum(", "a[1m:", "2 ^ ", "a[1m] or ("] {
        assert!(parse(&open.repeat(5_000), &ParseOptions::ALL).is_err(), "{open}");
    }
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let error = parse(&deep, &ParseOptions::ALL).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
    let brackets = format!("a[{}1{}]", "(".repeat(100_000), ")".repeat(100_000));
    assert!(parse(&brackets, &ParseOptions::ALL).is_err());
    assert!(parse(&format!("1{}", " + 1".repeat(900)), &ParseOptions::ALL).is_ok());
    let error = parse(&format!("1{}", " + 1".repeat(100_000)), &ParseOptions::ALL).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
    assert!(parse(&"a".repeat(2 << 20), &ParseOptions::ALL).is_err());
}

#[test]
fn series() {
    let (labels, length) = parse_metric_prefix("foo{a=\"b\", \"c d\"='e'} 1 2").unwrap();
    assert_eq!((labels.to_string().as_str(), length), ("{__name__=\"foo\", a=\"b\", c d=\"e\"}", 21));
    let (labels, length) = parse_metric_prefix("foo {{sum:1}}").unwrap();
    assert_eq!((labels.metric_name(), length), (Some("foo"), 3));
    let (labels, length) = parse_metric_prefix("{} 1").unwrap();
    assert!(labels.is_empty() && length == 2);
    assert_eq!(parse_series_selector("up{job=~\"a.*\"}").unwrap().len(), 2);
    assert!(parse_series_selector("{}").unwrap().is_empty());
    assert!(parse_series_selector("rate(a[5m])").is_err());
}

const PIECES: [&str; 48] = [
    "foo",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "5m",
    "1",
    "0x1f",
    "\"a\"",
    "'b'",
    "`c`",
    "a=\"b\"",
    "=~",
    "!~",
    "!=",
    "==",
    "<",
    ">/",
    "</",
    "+",
    "-",
    "^",
    "*",
    "/",
    "%",
    "@",
    ":",
    ",",
    " ",
    "\n",
    "sum",
    "by",
    "without",
    "on",
    "group_left",
    "offset",
    "rate",
    "start()",
    "step()",
    "bool",
    "and",
    "or",
    "fill(1)",
    "anchored",
    "#",
    "ü",
];

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = parse(&text, &ParseOptions::ALL);
        let _ = parse_series_selector(&text);
        let _ = parse_metric_prefix(&text);
    }

    #[test]
    fn no_sequence_of_tokens_panics_and_what_parses_prints_stably(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..24),
    ) {
        let text = pieces.concat();
        let _ = parse_series_selector(&text);
        let _ = parse_metric_prefix(&text);
        if let Ok(expr) = parse(&text, &ParseOptions::ALL) {
            let printed = expr.to_string();
            let again = parse(&printed, &ParseOptions::ALL);
            prop_assert_eq!(again.map(|e| e.to_string()), Ok(printed));
        }
    }
}
