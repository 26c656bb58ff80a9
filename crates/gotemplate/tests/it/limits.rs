//! What an execution may do is bounded, and so is what a text may say.

use gotemplate::{Limits, MAX_NESTING, MAX_TEMPLATE_BYTES, MissingKey};

use crate::data::{data, templates};

fn error(template: &str, limits: Limits) -> String {
    let mut templates = templates(MissingKey::Invalid);
    match templates.parse("t", template) {
        Err(error) => error.to_string(),
        Ok(()) => templates.execute("t", &data(), limits).expect_err("a bound").to_string(),
    }
}

#[test]
fn output_depth_and_steps_have_bounds() {
    let small = Limits { output_bytes: 10, depth: 3, steps: 100 };
    let cases = [
        ("12345678901", "exceeded maximum output (10 bytes)"),
        (
            "{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}",
            "exceeded maximum template depth (3)",
        ),
        ("{{range 1000000}}{{end}}", "exceeded maximum number of steps (100)"),
        ("{{printf \"%1000000d%1000000d%1000000d%1000000d%1000000d\" 1 2 3 4 5}}", "text longer than"),
        ("{{printf \"%.1000000f\" 1.5}}", "exceeded maximum output"),
    ];
    for (template, expected) in cases {
        let message = error(template, small);
        assert!(message.contains(expected), "{template}: {message}");
    }
}

#[test]
fn values_do_not_grow_or_nest_without_bounds() {
    let limits = Limits::default();
    let nested = error("{{$x := list}}{{range 1000}}{{$x = list $x}}{{end}}", limits);
    assert!(nested.contains("exceeded maximum depth of a value"), "{nested}");
    let doubled = error("{{$x := \"aaaaaaaa\"}}{{range 40}}{{$x = print $x $x}}{{end}}", limits);
    assert!(doubled.contains("text longer than"), "{doubled}");
    let shared = error("{{$x := list 1 1}}{{range 40}}{{$x = list $x $x}}{{end}}{{$x}}", limits);
    assert!(shared.contains("text longer than"), "{shared}");
}

#[test]
fn texts_have_bounds() {
    let long = "x".repeat(MAX_TEMPLATE_BYTES + 1);
    assert!(error(&long, Limits::default()).contains("at most 1048576 are allowed"));
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(MAX_NESTING + 1), ")".repeat(MAX_NESTING + 1));
    assert!(error(&deep, Limits::default()).contains("max expression depth exceeded"));
    let ifs = format!("{}{}", "{{if 1}}".repeat(MAX_NESTING + 1), "{{end}}".repeat(MAX_NESTING + 1));
    assert!(error(&ifs, Limits::default()).contains("max expression depth exceeded"));
    // As deep as is allowed, it works.
    let deep = format!("{}x{}", "{{if 1}}".repeat(MAX_NESTING), "{{end}}".repeat(MAX_NESTING));
    let mut templates = templates(MissingKey::Invalid);
    templates.parse("t", &deep).unwrap();
    assert_eq!(templates.execute("t", &data(), Limits::default()).unwrap(), "x");
}
