//! How far a sorted stream of series has come.

use model::Labels;

/// Every series up to here is known, and none behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frontier {
    /// Nothing is known.
    Start,
    /// Everything up to these labels, the series that has them included.
    Through(Labels),
    /// Everything.
    End,
}

impl Frontier {
    /// Whether what is known about a series with these labels is all there is.
    pub(super) fn covers(&self, labels: &Labels) -> bool {
        match self {
            Self::Start => false,
            Self::Through(last) => labels <= last,
            Self::End => true,
        }
    }

    /// How far `count` of these have come: the one that is `count`-th farthest. None, if there are fewer.
    pub(super) fn of_farthest(mut all: Vec<Self>, count: usize) -> Option<Self> {
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().nth(count.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_that_enough_have_come() {
        let at = |name: &str| Frontier::Through(Labels::from_pairs([("a", name)]));
        let all = vec![at("x"), Frontier::End, Frontier::Start, at("y")];
        let of = |count| Frontier::of_farthest(all.clone(), count);
        assert_eq!([of(0), of(5)], [None, None]);
        assert_eq!(of(1), Some(Frontier::End));
        assert_eq!([of(2), of(3), of(4)], [Some(at("y")), Some(at("x")), Some(Frontier::Start)]);
        assert!(at("x").covers(&Labels::from_pairs([("a", "x")])));
        assert!(!at("x").covers(&Labels::from_pairs([("a", "y")])));
    }
}
