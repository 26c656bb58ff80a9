//! One write and one query leave one trace each, also where many processes have part in them, and talk over TLS.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::collector::{Collector, ReceivedSpan};
use super::{CALLER, QUERY, WRITE, query, write};
use crate::cluster::harness::{Cluster, SECRET};
use crate::support::{Barograph, wait_until};

const SERVER_NAME: &str = "barograph.internal";
const PUSH: &str = "barograph.ingester.v1.Ingester/Push";
const SELECT: &str = "barograph.ingester.v1.Ingester/Select";

/// Certificates in files: one that all processes have, and its authority's.
fn certificates(folder: &Path) -> [(&'static str, PathBuf); 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let files =
        [("cert-file", certificate.pem()), ("key-file", key.serialize_pem()), ("ca-file", authority.pem())];
    files.map(|(name, contents)| {
        let path = folder.join(name);
        std::fs::write(&path, contents).expect("a file");
        (name, path)
    })
}

fn processes(spans: &[&ReceivedSpan]) -> BTreeSet<String> {
    spans.iter().map(|span| span.process.clone()).collect()
}

#[test]
fn one_trace_across_the_processes_of_a_cluster() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let files = certificates(folder.path());
    let mut flags = vec![
        format!("--tracing.endpoint={}", collector.endpoint()),
        "--tracing.sampling-ratio=0".to_owned(),
        "--tracing.export-interval=100ms".to_owned(),
        format!("--grpc.tls.server-name={SERVER_NAME}"),
    ];
    flags.extend(files.iter().map(|(name, path)| format!("--grpc.tls.{name}={}", path.display())));
    let mut cluster = Cluster::steady(flags);
    // It is ready once a quorum of zones takes writes, and each zone shall get this one.
    wait_until("three ingesters", || cluster.sees("distributor-1", "ACTIVE", 3));
    write(cluster.http("distributor-1"), Some(WRITE));
    query(cluster.http("querier-1"), Some(QUERY));

    let served = ["POST /api/v1/push", "distributor.push", PUSH, PUSH];
    let trace = collector.trace(WRITE, |trace| {
        let whole = |last| [&served[..], &[last]].concat();
        let (appended, synced) = (trace.ends(&whole("ingester.append")), trace.ends(&whole("ingester.sync")));
        match (processes(&appended).len(), processes(&synced).len()) {
            (3, 3) => Ok(()),
            (appended, synced) => Err(format!("{appended} appended, {synced} synced in {:#?}", trace.0)),
        }
    });
    let roots = trace.ends(&["POST /api/v1/push"]);
    assert_eq!(roots.len(), 1, "{trace:#?}");
    assert_eq!((roots[0].parent.as_str(), roots[0].service.as_str()), (CALLER, "barograph-distributor"));
    assert!(trace.ends(&served).iter().all(|span| span.service == "barograph-ingester"), "{trace:#?}");

    let selected = ["GET /prometheus/api/v1/query", "querier.query", "querier.select", SELECT, SELECT];
    let trace = collector.trace(QUERY, |trace| {
        // One zone sends chunks, another what they have to be.
        let part = |last| processes(&trace.ends(&[&selected[..], &[last]].concat())).len();
        match (part("ingester.select"), part("ingester.select_checksums")) {
            (0, _) | (_, 0) => Err(format!("not selected from two zones in {:#?}", trace.0)),
            _ => trace.has(&[&["GET /prometheus/api/v1/query", "querier.encode"]]),
        }
    });
    let roots = trace.ends(&["GET /prometheus/api/v1/query"]);
    assert_eq!(roots.len(), 1, "{trace:#?}");
    let strangers = collector.spans().into_iter().filter(|span| span.trace != WRITE && span.trace != QUERY);
    assert_eq!(strangers.count(), 0, "nobody asked for other traces");

    status_over_tls(&cluster, folder.path(), &files);
    for name in cluster.names("").iter().rev() {
        cluster.stop(name);
    }
}

/// The commands of the metastore need the certificates, too.
fn status_over_tls(cluster: &Cluster, folder: &Path, files: &[(&str, PathBuf); 3]) {
    let secret = folder.join("secret");
    std::fs::write(&secret, SECRET).expect("a file");
    let node = cluster.flag("metastore-1", "--grpc");
    let status = |with_tls: bool| {
        let mut command = Barograph::command(&["metastore", "status", "--timeout", "5"]);
        command.args(["--endpoint", node.expect("an address")]).arg("--secret-file").arg(&secret);
        if with_tls {
            command.args(["--tls-server-name", SERVER_NAME]);
            for (name, path) in files {
                command.arg(format!("--tls-{name}")).arg(path);
            }
        }
        command.output().expect("it runs")
    };
    let (with, without) = (status(true), status(false));
    assert!(with.status.success(), "{with:?}");
    assert!(!without.status.success(), "{without:?}");
}
