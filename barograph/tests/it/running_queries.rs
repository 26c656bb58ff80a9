//! Queries that run for long: written down for the next start, and stopped when their client goes away.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use env::{Clock, SystemClock};
use rustix::process::Signal;

use crate::http::get;
use crate::support::{Barograph, wait_for, wait_until};

/// Takes a minute or more, whatever data there is.
const HEAVY: &str = "/api/v1/query_range?query=quantile_over_time(0.5,(vector(1)%2Btime())[1d:1s])&start=1700000000&end=1700010000&step=1";

/// Sends a query, and leaves the connection open.
fn begin(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let request = format!("GET {HEAVY} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    wait_for("the query to run", || (running(addr) == 1.0).then_some(()));
    stream
}

fn metric(addr: SocketAddr, name: &str) -> f64 {
    let (_, metrics) = get(addr, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

fn running(addr: SocketAddr) -> f64 {
    metric(addr, "barograph_querier_queries_running")
}

#[test]
fn what_ran_when_the_process_was_killed_is_logged_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut barograph = Barograph::start(&data, &["--self-monitoring.enabled=false"]);
    let _stream = begin(barograph.addr);
    barograph.program.signal(Signal::KILL);
    barograph.program.wait();
    let log = folder.path().join("log");
    let command = Barograph::command(&["--self-monitoring.enabled=false"]);
    let again = Barograph::start_logging(command, &data, File::create(&log).expect("a file"));
    wait_until("the log", || {
        let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let told = text.lines().filter(|line| line.contains("this query ran when the process before ended"));
        match told.collect::<Vec<_>>().as_slice() {
            [line] if line.contains("quantile_over_time(0.5,(vector(1)+time())[1d:1s])") => Ok(()),
            other => Err(format!("{other:?} in {text}")),
        }
    });
    drop(again);
}

/// How soon is printed; the bound is loose, for machines that do other things.
#[test]
fn a_query_ends_when_its_client_goes_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(folder.path(), &["--self-monitoring.enabled=false"]);
    let stream = begin(barograph.addr);
    let clock = SystemClock::new();
    drop(stream);
    while running(barograph.addr) > 0.0 {
        assert!(clock.monotonic() < Duration::from_secs(5), "it goes on though nobody waits for it");
        std::thread::sleep(Duration::from_millis(2));
    }
    eprintln!("the query ended {:?} after its client had gone", clock.monotonic());
    assert_eq!(metric(barograph.addr, "barograph_querier_queries_canceled_total"), 1.0);
    assert_eq!(metric(barograph.addr, "barograph_querier_query_memory_bytes"), 0.0);
}
