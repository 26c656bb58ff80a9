//! TLS between processes, with certificates made here: who gets through, who does not, and new certificates.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, ManualClock, RealFs, Scope, SystemClock};
use proto::metastore::IdentifyRequest;
use proto::metastore::raft_client::RaftClient;
use proto::{Code, Error};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rpc::grpc::{
    ClientPolicy, Dial, GrpcConfig, GrpcMetrics, GrpcServer, GrpcTlsConfig, Routes, ServerPolicy, TcpDial,
    Tls, TlsError, from_status,
};
use settings::{Secret, Setting as _};
use telemetry::Registry;
use tempfile::TempDir;

/// 2026-06-01, which certificates made here are good at.
const GOOD_MS: i64 = 1_780_272_000_000;
/// 2041-01-01, when they are over.
const LATE_MS: i64 = 2_240_524_800_000;
const SECRET: &str = "of the cluster";

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the files of a process whose certificate bears `name`.
    fn issue(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let files =
            [("ca.pem", self.0.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())];
        for (file, contents) in files {
            fs::write(folder.join(file), contents).unwrap();
        }
    }
}

/// The files of a process.
struct Files(TempDir);

impl Files {
    fn of(authority: &Authority, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority.issue(folder.path(), name);
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn config(&self, server_name: Option<&str>) -> GrpcTlsConfig {
        GrpcTlsConfig {
            cert_file: Some(self.path("cert.pem")),
            key_file: Some(self.path("key.pem")),
            ca_file: Some(self.path("ca.pem")),
            server_name: server_name.map(str::to_owned),
            reload_interval: Duration::from_millis(10),
        }
    }

    fn load(&self, server_name: Option<&str>, clock: Arc<dyn Clock>) -> Result<Option<Tls>, TlsError> {
        Tls::load(&self.config(server_name), Arc::new(RealFs), clock)
    }

    fn tls(&self, server_name: Option<&str>) -> Option<Tls> {
        self.load(server_name, Arc::new(ManualClock::new(GOOD_MS))).unwrap()
    }
}

fn config(secret: &str) -> GrpcConfig {
    GrpcConfig { cluster_secret: Secret::parse(secret).unwrap(), ..GrpcConfig::default() }
}

struct Server {
    addr: SocketAddr,
    registry: Registry,
    _scope: Scope,
}

/// A server without services: whoever reaches it is told so.
async fn serve(tls: Option<Tls>) -> Server {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (scope, registry) = (Scope::new("server"), Registry::new());
    let metrics = GrpcMetrics::register(&registry, clock.clone());
    let policy = ServerPolicy::new(&config(SECRET), metrics, clock.clone()).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = GrpcServer::bind(any, config(SECRET), policy, &scope, clock).await.unwrap().with_tls(tls);
    let addr = server.local_addr();
    drop(scope.spawn("serve", server.serve(Routes::default(), std::future::pending())));
    Server { addr, registry, _scope: scope }
}

/// Whether a call over a new connection got to the server, which has no such service, or how it fared otherwise.
async fn call(server: &Server, secret: &str, tls: Option<Tls>) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let policy = ClientPolicy::new(&config(secret), metrics, clock).unwrap();
    let scope = Scope::new("client");
    let dial = TcpDial::new(config(secret), policy, &scope).with_tls(tls);
    let channel = dial.dial(&server.addr.to_string()).unwrap();
    let status = RaftClient::new(channel).identify(IdentifyRequest {}).await.unwrap_err();
    scope.abort();
    match status.code() {
        tonic::Code::Unimplemented => Ok(()),
        _ => Err(from_status(&status)),
    }
}

/// That the connection did not come about.
#[track_caller]
fn refused(result: &Result<(), Error>, why: &str) {
    let code = result.as_ref().map_err(|error| error.code);
    assert_eq!(code, Err(Code::Unavailable), "{why}: {result:?}");
}

#[tokio::test]
async fn certificates_of_one_authority_get_through_and_the_secret_still_counts() {
    let authority = Authority::new();
    let server = serve(Files::of(&authority, "127.0.0.1").tls(None)).await;
    let client = Files::of(&authority, "whoever");
    assert_eq!(call(&server, SECRET, client.tls(None)).await, Ok(()));
    let error = call(&server, "wrong", client.tls(None)).await.unwrap_err();
    assert_eq!(error.code, Code::Unauthenticated, "{error:?}");
}

#[tokio::test]
async fn certificates_may_bear_one_name_for_the_whole_cluster() {
    let authority = Authority::new();
    let files = Files::of(&authority, "barograph.internal");
    let server = serve(files.tls(None)).await;
    assert_eq!(call(&server, SECRET, files.tls(Some("barograph.internal"))).await, Ok(()));
    refused(&call(&server, SECRET, files.tls(None)).await, "by address");
    refused(&call(&server, SECRET, files.tls(Some("another.internal"))).await, "by another name");
}

#[tokio::test]
async fn strangers_reach_nothing() {
    let authority = Authority::new();
    let files = Files::of(&authority, "127.0.0.1");
    let server = serve(files.tls(None)).await;
    let stranger = Files::of(&Authority::new(), "127.0.0.1");
    // It trusts the server, but shows a certificate of its own authority.
    let trusting = Files::of(&Authority::new(), "127.0.0.1");
    fs::copy(files.path("ca.pem"), trusting.path("ca.pem")).unwrap();
    for (who, tls) in [("stranger", stranger.tls(None)), ("trusting", trusting.tls(None)), ("plain", None)] {
        refused(&call(&server, SECRET, tls).await, who);
    }
    let text = server.registry.encode_openmetrics();
    assert!(text.contains("grpc_tls_handshake_failures_total 3"), "{text}");
    let plain = serve(None).await;
    refused(&call(&plain, SECRET, files.tls(None)).await, "a server without TLS is no peer");
}

#[tokio::test]
async fn certificates_end_by_the_clock_of_whoever_verifies_them() {
    let authority = Authority::new();
    let files = Files::of(&authority, "127.0.0.1");
    let late: Arc<dyn Clock> = Arc::new(ManualClock::new(LATE_MS));
    let server = serve(files.tls(None)).await;
    refused(&call(&server, SECRET, files.load(None, late.clone()).unwrap()).await, "by the caller");
    let server = serve(files.load(None, late).unwrap()).await;
    refused(&call(&server, SECRET, files.tls(None)).await, "by the callee");
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_are_not() {
    let (before, after) = (Authority::new(), Authority::new());
    let files = Files::of(&before, "127.0.0.1");
    let tls = files.load(None, Arc::new(SystemClock::new())).unwrap().unwrap();
    let scope = Scope::new("certificates");
    tls.watch(&scope);
    let server = serve(Some(tls)).await;
    let (old, new) = (Files::of(&before, "old"), Files::of(&after, "new"));
    assert_eq!(call(&server, SECRET, old.tls(None)).await, Ok(()));
    refused(&call(&server, SECRET, new.tls(None)).await, "not yet");

    fs::write(files.path("cert.pem"), "half a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(call(&server, SECRET, old.tls(None)).await, Ok(()), "kept");

    after.issue(files.0.path(), "127.0.0.1");
    let mut calls = 0;
    while call(&server, SECRET, new.tls(None)).await.is_err() {
        calls += 1;
        assert!(calls < 1_000, "the new certificates are not used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused(&call(&server, SECRET, old.tls(None)).await, "no more");
    scope.abort();
}

#[tokio::test]
async fn errors_name_the_file_and_the_reason() {
    let authority = Authority::new();
    let good = || Files::of(&authority, "127.0.0.1");
    let check = |files: &Files, file: &str, reason: &str| {
        let error = files.load(None, Arc::new(ManualClock::new(GOOD_MS))).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(error.to_string().contains(file), "{error}");
        assert!(format!("{error}: {source}").contains(reason), "{error}: {source}");
    };
    for file in ["cert.pem", "key.pem", "ca.pem"] {
        let files = good();
        fs::remove_file(files.path(file)).unwrap();
        check(&files, file, "No such file");
        fs::write(files.path(file), "nothing").unwrap();
        check(&files, file, "in PEM");
    }
    let files = good();
    fs::copy(good().path("key.pem"), files.path("key.pem")).unwrap();
    check(&files, "cert.pem", "keys may not be consistent");
}

#[test]
fn half_a_configuration_is_refused() {
    let schema = settings::Schema::new().with::<GrpcTlsConfig>();
    let check = |yaml: &str| {
        let values = schema.values(Some(("file", yaml)), std::iter::empty(), None);
        values.map(drop).map_err(|problems| problems.to_string())
    };
    assert_eq!(
        check("grpc: {tls: {cert_file: a, key_file: b, ca_file: c, server_name: x.internal}}"),
        Ok(())
    );
    let error = check("grpc: {tls: {cert_file: a}}").unwrap_err();
    assert!(error.contains("all of cert_file, key_file and ca_file"), "{error}");
    assert!(check("grpc: {tls: {server_name: x}}").unwrap_err().contains("there is no"));
    let error = check("grpc: {tls: {cert_file: a, key_file: b, ca_file: c, server_name: a b}}").unwrap_err();
    assert!(error.contains("server_name"), "{error}");
}
