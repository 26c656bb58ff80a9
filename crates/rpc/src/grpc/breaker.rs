//! When to stop calling a peer that does not answer, and when to try again. Pure: time and chance come in.
//!
//! Closed, every call goes out, and failures in a row are counted. After enough of them it is open: no call goes out
//! for a while. Then one call at a time is let through to see; an answer closes it, another failure opens it again, for
//! longer.

use std::time::Duration;

/// What a breaker keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// It opens after so many failures in a row; 0 counts as 1.
    pub failures: u32,
    /// For how long, at most, it opens the first time; each time after another it is twice as long, ...
    pub first_wait: Duration,
    /// ... up to this.
    pub longest_wait: Duration,
}

/// The breaker of one peer.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// How often it has opened or closed: what began before is no news afterwards.
    turn: u64,
    next_wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    Probing,
}

/// A call that was let through. It has to be handed back, whatever the call came to.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a call that is not handed back may keep the breaker open for ever"]
pub struct Admitted {
    turn: u64,
    probe: bool,
}

/// What a call did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that callers notice.
    None,
    /// No calls go out from now on.
    Opened {
        /// For how long.
        wait: Duration,
    },
    /// It was open and had failed a probe.
    StaysOpen {
        /// For how long.
        wait: Duration,
    },
    /// All calls go out again.
    Closed,
}

impl Breaker {
    /// A closed one.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed { failures: 0 }, turn: 0, next_wait: policy.first_wait }
    }

    /// Whether calls are kept back, but for those that try.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Lets a call through at `now` (monotonic), or says after how long to try again; zero: once the call that tries
    /// has come to something.
    pub fn admit(&mut self, now: Duration) -> Result<Admitted, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Admitted { turn: self.turn, probe: false }),
            State::Open { until } if now < until => Err(until - now),
            State::Open { .. } => {
                self.state = State::Probing;
                Ok(Admitted { turn: self.turn, probe: true })
            }
            State::Probing => Err(Duration::ZERO),
        }
    }

    /// The peer has answered, whatever it said.
    pub fn answered(&mut self, Admitted { turn, .. }: Admitted) -> Change {
        if turn != self.turn {
            return Change::None;
        }
        let was_open = self.is_open();
        self.state = State::Closed { failures: 0 };
        self.next_wait = self.policy.first_wait;
        if !was_open {
            return Change::None;
        }
        self.turn += 1;
        Change::Closed
    }

    /// The peer was not reached, or did not answer in time. `chance` is random: waits are shortened by up to half with
    /// it, so that callers do not come back together.
    pub fn failed(&mut self, Admitted { turn, probe }: Admitted, now: Duration, chance: u64) -> Change {
        if turn != self.turn {
            return Change::None;
        }
        if let State::Closed { failures } = &mut self.state {
            *failures = failures.saturating_add(1);
            if *failures < self.policy.failures {
                return Change::None;
            }
        }
        let due = self.next_wait.min(self.policy.longest_wait);
        self.next_wait = due.saturating_mul(2);
        let wait = shortened(due, chance);
        self.state = State::Open { until: now.saturating_add(wait) };
        self.turn += 1;
        match probe {
            true => Change::StaysOpen { wait },
            false => Change::Opened { wait },
        }
    }

    /// The caller went away before the peer could answer. A call that tried leaves the turn to the next.
    pub fn given_up(&mut self, Admitted { turn, probe }: Admitted, now: Duration) {
        if probe && turn == self.turn {
            self.state = State::Open { until: now };
        }
    }
}

/// Half to all of `due`.
fn shortened(due: Duration, chance: u64) -> Duration {
    let half = due / 2;
    let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    let extra = (u128::from(chance) * u128::from(micros)) >> 64;
    half + Duration::from_micros(u64::try_from(extra).unwrap_or(0))
}
