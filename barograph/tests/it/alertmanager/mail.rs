//! Mail, against a server that speaks as much SMTP as the dialogue needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::tls::{certificates, thread};
use super::{ask, push, start};
use crate::support::wait_for;

/// A connection, with TLS or without.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// What a client did in one dialogue.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    /// Its commands.
    pub(super) commands: Vec<String>,
    /// The message, without its last dot.
    pub(super) message: String,
}

/// The server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The certificate of the authority, for clients.
    authority: String,
    mails: Arc<Mutex<Vec<Mail>>>,
}

/// What the server offers: lines behind its greeting, with and without TLS.
type Offers = &'static [&'static str];

impl Server {
    pub(super) fn start(plain: Offers, secured: Offers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (tls, authority) = certificates("mail.example");
        let mails = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&mails);
        thread(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // How a dialogue ends is the client's affair.
                let _ = dialogue(&stream, plain, secured, &tls, &taken);
            }
        });
        Self { address, authority, mails }
    }

    /// What came so far.
    pub(super) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("nobody panicked with it").clone()
    }

    /// The mail with that place.
    #[track_caller]
    fn mail(&self, index: usize) -> Mail {
        wait_for("a mail", || self.mails().into_iter().nth(index))
    }
}

fn dialogue(
    stream: &TcpStream,
    plain: Offers,
    secured: Offers,
    tls: &Arc<ServerConfig>,
    mails: &Mutex<Vec<Mail>>,
) -> std::io::Result<()> {
    let mut offers = plain;
    let mut mail = Mail::default();
    let mut reader: BufReader<Box<dyn Stream>> = BufReader::new(Box::new(stream.try_clone()?));
    let say = |reader: &mut BufReader<Box<dyn Stream>>, text: &str| {
        reader.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
        reader.get_mut().flush()
    };
    say(&mut reader, "220 mail.example")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        mail.commands.push(line.clone());
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => {
                let offered: String = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
                say(&mut reader, &format!("250-mail.example\r\n{offered}250 SIZE"))?;
            }
            "STARTTLS" => {
                say(&mut reader, "220 go on")?;
                let connection = ServerConnection::new(Arc::clone(tls)).expect("a configuration");
                reader = BufReader::new(Box::new(StreamOwned::new(connection, stream.try_clone()?)));
                offers = secured;
            }
            "AUTH" if line == "AUTH LOGIN" || line == "AUTH CRAM-MD5" => {
                say(&mut reader, "334 PGNoYWxsZW5nZT4=")?;
            }
            "DATA" => {
                say(&mut reader, "354 go on")?;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line)?;
                    if line == ".\r\n" {
                        break;
                    }
                    mail.message.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                say(&mut reader, "250 taken")?;
                mails.lock().expect("nobody panicked with it").push(std::mem::take(&mut mail));
            }
            "QUIT" => return say(&mut reader, "221 bye"),
            // The name of a login is answered by a question for the password.
            "dQ==" => say(&mut reader, "334 UGFzc3dvcmQ6")?,
            _ if mail.commands.iter().any(|command| command.starts_with("AUTH")) && !line.contains(' ') => {
                say(&mut reader, "235 welcome")?;
            }
            "AUTH" => say(&mut reader, "235 welcome")?,
            _ => say(&mut reader, "250 fine")?,
        }
    }
}

fn config(server: &Server, lines: &str) -> String {
    format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers:\n- name: r\n  email_configs:\n  - to: 'A, B <a@x.example>, b@x.example'\n    from: am@x.example\n    smarthost: {}\n{lines}",
        server.address
    )
}

/// The text of quoted-printable.
pub(super) fn decoded(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at(2);
        let digits = std::str::from_utf8(digits).expect("digits");
        bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
        rest = behind;
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn mail_goes_over_tls_after_a_login_with_text_and_html() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&["STARTTLS"], &["AUTH LOGIN PLAIN"]);
    std::fs::write(folder.path().join("ca.pem"), &server.authority).expect("written");
    let lines = "    hello: me.example\n    auth_username: u\n    auth_password: p\n    \
                 tls_config: {ca_file: ca.pem, server_name: mail.example}\n    \
                 text: '{{ range .Alerts }}.{{ .Labels.x }}{{ end }}'\n    \
                 headers: {Subject: 'ä {{ .GroupLabels.alertname }}', X-Own: 'v'}\n";
    let barograph = start(folder.path(), &config(&server, lines).replace("'A, B <a", "'\"A, B\" <a"));
    push(barograph.addr, &[json!({"alertname": "a", "x": "<b>ü</b>"})]);
    let mail = server.mail(0);
    let commands: Vec<&str> = mail.commands.iter().map(String::as_str).collect();
    assert_eq!(
        commands,
        [
            "EHLO me.example",
            "STARTTLS",
            "EHLO me.example",
            "AUTH LOGIN",
            "dQ==",
            "cA==",
            "MAIL FROM:<am@x.example>",
            "RCPT TO:<a@x.example>",
            "RCPT TO:<b@x.example>",
            "DATA",
        ]
    );
    let (head, parts) = mail.message.split_once("\r\n\r\n").expect("headers");
    for header in ["Subject: =?utf-8?q?=C3=A4_a?=", "X-Own: v", "From: am@x.example", "MIME-Version: 1.0"] {
        assert!(head.lines().any(|line| line == header), "{header} in {head}");
    }
    let boundary = head.split_once("boundary=").expect("a boundary").1.lines().next().expect("its text");
    let parts: Vec<&str> = parts.split(&format!("--{boundary}")).collect();
    let [_, text, html, end] = parts.as_slice() else { panic!("{parts:?}") };
    assert!(text.contains("Content-Type: text/plain; charset=UTF-8") && end.starts_with("--"), "{parts:?}");
    assert_eq!(decoded(text.split_once("\r\n\r\n").expect("a body").1).trim_end(), ".<b>ü</b>");
    let html = decoded(html.split_once("\r\n\r\n").expect("a body").1);
    assert!(html.contains("&lt;b&gt;ü&lt;/b&gt;") && !html.contains("<b>"), "{html}");
}

#[test]
fn mail_may_go_without_tls_where_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&["AUTH CRAM-MD5"], &[]);
    let lines = "    require_tls: false\n    auth_username: u\n    auth_secret: s\n    send_resolved: true\n    \
                 threading: {enabled: true, thread_by_date: none}\n";
    let barograph = start(folder.path(), &config(&server, lines).replace("A, B <", "<"));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let first = server.mail(0);
    assert!(first.commands.iter().any(|command| command == "AUTH CRAM-MD5"), "{first:?}");
    let resolved = json!([{"labels": {"alertname": "a"}, "endsAt": "2026-01-01T00:00:00Z"}]);
    ask(barograph.addr, "POST", "/api/v2/alerts", &resolved.to_string());
    let second = server.mail(1);
    let line = |mail: &Mail, name: &str| {
        let mut lines = mail.message.lines();
        lines.find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
    };
    assert_eq!(line(&first, "Subject: "), "Subject: [FIRING:1] a ");
    assert_eq!(line(&second, "Subject: "), "Subject: [RESOLVED] a ");
    assert!(line(&first, "References: ").starts_with("References: <alert-"));
    assert_eq!(line(&first, "References: "), line(&second, "References: "));
    assert_ne!(line(&first, "Message-Id: "), line(&second, "Message-Id: "));
}

#[test]
fn a_server_that_offers_no_tls_gets_no_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[], &[]);
    let barograph = start(folder.path(), &config(&server, "").replace("A, B <", "<"));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let metric = "alertmanager_notification_requests_failed_total{integration=\"email\"} ";
    wait_for("the failure to be counted", || {
        let metrics = crate::http::get(barograph.addr, "/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix(metric)?.parse::<f64>().ok());
        line.filter(|count| *count >= 1.0)
    });
    assert!(server.mails().is_empty());
}
