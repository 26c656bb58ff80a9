//! Breakers under random histories, beside the plainest description of what they are to do.

use std::time::Duration;

use proptest::prelude::*;
use rpc::grpc::{Admitted, Breaker, BreakerPolicy, Change};

const POLICY: BreakerPolicy = BreakerPolicy {
    failures: 3,
    first_wait: Duration::from_millis(100),
    longest_wait: Duration::from_millis(1000),
};

/// What happens next. Calls are named by their place among those that are out.
#[derive(Debug, Clone)]
enum Event {
    Call,
    Answer(prop::sample::Index),
    Fail(prop::sample::Index, u64),
    GiveUp(prop::sample::Index),
    Pass(u16),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let index = any::<prop::sample::Index>;
    let event = prop_oneof![
        4 => Just(Event::Call),
        2 => index().prop_map(Event::Answer),
        4 => (index(), any::<u64>()).prop_map(|(call, chance)| Event::Fail(call, chance)),
        1 => index().prop_map(Event::GiveUp),
        2 => (0..700_u16).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..200)
}

/// The description: how many failures in a row, or since when it is open and who tries.
#[derive(Debug, Default)]
struct Model {
    failures: u32,
    openings_in_a_row: u32,
    open_since: Option<Duration>,
    probing: bool,
}

impl Model {
    fn may_call(&self, now: Duration) -> Option<bool> {
        let Some(since) = self.open_since else { return Some(true) };
        if self.probing {
            return Some(false);
        }
        let doubled = POLICY.first_wait * 2_u32.pow(self.openings_in_a_row.saturating_sub(1).min(10));
        let due = doubled.min(POLICY.longest_wait);
        // Between half and all of what is due it is up to chance.
        match now - since {
            passed if passed < due / 2 => Some(false),
            passed if passed >= due => Some(true),
            _ => None,
        }
    }
}

proptest! {
    #[test]
    fn a_breaker_does_what_it_says(events in events()) {
        let (mut breaker, mut model, mut now) = (Breaker::new(POLICY), Model::default(), Duration::ZERO);
        // Calls that are out, and whether the breaker's state still hangs on them.
        let mut out: Vec<(Admitted, bool)> = Vec::new();
        for event in events {
            match event {
                Event::Pass(ms) => now += Duration::from_millis(ms.into()),
                Event::Call => {
                    let expected = model.may_call(now);
                    let admitted = breaker.admit(now);
                    prop_assert!(expected.is_none_or(|expected| expected == admitted.is_ok()), "{model:?} at {now:?}");
                    if let Ok(call) = admitted {
                        model.probing = model.open_since.is_some();
                        out.push((call, true));
                    }
                }
                Event::Answer(_) | Event::Fail(..) | Event::GiveUp(_) if out.is_empty() => {}
                Event::Answer(call) => {
                    let (call, current) = out.swap_remove(call.index(out.len()));
                    let change = breaker.answered(call);
                    let expected = match model.open_since {
                        Some(_) if current => Change::Closed,
                        _ => Change::None,
                    };
                    prop_assert_eq!(change, expected);
                    if current {
                        if model.open_since.is_some() {
                            out.iter_mut().for_each(|(_, current)| *current = false);
                        }
                        model = Model::default();
                    }
                }
                Event::Fail(call, chance) => {
                    let (call, current) = out.swap_remove(call.index(out.len()));
                    let change = breaker.failed(call, now, chance);
                    if !current {
                        prop_assert_eq!(change, Change::None);
                    } else {
                        model.failures += 1;
                        let opens = model.open_since.is_some() || model.failures == POLICY.failures;
                        prop_assert_eq!(change != Change::None, opens);
                        if opens {
                            out.iter_mut().for_each(|(_, current)| *current = false);
                            model.open_since = Some(now);
                            model.openings_in_a_row += 1;
                            model.probing = false;
                        }
                    }
                }
                Event::GiveUp(call) => {
                    let (call, current) = out.swap_remove(call.index(out.len()));
                    breaker.given_up(call, now);
                    if current && model.probing {
                        // The next call may try at once.
                        model.probing = false;
                        prop_assert!(breaker.clone().admit(now).is_ok());
                        let Ok(probe) = breaker.admit(now) else { unreachable!() };
                        model.probing = true;
                        out.push((probe, true));
                    }
                }
            }
            prop_assert_eq!(breaker.is_open(), model.open_since.is_some());
            let probes = out.iter().filter(|(_, current)| *current).count();
            prop_assert!(model.open_since.is_none() || probes <= 1, "one call at a time tries");
        }
    }
}

#[test]
fn failures_of_before_an_answer_do_not_count() {
    let mut breaker = Breaker::new(POLICY);
    let now = Duration::ZERO;
    for _ in 0..10 {
        for _ in 0..2 {
            let call = breaker.admit(now).expect("it is closed");
            assert_eq!(breaker.failed(call, now, 0), Change::None);
        }
        let call = breaker.admit(now).expect("it is closed");
        assert_eq!(breaker.answered(call), Change::None);
    }
}

#[test]
fn calls_that_began_before_it_opened_change_nothing() {
    let mut breaker = Breaker::new(POLICY);
    let now = Duration::ZERO;
    let mut calls: Vec<_> = (0..5).map(|_| breaker.admit(now).expect("it is closed")).collect();
    let late_answer = calls.pop().expect("five");
    let late_failure = calls.pop().expect("five");
    let changes: Vec<_> = calls.into_iter().map(|call| breaker.failed(call, now, u64::MAX)).collect();
    assert!(matches!(changes[..], [Change::None, Change::None, Change::Opened { .. }]), "{changes:?}");
    assert_eq!(breaker.answered(late_answer), Change::None);
    assert!(breaker.is_open());
    let later = now + POLICY.first_wait;
    let probe = breaker.admit(later).expect("the wait is over");
    assert_eq!(breaker.admit(later), Err(Duration::ZERO));
    assert_eq!(breaker.failed(late_failure, later, 0), Change::None);
    assert_eq!(breaker.answered(probe), Change::Closed);
}
