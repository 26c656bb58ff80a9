//! Addresses for processes that tests start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port that is tried.
const FIRST_PORT: u16 = 10_000;

/// An address on loopback that nobody listens on and that stays free until somebody is told to: its host is the test
/// process' own, so that neither a connection nor a listener of another test is given its port in the meantime.
///
/// # Panics
/// Where the machine has no loopback network.
pub fn free_address() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // 127.0 is everybody's.
    let host = Ipv4Addr::new(127, high.max(1), low, 1);
    loop {
        let port = FIRST_PORT + TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(port < u16::MAX, "no port of {host} can be had");
        if let Ok(listener) = TcpListener::bind((host, port)) {
            return listener.local_addr().expect("bound");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_can_be_listened_on() {
        let [first, second] = [free_address(), free_address()];
        assert_ne!(first, second);
        let listeners = [first, second].map(|address| TcpListener::bind(address).expect("it is free"));
        assert!(TcpListener::bind(first).is_err(), "{listeners:?}");
    }
}
