//! Which steps have a sample.

use std::ops::Range;

/// A set of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Up to 64 steps.
    Word(u64),
    Words(Box<[u64]>),
}

impl Presence {
    /// No step of so many.
    pub(crate) fn none(steps: usize) -> Self {
        if steps <= 64 { Self::Word(0) } else { Self::Words(vec![0; steps.div_ceil(64)].into()) }
    }

    /// Every step of so many.
    pub(crate) fn all(steps: usize) -> Self {
        let mut out = Self::none(steps);
        for (i, word) in out.words_mut().iter_mut().enumerate() {
            let left = steps - (i * 64).min(steps);
            *word = if left >= 64 { u64::MAX } else { (1u64 << left) - 1 };
        }
        out
    }

    fn words(&self) -> &[u64] {
        match self {
            Self::Word(word) => std::slice::from_ref(word),
            Self::Words(words) => words,
        }
    }

    fn words_mut(&mut self) -> &mut [u64] {
        match self {
            Self::Word(word) => std::slice::from_mut(word),
            Self::Words(words) => words,
        }
    }

    #[inline]
    pub(crate) fn has(&self, step: usize) -> bool {
        self.words()[step / 64] >> (step % 64) & 1 == 1
    }

    #[inline]
    pub(crate) fn set(&mut self, step: usize) {
        self.words_mut()[step / 64] |= 1 << (step % 64);
    }

    #[inline]
    pub(crate) fn clear(&mut self, step: usize) {
        self.words_mut()[step / 64] &= !(1 << (step % 64));
    }

    /// Sets the steps from `64 * word` on whose bits are set, the lowest first.
    #[inline]
    pub(crate) fn set_word(&mut self, word: usize, bits: u64) {
        self.words_mut()[word] |= bits;
    }

    /// Sets these steps.
    pub(crate) fn set_range(&mut self, steps: Range<usize>) {
        let words = self.words_mut();
        for (i, word) in words.iter_mut().enumerate().take(steps.end.div_ceil(64)).skip(steps.start / 64) {
            let (low, high) = (steps.start.max(i * 64) - i * 64, steps.end.min((i + 1) * 64) - i * 64);
            if low < high {
                *word |= u64::MAX >> (64 - (high - low)) << low;
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.words().iter().map(|w| w.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words().iter().all(|w| *w == 0)
    }

    /// Adds the steps of another.
    pub(crate) fn union(&mut self, other: &Self) {
        self.words_mut().iter_mut().zip(other.words()).for_each(|(a, b)| *a |= b);
    }

    /// Keeps the steps that another has too.
    pub(crate) fn intersect(&mut self, other: &Self) {
        self.words_mut().iter_mut().zip(other.words()).for_each(|(a, b)| *a &= b);
    }

    /// Takes away the steps of another.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.words_mut().iter_mut().zip(other.words()).for_each(|(a, b)| *a &= !b);
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.words().iter().zip(other.words()).any(|(a, b)| a & b != 0)
    }

    /// The steps as ranges without gaps, ascending, and none next to another.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut end = 0;
        std::iter::from_fn(move || {
            let start = self.next(end, 0)?;
            end = self.next(start, u64::MAX).unwrap_or(self.words().len() * 64);
            Some(start..end)
        })
    }

    /// The first step from `from` on that is there, or, with all bits `flipped`, that is not.
    fn next(&self, from: usize, flipped: u64) -> Option<usize> {
        let mut behind = u64::MAX << (from % 64);
        for (number, word) in self.words().iter().enumerate().skip(from / 64) {
            let rest = (word ^ flipped) & behind;
            if rest != 0 {
                return Some(number * 64 + rest.trailing_zeros() as usize);
            }
            behind = u64::MAX;
        }
        None
    }

    /// The steps, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words().iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_long_as_can_be() {
        for steps in [1, 63, 64, 65, 128, 200] {
            for seed in 1..50u64 {
                let mut some = Presence::none(steps);
                // Long and short runs, of which some end with a word.
                let drawn = |step: usize| (step as u64 / (1 + seed % 9) * 0x9e37_79b9 * seed) >> 7 & 3 != 0;
                (0..steps).filter(|step| drawn(*step)).for_each(|step| some.set(step));
                let runs: Vec<_> = some.runs().collect();
                assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start), "{runs:?}");
                assert_eq!(runs.into_iter().flatten().collect::<Vec<_>>(), some.iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn sets_of_all_sizes() {
        for steps in [1, 5, 63, 64, 65, 128, 200] {
            let all = Presence::all(steps);
            assert_eq!((all.count(), all.iter().collect::<Vec<_>>()), (steps, (0..steps).collect()));
            let mut some = Presence::none(steps);
            assert!(some.is_empty());
            some.set(steps - 1);
            some.set(0);
            some.clear(0);
            assert_eq!(some.iter().collect::<Vec<_>>(), if steps == 1 { vec![] } else { vec![steps - 1] });
            assert_eq!(some.intersects(&all), steps > 1);
            let mut rest = all.clone();
            rest.subtract(&some);
            assert_eq!(rest.count() + some.count(), steps);
            rest.union(&some);
            assert_eq!(rest, all);
            rest.intersect(&some);
            assert_eq!(rest, some);
            for (start, end) in
                [(0, steps), (0, 0), (steps / 3, steps / 2), (steps - 1, steps), (steps, steps)]
            {
                let mut range = Presence::none(steps);
                range.set_range(start..end);
                assert_eq!(range.iter().collect::<Vec<_>>(), (start..end).collect::<Vec<_>>());
                let run = Some(start..end).filter(|run| !run.is_empty());
                assert_eq!(range.runs().collect::<Vec<_>>(), run.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
