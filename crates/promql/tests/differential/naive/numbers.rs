//! Numbers: operators, exact sums, means, variances, quantiles.

use std::cell::{Cell, RefCell};

use promql::ast::BinaryOp;

use crate::data::Random;

/// How inexact results are rounded, and in which order things are taken where no order is defined.
pub(super) struct Rounding {
    shaken: Option<RefCell<Random>>,
    /// How many bits of inexact results are left: values that are nearly the same become the same.
    bits: Option<u32>,
    overflowed: Cell<bool>,
}

impl Rounding {
    pub(super) fn exact() -> Self {
        Self { shaken: None, bits: None, overflowed: Cell::new(false) }
    }

    pub(super) fn shaken(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let bits = random.chance(50).then(|| 45 + random.below(4) as u32);
        Self { shaken: Some(RefCell::new(random)), bits, overflowed: Cell::new(false) }
    }

    pub(super) fn overflowed(&self) -> bool {
        self.overflowed.get()
    }

    /// A result that may be a few last places off.
    pub(super) fn inexact(&self, value: f64) -> f64 {
        let Some(random) = &self.shaken else { return value };
        if let Some(bits) = self.bits {
            let lost = 52 - bits;
            let half = 1u64 << (lost - 1);
            let rounded = f64::from_bits((value.to_bits() + half) >> lost << lost);
            return if value.is_finite() && rounded.is_finite() { rounded } else { value };
        }
        let places = random.borrow_mut().below(9) as f64 - 4.0;
        value * (1.0 + places * f64::EPSILON)
    }

    /// Things in no particular order.
    pub(super) fn in_any_order<T>(&self, mut things: Vec<T>) -> Vec<T> {
        if let Some(random) = &self.shaken {
            let mut random = random.borrow_mut();
            for i in (1..things.len()).rev() {
                things.swap(i, random.below(i + 1));
            }
        }
        things
    }

    /// The sum, as if without rounding, and whether a float can say it.
    fn exact_sum(&self, values: &[f64]) -> (f64, bool) {
        if !values.iter().all(|v| v.is_finite()) {
            return (values.iter().sum(), true);
        }
        // Partial sums that do not overlap: together they are the sum without any error.
        let mut parts: Vec<f64> = Vec::new();
        for value in values {
            let mut high = *value;
            let mut next = Vec::new();
            for part in parts {
                let (big, small) = if high.abs() < part.abs() { (part, high) } else { (high, part) };
                let sum = big + small;
                let lost = small - (sum - big);
                if lost != 0.0 {
                    next.push(lost);
                }
                high = sum;
            }
            next.push(high);
            parts = next;
        }
        let total: f64 = parts.iter().rev().fold(0.0, |sum, part| sum + part);
        if !total.is_finite() {
            self.overflowed.set(true);
        }
        (total, parts.iter().filter(|p| **p != 0.0).count() <= 1)
    }

    pub(super) fn sum(&self, values: &[f64]) -> f64 {
        let (sum, exact) = self.exact_sum(values);
        if exact { sum } else { self.inexact(sum) }
    }

    pub(super) fn mean(&self, values: &[f64]) -> f64 {
        let count = values.len() as f64;
        let (sum, exact) = self.exact_sum(values);
        let mean = sum / count;
        if exact && mean * count == sum { mean } else { self.inexact(mean) }
    }

    pub(super) fn variance(&self, values: &[f64]) -> f64 {
        if !values.iter().all(|v| v.is_finite()) {
            return f64::NAN;
        }
        if values.iter().all(|v| *v == values[0]) {
            return 0.0;
        }
        let count = values.len() as f64;
        let values: Vec<f64> = values.iter().map(|v| self.inexact(*v)).collect();
        let mean = self.exact_sum(&values).0 / count;
        let squares: Vec<f64> = values.iter().map(|v| (v - mean) * (v - mean)).collect();
        self.inexact(self.exact_sum(&squares).0 / count)
    }

    /// The least-squares line through points: its slope, and its value where x is 0.
    pub(super) fn line(&self, points: &[(f64, f64)]) -> (f64, f64) {
        let first = points[0].1;
        if points.iter().all(|(_, y)| *y == first) {
            return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
        }
        let n = points.len() as f64;
        let sum = |f: fn(&(f64, f64)) -> f64| self.sum(&points.iter().map(f).collect::<Vec<_>>());
        let (x, y) = (sum(|p| p.0), sum(|p| p.1));
        let (xy, xx) = (sum(|p| p.0 * p.1), sum(|p| p.0 * p.0));
        let slope = (xy - x * y / n) / (xx - x * x / n);
        (slope, y / n - slope * x / n)
    }
}

/// A binary operator between numbers; a comparison is 1 or 0.
pub(super) fn operator(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        op => f64::from(u8::from(holds(op, a, b))),
    }
}

pub(super) fn holds(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        other => panic!("{other:?} is no comparison"),
    }
}

/// The smaller number; NaN if either is, unless minus infinity settles it.
pub(super) fn min(a: f64, b: f64) -> f64 {
    if [a, b].contains(&f64::NEG_INFINITY) {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        // Of zeros, the negative one.
        if a.total_cmp(&b).is_lt() { a } else { b }
    }
}

/// The larger number; NaN if either is, unless infinity settles it.
pub(super) fn max(a: f64, b: f64) -> f64 {
    -min(-a, -b)
}

/// The quantile of numbers, NaN being smaller than all others.
pub(super) fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| {
        b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let rank = q * (values.len() - 1) as f64;
    let (low, weight) = (rank.floor() as usize, rank - rank.floor());
    values[low] * (1.0 - weight) + values[(low + 1).min(values.len() - 1)] * weight
}

/// A function of one number.
pub(super) fn function(name: &str, v: f64) -> Option<f64> {
    /// From here on, `e^-2v` is too small to matter.
    const LARGE: f64 = 1e9;
    Some(match name {
        "abs" => v.abs(),
        "acos" => v.acos(),
        "acosh" if v > LARGE => v.ln() + std::f64::consts::LN_2,
        "acosh" => v.acosh(),
        "asin" => v.asin(),
        "asinh" if v.abs() > LARGE => (v.abs().ln() + std::f64::consts::LN_2).copysign(v),
        "asinh" => v.asinh(),
        "atan" => v.atan(),
        "atanh" => v.atanh(),
        "ceil" => v.ceil(),
        "cos" => v.cos(),
        "cosh" => v.cosh(),
        "deg" => v * 180.0 / std::f64::consts::PI,
        "exp" => v.exp(),
        "floor" => v.floor(),
        "ln" => v.ln(),
        "log10" => v.log10(),
        "log2" => v.log2(),
        "rad" => v * std::f64::consts::PI / 180.0,
        "sgn" if v > 0.0 => 1.0,
        "sgn" if v < 0.0 => -1.0,
        "sgn" => v,
        "sin" => v.sin(),
        "sinh" => v.sinh(),
        "sqrt" => v.sqrt(),
        "tan" => v.tan(),
        "tanh" => v.tanh(),
        _ => return None,
    })
}

/// A part of the date that is so many seconds after 1970 in UTC; found by counting days year by year.
pub(super) fn date(part: &str, seconds: f64) -> Option<f64> {
    const LIMIT: f64 = (1u64 << 63) as f64;
    // What no 64 bits hold becomes the smallest integer, and that a Sunday far away: 292277026596-12-04, 15:30.
    let far = [
        ("year", 292_277_026_596.0),
        ("month", 12.0),
        ("day_of_month", 4.0),
        ("day_of_week", 0.0),
        ("day_of_year", 339.0),
        ("days_in_month", 31.0),
        ("hour", 15.0),
        ("minute", 30.0),
    ];
    if !(-LIMIT..LIMIT).contains(&seconds) {
        return far.iter().find(|(name, _)| *name == part).map(|(_, value)| *value);
    }
    let seconds = seconds as i64;
    let (mut days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let weekday = (days + 4).rem_euclid(7);
    // Every 400 years have the same number of days.
    let mut year = 1970 + days.div_euclid(146_097) * 400;
    days = days.rem_euclid(146_097);
    let leap = |y: i64| y.rem_euclid(4) == 0 && (y.rem_euclid(100) != 0 || y.rem_euclid(400) == 0);
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let of_year = days;
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let value = match part {
        "year" => year,
        "month" => month as i64 + 1,
        "day_of_month" => days + 1,
        "day_of_week" => weekday,
        "day_of_year" => of_year + 1,
        "days_in_month" => lengths[month],
        "hour" => of_day / 3600,
        "minute" => of_day / 60 % 60,
        _ => return None,
    };
    Some(value as f64)
}
