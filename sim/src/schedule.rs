//! When what befalls processes of one kind begins, and when it is over.

use std::fmt;
use std::time::Duration;

use crate::network::Network;

/// A fault and its time.
#[derive(Debug, Clone)]
pub(crate) struct Scheduled<F> {
    pub(crate) fault: F,
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
}

impl<F: fmt::Debug> fmt::Display for Scheduled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begins, ends) = (self.begins.as_secs_f64(), self.ends.as_secs_f64());
        write!(f, "{begins:.3}s to {ends:.3}s: {:?}", self.fault)
    }
}

/// Cuts a machine from others, and them from it, or mends that.
pub(crate) fn cut(network: &Network, name: &str, from: &[String], is_cut: bool) {
    for other in from.iter().filter(|other| *other != name) {
        for (one, other) in [(name, other.as_str()), (other.as_str(), name)] {
            match is_cut {
                true => network.cut(one, other),
                false => network.mend(one, other),
            }
        }
    }
}
