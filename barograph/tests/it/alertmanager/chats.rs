//! Receivers that write into chats, against fakes of their APIs.

use serde_json::json;
use testkit::{Receiver, Reply};

use super::receivers::config;
use super::{body, push, requests, start};

#[test]
fn discord_gets_an_embed() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer(Reply::new(204, ""));
    let lines = format!(
        "webhook_url: '{}'\nusername: me\nmessage: '{{{{ printf \"%5000s\" \"x\" }}}}'",
        receiver.url("/webhooks/1")
    );
    let barograph = start(folder.path(), &config("discord", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = body(&requests(&receiver, 1)[0]);
    assert_eq!((&told["content"], &told["username"]), (&json!(""), &json!("me")));
    let embed = &told["embeds"][0];
    assert_eq!((&embed["title"], &embed["color"]), (&json!("[FIRING:1] a "), &json!(10_038_562)));
    let description = embed["description"].as_str().expect("a text");
    assert_eq!((description.chars().count(), description.chars().last()), (4096, Some('…')));
}

#[test]
fn telegram_gets_html_and_says_when_it_wants_to_be_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let busy = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 1","parameters":{"retry_after":1}}"#;
    receiver.answer_next(Reply::new(429, busy));
    receiver.answer(Reply::new(200, r#"{"ok":true,"result":{"message_id":1}}"#));
    std::fs::write(folder.path().join("chat"), "-42\n").expect("written");
    let chat = folder.path().join("chat");
    let lines = format!(
        "api_url: '{}'\nbot_token: 1:x\nchat_id_file: '{}'\nmessage_thread_id: 7\ndisable_notifications: true\n\
         message: '<b>{{{{ (index .Alerts 0).Labels.x }}}}</b>'",
        receiver.url(""),
        chat.display()
    );
    let barograph = start(folder.path(), &config("telegram", &lines));
    push(barograph.addr, &[json!({"alertname": "a", "x": "<i>"})]);
    let told = &requests(&receiver, 2)[1];
    assert_eq!(told.path, "/bot1:x/sendMessage");
    let expected = json!({
        "chat_id": "-42",
        "disable_notification": "true",
        "disable_web_page_preview": "true",
        "message_thread_id": "7",
        "parse_mode": "HTML",
        "text": "<b>&lt;i&gt;</b>",
    });
    assert_eq!(body(told), expected);
    let metrics = crate::http::get(barograph.addr, "/metrics").1;
    assert!(
        metrics.contains("alertmanager_notification_requests_failed_total{integration=\"telegram\"} 1\n")
    );
}

#[test]
fn telegram_never_gets_half_of_html() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer(Reply::new(200, r#"{"ok":true,"result":{}}"#));
    let check = |mode: &str, expected: &dyn Fn(&str) -> bool| {
        let own = tempfile::tempdir_in(folder.path()).expect("a folder");
        let lines = format!(
            "api_url: '{}'\nbot_token: t\nchat_id: 1\nparse_mode: '{mode}'\nmessage: '{{{{ printf \"%5000s\" \"x\" }}}}'",
            receiver.url("")
        );
        let barograph = start(own.path(), &config("telegram", &lines));
        let before = receiver.requests().len();
        push(barograph.addr, &[json!({"alertname": "a"})]);
        let told = body(&requests(&receiver, before + 1)[before]);
        let text = told["text"].as_str().expect("a text");
        assert!(expected(text), "{mode}: {text}");
    };
    check("HTML", &|text| text.starts_with("Alertmanager notification could not be sent"));
    check("Markdown", &|text| text.chars().count() == 4096 && text.ends_with('…'));
}

#[test]
fn webex_gets_markdown_for_a_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let lines = format!(
        "api_url: '{}'\nroom_id: r\nhttp_config: {{authorization: {{credentials: c}}}}\nmessage: '{{{{ printf \"%8000s\" \"ä\" }}}}'",
        receiver.url("/v1/messages")
    );
    let barograph = start(folder.path(), &config("webex", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = &requests(&receiver, 1)[0];
    assert_eq!(told.header("authorization"), Some("Bearer c"));
    let told = body(told);
    assert_eq!(told["roomId"], json!("r"));
    let text = told["markdown"].as_str().expect("a text");
    assert!(text.len() <= 7439 && text.ends_with('…'), "{}", text.len());
}

#[test]
fn wechat_gets_messages_with_a_token_that_is_got_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let token = |token: &str| Reply::new(200, &format!(r#"{{"errcode":0,"access_token":"{token}"}}"#));
    receiver.answer_next(token("one"));
    // The token is over: another is got, and the message is sent again.
    receiver.answer_next(Reply::new(200, r#"{"errcode":42001,"errmsg":"expired"}"#));
    receiver.answer_next(token("two"));
    receiver.answer(Reply::new(200, r#"{"errcode":0,"errmsg":"ok"}"#));
    let lines = format!(
        "api_url: '{}'\ncorp_id: c\napi_secret: 's&'\nto_user: '@all'\nagent_id: '7'\nmessage_type: markdown\nmessage: '{{{{ .Status }}}}'",
        receiver.url("/cgi-bin")
    );
    let barograph = start(folder.path(), &config("wechat", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = requests(&receiver, 4);
    let paths: Vec<&str> = told.iter().map(|request| request.path.as_str()).collect();
    let token = "/cgi-bin/gettoken?corpid=c&corpsecret=s%26";
    let send = |token: &str| format!("/cgi-bin/message/send?access_token={token}");
    assert_eq!(paths, [token, &send("one"), token, &send("two")]);
    let expected = json!({
        "text": {"content": ""}, "touser": "@all", "agentid": "7", "safe": "0", "msgtype": "markdown",
        "markdown": {"content": "firing"},
    });
    assert_eq!(body(&told[3]), expected);
    // The next one has the token already.
    push(barograph.addr, &[json!({"alertname": "b"})]);
    assert_eq!(requests(&receiver, 5)[4].path, send("two"));
}

#[test]
fn rocket_chat_gets_a_message_of_a_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(Reply::new(200, "busy"));
    receiver.answer(Reply::new(200, r#"{"success":true}"#));
    let lines = format!(
        "api_url: '{}'\ntoken: t\ntoken_id: i\nchannel: '#x'\nfields: [{{title: f, value: '{{{{ .Status }}}}'}}]\n\
         actions: [{{text: go, url: 'http://x'}}]",
        receiver.url("/")
    );
    let barograph = start(folder.path(), &config("rocketchat", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    // The first answer was none that it gives: the message is sent again.
    let told = &requests(&receiver, 2)[1];
    assert_eq!(told.path, "/api/v1/chat.postMessage");
    assert_eq!((told.header("x-auth-token"), told.header("x-user-id")), (Some("t"), Some("i")));
    let message = body(told);
    assert_eq!(message["channel"], json!("#x"));
    let attachment = &message["attachments"][0];
    assert_eq!((&attachment["title"], &attachment["color"]), (&json!("[FIRING:1] a "), &json!("red")));
    assert_eq!(attachment["fields"], json!([{"short": false, "title": "f", "value": "firing"}]));
    let action = json!({"type": "button", "text": "go", "url": "http://x", "is_webview": false, "msg_in_chat_window": false});
    assert_eq!(attachment["actions"], json!([action]));
}

#[test]
fn mattermost_gets_what_it_can_show() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer(Reply::new(200, "ok"));
    let told = |more: &str| {
        let own = tempfile::tempdir_in(folder.path()).expect("a folder");
        let lines = format!(
            "webhook_url: '{}'\nchannel: c\ntext: '{{{{ .Status }}}}'\n{more}",
            receiver.url("/hooks/x")
        );
        let barograph = start(own.path(), &config("mattermost", &lines));
        let before = receiver.requests().len();
        push(barograph.addr, &[json!({"alertname": "a"})]);
        body(&requests(&receiver, before + 1)[before])
    };
    let plain = told(
        "fields: [{title: t, value: v, short: true}]\npriority: {priority: Standard, requested_ack: true}",
    );
    assert_eq!((&plain["text"], &plain["username"]), (&json!(null), &json!("Alertmanager")));
    assert_eq!(plain["priority"], json!({"priority": "standard"}));
    let attachment = &plain["attachments"][0];
    assert_eq!((&attachment["text"], &attachment["color"]), (&json!("firing"), &json!("danger")));
    assert_eq!(attachment["fields"], json!([{"title": "t", "value": "v", "short": true}]));
    let own = told(
        "attachments: [{text: one}, {text: two}]\nprops: {card: d}\n\
         priority: {priority: urgent, requested_ack: true, persistent_notifications: true}",
    );
    assert_eq!((&own["text"], &own["props"]), (&json!("firing"), &json!({"card": "d"})));
    assert_eq!(own["attachments"], json!([{"text": "one"}, {"text": "two"}]));
    let urgent = json!({"priority": "urgent", "requested_ack": true, "persistent_notifications": true});
    assert_eq!(own["priority"], urgent);
}
