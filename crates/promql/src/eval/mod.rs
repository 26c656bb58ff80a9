//! Evaluation. Series are columns over the steps; an expression hands its series on one by one, so that what is above
//! it can fold them as they come.

pub(crate) mod accumulate;
mod aggregate;
mod aggregate_each;
mod aggregate_pick;
mod binary;
mod calls;
mod column;
mod histograms;
mod info;
mod labels;
mod matching;
mod operators;
mod ordering;
mod presence;
mod ranges;
mod scalars;
mod selectors;
mod series;
mod sorting;
mod stored;
mod together;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::engine::annotations::Annotations;
use crate::engine::budget::{Budget, Charge};
use crate::engine::error::{ErrorKind, QueryError};
use crate::engine::executor::Executor;
use crate::engine::options::EngineOptions;
use crate::engine::source::SeriesSource;
use crate::plan::Node;
use crate::plan::steps::Steps;

pub(crate) use column::{Column, Points};
pub(crate) use labels::{is_metadata, without_metadata};
use stored::Order;
pub(crate) use together::Together;

/// Reading, adding or comparing a histogram is as much work as doing so with so many floats, or more.
pub(crate) const HISTOGRAM_WORK: usize = 64;

/// Takes series as they come.
pub(crate) type Sink<'s> = &'s mut dyn FnMut(Column) -> Result<(), QueryError>;

/// Evaluates one query.
pub(crate) struct Evaluator<'a> {
    pub(crate) options: &'a EngineOptions,
    pub(crate) lookback_ms: i64,
    pub(crate) source: &'a dyn SeriesSource,
    /// Whether the query has been cancelled, and why.
    pub(crate) interrupted: &'a (dyn Fn() -> Option<ErrorKind> + Sync),
    pub(crate) budget: Arc<Budget>,
    /// What runs parts of the query at the same time, if anything does.
    pub(crate) executor: Option<&'a dyn Executor>,
    pub(crate) annotations: RefCell<Annotations>,
    /// Work done since the last look at `interrupted`.
    pub(crate) work: Cell<u64>,
    pub(crate) series_read: Cell<u64>,
    pub(crate) samples_read: Cell<u64>,
    /// How many shards aggregations have begun to add up.
    pub(crate) shards_opened: Cell<usize>,
    /// The aggregations of the query that read their series together.
    pub(crate) together: Vec<Together<'a>>,
}

/// Series held in memory, and what they take of the budget.
pub(crate) struct Held {
    pub(crate) columns: Vec<Column>,
    charge: Option<Charge>,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self { columns: Vec::new(), charge: None }
    }

    pub(crate) fn push(&mut self, evaluator: &Evaluator<'_>, column: Column) -> Result<(), QueryError> {
        let bytes = size_of::<Column>() + column.points.bytes() + column.labels.heap_bytes();
        let samples = column.points.weight();
        match &mut self.charge {
            Some(charge) => charge.grow(samples, bytes)?,
            None => self.charge = Some(evaluator.budget.charge(samples, bytes)?),
        }
        self.columns.push(column);
        Ok(())
    }
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(
        options: &'a EngineOptions,
        lookback_ms: i64,
        source: &'a dyn SeriesSource,
        interrupted: &'a (dyn Fn() -> Option<ErrorKind> + Sync),
        budget: Arc<Budget>,
        executor: Option<&'a dyn Executor>,
    ) -> Self {
        Self {
            options,
            lookback_ms,
            source,
            interrupted,
            budget,
            executor,
            annotations: RefCell::default(),
            work: Cell::new(0),
            series_read: Cell::new(0),
            samples_read: Cell::new(0),
            shards_opened: Cell::new(0),
            together: Vec::new(),
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates an expression of series.
    pub(crate) fn each(&self, node: &Node, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        self.check_interrupted()?;
        match node {
            Node::Vector(e) => self.selector(e, steps, Order::Labels, sink),
            Node::Aggregate(e) => self.aggregate(e, steps, sink),
            Node::Binary(e) => self.binary(e, steps, sink),
            Node::Call(e) => self.call(e, steps, sink),
            Node::Negate(e, _) => self.negate(e, steps, sink),
            Node::Constant(e) if steps.count > 1 => self.each(e, &steps.first(), &mut |mut column| {
                column.points = column.points.repeated(steps.count);
                sink(column)
            }),
            Node::Constant(e) => self.each(e, steps, sink),
            Node::Number(..) | Node::Text(..) | Node::Matrix(_) | Node::Subquery(_) => {
                Err(QueryError::internal("an expression that is not a vector was evaluated as one"))
            }
        }
    }

    /// All series of an expression.
    pub(crate) fn held(&self, node: &Node, steps: &Steps) -> Result<Held, QueryError> {
        let mut held = Held::new();
        self.each(node, steps, &mut |column| held.push(self, column))?;
        Ok(held)
    }

    pub(crate) fn check_interrupted(&self) -> Result<(), QueryError> {
        match (self.interrupted)() {
            None => Ok(()),
            Some(ErrorKind::Timeout) => {
                Err(QueryError::new(ErrorKind::Timeout, "query timed out in expression evaluation"))
            }
            Some(kind) => Err(QueryError::new(kind, "query was canceled in expression evaluation")),
        }
    }

    /// Counts work, in samples looked at, and now and then looks whether the query is to stop.
    #[inline]
    pub(crate) fn spend(&self, work: usize) -> Result<(), QueryError> {
        const BETWEEN_LOOKS: u64 = 200_000;
        let spent = self.work.get() + work as u64;
        self.work.set(spent);
        if spent < BETWEEN_LOOKS {
            return Ok(());
        }
        self.work.set(0);
        self.check_interrupted()
    }

    /// Whether metric names are dropped at once rather than at the end.
    pub(crate) fn drops_names_now(&self) -> bool {
        !self.options.delayed_name_removal
    }
}
