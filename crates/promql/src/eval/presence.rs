//! Which steps have a sample.

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
    pub(crate) fn set_range(&mut self, steps: std::ops::Range<usize>) {
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
            }
        }
    }
}
