//! The canonical text of a tree: what it prints parses to the same tree again.

use std::fmt::{self, Display, Formatter, Write};

use model::{METRIC_NAME, MatchOp, Matcher};

use crate::ast::{
    Aggregate, At, Binary, Cardinality, Duration, DurationExpr, Expr, MatrixSelector, Number, RangeMode,
    Subquery, VectorMatching, VectorSelector,
};
use crate::text::duration::format_ms;
use crate::text::number;
use crate::text::quote::{quote, quote_bytes};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate(e) => {
                write!(f, "{}(", AggregateHead(e))?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.expr)
            }
            Self::Binary(e) => write!(f, "{} {} {}", e.lhs, BinaryOperator(e), e.rhs),
            Self::Call(e) => {
                write!(f, "{}(", e.func.name)?;
                for (i, arg) in e.args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                f.write_char(')')
            }
            Self::Matrix(e) => e.fmt(f),
            Self::Number(e) => e.fmt(f),
            Self::Paren(e) => write!(f, "({})", e.expr),
            Self::String(e) => f.write_str(&quote_bytes(&e.bytes)),
            Self::Subquery(e) => write!(f, "{}{}", e.expr, SubquerySuffix(e)),
            Self::Unary(e) => write!(f, "{}{}", if e.negate { '-' } else { '+' }, e.expr),
            Self::Vector(e) => e.fmt(f),
        }
    }
}

/// The aggregation up to before its arguments.
pub(crate) struct AggregateHead<'a>(pub(crate) &'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate { op, grouping, without, .. } = self.0;
        f.write_str(op.as_str())?;
        match (without, grouping.is_empty()) {
            (true, _) => write!(f, " without ({}) ", LabelNames(grouping)),
            (false, false) => write!(f, " by ({}) ", LabelNames(grouping)),
            (false, true) => Ok(()),
        }
    }
}

/// The operator with what modifies it.
pub(crate) struct BinaryOperator<'a>(pub(crate) &'a Binary);

impl Display for BinaryOperator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => write_matching(f, matching),
            None => Ok(()),
        }
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let side = match matching.card {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || side.is_some() {
        let tag = if matching.on { "on" } else { "ignoring" };
        write!(f, " {tag} ({})", LabelNames(&matching.labels))?;
    }
    if let Some(side) = side {
        write!(f, " group_{side} ({})", LabelNames(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", number::general(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", number::general(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", number::general(right))?;
            }
            Ok(())
        }
    }
}

/// Names of labels with commas, quoted where they must be.
struct LabelNames<'a>(&'a [String]);

impl Display for LabelNames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write_label_name(f, name)?;
        }
        Ok(())
    }
}

fn write_label_name(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    if is_plain_label_name(name) { f.write_str(name) } else { f.write_str(&quote(name)) }
}

/// Whether a label's name can be written without quotes.
pub(crate) fn is_plain_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A matcher, as selectors write it.
struct SelectorMatcher<'a>(&'a Matcher);

impl Display for SelectorMatcher<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_label_name(f, self.0.name())?;
        write!(f, "{}{}", self.0.op().as_str(), quote(self.0.value()))
    }
}

impl VectorSelector {
    /// Name and matchers, without modifiers.
    fn write_series(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("");
        f.write_str(name)?;
        let mut shown: Vec<String> = self
            .matchers
            .iter()
            .filter(|m| {
                let is_name = m.name() == METRIC_NAME && m.op() == MatchOp::Equal && m.value() == name;
                !is_name || name.is_empty()
            })
            .map(|m| SelectorMatcher(m).to_string())
            .collect();
        shown.sort_unstable();
        if !shown.is_empty() || name.is_empty() {
            write!(f, "{{{}}}", shown.join(","))?;
        }
        Ok(())
    }
}

fn mode_suffix(mode: RangeMode) -> &'static str {
    match mode {
        RangeMode::Plain => "",
        RangeMode::Anchored => " anchored",
        RangeMode::Smoothed => " smoothed",
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_series(f)?;
        write!(f, "{}", AtSuffix(self.at))?;
        f.write_str(mode_suffix(self.mode))?;
        write!(f, "{}", OffsetSuffix(&self.offset))
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let selector = &self.selector;
        selector.write_series(f)?;
        write!(f, "[{}]{}", self.range, mode_suffix(selector.mode))?;
        write!(f, "{}{}", AtSuffix(selector.at), OffsetSuffix(&selector.offset))
    }
}

struct AtSuffix(Option<At>);

impl Display for AtSuffix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            Some(At::Timestamp(ms)) => {
                let sign = if ms < 0 { "-" } else { "" };
                let ms = ms.unsigned_abs();
                write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)
            }
        }
    }
}

struct OffsetSuffix<'a>(&'a Duration);

impl Display for OffsetSuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { Ok(()) } else { write!(f, " offset {}", self.0) }
    }
}

/// What is written behind the expression of a subquery.
pub(crate) struct SubquerySuffix<'a>(pub(crate) &'a Subquery);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let subquery = self.0;
        write!(f, "[{}:", subquery.range)?;
        if let Some(step) = &subquery.step {
            write!(f, "{step}")?;
        }
        write!(f, "]{}{}", AtSuffix(subquery.at), OffsetSuffix(&subquery.offset))
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ms) => f.write_str(&format_ms(*ms)),
            Self::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(number) => number.fmt(f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Negate(inner, _) => write!(f, "-{inner}"),
            Self::Paren(inner, _) => write!(f, "({inner})"),
            Self::MinOf(a, b, _) => write!(f, "min_of({a}, {b})"),
            Self::MaxOf(a, b, _) => write!(f, "max_of({a}, {b})"),
            Self::Binary(op, lhs, rhs) => write!(f, "{lhs} {} {rhs}", op.as_str()),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A duration of a fraction of a millisecond cannot be written as one.
        let ms = self.value * 1000.0;
        if self.is_duration && ms.fract() == 0.0 && ms.abs() < i64::MAX as f64 {
            f.write_str(&format_ms(ms as i64))
        } else {
            f.write_str(&number::plain(self.value))
        }
    }
}
