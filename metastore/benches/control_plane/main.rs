//! What the control plane costs, and how long it is away, with three metastore processes.
//!
//!     cargo bench -p metastore --bench control-plane -- failover [KILLS [HEARTBEAT,ELECTION]]
//!     cargo bench -p metastore --bench control-plane -- scale [INGESTERS TENANTS]
//!
//! Nothing fails by being slow: the figures are for docs/performance.md and docs/decisions/0019.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends here")]

mod failover;
mod node;
mod nodes;
mod rings;
mod scale;

use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |at: usize, otherwise: usize| arguments.get(at).map_or(otherwise, |text| text.parse().unwrap());
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match arguments.first().map(String::as_str) {
        Some("failover") => runtime().block_on(failover::run(number(1, 20), arguments.get(2).cloned())),
        Some("scale") => {
            let (ingesters, tenants) = (number(1, 300), number(2, 10_000));
            rings::run(ingesters, tenants);
            runtime().block_on(scale::run(ingesters, tenants));
        }
        Some("node") => {
            let text = |at: usize| arguments.get(at).map(String::as_str).unwrap_or_default();
            let timing = arguments.get(5).and_then(|timing| timing.split_once(','));
            runtime().block_on(node::run(text(1), text(2), text(3), text(4), timing));
        }
        _ => {
            println!("control-plane: say failover [KILLS [HEARTBEAT,ELECTION]] or scale [INGESTERS TENANTS]");
        }
    }
}

/// Least, median, 90th percentile and greatest, in milliseconds.
fn spread(name: &str, mut all: Vec<Duration>) {
    all.sort_unstable();
    let at = |part: usize| {
        all.get((all.len() * part / 100).min(all.len().saturating_sub(1)))
            .map_or(0, std::time::Duration::as_millis)
    };
    println!(
        "{name:<44} n {:>3}  min {:>5}  p50 {:>5}  p90 {:>5}  max {:>5} ms",
        all.len(),
        at(0),
        at(50),
        at(90),
        at(100)
    );
}
