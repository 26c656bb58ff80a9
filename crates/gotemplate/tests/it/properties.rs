//! What holds of any text: nothing panics, quotes come back, numbers keep their value.

use gotemplate::time::GoTime;
use gotemplate::{Limits, MissingKey, Value, format_float, printf, quote, unquote};
use proptest::prelude::*;

use crate::data::{data, templates};

/// Words that templates are made of, so that random ones get far.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        "\n",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define",
        "template",
        "block",
        "break",
        "continue",
        "nil",
        ".",
        "$",
        "$x",
        ":=",
        "=",
        "|",
        "(",
        ")",
        ",",
        "\"a\"",
        "`b`",
        "'c'",
        "1",
        "2.5",
        "true",
        ".Name",
        ".Labels",
        ".job",
        ".List",
        ".Any",
        ".Items",
        ".Time",
        ".Took",
        "upper",
        "join",
        "printf",
        "print",
        "index",
        "len",
        "slice",
        "eq",
        "lt",
        "and",
        "or",
        "not",
        "call",
        "html",
        "js",
        "list",
        "\"%v\"",
        "\"%[1]*d\"",
        "/*",
        "*/",
        "é",
        "\\",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_template_panics(text in prop_oneof![words(), words().prop_map(|text| format!("{{{{{text}}}}}")), ".*"]) {
        let mut templates = templates(MissingKey::Zero);
        if templates.parse("t", &text).is_ok() {
            let limits = Limits { output_bytes: 1 << 16, depth: 10, steps: 10_000 };
            let _ = templates.execute("t", &data(), limits);
        }
    }

    #[test]
    fn text_without_actions_is_itself(text in "[^{]*") {
        let mut templates = templates(MissingKey::Zero);
        templates.parse("t", &text).unwrap();
        prop_assert_eq!(templates.execute("t", &data(), Limits::default()).unwrap(), text);
    }

    #[test]
    fn quotes_come_back(text in any::<String>()) {
        prop_assert_eq!(unquote(&quote(&text)), Some(text));
    }

    #[test]
    fn the_shortest_form_of_a_float_is_the_float(value in any::<f64>().prop_filter("a number", |f| f.is_finite())) {
        for format in ['e', 'f', 'g'] {
            prop_assert_eq!(format_float(value, format, None).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn whole_numbers_print_as_rust_prints_them(value in any::<i64>(), width in 0usize..30) {
        let print = |format: String| printf(&format, &[Value::Int(value)]).unwrap();
        prop_assert_eq!(print("%d".to_owned()), value.to_string());
        prop_assert_eq!(print(format!("%{width}d")), format!("{value:width$}"));
        prop_assert_eq!(print(format!("%-{width}d")), format!("{value:<width$}"));
        prop_assert_eq!(print(format!("%0{width}d")), format!("{value:0width$}"));
    }

    #[test]
    fn no_format_panics(format in "[%a-zA-Z0-9.*+# \\-\\[\\]]{0,12}", value in any::<f64>(), int in any::<i64>()) {
        let _ = printf(&format, &[Value::Float(value), Value::Int(int), Value::from("x"), Value::Nil]);
    }

    #[test]
    fn moments_come_back(seconds in -62_135_596_800i64..253_402_300_799, nanoseconds in 0u32..1_000_000_000) {
        let time = GoTime::from_unix(seconds, nanoseconds);
        let text = time.rfc3339();
        prop_assert_eq!(GoTime::parse("2006-01-02T15:04:05Z07:00", &text).unwrap(), time, "{}", text);
    }

    #[test]
    fn no_layout_panics(layout in ".{0,20}", text in ".{0,20}", seconds in any::<i64>()) {
        let _ = GoTime::parse(&layout, &text);
        let _ = GoTime::from_unix(seconds / 4, 0).format(&layout);
    }
}
