//! Evaluation of plain selectors and literals; everything else is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chunk::ChunkError;
use model::{FloatHistogram, Labels, Matcher, TimeRange, is_stale_nan};
use promql::ast::{At, Duration, Expr, VectorSelector};
use proto::SeriesChunks;

use crate::error::{ApiError, ErrorType};
use crate::samples::{SeriesReader, Sink};
use crate::value::{MatrixSeries, Point, QueryValue, VectorSample};

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// Once.
    Instant {
        /// At this time, in milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// From a start to an end, both included.
    Range {
        /// In milliseconds since the Unix epoch.
        start_ms: i64,
        /// In milliseconds since the Unix epoch; not before the start.
        end_ms: i64,
        /// In milliseconds; at least 1.
        step_ms: i64,
    },
}

impl Steps {
    /// The first and the last time.
    pub fn bounds(self) -> (i64, i64) {
        match self {
            Self::Instant { at_ms } => (at_ms, at_ms),
            Self::Range { start_ms, end_ms, .. } => (start_ms, end_ms),
        }
    }

    fn iter(self) -> impl Iterator<Item = i64> {
        let (start, end) = self.bounds();
        let step = match self {
            Self::Instant { .. } => 1,
            Self::Range { step_ms, .. } => step_ms,
        };
        std::iter::successors(Some(start), move |at| at.checked_add(step)).take_while(move |at| *at <= end)
    }
}

/// A query that can be evaluated.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    Scalar(f64),
    String(String),
    /// The latest sample within `window_ms` before each step.
    Vector(Selection),
    /// All samples within `window_ms` before the time of evaluation.
    Matrix(Selection),
}

/// A selector with its times resolved.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) matchers: Vec<Matcher>,
    at_ms: Option<i64>,
    offset_ms: i64,
    window_ms: i64,
    steps: Steps,
}

/// What an evaluation may use, and whether anybody still waits for it.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) max_samples: usize,
    pub(crate) canceled: Arc<AtomicBool>,
}

/// The plan of `expr`.
pub(crate) fn plan(expr: &Expr, steps: Steps, lookback_ms: i64) -> Result<Plan, ApiError> {
    let instant = matches!(steps, Steps::Instant { .. });
    let refuse_in_range = |kind: &str| {
        ApiError::invalid_parameter(
            "query",
            format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector"),
        )
    };
    match expr.without_parens() {
        Expr::Number(number) => Ok(Plan::Scalar(number.value)),
        Expr::String(_) if !instant => Err(refuse_in_range("string")),
        Expr::String(text) => Ok(Plan::String(text.to_str_lossy().into_owned())),
        Expr::Vector(selector) => Ok(Plan::Vector(Selection::new(selector, lookback_ms, steps)?)),
        Expr::Matrix(_) if !instant => Err(refuse_in_range("range vector")),
        Expr::Matrix(matrix) => {
            let window = fixed(&matrix.range)?;
            Ok(Plan::Matrix(Selection::new(&matrix.selector, window, steps)?))
        }
        other => Err(ApiError::bad_data(format!(
            "this version evaluates plain selectors and literals only; {other} is neither"
        ))),
    }
}

impl Selection {
    fn new(selector: &VectorSelector, window_ms: i64, steps: Steps) -> Result<Self, ApiError> {
        let (start_ms, end_ms) = steps.bounds();
        Ok(Self {
            matchers: selector.matchers.clone(),
            at_ms: selector.at.map(|at| match at {
                At::Timestamp(at_ms) => at_ms,
                At::Start => start_ms,
                At::End => end_ms,
            }),
            offset_ms: fixed(&selector.offset)?,
            window_ms,
            steps,
        })
    }

    /// The end of the window for a step.
    fn reference_ms(&self, step_ms: i64) -> i64 {
        self.at_ms.unwrap_or(step_ms).saturating_sub(self.offset_ms)
    }

    /// Where samples can matter; `None` where none can.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let (first, last) = self.steps.bounds();
        // The window is open at its left.
        let start = self.reference_ms(first).saturating_sub(self.window_ms).saturating_add(1);
        TimeRange::new(start, self.reference_ms(last))
    }
}

/// The result of `plan` over the series that its selector selects, sorted by labels.
pub(crate) fn evaluate(
    plan: &Plan,
    steps: Steps,
    series: &[SeriesChunks],
    range: Option<TimeRange>,
    bounds: &Bounds,
) -> Result<QueryValue, ApiError> {
    match (plan, steps) {
        (Plan::Scalar(value), Steps::Instant { at_ms }) => {
            Ok(QueryValue::Scalar { timestamp_ms: at_ms, value: *value })
        }
        (Plan::Scalar(value), Steps::Range { .. }) => Ok(QueryValue::Matrix(vec![MatrixSeries {
            labels: Labels::empty(),
            floats: steps.iter().map(|at| (at, *value)).collect(),
            histograms: Vec::new(),
        }])),
        (Plan::String(text), _) => {
            Ok(QueryValue::String { timestamp_ms: steps.bounds().0, text: text.clone() })
        }
        (Plan::Vector(selection), Steps::Instant { at_ms }) => {
            let rows = each(series, bounds, |s| instants(selection, s, range))?;
            let latest = rows.into_iter().filter_map(|row| last_point(row, at_ms));
            Ok(QueryValue::Vector(latest.collect()))
        }
        (Plan::Vector(selection), Steps::Range { .. }) => {
            Ok(QueryValue::Matrix(each(series, bounds, |s| instants(selection, s, range))?))
        }
        (Plan::Matrix(_), _) => Ok(QueryValue::Matrix(each(series, bounds, |s| all(s, range))?)),
    }
}

/// The rows of all series that have samples.
fn each(
    series: &[SeriesChunks],
    bounds: &Bounds,
    row: impl Fn(&SeriesChunks) -> Result<MatrixSeries, ChunkError>,
) -> Result<Vec<MatrixSeries>, ApiError> {
    let mut rows = Vec::new();
    let mut samples = 0;
    for series in series {
        if bounds.canceled.load(Ordering::Relaxed) {
            return Err(ApiError::new(ErrorType::Canceled, "query was canceled in expression evaluation"));
        }
        let row = row(series).map_err(|e| {
            ApiError::new(ErrorType::Internal, format!("series {} is damaged: {e}", series.labels))
        })?;
        samples += row.floats.len() + row.histograms.len();
        if samples > bounds.max_samples {
            return Err(ApiError::execution(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        if !row.is_empty() {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The samples of a series in order of time.
#[derive(Default)]
struct Column(Vec<(i64, Point)>);

impl Sink for Column {
    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.0.push((timestamp_ms, Point::Float(value)));
    }

    fn histogram(&mut self, timestamp_ms: i64, value: Arc<FloatHistogram>) {
        self.0.push((timestamp_ms, Point::Histogram(value)));
    }
}

fn column(series: &SeriesChunks, range: Option<TimeRange>) -> Result<Vec<(i64, Point)>, ChunkError> {
    let mut column = Column::default();
    if let Some(range) = range {
        let mut reader = SeriesReader::new(&series.chunks, range);
        while reader.read_run(&mut column)? {}
    }
    Ok(column.0)
}

/// The latest sample before each step.
fn instants(
    selection: &Selection,
    series: &SeriesChunks,
    range: Option<TimeRange>,
) -> Result<MatrixSeries, ChunkError> {
    let mut row = row(series);
    let mut samples = column(series, range)?.into_iter().peekable();
    let mut latest = None;
    for step_ms in selection.steps.iter() {
        let reference_ms = selection.reference_ms(step_ms);
        while let Some(sample) = samples.next_if(|(at, _)| *at <= reference_ms) {
            latest = Some(sample);
        }
        let inside = |at: i64| at > reference_ms.saturating_sub(selection.window_ms);
        if let Some((at, point)) = &latest
            && inside(*at)
            && !is_stale(point)
        {
            row.push(step_ms, point.clone());
        }
    }
    Ok(row)
}

/// All samples.
fn all(series: &SeriesChunks, range: Option<TimeRange>) -> Result<MatrixSeries, ChunkError> {
    let mut row = row(series);
    let samples = column(series, range)?;
    for (at, point) in samples.into_iter().filter(|(_, point)| !is_stale(point)) {
        row.push(at, point);
    }
    Ok(row)
}

fn row(series: &SeriesChunks) -> MatrixSeries {
    MatrixSeries { labels: series.labels.clone(), ..MatrixSeries::default() }
}

fn is_stale(point: &Point) -> bool {
    match point {
        Point::Float(v) => is_stale_nan(*v),
        Point::Histogram(h) => is_stale_nan(h.sum),
    }
}

fn last_point(mut row: MatrixSeries, at_ms: i64) -> Option<VectorSample> {
    let float = row.floats.pop().map(|(_, v)| Point::Float(v));
    let value = float.or_else(|| row.histograms.pop().map(|(_, h)| Point::Histogram(h)))?;
    Some(VectorSample { labels: row.labels, timestamp_ms: at_ms, value })
}

fn fixed(duration: &Duration) -> Result<i64, ApiError> {
    match duration {
        Duration::Fixed(ms) => Ok(*ms),
        Duration::Expr(_) => {
            Err(ApiError::bad_data("this version does not evaluate expressions in place of durations"))
        }
    }
}
