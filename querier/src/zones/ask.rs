//! One question to all instances of as many zones as it takes, and to others where one fails or is slow.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use proto::{Error, IngesterRead};
use ring::InstanceId;

use super::metrics::ZoneMetrics;
use super::plan::{Plan, Zone, is_failure_of_zone};

/// How long zones are waited for, and what is counted.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hedge_after: Duration,
    pub(super) metrics: ZoneMetrics,
}

/// A zone that has been asked.
struct Asked<T> {
    zone: Arc<str>,
    missing: usize,
    answers: Vec<T>,
    failed: bool,
}

/// What an instance of the zone of this number says.
struct Said<T> {
    zone: usize,
    instance: InstanceId,
    answer: Result<T, Error>,
}

/// The calls that are under way, and what came of others.
struct Asking<T, C> {
    plan: Plan,
    call: C,
    asked: Vec<Asked<T>>,
    calls: FuturesUnordered<BoxFuture<'static, Said<T>>>,
}

/// The answers of whole zones, as many as it takes: zone by zone, those of its instances.
///
/// # Errors
/// What is wrong with the request, or that too few zones can answer.
pub(super) async fn ask<T, C, F>(plan: Plan, patience: &Patience, call: C) -> Result<Vec<Vec<T>>, Error>
where
    T: Send + 'static,
    C: Fn(Arc<dyn IngesterRead>) -> F,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let required = plan.required;
    let mut asking = Asking { plan, call, asked: Vec::new(), calls: FuturesUnordered::new() };
    for _ in 0..required {
        asking.ask_next();
    }
    let mut hedge = patience.clock.sleep(patience.hedge_after);
    loop {
        if asking.whole().count() >= required {
            return Ok(asking.into_whole());
        }
        tokio::select! {
            biased;
            Some(said) = asking.calls.next() => asking.note(said, patience)?,
            () = &mut hedge => {
                if asking.ask_next() {
                    patience.metrics.hedged.inc();
                    hedge = patience.clock.sleep(patience.hedge_after);
                } else {
                    hedge = Box::pin(std::future::pending());
                }
            }
        }
    }
}

impl<T, C, F> Asking<T, C>
where
    T: Send + 'static,
    C: Fn(Arc<dyn IngesterRead>) -> F,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    /// Asks the next zone, if there is one.
    fn ask_next(&mut self) -> bool {
        let Some(Zone { name, members }) = self.plan.zones.pop_front() else { return false };
        let zone = self.asked.len();
        self.asked.push(Asked { zone: name, missing: members.len(), answers: Vec::new(), failed: false });
        for member in members {
            let answer = (self.call)(member.reader);
            let instance = member.id;
            self.calls.push(Box::pin(async move { Said { zone, instance, answer: answer.await } }));
        }
        true
    }

    fn note(&mut self, said: Said<T>, patience: &Patience) -> Result<(), Error> {
        let Some(zone) = self.asked.get_mut(said.zone).filter(|zone| !zone.failed) else { return Ok(()) };
        match said.answer {
            Ok(answer) => {
                zone.missing -= 1;
                zone.answers.push(answer);
            }
            Err(error) if is_failure_of_zone(error.code) => {
                zone.failed = true;
                patience.metrics.failed.inc();
                let name = Arc::clone(&zone.zone);
                self.plan.fail(&name, &said.instance, &error.message);
                let able = self.asked.iter().filter(|zone| !zone.failed).count();
                if !self.ask_next() && able < self.plan.required {
                    return Err(self.plan.shortage(able));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn whole(&self) -> impl Iterator<Item = &Asked<T>> {
        self.asked.iter().filter(|zone| zone.missing == 0)
    }

    fn into_whole(self) -> Vec<Vec<T>> {
        let whole = self.asked.into_iter().filter(|zone| zone.missing == 0);
        whole.map(|zone| zone.answers).collect()
    }
}
