//! Whether an ingester answers, by its state in the ring: while it joins, nobody may take its silence for an answer, and
//! once it has handed over what it had, nothing may be given to it any more. And by what it lost: whoever has not heard of
//! that yet must not take what is left for all there was.

use std::time::Duration;

use model::TimeRange;
use parking_lot::{RwLock, RwLockReadGuard};
use proto::Error;
use ring::State;

/// When a client may ask again; writers and readers have other replicas meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Open {
    state: State,
    /// Whether it takes writes as long as its state lets it.
    intake: bool,
    /// Times of which it cannot give all that it acknowledged.
    lost: Vec<TimeRange>,
}

/// Lets requests in, or not.
#[derive(Debug)]
pub(crate) struct Gate {
    open: RwLock<Open>,
}

/// Held while a write is handed to the log: whoever closes the intake waits for it.
pub(crate) struct Admitted<'g> {
    _open: RwLockReadGuard<'g, Open>,
}

impl Gate {
    pub(crate) fn new(state: State) -> Self {
        Self { open: RwLock::new(Open { state, intake: true, lost: Vec::new() }) }
    }

    pub(crate) fn state(&self) -> State {
        self.open.read().state
    }

    pub(crate) fn set_state(&self, state: State) {
        let mut open = self.open.write();
        open.state = state;
        // Whoever became active again takes writes again.
        open.intake |= state == State::Active;
    }

    /// From now on it does not answer for these times, but for all others.
    pub(crate) fn set_lost(&self, lost: &[TimeRange]) {
        self.open.write().lost = lost.to_vec();
    }

    /// Takes no writes from now on. What was let in before has been handed to the log.
    pub(crate) fn close_intake(&self) {
        self.open.write().intake = false;
    }

    /// Lets a write in.
    pub(crate) fn write(&self) -> Result<Admitted<'_>, Error> {
        let open = self.open.read();
        let why = match open.state {
            State::Active | State::Unhealthy | State::Leaving if open.intake => {
                return Ok(Admitted { _open: open });
            }
            State::Pending | State::Joining => "this ingester is joining and takes no writes yet",
            State::Active | State::Unhealthy | State::Leaving => {
                "this ingester hands over what it has and takes no writes any more"
            }
            State::Left => "this ingester has left and takes no writes any more",
        };
        Err(Error::unavailable(why, RETRY_AFTER))
    }

    /// Lets in what another ingester hands over. One that leaves itself would only have to hand it on.
    pub(crate) fn take_over(&self) -> Result<Admitted<'_>, Error> {
        let open = self.open.read();
        match open.state {
            State::Active | State::Unhealthy => Ok(Admitted { _open: open }),
            State::Pending | State::Joining | State::Leaving | State::Left => {
                Err(Error::unavailable("this ingester is not active and takes nothing over", RETRY_AFTER))
            }
        }
    }

    /// Lets a read of the samples of a time in.
    pub(crate) fn read(&self, range: TimeRange) -> Result<(), Error> {
        self.tell()?;
        if self.open.read().lost.iter().any(|lost| lost.overlaps(range)) {
            let why = "this ingester has lost samples of the range: it cannot vouch for its zone";
            return Err(Error::unavailable(why, RETRY_AFTER));
        }
        Ok(())
    }

    /// Lets a question in of what it has now, whether or not that is all there was.
    pub(crate) fn tell(&self) -> Result<(), Error> {
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
                (!refused(gate.read(TimeRange::ALL)), !refused(gate.write().map(drop))),
                (reads, writes),
                "{state:?}"
            );
        }
        gate.set_state(State::Leaving);
        gate.close_intake();
        assert!(refused(gate.write().map(drop)) && gate.read(TimeRange::ALL).is_ok());
        assert!(refused(gate.take_over().map(drop)));
        gate.set_state(State::Active);
        assert!(gate.write().is_ok() && gate.take_over().is_ok(), "it stayed");
        let range = |start, end| TimeRange::new(start, end).unwrap();
        gate.set_lost(&[range(10, 20), range(40, 50)]);
        assert!(refused(gate.read(range(20, 30))) && refused(gate.read(TimeRange::ALL)));
        assert!(gate.read(range(21, 39)).is_ok() && gate.write().is_ok(), "it is whole for other times");
    }
}
