//! When blocks are cut and shipped.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use super::cut::CutError;
use super::edge;
use super::ship::ShipError;
use crate::maintenance::{millis, wait};
use crate::service::Inner;

/// How often it is looked whether a window has ended.
const CUT_EVERY: Duration = Duration::from_secs(10);
/// How long after something could not be cut it is tried again: reading a whole window is work.
const CUT_RETRY: Duration = Duration::from_secs(60);
/// How often blocks are looked at that are on their way.
const SHIP_EVERY: Duration = Duration::from_secs(30);
/// After so many tenants in a row whose blocks could not be shipped, the bucket is left alone until the next time.
const FAILURES_IN_A_ROW: u32 = 3;

/// Starts the tasks, where there is a bucket.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    if inner.blocks.bucket.is_none() {
        return;
    }
    let cutting = inner.clone();
    inner.scope.spawn("blocks-cut", async move {
        let mut pause = CUT_EVERY;
        while wait(&cutting, pause).await {
            pause = if cut_all(&cutting).await { CUT_EVERY } else { CUT_RETRY };
        }
    });
    let shipping = inner.clone();
    inner.scope.spawn("blocks-ship", async move {
        loop {
            let woken = shipping.blocks.wake.notified();
            tokio::select! {
                biased;
                () = shipping.scope.cancelled() => return,
                () = woken => {}
                () = shipping.clock.sleep(SHIP_EVERY) => {}
            }
            ship_all(&shipping).await;
        }
    });
}

/// Cuts what is due of all tenants; whether all of it was cut.
pub(crate) async fn cut_all(inner: &Arc<Inner>) -> bool {
    let mut all = true;
    let now_ms = inner.clock.now_ms();
    let open_before_ms = now_ms.saturating_sub(millis(inner.config.block_late_delay));
    let edge_ms = edge(now_ms, &inner.config);
    for tenant in inner.cut_tenants() {
        if inner.scope.is_cancelled() {
            break;
        }
        if let Err(error) = inner.cut_due(&tenant, edge_ms, open_before_ms).await {
            all = false;
            inner.log_failure(
                "cut",
                &error,
                tenant.id.as_str(),
                "a block cannot be cut, the head keeps its samples",
            );
        }
    }
    all
}

/// Ships what is due of all tenants.
pub(crate) async fn ship_all(inner: &Arc<Inner>) {
    let mut failures = 0;
    for (tenant, ledger) in inner.blocks.ledgers.all() {
        if inner.scope.is_cancelled() || failures >= FAILURES_IN_A_ROW {
            break;
        }
        match inner.ship_tenant(&tenant, &ledger, false).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                inner.metrics.block_ship_failures.inc();
                let what = "blocks cannot be shipped, they stay on the disk";
                inner.log_failure("ship", &error, tenant.as_str(), what);
            }
        }
    }
    inner.count_blocks();
}

/// Why not everything was flushed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    /// Something was not cut.
    #[error("{0}")]
    Cut(#[from] CutError),
    /// Something was not shipped.
    #[error("{0}")]
    Ship(#[from] ShipError),
}

impl Inner {
    /// Cuts everything that the head has, also of windows that have not ended, and ships it at once.
    pub(crate) async fn flush_blocks(self: &Arc<Self>) -> Result<(), FlushError> {
        let now_ms = self.clock.now_ms();
        let length = self.window_ms();
        for tenant in self.cut_tenants() {
            self.cut_due(&tenant, super::window_of(now_ms, length), i64::MAX).await?;
            self.cut_rest(&tenant).await?;
        }
        for (tenant, ledger) in self.blocks.ledgers.all() {
            self.ship_tenant(&tenant, &ledger, true).await?;
        }
        self.count_blocks();
        Ok(())
    }

    fn log_failure(&self, kind: &'static str, error: &dyn StdError, tenant: &str, what: &str) {
        if let Some(held_back) = self.blocks.log.allow(&kind, self.clock.monotonic()) {
            let mut reasons = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                reasons = format!("{reasons}: {cause}");
                source = cause.source();
            }
            tracing::error!(tenant, error = reasons, held_back, "{what}");
        }
    }

    /// Publishes what is on this disk.
    fn count_blocks(&self) {
        let all = self.blocks.ledgers.all();
        let blocks = all.iter().flat_map(|(_, ledger)| ledger.blocks());
        let (mut count, mut oldest) = (0i64, None::<i64>);
        for block in blocks {
            count += 1;
            if !matches!(block.stage, super::Stage::Listed { .. }) {
                oldest = Some(oldest.map_or(block.min_time, |oldest| oldest.min(block.min_time)));
            }
        }
        self.metrics.blocks_on_disk.set(count);
        self.metrics.oldest_unshipped_seconds.set(oldest.map_or(0.0, |ms| ms as f64 / 1e3));
    }
}
