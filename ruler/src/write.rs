//! What rules make on its way to the distributor.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use model::{TenantId, Value};
use promql::SampleValue;
use proto::{Code, Error, Version, Write, WriteRequest};
use rules::{RuleSample, Written};
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;

/// How many samples are in one write.
const MAX_SAMPLES: usize = 5_000;
/// How often a write, or a query, is tried that failed for no fault of its own.
const MAX_ATTEMPTS: u32 = 4;
/// How long it is waited before the second try; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Writes samples of a tenant, and says what became of them.
pub(crate) async fn write(
    write: &Arc<dyn Write>,
    clock: &dyn Clock,
    tenant: &TenantId,
    samples: &[RuleSample],
) -> Written {
    let mut refused = None;
    for part in samples.chunks(MAX_SAMPLES) {
        let body = message(part);
        let request = || WriteRequest { tenant: tenant.clone(), version: Version::V1, body: body.clone() };
        match patiently(clock, || write.write(request())).await {
            // Which of them were refused is not known: those that were have no series that would have to end.
            Ok(response) => refused = refused.or(response.error.map(|error| error.message)),
            Err(error) => return Written::Nothing { error: error.message },
        }
    }
    match refused {
        None => Written::All,
        Some(error) => Written::But { refused: Vec::new(), error },
    }
}

/// Does something again as long as it fails for no fault of its own, a few times.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    clock: &dyn Clock,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut wait = FIRST_WAIT;
    for _ in 1..MAX_ATTEMPTS {
        match attempt().await {
            Err(error) if error.code == Code::Unavailable => clock.sleep(wait).await,
            other => return other,
        }
        wait *= 2;
    }
    attempt().await
}

fn message(samples: &[RuleSample]) -> Bytes {
    let mut writer = Rw1Writer::default();
    for sample in samples {
        for (name, value) in sample.labels.iter() {
            writer.label(name, value);
        }
        let timestamp_ms = sample.timestamp_ms;
        match &sample.value {
            SampleValue::Float(value) => writer.sample(timestamp_ms, *value),
            SampleValue::Histogram(histogram) => {
                let value = Value::FloatHistogram(Arc::clone(histogram));
                writer.histogram(&HistogramSample { timestamp_ms, start_timestamp_ms: 0, value })
            }
        };
        writer.end_series();
    }
    Bytes::copy_from_slice(writer.message())
}
