//! The engine: parses and plans queries, and runs them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use model::Labels;

use crate::ast::{Expr, ValueType};
use crate::eval::{Column, Evaluator, Points, Together};
use crate::plan::steps::Steps;
use crate::plan::{Node, Times, build};
use crate::syntax::parse;

use super::budget::{Budget, SharedMemory};
use super::error::{ErrorKind, QueryError};
use super::executor::Executor;
use super::options::EngineOptions;
use super::source::{SelectHints, SeriesSource};
use super::value::{InstantSample, QueryResult, QueryStats, QueryValue, RangeSeries, SampleValue};

/// Runs queries. Cheap to make, and free of state.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: EngineOptions,
    memory: Option<Arc<dyn SharedMemory>>,
    selects_all: bool,
    executor: Option<Arc<dyn Executor>>,
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTime {
    /// Once, at this many milliseconds since the Unix epoch.
    Instant(i64),
    /// From a time to a time, both included, every so many milliseconds.
    Range {
        /// The first time.
        start_ms: i64,
        /// The time after which there are no more.
        end_ms: i64,
        /// The distance of times, at least 1.
        step_ms: i64,
    },
}

/// A query that is ready to run.
#[derive(Debug)]
pub struct PreparedQuery {
    text: String,
    pub(super) plan: Node,
    value_type: ValueType,
    time: QueryTime,
    pub(super) steps: Steps,
    lookback_ms: i64,
}

impl PreparedQuery {
    /// The query's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// Everything that it will select, in the order of [`SelectHints::ordinal`]: what a source may fetch beforehand.
    pub fn selections(&self) -> Vec<SelectHints> {
        let mut out = Vec::new();
        self.plan.selections(&self.steps, self.lookback_ms, &mut out);
        out
    }
}

impl Engine {
    /// An engine with these options.
    pub fn new(options: EngineOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The same engine, with queries that take what they hold from `memory` besides.
    pub fn with_memory(self, memory: Arc<dyn SharedMemory>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The same engine, with queries whose parts run at the same time where `executor` can do that.
    #[must_use]
    pub fn with_executor(self, executor: Arc<dyn Executor>) -> Self {
        Self { executor: Some(executor), ..self }
    }

    /// The same engine, but selectors select all that they say, also series that can have no effect on the result: for
    /// [counting samples](Self::sample_counts) as Prometheus does.
    #[must_use]
    pub fn selecting_all(self) -> Self {
        Self { selects_all: true, ..self }
    }

    /// Its options.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Parses and plans a query. `lookback_ms` replaces the option of that name.
    pub fn prepare(
        &self,
        text: &str,
        time: QueryTime,
        lookback_ms: Option<i64>,
    ) -> Result<PreparedQuery, QueryError> {
        let expr = parse(text, &self.options.parse_options())?;
        self.prepare_expr(&expr, text, time, lookback_ms)
    }

    /// Plans a query that has been parsed; `text` is what positions in annotations refer to.
    pub fn prepare_expr(
        &self,
        expr: &Expr,
        text: &str,
        time: QueryTime,
        lookback_ms: Option<i64>,
    ) -> Result<PreparedQuery, QueryError> {
        let value_type = expr.value_type();
        let (times, steps) = self.times(time)?;
        if matches!(time, QueryTime::Range { .. })
            && !matches!(value_type, ValueType::Scalar | ValueType::Vector)
        {
            return Err(QueryError::bad_data(format!(
                "invalid expression type {} for range query, must be Scalar or instant Vector",
                crate::text::quote::quote(value_type.documented())
            )));
        }
        Ok(PreparedQuery {
            text: text.to_owned(),
            plan: build(expr, times, &self.options, !self.selects_all)?,
            value_type,
            time,
            steps,
            lookback_ms: lookback_ms.unwrap_or(self.options.lookback_ms).max(1),
        })
    }

    fn times(&self, time: QueryTime) -> Result<(Times, Steps), QueryError> {
        let (start_ms, end_ms, step_ms) = match time {
            QueryTime::Instant(time_ms) => {
                let times = Times { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
                return Ok((times, Steps::single(time_ms)));
            }
            QueryTime::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        };
        if step_ms <= 0 {
            return Err(QueryError::bad_data(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        let steps = Steps::range(start_ms, end_ms, step_ms)
            .ok_or_else(|| QueryError::bad_data("end timestamp must not be before start time"))?;
        if steps.count as u64 > self.options.max_steps {
            return Err(QueryError::bad_data(format!(
                "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
                self.options.max_steps
            )));
        }
        let times = Times { start_ms, end_ms, step_ms };
        Ok((times, steps))
    }

    /// Runs an instant query.
    pub fn instant(
        &self,
        text: &str,
        time_ms: i64,
        source: &dyn SeriesSource,
    ) -> Result<QueryResult, QueryError> {
        let query = self.prepare(text, QueryTime::Instant(time_ms), None)?;
        self.run(&query, source, &|| None)
    }

    /// Runs a range query.
    pub fn range(
        &self,
        text: &str,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        source: &dyn SeriesSource,
    ) -> Result<QueryResult, QueryError> {
        let time = QueryTime::Range { start_ms, end_ms, step_ms };
        let query = self.prepare(text, time, None)?;
        self.run(&query, source, &|| None)
    }

    /// Runs a query. `interrupted` is asked often whether to stop, and why: [`ErrorKind::Timeout`] or
    /// [`ErrorKind::Canceled`].
    pub fn run(
        &self,
        query: &PreparedQuery,
        source: &dyn SeriesSource,
        interrupted: &(dyn Fn() -> Option<ErrorKind> + Sync),
    ) -> Result<QueryResult, QueryError> {
        let mut evaluator = self.evaluator(query, source, interrupted);
        evaluator.together = Together::of(&query.plan);
        let value = self.evaluate(query, &evaluator)?;
        let stats = QueryStats {
            series: evaluator.series_read.get(),
            samples_read: evaluator.samples_read.get(),
            peak_samples: evaluator.budget.peak_samples(),
            peak_bytes: evaluator.budget.peak_bytes(),
        };
        Ok(QueryResult { value, annotations: evaluator.annotations.into_inner(), stats })
    }

    pub(crate) fn evaluator<'a>(
        &'a self,
        query: &PreparedQuery,
        source: &'a dyn SeriesSource,
        interrupted: &'a (dyn Fn() -> Option<ErrorKind> + Sync),
    ) -> Evaluator<'a> {
        let (max_samples, max_bytes) = (self.options.max_samples, self.options.max_memory_bytes);
        let budget = Budget::new(max_samples, max_bytes, self.memory.clone());
        let executor = self.executor.as_deref();
        Evaluator::new(&self.options, query.lookback_ms, source, interrupted, budget, executor)
    }

    fn evaluate(&self, query: &PreparedQuery, evaluator: &Evaluator<'_>) -> Result<QueryValue, QueryError> {
        let steps = &query.steps;
        let instant = matches!(query.time, QueryTime::Instant(_));
        match (&query.plan, query.value_type) {
            (Node::Text(bytes, _), _) => Ok(QueryValue::String(bytes.clone())),
            (Node::Matrix(e), _) => {
                Ok(QueryValue::Matrix(sorted(evaluator, evaluator.matrix(e, steps.start_ms)?)?))
            }
            (Node::Subquery(e), _) => {
                let Some((inner, held)) = evaluator.subquery(e, steps.start_ms)? else {
                    return Ok(QueryValue::Matrix(Vec::new()));
                };
                let columns = self.named(held.columns)?;
                Ok(QueryValue::Matrix(ranges(evaluator, columns, &inner)?))
            }
            (plan, ValueType::Scalar) if instant => {
                Ok(QueryValue::Scalar(evaluator.scalar(plan, steps)?.at(0)))
            }
            (plan, ValueType::Scalar) => {
                let values = evaluator.scalar(plan, steps)?.into_values(steps.count);
                let column = Column::new(Labels::empty(), Points::dense(values));
                Ok(QueryValue::Matrix(ranges(evaluator, vec![column], steps)?))
            }
            (plan, _) => {
                let columns = self.named(evaluator.held(plan, steps)?.columns)?;
                if instant {
                    Ok(QueryValue::Vector(columns.into_iter().filter_map(instant_sample).collect()))
                } else {
                    Ok(QueryValue::Matrix(ranges(evaluator, columns, steps)?))
                }
            }
        }
    }

    /// Drops the names that were to be dropped at the end, and merges series that become equal by it. Without delayed
    /// name removal that has been done where it belongs.
    fn named(&self, columns: Vec<Column>) -> Result<Vec<Column>, QueryError> {
        if !self.options.delayed_name_removal || !columns.iter().any(|c| c.drop_name) {
            return Ok(columns);
        }
        let mut by_labels = HashMap::new();
        let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
        for mut column in columns {
            if column.drop_name {
                column.labels = crate::eval::without_metadata(&column.labels);
            }
            match by_labels.entry(column.labels.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(merged.len());
                    merged.push(column);
                }
                Entry::Occupied(entry) => {
                    if !merged[*entry.get()].points.absorb(&column.points) {
                        return Err(QueryError::same_labelset());
                    }
                }
            }
        }
        Ok(merged)
    }
}

fn instant_sample(column: Column) -> Option<InstantSample> {
    Some(InstantSample { value: column.points.get(0)?, labels: column.labels })
}

fn ranges(
    evaluator: &Evaluator<'_>,
    columns: Vec<Column>,
    steps: &Steps,
) -> Result<Vec<RangeSeries>, QueryError> {
    let series = columns.into_iter().map(|column| {
        let mut out = RangeSeries {
            labels: column.labels,
            floats: Vec::with_capacity(column.points.floats.count()),
            histograms: Vec::new(),
        };
        for step in 0..steps.count {
            match column.points.get(step) {
                Some(SampleValue::Float(value)) => out.floats.push((steps.time(step), value)),
                Some(SampleValue::Histogram(value)) => out.histograms.push((steps.time(step), value)),
                None => {}
            }
        }
        out
    });
    sorted(evaluator, series.filter(|s| !s.floats.is_empty() || !s.histograms.is_empty()).collect())
}

fn sorted(evaluator: &Evaluator<'_>, series: Vec<RangeSeries>) -> Result<Vec<RangeSeries>, QueryError> {
    evaluator.sort_items(series, |a, b| a.labels.cmp(&b.labels))
}
