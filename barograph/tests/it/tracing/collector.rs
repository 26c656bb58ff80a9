//! A collector of spans: a real OTLP server over gRPC, which keeps what it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use env::Scope;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::support::wait_until;

/// A span as it came.
#[derive(Debug, Clone)]
pub(super) struct ReceivedSpan {
    /// In hexadecimal digits, as in the header `traceparent`.
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty for a root.
    pub(super) parent: String,
    pub(super) name: String,
    /// `service.name` of the process.
    pub(super) service: String,
    /// `service.instance.id` of the process.
    pub(super) process: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) failed: bool,
}

impl ReceivedSpan {
    pub(super) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

/// A collector that listens.
pub(super) struct Collector {
    addr: SocketAddr,
    received: Arc<Mutex<Vec<ReceivedSpan>>>,
    _runtime: Runtime,
}

impl Collector {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let received: Arc<Mutex<Vec<ReceivedSpan>>> = Arc::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let addr = listener.local_addr().expect("bound");
        let service = TraceServiceServer::new(Keeper(Arc::clone(&received)));
        let incoming = TcpIncoming::from(listener).map(|stream| stream);
        let _entered = runtime.enter();
        drop(Scope::new("collector").spawn("collector", async move {
            Server::builder().add_service(service).serve_with_incoming(incoming).await
        }));
        drop(_entered);
        Self { addr, received, _runtime: runtime }
    }

    /// What `--tracing.endpoint` is set to.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Everything received so far.
    pub(super) fn spans(&self) -> Vec<ReceivedSpan> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of a trace, once `complete` finds them complete; until then it says what is missing.
    #[track_caller]
    pub(super) fn trace(&self, id: &str, complete: impl Fn(&Trace) -> Result<(), String>) -> Trace {
        wait_until("the spans of a trace", || {
            let trace = Trace(self.spans().into_iter().filter(|span| span.trace == id).collect());
            complete(&trace).map(|()| trace)
        })
    }
}

/// The spans of one trace.
#[derive(Debug)]
pub(super) struct Trace(pub(super) Vec<ReceivedSpan>);

impl Trace {
    /// Whether for each path of names, from the first span of ours inwards, there is a chain of spans; the first path that
    /// there is none for.
    pub(super) fn has(&self, paths: &[&[&str]]) -> Result<(), String> {
        for path in paths {
            if self.ends(path).is_empty() {
                return Err(format!("no {} in {:#?}", path.join(" > "), self.0));
            }
        }
        Ok(())
    }

    /// The spans at the ends of the chains with these names.
    pub(super) fn ends(&self, path: &[&str]) -> Vec<&ReceivedSpan> {
        let Some((last, before)) = path.split_last() else { return Vec::new() };
        let named = self.0.iter().filter(|span| span.name == *last);
        if before.is_empty() {
            return named.filter(|span| !self.0.iter().any(|other| other.id == span.parent)).collect();
        }
        let parents = self.ends(before);
        named.filter(|span| parents.iter().any(|parent| parent.id == span.parent)).collect()
    }
}

struct Keeper(Arc<Mutex<Vec<ReceivedSpan>>>);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let of_process = resource.resource.map(|r| texts(r.attributes)).unwrap_or_default();
            let of_process = |wanted: &str| {
                let found = of_process.iter().find(|(key, _)| key == wanted);
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                kept.push(ReceivedSpan {
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                    service: of_process("service.name"),
                    process: of_process("service.instance.id"),
                    attributes: texts(span.attributes),
                    failed: span.status.is_some_and(|status| status.code == 2),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let text = |value| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|a| (a.key, text(a.value.and_then(|v| v.value)))).collect()
}
