//! What gRPC between processes can be told.

use std::net::SocketAddr;
use std::time::Duration;

use settings::{ByteSize, Secret};

settings::section! {
    /// gRPC between the processes of a cluster.
    pub struct GrpcConfig ("grpc") {
        /// The address that gRPC is served on, by ingesters of a cluster and nodes of the metastore; --grpc for short.
        listen: SocketAddr = "127.0.0.1:9095";
        /// Where the other processes reach this one, host:port, if that is another address than it listens on.
        advertise: Option<String> = "";
        /// The largest message that is taken, after decoding. A larger one fails its call.
        max_message: ByteSize = "64MiB", range "1MiB"..="1GiB";
        /// How much one stream may have on its way before the receiver has taken it (HTTP/2 window).
        stream_window: ByteSize = "4MiB", range "64KiB"..="1GiB";
        /// The same of all streams of a connection.
        connection_window: ByteSize = "16MiB", range "64KiB"..="1GiB";
        /// How many calls one connection may have open at the same time; further ones wait at the caller.
        max_streams: u32 = "1024", range "1"..="1000000";
        /// How many connections are served at the same time. Further ones wait in the kernel's queue.
        max_connections: usize = "4096", range "1"..="1000000";
        /// How many calls are served at the same time, over all connections; further ones are refused as overload.
        max_calls: usize = "8192", range "1"..="1000000";
        /// Connections that a caller keeps to each peer.
        connections_per_peer: usize = "1", range "1"..="64";
        /// How long a connection may take to come about.
        connect_timeout: Duration = "1s", range "10ms"..="1m";
        /// Within which time an answer must begin where the caller sets no deadline of its own.
        timeout: Duration = "10s", range "10ms"..="10m";
        /// After how many calls in a row that did not reach a peer, or were not answered in time, calls to it are kept
        /// back.
        breaker_failures: u32 = "5", range "1"..="1000";
        /// For how long at most they are kept back the first time, before one of them tries again. Each time that fails,
        /// it is twice as long.
        breaker_first_wait: Duration = "500ms", range "1ms"..="1m";
        /// The longest that it becomes.
        breaker_longest_wait: Duration = "10s", range "1ms"..="10m";
        /// How many calls to one ingester may wait for their answers; further ones fail at once. No more than max_streams
        /// times connections_per_peer, or calls wait for their turn on the connection.
        max_calls_per_peer: usize = "512", range "1"..="1000000";
        /// How many bytes of writes to one ingester may be on their way; further ones fail at once.
        max_bytes_per_peer: ByteSize = "128MiB", range "1MiB"..="64GiB";
        /// How often a connection is asked for a sign of life, also while nothing is called.
        keepalive_interval: Duration = "5s", range "100ms"..="10m";
        /// How long it may take to give one, before it is closed.
        keepalive_timeout: Duration = "5s", range "100ms"..="10m";
        /// How long calls that have begun may take to end once the process was asked to stop.
        drain_timeout: Duration = "10s", range "0"..="10m";
        /// What every call must carry; the same in all processes of a cluster. Empty: calls carry none, and none is
        /// asked for.
        cluster_secret: Secret = "";
    }
}

impl GrpcConfig {
    /// The largest message, for the generated clients and servers.
    pub fn max_message_bytes(&self) -> usize {
        self.max_message.as_usize()
    }
}

/// A window in the type that HTTP/2 has for it.
pub(super) fn window(size: ByteSize) -> u32 {
    /// RFC 9113, section 6.9.1.
    const MAX_WINDOW: u32 = (1 << 31) - 1;
    u32::try_from(size.as_usize()).unwrap_or(MAX_WINDOW).min(MAX_WINDOW)
}
