//! The pages for people, as a program asks for them: what they show, what their forms do, and whose forms are taken.

use std::net::SocketAddr;

use serde_json::json;
use testkit::{Receiver, Reply};

use super::{ask, create_silence, json_of, push, requests, silence, start, start_with, webhook_config};
use crate::http::{Connection, Response, get, request};
use crate::support::{Barograph, wait_for};

/// Sends a form, as a browser does.
fn submit(addr: SocketAddr, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Response {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let headers = [&[("Content-Type", "application/x-www-form-urlencoded")], headers].concat();
    let mut connection = Connection::open(addr).expect("it listens");
    connection.request("POST", path, &headers, form.as_bytes()).expect("an answer")
}

#[track_caller]
fn page(addr: SocketAddr, path: &str) -> String {
    let (status, text) = get(addr, path);
    assert_eq!(status, 200, "{path}: {text}");
    // What they need they have: no script, and nothing from elsewhere.
    for outside in ["<script", "src=", "<link", "@import", "url("] {
        assert!(!text.contains(outside), "{path}: {outside}");
    }
    text
}

#[test]
fn alerts_and_receivers_are_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    push(addr, &[json!({"alertname": "Disk", "host": "<b>&"}), json!({"alertname": "Net", "team": "x"})]);
    let all = page(addr, "/ui/alerts");
    assert!(all.contains("2 alerts in 2 groups") && all.contains("host=&lt;b&gt;&amp;"), "{all}");
    assert!(!all.contains("<b>&"), "{all}");
    let one = page(addr, "/ui/alerts?filter=team%3D%22x%22&receiver=w");
    assert!(one.contains("1 alert in 1 group") && !one.contains("Disk"), "{one}");
    // A receiver is one of that name, not a pattern.
    assert!(page(addr, "/ui/alerts?receiver=.").contains("0 alerts in 0 groups"));
    let (status, wrong) = get(addr, "/ui/alerts?filter=%3D%3D");
    assert!(status == 400 && wrong.contains("role=\"alert\""), "{wrong}");
    create_silence(addr, &silence(&[("team", "x")]));
    assert!(page(addr, "/ui/alerts").contains("1 alert in 1 group"));
    assert!(page(addr, "/ui/alerts?silenced=1").contains(">silenced</span></a>"));
    let receivers = page(addr, "/ui/receivers");
    for part in ["<h2>w</h2>", ">webhook<", "alertname", "whatever no other route takes"] {
        assert!(receivers.contains(part), "{part} in {receivers}");
    }
    for (path, location) in [("/ui", "ui/alerts"), ("/ui/", "alerts")] {
        let mut connection = Connection::open(addr).expect("it listens");
        let answer = connection.request("GET", path, &[], b"").expect("an answer");
        assert_eq!((answer.status, answer.header("location")), (303, Some(location)));
    }
}

#[test]
fn receivers_say_how_telling_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let barograph = start(folder.path(), &webhook_config(&receiver));
    let addr = barograph.addr;
    assert!(page(addr, "/ui/receivers").contains("nothing to tell since the process began"));
    receiver.answer(Reply::new(400, "<i>no</i>"));
    push(addr, &[json!({"alertname": "a"})]);
    requests(&receiver, 1);
    let shows = |what: &str| {
        wait_for(what, || page(addr, "/ui/receivers").contains(what).then_some(()));
    };
    shows(">failing<");
    shows("unexpected status code 400: &lt;i&gt;no&lt;/i&gt;");
    receiver.answer(Reply::new(200, ""));
    shows(">ok<");
    // One that is going to be tried again is no less failing.
    receiver.answer(Reply::new(503, "later"));
    push(addr, &[json!({"alertname": "b"})]);
    shows("is being tried again, failed last");
    receiver.answer(Reply::new(200, ""));
    shows(">ok<");
}

#[test]
fn links_of_notifications_lead_to_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let root = ask(barograph.addr, "GET", "/", "");
    assert_eq!((root.status, root.header("location")), (303, Some("ui/alerts")));
    // What stands behind `#` in a link is the name of what is shown only to those who come by it.
    assert!(page(barograph.addr, "/ui/alerts").contains("id=\"/alerts?receiver=w\""));
    assert!(page(barograph.addr, "/ui/rules").contains("evaluates no rules"));
}

#[test]
fn rules_are_shown_where_they_are_evaluated() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(folder.path(), &["--self-monitoring.enabled=false"]);
    for (path, location) in [("/alertmanager", "alertmanager/ui/alerts"), ("/alertmanager/", "ui/alerts")] {
        let led = ask(barograph.addr, "GET", path, "");
        assert_eq!((led.status, led.header("location")), (303, Some(location)), "{path}");
    }
    let group = "name: mine\ninterval: 1s\nrules:\n- record: one\n  expr: vector(1)\n- alert: Always\n  expr: vector(1) > 0\n";
    let set = ask(barograph.addr, "POST", "/prometheus/config/v1/rules/own", group);
    assert_eq!(set.status, 202, "{set:?}");
    wait_for("rules with their health", || {
        let shown = page(barograph.addr, "/alertmanager/ui/rules");
        let parts = ["2 rules in 1 group", "mine", ">firing<", ">ok<", "vector(1) &gt; 0"];
        parts.iter().all(|part| shown.contains(part)).then_some(())
    });
}

#[test]
fn silences_are_previewed_made_changed_and_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    push(addr, &[json!({"alertname": "Disk", "team": "db"}), json!({"alertname": "Net", "team": "x"})]);
    assert!(
        page(addr, "/ui/silences/new?matchers=team%3D%22db%22").contains("team=&quot;db&quot;</textarea>")
    );
    let fields = |action: &'static str, until: &'static str| {
        let matchers = "team=~\"d.\"\r\nalertname!=Net";
        [
            ("id", ""),
            ("matchers", matchers),
            ("until", until),
            ("author", "me"),
            ("comment", "<why>"),
            ("action", action),
        ]
    };
    let preview = submit(addr, "/ui/silences", &fields("preview", "2h"), &[]);
    let about = "It is about 1 firing alert<";
    assert!(preview.status == 200 && preview.body.contains(about), "{}", preview.body);
    assert!(preview.body.contains("Nothing is saved yet"), "{}", preview.body);
    assert_eq!(json_of(addr, "/api/v2/silences"), json!([]));
    let wrong = submit(addr, "/ui/silences", &fields("save", "nonsense"), &[]);
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("nonsense") && wrong.body.contains("&lt;why&gt;"), "{}", wrong.body);
    let made = submit(addr, "/ui/silences", &fields("save", "2h"), &[("Sec-Fetch-Site", "same-origin")]);
    let location = made.header("location").expect("the silence").to_owned();
    let id = location.strip_prefix("silences/").expect("its name").to_owned();
    assert_eq!(made.status, 303);
    assert!(page(addr, &format!("/ui/{location}")).contains(about));
    assert!(page(addr, "/ui/silences").contains("&lt;why&gt;"));
    assert!(page(addr, "/ui/silences?find=TEAM").contains("1 silence<"));
    assert!(page(addr, "/ui/silences?find=other").contains("0 silences<"));

    // Changed: the end only, so that it keeps its name.
    let form = page(addr, &format!("/ui/{location}/edit"));
    let value = |name: &str| {
        let (_, rest) = form.split_once(&format!("name=\"{name}\" value=\"")).expect("a field");
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let (own, from) = (value("id"), value("from"));
    let matchers = "team=~\"d.\"\nalertname!=\"Net\"";
    let until = "2100-01-01T00:00:00Z";
    let changed = [
        ("id", own.as_str()),
        ("matchers", matchers),
        ("from", from.as_str()),
        ("until", until),
        ("author", "me"),
        ("comment", "longer"),
        ("action", "save"),
    ];
    let changed = submit(addr, "/ui/silences", &changed, &[]);
    assert_eq!(changed.header("location"), Some(location.as_str()), "{}", changed.body);
    let silence = json_of(addr, &format!("/api/v2/silence/{id}"));
    assert_eq!(
        (&silence["comment"], &silence["endsAt"]),
        (&json!("longer"), &json!("2100-01-01T00:00:00.000Z"))
    );

    let ended = submit(addr, &format!("/ui/{location}/expire"), &[], &[]);
    assert_eq!((ended.status, ended.header("location")), (303, Some(format!("../{id}").as_str())));
    assert_eq!(json_of(addr, &format!("/api/v2/silence/{id}"))["status"]["state"], "expired");
    assert!(page(addr, "/ui/silences?expired=1").contains("longer"));
    let again = page(addr, &format!("/ui/{location}/edit"));
    assert!(again.contains("name=\"id\" value=\"\"") && again.contains("value=\"2h\""), "{again}");
    for path in ["/ui/silences/none", "/ui/silences/none/edit"] {
        assert_eq!(get(addr, path).0, 404, "{path}");
    }
    assert_eq!(submit(addr, "/ui/silences/none/expire", &[], &[]).status, 404);
}

#[test]
fn forms_of_other_pages_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = "--web.external-url=https://alerts.example/am";
    let barograph = start_with(folder.path(), &webhook_config(&Receiver::start()), &[url]);
    let addr = barograph.addr;
    let fields =
        [("matchers", "a=b"), ("until", "2h"), ("author", "me"), ("comment", "c"), ("action", "save")];
    let id = create_silence(addr, &silence(&[("team", "x")]));
    for headers in [
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
    ] {
        for path in ["/ui/silences", &format!("/ui/silences/{id}/expire")] {
            let refused = submit(addr, path, &fields, &headers);
            assert!(refused.status == 403 && refused.body.contains("somebody else"), "{path} {headers:?}");
        }
    }
    let silences = json_of(addr, "/api/v2/silences");
    assert_eq!(
        (silences.as_array().map(Vec::len), &silences[0]["status"]["state"]),
        (Some(1), &json!("active"))
    );
    // What reads changes nothing, and what is asked for by a link only reads.
    assert_eq!(get(addr, &format!("/ui/silences/{id}/expire")).0, 405);
    let behind_proxy = submit(addr, "/ui/silences", &fields, &[("Origin", "https://alerts.example")]);
    assert_eq!(behind_proxy.status, 303, "{}", behind_proxy.body);
    let mut connection = Connection::open(addr).expect("it listens");
    let answer = connection.request("GET", "/ui/alerts", &[], b"").expect("an answer");
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// What each tenant says of itself nowhere occurs with the other.
#[test]
fn tenants_see_their_own_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--multitenancy-enabled=true"];
    let barograph = start_with(folder.path(), &webhook_config(&Receiver::start()), &arguments);
    let addr = barograph.addr;
    let ids = ["one", "two"].map(|tenant| {
        let headers = [("X-Scope-OrgID", tenant), ("Content-Type", "application/json")];
        let mut connection = Connection::open(addr).expect("it listens");
        let alerts = json!([{"labels": {"alertname": format!("alert-of-{tenant}")}}]).to_string();
        let pushed = connection.request("POST", "/api/v2/alerts", &headers, alerts.as_bytes());
        assert_eq!(pushed.expect("an answer").status, 200);
        let comment = format!("because-{tenant}");
        let fields = [
            ("matchers", "never=\"here\""),
            ("until", "2h"),
            ("author", "me"),
            ("comment", &comment),
            ("action", "save"),
        ];
        let made = submit(addr, "/ui/silences", &fields, &headers[..1]);
        made.header("location").expect("a silence").strip_prefix("silences/").expect("its name").to_owned()
    });
    let shown = |tenant: &str, path: &str| request(addr, path, &[("X-Scope-OrgID", tenant)]);
    for (tenant, other, id, foreign) in [("one", "two", &ids[0], &ids[1]), ("two", "one", &ids[1], &ids[0])] {
        let (_, alerts) = shown(tenant, "/ui/alerts");
        let (_, silences) = shown(tenant, "/ui/silences");
        assert!(
            alerts.contains(&format!("alert-of-{tenant}")) && !alerts.contains(&format!("alert-of-{other}"))
        );
        assert!(
            silences.contains(&format!("because-{tenant}"))
                && !silences.contains(&format!("because-{other}"))
        );
        assert!(alerts.contains(&format!("<span class=\"tenant\">{tenant}</span>")), "{alerts}");
        assert_eq!(shown(tenant, &format!("/ui/silences/{id}")).0, 200);
        for path in [format!("/ui/silences/{foreign}"), format!("/ui/silences/{foreign}/edit")] {
            assert_eq!(shown(tenant, &path).0, 404, "{path}");
        }
        let expire = format!("/ui/silences/{foreign}/expire");
        assert_eq!(submit(addr, &expire, &[], &[("X-Scope-OrgID", tenant)]).status, 404);
        let fields = [
            ("id", foreign.as_str()),
            ("matchers", "a=b"),
            ("until", "2h"),
            ("author", "me"),
            ("comment", "c"),
            ("action", "save"),
        ];
        assert_eq!(submit(addr, "/ui/silences", &fields, &[("X-Scope-OrgID", tenant)]).status, 404);
    }
    assert_eq!(get(addr, "/ui/alerts").0, 401);
}

/// Markup wherever somebody may write something, and secrets wherever a configuration has them.
#[test]
fn markup_is_text_and_secrets_are_not_shown() {
    const MARKUP: &str = "\"'><script>alert(1)</script>";
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer(Reply::new(400, MARKUP));
    let quoted = MARKUP.replace('\'', "''");
    let config = format!(
        "route: {{receiver: '{quoted}', group_wait: 100ms, group_by: ['{quoted}'], routes: [\
         {{matchers: ['alertname=~\".+\"']}}, {{matchers: ['alertname=\"\"'], mute_time_intervals: ['{quoted}']}}]}}\n\
         time_intervals: [{{name: '{quoted}', time_intervals: [{{}}]}}]\n\
         receivers: [{{name: '{quoted}', webhook_configs: [{{url: '{}', \
         http_config: {{basic_auth: {{username: u, password: hush-1}}, http_headers: {{X-Key: {{secrets: [hush-2]}}}}}}}}], \
         slack_configs: [{{api_url: 'http://127.0.0.1:1/hush-3', channel: c}}]}}]\n",
        receiver.url("/hush-4")
    );
    let barograph = start(folder.path(), &config);
    let addr = barograph.addr;
    let alerts = json!([{"labels": {"alertname": MARKUP, MARKUP: MARKUP}, "annotations": {MARKUP: MARKUP},
                         "generatorURL": format!("http://x/{MARKUP}")}]);
    assert_eq!(ask(addr, "POST", "/api/v2/alerts", &alerts.to_string()).status, 200);
    // One of the route that is muted.
    push(addr, &[json!({MARKUP: "other"})]);
    requests(&receiver, 1);
    let mut posted: serde_json::Value = serde_json::from_str(&silence(&[(MARKUP, MARKUP)])).expect("JSON");
    posted["comment"] = json!(MARKUP);
    posted["createdBy"] = json!(MARKUP);
    posted["annotations"] = json!({MARKUP: MARKUP});
    let id = create_silence(addr, &posted.to_string());
    wait_for("a failure", || page(addr, "/ui/receivers").contains(">failing<").then_some(()));
    let text = form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect::<String>();
    let mut pages: Vec<String> = [
        "/ui/alerts?silenced=1".to_owned(),
        format!("/ui/alerts?receiver={text}"),
        format!("/ui/silences?find={text}"),
        format!("/ui/silences/{id}"),
        format!("/ui/silences/{id}/edit"),
        format!(
            "/ui/silences/new?matchers={text}&from={text}&until={text}&author={text}&comment={text}&id={text}"
        ),
        "/ui/receivers".to_owned(),
    ]
    .iter()
    .map(|path| page(addr, path))
    .collect();
    pages.push(get(addr, &format!("/ui/alerts?filter={text}")).1);
    for field in ["id", "matchers", "from", "until"] {
        let mut fields =
            vec![("author", MARKUP), ("comment", MARKUP), ("action", "preview"), (field, MARKUP)];
        fields.extend([("matchers", "a=b"), ("until", "2h")].into_iter().filter(|(name, _)| *name != field));
        pages.push(submit(addr, "/ui/silences", &fields, &[]).body);
    }
    for page in &pages {
        assert!(page.contains("&quot;&#39;&gt;&lt;script&gt;") || page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("'><") && !page.contains("hush"), "{page}");
    }
}
