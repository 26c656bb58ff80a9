//! Random queries that are valid, and mostly have a result.

use super::data::Random;

const METRICS: [&str; 3] = ["requests_total", "memory", "limit"];

pub(crate) fn random_query(random: &mut Random) -> String {
    if random.chance(5) {
        return scalar(random, 2);
    }
    vector(random, 3)
}

fn selector(random: &mut Random) -> String {
    let metric = random.pick(&METRICS);
    let matchers =
        random.pick(&["", "", "", "{job=\"a\"}", "{instance!=\"2\"}", "{instance=~\"1|3\",job!~\"x.*\"}"]);
    format!("{metric}{matchers}")
}

fn modifiers(random: &mut Random) -> String {
    let mut out = String::new();
    if random.chance(12) {
        out.push_str(random.pick(&[" offset 2m", " offset -90s", " offset 37s"]));
    }
    if random.chance(8) {
        out.push_str(random.pick(&[" @ 600", " @ start()", " @ end()", " @ 1200.5"]));
    }
    out
}

fn matrix(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.chance(15) {
        let inner = vector(random, depth - 1);
        let window = random.pick(&["[10m:1m]", "[5m:]", "[7m:45s]"]);
        return format!("({inner}){window}{}", modifiers(random));
    }
    let range = random.pick(&["[1m]", "[5m]", "[90s]", "[15m]"]);
    format!("{}{range}{}", selector(random), modifiers(random))
}

fn scalar(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 3 } else { 6 }) {
        0 => random.pick(&["0", "1", "2.5", "-3", "100", "NaN", "Inf"]).to_owned(),
        1 => "time()".to_owned(),
        2 => random.pick(&["1e3", "0.5", "7"]).to_owned(),
        3 => format!("scalar({})", vector(random, depth - 1)),
        4 => {
            let op = random.pick(&["+", "-", "*", "/", "%", "== bool", "> bool"]);
            format!("({} {op} {})", scalar(random, depth - 1), scalar(random, depth - 1))
        }
        _ => format!("-({})", scalar(random, depth - 1)),
    }
}

fn grouping(random: &mut Random) -> &'static str {
    random.pick(&[
        "",
        "",
        " by (job)",
        " by (instance)",
        " without (instance)",
        " by (job, instance)",
        " without ()",
    ])
}

fn vector(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return format!("{}{}", selector(random), modifiers(random));
    }
    let below = depth - 1;
    match random.below(12) {
        0 => format!("{}{}", selector(random), modifiers(random)),
        1..4 => over_range(random, below),
        4..6 => {
            let op = random.pick(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            format!("{op}{} ({})", grouping(random), vector(random, below))
        }
        6 => match random.below(3) {
            0 => format!("topk{} ({}, {})", grouping(random), random.below(4), vector(random, below)),
            1 => format!("bottomk{} ({}, {})", grouping(random), random.below(4), vector(random, below)),
            _ => format!("quantile{} (0.{}, {})", grouping(random), random.below(10), vector(random, below)),
        },
        7 => {
            let f = random.pick(&[
                "abs",
                "ceil",
                "floor",
                "sgn",
                "sqrt",
                "exp",
                "ln",
                "hour",
                "day_of_week",
                "timestamp",
            ]);
            format!("{f}({})", vector(random, below))
        }
        8 => match random.below(6) {
            0 => format!("clamp({}, {}, 20)", vector(random, below), random.below(10)),
            1 => format!("round({}, 5)", vector(random, below)),
            2 => format!("-({})", vector(random, below)),
            3 => format!("vector({})", scalar(random, below)),
            4 => format!("absent({})", vector(random, below)),
            _ => format!(
                "label_replace({}, \"{}\", \"x-$1\", \"instance\", \"([12])\")",
                vector(random, below),
                random.pick(&["new", "job"])
            ),
        },
        9 => {
            let op = random.pick(&["+", "-", "*", "/", "%", "^", ">", "<=", "!= bool", "== bool", "atan2"]);
            if random.chance(50) {
                format!("({}) {op} {}", vector(random, below), scalar(random, below))
            } else {
                format!("{} {op} ({})", scalar(random, below), vector(random, below))
            }
        }
        10 => between_vectors(random, below),
        _ => format!(
            "histogram_quantile(0.{}, sum by (le, job) (rate(latency_bucket[{}m])))",
            random.below(10),
            1 + random.below(9)
        ),
    }
}

fn between_vectors(random: &mut Random, depth: usize) -> String {
    let (a, b) = (vector(random, depth), vector(random, depth));
    match random.below(3) {
        0 => {
            let op = random.pick(&["and", "or", "unless"]);
            format!("({a}) {op}{} ({b})", random.pick(&["", " on (job)", " ignoring (instance)"]))
        }
        1 => {
            let op = random.pick(&["+", "-", "/", ">", "<= bool"]);
            format!("({a}) {op}{} ({b})", random.pick(&["", " on (job, instance)", " ignoring (le)"]))
        }
        _ => {
            let one = format!("max by (job) ({b})");
            format!("({a}) * on (job) group_left {one}")
        }
    }
}

fn over_range(random: &mut Random, depth: usize) -> String {
    let matrix = matrix(random, depth);
    match random.below(8) {
        0..3 => {
            let f = random.pick(&["rate", "increase", "delta", "irate", "idelta"]);
            format!("{f}({matrix})")
        }
        3 => format!("quantile_over_time(0.{}, {matrix})", random.below(10)),
        4 => {
            let f = random.pick(&["changes", "resets", "deriv", "absent_over_time", "present_over_time"]);
            format!("{f}({matrix})")
        }
        5 => format!("predict_linear({matrix}, {})", random.below(600)),
        _ => {
            let f = random
                .pick(&["sum", "avg", "min", "max", "count", "stddev", "stdvar", "last", "first", "mad"]);
            format!("{f}_over_time({matrix})")
        }
    }
}
