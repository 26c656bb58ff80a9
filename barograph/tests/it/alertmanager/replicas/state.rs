//! What replicas have in common: silences, configurations of tenants, and alerts.

use std::process::Stdio;

use serde_json::Value;
use testkit::free_address;

use super::super::silence;
use super::harness::{NAMES, Replicas};
use crate::cluster::harness::{Cluster, SECRET};
use crate::http::Connection;
use crate::support::{Barograph, Program, wait_for, wait_until};

#[test]
fn silences_configurations_and_alerts_are_those_of_all_replicas() {
    let mut replicas = Replicas::start();
    // One reads what one has written; the others soon.
    let made = wait_for("a silence", || {
        replicas
            .ask("am-1", "t", "POST", "/api/v2/silences", &silence(&[("alertname", "quiet")]))
            .filter(|made| made.status == 200)
    });
    let made: Value = serde_json::from_str(&made.body).expect("JSON");
    let path = format!("/api/v2/silence/{}", made["silenceID"].as_str().expect("a name"));
    let state = |replicas: &Replicas, name: &str| {
        let answer = replicas.ask(name, "t", "GET", &path, "")?;
        let shown: Value = serde_json::from_str(&answer.body).ok()?;
        Some(shown["status"]["state"].as_str()?.to_owned())
    };
    assert_eq!(state(&replicas, "am-1").as_deref(), Some("active"), "at once");
    for name in NAMES {
        wait_until("the silence", || match state(&replicas, name).as_deref() {
            Some("active") => Ok(()),
            other => Err(format!("{name}: {other:?}")),
        });
        assert_eq!(
            replicas.ask(name, "u", "GET", &path, "").expect("an answer").status,
            404,
            "it is another tenant's"
        );
    }
    for (name, alert) in NAMES.into_iter().zip(["a", "b", "quiet"]) {
        wait_for("it to be taken", || replicas.post(name, "t", alert).then_some(()));
    }
    for name in NAMES {
        wait_until("all alerts", || {
            let shown = replicas.ask(name, "t", "GET", "/api/v2/alerts", "").ok_or("no answer")?;
            let all: Value = serde_json::from_str(&shown.body).map_err(|error| error.to_string())?;
            let count = all.as_array().map_or(0, Vec::len);
            if count == 3 { Ok(()) } else { Err(format!("{name}: {count}")) }
        });
    }
    wait_until("who is told", || {
        let mut told = replicas.told();
        told.sort();
        if told == ["a", "b"] { Ok(()) } else { Err(format!("{told:?}")) }
    });

    // A configuration that is set at one is used by all, and so is its end.
    let own = "{\"alertmanager_config\": \"route: {receiver: own}\\nreceivers: [{name: own}]\\n\"}";
    let set = replicas.ask("am-2", "t", "POST", "/api/v1/alerts", own).expect("an answer");
    assert_eq!((set.status, set.body.as_str()), (201, ""));
    let kept =
        "template_files: {}\nalertmanager_config: |\n  route: {receiver: own}\n  receivers: [{name: own}]\n";
    assert_eq!(
        replicas.ask("am-2", "t", "GET", "/api/v1/alerts", "").expect("an answer").body,
        kept,
        "at once"
    );
    let receiver = |replicas: &Replicas, name: &str, tenant: &str| {
        let shown: Value =
            serde_json::from_str(&replicas.ask(name, tenant, "GET", "/api/v2/receivers", "")?.body).ok()?;
        Some(shown[0]["name"].as_str()?.to_owned())
    };
    for name in NAMES {
        wait_for("the configuration", || {
            (receiver(&replicas, name, "t").as_deref() == Some("own")).then_some(())
        });
        assert_eq!(receiver(&replicas, name, "u").as_deref(), Some("w"), "{name}: it is another tenant's");
    }

    // What the cluster keeps outlives all replicas at once, and a replica without the metastore shows what it saw last.
    NAMES.iter().for_each(|name| replicas.kill(name));
    NAMES.iter().for_each(|name| replicas.launch(name));
    replicas.await_ready("am-3");
    wait_for("the silence", || (state(&replicas, "am-3").as_deref() == Some("active")).then_some(()));
    wait_for("the configuration", || {
        (receiver(&replicas, "am-3", "t").as_deref() == Some("own")).then_some(())
    });
    replicas.cut("am-3", true);
    let refused = replicas.ask("am-3", "t", "DELETE", &path, "").expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(state(&replicas, "am-3").as_deref(), Some("active"));
    replicas.await_ready("am-1");
    wait_for("it to end", || {
        replicas.ask("am-1", "t", "DELETE", &path, "").filter(|answer| answer.status == 200)
    });
    assert_eq!(state(&replicas, "am-1").as_deref(), Some("expired"), "at once");
    replicas.cut("am-3", false);
    wait_for("its end", || (state(&replicas, "am-3").as_deref() == Some("expired")).then_some(()));
    assert_eq!(replicas.ask("am-1", "t", "DELETE", "/api/v1/alerts", "").expect("an answer").status, 200);
    wait_for("the configuration of all", || {
        (receiver(&replicas, "am-2", "t").as_deref() == Some("w")).then_some(())
    });
    assert_eq!(replicas.ask("am-1", "t", "GET", "/api/v1/alerts", "").expect("an answer").status, 404);
}

#[test]
fn rulers_of_the_cluster_find_the_alertmanagers() {
    let mut cluster = Cluster::of(&["metastore-1", "ingester-1", "ruler-1"]);
    cluster.add_flags(&["--replication-factor=1".to_owned()]);
    let replicas = Replicas::beside(cluster);
    let group = b"name: mine\ninterval: 1s\nrules:\n- alert: Always\n  expr: vector(1) > 0\n";
    wait_for("rules to be set", || {
        let mut connection = Connection::open(replicas.metastore.http("ruler-1")).ok()?;
        let set = connection.request("POST", "/prometheus/config/v1/rules/own", &[], group).ok()?;
        (set.status == 202).then_some(())
    });
    wait_for("the alert to be told", || replicas.told().contains(&"Always".to_owned()).then_some(()));
    // It is the same alert at all of them.
    for name in NAMES {
        wait_until("the alert", || {
            let shown = replicas.ask(name, "anonymous", "GET", "/api/v2/alerts", "").ok_or("no answer")?;
            if shown.body.contains("Always") { Ok(()) } else { Err(format!("{name}: {}", shown.body)) }
        });
    }
}

#[test]
fn the_margin_of_a_lease_is_half_of_it_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let (http, grpc) = (free_address().to_string(), free_address().to_string());
    let arguments =
        ["--target=alertmanager", "--metastore.addresses=127.0.0.1:9", "--metastore.lease-ttl=1s"];
    let command = |more: &[&str]| {
        let mut command = Barograph::command(&[&arguments[..], more].concat());
        command.args(["--http", &http, "--grpc", &grpc]).env("BAROGRAPH_GRPC_CLUSTER_SECRET", SECRET);
        command.stdout(Stdio::null()).arg("--data").arg(folder.path());
        command
    };
    let output = command(&["--alertmanager.lease-margin=800ms"]).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("half of it at most"), "{error}");
    // Where it is not said it follows the lease.
    let program = Program::start(&mut command(&[]));
    let addr = http.parse().expect("an address");
    wait_for("an answer", || Connection::open(addr).ok()?.request("GET", "/metrics", &[], b"").ok());
    drop(program);
}
