//! From syntax tree to plan.

use model::{METRIC_NAME, Matcher};

use crate::ast::{At, BinaryOp, Expr, RangeMode, Span, VectorSelector};
use crate::engine::error::QueryError;
use crate::engine::options::EngineOptions;
use crate::eval::is_metadata;
use crate::functions::CallKind;

use super::duration::{offset_ms, positive_ms};
use super::share::share_matchers;
use super::{AggregatePlan, BinaryPlan, CallPlan, MatrixPlan, Node, SelectorPlan, SubqueryPlan};

/// The times of a query. An instant query has equal start and end, and step 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) step_ms: i64,
}

/// Makes a plan of a checked expression. With `shares_matchers`, series that can have no effect are not selected.
pub(crate) fn build(
    expr: &Expr,
    times: Times,
    options: &EngineOptions,
    shares_matchers: bool,
) -> Result<Node, QueryError> {
    let mut builder = Builder { times, options, shares_matchers, selections: 0 };
    Ok(builder.node(expr, &Context::default())?.finish())
}

struct Builder<'a> {
    times: Times,
    options: &'a EngineOptions,
    /// Whether operators put the matchers of one side to the other.
    shares_matchers: bool,
    selections: usize,
}

/// What lies around an expression.
#[derive(Debug, Clone, Copy, Default)]
struct Context<'a> {
    func: &'static str,
    grouping: &'a [String],
    by: bool,
    /// A function around it needs counts and sums of histograms only.
    stats_suffice: bool,
    /// Something around it needs buckets.
    needs_buckets: bool,
}

impl Context<'_> {
    fn within(self, func: &'static str) -> Self {
        Self { func, grouping: &[], by: false, ..self }
    }
}

/// A node, and what is known about its dependence on the step.
struct Built {
    node: Node,
    /// It is the same at every step.
    invariant: bool,
    /// It is worth being computed once: not a literal, and no range of samples.
    worth_folding: bool,
}

impl Built {
    fn finish(self) -> Node {
        if self.invariant && self.worth_folding { Node::Constant(Box::new(self.node)) } else { self.node }
    }
}

fn invariant(node: Node, invariant: bool) -> Built {
    Built { node, invariant, worth_folding: invariant }
}

fn literal(node: Node) -> Built {
    Built { node, invariant: true, worth_folding: false }
}

impl Builder<'_> {
    fn node(&mut self, expr: &Expr, context: &Context<'_>) -> Result<Built, QueryError> {
        Ok(match expr {
            Expr::Number(e) => literal(Node::Number(e.value, e.span)),
            Expr::String(e) => literal(Node::Text(e.bytes.clone(), e.span)),
            Expr::Paren(e) => self.node(&e.expr, &context.within(context.func))?,
            Expr::Vector(e) => {
                let selector = self.selector(e, context)?;
                let pinned = selector.at_ms.is_some();
                invariant(Node::Vector(Box::new(selector)), pinned)
            }
            Expr::Matrix(e) => {
                let selector = self.selector(&e.selector, &context.within(context.func))?;
                Built {
                    invariant: selector.at_ms.is_some(),
                    worth_folding: false,
                    node: Node::Matrix(Box::new(MatrixPlan {
                        selector,
                        range_ms: positive_ms(&e.range, &self.times)?,
                        span: e.span,
                    })),
                }
            }
            Expr::Subquery(e) => {
                let mut inner = context.within(context.func);
                inner.needs_buckets = true;
                let step_ms = match &e.step {
                    Some(step) => positive_ms(step, &self.times)?,
                    None => self.options.default_subquery_step_ms,
                };
                let at_ms = self.at(e.at);
                Built {
                    node: Node::Subquery(Box::new(SubqueryPlan {
                        expr: self.node(&e.expr, &inner)?.finish(),
                        range_ms: positive_ms(&e.range, &self.times)?,
                        step_ms: step_ms.max(1),
                        offset_ms: offset_ms(&e.offset, &self.times)?,
                        at_ms,
                        span: e.span,
                    })),
                    invariant: at_ms.is_some(),
                    worth_folding: false,
                }
            }
            Expr::Unary(e) => {
                let inner = self.node(&e.expr, &context.within(context.func))?;
                if e.negate {
                    Built { node: Node::Negate(Box::new(inner.node), e.span), ..inner }
                } else {
                    inner
                }
            }
            Expr::Aggregate(e) => {
                let mut inner = context.within(e.op.as_str());
                (inner.grouping, inner.by) = (&e.grouping, !e.without);
                let expr = self.node(e.expr.without_parens(), &inner)?;
                let param = match &e.param {
                    Some(param) => Some(self.node(param.without_parens(), &context.within(e.op.as_str()))?),
                    None => None,
                };
                let same = expr.invariant && param.as_ref().is_none_or(|p| p.invariant);
                let (expr, param) = if same {
                    (expr.node, param.map(|p| p.node))
                } else {
                    (expr.finish(), param.map(Built::finish))
                };
                let mut grouping = e.grouping.clone();
                grouping.sort_unstable();
                grouping.dedup();
                let mut expr = expr;
                if !e.without && !e.op.has_param() && !grouping.iter().any(|name| is_metadata(name)) {
                    leave_names(&mut expr);
                }
                let node = Node::Aggregate(Box::new(AggregatePlan {
                    op: e.op,
                    expr,
                    param,
                    grouping,
                    without: e.without,
                    span: e.span,
                }));
                invariant(node, same)
            }
            Expr::Binary(e) => self.binary(e, context)?,
            Expr::Call(e) => self.call(e, context)?,
        })
    }

    fn binary(&mut self, e: &crate::ast::Binary, context: &Context<'_>) -> Result<Built, QueryError> {
        let mut inner = context.within("");
        inner.needs_buckets |= matches!(e.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        let mut lhs = self.node(&e.lhs, &inner)?;
        let mut rhs = self.node(&e.rhs, &inner)?;
        if let Some(matching) = e.matching.as_ref().filter(|_| self.shares_matchers) {
            share_matchers(e.op, matching, &mut lhs.node, &mut rhs.node);
        }
        let same = lhs.invariant && rhs.invariant;
        let (lhs, rhs) = if same { (lhs.node, rhs.node) } else { (lhs.finish(), rhs.finish()) };
        let node = Node::Binary(Box::new(BinaryPlan {
            op: e.op,
            lhs,
            rhs,
            return_bool: e.return_bool,
            matching: e.matching.clone(),
            span: e.span(),
        }));
        Ok(invariant(node, same))
    }

    fn call(&mut self, e: &crate::ast::Call, context: &Context<'_>) -> Result<Built, QueryError> {
        let name = e.func.name;
        if let Some(value) = self.query_constant(name) {
            return Ok(literal(Node::Number(value, e.span)));
        }
        let mut inner = context.within(name);
        inner.stats_suffice |= matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
        inner.needs_buckets |=
            matches!(name, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction");
        let kind = CallKind::of(name)
            .ok_or_else(|| QueryError::internal(format!("function {name:?} is not implemented")))?;
        let mut args = Vec::with_capacity(e.args.len());
        for arg in &e.args {
            args.push(self.node(arg.without_parens(), &inner)?);
        }
        let all = args.iter().all(|arg| arg.invariant);
        if name == "info" && args.len() == 1 {
            args.push(invariant(Node::Vector(Box::new(self.target_info(e.span))), false));
        }
        let timestamp_of_selector =
            name == "timestamp" && args.iter().all(|a| matches!(a.node, Node::Vector(_)));
        let same = all && (!uses_time(name) || timestamp_of_selector);
        let args = args.into_iter().map(|arg| if same { arg.node } else { arg.finish() }).collect();
        let node = Node::Call(Box::new(CallPlan { name, name_is_unseen: false, kind, args, span: e.span }));
        Ok(invariant(node, same))
    }

    /// The functions of the query's own times.
    fn query_constant(&self, name: &str) -> Option<f64> {
        let Times { start_ms, end_ms, step_ms } = self.times;
        let ms = match name {
            "start" => start_ms,
            "end" => end_ms,
            "range" => end_ms - start_ms,
            "step" if start_ms == end_ms => 0,
            "step" => step_ms,
            "pi" => return Some(std::f64::consts::PI),
            _ => return None,
        };
        Some(ms as f64 / 1000.0)
    }

    /// What `info` takes labels from if it is told nothing else.
    fn target_info(&mut self, span: Span) -> SelectorPlan {
        let ordinal = self.selections;
        self.selections += 1;
        SelectorPlan {
            ordinal,
            matchers: vec![Matcher::equal(METRIC_NAME, "target_info")],
            offset_ms: 0,
            at_ms: None,
            mode: RangeMode::Plain,
            span,
            func: "info",
            grouping: Vec::new(),
            by: false,
            stats_only: false,
        }
    }

    fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Timestamp(ms) => ms,
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        })
    }

    fn selector(&mut self, e: &VectorSelector, context: &Context<'_>) -> Result<SelectorPlan, QueryError> {
        let ordinal = self.selections;
        self.selections += 1;
        Ok(SelectorPlan {
            ordinal,
            matchers: e.matchers.clone(),
            offset_ms: offset_ms(&e.offset, &self.times)?,
            at_ms: self.at(e.at),
            mode: e.mode,
            span: e.span,
            func: context.func,
            grouping: context.grouping.to_vec(),
            by: context.by,
            stats_only: context.stats_suffice && !context.needs_buckets,
        })
    }
}

/// Spares a function the dropping of names that nobody looks at. Where it could make series equal, which is an error,
/// it has to be done.
fn leave_names(node: &mut Node) {
    let single = node.has_single_name();
    match node {
        Node::Call(call) if single && matches!(call.kind, CallKind::Range(_)) => call.name_is_unseen = true,
        Node::Constant(inner) => leave_names(inner),
        _ => {}
    }
}

/// Whether a function's result depends on the time of evaluation even if its arguments do not.
fn uses_time(name: &str) -> bool {
    matches!(
        name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}
