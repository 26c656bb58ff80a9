//! A target whose samples are what remote write and storage find hard: odd values and names, resets, series that come and
//! go, exemplars.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Serves until it is dropped.
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Target {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no scope, and dropping the target ends the thread"
    )]
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (addr, stopped) = (listener.local_addr().expect("bound"), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for (scrape, stream) in listener.incoming().flatten().enumerate() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                // A scrape that was given up is tried again in a second.
                let _ = answer(&stream, &exposition(scrape));
            }
        });
        Self { addr, stopped }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.addr);
    }
}

fn answer(mut stream: &TcpStream, body: &str) -> std::io::Result<()> {
    let mut request = BufReader::new(stream).lines();
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\r\n{body}",
        body.len()
    )
}

/// The values of a gauge, one after the other. Without -0: Prometheus leaves a value that equals 0 out of its message.
const VALUES: [&str; 11] = [
    "0",
    "NaN",
    "+Inf",
    "-Inf",
    "5e-324",
    "1.7976931348623157e308",
    "0.1",
    "1e21",
    "-1e-7",
    "123456789012345680",
    "1",
];

/// What a scrape gives.
fn exposition(scrape: usize) -> String {
    let value = VALUES[scrape % VALUES.len()];
    // Resets to zero now and then, and stays the same in between.
    let counter = scrape % 7 / 2;
    let mut text = format!(
        "# TYPE odd_value gauge\n# HELP odd_value Values that are hard to print.\nodd_value {value}\n\
         # TYPE odd_requests counter\n# HELP odd_requests Requests, with \\\"quotes\\\" and\\nlines.\n\
         odd_requests_total{{path=\"/\"}} {counter} # {{trace_id=\"trace-{scrape}\"}} {scrape}\n\
         # TYPE odd_seconds histogram\n# UNIT odd_seconds seconds\n# HELP odd_seconds How long.\n\
         odd_seconds_bucket{{le=\"0.5\"}} {scrape} # {{trace_id=\"bucket-{scrape}\",span_id=\"é\"}} 0.25\n\
         odd_seconds_bucket{{le=\"+Inf\"}} {scrape}\nodd_seconds_count {scrape}\nodd_seconds_sum 0.{scrape}\n\
         # TYPE odd_labels gauge\n\
         odd_labels{{text=\"quote \\\" backslash \\\\ line\\nend emoji 🚀 中文\"}} 1\n\
         # TYPE \"odd name.with dots\" gauge\n\
         {{\"odd name.with dots\",\"label with spaces\"=\"x\"}} {scrape}\n"
    );
    if (scrape / 4).is_multiple_of(2) {
        // There for four scrapes, then stale for four.
        text.push_str(&format!("# TYPE odd_flicker gauge\nodd_flicker {scrape}\n"));
    }
    // A series that is seen once.
    text.push_str(&format!("# TYPE odd_once gauge\nodd_once{{scrape=\"{scrape}\"}} 1\n# EOF\n"));
    text
}
