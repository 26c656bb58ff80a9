//! The task of a group: it waits for the group's times, and has it evaluated at each.

use std::sync::Arc;
use std::time::Duration;

use env::{Scope, TaskHandle};
use rules::evaluation::Schedule;

use crate::evaluate::Evaluator;
use crate::group::Unit;

/// A clock may jump, so that nothing is waited for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// For how many intervals the series of a group that is gone are left, in case that another has taken them over.
const INTERVALS_TO_END: u32 = 2;

/// A group that is evaluated.
pub(crate) struct Running {
    pub(crate) unit: Arc<Unit>,
    scope: Scope,
    task: TaskHandle<()>,
}

impl Running {
    /// Begins, in tasks of `scope`.
    pub(crate) fn start(unit: Arc<Unit>, evaluator: &Arc<Evaluator>, scope: &Scope) -> Self {
        let scope = scope.child("group");
        let work = run(Arc::clone(&unit), Arc::clone(evaluator), scope.clone());
        let task = scope.spawn("group", work);
        Self { unit, scope, task }
    }

    /// Ends. What is being evaluated is evaluated to its end.
    pub(crate) async fn stop(self) -> Arc<Unit> {
        self.scope.cancel();
        // A task that panicked has ended, too; that has been logged.
        let _ = self.task.await;
        self.unit
    }
}

/// Ends the series of a group that is no more, when none can have taken its place any more that has not begun.
pub(crate) fn bury(unit: Arc<Unit>, evaluator: Arc<Evaluator>, scope: &Scope) {
    let at_ms = evaluator.clock.now_ms();
    let cancelled = scope.cancelled();
    drop(scope.spawn("ended group", async move {
        let (ended, interval_ms) = {
            let state = unit.state.lock();
            (state.group.ended(at_ms), state.group.interval_ms())
        };
        let wait = Duration::from_millis(interval_ms.unsigned_abs()).saturating_mul(INTERVALS_TO_END);
        tokio::select! {
            biased;
            () = cancelled => return,
            () = evaluator.clock.sleep(wait) => {}
        }
        evaluator.end(&unit, &ended).await;
    }));
}

async fn run(unit: Arc<Unit>, evaluator: Arc<Evaluator>, scope: Scope) {
    let schedule = unit.state.lock().group.schedule();
    let clock = &*evaluator.clock;
    let mut at_ms = schedule.before(clock.now_ms()).saturating_add(schedule.interval_ms());
    let mut evaluations = 0u64;
    while let Some(due_ms) = wait_for(&evaluator, &scope, &schedule, at_ms).await {
        at_ms = due_ms;
        unit.metrics.iterations.inc();
        evaluator.evaluate(&unit, at_ms).await;
        evaluations += 1;
        // Not after the first one: rules may need what others have to record first.
        if evaluations >= 2 && unit.state.lock().restores {
            evaluator.restore(&unit).await;
        }
        let due = schedule.after(at_ms, clock.now_ms());
        if due.missed > 0 {
            unit.metrics.missed.inc_by(due.missed);
            unit.metrics.iterations.inc_by(due.missed);
            tracing::warn!(
                tenant = %unit.tenant, file = unit.file, group = unit.name, missed = due.missed,
                "a group took longer than its interval; evaluations were missed"
            );
        }
        at_ms = due.at_ms;
    }
}

/// Waits for that time, and says which it is then: where the clock was set back, an earlier one. `None` where it is to end.
async fn wait_for(evaluator: &Evaluator, scope: &Scope, schedule: &Schedule, mut at_ms: i64) -> Option<i64> {
    loop {
        if scope.is_cancelled() {
            return None;
        }
        let now_ms = evaluator.clock.now_ms();
        let left_ms = at_ms.saturating_sub(now_ms);
        if left_ms <= 0 {
            return Some(at_ms);
        }
        if left_ms > 2 * schedule.interval_ms() {
            at_ms = schedule.before(now_ms).saturating_add(schedule.interval_ms());
            continue;
        }
        let left = Duration::from_millis(left_ms.unsigned_abs()).min(LONGEST_SLEEP);
        tokio::select! {
            biased;
            () = scope.cancelled() => return None,
            () = evaluator.clock.sleep(left) => {}
        }
    }
}
