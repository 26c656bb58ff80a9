//! The process as a user meets it: start, pages, signals, refusals, restarts.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Output;

use crate::http::{get, query_value};
use crate::support::{Barograph, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn run(arguments: &[&str]) -> Output {
    Barograph::command(arguments).output().expect("the program runs")
}

fn refused(arguments: &[&str], expected: &str) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains(expected),
        "{arguments:?} said {said:?}, not {expected:?}"
    );
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

/// The value of an instant query with one result, if it has one.
fn value(barograph: &Barograph, query: &str) -> Option<f64> {
    let (status, body) =
        get(barograph.addr, &format!("/prometheus/api/v1/query?query={}", query_value(query)));
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
}

#[test]
fn the_first_lines_say_where_to_point_prometheus_and_grafana() {
    let data = folder();
    let barograph = Barograph::start(data.path(), &[]);
    let banner = barograph.banner.join("\n");
    for expected in [
        format!("http://{}/api/v1/push", barograph.addr),
        format!("http://{}/prometheus", barograph.addr),
        data.path().display().to_string(),
        env!("CARGO_PKG_VERSION").to_owned(),
    ] {
        assert!(banner.contains(&expected), "{expected:?} is not in {banner}");
    }
}

#[test]
fn health_checks_of_containers() {
    let data = folder();
    let mut barograph = Barograph::start(data.path(), &[]);
    let addr = barograph.addr.to_string();
    let ready = run(&["ready", &addr]);
    assert!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
    refused(&["ready", &addr], &addr);
}

#[test]
fn pages_are_served() {
    let data = folder();
    let barograph = Barograph::start(data.path(), &["--retention", "9d"]);
    for path in ["/ready", "/-/ready", "/-/healthy"] {
        assert_eq!(get(barograph.addr, path).0, 200, "{path}");
    }
    let (_, page) = get(barograph.addr, "/");
    assert!(page.contains(&format!("url: http://{}/api/v1/push", barograph.addr)), "{page}");
    let (_, config) = get(barograph.addr, "/config");
    assert!(config.contains("retention: 9d\n"), "{config}");
    let (_, metrics) = get(barograph.addr, "/metrics");
    assert!(metrics.contains("# TYPE process_cpu_seconds_total counter\n"), "{metrics}");
    assert_eq!(get(barograph.addr, "/nothing").0, 404);
}

#[test]
fn every_metric_has_our_prefix_or_a_name_that_dashboards_know() {
    let data = folder();
    let barograph = Barograph::start(data.path(), &[]);
    let (_, metrics) = get(barograph.addr, "/metrics");
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    // Those of compactors are Mimir's, where it has them.
    let known =
        ["barograph_", "process_", "alertmanager_", "prometheus_", "cortex_compactor_", "cortex_bucket_"];
    for name in names {
        assert!(known.iter().any(|prefix| name.starts_with(prefix)), "{name}");
    }
}

#[test]
fn its_own_metrics_are_there_at_once_and_outlive_a_kill() {
    let data = folder();
    let mut barograph = Barograph::start(data.path(), &["--self-monitoring.interval", "1s"]);
    let instance = format!("{}", barograph.addr);
    wait_for("its own metrics", || value(&barograph, "up{job=\"barograph\"}").filter(|up| *up == 1.0));
    let started = value(&barograph, "process_start_time_seconds").expect("written with the same request");
    barograph.program.signal(Signal::KILL);
    barograph.program.wait();
    let again = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    let kept = value(&again, &format!("process_start_time_seconds{{instance=\"{instance}\"}}"));
    assert_eq!(kept, Some(started), "what was readable before the kill is readable after it");
}

#[test]
fn a_second_process_does_not_get_the_same_data() {
    let data = folder();
    let _first = Barograph::start(data.path(), &[]);
    let path = data.path().to_string_lossy();
    refused(&["--data", &path, "--http", "127.0.0.1:0"], "is in use by another process");
}

#[test]
fn an_address_in_use_is_named() {
    let (data, other) = (folder(), folder());
    let first = Barograph::start(data.path(), &[]);
    let (path, addr) = (other.path().to_string_lossy(), first.addr.to_string());
    refused(&["--data", &path, "--http", &addr], &format!("cannot listen on {addr}"));
}

#[test]
fn a_signal_stops_it_gently() {
    for signal in [Signal::TERM, Signal::INT] {
        let data = folder();
        let mut barograph = Barograph::start(data.path(), &[]);
        barograph.program.signal(signal);
        assert!(barograph.program.wait().success(), "{signal:?}");
    }
}

#[test]
fn limits_are_read_again_on_sighup() {
    let data = folder();
    let limits = data.path().join("limits.yaml");
    std::fs::write(&limits, "overrides: {a: {}}\n").expect("written");
    let file = limits.to_string_lossy();
    let arguments = ["--runtime-config.file", &file, "--runtime-config.period", "1h"];
    let barograph = Barograph::start(&data.path().join("data"), &arguments);
    let tenants = |wanted: &str| {
        let (_, metrics) = get(barograph.addr, "/metrics");
        metrics.lines().any(|line| line == wanted).then_some(())
    };
    wait_for("one tenant", || tenants("barograph_runtime_config_tenants 1"));
    std::fs::write(&limits, "overrides: {a: {}, b: {}}\n").expect("written");
    barograph.program.signal(Signal::HUP);
    wait_for("two tenants", || tenants("barograph_runtime_config_tenants 2"));
    std::fs::write(&limits, "overrides: {a: {no_such_limit: 1}}\n").expect("written");
    barograph.program.signal(Signal::HUP);
    wait_for("the refusal", || tenants("barograph_runtime_config_last_reload_successful 0"));
    wait_for("the limits from before", || tenants("barograph_runtime_config_tenants 2"));
}

#[test]
fn a_bad_limits_file_is_refused_at_the_start() {
    let data = folder();
    let limits = data.path().join("limits.yaml");
    std::fs::write(&limits, "overrides:\n  a:\n    no_such_limit: 1\n").expect("written");
    let (path, file) = (data.path().join("data"), limits.to_string_lossy());
    let path = path.to_string_lossy();
    let arguments = ["--data", &path, "--http", "127.0.0.1:0", "--runtime-config.file", &file];
    refused(&arguments, "limits.yaml:3:5: overrides.a.no_such_limit: no such limit");
}

#[test]
fn flags_of_absent_parts_get_an_answer() {
    refused(&["--grpc", "nowhere"], "--grpc");
    refused(&["--metastore", "a:1,b:1"], "flag --metastore: ");
    refused(
        &["--target", "ingester"],
        "ingester in one process is a part of a cluster, which needs metastore.addresses",
    );
    refused(&["--target", "all,metastore"], "which needs metastore.addresses");
    let everywhere = ["--target", "ingester", "--metastore.addresses", "127.0.0.1:1", "--grpc", "0.0.0.0:0"];
    refused(&everywhere, "set grpc.advertise to host:port");
    refused(&["--instance-id", "a/b"], "instance_id");
    refused(&["--replication-factor", "9"], "replication_factor");
    refused(
        &["--target", "nothing"],
        "expected one of all, distributor, ingester, querier, ruler, alertmanager, compactor, metastore",
    );
    refused(&["--no-such-flag"], "--no-such-flag");
}

#[test]
fn wrong_configuration_is_refused_with_its_place() {
    let data = folder();
    let file = data.path().join("b.yaml");
    std::fs::write(&file, "http: 127.0.0.1:1\nretension: 3d\nserver:\n  http_drain_timeout: 3h\n")
        .expect("written");
    let path = file.to_string_lossy();
    for arguments in [&["--config", &*path][..], &["config", "check", &path]] {
        refused(arguments, "b.yaml:2:1: retension: no such key; did you mean retention?");
        refused(
            arguments,
            "b.yaml:4:23: server.http_drain_timeout: value \"3h\" refused; expected a duration, from 0 to 10m",
        );
    }
    refused(&["--config", "no-such-file.yaml"], "no-such-file.yaml: ");
}

#[test]
fn defaults_are_a_good_configuration() {
    let data = folder();
    let file = data.path().join("defaults.yaml");
    let defaults = run(&["config", "defaults"]);
    assert!(defaults.status.success());
    std::fs::write(&file, &defaults.stdout).expect("written");
    let checked = run(&["config", "check", &file.to_string_lossy()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.ends_with("defaults.yaml: good\n"), "{said}");
}

#[test]
fn help_and_version_are_answers() {
    let version = String::from_utf8(run(&["--version"]).stdout).expect("text");
    assert_eq!(version, format!("barograph {}\n", env!("CARGO_PKG_VERSION")));
    let help = String::from_utf8(run(&["--help"]).stdout).expect("text");
    let short = String::from_utf8(run(&["-h"]).stdout).expect("text");
    for flag in [
        "--data",
        "--http",
        "--target",
        "--config",
        "--zone",
        "--log-format",
        "--retention",
        "--web.external-url",
    ] {
        assert!(help.contains(flag) && short.contains(flag), "{flag}");
    }
    assert!(help.contains("remote_write:") && help.contains("--ingester.snapshot-interval"), "{help}");
    assert!(short.len() < help.len() / 2, "-h is the short one");
}

/// A request whose body never comes, which keeps a drain waiting.
fn stuck_request(barograph: &Barograph) -> TcpStream {
    let mut stuck = TcpStream::connect(barograph.addr).expect("connected");
    let head = "POST /api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
                Content-Encoding: snappy\r\nContent-Length: 100\r\n\r\nx";
    stuck.write_all(head.as_bytes()).expect("sent");
    wait_for("the request to begin", || {
        let (_, metrics) = get(barograph.addr, "/metrics");
        metrics.lines().any(|line| line == "barograph_http_requests_in_flight 2").then_some(())
    });
    stuck
}

#[test]
fn a_drain_ends_whatever_clients_do() {
    let data = folder();
    let mut barograph = Barograph::start(data.path(), &["--server.http-drain-timeout", "1s"]);
    let _stuck = stuck_request(&barograph);
    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
}

#[test]
fn a_second_signal_stops_it_at_once() {
    let data = folder();
    let mut barograph = Barograph::start(data.path(), &["--server.http-drain-timeout", "10m"]);
    let _stuck = stuck_request(&barograph);
    barograph.program.signal(Signal::TERM);
    wait_for("the drain to begin", || (get(barograph.addr, "/ready").0 == 0).then_some(()));
    barograph.program.signal(Signal::TERM);
    assert_eq!(barograph.program.wait().code(), Some(143));
}

#[test]
fn the_environment_names_the_file_and_wins_over_it() {
    let data = folder();
    let file = data.path().join("b.yaml");
    std::fs::write(&file, "retention: 3d\nweb: {external_url: 'https://metrics.example/x/'}\n")
        .expect("written");
    let mut command = Barograph::command(&["--log-format", "json"]);
    command
        .env("BAROGRAPH_CONFIG", &file)
        .env("BAROGRAPH_RETENTION", "4d")
        .env("BAROGRAPH_PORT", "tcp://10.0.0.1:80");
    let barograph = Barograph::start_command(command, &data.path().join("data"));
    let (_, config) = get(barograph.addr, "/config");
    assert!(config.contains("retention: 4d\n") && config.contains("log_format: json\n"), "{config}");
    let banner = barograph.banner.join("\n");
    assert!(banner.contains("https://metrics.example/x/api/v1/push"), "{banner}");
}

#[test]
fn foreign_folders_are_left_alone() {
    let data = folder();
    std::fs::write(data.path().join("thesis.tex"), "x").expect("written");
    let path = data.path().to_string_lossy();
    refused(&["--data", &path, "--http", "127.0.0.1:0"], "is not empty and not ours");
    let entries = std::fs::read_dir(data.path()).expect("a folder").count();
    assert!(data.path().join("thesis.tex").exists() && entries <= 2, "{entries} entries");
}
