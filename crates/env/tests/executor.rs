//! The executor of simulations: what a seed decides, and what ends tasks.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock as _, Scope, SimClock, SimExecutor, TaskError};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What tasks did, in order.
type Story = Arc<Mutex<Vec<u32>>>;

fn run<F: Future>(seed: u64, story: impl FnOnce(SimExecutor) -> F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    let executor = SimExecutor::new(seed);
    runtime.block_on(executor.clone().run(story(executor)))
}

/// Twenty tasks follow one `watch` and say when they have seen a change.
fn followers(seed: u64) -> Vec<u32> {
    run(seed, |executor| async move {
        let scope = Scope::simulated_on("test", &executor);
        let clock = SimClock::new(0, 0);
        let (sender, receiver) = watch::channel(0);
        let story = Story::default();
        for number in 0..20 {
            let (story, mut receiver) = (Arc::clone(&story), receiver.clone());
            drop(scope.spawn("follower", async move {
                while receiver.changed().await.is_ok() {
                    receiver.borrow_and_update();
                    story.lock().push(number);
                }
            }));
        }
        for round in 1..=5 {
            clock.sleep(Duration::from_millis(3)).await;
            sender.send_replace(round);
        }
        clock.sleep(Duration::from_millis(3)).await;
        story.lock().clone()
    })
}

#[test]
fn a_seed_is_one_order_and_another_seed_another() {
    let first = followers(1);
    assert_eq!(first.len(), 100);
    for _ in 0..50 {
        assert_eq!(followers(1), first);
    }
    assert!((2..5).all(|seed| followers(seed) != first));
}

#[test]
fn an_aborted_scope_ends_everything_at_once() {
    run(1, |executor| async move {
        let scope = Scope::simulated_on("test", &executor);
        let (clock, held) = (SimClock::new(0, 0), Arc::new(()));
        let sleeper = |scope: &Scope| {
            let (held, clock) = (Arc::clone(&held), clock.clone());
            scope.spawn("sleeper", async move {
                clock.sleep(Duration::from_secs(3600)).await;
                drop(held);
            })
        };
        let (first, second) = (sleeper(&scope), sleeper(&scope.child("inner")));
        clock.sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&held), 3);
        scope.abort();
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(matches!(first.await, Err(TaskError::Aborted { task: "sleeper" })));
        assert!(second.is_finished());
        assert!(sleeper(&scope).await.is_err(), "nothing runs in it any more");
        assert!(scope.join(&clock, Duration::from_secs(1)).await);
        assert!(clock.monotonic() < Duration::from_secs(1));
    });
}

#[test]
fn a_panic_is_the_end_of_its_task_alone() {
    run(1, |executor| async move {
        let scope = Scope::simulated_on("test", &executor);
        let failed = scope.spawn("failing", async { panic!("as planned") }).await;
        assert!(matches!(failed, Err(TaskError::Panicked { message, .. }) if message == "as planned"));
        assert_eq!(scope.spawn("another", async { 7 }).await, Ok(7));
    });
}

#[test]
fn blocking_work_takes_its_time() {
    run(3, |executor| async move {
        let (scope, clock) = (Scope::simulated_on("test", &executor), SimClock::new(0, 0));
        assert_eq!(scope.run_blocking(|| 1).await, Ok(1));
        assert_eq!(clock.monotonic(), Duration::ZERO);
        scope.child("disk").delay_blocking(Duration::from_millis(50));
        for _ in 0..20 {
            assert_eq!(scope.run_blocking(|| 2).await, Ok(2));
        }
        let took = clock.monotonic();
        assert!(took > Duration::from_millis(100) && took <= Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn what_is_left_is_dropped_at_the_end() {
    let held = Arc::new(());
    run(1, |executor| {
        let held = Arc::clone(&held);
        async move {
            let scope = Scope::simulated_on("test", &executor);
            drop(scope.spawn("endless", async move {
                let _held = held;
                std::future::pending::<()>().await;
            }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_process_that_stands_still_goes_on_later() {
    run(1, |executor| async move {
        let (still, other) =
            (Scope::simulated_on("still", &executor), Scope::simulated_on("other", &executor));
        let (clock, story) = (SimClock::new(0, 0), Story::default());
        for (number, scope) in [(1, still.child("child")), (2, other)] {
            let (clock, story) = (clock.clone(), Arc::clone(&story));
            drop(scope.spawn("counts", async move {
                loop {
                    clock.sleep(Duration::from_millis(10)).await;
                    story.lock().push(number);
                }
            }));
        }
        let told = |number: u32| story.lock().iter().filter(|told| **told == number).count();
        still.stand_still();
        clock.sleep(Duration::from_millis(105)).await;
        assert_eq!((told(1), told(2)), (0, 10));
        still.go_on();
        clock.sleep(Duration::from_millis(97)).await;
        let went_on = told(1);
        assert!(went_on >= 8 && told(2) == 20, "{went_on} and {}", told(2));
        still.stand_still();
        still.abort();
        still.go_on();
        clock.sleep(Duration::from_millis(50)).await;
        assert_eq!(told(1), went_on);
    });
}
