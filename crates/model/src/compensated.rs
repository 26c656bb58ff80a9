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

    /// The sum of values, added up in four lanes, which are then added up: faster than one by one, and as exact.
    pub fn of(values: &[f64]) -> Self {
        const LANES: usize = 4;
        let mut lanes = [Self::default(); LANES];
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                // What rounding loses, without a branch (Knuth); once a sum is infinite it means nothing any more.
                let total = lane.sum + value;
                let added = total - lane.sum;
                lane.compensation += (lane.sum - (total - added)) + (value - added);
                lane.sum = total;
            }
        }
        let mut out = Self::default();
        for mut lane in lanes {
            if !lane.sum.is_finite() {
                lane.compensation = 0.0;
            }
            out.merge(lane);
        }
        rest.iter().for_each(|value| out.add(*value));
        out
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
    fn lanes_lose_nothing_either() {
        let mut values = vec![1e100, 1.0, -1e100, 1e-3];
        values.extend((0..30).map(f64::from));
        let sum = CompensatedSum::of(&values);
        assert_eq!(sum.total(), 436.001);
        values.push(f64::INFINITY);
        values.extend([1.0; 8]);
        assert_eq!(CompensatedSum::of(&values).total(), f64::INFINITY);
        values.push(f64::NEG_INFINITY);
        assert!(CompensatedSum::of(&values).total().is_nan());
        assert_eq!(CompensatedSum::of(&[]).total(), 0.0);
    }

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
