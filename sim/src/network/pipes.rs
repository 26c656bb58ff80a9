//! Connections that carry bytes, for runs with HTTP/2 as it is: what is sent waits on links that are cut, and what is lost
//! takes its connection with it.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use rpc::grpc::{Connect, Duplex, serve_connection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::{CONNECT_TIMEOUT, Gone, Host, Inner, KEEPALIVE, Network, machine};
use crate::site::grpc;

/// What a connection holds before its sender waits.
const BUFFER_BYTES: usize = 64 << 10;

/// The way from a machine, by bytes.
pub(super) struct Pipes {
    pub(super) network: Network,
    pub(super) from: String,
}

impl Connect for Pipes {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        let (inner, from, to) = (Arc::clone(&self.network.inner), self.from.clone(), address.to_owned());
        Box::pin(async move { inner.connect(from, to).await })
    }
}

impl Inner {
    async fn connect(self: Arc<Self>, from: String, to: String) -> io::Result<Box<dyn Duplex>> {
        let lost = || io::Error::from(io::ErrorKind::TimedOut);
        self.hop(&from, machine(&to)).await.map_err(|_| lost())?;
        let target = match self.state.lock().hosts.get(&to) {
            Some(Host::Serving { scope, service }) => Ok((scope.clone(), (**service).clone())),
            Some(Host::Gone(gone)) => Err(*gone),
            None => Err(Gone::Refusing),
        };
        let (scope, service) = match target {
            Ok(target) => target,
            Err(Gone::Silent) => {
                tokio::time::sleep(CONNECT_TIMEOUT).await;
                return Err(lost());
            }
            Err(Gone::Refusing) => return Err(io::ErrorKind::ConnectionRefused.into()),
        };
        self.hop(machine(&to), &from).await.map_err(|_| lost())?;
        self.trace.message(format_args!("{from} -> {to}: connected"));
        let (callers, near) = duplex(BUFFER_BYTES);
        let (callees, far) = duplex(BUFFER_BYTES);
        let tasks = scope.clone();
        drop(scope.spawn("connection", async move {
            serve_connection(&grpc(), Box::new(callees), service, &tasks).await;
        }));
        let inner = Arc::clone(&self);
        drop(self.scope.spawn("connection", async move { inner.carry_bytes(&from, &to, near, far).await }));
        Ok(Box::new(callers))
    }

    /// Carries bytes both ways until the connection breaks or both sides have ended it.
    async fn carry_bytes(&self, from: &str, to: &str, near: DuplexStream, far: DuplexStream) {
        let (from_caller, to_caller) = split(near);
        let (from_callee, to_callee) = split(far);
        let there = self.pump(from, machine(to), from_caller, to_callee);
        let back = self.pump(machine(to), from, from_callee, to_caller);
        // A connection that is broken one way is broken.
        tokio::select! {
            biased;
            () = there => {}
            () = back => {}
        }
        self.trace.message(format_args!("{from} -> {to}: disconnected"));
    }

    async fn pump(
        &self,
        from: &str,
        to: &str,
        mut source: ReadHalf<DuplexStream>,
        mut sink: WriteHalf<DuplexStream>,
    ) {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = source.read(&mut buffer).await.unwrap_or(0);
            if count == 0 && self.is_off(from) {
                tokio::time::sleep(KEEPALIVE).await;
            }
            if self.hop(from, to).await.is_err() || count == 0 {
                return;
            }
            self.trace.message(format_args!("{from} -> {to}: {count} bytes"));
            if sink.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
                return;
            }
        }
    }

    fn is_off(&self, machine: &str) -> bool {
        self.is_silent(&crate::site::address(machine))
    }
}
