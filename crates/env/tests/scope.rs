//! Tasks, time and randomness.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::{Clock, ManualClock, OsSeededRng, Rng, Scope, SeededRng, SystemClock, TaskError};

/// Sets its flag when it goes.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn abort_ends_every_task_of_the_tree() {
    let scope = Scope::new("instance");
    let (flag, clock) = (Arc::new(AtomicBool::new(false)), SystemClock::new());
    let guard = Dropped(Arc::clone(&flag));
    let handle = scope.child("server").spawn("connection", async move {
        let _guard = guard;
        pending::<()>().await;
    });
    assert!(!scope.join(&clock, Duration::from_millis(10)).await, "it still runs");
    scope.abort();
    assert_eq!(handle.await, Err(TaskError::Aborted { task: "connection" }));
    assert!(flag.load(Ordering::SeqCst));
    assert!(scope.join(&clock, Duration::from_secs(5)).await);
    assert_eq!(scope.spawn("late", async {}).await, Err(TaskError::Aborted { task: "late" }));
    assert_eq!(scope.child("late").spawn("late", async {}).await, Err(TaskError::Aborted { task: "late" }));
}

/// Who started it has let go of the scope in between.
#[tokio::test]
async fn abort_finds_tasks_below_scopes_that_nobody_holds() {
    let scope = Scope::new("instance");
    let handle = scope.child("process").child("server").spawn("connection", pending::<()>());
    scope.abort();
    assert_eq!(handle.await, Err(TaskError::Aborted { task: "connection" }));
}

#[tokio::test]
async fn cancel_asks_and_join_waits() {
    let scope = Scope::new("instance");
    let child = scope.child("server");
    let stopped = child.cancelled();
    let handle = child.spawn("accept", async move {
        stopped.await;
        7
    });
    scope.cancel();
    assert!(child.is_cancelled());
    assert!(scope.join(&SystemClock::new(), Duration::from_secs(5)).await);
    assert_eq!(handle.await, Ok(7));
    let child = Scope::new("other");
    child.child("inner").cancel();
    assert!(!child.is_cancelled(), "it does not go upwards");
}

#[tokio::test]
async fn panics_are_told_not_spread() {
    for scope in [Scope::new("real"), Scope::simulated("simulated")] {
        let error = scope.run_blocking(|| panic!("so {}", 1)).await.expect_err("panics");
        assert_eq!(error, TaskError::Panicked { task: "blocking", message: "so 1".to_owned() });
        assert_eq!(scope.run_blocking(|| 3).await, Ok(3));
        let error = scope.spawn("task", async { panic!("why") }).await.expect_err("panics");
        assert_eq!(error, TaskError::Panicked { task: "task", message: "why".to_owned() });
    }
}

#[tokio::test]
async fn a_manual_clock_goes_when_told() {
    let clock = ManualClock::new(1_000);
    let scope = Scope::new("test");
    let sleep = scope.spawn("sleeper", clock.sleep(Duration::from_secs(10)));
    clock.set(500_000);
    assert_eq!((clock.now_ms(), clock.monotonic()), (500_000, Duration::ZERO));
    clock.advance(Duration::from_secs(9));
    tokio::task::yield_now().await;
    assert!(!sleep.is_finished());
    assert_eq!(clock.sleepers(), 1);
    clock.advance(Duration::from_secs(1));
    sleep.await.expect("wakes");
    assert_eq!((clock.now_ms(), clock.sleepers()), (510_000, 0));
}

#[test]
fn seeds_repeat_and_the_system_does_not() {
    let draw = |rng: &dyn Rng| (0..4).map(|_| rng.next_u64()).collect::<Vec<_>>();
    assert_eq!(draw(&SeededRng::new(5)), draw(&SeededRng::new(5)));
    assert_ne!(draw(&SeededRng::new(5)), draw(&SeededRng::new(6)));
    assert_ne!(draw(&OsSeededRng::new()), draw(&OsSeededRng::new()));
    let rng = SeededRng::new(1);
    let mut counts = [0; 5];
    for _ in 0..5_000 {
        counts[rng.below(5) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    assert_eq!(rng.below(0), 0);
}
