//! Expressions that are a number per step.

use crate::engine::error::QueryError;
use crate::functions::CallKind;
use crate::functions::float::{go_max, go_min, scalar_operation};
use crate::plan::steps::Steps;
use crate::plan::{CallPlan, Node};

use super::Evaluator;

/// A number per step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalars {
    /// The same at every step.
    Constant(f64),
    Steps(Vec<f64>),
}

impl Scalars {
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(values) => values[step],
        }
    }

    pub(crate) fn into_values(self, steps: usize) -> Vec<f64> {
        match self {
            Self::Constant(value) => vec![value; steps],
            Self::Steps(values) => values,
        }
    }

    fn combine(&self, other: &Self, steps: usize, operation: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(operation(*a, *b)),
            _ => Self::Steps((0..steps).map(|i| operation(self.at(i), other.at(i))).collect()),
        }
    }

    /// The values at the steps, each once if they are the same.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        match self {
            Self::Constant(value) => std::slice::from_ref(value).iter().copied(),
            Self::Steps(values) => values.iter().copied(),
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates an expression that is a number.
    pub(crate) fn scalar(&self, node: &Node, steps: &Steps) -> Result<Scalars, QueryError> {
        match node {
            Node::Number(value, _) => Ok(Scalars::Constant(*value)),
            Node::Negate(e, _) => Ok(match self.scalar(e, steps)? {
                Scalars::Constant(value) => Scalars::Constant(-value),
                Scalars::Steps(values) => Scalars::Steps(values.into_iter().map(|v| -v).collect()),
            }),
            Node::Constant(e) => Ok(Scalars::Constant(self.scalar(e, &steps.first())?.at(0))),
            Node::Binary(e) => {
                // As for series, a long chain is walked rather than recursed into.
                let mut chain = vec![&**e];
                let mut left = &e.lhs;
                while let Node::Binary(inner) = left {
                    chain.push(inner);
                    left = &inner.lhs;
                }
                let mut value = self.scalar(left, steps)?;
                for link in chain.into_iter().rev() {
                    let right = self.scalar(&link.rhs, steps)?;
                    value = value.combine(&right, steps.count, |a, b| scalar_operation(link.op, a, b));
                }
                Ok(value)
            }
            Node::Call(e) => self.scalar_call(e, steps),
            _ => Err(QueryError::internal("an expression that is not a scalar was evaluated as one")),
        }
    }

    fn scalar_call(&self, e: &CallPlan, steps: &Steps) -> Result<Scalars, QueryError> {
        match e.kind {
            CallKind::Time => {
                Ok(Scalars::Steps((0..steps.count).map(|i| steps.time(i) as f64 / 1000.0).collect()))
            }
            CallKind::MinOf | CallKind::MaxOf => {
                let (a, b) = (self.scalar(&e.args[0], steps)?, self.scalar(&e.args[1], steps)?);
                let pick = if matches!(e.kind, CallKind::MinOf) { go_min } else { go_max };
                Ok(a.combine(&b, steps.count, pick))
            }
            CallKind::Scalar => {
                // The float of the only series that has one.
                let mut values = vec![f64::NAN; steps.count];
                let mut found = vec![0u8; steps.count];
                self.each(&e.args[0], steps, &mut |column| {
                    for step in column.points.floats.iter() {
                        let is_first = found[step] == 0;
                        values[step] = if is_first { column.points.values[step] } else { f64::NAN };
                        found[step] = 1;
                    }
                    Ok(())
                })?;
                Ok(Scalars::Steps(values))
            }
            _ => Err(QueryError::internal(format!("function {:?} was evaluated as a scalar", e.name))),
        }
    }
}
