//! Between a process and its bucket: passes everything on, or, once it has broken down, cuts connections and answers that
//! the server is busy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use env::{Rng as _, SeededRng};

/// What S3 says where it gets more requests than it likes.
const BUSY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your \
                    request rate.</Message></Error>";

/// How much passes through a connection that is not cut.
const UNCUT: i64 = i64::MAX;

/// A proxy; its threads end with the process, or when nobody talks to them any more.
pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    rng: SeededRng,
    is_broken: AtomicBool,
    /// How many connections were cut or refused.
    faults: AtomicU64,
}

impl Proxy {
    /// A proxy before a server.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no scope, and the threads end with its process"
    )]
    pub(super) fn start(upstream: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind((upstream.ip(), 0)).expect("an address");
        let address = listener.local_addr().expect("an address");
        let (is_broken, faults) = (AtomicBool::new(false), AtomicU64::new(0));
        let state = Arc::new(State { upstream, rng: SeededRng::new(seed), is_broken, faults });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&accepting);
                // What one of them suffers is what the proxy is for.
                std::thread::spawn(move || drop(state.serve(client)));
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on things go wrong.
    pub(super) fn break_down(&self) {
        self.state.is_broken.store(true, Ordering::SeqCst);
    }

    /// From now on nothing does.
    pub(super) fn heal(&self) {
        self.state.is_broken.store(false, Ordering::SeqCst);
    }

    /// How many connections were cut or refused.
    pub(super) fn faults(&self) -> u64 {
        self.state.faults.load(Ordering::SeqCst)
    }
}

impl State {
    /// Serves a connection: of four, one is closed at once, one is refused, one is cut very soon, and one later.
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        if !self.is_broken.load(Ordering::SeqCst) {
            return self.pass(client, UNCUT);
        }
        self.faults.fetch_add(1, Ordering::SeqCst);
        match self.rng.below(4) {
            0 => Ok(()),
            1 => refuse(client),
            2 => self.pass(client, self.below(2_000)),
            _ => self.pass(client, self.below(300_000)),
        }
    }

    fn below(&self, bound: u64) -> i64 {
        self.rng.below(bound).cast_signed()
    }

    /// Passes so many bytes on, of both directions together.
    fn pass(&self, client: TcpStream, bytes: i64) -> io::Result<()> {
        let server = TcpStream::connect(self.upstream)?;
        let left = AtomicI64::new(bytes);
        let (there, back) = ((client.try_clone()?, server.try_clone()?), (server, client));
        std::thread::scope(|threads| {
            threads.spawn(|| self.copy(there.0, there.1, &left));
            self.copy(back.0, back.1, &left);
        });
        Ok(())
    }

    /// Copies until the end, or until there is nothing left to be passed; a connection that was there before everything
    /// broke down is cut, too.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, left: &AtomicI64) {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let had = left.fetch_sub(i64::try_from(read).unwrap_or(0), Ordering::SeqCst);
            let allowed = usize::try_from(had.max(0)).unwrap_or(usize::MAX).min(read);
            let old = had > UNCUT / 2 && self.is_broken.load(Ordering::SeqCst);
            if old {
                self.faults.fetch_add(1, Ordering::SeqCst);
            }
            if old || to.write_all(&buffer[..allowed]).is_err() || allowed < read {
                break;
            }
        }
        // Whoever is gone already needs no telling.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Reads a request, and answers that the server is busy.
fn refuse(mut client: TcpStream) -> io::Result<()> {
    let mut request = BufReader::new(client.try_clone()?);
    let (mut line, mut length) = (String::new(), 0_u64);
    while request.read_line(&mut line)? > 2 {
        let named = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = named.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(length);
        line.clear();
    }
    io::copy(&mut request.take(length), &mut io::sink())?;
    let bytes = BUSY.len();
    write!(
        client,
        "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{BUSY}"
    )
}
