//! `barograph query` against a process that watches itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testkit::free_address;

use crate::http::get;

use crate::support::{Barograph, wait_for};

fn started(data: &std::path::Path) -> Barograph {
    let arguments = ["--self-monitoring.interval", "1s"];
    let barograph = Barograph::start(data, &arguments);
    wait_for("metrics of its own", || {
        let (status, body) = get(barograph.addr, "/api/v1/query?query=barograph_querier_queries_running");
        (status == 200 && body.contains("barograph_querier")).then_some(())
    });
    barograph
}

fn ask(url: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Barograph::command(&["query"]);
    command.args(arguments).args(["--url", url]).env("COLUMNS", "100").env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is built");
    let mut stdin = child.stdin.take().expect("piped");
    // Where nobody reads it, it is closed already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("a child of ours")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is UTF-8")
}

#[track_caller]
fn answer(url: &str, arguments: &[&str]) -> String {
    let output = ask(url, arguments, "");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

#[test]
fn answers_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = started(folder.path());
    let url = format!("http://{}/prometheus", barograph.addr);
    let metric = "barograph_querier_queries_running";

    let table = answer(&url, &["instant", metric]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("metric") && lines[0].ends_with("value"), "{table}");
    assert!(lines[1].starts_with(metric), "{table}");

    let csv = answer(&url, &["instant", metric, "--format", "csv"]);
    assert!(csv.starts_with("time,timestamp,__name__,") && csv.lines().count() == 2, "{csv}");
    let json = answer(&url, &["instant", "1 + 1", "-f", "json", "--time", "2026-03-01"]);
    assert_eq!(
        json,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1772323200,\"2\"]}}\n"
    );
    assert_eq!(answer(&url, &["instant", "-1"]), "-1\n");

    let range = ["range", metric, "--start", "-1m", "--step", "1s"];
    let table = answer(&url, &range);
    assert!(table.starts_with(&format!("[1] {metric}{{")) && table.contains("\ntime "), "{table}");
    let plot = answer(&url, &[&range[..], &["--format", "plot", "--height", "8"]].concat());
    assert!(plot.contains('┤') && plot.contains(" UTC\n") && plot.contains("⣿ "), "{plot}");
    assert!(plot.lines().all(|line| line.chars().count() <= 100) && !plot.contains('\u{1b}'), "{plot}");
    let bars = answer(&url, &["instant", "vector(3)", "--format", "plot"]);
    assert!(bars.contains("3  █"), "{bars}");

    let series = answer(&url, &["series", metric]);
    assert!(series.contains(metric) && series.contains("job"), "{series}");
    assert!(answer(&url, &["labels"]).lines().any(|line| line == "job"));
    assert_eq!(answer(&url, &["labels", "--values", "job"]), "barograph\n");
    assert_eq!(answer(&url, &["labels", "--values", "no.such"]), "");
}

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = started(folder.path());
    let url = format!("http://{}", barograph.addr);
    let output = ask(&url, &["instant", "-"], "sum(\n  rate(up[5m]\n)\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = text(&output.stderr);
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines[0].starts_with("error (bad_data): ") && lines[0].contains("parse error"), "{error}");
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[2].trim() == "^", "{error}");
    assert!(output.stdout.is_empty());

    // An info comes with a result, on standard error; there is none before there are two samples.
    let info = wait_for("a result", || {
        let output = ask(&url, &["instant", "rate(barograph_querier_queries_running[5m])"], "");
        assert!(output.status.success(), "{output:?}");
        Some(text(&output.stderr)).filter(|info| !info.is_empty())
    });
    assert!(info.starts_with("info: PromQL info: metric might not be a counter"), "{info}");
    assert!(info.ends_with("  rate(barograph_querier_queries_running[5m])\n       ^\n"), "{info}");

    let nowhere = free_address();
    let (nobody, at) = (format!("http://{nowhere}"), nowhere.to_string());
    for (url, arguments, code, words) in [
        (nobody.as_str(), vec!["instant", "1"], 1, at.as_str()),
        ("ftp://example.org", vec!["instant", "1"], 1, "http://host:port/prefix"),
        (&format!("https://{nowhere}"), vec!["instant", "1", "--ca-file", "/nowhere.pem"], 1, "/nowhere.pem"),
        ("example", vec!["instant", "1"], 1, "--url"),
        (&url, vec!["instant", "1", "--time", "noon"], 1, "--time: \"noon\" is no time"),
        (&url, vec!["instant"], 2, "EXPR"),
        (&url, vec!["instant", "1", "--format", "xml"], 2, "xml"),
        (&format!("{url}/nothing"), vec!["instant", "1"], 1, "404"),
    ] {
        let output = ask(url, &arguments, "");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

/// Answers one request over TLS as itself; then the server is gone.
#[expect(clippy::disallowed_methods, reason = "a test has no scope, and the thread ends with its client")]
fn one_answer_over_tls(key: &KeyPair, certificate: &Certificate) -> SocketAddr {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let connection = ServerConnection::new(Arc::new(config)).expect("it can be served");
        let mut stream = StreamOwned::new(connection, stream);
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"timeout=2m") {
            // A client that does not trust us goes away.
            let Ok(n @ 1..) = stream.read(&mut buffer) else { return };
            request.extend_from_slice(&buffer[..n]);
        }
        let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"42"]}}"#;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).expect("the client reads it");
    });
    address
}

#[test]
fn certificates_of_servers_are_verified() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let authority = authority.expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).expect("it can be written");
    let trusted = file.to_str().expect("a plain path");

    let port = one_answer_over_tls(&key, &certificate).port();
    let url = format!("https://localhost:{port}");
    assert_eq!(answer(&url, &["instant", "6 * 7", "--ca-file", trusted]), "42\n");

    // Another name than the certificate has, and an authority that the system does not know.
    let at = one_answer_over_tls(&key, &certificate);
    let output = ask(&format!("https://{at}"), &["instant", "1", "--ca-file", trusted], "");
    assert!(text(&output.stderr).contains("not valid for name"), "{output:?}");
    let params = CertificateParams::default();
    let other = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let file = folder.path().join("other.pem");
    std::fs::write(&file, other.expect("an authority").pem()).expect("it can be written");
    let port = one_answer_over_tls(&key, &certificate).port();
    let url = format!("https://localhost:{port}");
    let output = ask(&url, &["instant", "1", "--ca-file", file.to_str().expect("a plain path")], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("no TLS connection"), "{output:?}");
}

#[test]
fn help_teaches_by_examples() {
    let output = Barograph::command(&["query", "--help"]).output().expect("the program is built");
    let help = text(&output.stdout);
    assert!(output.status.success());
    for words in ["Examples:", "barograph query range", "now-1h30m", "labels --values job"] {
        assert!(help.contains(words), "{words}: {help}");
    }
}
