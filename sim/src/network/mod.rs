//! A network between machines, in memory: calls travel as messages that come late, in another order, twice, or never, and
//! links that are cut hold back what is sent until they are whole, or connections are given up.

mod later;
mod line;
mod links;
mod pipes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Scope;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use rpc::grpc::{ClientPolicy, Dial, GrpcChannel, GrpcService, InvalidAddress, TcpDial};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tower::Service as _;

use crate::draw::Draw;
use crate::site::grpc;
use crate::trace::Trace;
use line::{Line, Piece};
use links::Links;
pub(crate) use links::Weather;
use pipes::Pipes;

/// How long nothing may come back before a connection is given up.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The first wait before something is sent again on a link that is cut; it doubles.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);

/// The method whose answers have no end; it is never called twice by accident.
const WATCH: &str = "/Watch";

/// What a machine is to those who call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Its process has ended: connections are refused at once.
    Refusing,
    /// It has no power: nothing comes back.
    Silent,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Network {
    inner: Arc<Inner>,
}

/// What travels through the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Calls and the parts of their answers: everything of gRPC but HTTP/2.
    Calls,
    /// Bytes, of HTTP/2 as it is.
    Bytes,
}

struct Inner {
    carries: Carries,
    /// Messages under way are the network's: who has sent one may crash, and it arrives all the same.
    scope: Scope,
    draw: Draw,
    trace: Trace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By address.
    hosts: BTreeMap<String, Host>,
    links: Links,
    /// Machines with a later version.
    renewed: BTreeSet<String>,
    /// What calls say in the place of their bodies, if something else.
    misled: Option<Mislead>,
}

/// By the path and the body of a call.
type Mislead = Arc<dyn Fn(&str, &Bytes) -> Option<Bytes> + Send + Sync>;

enum Host {
    Serving { scope: Scope, service: Box<GrpcService> },
    Gone(Gone),
}

/// A message that did not get through.
struct Lost;

/// A call under way.
#[derive(Clone)]
struct Call {
    from: String,
    /// The address.
    to: String,
    head: http::request::Parts,
    body: Bytes,
}

impl Network {
    pub(crate) fn new(carries: Carries, scope: Scope, draw: Draw, trace: Trace) -> Self {
        Self { inner: Arc::new(Inner { carries, scope, draw, trace, state: Mutex::default() }) }
    }

    /// From now on `service` answers at `address`, with tasks in `scope`.
    pub(crate) fn listen(&self, address: &str, scope: &Scope, service: GrpcService) {
        let host = Host::Serving { scope: scope.clone(), service: Box::new(service) };
        self.inner.state.lock().hosts.insert(address.to_owned(), host);
    }

    /// From now on nobody answers at `address`.
    pub(crate) fn hang_up(&self, address: &str, gone: Gone) {
        self.inner.state.lock().hosts.insert(address.to_owned(), Host::Gone(gone));
    }

    /// The way from a machine to others.
    pub(crate) fn dial(&self, from: &str, policy: ClientPolicy, scope: &Scope) -> Arc<dyn Dial> {
        let (network, from) = (self.clone(), from.to_owned());
        match self.inner.carries {
            Carries::Calls => Arc::new(SimDial { network, from, policy: Arc::new(policy) }),
            Carries::Bytes => {
                let connect = Arc::new(Pipes { network, from });
                Arc::new(TcpDial::new(grpc(), policy, scope).with_connect(connect))
            }
        }
    }

    /// Nothing that one machine sends comes to the other from now on; the other way is another link.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.inner.state.lock().links.cut(from, to);
    }

    /// Undoes a [`Network::cut`].
    pub(crate) fn mend(&self, from: &str, to: &str) {
        self.inner.state.lock().links.mend(from, to);
    }

    /// What messages meet with from now on.
    pub(crate) fn set_weather(&self, weather: Weather) {
        self.inner.state.lock().links.weather = weather;
    }

    /// From now on a machine has a later version: its messages have a field that others do not know. Where bytes are carried,
    /// nothing changes.
    pub(crate) fn renew(&self, machine: &str) {
        self.inner.state.lock().renewed.insert(machine.to_owned());
    }

    /// From now on calls say what `mislead` makes of their path and their body, where it makes something of them. Where bytes
    /// are carried, nothing changes.
    pub(crate) fn mislead(&self, mislead: impl Fn(&str, &Bytes) -> Option<Bytes> + Send + Sync + 'static) {
        self.inner.state.lock().misled = Some(Arc::new(mislead));
    }

    /// Lets go of everybody, so that a run leaves nothing behind.
    pub(crate) fn end(&self) {
        let hosts = std::mem::take(&mut self.inner.state.lock().hosts);
        drop(hosts);
    }

    /// Sends a call on its way; what comes back of it goes to `answer`.
    fn send(&self, call: Call, answer: mpsc::Sender<Piece>) {
        let weather = self.inner.state.lock().links.weather;
        let is_endless = call.head.uri.path().ends_with(WATCH);
        if !is_endless && self.inner.draw.chance(weather.twice) {
            let (nobody, mut ignored) = mpsc::channel(1);
            let again = call.clone();
            let inner = Arc::clone(&self.inner);
            drop(self.inner.scope.spawn("call, again", async move {
                tokio::time::sleep(inner.draw.time(Duration::ZERO, weather.longest_delay * 8)).await;
                let heard = async { while ignored.recv().await.is_some() {} };
                futures::future::join(inner.carry(again, nobody), heard).await;
            }));
        }
        let inner = Arc::clone(&self.inner);
        drop(self.inner.scope.spawn("call", async move { inner.carry(call, answer).await }));
    }
}

impl Inner {
    /// Carries a call to its callee, and what comes back to its caller.
    async fn carry(&self, call: Call, answer: mpsc::Sender<Piece>) {
        let (from, to) = (call.from.clone(), call.to.clone());
        let path = call.head.uri.path().to_owned();
        if self.hop(&from, machine(&to)).await.is_err() {
            self.trace.message(format_args!("{from} -> {to} {path}: lost"));
            // The caller may have gone.
            let _ = answer.send(Piece::Broken(broken("the connection was lost"))).await;
            return;
        }
        let target = match self.state.lock().hosts.get(&to) {
            Some(Host::Serving { scope, service }) => Ok((scope.clone(), (**service).clone())),
            Some(Host::Gone(gone)) => Err(*gone),
            None => Err(Gone::Refusing),
        };
        let (scope, service) = match target {
            Ok(target) => target,
            Err(gone) => {
                if gone == Gone::Silent {
                    tokio::time::sleep(CONNECT_TIMEOUT).await;
                } else if self.hop(machine(&to), &from).await.is_err() {
                    self.trace.message(format_args!("{from} -> {to} {path}: lost"));
                }
                self.trace.message(format_args!("{from} -> {to} {path}: nobody there"));
                let _ = answer.send(Piece::Broken(broken("connection refused"))).await;
                return;
            }
        };
        self.trace.message(format_args!("{from} -> {to} {path}: arrives, {} bytes", call.body.len()));
        let (pieces, served) = mpsc::channel(1);
        let body = if self.is_renewed(&from) { later::with_field(&call.body) } else { call.body };
        let mislead = self.state.lock().misled.clone();
        let body = mislead.and_then(|mislead| mislead(&path, &body)).unwrap_or(body);
        let request = http::Request::from_parts(call.head, Body::new(Full::new(body)));
        let serving = scope.spawn("serve", serve(service, request, pieces));
        let way = Way { from: &from, to: &to, path: &path };
        if self.carry_back(way, served, &answer).await == Back::NobodyWaits {
            // Only now does the callee hear that nobody waits any more, if it does.
            if self.hop(&from, machine(&to)).await.is_ok() {
                serving.abort();
            }
        }
    }

    async fn carry_back(
        &self,
        way: Way<'_>,
        mut served: mpsc::Receiver<Piece>,
        answer: &mpsc::Sender<Piece>,
    ) -> Back {
        let Way { from, to, path } = way;
        loop {
            let piece = tokio::select! {
                biased;
                () = answer.closed() => return Back::NobodyWaits,
                piece = served.recv() => piece,
            };
            let piece = match piece {
                Some(Piece::End) => return Back::Whole,
                Some(piece) => piece,
                // The callee has crashed.
                None => {
                    if self.is_silent(to) {
                        tokio::time::sleep(KEEPALIVE).await;
                    }
                    Piece::Broken(broken("connection reset"))
                }
            };
            let ends = matches!(piece, Piece::Broken(_));
            let arrived = self.hop(machine(to), from).await;
            let piece = match arrived {
                Ok(()) if self.is_renewed(machine(to)) => piece.map_data(later::with_field),
                Ok(()) => piece,
                Err(Lost) => Piece::Broken(broken("the connection was lost")),
            };
            self.trace.message(format_args!("{from} <- {to} {path}: {piece}"));
            if answer.send(piece).await.is_err() {
                return Back::NobodyWaits;
            }
            if ends || arrived.is_err() {
                return Back::NobodyWaits;
            }
        }
    }

    fn is_renewed(&self, machine: &str) -> bool {
        let state = self.state.lock();
        !state.renewed.is_empty() && state.renewed.contains(machine)
    }

    fn is_silent(&self, address: &str) -> bool {
        matches!(self.state.lock().hosts.get(address), Some(Host::Gone(Gone::Silent)))
    }

    /// A message from a machine to another: returns when it arrives, or when it is known that it never will.
    async fn hop(&self, from: &str, to: &str) -> Result<(), Lost> {
        if from == to {
            return Ok(());
        }
        let weather = self.state.lock().links.weather;
        tokio::time::sleep(self.draw.time(Duration::ZERO, weather.usual_delay)).await;
        if self.draw.chance(weather.late) {
            tokio::time::sleep(self.draw.time(weather.usual_delay, weather.longest_delay)).await;
        }
        if self.draw.chance(weather.lost) {
            tokio::time::sleep(self.draw.time(Duration::ZERO, weather.longest_delay * 2)).await;
            return Err(Lost);
        }
        let mut waited = Duration::ZERO;
        let mut wait = FIRST_RETRANSMISSION;
        while self.state.lock().links.is_cut(from, to) {
            if waited >= KEEPALIVE {
                return Err(Lost);
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            wait = (wait * 2).min(KEEPALIVE.saturating_sub(waited)).max(FIRST_RETRANSMISSION);
        }
        Ok(())
    }
}

/// From where to where, and what.
#[derive(Clone, Copy)]
struct Way<'w> {
    from: &'w str,
    to: &'w str,
    path: &'w str,
}

/// How the way back ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    Whole,
    NobodyWaits,
}

/// Answers a call, piece by piece. It runs in the scope of whoever is called, and ends with it.
async fn serve(mut service: GrpcService, request: http::Request<Body>, pieces: mpsc::Sender<Piece>) {
    let response = match service.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (head, mut body) = response.into_parts();
    if pieces.send(Piece::Head(Box::new(head))).await.is_err() {
        return;
    }
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => Piece::Frame(frame),
            Err(status) => Piece::Broken(status),
        };
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
    // The caller may have gone.
    let _ = pieces.send(Piece::End).await;
}

fn broken(what: &str) -> Status {
    Status::unavailable(what)
}

/// The machine that an address is on.
fn machine(address: &str) -> &str {
    address.split_once(':').map_or(address, |(machine, _)| machine)
}

struct SimDial {
    network: Network,
    from: String,
    policy: Arc<ClientPolicy>,
}

impl Dial for SimDial {
    fn dial(&self, address: &str) -> Result<GrpcChannel, InvalidAddress> {
        let line = Line { network: self.network.clone(), from: self.from.clone(), to: address.to_owned() };
        Ok(GrpcChannel::new(line, Arc::clone(&self.policy)))
    }
}

/// An answer on its way.
type Answer = BoxFuture<'static, Result<http::Response<Body>, Status>>;
