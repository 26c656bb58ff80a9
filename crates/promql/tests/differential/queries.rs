//! Random queries that are valid, and mostly have a result. Every seed begins with one construct of the language, taken
//! in turn, so that none is rare; operands are random.

use promql::ParseOptions;
use promql::ast::ValueType;
use promql::syntax::signature::FUNCTIONS;

use super::data::Random;

const FLOATS: [&str; 4] = ["requests_total", "memory", "limit", "\"utf8.näme\""];
const HISTOGRAMS: [&str; 3] = ["latency", "queue", "sizes"];

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "limitk",
    "limit_ratio",
    "count_values",
];
const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
const SETS: [&str; 3] = ["and", "or", "unless"];
const TRIMS: [&str; 2] = ["</", ">/"];
/// Constructs that are neither functions, aggregations nor operators.
const OTHERS: usize = 15;

/// What kind of samples a vector has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Floats,
    Histograms,
}

use Kind::{Floats, Histograms};

/// The query of a number: its construct comes in turn, the rest is random.
pub(crate) fn query_in_turn(number: u64, random: &mut Random) -> String {
    Queries { random, depth: 2 }.construct(number)
}

/// A range selector or subquery by itself, which only instant queries may be.
pub(crate) fn random_range(random: &mut Random) -> String {
    let mut queries = Queries { random, depth: 2 };
    let kind = queries.kind();
    queries.edged_range(kind, &["anchored", "smoothed"])
}

/// Any query.
pub(crate) fn random_query(random: &mut Random) -> String {
    let number = random.next();
    query_in_turn(number, random)
}

fn is_scalar(text: &str) -> bool {
    let options =
        ParseOptions { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
    let expr = promql::parse(text, &options).unwrap_or_else(|e| panic!("{text}: {e}"));
    expr.value_type() == ValueType::Scalar
}

pub(super) struct Queries<'r> {
    pub(super) random: &'r mut Random,
    /// How many levels there may be below.
    depth: usize,
}

impl Queries<'_> {
    fn construct(&mut self, number: u64) -> String {
        let operators = ARITHMETIC.len() + COMPARISONS.len() + SETS.len() + TRIMS.len();
        let total = FUNCTIONS.len() + AGGREGATIONS.len() + operators + OTHERS;
        let mut i = (number % total as u64) as usize;
        let base = if i < FUNCTIONS.len() {
            self.call(FUNCTIONS[i].name)
        } else {
            i -= FUNCTIONS.len();
            if i < AGGREGATIONS.len() {
                self.aggregation(AGGREGATIONS[i])
            } else {
                i -= AGGREGATIONS.len();
                let all: Vec<&str> = [&ARITHMETIC[..], &COMPARISONS, &SETS, &TRIMS].concat();
                match all.get(i) {
                    Some(op) => self.operation(op),
                    None => self.other(i - all.len()),
                }
            }
        };
        if is_scalar(&base) {
            return if self.random.chance(30) { base } else { format!("vector({base})") };
        }
        // Sometimes something more around it.
        match self.random.below(12) {
            0 => format!("sum{} ({base})", self.grouping()),
            1 => format!("count({base}) or vector(0)"),
            2 => format!("last_over_time(({base})[3m:1m])"),
            3 => format!("({base}) {} {}", self.random.pick(&["*", "/", ">", "+"]), self.number()),
            4 => format!("label_replace({base}, \"__name__\", \"$1_x\", \"job\", \"(.*)\")"),
            5 => format!("-({base})"),
            _ => base,
        }
    }

    pub(super) fn below<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let depth = self.depth;
        self.depth = depth.saturating_sub(1);
        let out = f(self);
        self.depth = depth;
        out
    }

    pub(super) fn kind(&mut self) -> Kind {
        if self.random.chance(65) { Floats } else { Histograms }
    }

    pub(super) fn selector(&mut self, kind: Kind) -> String {
        let metric = match kind {
            _ if self.random.chance(4) => "mixed",
            Floats if self.random.chance(3) => return "{__name__=~\"memory|limit\"}".to_owned(),
            Floats => self.random.pick(&FLOATS),
            Histograms => self.random.pick(&HISTOGRAMS),
        };
        let matcher = self.random.pick(&[
            "",
            "",
            "",
            "",
            "job=\"a\"",
            "instance!=\"2\"",
            "instance=~\"1|10\",job!~\"x.*\"",
            "pod=\"\"",
        ]);
        match (metric.starts_with('"'), matcher) {
            (true, "") => format!("{{{metric}}}"),
            (true, matcher) => format!("{{{metric},{matcher}}}"),
            (false, "") => metric.to_owned(),
            (false, matcher) => format!("{metric}{{{matcher}}}"),
        }
    }

    pub(super) fn modifiers(&mut self) -> String {
        let mut out = String::new();
        if self.random.chance(12) {
            out.push_str(self.random.pick(&[
                " offset 2m",
                " offset -90s",
                " offset 37s",
                " offset (step() + 1m)",
                " offset -(1m / 2)",
            ]));
        }
        if self.random.chance(10) {
            out.push_str(self.random.pick(&[" @ 600", " @ start()", " @ end()", " @ 1200.5"]));
        }
        out
    }

    pub(super) fn duration(&mut self) -> &'static str {
        self.random.pick(&[
            "1m",
            "5m",
            "90s",
            "15m",
            "2m",
            "5m",
            "(2 * 90)",
            "max_of(step(), 3m)",
            "(range() + 2m)",
            "2m ^ 1",
        ])
    }

    pub(super) fn range(&mut self, kind: Kind) -> String {
        if self.depth > 0 && self.random.chance(20) {
            let inner = self.below(|q| q.vector(kind));
            let window =
                self.random.pick(&["[10m:1m]", "[5m:]", "[7m:45s]", "[4m:20s]", "[(5m):(step() + 30s)]"]);
            return format!("({inner}){window}{}", self.modifiers());
        }
        let duration = self.duration();
        format!("{}[{duration}]{}", self.selector(kind), self.modifiers())
    }

    /// A range that may have edges.
    pub(super) fn edged_range(&mut self, kind: Kind, modes: &[&str]) -> String {
        if self.random.chance(40) {
            let (duration, mode) = (self.random.pick(&["1m", "5m", "90s"]), self.random.pick(modes));
            return format!("{}[{duration}] {mode}{}", self.selector(kind), self.modifiers());
        }
        self.range(kind)
    }

    pub(super) fn number(&mut self) -> String {
        self.random
            .pick(&["0", "1", "2.5", "-3", "100", "NaN", "Inf", "0.5", "7", "1e3", "2", "3", "-Inf"])
            .to_owned()
    }

    fn small(&mut self) -> String {
        self.random.pick(&["0", "1", "2", "3", "1.7", "scalar(count(limit)) - 3", "-1"]).to_owned()
    }

    pub(super) fn quantile(&mut self) -> String {
        self.random
            .pick(&["0", "0.1", "0.5", "0.5", "0.9", "0.99", "1", "1.5", "-1", "NaN", "time() % 600 / 600"])
            .to_owned()
    }

    pub(super) fn scalar(&mut self) -> String {
        let choices = if self.depth == 0 { 3 } else { 8 };
        match self.random.below(choices) {
            0 | 1 => self.number(),
            2 => self.random.pick(&["time()", "step()", "start()", "end()", "range()", "pi()"]).to_owned(),
            3 => format!("scalar(sum({}))", self.below(|q| q.vector(Floats))),
            4 => {
                let op = self
                    .random
                    .pick(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", "> bool", "<= bool"]);
                format!("({} {op} {})", self.below(Self::scalar), self.below(Self::scalar))
            }
            5 => format!("-({})", self.below(Self::scalar)),
            6 => format!("max_of({}, {})", self.below(Self::scalar), self.below(Self::scalar)),
            _ => format!("min_of({}, {})", self.below(Self::scalar), self.below(Self::scalar)),
        }
    }

    fn grouping(&mut self) -> &'static str {
        self.random.pick(&[
            "",
            "",
            " by (job)",
            " by (instance)",
            " without (instance)",
            " by (job, instance)",
            " without ()",
            " by (__name__, job)",
            " by (\"label.näme\")",
        ])
    }

    pub(super) fn vector(&mut self, kind: Kind) -> String {
        if self.depth == 0 || self.random.chance(25) {
            let smoothed = if self.random.chance(4) { " smoothed" } else { "" };
            return format!("{}{smoothed}{}", self.selector(kind), self.modifiers());
        }
        if kind == Histograms {
            return self.histograms();
        }
        let text = match self.random.below(10) {
            0..5 => {
                let name = FUNCTIONS[self.random.below(FUNCTIONS.len())].name;
                self.call(name)
            }
            5..7 => {
                let name = self.random.pick(&AGGREGATIONS);
                self.aggregation(name)
            }
            7..9 => {
                let all = [&ARITHMETIC[..], &COMPARISONS, &SETS].concat();
                let op = self.random.pick(&all);
                self.operation(op)
            }
            _ => {
                let i = self.random.below(OTHERS);
                self.other(i)
            }
        };
        if is_scalar(&text) { format!("vector({text})") } else { text }
    }

    /// An expression of histograms.
    fn histograms(&mut self) -> String {
        match self.random.below(12) {
            0..3 => {
                let f = self.random.pick(&["rate", "increase", "delta"]);
                format!("{f}({})", self.below(|q| q.edged_range(Histograms, &["anchored", "smoothed"])))
            }
            3 => {
                let f = self.random.pick(&["irate", "idelta"]);
                format!("{f}({})", self.below(|q| q.range(Histograms)))
            }
            4..6 => {
                let f = self.random.pick(&["sum", "avg", "first", "last"]);
                format!("{f}_over_time({})", self.below(|q| q.range(Histograms)))
            }
            6..8 => {
                let (op, inner) =
                    (self.random.pick(&["sum", "avg", "limitk"]), self.below(|q| q.vector(Histograms)));
                let k = if op == "limitk" { "2, " } else { "" };
                format!("{op}{} ({k}{inner})", self.grouping())
            }
            8 => format!(
                "({}) {} {}",
                self.below(|q| q.vector(Histograms)),
                self.random.pick(&["*", "/", "</", ">/"]),
                self.number()
            ),
            9 => {
                let op = self.random.pick(&["+", "-"]);
                format!(
                    "({}) {op} ({})",
                    self.below(|q| q.vector(Histograms)),
                    self.below(|q| q.vector(Histograms))
                )
            }
            10 => format!("-({})", self.below(|q| q.vector(Histograms))),
            _ => self.selector(Histograms),
        }
    }

    fn aggregation(&mut self, op: &str) -> String {
        let kind = match op {
            "sum" | "avg" | "count" | "group" | "limitk" | "limit_ratio" | "count_values" => self.kind(),
            _ if self.random.chance(8) => Histograms,
            _ => Floats,
        };
        let inner = self.below(|q| q.vector(kind));
        let parameter = match op {
            "topk" | "bottomk" | "limitk" => format!("{}, ", self.small()),
            "quantile" => format!("{}, ", self.quantile()),
            "limit_ratio" => format!("{}, ", self.random.pick(&["0.5", "-0.5", "0.9", "-0.3", "1.5", "0"])),
            "count_values" => format!("\"{}\", ", self.random.pick(&["v", "job", "v.ü"])),
            _ => String::new(),
        };
        format!("{op}{} ({parameter}{inner})", self.grouping())
    }

    fn operation(&mut self, op: &str) -> String {
        if TRIMS.contains(&op) {
            let inner = self.below(|q| q.vector(Histograms));
            return match self.random.below(10) {
                0 => format!("({inner}) {op} on (job, instance) group_left memory"),
                _ => format!(
                    "({inner}) {op} {}",
                    self.random.pick(&["1", "0", "2", "-1.5", "0.3", "6", "1e9", "NaN", "-Inf"])
                ),
            };
        }
        let bool = if COMPARISONS.contains(&op) && self.random.chance(40) { " bool" } else { "" };
        if !SETS.contains(&op) && self.random.chance(40) {
            let kind = if self.random.chance(12) { Histograms } else { Floats };
            let (vector, scalar) = (self.below(|q| q.vector(kind)), self.below(Self::scalar));
            return match self.random.chance(70) {
                true => format!("({vector}) {op}{bool} {scalar}"),
                false => format!("{scalar} {op}{bool} ({vector})"),
            };
        }
        let kind = self.kind();
        let left = self.below(|q| q.vector(kind));
        let kind = if self.random.chance(85) { kind } else { self.kind() };
        let right = self.below(|q| q.vector(kind));
        if SETS.contains(&op) {
            let on = self.random.pick(&[
                "",
                "",
                " on (job)",
                " ignoring (instance)",
                " on (job, instance)",
                " on ()",
            ]);
            return format!("({left}) {op}{on} ({right})");
        }
        let fill = self.random.pick(&[
            "",
            "",
            "",
            " fill (0)",
            " fill_left (1)",
            " fill_right (2.5)",
            " fill_left (3) fill_right (0)",
        ]);
        match self.random.below(5) {
            0 => {
                let on = self.random.pick(&[
                    "",
                    " on (job, instance)",
                    " ignoring (le, pod)",
                    " on (job, instance, pod)",
                ]);
                format!("({left}) {op}{bool}{on}{fill} ({right})")
            }
            1 => format!(
                "sum by (job, instance) ({left}) {op}{bool} on (job, instance){fill} avg by (job, instance) ({right})"
            ),
            2 => format!(
                "(sum without (pod, instance) ({left})) {op}{bool} ignoring (__type__, le){fill} sum without (pod, instance) ({right})"
            ),
            3 => {
                let include = self.random.pick(&["", " ()", " (instance)", " (le, x)"]);
                format!("({left}) {op}{bool} on (job) group_left{include}{fill} avg by (job) ({right})")
            }
            _ => {
                let include = self.random.pick(&[" ()", " ()", " (pod)"]);
                format!("sum by (job) ({left}) {op}{bool} on (job) group_right{include}{fill} ({right})")
            }
        }
    }

    /// What is neither function, aggregation nor operator, mostly.
    fn other(&mut self, i: usize) -> String {
        match i {
            0 => format!(
                "{} offset {}",
                self.selector(Floats),
                self.random.pick(&["1m", "-1m", "(step() * 2)"])
            ),
            1 => format!("{} @ {}", self.selector(Floats), self.random.pick(&["900", "start()", "end()"])),
            2 => format!("{} smoothed", self.selector(Floats)),
            3 => format!("{} smoothed", self.selector(Histograms)),
            4 | 5 => {
                let (f, kind) =
                    (self.random.pick(&["rate", "increase", "delta", "changes", "resets"]), self.kind());
                let (selector, duration) =
                    (self.selector(kind), self.random.pick(&["1m", "5m", "7m", "45s"]));
                format!("{f}({selector}[{duration}] anchored{})", self.modifiers())
            }
            6 | 7 => {
                let (f, kind) = (self.random.pick(&["rate", "increase", "delta"]), self.kind());
                let (selector, duration) =
                    (self.selector(kind), self.random.pick(&["1m", "5m", "7m", "45s"]));
                format!("{f}({selector}[{duration}] smoothed{})", self.modifiers())
            }
            8 => {
                let (f, kind) =
                    (self.random.pick(&["rate", "changes", "resets", "sum_over_time"]), self.kind());
                let inner = self.below(|q| q.vector(kind));
                format!(
                    "{f}(({inner})[6m:{}]{})",
                    self.random.pick(&["", "1m", "40s", "13s"]),
                    self.modifiers()
                )
            }
            9 => format!("-({})", self.below(|q| q.vector(Histograms))),
            10 => {
                let kind = self.kind();
                self.selector(kind)
            }
            11 => format!(
                "histogram_quantile(0.{}, sum by (le, job) (rate(latency_bucket[{}m])))",
                self.random.below(10),
                1 + self.random.below(9)
            ),
            12 => self.scalar(),
            13 => self.of_the_same_series(),
            _ => {
                let kind = self.kind();
                self.below(|q| q.vector(kind))
            }
        }
    }

    /// Aggregations of the same series, or of some and all of them, which are read once.
    fn of_the_same_series(&mut self) -> String {
        let metric = self.random.pick(&[
            "requests_total",
            "memory",
            "\"utf8.näme\"",
            "latency",
            "sizes",
            "mixed",
            "__name__=~\"memory|limit\"",
            "__name__=~\"mixed|requests_total\"",
        ]);
        let (function, mode) = match self.random.below(3) {
            0 => ("", ""),
            1 => (
                self.random.pick(&["rate", "increase", "delta"]),
                self.random.pick(&["", "", " anchored", " smoothed"]),
            ),
            _ => (
                self.random.pick(&["irate", "avg_over_time", "max_over_time", "count_over_time", "changes"]),
                "",
            ),
        };
        let modifiers = self.modifiers();
        let window = if function.is_empty() { "" } else { self.random.pick(&["[1m]", "[5m]"]) };
        let mut side = || {
            let metric = if metric.contains('=') || metric.starts_with('"') {
                metric.to_owned()
            } else {
                format!("__name__=\"{metric}\"")
            };
            let matchers = self.random.pick(&[
                "",
                "",
                ",job=\"a\"",
                ",job=\"a\",instance!=\"2\"",
                ",instance=~\"1|10\"",
            ]);
            let op = self.random.pick(&["sum", "sum", "avg", "count", "min", "max", "stddev", "group"]);
            let grouping = self.random.pick(&[
                "",
                " by (job)",
                " by (instance)",
                " without (instance)",
                " by (__name__, job)",
            ]);
            format!("{op}{grouping} ({function}({{{metric}{matchers}}}{window}{mode}{modifiers}))")
        };
        let (a, b, c) = (side(), side(), side());
        let op = self.random.pick(&["or", "and", "unless"]);
        match self.random.below(4) {
            0 => format!("scalar({a}) / {b}"),
            1 => format!("{a} * on () group_left {b}"),
            2 => format!("{a} {op} {b} {op} {c}"),
            _ => format!("{a} + on (job) ({b} * 2)"),
        }
    }
}
