//! A query made ready to run: times resolved, constants folded, functions looked up, and what does not depend on the
//! step marked, so that it is computed once.

mod build;
mod duration;
mod selections;
mod share;
pub(crate) mod steps;

use model::Matcher;

use crate::ast::{AggregateOp, BinaryOp, RangeMode, Span, VectorMatching};
use crate::functions::CallKind;

pub(crate) use build::{Times, build};
pub(crate) use selections::{info_hints, info_name_matchers, innermost_modifiers};

/// A node of a plan.
#[derive(Debug)]
pub(crate) enum Node {
    Number(f64, Span),
    Text(Vec<u8>, Span),
    Vector(Box<SelectorPlan>),
    Matrix(Box<MatrixPlan>),
    Subquery(Box<SubqueryPlan>),
    Aggregate(Box<AggregatePlan>),
    Binary(Box<BinaryPlan>),
    Call(Box<CallPlan>),
    Negate(Box<Node>, Span),
    /// The same at every step: evaluated at the first only.
    Constant(Box<Node>),
}

#[derive(Debug)]
pub(crate) struct SelectorPlan {
    pub(crate) ordinal: usize,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
    pub(crate) mode: RangeMode,
    pub(crate) span: Span,
    pub(crate) func: &'static str,
    pub(crate) grouping: Vec<String>,
    pub(crate) by: bool,
    pub(crate) stats_only: bool,
}

#[derive(Debug)]
pub(crate) struct MatrixPlan {
    pub(crate) selector: SelectorPlan,
    pub(crate) range_ms: i64,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct SubqueryPlan {
    pub(crate) expr: Node,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct AggregatePlan {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Node,
    pub(crate) param: Option<Node>,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct BinaryPlan {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node,
    pub(crate) rhs: Node,
    pub(crate) return_bool: bool,
    pub(crate) matching: Option<VectorMatching>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct CallPlan {
    pub(crate) name: &'static str,
    /// Whether nobody looks at the metric's name in the result, so that it need not be dropped.
    pub(crate) name_is_unseen: bool,
    pub(crate) kind: CallKind,
    pub(crate) args: Vec<Node>,
    pub(crate) span: Span,
}

impl Node {
    /// Where the expression stands.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Number(_, span) | Self::Text(_, span) | Self::Negate(_, span) => *span,
            Self::Vector(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Aggregate(e) => e.span,
            Self::Binary(e) => e.span,
            Self::Call(e) => e.span,
            Self::Constant(e) => e.span(),
        }
    }

    /// Whether it evaluates to a number per step.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Number(..) => true,
            Self::Binary(e) => e.matching.is_none() && e.lhs.is_scalar() && e.rhs.is_scalar(),
            Self::Call(e) => e.kind.returns_scalar(),
            Self::Negate(e, _) | Self::Constant(e) => e.is_scalar(),
            Self::Text(..) | Self::Vector(_) | Self::Matrix(_) | Self::Subquery(_) | Self::Aggregate(_) => {
                false
            }
        }
    }

    /// Whether all series have the same metric name, so that dropping it makes no two of them equal.
    pub(crate) fn has_single_name(&self) -> bool {
        match self {
            Self::Vector(e) => e.has_single_name(),
            Self::Matrix(e) => e.selector.has_single_name(),
            Self::Subquery(e) => e.expr.has_single_name(),
            Self::Aggregate(_) | Self::Number(..) | Self::Text(..) => false,
            Self::Binary(e) => match (e.lhs.is_scalar(), e.rhs.is_scalar()) {
                (false, true) => e.lhs.has_single_name(),
                (true, false) => e.rhs.has_single_name(),
                _ => false,
            },
            Self::Call(e) => {
                e.kind.keeps_series()
                    && e.args.iter().find(|a| !a.is_scalar()).is_some_and(Self::has_single_name)
            }
            Self::Negate(e, _) | Self::Constant(e) => e.has_single_name(),
        }
    }
}

impl SelectorPlan {
    fn has_single_name(&self) -> bool {
        self.matchers.iter().any(|m| m.name() == model::METRIC_NAME && m.op() == model::MatchOp::Equal)
    }
}
