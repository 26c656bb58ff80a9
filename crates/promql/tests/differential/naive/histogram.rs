//! Native histograms as maps from bucket numbers to counts, and their arithmetic.

use std::collections::BTreeMap;

use model::{BucketSpan, CounterResetHint, FloatHistogram};
use promql::ast::{BinaryOp, Expr, Span};

const CUSTOM: i32 = -53;

/// Counts by bucket number. A bucket that is there with a count of zero is the same as none.
type Counts = BTreeMap<i32, f64>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hist {
    pub(crate) hint: CounterResetHint,
    pub(crate) schema: i32,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: f64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) positive: Counts,
    pub(crate) negative: Counts,
    pub(crate) bounds: Vec<f64>,
}

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) count: f64,
}

/// One of the histograms has exponential, the other custom buckets.
pub(super) struct Incompatible;

/// What is to be said about an addition.
#[derive(Default, Clone, Copy)]
pub(super) struct Remarks {
    pub(super) collision: bool,
    pub(super) reconciled: bool,
}

fn counts(spans: &[BucketSpan], values: &[f64]) -> Counts {
    let mut values = values.iter();
    let mut out = Counts::new();
    let mut index = 0;
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            out.insert(index, *values.next().expect("a count for each bucket"));
            index += 1;
        }
    }
    out
}

impl Hist {
    pub(crate) fn of(h: &FloatHistogram) -> Self {
        Self {
            hint: h.counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count,
            count: h.count,
            sum: h.sum,
            positive: counts(&h.positive_spans, &h.positive_buckets),
            negative: counts(&h.negative_spans, &h.negative_buckets),
            bounds: h.custom_values.clone(),
        }
    }

    /// As the model has it, for its text.
    pub(super) fn to_model(&self) -> FloatHistogram {
        let spans = |counts: &Counts| {
            let mut end = 0;
            let spans = counts.keys().map(|i| {
                let offset = i - end;
                end = i + 1;
                BucketSpan { offset, length: 1 }
            });
            spans.collect()
        };
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: spans(&self.positive),
            positive_buckets: self.positive.values().copied().collect(),
            negative_spans: spans(&self.negative),
            negative_buckets: self.negative.values().copied().collect(),
            custom_values: self.bounds.clone(),
        }
    }

    /// Without anything in it.
    pub(super) fn empty_like(other: &Self) -> Self {
        Self {
            hint: CounterResetHint::Unknown,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Counts::new(),
            negative: Counts::new(),
            ..other.clone()
        }
    }

    /// Without its buckets, and with another hint.
    pub(super) fn stats(&self, hint: CounterResetHint) -> Self {
        Self { hint, count: self.count, sum: self.sum, bounds: Vec::new(), ..Self::empty_like(self) }
    }

    pub(super) fn is_custom(&self) -> bool {
        self.schema == CUSTOM
    }

    pub(super) fn is_gauge(&self) -> bool {
        self.hint == CounterResetHint::Gauge
    }

    /// Its numbers, but for buckets that hold nothing: they stay so, also where NaN multiplies them.
    fn numbers(&mut self) -> impl Iterator<Item = &mut f64> {
        let buckets = self.positive.values_mut().chain(self.negative.values_mut());
        [&mut self.zero_count, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(buckets.filter(|count| **count != 0.0))
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.numbers().for_each(|v| *v *= factor);
        if factor < 0.0 {
            self.hint = CounterResetHint::Gauge;
        }
    }

    pub(super) fn divide(&mut self, divisor: f64) {
        self.numbers().for_each(|v| *v /= divisor);
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        } else if divisor < 0.0 {
            self.hint = CounterResetHint::Gauge;
        }
    }

    /// Changes each number a little.
    pub(super) fn each_number(&mut self, f: impl Fn(f64) -> f64) {
        self.numbers().for_each(|v| *v = f(*v));
    }

    /// Without empty buckets.
    pub(super) fn compacted(mut self) -> Self {
        self.positive.retain(|_, v| *v != 0.0);
        self.negative.retain(|_, v| *v != 0.0);
        self
    }

    /// The upper bound of a bucket on the positive side.
    fn bound(&self, index: i32) -> f64 {
        if !self.is_custom() {
            return (f64::from(index) * 2f64.powi(-self.schema)).exp2();
        }
        match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(i) => self.bounds.get(i).copied().unwrap_or(f64::INFINITY),
        }
    }

    /// The buckets on the positive side, upwards.
    pub(super) fn positive_buckets(&self) -> Vec<Bucket> {
        let bucket = |(i, count): (&i32, &f64)| Bucket {
            lower: self.bound(i - 1),
            upper: self.bound(*i),
            count: *count,
        };
        self.positive.iter().map(bucket).collect()
    }

    /// The buckets on the negative side, downwards.
    pub(super) fn negative_buckets(&self) -> Vec<Bucket> {
        let bucket = |(i, count): (&i32, &f64)| Bucket {
            lower: -self.bound(*i),
            upper: -self.bound(i - 1),
            count: *count,
        };
        self.negative.iter().map(bucket).collect()
    }

    /// All buckets, upwards, cut off where the zero bucket begins.
    pub(super) fn buckets(&self) -> Vec<Bucket> {
        let mut out = self.negative_buckets();
        out.reverse();
        let zero = self.zero_threshold;
        if self.zero_count > 0.0 {
            out.push(Bucket { lower: -zero, upper: zero, count: self.zero_count });
        }
        out.extend(self.positive_buckets());
        for bucket in &mut out {
            if bucket.upper < 0.0 && bucket.upper > -zero {
                bucket.upper = -zero;
            } else if bucket.lower > 0.0 && bucket.lower < zero {
                bucket.lower = zero;
            }
        }
        out
    }

    /// With buckets of a coarser schema.
    pub(super) fn reduced(&self, schema: i32) -> Self {
        if self.schema == schema || self.is_custom() {
            return self.clone();
        }
        let merge = |counts: &Counts| {
            let mut out = Counts::new();
            for (i, count) in counts {
                *out.entry(((i - 1) >> (self.schema - schema)) + 1).or_insert(0.0) += count;
            }
            out
        };
        Self { schema, positive: merge(&self.positive), negative: merge(&self.negative), ..self.clone() }
    }

    /// The zero bucket as it would be with at least this threshold: larger where that would lie inside a bucket that
    /// holds something. Returns its count and its threshold.
    fn widened_zero(&self, at_least: f64) -> (f64, f64) {
        if at_least == self.zero_threshold {
            return (self.zero_count, at_least);
        }
        let sides = [&self.positive, &self.negative];
        let mut threshold = at_least;
        loop {
            let cut = |(i, count): (&i32, &f64)| {
                *count != 0.0 && self.bound(i - 1) < threshold && self.bound(*i) > threshold
            };
            match sides.iter().flat_map(|side| side.iter()).find(|b| cut(*b)) {
                Some((i, _)) => threshold = self.bound(*i),
                None => break,
            }
        }
        let inside =
            sides.iter().flat_map(|side| side.iter()).filter(|(i, _)| self.bound(**i - 1) < threshold);
        (self.zero_count + inside.map(|(_, count)| count).sum::<f64>(), threshold)
    }

    /// Both with zero buckets of the same size; of the second, its zero count only.
    fn with_common_zero(&self, other: &Self) -> (Self, f64) {
        let mut own = self.clone();
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        while threshold != own.zero_threshold {
            if own.zero_threshold > threshold {
                (count, threshold) = other.widened_zero(own.zero_threshold);
            }
            if threshold > own.zero_threshold {
                (own.zero_count, own.zero_threshold) = own.widened_zero(threshold);
                let (zero, bounds) = (own.zero_threshold, own.clone());
                own.positive.retain(|i, _| bounds.bound(i - 1) >= zero);
                own.negative.retain(|i, _| bounds.bound(i - 1) >= zero);
                own = own.compacted();
            }
        }
        (own, count)
    }

    /// The bounds that both have, and counts by them.
    fn on_common_bounds(&self, other: &Self) -> (Vec<f64>, [Counts; 2]) {
        let common: Vec<f64> = self.bounds.iter().copied().filter(|b| other.bounds.contains(b)).collect();
        let counts = [self, other].map(|h| {
            let mut out = Counts::new();
            for (i, count) in &h.positive {
                let upper = h.bound(*i);
                let at = common.iter().position(|b| *b >= upper).unwrap_or(common.len());
                *out.entry(i32::try_from(at).expect("few bounds")).or_insert(0.0) += count;
            }
            out
        });
        (common, counts)
    }

    pub(super) fn add(&mut self, other: &Self) -> Result<Remarks, Incompatible> {
        self.combine(other, 1.0)
    }

    pub(super) fn subtract(&mut self, other: &Self) -> Result<Remarks, Incompatible> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Remarks, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let (hint, collision) = common_hint(self.hint, other.hint);
        let mut remarks = Remarks { collision, reconciled: false };
        let mut out = self.clone();
        let (mut positive, mut negative) = (other.positive.clone(), other.negative.clone());
        if self.is_custom() {
            if self.bounds != other.bounds {
                remarks.reconciled = true;
                let (bounds, [own, others]) = self.on_common_bounds(other);
                (out.bounds, out.positive, positive) = (bounds, own, others);
            }
        } else {
            let (own, other_zero) = self.with_common_zero(other);
            let schema = own.schema.min(other.schema);
            out = own.reduced(schema);
            out.zero_count += sign * other_zero;
            let other = other.reduced(schema);
            let outside = |counts: Counts| -> Counts {
                counts.into_iter().filter(|(i, _)| out.bound(*i) > out.zero_threshold).collect()
            };
            (positive, negative) = (outside(other.positive), outside(other.negative));
        }
        for (i, count) in positive {
            *out.positive.entry(i).or_insert(0.0) += sign * count;
        }
        for (i, count) in negative {
            *out.negative.entry(i).or_insert(0.0) += sign * count;
        }
        if remarks.reconciled {
            out = out.compacted();
        }
        out.hint = hint;
        out.count += sign * other.count;
        out.sum += sign * other.sum;
        *self = out;
        Ok(remarks)
    }

    /// Whether this is a counter that was reset since `before`.
    pub(super) fn is_reset_since(&self, before: &Self) -> bool {
        match self.hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        if self.is_custom() && before.is_custom() && self.bounds != before.bounds {
            let (common, [now, then]) = self.on_common_bounds(before);
            let count = |counts: &Counts, i: usize| {
                counts.get(&i32::try_from(i).expect("few bounds")).copied().unwrap_or(0.0)
            };
            return (0..=common.len()).any(|i| count(&now, i) < count(&then, i));
        }
        if self.is_custom() != before.is_custom()
            || self.schema > before.schema
            || self.zero_threshold < before.zero_threshold
        {
            return true;
        }
        let (zero_count, threshold) = before.widened_zero(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let before = before.reduced(self.schema);
        let fell = |now: &Counts, then: &Counts| {
            let outside =
                then.iter().filter(|(i, _)| self.is_custom() || self.bound(**i) > self.zero_threshold);
            outside.into_iter().any(|(i, count)| match now.get(i) {
                Some(now) => now < count,
                None => *count != 0.0,
            })
        };
        fell(&self.positive, &before.positive) || fell(&self.negative, &before.negative)
    }

    /// Whether it is the same, whatever the hint and the buckets that hold nothing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let bits = |h: &Self| [h.count, h.sum, h.zero_count, h.zero_threshold].map(f64::to_bits);
        let sides = |h: &Self| {
            let side = |c: &Counts| {
                let populated = c.iter().filter(|(_, v)| **v != 0.0);
                populated.map(|(i, v)| (*i, v.to_bits())).collect::<Vec<_>>()
            };
            [side(&h.positive), side(&h.negative)]
        };
        self.schema == other.schema
            && bits(self) == bits(other)
            && self.bounds == other.bounds
            && sides(self) == sides(other)
    }
}

/// The hint of a sum, and whether those of its parts contradict each other.
fn common_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    if a == b {
        (a, false)
    } else if [a, b].contains(&CounterResetHint::Gauge) {
        (CounterResetHint::Gauge, false)
    } else {
        (CounterResetHint::Unknown, ![a, b].contains(&CounterResetHint::Unknown))
    }
}

/// Finds the selectors of whose histograms only counts and sums matter: a function around them wants no more, and
/// neither a subquery, a trimming operator nor a function of buckets lies between or around them.
pub(super) fn find_needless_buckets(expr: &Expr, suffices: bool, needs: bool, out: &mut Vec<Span>) {
    let (mut suffices, mut needs) = (suffices, needs);
    match expr {
        Expr::Vector(e) if suffices && !needs => out.push(e.span),
        Expr::Matrix(e) if suffices && !needs => out.push(e.selector.span),
        Expr::Subquery(_) => needs = true,
        Expr::Binary(e) => needs |= matches!(e.op, BinaryOp::TrimUpper | BinaryOp::TrimLower),
        Expr::Call(e) => match e.func.name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => suffices = true,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => needs = true,
            _ => {}
        },
        _ => {}
    }
    for child in expr.children() {
        find_needless_buckets(child, suffices, needs, out);
    }
}
