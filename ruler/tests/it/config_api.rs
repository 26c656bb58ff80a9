//! Mimir's API for the rules of tenants: what is set, by whom, where it is evaluated, and what survives.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use model::TenantId;
use ruler::Alertmanagers;
use serde_json::{Value, json};

use crate::world::{Site, Told, World, pass, rules, seconds};

const BASE: &str = "/prometheus/config/v1/rules";
const GROUP: &str =
    "name: g\ninterval: 10s\nrules:\n  - record: r\n    expr: vector(1.50)\n    labels: {v: '1.10'}\n";
const ACCEPTED: &str = r#"{"status":"success","data":null,"errorType":"","error":""}"#;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

async fn start(dir: &Path, world: &Arc<World>, alertmanagers: Vec<Alertmanagers>) -> Site {
    Site::start_in(dir, world, (&[], alertmanagers), &[]).await.expect("it starts")
}

async fn set(site: &Site, tenant: &str, namespace: &str, group: &str) {
    let answer = site.send(tenant, "POST", &format!("{BASE}/{namespace}"), group).await;
    assert_eq!(answer, (202, ACCEPTED.to_owned()), "{group}");
}

/// The rules that are evaluated, as `file/group/rule`.
async fn evaluated(site: &Site, tenant: &str) -> Vec<String> {
    let (_, body) = site.ask_of(tenant, "/prometheus/api/v1/rules").await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let groups = all(&body["data"]["groups"]);
    let of = |group: &Value| {
        let (file, name) = (text(&group["file"]), text(&group["name"]));
        all(&group["rules"]).into_iter().map(move |rule| format!("{file}/{name}/{}", text(&rule["name"])))
    };
    groups.iter().flat_map(|group| of(group).collect::<Vec<_>>()).collect()
}

#[tokio::test(start_paused = true)]
async fn groups_are_set_shown_and_taken_away() {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let site = start(folder.path(), &world, vec![]).await;
    let get = |path: &str| {
        let path = path.to_owned();
        let site = &site;
        async move { site.send("a", "GET", &path, "").await }
    };
    // Nothing is a map of nothing, for a namespace too; a group that is not there is missed.
    for prefix in [BASE, "/config/v1/rules"] {
        assert_eq!(get(prefix).await, (200, "{}\n".to_owned()));
        assert_eq!(get(&format!("{prefix}/n")).await, (200, "{}\n".to_owned()));
        assert_eq!(get(&format!("{prefix}/n/g")).await, (404, "group does not exist\n".to_owned()));
    }
    set(&site, "a", "my%2Frules", GROUP).await;
    let shown = "name: g\ninterval: 10s\nrules:\n  - record: r\n    expr: vector(1.50)\n    labels:\n      v: \"1.10\"\n";
    for prefix in [BASE, "/config/v1/rules", "/api/v1/rules"] {
        assert_eq!(get(&format!("{prefix}/my%2Frules/g")).await, (200, shown.to_owned()), "{prefix}");
    }
    let (status, all) = get(BASE).await;
    assert!(status == 200 && all.starts_with("my/rules:\n  - name: g\n    interval: 10s\n"), "{all}");
    assert_eq!(get(&format!("{BASE}/my%2Frules")).await, (200, all));
    pass(seconds(25)).await;
    let of = |name: &str| world.floats_of(&tenant("a"), name).swap_remove(0);
    let (labels, samples) = of("r");
    assert_eq!((labels.get("v"), samples[0].1, samples.len() >= 2), (Some("1.10"), 1.5, true));
    assert_eq!(evaluated(&site, "a").await, ["my/rules/g/r"]);
    let delete = |path: &str| {
        let path = format!("{BASE}/{path}");
        let site = &site;
        async move { site.send("a", "DELETE", &path, "").await }
    };
    assert_eq!(delete("my%2Frules/none").await, (404, "group does not exist\n".to_owned()));
    assert_eq!(delete("none").await, (404, "group namespace does not exist\n".to_owned()));
    assert_eq!(delete("my%2Frules/g").await, (202, ACCEPTED.to_owned()));
    assert_eq!(get(BASE).await, (200, "{}\n".to_owned()));
    let count = of("r").1.len();
    pass(seconds(60)).await;
    assert_eq!(of("r").1.len(), count + 1, "no more than its end");
    for (namespace, group) in [("x", GROUP), ("x", "name: h\nrules: []"), ("y", GROUP), ("z", GROUP)] {
        set(&site, "a", namespace, group).await;
    }
    assert_eq!(delete("x").await.0, 202);
    let (_, left) = get(BASE).await;
    assert!(left.starts_with("\"y\":\n") && left.contains("\nz:\n") && !left.contains("x:"), "{left}");
    assert_eq!(site.send("a", "POST", "/ruler/delete_tenant_config", "").await.0, 200);
    assert_eq!(get(BASE).await.1, "{}\n");
}

#[tokio::test(start_paused = true)]
async fn tenants_are_kept_apart() {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let told = Told::new(&world);
    let site = start(folder.path(), &world, vec![told.target("am")]).await;
    let group = |threshold: u32| {
        format!(
            "name: g\ninterval: 10s\nrules:\n- {{record: total, expr: sum(m)}}\n- {{alert: Many, expr: m > {threshold}}}\n"
        )
    };
    set(&site, "a", "n", &group(5)).await;
    set(&site, "b", "n", &group(50)).await;
    for _ in 0..12 {
        world.put_of(&tenant("a"), "m{of=\"a\"}", 10.0);
        world.put_of(&tenant("b"), "m{of=\"b\"}", 20.0);
        pass(seconds(5)).await;
    }
    let last = |of: &str, name: &str| {
        let series = world.floats_of(&tenant(of), name);
        series.iter().map(|(_, samples)| samples.last().expect("a sample").1).collect::<Vec<_>>()
    };
    assert_eq!((last("a", "total"), last("b", "total")), (vec![10.0], vec![20.0]));
    assert_eq!((last("a", "ALERTS"), last("b", "ALERTS")), (vec![1.0], vec![]));
    let alerts =
        async |of: &str| site.ask_of(of, "/prometheus/api/v1/alerts").await.1["data"]["alerts"].clone();
    assert_eq!(alerts("a").await[0]["labels"], json!({"alertname": "Many", "of": "a"}));
    assert_eq!((alerts("b").await, alerts("anonymous").await), (json!([]), json!([])));
    let owners: BTreeSet<TenantId> = told.of.lock().iter().map(|(tenant, _)| tenant.clone()).collect();
    assert_eq!(owners, BTreeSet::from([tenant("a")]));
    // They are not evaluated at the same moment only because they are called the same.
    let first = |of: &str| world.floats_of(&tenant(of), "total")[0].1[0].0 % 10_000;
    assert_ne!(first("a"), first("b"));
    // What one takes away stays with the other, and is counted by its own name.
    assert_eq!(site.send("a", "DELETE", &format!("{BASE}/n"), "").await.0, 202);
    pass(seconds(15)).await;
    assert_eq!((evaluated(&site, "a").await, evaluated(&site, "b").await.len()), (vec![], 2));
    assert!(site.metric("prometheus_rule_evaluations_total", "tenant=\"b\",rule_group=\"n;g\"") > 5.0);
    assert_eq!(site.metric("barograph_ruler_groups", ""), 1.0);
}

/// A group reads the data of the tenants that it names, and writes to the one that it belongs to.
#[tokio::test(start_paused = true)]
async fn a_group_may_read_other_tenants_where_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    for (name, value) in [("a", 1.0), ("b", 2.0), ("c", 4.0)] {
        world.put_of(&tenant(name), "up", value);
    }
    let allowed = [("tenant_federation", "true")];
    let site = Site::start_in(dir.path(), &world, (&[], Vec::new()), &allowed).await.unwrap();
    let group = "name: g\ninterval: 10s\nsource_tenants: [b, a, b]\nrules:\n- {record: all, expr: sum(up)}\n\
                 - {record: each, expr: up}\n- {record: one, expr: 'up{__tenant_id__=\"b\"}'}\n";
    set(&site, "d", "n", group).await;
    pass(seconds(30)).await;
    let last = |name: &str| {
        let found = world.floats_of(&tenant("d"), name).into_iter();
        found.map(|(labels, floats)| (labels.to_string(), floats.last().unwrap().1)).collect::<Vec<_>>()
    };
    assert_eq!(last("all"), [(r#"{__name__="all"}"#.to_owned(), 3.0)]);
    let of = |name: &str, tenant: &str, value| {
        (format!(r#"{{__name__="{name}", __tenant_id__="{tenant}"}}"#), value)
    };
    assert_eq!(last("each"), [of("each", "a", 1.0), of("each", "b", 2.0)]);
    assert_eq!(last("one"), [of("one", "b", 2.0)]);
    for name in ["a", "b", "c"] {
        assert!(world.floats_of(&tenant(name), "all").is_empty(), "{name} was written to");
    }
    site.crash();
    // Where it is not allowed any more, it is kept and shown, but not evaluated.
    let site = start(dir.path(), &world, Vec::new()).await;
    let before = world.floats_of(&tenant("d"), "all");
    pass(seconds(30)).await;
    assert_eq!(world.floats_of(&tenant("d"), "all"), before);
    let (status, text) = site.send("d", "GET", "/prometheus/config/v1/rules/n/g", "").await;
    assert!(status == 200 && text.contains("source_tenants"), "{status} {text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_changes_nothing_and_is_named() {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let site = start(folder.path(), &world, vec![]).await;
    set(&site, "a", "n", GROUP).await;
    for (body, why) in [
        (
            "name: g\nrules: [{record: r, expr: sum(}]",
            "2:27: group \"g\", rule 1, \"r\": could not parse expression",
        ),
        ("name: g\nrules: [{record: r}]", "group \"g\", rule 1, \"r\": field 'expr' must be set"),
        (
            "name: g\nrules:\n- {alert: a, expr: up, labels: {x: '{{ $x }}'}}",
            "group \"g\", rule 1, \"a\": label \"x\"",
        ),
        ("name: g\nrulez: []", "2:1: field rulez not found"),
        (
            "name: g\nsource_tenants: [b]",
            "group \"g\" has source_tenants: rules over the data of other tenants",
        ),
        ("name: g\nsource_tenants: [b, '']", "2:21: source_tenants: "),
        ("rules: []", "Groupname must not be empty"),
        ("groups: [{name: g, rules: []}]", "field groups not found"),
        ("# nothing", "unable to decode rule group"),
        ("", "unable to decode rule group"),
        ("a: [", "not valid YAML"),
    ] {
        let (status, text) = site.send("a", "POST", &format!("{BASE}/n"), body).await;
        assert!(status == 400 && text.contains(why), "{body}: {status} {text}");
    }
    let long = "x".repeat(513);
    assert_eq!(site.send("a", "POST", &format!("{BASE}/{long}"), GROUP).await.0, 400);
    set(&site, "a", &long[1..], GROUP).await;
    let large = format!("{GROUP}# {}", "x".repeat(4 << 20));
    let (status, text) = site.send("a", "POST", &format!("{BASE}/n"), &large).await;
    assert!(status == 413 && text.contains("4194304"), "{status} {text}");
    pass(seconds(1)).await;
    assert_eq!(evaluated(&site, "a").await, ["n/g/r".to_owned(), format!("{}/g/r", &long[1..])]);
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_there_after_a_crash_beside_files() {
    let (_folder, file) =
        rules("groups: [{name: f, interval: 10s, rules: [{record: of_file, expr: vector(2)}]}]");
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let dir = folder.path().join("ruler/rules");
    let files = std::slice::from_ref(&file);
    let again = async || Site::start_in(&dir, &world, (files, vec![]), &[]).await;
    let site = again().await.expect("it starts");
    for tenant in ["anonymous", "b"] {
        set(&site, tenant, "n", GROUP).await;
    }
    // A file's group cannot be set, and reading the files again forgets nothing of what was.
    let escaped = form_urlencoded::byte_serialize(file.display().to_string().as_bytes()).collect::<String>();
    let (status, text) =
        site.send("anonymous", "POST", &format!("{BASE}/{escaped}"), "name: f\nrules: []").await;
    assert!(status == 400 && text.contains("choose another name"), "{status} {text}");
    site.ruler.reload().await.expect("good");
    site.crash();
    let site = again().await.expect("it starts");
    let of_file = format!("{}/f/of_file", file.display());
    assert_eq!(evaluated(&site, "anonymous").await, [of_file, "n/g/r".to_owned()]);
    assert_eq!(evaluated(&site, "b").await, ["n/g/r"]);
    assert_eq!(site.metric("barograph_ruler_groups", ""), 3.0);
    site.crash();
    // A group that cannot be evaluated any more stays, and keeps nobody from anything.
    let kept = dir.join("b/n.yml");
    let text = std::fs::read_to_string(&kept).expect("it is kept");
    std::fs::write(&kept, text.replace("vector(1.50)", "gone(1.50)")).expect("written");
    let site = again().await.expect("it starts");
    assert_eq!((evaluated(&site, "b").await, evaluated(&site, "anonymous").await.len()), (vec![], 2));
    assert_eq!(site.metric("barograph_ruler_unusable_groups", ""), 1.0);
    assert!(site.send("b", "GET", &format!("{BASE}/n/g"), "").await.1.contains("gone(1.50)"));
    set(&site, "b", "n", GROUP).await;
    assert_eq!(site.metric("barograph_ruler_unusable_groups", ""), 0.0);
    site.crash();
    // Damage is named.
    std::fs::write(&kept, "namespace: n\ngroups: [").expect("written");
    let Err(error) = again().await else { panic!("it is refused") };
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(error.to_string().contains("move it away") && cause.contains("b/n.yml"), "{error}: {cause}");
}

#[tokio::test(start_paused = true)]
async fn alerts_of_rules_that_were_set_go_on_waiting_after_a_crash() {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let site = start(folder.path(), &world, vec![]).await;
    set(&site, "a", "n", "name: g\ninterval: 10s\nrules: [{alert: Up, expr: up == 1, for: 20m}]").await;
    let feed = async |seconds_long: u64| {
        for _ in 0..seconds_long / 5 {
            world.put_of(&tenant("a"), "up{job=\"x\"}", 1.0);
            pass(seconds(5)).await;
        }
    };
    feed(600).await;
    site.crash();
    feed(60).await;
    let site = start(folder.path(), &world, vec![]).await;
    feed(120).await;
    let (_, body) = site.ask_of("a", "/prometheus/api/v1/alerts").await;
    let since = body["data"]["alerts"][0]["activeAt"].as_str().expect("a time").to_owned();
    // Not since the start, eleven minutes on: only while nobody evaluated it, it did not wait.
    assert!(since.as_str() < "2026-01-01T00:03:00", "{since}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_tenant_holds_up_no_other() {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let site = start(folder.path(), &world, vec![]).await;
    *world.slow.lock() = Some(("slow".to_owned(), seconds(300)));
    let group = |expr: &str| format!("name: g\ninterval: 1s\nrules: [{{record: r, expr: '{expr}'}}]");
    set(&site, "a", "n", &group("slow")).await;
    pass(seconds(5)).await;
    // It is being evaluated: what takes its place waits for its end, and nobody waits for that.
    for number in 0..20 {
        set(&site, "a", "n", &group(&format!("vector({number})"))).await;
        set(&site, "b", "n", &group(&format!("vector({number})"))).await;
    }
    pass(seconds(5)).await;
    let last =
        |of: &str| world.floats_of(&tenant(of), "r").first().map(|(_, s)| s.last().expect("a sample").1);
    assert_eq!((last("a"), last("b")), (None, Some(19.0)));
    pass(seconds(300)).await;
    assert_eq!(last("a"), Some(19.0));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_no_more_than_its_limits_allow() {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::new());
    let site = start(folder.path(), &world, vec![]).await;
    let few = [("ruler_max_rule_groups_per_tenant", "2"), ("ruler_max_rules_per_rule_group", "3")];
    let few = settings::section::with_values(&few).expect("limits");
    site.limits.replace(HashMap::from([(tenant("a"), few)]));
    let group = |name: &str, rules: usize| {
        let rules: String = (0..rules).map(|n| format!("- {{record: r{n}, expr: '1'}}\n")).collect();
        format!("name: {name}\nrules:\n{rules}")
    };
    let post = async |of: &str, namespace: &str, body: String| {
        site.send(of, "POST", &format!("{BASE}/{namespace}"), &body).await
    };
    let (status, text) = post("a", "n", group("g", 4)).await;
    assert_eq!(status, 400);
    assert_eq!(
        text,
        "per-user rules per rule group limit (limit: 3 actual: 4) exceeded; the limit is ruler_max_rules_per_rule_group\n"
    );
    assert_eq!(post("a", "n", group("g", 3)).await.0, 202);
    assert_eq!(post("a", "m", group("g", 3)).await.0, 202);
    let (status, text) = post("a", "n", group("h", 1)).await;
    assert!(
        status == 400 && text.starts_with("per-user rule groups limit (limit: 2 actual: 3) exceeded"),
        "{text}"
    );
    // What is there may be changed, and others have limits of their own.
    assert_eq!(post("a", "n", group("g", 2)).await.0, 202);
    assert_eq!(post("b", "n", group("g", 4)).await.0, 202);
    assert_eq!(site.send("a", "DELETE", &format!("{BASE}/m/g"), "").await.0, 202);
    assert_eq!(post("a", "n", group("h", 1)).await.0, 202);
}
