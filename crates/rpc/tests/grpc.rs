//! gRPC over loopback, with a service that exists: what a caller sees of secrets, deadlines, bounds and panics.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope, SystemClock};
use proto::metastore::raft_client::RaftClient;
use proto::metastore::raft_server::{Raft, RaftServer};
use proto::metastore::{
    AppendEntriesRequest, AppendEntriesResponse, IdentifyRequest, IdentifyResponse, InstallSnapshotRequest,
    InstallSnapshotResponse, JoinRequest, JoinResponse, Member, Node, VoteRequest, VoteResponse,
    install_snapshot_request::Part,
};
use proto::{Code, Error};
use rpc::Drain;
use rpc::grpc::{
    ChannelPool, ClientPolicy, ClusterSecret, Connect, Deadline, Dial, Duplex, GrpcChannel, GrpcConfig,
    GrpcMetrics, GrpcServer, GrpcService, Routes, ServerPolicy, TcpDial, from_status, serve_connection,
    to_status,
};
use settings::{Secret, Setting as _};
use telemetry::Registry;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

/// Answers so that a test can see what reached it.
#[derive(Clone)]
struct Echo {
    clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl Raft for Echo {
    /// Never answers.
    async fn append_entries(
        &self,
        _request: Request<AppendEntriesRequest>,
    ) -> Result<Response<AppendEntriesResponse>, Status> {
        std::future::pending().await
    }

    /// Panics.
    async fn request_vote(&self, _request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        panic!("a fault of ours");
    }

    /// Counts the bytes of a stream, as a term.
    async fn install_snapshot(
        &self,
        request: Request<Streaming<InstallSnapshotRequest>>,
    ) -> Result<Response<InstallSnapshotResponse>, Status> {
        let mut stream = request.into_inner();
        let mut vote = proto::metastore::Vote::default();
        while let Some(part) = stream.message().await? {
            if let Some(Part::Data(data)) = part.part {
                vote.term += data.len() as u64;
            }
        }
        Ok(Response::new(InstallSnapshotResponse { vote: Some(vote) }))
    }

    /// Says how much time is left, in milliseconds.
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let left = deadline.map_or(0, |deadline| deadline.remaining(&*self.clock).as_millis() as u64);
        Ok(Response::new(IdentifyResponse { id: left, name: "echo".into(), initialized: deadline.is_some() }))
    }

    /// Refuses, with the length of the name.
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let name = request.into_inner().member.and_then(|m| m.node).map_or(0, |n| n.name.len());
        let error = Error::unavailable(format!("{name} bytes"), Duration::from_millis(1500));
        Err(to_status(&error))
    }
}

struct Server {
    addr: SocketAddr,
    scope: Scope,
    clock: Arc<dyn Clock>,
    registry: Registry,
    stop: oneshot::Sender<()>,
    ended: env::TaskHandle<Drain>,
}

fn config(secret: &str) -> GrpcConfig {
    GrpcConfig { cluster_secret: Secret::parse(secret).unwrap(), ..GrpcConfig::default() }
}

async fn serve(config: GrpcConfig) -> Server {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let scope = Scope::new("server");
    let registry = Registry::new();
    let metrics = GrpcMetrics::register(&registry, clock.clone());
    let policy = ServerPolicy::new(&config, metrics, clock.clone()).unwrap();
    let max = config.max_message_bytes();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = GrpcServer::bind(any, config, policy, &scope, clock.clone()).await.unwrap();
    let addr = server.local_addr();
    let echo = RaftServer::new(Echo { clock: clock.clone() }).max_decoding_message_size(max);
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = scope.spawn(
        "serve",
        server.serve(Routes::new(echo), async {
            let _ = stopped.await;
        }),
    );
    Server { addr, scope, clock, registry, stop, ended }
}

fn dial(server: &Server, config: GrpcConfig) -> TcpDial {
    let metrics = GrpcMetrics::register(&Registry::new(), server.clock.clone());
    let policy = ClientPolicy::new(&config, metrics, server.clock.clone()).unwrap();
    TcpDial::new(config, policy, &Scope::new("client"))
}

fn client(server: &Server, config: GrpcConfig) -> RaftClient<GrpcChannel> {
    let channel = dial(server, config).dial(&server.addr.to_string()).unwrap();
    let max = channel.max_message_bytes();
    RaftClient::new(channel).max_decoding_message_size(max)
}

fn named(bytes: usize) -> JoinRequest {
    let node = Node { name: "x".repeat(bytes), address: String::new() };
    JoinRequest { member: Some(Member { id: 1, node: Some(node) }) }
}

#[tokio::test]
async fn errors_cross_with_code_message_and_retry_after() {
    let server = serve(config("")).await;
    let status = client(&server, config("")).join(named(3)).await.unwrap_err();
    assert_eq!(from_status(&status), Error::unavailable("3 bytes", Duration::from_millis(1500)));
    let text = server.registry.encode_openmetrics();
    assert!(text.contains(r#"method="/barograph.metastore.v1.Raft/Join",code="unavailable""#), "{text}");
}

#[tokio::test]
async fn a_call_without_the_right_secret_reaches_no_service() {
    let server = serve(config("right")).await;
    for secret in ["", "wrong", "righ", "right "] {
        let Ok(_) = ClusterSecret::new(&Secret::parse(secret).unwrap()) else { continue };
        let error = client(&server, config(secret)).identify(IdentifyRequest {}).await.unwrap_err();
        assert_eq!(from_status(&error).code, Code::Unauthenticated, "{secret:?}");
    }
    client(&server, config("right")).identify(IdentifyRequest {}).await.unwrap();
    assert!(server.registry.encode_openmetrics().contains("grpc_unauthenticated_requests_total 4"));
}

#[tokio::test]
async fn the_callee_knows_the_callers_deadline() {
    let server = serve(config("")).await;
    let mut client = client(&server, config(""));
    let mut request = Request::new(IdentifyRequest {});
    request.set_timeout(Duration::from_secs(5));
    let left = client.identify(request).await.unwrap().into_inner().id;
    assert!((1..=5_000).contains(&left), "{left}");
    let none = client.identify(IdentifyRequest {}).await.unwrap().into_inner();
    assert!(!none.initialized, "a call without a deadline has none");
}

#[tokio::test]
async fn a_call_ends_with_its_deadline_or_the_default_one() {
    let server = serve(config("")).await;
    let mut patient = client(&server, config(""));
    let mut request = Request::new(AppendEntriesRequest::default());
    request.set_timeout(Duration::from_millis(50));
    let error = patient.append_entries(request).await.unwrap_err();
    assert_eq!(from_status(&error).code, Code::DeadlineExceeded);

    let mut hasty = client(&server, GrpcConfig { timeout: Duration::from_millis(50), ..config("") });
    let error = hasty.append_entries(AppendEntriesRequest::default()).await.unwrap_err();
    assert_eq!(from_status(&error).code, Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_panic_costs_one_call() {
    let server = serve(config("")).await;
    let mut client = client(&server, config(""));
    let error = client.request_vote(VoteRequest::default()).await.unwrap_err();
    assert_eq!(from_status(&error).code, Code::Internal);
    assert!(!error.message().contains("a fault of ours"), "what it was about stays in the log");
    client.identify(IdentifyRequest {}).await.unwrap();
}

#[tokio::test]
async fn messages_have_a_bound() {
    let small = GrpcConfig { max_message: settings::ByteSize::parse("1MiB").unwrap(), ..config("") };
    let server = serve(small).await;
    let mut client = client(&server, config(""));
    assert!(client.join(named(1 << 19)).await.unwrap_err().message().contains("524288 bytes"));
    let error = client.join(named(1 << 21)).await.unwrap_err();
    assert_eq!(from_status(&error).code, Code::TooLarge, "{error}");
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused_as_overload() {
    let server = serve(GrpcConfig { max_calls: 1, ..config("") }).await;
    let mut first = client(&server, config(""));
    let mut request = Request::new(AppendEntriesRequest::default());
    request.set_timeout(Duration::from_secs(30));
    let waiting = server.scope.spawn("waiting call", async move { first.append_entries(request).await });
    let mut second = client(&server, config(""));
    let refused = loop {
        // Until the first call has arrived.
        match second.identify(IdentifyRequest {}).await {
            Ok(_) => server.clock.sleep(Duration::from_millis(1)).await,
            Err(refused) => break from_status(&refused),
        }
    };
    assert_eq!(refused.code, Code::Unavailable);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
    waiting.abort();
}

#[tokio::test]
async fn a_stream_larger_than_every_window_arrives() {
    let narrow = GrpcConfig {
        stream_window: settings::ByteSize::parse("64KiB").unwrap(),
        connection_window: settings::ByteSize::parse("64KiB").unwrap(),
        connections_per_peer: 3,
        ..config("")
    };
    let server = serve(narrow.clone()).await;
    let part = InstallSnapshotRequest { part: Some(Part::Data(vec![7; 256 << 10].into())) };
    let parts = futures::stream::iter(std::iter::repeat_n(part, 16));
    let answer = client(&server, narrow).install_snapshot(parts).await.unwrap().into_inner();
    assert_eq!(answer.vote.unwrap().term, 16 * (256 << 10));
}

#[tokio::test]
async fn a_channel_lives_longer_than_a_peers_process() {
    let server = serve(config("")).await;
    let mut client = client(&server, config(""));
    client.identify(IdentifyRequest {}).await.unwrap();
    server.scope.abort();
    let error = client.identify(IdentifyRequest {}).await.unwrap_err();
    assert_eq!(from_status(&error).code, Code::Unavailable, "{error}");
}

#[tokio::test]
async fn a_stop_lets_calls_end_and_is_bounded() {
    let server = serve(GrpcConfig { drain_timeout: Duration::from_millis(200), ..config("") }).await;
    let mut idle = client(&server, config(""));
    idle.identify(IdentifyRequest {}).await.unwrap();
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), Drain::Complete);

    let server = serve(GrpcConfig { drain_timeout: Duration::from_millis(200), ..config("") }).await;
    let mut stuck = client(&server, config(""));
    let scope = Scope::new("caller");
    let call =
        scope.spawn("stuck call", async move { stuck.append_entries(AppendEntriesRequest::default()).await });
    while !server.registry.encode_openmetrics().contains("requests_in_flight 1") {
        server.clock.sleep(Duration::from_millis(1)).await;
    }
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), Drain::Cut);
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn what_is_no_address_is_refused_before_anything_is_tried() {
    let server = serve(config("")).await;
    let dial = dial(&server, config(""));
    for address in ["", "host", ":9095", "http://host:1", "user@host:1", "a b:1", "host:99999"] {
        assert!(dial.dial(address).is_err(), "{address:?}");
    }
    let pool = ChannelPool::new(Arc::new(dial));
    for address in ["localhost:1", "[::1]:2", "localhost:1"] {
        pool.get(address).unwrap();
    }
    assert_eq!(pool.len(), 2);
    pool.retain(|address| address == "[::1]:2");
    assert_eq!(pool.len(), 1);
}

#[tokio::test]
async fn another_transport_gets_the_same_treatment() {
    // As the simulation does it: the callee's service is called directly.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let policy = ServerPolicy::new(&config("shared"), metrics.clone(), clock.clone()).unwrap();
    let service = GrpcService::new(Routes::new(RaftServer::new(Echo { clock: clock.clone() })), policy);
    let channel = |secret: &str| {
        let policy = ClientPolicy::new(&config(secret), metrics.clone(), clock.clone()).unwrap();
        RaftClient::new(GrpcChannel::new(
            tower::util::BoxCloneSyncService::new(service.clone()),
            Arc::new(policy),
        ))
    };
    assert_eq!(channel("shared").identify(IdentifyRequest {}).await.unwrap().into_inner().name, "echo");
    let refused = channel("other").identify(IdentifyRequest {}).await.unwrap_err();
    assert_eq!(from_status(&refused).code, Code::Unauthenticated);
}

/// Connects to a service in this process.
struct InMemory {
    service: GrpcService,
    scope: Scope,
}

impl Connect for InMemory {
    fn connect(
        &self,
        address: &str,
    ) -> futures::future::BoxFuture<'static, std::io::Result<Box<dyn Duplex>>> {
        assert_eq!(address, "nowhere:1");
        let (near, far) = tokio::io::duplex(1000);
        let (service, scope) = (self.service.clone(), self.scope.clone());
        drop(self.scope.spawn("connection", async move {
            serve_connection(&config("shared"), Box::new(far), service, &scope).await;
        }));
        Box::pin(std::future::ready(Ok(Box::new(near) as Box<dyn Duplex>)))
    }
}

#[tokio::test]
async fn http_2_runs_over_whatever_carries_bytes() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let policy = ServerPolicy::new(&config("shared"), metrics.clone(), clock.clone()).unwrap();
    let service = GrpcService::new(Routes::new(RaftServer::new(Echo { clock: clock.clone() })), policy);
    let scope = Scope::new("server");
    let policy = ClientPolicy::new(&config("shared"), metrics, clock.clone()).unwrap();
    let connect = Arc::new(InMemory { service, scope: scope.clone() });
    let dial = TcpDial::new(config("shared"), policy, &Scope::new("client")).with_connect(connect);
    let mut client = RaftClient::new(dial.dial("nowhere:1").unwrap());
    let error = client.join(named(100_000)).await.unwrap_err();
    assert_eq!(from_status(&error).message, "100000 bytes");
    scope.abort();
    // Whether hyper still took the call in when the connection ended decides what it is called.
    let error = client.join(named(1)).await.unwrap_err();
    assert!(matches!(from_status(&error).code, Code::Unavailable | Code::Canceled), "{error}");
}
