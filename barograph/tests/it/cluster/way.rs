//! A way to a server that can be cut, for partitions between processes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a way looks whether it is cut.
const LOOK: Duration = Duration::from_millis(50);

/// A way to a server. While it is cut, connections end.
pub(crate) struct Way {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    /// A way that is not cut.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("bound");
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        thread(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::Acquire) {
                    continue;
                }
                // Where the server is away the connection ends.
                if let Ok(server) = TcpStream::connect(server) {
                    pass(&client, &server, &cut);
                    pass(&server, &client, &cut);
                }
            }
        });
        Self { address, is_cut }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts it, or mends it.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Release);
    }
}

/// Passes bytes on, in a thread, until either side ends or the way is cut.
fn pass(from: &TcpStream, to: &TcpStream, cut: &Arc<AtomicBool>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let cut = Arc::clone(cut);
    thread(move || {
        // However it ended, both sides are to know.
        drop(pass_on(&mut from, &mut to, &cut));
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn pass_on(from: &mut TcpStream, to: &mut TcpStream, cut: &AtomicBool) -> io::Result<()> {
    from.set_read_timeout(Some(LOOK))?;
    let mut buffer = [0; 1 << 14];
    while !cut.load(Ordering::Acquire) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            // It was cut while this was waited for: nothing that is sent from then on arrives.
            Ok(_) if cut.load(Ordering::Acquire) => break,
            Ok(bytes) => to.write_all(&buffer[..bytes])?,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a test has no scope, and the threads end with its process")]
fn thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}
