//! `eval`: runs a query and what it implies, and checks the results.

use promql::ast::Expr;
use promql::{
    Annotations, Engine, InstantSample, QueryError, QueryResult, QueryTime, QueryValue, SampleValue,
};

use crate::compare;
use crate::data::Data;
use crate::expect::{Expectations, Notes};
use crate::outcome::Status;
use crate::rewrite::{asks_for_query_times, pinned};

/// When a query is to be evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Instant(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

pub(crate) struct Eval {
    pub(crate) when: When,
    pub(crate) query: String,
    pub(crate) expectations: Expectations,
}

const MINUTE_MS: i64 = 60_000;

impl Eval {
    pub(crate) fn run(&self, engine: &Engine, data: &Data<'_>) -> Status {
        let expr = match promql::parse(&self.query, &engine.options().parse_options()) {
            Ok(expr) => expr,
            Err(e) => return Status::Fail(format!("the query does not parse: {e}")),
        };
        let run = Run { eval: self, engine, data };
        let result = match self.when {
            When::Instant(time_ms) => run.instant_and_implied(&expr, time_ms),
            When::Range { start_ms, end_ms, step_ms } => run.range(&expr, (start_ms, end_ms, step_ms)),
        };
        match result {
            Ok(()) => Status::Pass,
            Err(reason) => Status::Fail(reason),
        }
    }
}

struct Run<'r> {
    eval: &'r Eval,
    engine: &'r Engine,
    data: &'r Data<'r>,
}

impl Run<'_> {
    fn query(&self, expr: &Expr, time: QueryTime) -> Result<QueryResult, QueryError> {
        let prepared = self.engine.prepare_expr(expr, &self.eval.query, time, None)?;
        self.data.run(self.engine, &prepared)
    }

    /// The query as it stands, then pinned to its time and evaluated at others.
    fn instant_and_implied(&self, expr: &Expr, time_ms: i64) -> Result<(), String> {
        self.instant(expr, time_ms)?;
        let Some(pinned) = pinned(expr, time_ms) else {
            return Ok(());
        };
        let times = if time_ms == 0 {
            vec![-1000, 0, 1000]
        } else {
            vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
        };
        for at in times {
            self.instant(&pinned, at).map_err(|e| format!("as {pinned} at {at} ms: {e}"))?;
        }
        Ok(())
    }

    fn instant(&self, expr: &Expr, time_ms: i64) -> Result<(), String> {
        let expected = &self.eval.expectations;
        let result = self.query(expr, QueryTime::Instant(time_ms));
        let Some(result) = self.check_failure(result)? else {
            return Ok(());
        };
        self.check_annotations(&result.annotations)?;
        compare::instant(expected, &result.value)?;
        if expected.string.is_some() || expected.range_vector.is_some() || asks_for_query_times(expr) {
            return Ok(());
        }
        self.as_range(expr, time_ms, &result.value)
            .map_err(|e| format!("as a range query around {time_ms} ms: {e}"))
    }

    /// The query as a range query of three steps, of which the middle one has to be the same.
    fn as_range(&self, expr: &Expr, time_ms: i64, instant: &QueryValue) -> Result<(), String> {
        let time = QueryTime::Range {
            start_ms: time_ms - MINUTE_MS,
            end_ms: time_ms + MINUTE_MS,
            step_ms: MINUTE_MS,
        };
        let result = self.query(expr, time).map_err(|e| e.to_string())?;
        if self.eval.expectations.ordered {
            return Ok(());
        }
        let QueryValue::Matrix(series) = result.value else {
            return Err("the result is no matrix".to_owned());
        };
        compare::sorted(&series)?;
        let mut samples = Vec::new();
        for found in series {
            let floats = found.floats.iter().filter(|(t, _)| *t == time_ms);
            let histograms = found.histograms.iter().filter(|(t, _)| *t == time_ms);
            let values = floats
                .map(|(_, v)| SampleValue::Float(*v))
                .chain(histograms.map(|(_, h)| SampleValue::Histogram(h.clone())));
            samples.extend(values.map(|value| InstantSample { labels: found.labels.clone(), value }));
        }
        let value = match (instant, samples.first().map(|s| &s.value)) {
            (QueryValue::Scalar(_), Some(SampleValue::Float(v))) => QueryValue::Scalar(*v),
            _ => QueryValue::Vector(samples),
        };
        compare::instant(&self.eval.expectations, &value)
    }

    fn range(&self, expr: &Expr, (start_ms, end_ms, step_ms): (i64, i64, i64)) -> Result<(), String> {
        let time = QueryTime::Range { start_ms, end_ms, step_ms };
        let Some(result) = self.check_failure(self.query(expr, time))? else {
            return Ok(());
        };
        self.check_annotations(&result.annotations)?;
        let QueryValue::Matrix(series) = result.value else {
            return Err("the result is no matrix".to_owned());
        };
        let steps = (end_ms - start_ms) / step_ms.max(1) + 1;
        compare::matrix(&self.eval.expectations.rows, &series, start_ms, step_ms, usize::try_from(steps).ok())
    }

    /// The result, unless the query was to fail and did.
    fn check_failure(&self, result: Result<QueryResult, QueryError>) -> Result<Option<QueryResult>, String> {
        match (&self.eval.expectations.failure, result) {
            (None, Ok(result)) => Ok(Some(result)),
            (None, Err(e)) => Err(format!("the query failed: {e}")),
            (Some(_), Ok(_)) => Err("the query was expected to fail".to_owned()),
            (Some(expected), Err(e)) if expected.accepts(&e.to_string()) => Ok(None),
            (Some(expected), Err(e)) => Err(format!("expected failure {expected:?}, got: {e}")),
        }
    }

    fn check_annotations(&self, annotations: &Annotations) -> Result<(), String> {
        let expected = &self.eval.expectations;
        check_notes("warning", &expected.warnings, &annotations.warnings(&self.eval.query))?;
        check_notes("info", &expected.infos, &annotations.infos(&self.eval.query))
    }
}

/// Every annotation has to be expected, and every expectation met, if there is any.
fn check_notes(kind: &str, expected: &Notes, found: &[String]) -> Result<(), String> {
    if expected.none && !found.is_empty() {
        return Err(format!("unexpected {kind}: {found:?}"));
    }
    if expected.some.is_empty() {
        return Ok(());
    }
    for text in &expected.some {
        if !found.iter().any(|f| text.accepts(f)) {
            return Err(format!("expected {kind} {text:?}, got {found:?}"));
        }
    }
    match found.iter().find(|f| !expected.some.iter().any(|text| text.accepts(f))) {
        Some(other) => Err(format!("unexpected {kind}: {other}")),
        None => Ok(()),
    }
}
