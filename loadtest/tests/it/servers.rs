//! Several servers of which any can be asked: the generator and the oracle pass over one that is down, as a load
//! balancer would, and tell failure from difference.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock, SystemClock};
use loadtest::cluster::Cluster;
use loadtest::encode::Protocol;
use loadtest::population::PopulationConfig;
use loadtest::verify::{Failures, Oracle, VerifyConfig, VerifyReport};
use loadtest::write::{RetryPolicy, Run, WriteConfig};
use parking_lot::Mutex;

use crate::support::{alone, barograph};

const STEPS: u32 = 40;

#[tokio::test]
async fn a_server_that_is_down_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let place = |_: &str, _| testkit::free_address();
    let mut cluster =
        Cluster::on_loopback(&barograph(), folder.path(), &alone(1), place, clock.clone()).unwrap();
    cluster.start_all().await.unwrap();
    let bases =
        [testkit::free_address(), cluster.plan().processes()[0].http].map(|at| format!("http://{at}"));
    let population = PopulationConfig {
        seed: 3,
        series: 1_500,
        tenants: 0,
        tenant_name: String::new(),
        interval_ms: 1_000,
        start_ms: clock.now_ms() - i64::from(STEPS) * 1_000,
        churn_per_hour: 0.0,
        native_histograms: false,
        exemplars: false,
    };
    let config = WriteConfig {
        urls: bases.iter().map(|base| format!("{base}/api/v1/push")).collect(),
        population,
        steps: STEPS,
        protocol: Protocol::V1,
        series_per_request: 500,
        concurrency: 3,
        rate: 0.0,
        realtime: false,
        retry: RetryPolicy::default(),
        timeout: Duration::from_secs(30),
        acks: None,
        resume: false,
    };
    let run = Run::new(config, clock.clone()).unwrap();
    let verify = VerifyConfig {
        urls: bases.iter().map(|base| format!("{base}/prometheus")).collect(),
        failures: Failures::Count,
        keep_trying: Duration::ZERO,
        read_every: Duration::from_millis(1),
        ..VerifyConfig::new(String::new())
    };
    let oracle = Oracle::new(verify, run.population().clone(), run.series_per_request(), clock);
    let reading = Mutex::new(VerifyReport::default());
    tokio::select! {
        result = run.go() => result.unwrap(),
        () = oracle.watch(run.ledger(), &reading) => {}
    }
    let written = run.summary();
    assert_eq!((written.samples, written.samples_not_acknowledged), (1_500 * u64::from(STEPS), 0));
    assert!(written.errors.contains_key("connection"), "{written:?}");
    let reading = reading.into_inner();
    assert!(reading.agrees() && reading.queries > 0, "{}", reading.readable());
    assert_eq!((reading.failures(), reading.latency.total()), (0, reading.queries), "{}", reading.readable());

    let fates = run.ledger().fates();
    let whole = oracle.verify(&fates, |_, _| {}).await.unwrap();
    assert!(whole.agrees(), "{}", whole.readable());
    assert_eq!((whole.samples, whole.failures()), (written.samples, 0));

    cluster.kill("server-1").await.unwrap();
    let nothing = oracle.verify(&fates, |_, _| {}).await.unwrap();
    assert!(nothing.agrees(), "no answer is no wrong answer: {}", nothing.readable());
    assert_eq!((nothing.samples, nothing.queries), (0, 0));
    assert_eq!(nothing.failed.keys().collect::<Vec<_>>(), ["connection"]);

    cluster.wipe("server-1").unwrap();
    cluster.start_all().await.unwrap();
    let lost = oracle.verify(&fates, |_, _| {}).await.unwrap();
    let missing: u64 = lost.differences.counts.values().sum();
    assert!(!lost.agrees() && missing >= written.samples, "{}", lost.readable());
}
