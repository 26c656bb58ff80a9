//! Which links are cut, and what messages meet with on those that are not.

use std::collections::BTreeMap;
use std::time::Duration;

/// What happens to messages, `per mille` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    /// The longest delay of most.
    pub(crate) usual_delay: Duration,
    /// The longest delay of those that are late.
    pub(crate) longest_delay: Duration,
    /// How many are late, per mille.
    pub(crate) late: u64,
    /// How many are lost with their connection, per mille.
    pub(crate) lost: u64,
    /// How many calls arrive twice, per mille.
    pub(crate) twice: u64,
}

impl Weather {
    /// A network without faults.
    pub(crate) const FAIR: Self = Self {
        usual_delay: Duration::from_millis(2),
        longest_delay: Duration::from_millis(20),
        late: 5,
        lost: 0,
        twice: 0,
    };
}

impl Default for Weather {
    fn default() -> Self {
        Self::FAIR
    }
}

/// The links between machines.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) weather: Weather,
    /// From a machine to another, and how many faults have cut it.
    cuts: BTreeMap<(String, String), u32>,
}

impl Links {
    pub(crate) fn cut(&mut self, from: &str, to: &str) {
        *self.cuts.entry((from.to_owned(), to.to_owned())).or_default() += 1;
    }

    pub(crate) fn mend(&mut self, from: &str, to: &str) {
        let link = (from.to_owned(), to.to_owned());
        if let Some(cuts) = self.cuts.get_mut(&link) {
            *cuts -= 1;
            if *cuts == 0 {
                self.cuts.remove(&link);
            }
        }
    }

    pub(crate) fn is_cut(&self, from: &str, to: &str) -> bool {
        !self.cuts.is_empty() && self.cuts.contains_key(&(from.to_owned(), to.to_owned()))
    }
}
