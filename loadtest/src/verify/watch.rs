//! Reading back while writing goes on: what was acknowledged before a query began has to be in its answer.

use parking_lot::Mutex;

use super::answer::Matrix;
use super::difference::Differences;
use super::oracle::{Oracle, parse};
use super::window::{Part, Window};
use super::{VerifyError, VerifyReport};
use crate::ledger::Ledger;
use crate::population::noise_unit;

/// Every so many questions one goes to the series API.
const SERIES_EVERY: u64 = 8;

impl Oracle {
    /// Reads back parts until dropped, one query at a time: every second one about the newest samples. Queries that
    /// fail are not differences (the servers may be down on purpose); they are counted. The report may be read, and
    /// taken away, meanwhile.
    pub async fn watch(&self, ledger: &Ledger, report: &Mutex<VerifyReport>) {
        let parts = self.parts();
        for n in 0u64.. {
            self.clock.sleep(self.config.read_every).await;
            let part = &parts[(noise_unit(1, n) * parts.len() as f64) as usize];
            let outcome = match n % SERIES_EVERY {
                0 => self.watch_series(ledger, part, report).await,
                _ => self.watch_samples(ledger, part, n, report).await,
            };
            if let Err(error) = outcome {
                report.lock().failed(&error);
            }
        }
    }

    async fn watch_samples(
        &self,
        ledger: &Ledger,
        part: &Part,
        n: u64,
        report: &Mutex<VerifyReport>,
    ) -> Result<(), VerifyError> {
        let before = ledger.fates();
        let windows = self.windows(part, before.steps());
        let chosen = match n % 2 {
            0 => windows.last(),
            _ => windows.get((noise_unit(2, n) * windows.len() as f64) as usize),
        };
        let Some(steps) = chosen else { return Ok(()) };
        let what = format!("query of part {part:?}, steps {steps:?}");
        // No further than the window, whatever is written meanwhile.
        let (answer, took) = self.matrix(part, steps, u32::MAX, &what, std::time::Duration::ZERO).await?;
        let after = ledger.fates();
        let matrix = parse::<Matrix<'_>>(&answer, &what)?;
        let knowledge = self.knowledge(&before, &after);
        let mut differences = Differences::default();
        let compared = Window::new(&knowledge, part, steps.clone()).compare(&matrix, &mut differences);
        let acknowledged = self.acknowledged(&before, part, steps.clone());
        let mut report = report.lock();
        report.answered(took);
        report.acknowledged_samples += acknowledged;
        report.compared(compared);
        report.differences.merge(differences);
        Ok(())
    }

    async fn watch_series(
        &self,
        ledger: &Ledger,
        part: &Part,
        report: &Mutex<VerifyReport>,
    ) -> Result<(), VerifyError> {
        let before = ledger.fates();
        let (listed, took) = self.series(part, before.steps(), std::time::Duration::ZERO).await?;
        let after = ledger.fates();
        let mut differences = Differences::default();
        self.compare_series(&self.knowledge(&before, &after), part, after.steps(), &listed, &mut differences);
        let mut report = report.lock();
        report.answered(took);
        report.differences.merge(differences);
        Ok(())
    }
}
