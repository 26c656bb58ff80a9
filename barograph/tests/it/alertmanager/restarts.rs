//! What a process knows after it was killed, stopped, or told to read its configuration again.

use rustix::process::Signal;
use serde_json::json;
use testkit::{Receiver, Reply};

use super::{ask, body, create_silence, json_of, push, requests, silence, start, webhook_config};
use crate::http::get;
use crate::support::wait_for;

/// How many requests there are a while after nothing more should come.
fn settled(receiver: &Receiver) -> usize {
    std::thread::sleep(std::time::Duration::from_secs(3));
    receiver.requests().len()
}

#[test]
fn a_killed_process_knows_its_silences_and_what_it_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let config = webhook_config(&receiver);
    let mut barograph = start(folder.path(), &config);
    let id = create_silence(barograph.addr, &silence(&[("alertname", "quiet")]));
    push(barograph.addr, &[json!({"alertname": "told"}), json!({"alertname": "quiet"})]);
    requests(&receiver, 1);
    // The log is written right after the answer.
    std::thread::sleep(std::time::Duration::from_millis(500));
    for round in 0..3 {
        barograph.program.signal(Signal::KILL);
        barograph.program.wait();
        barograph = start(folder.path(), &config);
        assert_eq!(json_of(barograph.addr, &format!("/api/v2/silence/{id}"))["status"]["state"], "active");
        push(barograph.addr, &[json!({"alertname": "told"}), json!({"alertname": "quiet"})]);
        assert_eq!(settled(&receiver), 1, "round {round}: {:?}", receiver.requests());
    }
    assert_eq!(ask(barograph.addr, "DELETE", &format!("/api/v2/silence/{id}"), "").status, 200);
    barograph.program.signal(Signal::KILL);
    barograph.program.wait();
    let barograph = start(folder.path(), &config);
    assert_eq!(json_of(barograph.addr, &format!("/api/v2/silence/{id}"))["status"]["state"], "expired");
    push(barograph.addr, &[json!({"alertname": "quiet"})]);
    let told = requests(&receiver, 2);
    assert_eq!(body(&told[1])["groupLabels"], json!({"alertname": "quiet"}));
}

#[test]
fn a_reload_takes_the_new_configuration_and_keeps_what_was_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (Receiver::start(), Receiver::start());
    let barograph = start(folder.path(), &webhook_config(&first));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    requests(&first, 1);
    let file = folder.path().join("alertmanager.yml");
    // The same receiver by its name has been told; a new one has not.
    let other = webhook_config(&second).replace("receiver: w", "receiver: v").replace("name: w", "name: v");
    std::fs::write(&file, &other).expect("written");
    assert_eq!(ask(barograph.addr, "POST", "/-/reload", "").status, 200);
    requests(&second, 1);
    std::fs::write(&file, webhook_config(&first)).expect("written");
    barograph.program.signal(Signal::HUP);
    wait_for("the first configuration", || {
        let shown = json_of(barograph.addr, "/api/v2/receivers");
        (shown[0]["name"] == "w").then_some(())
    });
    assert_eq!((settled(&first), second.requests().len()), (1, 1));
    std::fs::write(&file, "route: {}").expect("written");
    let refused = ask(barograph.addr, "POST", "/-/reload", "");
    let expected = "failed to reload config: root route must specify a default receiver\n";
    assert_eq!((refused.status, refused.body.as_str()), (500, expected));
    let metrics = get(barograph.addr, "/metrics").1;
    assert!(metrics.contains("\nalertmanager_config_last_reload_successful 0\n"), "{metrics}");
}

#[test]
fn what_is_on_its_way_at_a_stop_is_known_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(Reply::new(200, "").after(std::time::Duration::from_secs(2)));
    let config = webhook_config(&receiver);
    let mut barograph = start(folder.path(), &config);
    push(barograph.addr, &[json!({"alertname": "a"})]);
    requests(&receiver, 1);
    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
    let barograph = start(folder.path(), &config);
    push(barograph.addr, &[json!({"alertname": "a"})]);
    assert_eq!(settled(&receiver), 1);
}
