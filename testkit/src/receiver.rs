//! A receiver of notifications for tests: it takes every request down, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// How long a connection may be idle before it is closed.
const IDLE: Duration = Duration::from_secs(60);

/// A request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// `POST`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl ReceivedRequest {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered: status, headers, body, and after how long.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// How long the answer takes.
    pub delay: Duration,
}

impl Reply {
    /// An answer with this status and body, at once.
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned(), delay: Duration::ZERO }
    }

    /// The same with a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same after so long.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// The receiver. It listens until the test process ends.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// With the times at which they were all there, in milliseconds since the epoch.
    requests: Vec<(ReceivedRequest, i64)>,
    /// The next answers; afterwards `otherwise`.
    next: VecDeque<Reply>,
    otherwise: Reply,
}

impl Receiver {
    /// A receiver that answers 200 to everything.
    ///
    /// # Panics
    /// Where the machine has no loopback network.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let otherwise = Reply::new(200, "");
        let state = State { requests: Vec::new(), next: VecDeque::new(), otherwise };
        let receiver = Self { address, state: Arc::new(Mutex::new(state)) };
        let serving = receiver.clone();
        thread(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let receiver = serving.clone();
                // How a connection ends is the client's affair.
                thread(move || drop(receiver.serve(stream)));
            }
        });
        receiver
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came in so far.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.timed().into_iter().map(|(request, _)| request).collect()
    }

    /// What came in so far, with the times at which it was all there, in milliseconds since the epoch.
    pub fn timed(&self) -> Vec<(ReceivedRequest, i64)> {
        self.state.lock().requests.clone()
    }

    /// Answers the next request in this way.
    pub fn answer_next(&self, reply: Reply) {
        self.state.lock().next.push_back(reply);
    }

    /// Answers every further request in this way.
    pub fn answer(&self, reply: Reply) {
        self.state.lock().otherwise = reply;
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader)? {
            let reply = {
                let mut state = self.state.lock();
                state.requests.push((request, now_ms()));
                state.next.pop_front().unwrap_or_else(|| state.otherwise.clone())
            };
            std::thread::sleep(reply.delay);
            let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
            for (name, value) in &reply.headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            text.push_str(&reply.body);
            reader.get_mut().write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

/// The next request; `None` where the connection was closed instead.
fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<ReceivedRequest>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split(' ');
    let method = parts.next().unwrap_or_default().to_owned();
    let path = parts.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(ReceivedRequest { method, path, headers, body }))
}

#[expect(clippy::disallowed_methods, reason = "it says what the machine's clock said")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a test has no scope, and the thread ends with it")]
fn thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}
