//! The spans that blocks grow into.

use thiserror::Error;

/// Lengths of windows, each a multiple of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder(Vec<i64>);

/// Lengths that make no ladder.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LadderError {
    /// There is none.
    #[error("no range is given; expected some such as 2h,12h,24h")]
    Empty,
    /// One that is not longer than nothing.
    #[error("a range of {0} ms is refused; expected a positive one")]
    NotPositive(i64),
    /// One does not fit into the next.
    #[error(
        "a range of {longer} ms is no multiple of the one before, {shorter} ms; expected one that is, and longer"
    )]
    NoMultiple {
        /// The one before.
        shorter: i64,
        /// The one that should be a multiple.
        longer: i64,
    },
}

impl Ladder {
    /// The ladder of these lengths, in milliseconds, shortest first.
    ///
    /// # Errors
    /// Where there is none, or one is no multiple of the one before it and longer.
    pub fn new(lengths_ms: impl Into<Vec<i64>>) -> Result<Self, LadderError> {
        let lengths: Vec<i64> = lengths_ms.into();
        let first = lengths.first().ok_or(LadderError::Empty)?;
        if *first <= 0 {
            return Err(LadderError::NotPositive(*first));
        }
        for pair in lengths.array_windows::<2>() {
            let [shorter, longer] = *pair;
            if longer <= shorter || longer % shorter != 0 {
                return Err(LadderError::NoMultiple { shorter, longer });
            }
        }
        Ok(Self(lengths))
    }

    /// The lengths in milliseconds, shortest first.
    pub fn lengths_ms(&self) -> &[i64] {
        &self.0
    }

    /// The longest length, in milliseconds.
    pub fn longest_ms(&self) -> i64 {
        self.0.last().copied().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_holds_whole_ones_of_the_step_before() {
        assert_eq!(Ladder::new([2, 12, 24, 168]).unwrap().longest_ms(), 168);
        assert_eq!(Ladder::new([]), Err(LadderError::Empty));
        assert_eq!(Ladder::new([0]), Err(LadderError::NotPositive(0)));
        for wrong in [[2, 2], [4, 2], [2, 3]] {
            assert!(Ladder::new(wrong).unwrap_err().to_string().contains("multiple"), "{wrong:?}");
        }
    }
}
