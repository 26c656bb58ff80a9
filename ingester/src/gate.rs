//! Whether an ingester answers, by its state in the ring: while it joins, nobody may take its silence for an answer, and
//! once it has handed over what it had, nothing may be given to it any more.

use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};
use proto::Error;
use ring::State;

/// When a client may ask again; writers and readers have other replicas meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets requests in, or not.
#[derive(Debug)]
pub(crate) struct Gate {
    state: RwLock<State>,
}

/// Held while a write is handed to the log: whoever changes the state waits for it.
pub(crate) struct Admitted<'g> {
    _state: RwLockReadGuard<'g, State>,
}

impl Gate {
    pub(crate) fn new(state: State) -> Self {
        Self { state: RwLock::new(state) }
    }

    pub(crate) fn state(&self) -> State {
        *self.state.read()
    }

    pub(crate) fn set_state(&self, state: State) {
        *self.state.write() = state;
    }

    /// Lets a write in.
    pub(crate) fn write(&self) -> Result<Admitted<'_>, Error> {
        let state = self.state.read();
        let why = match *state {
            State::Active | State::Unhealthy | State::Leaving => return Ok(Admitted { _state: state }),
            State::Pending | State::Joining => "this ingester is joining and takes no writes yet",
            State::Left => "this ingester has left and takes no writes any more",
        };
        Err(Error::unavailable(why, RETRY_AFTER))
    }

    /// Lets a read in.
    pub(crate) fn read(&self) -> Result<(), Error> {
        let why = match self.state() {
            State::Active | State::Unhealthy | State::Leaving => return Ok(()),
            State::Pending | State::Joining => "this ingester is joining: it cannot vouch for its zone yet",
            State::Left => "this ingester has left: others have what it had",
        };
        Err(Error::unavailable(why, RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use proto::Code;

    use super::*;

    #[test]
    fn who_joins_or_has_left_answers_nobody_and_who_leaves_is_read() {
        let gate = Gate::new(State::Joining);
        let refused = |answer: Result<(), Error>| {
            answer.is_err_and(|error| error.code == Code::Unavailable && error.retry_after.is_some())
        };
        for (state, reads, writes) in [
            (State::Pending, false, false),
            (State::Joining, false, false),
            (State::Active, true, true),
            (State::Leaving, true, true),
            (State::Unhealthy, true, true),
            (State::Left, false, false),
        ] {
            gate.set_state(state);
            assert_eq!(
                (!refused(gate.read()), !refused(gate.write().map(drop))),
                (reads, writes),
                "{state:?}"
            );
        }
    }
}
