//! Sums of floats with what rounding lost carried along (Kahan's method in Neumaier's form).

/// A running sum and its compensation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CompensatedSum {
    /// The sum as rounded.
    pub sum: f64,
    /// What rounding lost so far.
    pub compensation: f64,
}

impl From<f64> for CompensatedSum {
    fn from(sum: f64) -> Self {
        Self { sum, compensation: 0.0 }
    }
}

impl CompensatedSum {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// Adds another sum.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        if !self.sum.is_infinite() {
            self.compensation += other.compensation;
        }
    }

    /// Multiplies sum and compensation.
    #[inline]
    pub fn scale(&mut self, factor: f64) {
        self.sum *= factor;
        self.compensation *= factor;
    }

    /// The sum with what was lost.
    #[inline]
    pub fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounding_loses_comes_back() {
        let mut sum = CompensatedSum::default();
        for value in [1e100, 1.0, -1e100, 1e-3] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 1.001);
        sum.add(f64::INFINITY);
        assert_eq!(sum.total(), f64::INFINITY);
        sum.add(f64::NEG_INFINITY);
        assert!(sum.total().is_nan());
    }
}
