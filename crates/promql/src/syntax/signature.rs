//! The functions of PromQL: names, types of arguments and results, and which are experimental.

use crate::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// The signature of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments; with `variadic`, the last may be missing or repeated.
    pub args: &'static [ValueType],
    /// How many arguments there may be.
    pub variadic: Variadic,
    /// What it returns.
    pub returns: ValueType,
    /// Whether it needs the opt-in for experimental functions.
    pub experimental: bool,
}

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variadic {
    /// As many as it has types.
    No,
    /// The last may be missing, or there this many times.
    UpTo(usize),
    /// The last may be missing, or there any number of times.
    Any,
}

const fn stable(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, variadic: Variadic::No, returns, experimental: false }
}

const fn of_vector(name: &'static str) -> Function {
    stable(name, &[Vector], Vector)
}

const fn of_matrix(name: &'static str) -> Function {
    stable(name, &[Matrix], Vector)
}

const fn of_time(name: &'static str) -> Function {
    variadic(of_vector(name), Variadic::UpTo(1))
}

const fn variadic(function: Function, variadic: Variadic) -> Function {
    Function { variadic, ..function }
}

const fn experimental(function: Function) -> Function {
    Function { experimental: true, ..function }
}

/// All functions, by name.
pub static FUNCTIONS: &[Function] = &[
    of_vector("abs"),
    of_vector("absent"),
    of_matrix("absent_over_time"),
    of_vector("acos"),
    of_vector("acosh"),
    of_vector("asin"),
    of_vector("asinh"),
    of_vector("atan"),
    of_vector("atanh"),
    of_matrix("avg_over_time"),
    of_vector("ceil"),
    of_matrix("changes"),
    stable("clamp", &[Vector, Scalar, Scalar], Vector),
    stable("clamp_max", &[Vector, Scalar], Vector),
    stable("clamp_min", &[Vector, Scalar], Vector),
    of_vector("cos"),
    of_vector("cosh"),
    of_matrix("count_over_time"),
    of_time("day_of_month"),
    of_time("day_of_week"),
    of_time("day_of_year"),
    of_time("days_in_month"),
    of_vector("deg"),
    of_matrix("delta"),
    of_matrix("deriv"),
    experimental(stable("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector)),
    experimental(stable("end", &[], Scalar)),
    of_vector("exp"),
    of_matrix("first_over_time"),
    of_vector("floor"),
    of_vector("histogram_avg"),
    of_vector("histogram_count"),
    stable("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    stable("histogram_quantile", &[Scalar, Vector], Vector),
    experimental(variadic(
        stable("histogram_quantiles", &[Vector, String, Scalar, Scalar], Vector),
        Variadic::UpTo(9),
    )),
    of_vector("histogram_stddev"),
    of_vector("histogram_stdvar"),
    of_vector("histogram_sum"),
    of_time("hour"),
    of_matrix("idelta"),
    of_matrix("increase"),
    experimental(variadic(stable("info", &[Vector, Vector], Vector), Variadic::UpTo(1))),
    of_matrix("irate"),
    variadic(stable("label_join", &[Vector, String, String, String], Vector), Variadic::Any),
    stable("label_replace", &[Vector, String, String, String, String], Vector),
    of_matrix("last_over_time"),
    of_vector("ln"),
    of_vector("log10"),
    of_vector("log2"),
    experimental(of_matrix("mad_over_time")),
    experimental(stable("max_of", &[Scalar, Scalar], Scalar)),
    of_matrix("max_over_time"),
    experimental(stable("min_of", &[Scalar, Scalar], Scalar)),
    of_matrix("min_over_time"),
    of_time("minute"),
    of_time("month"),
    stable("pi", &[], Scalar),
    stable("predict_linear", &[Matrix, Scalar], Vector),
    of_matrix("present_over_time"),
    stable("quantile_over_time", &[Scalar, Matrix], Vector),
    of_vector("rad"),
    experimental(stable("range", &[], Scalar)),
    of_matrix("rate"),
    of_matrix("resets"),
    variadic(stable("round", &[Vector, Scalar], Vector), Variadic::UpTo(1)),
    stable("scalar", &[Vector], Scalar),
    of_vector("sgn"),
    of_vector("sin"),
    of_vector("sinh"),
    of_vector("sort"),
    experimental(variadic(stable("sort_by_label", &[Vector, String], Vector), Variadic::Any)),
    experimental(variadic(stable("sort_by_label_desc", &[Vector, String], Vector), Variadic::Any)),
    of_vector("sort_desc"),
    of_vector("sqrt"),
    experimental(stable("start", &[], Scalar)),
    experimental(of_vector("start_timestamp")),
    of_matrix("stddev_over_time"),
    of_matrix("stdvar_over_time"),
    experimental(stable("step", &[], Scalar)),
    of_matrix("sum_over_time"),
    of_vector("tan"),
    of_vector("tanh"),
    stable("time", &[], Scalar),
    of_vector("timestamp"),
    experimental(of_matrix("ts_of_first_over_time")),
    experimental(of_matrix("ts_of_last_over_time")),
    experimental(of_matrix("ts_of_max_over_time")),
    experimental(of_matrix("ts_of_min_over_time")),
    stable("vector", &[Scalar], Vector),
    of_time("year"),
];

/// The function with this name.
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(FUNCTIONS.len(), 90);
        assert_eq!(function("rate").map(|f| f.returns), Some(Vector));
        assert_eq!(function("Rate"), None);
    }
}
