//! Rules of tenants in the metastore.

use std::process::Stdio;

use testkit::free_address;

use super::{RULES, data, send, set};
use crate::cluster::harness::{Cluster, SECRET};
use crate::http::get;
use crate::support::{Barograph, Program, wait_for, wait_until};

const GROUP: &str = "name: g\ninterval: 1m\nrules:\n- record: r\n  expr: vector(1.10)\n";

/// The names of a tenant's groups, as a ruler shows what was set.
fn shown(cluster: &Cluster, ruler: &str) -> String {
    get(cluster.http(ruler), RULES).1
}

#[test]
fn rules_are_set_at_any_ruler_and_known_to_all() {
    let cluster =
        Cluster::of(&["metastore-1", "metastore-2", "metastore-3", "ruler-1", "ruler-2", "ruler-3"]);
    let mut cluster = cluster.ready();
    set(&cluster, "ruler-1", "my%2Fteam", GROUP);
    let kept = "my/team:\n";
    let own = shown(&cluster, "ruler-1");
    assert!(own.starts_with(kept) && own.contains("vector(1.10)"), "one reads what one has set: {own}");
    for ruler in ["ruler-2", "ruler-3"] {
        wait_until("the same", || {
            (shown(&cluster, ruler) == own).then_some(()).ok_or(shown(&cluster, ruler))
        });
        assert_eq!(get(cluster.http(ruler), &format!("{RULES}/my%2Fteam/g")).0, 200);
    }
    // Everybody shows the groups, evaluated or not, and who does not answer is named.
    for ruler in ["ruler-1", "ruler-2", "ruler-3"] {
        let groups = wait_for("rules", || data(&cluster, ruler, "/prometheus/api/v1/rules").ok());
        assert_eq!(
            (&groups["groups"][0]["file"], &groups["groups"][0]["name"]),
            (&"my/team".into(), &"g".into())
        );
    }
    cluster.kill("ruler-3");
    let said = data(&cluster, "ruler-1", "/prometheus/api/v1/rules").expect_err("one does not answer");
    assert!(said.starts_with("503") && said.contains("ruler ruler-3 does not tell"), "{said}");
    wait_until("rules without it", || data(&cluster, "ruler-1", "/prometheus/api/v1/rules").map(drop));
    cluster.start("ruler-3");
    // Without the metastore, what is known is shown, and nothing is changed.
    cluster.names("metastore").iter().for_each(|name| cluster.kill(name));
    assert_eq!(shown(&cluster, "ruler-2"), own);
    let refused =
        send(cluster.http("ruler-2"), "DELETE", &format!("{RULES}/my%2Fteam"), "").expect("an answer");
    assert!(refused.status == 503 && refused.body.contains("the metastore did not commit"), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    // Also by one that starts anew.
    cluster.kill("ruler-3");
    cluster.launch("ruler-3");
    wait_until("the same", || {
        (shown(&cluster, "ruler-3") == own).then_some(()).ok_or(shown(&cluster, "ruler-3"))
    });
    cluster.names("metastore").iter().for_each(|name| cluster.launch(name));
    wait_for("a change", || {
        let path = format!("{RULES}/my%2Fteam");
        let answer = send(cluster.http("ruler-3"), "DELETE", &path, "")?;
        // What was refused may have been done.
        matches!(answer.status, 202 | 404).then_some(())
    });
    for ruler in ["ruler-1", "ruler-2", "ruler-3"] {
        wait_until("nothing", || {
            (shown(&cluster, ruler) == "{}\n").then_some(()).ok_or(shown(&cluster, ruler))
        });
    }
}

#[test]
fn limits_hold_over_all_rulers_and_rules_outlive_a_restore() {
    let folder = tempfile::tempdir().expect("a folder");
    let (limits, secret) = (folder.path().join("limits.yml"), folder.path().join("secret"));
    std::fs::write(&limits, "overrides: {anonymous: {ruler_max_rule_groups_per_tenant: 10}}\n")
        .expect("written");
    std::fs::write(&secret, SECRET).expect("written");
    let mut cluster = Cluster::of(&["metastore-1", "ruler-1", "ruler-2", "ruler-3"]);
    cluster.alone_with_metastore("metastore-1");
    cluster.add_flags(&[format!("--runtime-config.file={}", limits.display())]);
    let mut cluster = cluster.ready();
    // Three at once: each decides on what the others have done.
    let set = |ruler: &str| {
        let mut taken = 0;
        for n in 0..10 {
            let group = GROUP.replace("name: g", &format!("name: {ruler}-{n}"));
            let answer = wait_for("an answer", || {
                let answer = send(cluster.http(ruler), "POST", &format!("{RULES}/n"), &group)?;
                (answer.status != 503).then_some(answer)
            });
            assert!(matches!(answer.status, 202 | 400), "{answer:?}");
            taken += usize::from(answer.status == 202);
        }
        taken
    };
    let taken: usize = std::thread::scope(|threads| {
        let rulers = ["ruler-1", "ruler-2", "ruler-3"];
        let setting = rulers.map(|ruler| threads.spawn(move || set(ruler)));
        setting.into_iter().map(|thread| thread.join().expect("it set rules")).sum()
    });
    assert_eq!(taken, 10, "the limit");
    let own = shown(&cluster, "ruler-1");
    assert_eq!(own.matches("- name: ").count(), 10, "{own}");
    // What is in the metastore is in its backup.
    let endpoint = cluster.flag("metastore-1", "--grpc").expect("an address").to_owned();
    let backup = folder.path().join("backup");
    let metastore = |arguments: &[&str]| {
        let mut command = Barograph::command(&[&["metastore"], arguments].concat());
        let output = command.output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    metastore(&["backup", &path(&backup), "--endpoint", &endpoint, "--secret-file", &path(&secret)]);
    let removed =
        send(cluster.http("ruler-2"), "POST", "/ruler/delete_tenant_config", "").expect("an answer");
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(shown(&cluster, "ruler-2"), "{}\n");
    cluster.kill("metastore-1");
    let data = cluster.data("metastore-1");
    std::fs::remove_dir_all(&data).expect("removed");
    let to = ["--data", &path(&data), "--name", "metastore-1", "--address", &endpoint];
    metastore(&[&["restore", &path(&backup)], &to[..]].concat());
    cluster.start("metastore-1");
    for ruler in ["ruler-1", "ruler-2", "ruler-3"] {
        wait_until("all rules", || {
            (shown(&cluster, ruler) == own).then_some(()).ok_or(shown(&cluster, ruler))
        });
    }
    // And they can be changed again.
    wait_for("a change", || {
        let path = format!("{RULES}/n");
        (send(cluster.http("ruler-1"), "DELETE", &path, "")?.status == 202).then_some(())
    });
}

#[test]
fn rules_of_a_process_that_was_alone_are_not_forgotten_in_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("ruler/rules/anonymous");
    std::fs::create_dir_all(&kept).expect("a folder");
    std::fs::write(folder.path().join("VERSION"), "barograph data 1\n").expect("written");
    std::fs::write(kept.join("n.yml"), format!("namespace: n\ngroups:\n- {}", GROUP.replace('\n', "\n  ")))
        .expect("written");
    let (http, grpc) = (free_address().to_string(), free_address().to_string());
    let arguments = ["--target=ruler", "--metastore.addresses=127.0.0.1:9", "--http", &http, "--grpc", &grpc];
    let command = |more: &[&str]| {
        let mut command = Barograph::command(&[&arguments[..], more].concat());
        command.env("BAROGRAPH_GRPC_CLUSTER_SECRET", SECRET).stdout(Stdio::null());
        command.arg("--data").arg(folder.path());
        command
    };
    let output = command(&[]).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("barograph rules load"), "{error}");
    std::fs::remove_dir_all(kept).expect("removed");
    // Nothing was ever heard of the metastore: that is said.
    let program = Program::start(&mut command(&[]));
    let addr = http.parse().expect("an address");
    let refused = wait_for("an answer", || send(addr, "POST", &format!("{RULES}/n"), GROUP));
    assert!(
        refused.status == 503 && refused.body.contains("nothing was heard of the metastore"),
        "{refused:?}"
    );
    drop(program);
    let output =
        command(&["--metastore.lease-ttl=1s", "--ruler.lease-margin=800ms"]).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("half of it at most"), "{error}");
}
