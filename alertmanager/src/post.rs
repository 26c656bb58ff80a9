//! Alerts from whoever evaluates rules in the same process: as if they were posted, without the way over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::TenantId;
use proto::{Error, PostAlerts, PostedAlert};

use crate::alert::Alert;
use crate::moment::Moment;
use crate::service::Alertmanager;

/// When to come back where there is no room.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[async_trait]
impl PostAlerts for Alertmanager {
    async fn post(&self, tenant: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error> {
        let shared = &self.0;
        let tenant = shared.tenant(tenant).map_err(|refused| Error::unavailable(refused, RETRY_AFTER))?;
        let now = shared.now();
        let (mut good, mut problem) = (Vec::with_capacity(alerts.len()), None);
        for posted in alerts {
            let alert = taken(posted, now);
            let status = if alert.is_resolved(now) { "resolved" } else { "firing" };
            shared.metrics.received.get_or_create(&[("status", status)]).inc();
            match alert.check(shared.config.language()) {
                Ok(()) => good.push(alert),
                Err(wrong) => {
                    shared.metrics.invalid.inc();
                    problem.get_or_insert(wrong);
                }
            }
        }
        let pushed = shared.push(&tenant, good, now).await;
        let pushed = pushed.map_err(|why| Error::unavailable(why, RETRY_AFTER))?;
        if pushed.refused {
            let max = shared.config.max_alerts;
            let message = format!("there are {max} alerts, as many as alertmanager.max_alerts allows");
            return Err(Error::unavailable(message, RETRY_AFTER));
        }
        problem.map_or(Ok(()), |problem| Err(Error::invalid(problem.to_string())))
    }
}

/// An alert as it was posted.
pub(crate) fn taken(posted: &PostedAlert, now: Moment) -> Alert {
    Alert {
        labels: posted.labels.clone(),
        annotations: Arc::clone(&posted.annotations),
        starts_at: Moment::from_millis(posted.starts_at_ms),
        ends_at: Some(Moment::from_millis(posted.ends_at_ms)),
        generator_url: Arc::clone(&posted.generator_url),
        updated_at: now,
        timeout: false,
    }
}
