//! Side by side with Alertmanager itself: the same alerts in the same order, and the same notifications, byte for byte in what
//! the default templates say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use gotemplate::time::GoTime;
use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use super::mail::{Mail, Server};
use super::{ask, create_silence, silence, start_with};
use crate::support::{Barograph, Program, now_ms, peer, wait_for};

/// How long nothing new may come before a scenario counts as over.
const QUIET: std::time::Duration = std::time::Duration::from_secs(3);

/// Stand for when alerts begin and end. Both are told the same times, which are those of the run: what begins long ago is told at
/// once, and then it is chance which of several alerts is told first.
const START: &str = "START";
const END: &str = "END";
/// How long after its start an alert ends.
const LASTS_MS: i64 = 100;

/// What both are asked to do, one after the other.
enum Step {
    /// Push these alerts.
    Push(Value),
    /// Silence alerts with this label.
    Silence(&'static str, &'static str),
    /// Wait until every receiver has been told so often.
    Told(usize),
    /// Wait so many milliseconds.
    Wait(u64),
}

/// A scenario: what stands behind `route:` and in front of the receivers, and what happens.
struct Scenario {
    name: &'static str,
    route: &'static str,
    steps: Vec<Step>,
}

fn alert(labels: &Value) -> Value {
    json!({"labels": labels, "annotations": {"summary": "it <b>hurts</b>", "runbook": "http://x/?a=b&c"},
           "startsAt": START, "generatorURL": "http://prometheus/graph?g0.expr=up"})
}

fn resolved(labels: &Value) -> Value {
    let mut alert = alert(labels);
    alert["endsAt"] = json!(END);
    alert
}

fn scenarios() -> Vec<Scenario> {
    let (a, b) = (json!({"alertname": "a", "i": "one"}), json!({"alertname": "a", "i": "two"}));
    let other = json!({"alertname": "ö", "job": "j", "instance": "z", "severity": "warning"});
    let critical = json!({"alertname": "ö", "severity": "critical"});
    let group =
        "{receiver: all, group_by: [alertname], group_wait: 2s, group_interval: 1s, repeat_interval: 1h}";
    let push = |alerts: &[Value]| Step::Push(Value::Array(alerts.to_vec()));
    let scenario = |name, route, steps| Scenario { name, route, steps };
    vec![
        scenario("one", group, vec![push(&[alert(&a)]), Step::Told(1)]),
        scenario("two in a group", group, vec![push(&[alert(&b), alert(&a)]), Step::Told(1)]),
        scenario(
            "two groups",
            group,
            vec![push(&[alert(&a)]), Step::Told(1), push(&[alert(&other)]), Step::Told(2)],
        ),
        scenario(
            "one more",
            group,
            vec![push(&[alert(&a)]), Step::Told(1), push(&[alert(&b)]), Step::Told(2)],
        ),
        scenario(
            "resolved",
            group,
            vec![push(&[alert(&a)]), Step::Told(1), push(&[resolved(&a)]), Step::Told(2)],
        ),
        scenario(
            "one of two resolved",
            group,
            vec![push(&[alert(&a), alert(&b)]), Step::Told(1), push(&[resolved(&b)]), Step::Told(2)],
        ),
        scenario(
            "silenced",
            group,
            vec![Step::Silence("i", "one"), push(&[alert(&a), alert(&b)]), Step::Told(1), Step::Wait(1_500)],
        ),
        scenario(
            "inhibited",
            "{receiver: all, group_wait: 2s, group_interval: 1s}\ninhibit_rules: [{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname]}]",
            vec![push(&[alert(&critical)]), push(&[alert(&other)]), Step::Told(1), Step::Wait(1_500)],
        ),
        scenario(
            "every alert by itself",
            "{receiver: all, group_by: ['...'], group_wait: 2s}",
            vec![
                push(&[alert(&a)]),
                Step::Told(1),
                push(&[alert(&b)]),
                Step::Told(2),
                push(&[alert(&other)]),
                Step::Told(3),
            ],
        ),
        scenario(
            "two routes",
            "{receiver: all, group_wait: 2s, routes: [{matchers: ['alertname=a'], group_by: [i], continue: true, receiver: all}, {matchers: ['i=~\"one|two\"'], receiver: all}]}",
            vec![push(&[alert(&a)]), Step::Told(2), Step::Wait(1_500)],
        ),
    ]
}

/// A way that is told over HTTP: how it is configured, with `URL` for where the fake is, and what the fake answers.
type Way = (&'static str, &'static str, u16, &'static str);

const WAYS: [Way; 13] = [
    ("webhook", "url: 'URL/w'", 200, ""),
    ("slack", "api_url: 'URL/s', channel: c, send_resolved: true", 200, "ok"),
    ("pagerduty", "routing_key: k, url: 'URL/p'", 202, "{}"),
    ("opsgenie", "api_key: k, api_url: 'URL/'", 202, "{}"),
    ("msteams", "webhook_url: 'URL/t'", 200, "1"),
    ("msteamsv2", "webhook_url: 'URL/t'", 200, "1"),
    ("victorops", "api_key: k, api_url: 'URL/v', routing_key: 'a b'", 200, "{}"),
    ("discord", "webhook_url: 'URL/d'", 204, ""),
    (
        "telegram",
        "api_url: 'URL', bot_token: t, chat_id: 1",
        200,
        r#"{"ok":true,"result":{"message_id":1,"chat":{"id":1}}}"#,
    ),
    ("webex", "api_url: 'URL/x', room_id: r, http_config: {authorization: {credentials: c}}", 200, "{}"),
    (
        "wechat",
        "api_url: 'URL/c', corp_id: c, api_secret: s, to_user: u, send_resolved: true",
        200,
        r#"{"errcode":0,"access_token":"t"}"#,
    ),
    (
        "rocketchat",
        "api_url: 'URL/', token: t, token_id: i, channel: c, send_resolved: true",
        200,
        r#"{"success":true}"#,
    ),
    ("incidentio", "url: 'URL/i', alert_source_token: t", 202, "{}"),
];

/// Everything that is told.
struct Told {
    receivers: Vec<Receiver>,
    mail: Server,
}

impl Told {
    fn new() -> Self {
        let receivers = WAYS.iter().map(|(_, _, status, body)| {
            let receiver = Receiver::start();
            receiver.answer(Reply::new(*status, body));
            receiver
        });
        Self { receivers: receivers.collect(), mail: Server::start(&[], &[]) }
    }

    fn config(&self, route: &str) -> String {
        let mail = "to: 'A, B <a@x.example>', from: am@x.example, require_tls: false, send_resolved: true, hello: me.example";
        let parts = "text: '{{ template \"__subject\" . }}. = é', headers: {X-Own: 'ü {{ .Status }}'}, \
                     html: '<p title=\"{{ .CommonAnnotations.summary }}\"><a href=\"{{ .CommonAnnotations.runbook }}\">{{ template \"__subject\" . }}</a></p>'";
        let mut config = format!(
            "route: {route}\nreceivers:\n- name: all\n  email_configs: [{{smarthost: '{}', {mail}, {parts}}}]\n",
            self.mail.address
        )
        .replace("'A, B <", "'\"A, B\" <");
        for ((kind, lines, ..), receiver) in WAYS.iter().zip(&self.receivers) {
            let lines = lines.replace("URL", &receiver.url(""));
            config.push_str(&format!("  {kind}_configs: [{{{lines}}}]\n"));
        }
        config
    }

    fn count(&self) -> usize {
        let requests: usize = self.receivers.iter().map(|receiver| receiver.requests().len()).sum();
        requests + self.mail.mails().len()
    }

    /// Whether every way was told at least so often.
    fn all(&self, count: usize) -> bool {
        self.receivers.iter().all(|receiver| receiver.requests().len() >= count)
            && self.mail.mails().len() >= count
    }

    /// What each was told: method, path and body.
    fn requests(&self) -> BTreeMap<&'static str, Vec<String>> {
        let one = |receiver: &Receiver| -> Vec<String> {
            let requests = receiver.requests();
            let shown = requests.iter().map(|request| {
                let kind = request.header("content-type");
                format!("{} {} {kind:?}\n{}", request.method, request.path, request.body)
            });
            let mut shown: Vec<String> = shown.collect();
            // Groups that are due at the same time are told in any order, and then a token may be got twice.
            shown.sort_unstable();
            shown.dedup_by(|a, b| a == b && a.starts_with("GET "));
            shown
        };
        let mut all: BTreeMap<&'static str, Vec<String>> =
            WAYS.iter().zip(&self.receivers).map(|((kind, ..), receiver)| (*kind, one(receiver))).collect();
        let mut mails: Vec<String> = self.mail.mails().iter().map(shown).collect();
        mails.sort_unstable();
        all.insert("email", mails);
        all
    }
}

/// A mail without what differs by nature: its time, its name, its boundary, and the order of its headers, which Go's is by chance.
fn shown(mail: &Mail) -> String {
    let (head, body) = mail.message.split_once("\r\n\r\n").expect("a head");
    let boundary = head.split_once("boundary=").expect("a boundary").1.lines().next().expect("its text");
    let mut headers: Vec<&str> = head.lines().collect();
    headers.retain(|line| !line.starts_with("Date: ") && !line.starts_with("Message-Id: "));
    headers.sort_unstable();
    format!("{:?}\n{}\n\n{body}", mail.commands, headers.join("\n")).replace(boundary, "BOUNDARY")
}

fn time(ms: i64) -> String {
    let nanos = u32::try_from(ms.rem_euclid(1_000) * 1_000_000).expect("less than a second");
    GoTime::from_unix(ms.div_euclid(1_000), nanos).format("2006-01-02T15:04:05.000Z")
}

fn play(addr: SocketAddr, told: &Told, steps: &[Step], start_ms: i64) {
    for step in steps {
        match step {
            Step::Push(alerts) => {
                let alerts = alerts.to_string().replace(START, &time(start_ms));
                let alerts = alerts.replace(END, &time(start_ms + LASTS_MS));
                let response = ask(addr, "POST", "/api/v2/alerts", &alerts);
                assert_eq!(response.status, 200, "{}", response.body);
            }
            Step::Silence(name, value) => drop(create_silence(addr, &silence(&[(name, value)]))),
            Step::Told(count) => wait_for("notifications", || told.all(*count).then_some(())),
            Step::Wait(milliseconds) => std::thread::sleep(std::time::Duration::from_millis(*milliseconds)),
        }
    }
    let mut before = told.count();
    wait_for("an end", || {
        std::thread::sleep(QUIET);
        let now = told.count();
        let settled = now == before;
        before = now;
        settled.then_some(())
    });
}

/// Alertmanager itself, with the files that Debian's build looks for where Debian has them: in a file system of its own.
pub(crate) fn upstream(folder: &Path, config: &str, external_url: &str) -> (Program, SocketAddr) {
    let program = peer("prometheus-alertmanager");
    let share = program.ancestors().nth(2).expect("usr").join("share/prometheus/alertmanager");
    let file = folder.join("upstream.yml");
    std::fs::write(&file, config).expect("written");
    let addr = testkit::free_address();
    let script = format!(
        "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && \
         mount -t overlay none -o lowerdir=/usr/share,upperdir=/mnt/u,workdir=/mnt/w /usr/share && \
         mkdir -p /usr/share/prometheus && cp -r '{}' /usr/share/prometheus/ && \
         exec '{}' --config.file='{}' --storage.path='{}' --web.listen-address={addr} --cluster.listen-address= \
         --web.external-url={external_url}",
        share.display(),
        program.display(),
        file.display(),
        folder.join("upstream").display(),
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "bash", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
    let program = Program::start(&mut command);
    wait_for("Alertmanager", || {
        let connected = std::net::TcpStream::connect(addr).is_ok();
        (connected && crate::http::get(addr, "/-/ready").0 == 200).then_some(())
    });
    (program, addr)
}

/// What of a webhook's message older versions do not have.
fn without_news(requests: BTreeMap<&'static str, Vec<String>>) -> BTreeMap<&'static str, Vec<String>> {
    let clean = |text: &String| {
        let mut text = text.replace("\"routeLabels\":{},", "");
        if let Some(start) = text.find("\"notification_reason\":") {
            let end = start + text[start..].find("\",").expect("its end") + 2;
            text.replace_range(start..end, "");
        }
        text
    };
    requests.into_iter().map(|(name, texts)| (name, texts.iter().map(clean).collect())).collect()
}

#[test]
fn notifications_are_those_of_alertmanager() {
    let mut wrong = Vec::new();
    let scenarios = scenarios();
    assert_eq!(scenarios.len(), 10);
    for Scenario { name, route, steps } in &scenarios {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (Told::new(), Told::new());
        let barograph: Barograph =
            start_with(folder.path(), &ours.config(route), &["--web.external-url=http://am.example"]);
        let (_program, addr) = upstream(folder.path(), &theirs.config(route), "http://am.example");
        let start_ms = now_ms();
        std::thread::scope(|scope| {
            scope.spawn(|| play(addr, &theirs, steps, start_ms));
            play(barograph.addr, &ours, steps, start_ms);
        });
        let (ours, theirs) = (without_news(ours.requests()), without_news(theirs.requests()));
        for (way, told) in &theirs {
            if ours[way] != *told {
                wrong.push(format!("{name}, {way}\n  ours   {:#?}\n  theirs {told:#?}", ours[way]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
