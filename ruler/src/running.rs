//! The task of a group: it waits for the group's times, and has it evaluated at each.

use std::sync::Arc;
use std::time::Duration;

use env::{Scope, TaskHandle};
use rules::evaluation::Schedule;

use crate::evaluate::Evaluator;
use crate::group::Unit;
use crate::takeover::Left;

/// A clock may jump, so that nothing is waited for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How often it is asked whether a group may be evaluated that may not at the moment.
const FORBIDDEN_WAIT: Duration = Duration::from_millis(100);
/// For how many intervals the series of a group that is gone are left, in case that another has taken them over.
const INTERVALS_TO_END: u32 = 2;

/// A group that is evaluated.
pub(crate) struct Running {
    pub(crate) unit: Arc<Unit>,
    scope: Scope,
    task: TaskHandle<()>,
}

/// Where a group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With its next time.
    Next,
    /// Where another ruler has left it.
    Left,
}

impl Running {
    /// Begins, in tasks of `scope`.
    pub(crate) fn start(unit: Arc<Unit>, evaluator: &Arc<Evaluator>, scope: &Scope, begin: Begin) -> Self {
        let scope = scope.child("group");
        let work = run(Arc::clone(&unit), Arc::clone(evaluator), scope.clone(), begin);
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

async fn run(unit: Arc<Unit>, evaluator: Arc<Evaluator>, scope: Scope, begin: Begin) {
    let schedule = unit.state.lock().group.schedule();
    let interval_ms = schedule.interval_ms();
    let clock = &*evaluator.clock;
    let mut at_ms = schedule.before(clock.now_ms()).saturating_add(interval_ms);
    let mut left = Left { rules: Vec::new() };
    // Whether times that have passed are made up for, and which those are.
    let (mut behind, mut passed_ms) = (false, i64::MIN);
    if begin == Begin::Left {
        left = evaluator.take_over(&unit, &scope).await;
        at_ms = schedule.before(clock.now_ms()).saturating_add(interval_ms);
        if let Some(last_ms) = left.last_ms() {
            at_ms = last_ms.saturating_add(interval_ms);
            (behind, passed_ms) = (true, clock.now_ms());
        }
    }
    let (mut evaluations, mut again) = (0u64, false);
    while let Some(due_ms) = wait_for(&evaluator, &scope, &schedule, at_ms).await {
        at_ms = due_ms;
        match permitted(&unit, &evaluator, &scope).await {
            Permitted::Never => return,
            // Nobody else has evaluated it meanwhile, or it would have been taken away.
            Permitted::Late => (behind, passed_ms) = (true, clock.now_ms()),
            Permitted::AtOnce => {}
        }
        if !again {
            unit.metrics.iterations.inc();
        }
        let undone = evaluator.evaluate(&unit, at_ms, &left).await;
        again = !undone.is_empty();
        if again {
            // The others are evaluated when that is permitted again, unless the group is taken away.
            left.add(unit.source.rules.len(), at_ms, &undone);
            behind = true;
            continue;
        }
        if at_ms < passed_ms {
            evaluator.metrics.caught_up.inc();
        }
        evaluations += 1;
        // Not after the first one: rules may need what others have to record first.
        if evaluations >= 2 && unit.state.lock().restores {
            evaluator.restore(&unit).await;
        }
        let now_ms = clock.now_ms();
        let oldest_ms = now_ms.saturating_sub(evaluator.reach_ms(interval_ms));
        let mut due = schedule.after(at_ms, now_ms);
        behind &= due.missed > 0;
        if behind {
            due.missed = schedule.after(at_ms, oldest_ms).missed;
            due.at_ms = schedule.after(at_ms, oldest_ms).at_ms;
        }
        if due.missed > 0 {
            count_missed(&unit, due.missed);
        }
        at_ms = due.at_ms;
    }
}

fn count_missed(unit: &Unit, missed: u64) {
    unit.metrics.missed.inc_by(missed);
    unit.metrics.iterations.inc_by(missed);
    tracing::warn!(
        tenant = %unit.tenant, file = unit.file, group = unit.name, missed,
        "a group took longer than its interval; evaluations were missed"
    );
}

/// Whether a group may be evaluated.
enum Permitted {
    AtOnce,
    /// It may, after it might not for a while.
    Late,
    /// It is to end.
    Never,
}

/// Waits until a group may be evaluated here.
async fn permitted(unit: &Unit, evaluator: &Evaluator, scope: &Scope) -> Permitted {
    let mut permitted = Permitted::AtOnce;
    while !evaluator.may_act(unit) {
        permitted = Permitted::Late;
        tokio::select! {
            biased;
            () = scope.cancelled() => return Permitted::Never,
            () = evaluator.clock.sleep(FORBIDDEN_WAIT) => {}
        }
    }
    permitted
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
