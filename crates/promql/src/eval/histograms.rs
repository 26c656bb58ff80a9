//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, of native and of classic histograms.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME};

use crate::ast::Span;
use crate::engine::annotations::with_metric;
use crate::engine::error::QueryError;
use crate::functions::CallKind;
use crate::functions::classic::{self, ClassicBucket};
use crate::functions::quantile::{self, Origin};
use crate::plan::CallPlan;
use crate::plan::steps::Steps;
use crate::text::number::{general, plain};
use crate::text::quote::quote;

use super::column::{Column, Points};
use super::labels::{label_name, text_argument};
use super::scalars::Scalars;
use super::series::Series;
use super::{Evaluator, Held, Sink};

const BUCKET_LABEL: &str = "le";

/// What is asked of each histogram.
enum Question {
    Quantile(Scalars),
    Fraction(Scalars, Scalars),
}

/// The series that make up one histogram.
#[derive(Default)]
struct Group {
    /// Bounds and columns of classic buckets.
    buckets: Vec<(f64, usize)>,
    /// The column of native histograms.
    native: Option<usize>,
}

impl Evaluator<'_> {
    pub(super) fn histogram_call(
        &self,
        call: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let scalar = |i: usize| self.scalar(&call.args[i], steps);
        match call.kind {
            CallKind::HistogramFraction => {
                let question = Question::Fraction(scalar(0)?, scalar(1)?);
                self.histograms(call, 2, &[(question, None)], steps, sink)
            }
            CallKind::HistogramQuantiles => {
                let label = label_name(text_argument(call, 1))?;
                let mut questions = Vec::new();
                for i in 2..call.args.len() {
                    let q = scalar(i)?;
                    self.note_bad_quantile(&q, call.args[i].span());
                    questions.push((Question::Quantile(q), Some(label)));
                }
                self.histograms(call, 0, &questions, steps, sink)
            }
            _ => {
                let q = scalar(0)?;
                self.note_bad_quantile(&q, call.args[0].span());
                self.histograms(call, 1, &[(Question::Quantile(q), None)], steps, sink)
            }
        }
    }

    fn note_bad_quantile(&self, q: &Scalars, span: Span) {
        for q in q.iter().filter(|q| !(0.0..=1.0).contains(q)) {
            let text = format!("quantile value should be between 0 and 1, got {}", general(q));
            self.annotations.borrow_mut().warn(span, text);
        }
    }

    /// Answers questions about the histograms that argument `argument` has.
    fn histograms(
        &self,
        call: &CallPlan,
        argument: usize,
        questions: &[(Question, Option<&str>)],
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let node = &call.args[argument];
        let held = self.held(node, steps)?;
        let (order, groups) = self.grouped(&held, node.span());
        let mut series = Series::new();
        for (question, label) in questions {
            for (labels, group) in order.iter().zip(&groups) {
                self.answer(group, labels, &held, question, *label, node.span(), steps, &mut series)?;
            }
        }
        series.into_each(sink)
    }

    /// The histograms among series, in the order in which they first appear.
    fn grouped(&self, held: &Held, span: Span) -> (Vec<Labels>, Vec<Group>) {
        let mut order: Vec<Labels> = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut by_labels: HashMap<Labels, usize> = HashMap::new();
        let mut group_of = |labels: Labels, groups: &mut Vec<Group>| {
            *by_labels.entry(labels).or_insert_with_key(|labels| {
                order.push(labels.clone());
                groups.push(Group::default());
                groups.len() - 1
            })
        };
        for (i, column) in held.columns.iter().enumerate() {
            if column.points.histograms.is_some() {
                let group = group_of(column.labels.clone(), &mut groups);
                groups[group].native = Some(i);
            }
            if column.points.floats.is_empty() {
                continue;
            }
            let bound = column.labels.get_or_empty(BUCKET_LABEL);
            match parse_bound(bound) {
                Some(bound) => {
                    let group = group_of(column.labels.without(BUCKET_LABEL), &mut groups);
                    groups[group].buckets.push((bound, i));
                }
                None => {
                    let text = format!(
                        "bucket label \"le\" is missing or has a malformed value of {}",
                        quote(bound)
                    );
                    let text = with_metric(&text, self.metric_of(&column.labels));
                    self.annotations.borrow_mut().warn(span, text);
                }
            }
        }
        (order, groups)
    }

    /// The metric's name for annotations: without delayed name removal it is taken to be unknown.
    fn metric_of<'l>(&self, labels: &'l Labels) -> &'l str {
        if self.drops_names_now() { "" } else { labels.get_or_empty(METRIC_NAME) }
    }

    #[expect(clippy::too_many_arguments, reason = "everything about one histogram of one question")]
    fn answer(
        &self,
        group: &Group,
        labels: &Labels,
        held: &Held,
        question: &Question,
        quantile_label: Option<&str>,
        span: Span,
        steps: &Steps,
        series: &mut Series,
    ) -> Result<(), QueryError> {
        let mut points = Points::none(steps.count);
        let mut buckets: Vec<ClassicBucket> = Vec::with_capacity(group.buckets.len());
        for step in 0..steps.count {
            self.spend(group.buckets.len())?;
            buckets.clear();
            buckets.extend(group.buckets.iter().filter_map(|(upper, i)| {
                let count = held.columns[*i].points.float(step)?;
                Some(ClassicBucket { upper: *upper, count })
            }));
            let native = group.native.and_then(|i| held.columns[i].points.histogram(step));
            let mut annotations = self.annotations.borrow_mut();
            match native {
                Some(_) if !buckets.is_empty() => {
                    let text = "vector contains a mix of classic and native histograms";
                    annotations.warn(span, with_metric(text, self.metric_of(labels)));
                }
                Some(histogram) => {
                    let origin = Origin { metric: self.metric_of(labels), span };
                    let value = match question {
                        Question::Quantile(q) => {
                            quantile::quantile(q.at(step), histogram, &origin, &mut annotations)
                        }
                        Question::Fraction(lower, upper) => quantile::fraction(
                            lower.at(step),
                            upper.at(step),
                            histogram,
                            &origin,
                            &mut annotations,
                        ),
                    };
                    points.set_float(step, value);
                }
                None if buckets.is_empty() => {}
                None => {
                    let value = match question {
                        Question::Quantile(q) => {
                            let (value, forced) =
                                classic::quantile(q.at(step), &mut buckets, steps.time(step));
                            if let Some(forced) = forced {
                                annotations.forced_monotonicity(span, self.metric_of(labels), forced);
                            }
                            value
                        }
                        Question::Fraction(lower, upper) => {
                            classic::fraction(lower.at(step), upper.at(step), &mut buckets)
                        }
                    };
                    points.set_float(step, value);
                }
            }
        }
        let Some(label) = quantile_label else {
            return self.add_named(labels.clone(), points, series);
        };
        // A quantile that changes with the steps makes a series for each of its values.
        let Question::Quantile(q) = question else { return Ok(()) };
        let mut by_quantile: Vec<(u64, Points)> = Vec::new();
        for step in points.floats.iter() {
            let bits = q.at(step).to_bits();
            let known = by_quantile.iter().position(|(b, _)| *b == bits).unwrap_or_else(|| {
                by_quantile.push((bits, Points::none(steps.count)));
                by_quantile.len() - 1
            });
            by_quantile[known].1.set_float(step, points.values[step]);
        }
        for (bits, points) in by_quantile {
            let mut builder = labels.to_builder();
            builder.set(label, &open_metrics_float(f64::from_bits(bits)));
            self.add_named(builder.build(), points, series)?;
        }
        Ok(())
    }

    fn add_named(&self, labels: Labels, points: Points, series: &mut Series) -> Result<(), QueryError> {
        let mut column = Column::new(labels, points);
        self.drop_name(&mut column);
        series.add(self, column)
    }
}

/// The bound that a label says, read as Go reads floats.
fn parse_bound(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if unsigned.is_empty() || !text.is_ascii() || text.len() > unsigned.len() + 1 {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    Some(value)
}

/// A float as OpenMetrics writes it in labels: never without a point or an exponent.
fn open_metrics_float(value: f64) -> String {
    if value == 1.0 {
        return "1.0".to_owned();
    }
    if !value.is_finite() {
        return plain(value);
    }
    let text = general(value);
    if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}
