//! Binary operators: with a number on one side, and set operators.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME};

use crate::ast::{BinaryOp, VectorMatching};
use crate::engine::error::QueryError;
use crate::engine::value::SampleValue;
use crate::functions::float::{arithmetic, compare};
use crate::plan::steps::Steps;
use crate::plan::{BinaryPlan, Node};

use super::aggregate::push_text;
use super::calls::pass_on;
use super::column::{Column, Points};
use super::operators::{Operand, Outcome, apply, changes_metric};
use super::presence::Presence;
use super::scalars::Scalars;
use super::series::Series;
use super::{Evaluator, Held, Sink};

/// Numbers the groups of series that match each other.
pub(super) struct Signatures<'p> {
    on: bool,
    /// Sorted.
    labels: Vec<&'p str>,
    by_key: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
}

impl<'p> Signatures<'p> {
    pub(super) fn new(matching: &'p VectorMatching) -> Self {
        let mut labels: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
        labels.sort_unstable();
        Self { on: matching.on, labels, by_key: HashMap::new(), key: Vec::new() }
    }

    /// The number of the group of a series.
    pub(super) fn of(&mut self, labels: &Labels) -> usize {
        self.key.clear();
        let mut named = self.labels.as_slice();
        for (name, value) in labels.iter() {
            while let [first, rest @ ..] = named
                && *first < name
            {
                named = rest;
            }
            let is_named = named.first() == Some(&name);
            if if self.on { is_named } else { !is_named && name != METRIC_NAME } {
                push_text(&mut self.key, name);
                push_text(&mut self.key, value);
            }
        }
        let next = self.by_key.len();
        match self.by_key.get(self.key.as_slice()) {
            Some(number) => *number,
            None => {
                self.by_key.insert(self.key.as_slice().into(), next);
                next
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }
}

impl Evaluator<'_> {
    pub(super) fn binary(&self, e: &BinaryPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        /// Up to this, recursion does: series need not be held between operators then.
        const SHORT: usize = 16;
        // A long chain of operators is a tree that is deep on the left: it is walked rather than recursed into.
        let mut chain = vec![e];
        let mut left = &e.lhs;
        while let Node::Binary(inner) = left
            && !left.is_scalar()
        {
            chain.push(inner);
            left = &inner.lhs;
        }
        if chain.len() <= SHORT {
            return self.operation(e, None, steps, sink);
        }
        let mut so_far: Option<Held> = None;
        for link in chain.into_iter().skip(1).rev() {
            let mut held = Held::new();
            self.operation(link, so_far, steps, &mut |column| held.push(self, column))?;
            so_far = Some(held);
        }
        self.operation(e, so_far, steps, sink)
    }

    /// An operator; `left` is what its left side has come to, if that is known already.
    fn operation(
        &self,
        e: &BinaryPlan,
        left: Option<Held>,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        match (&e.matching, e.lhs.is_scalar()) {
            (Some(matching), _) => {
                let left = match left {
                    Some(left) => left,
                    None => self.held(&e.lhs, steps)?,
                };
                let right = self.held(&e.rhs, steps)?;
                if e.op.is_set() {
                    self.set_operation(e.op, matching, (left, right), steps, sink)
                } else {
                    self.vector_operation(e, matching, (left, right), steps, sink)
                }
            }
            (None, false) => {
                let scalars = self.scalar(&e.rhs, steps)?;
                self.renamed(&e.lhs, sink, |sink| {
                    let mut apply = |column| self.with_scalar(e, column, &scalars, false, sink);
                    match left {
                        Some(left) => left.columns.into_iter().try_for_each(apply),
                        None => self.each(&e.lhs, steps, &mut apply),
                    }
                })
            }
            (None, true) => {
                let scalars = self.scalar(&e.lhs, steps)?;
                self.renamed(&e.rhs, sink, |sink| {
                    self.each(&e.rhs, steps, &mut |column| self.with_scalar(e, column, &scalars, true, sink))
                })
            }
        }
    }

    /// An operator between a series and a number, which is on the left if `swapped`.
    fn with_scalar(
        &self,
        e: &BinaryPlan,
        mut column: Column,
        scalars: &Scalars,
        swapped: bool,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let trims = matches!(e.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if column.points.histograms.is_none() && !trims {
            float_with_scalar(e, &mut column.points, scalars, swapped);
        } else {
            column.points = self.any_with_scalar(e, &column.points, scalars, swapped);
        }
        if changes_metric(e.op) || e.return_bool {
            self.drop_name(&mut column);
        }
        pass_on(column, sink)
    }

    fn any_with_scalar(&self, e: &BinaryPlan, points: &Points, scalars: &Scalars, swapped: bool) -> Points {
        let mut out = Points::none(points.steps());
        let mut annotations = self.annotations.borrow_mut();
        for step in points.present().iter() {
            let number = Operand::Float(scalars.at(step));
            let Some(own) = operand(points, step) else { continue };
            let (lhs, rhs) = if swapped { (number, own) } else { (own, number) };
            let Outcome::Value(value, holds) = apply(e.op, lhs, rhs, e.span, &mut annotations) else {
                continue;
            };
            if e.return_bool {
                out.set_float(step, f64::from(u8::from(holds)));
            } else if holds && e.op.is_comparison() && swapped {
                // A comparison keeps the series' value, whichever side it is on.
                out.set(step, owned(own));
            } else if holds {
                out.set(step, value);
            }
        }
        out
    }

    fn set_operation(
        &self,
        op: BinaryOp,
        matching: &VectorMatching,
        (left, right): (Held, Held),
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut signatures = Signatures::new(matching);
        let mut present = Presences::new(steps.count);
        if op == BinaryOp::Or {
            for column in &left.columns {
                present.add(signatures.of(&column.labels), &column.points);
            }
            // What the left side has comes first; a series may come from both sides at different times.
            let mut series = Series::new();
            left.columns.into_iter().try_for_each(|column| series.add(self, column))?;
            for mut column in right.columns {
                present.remove_from(signatures.of(&column.labels), &mut column.points);
                series.add(self, column)?;
            }
            return series.into_each(sink);
        }
        for column in &right.columns {
            present.add(signatures.of(&column.labels), &column.points);
        }
        for mut column in left.columns {
            let signature = signatures.of(&column.labels);
            if op == BinaryOp::And {
                present.keep_in(signature, &mut column.points);
            } else {
                present.remove_from(signature, &mut column.points);
            }
            pass_on(column, sink)?;
        }
        Ok(())
    }

    /// All series of an expression with the numbers of their signatures.
    pub(super) fn side<'h>(
        &self,
        held: &'h Held,
        signatures: &mut Signatures<'_>,
    ) -> Vec<(usize, &'h Column)> {
        held.columns.iter().map(|column| (signatures.of(&column.labels), column)).collect()
    }
}

/// At which steps any series of a signature is there.
struct Presences {
    steps: usize,
    by_signature: Vec<Presence>,
}

impl Presences {
    fn new(steps: usize) -> Self {
        Self { steps, by_signature: Vec::new() }
    }

    fn add(&mut self, signature: usize, points: &Points) {
        while self.by_signature.len() <= signature {
            self.by_signature.push(Presence::none(self.steps));
        }
        self.by_signature[signature].union(&points.present());
    }

    fn keep_in(&self, signature: usize, points: &mut Points) {
        match self.by_signature.get(signature) {
            Some(present) => points.keep_only(present),
            None => points.keep_only(&Presence::none(self.steps)),
        }
    }

    fn remove_from(&self, signature: usize, points: &mut Points) {
        if let Some(present) = self.by_signature.get(signature) {
            let mut rest = Presence::all(self.steps);
            rest.subtract(present);
            points.keep_only(&rest);
        }
    }
}

/// The sample at a step.
pub(super) fn operand(points: &Points, step: usize) -> Option<Operand<'_>> {
    match points.float(step) {
        Some(value) => Some(Operand::Float(value)),
        None => points.histogram(step).map(Operand::Histogram),
    }
}

fn owned(operand: Operand<'_>) -> SampleValue {
    match operand {
        Operand::Float(value) => SampleValue::Float(value),
        Operand::Histogram(histogram) => SampleValue::Histogram(std::sync::Arc::clone(histogram)),
    }
}

fn float_with_scalar(e: &BinaryPlan, points: &mut Points, scalars: &Scalars, swapped: bool) {
    let op = e.op;
    if !op.is_comparison() {
        for (step, value) in points.values.iter_mut().enumerate() {
            let number = scalars.at(step);
            *value = if swapped { arithmetic(op, number, *value) } else { arithmetic(op, *value, number) };
        }
        return;
    }
    for step in 0..points.steps() {
        if !points.floats.has(step) {
            continue;
        }
        let (number, value) = (scalars.at(step), points.values[step]);
        let holds = if swapped { compare(op, number, value) } else { compare(op, value, number) };
        if e.return_bool {
            points.values[step] = f64::from(u8::from(holds));
        } else if !holds {
            points.floats.clear(step);
        }
    }
}
