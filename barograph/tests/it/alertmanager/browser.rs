//! A browser: headless Chromium, told what to do over its debugging pipe, so that pages are seen and clicked as people do.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::tls::thread;
use crate::support::{PATIENCE, wait_for};

/// The program, where Debian's package has it, unless BAROGRAPH_CHROMIUM names another.
const PROGRAM: &str = "/usr/bin/chromium";
/// Its descriptors 3 and 4 are the pipe: what it would write to standard output does not get in between.
const SCRIPT: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1";
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--remote-debugging-pipe",
    // It sees pages of ours alone, and machines that test may not let it make its own sandbox.
    "--no-sandbox",
    "--no-proxy-server",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
];

/// A browser with one page.
pub(super) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    /// How many pages have been loaded.
    loads: usize,
    session: Option<String>,
    /// What it complained about: refused by the page's policy, scripts that failed.
    complaints: Vec<String>,
}

impl Browser {
    /// Starts one, with its files in `folder`.
    pub(super) fn start(folder: &Path) -> Self {
        let program = std::env::var_os("BAROGRAPH_CHROMIUM").map_or_else(|| PROGRAM.into(), PathBuf::from);
        let shown = program.display();
        assert!(
            program.exists(),
            "{shown} is missing: run `make test-peers`, which installs it, or let BAROGRAPH_CHROMIUM name one"
        );
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT]).arg(&program).args(ARGUMENTS);
        command.arg(format!("--user-data-dir={}", folder.join("browser").display())).env("HOME", folder);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("bash is there");
        let to = child.stdin.take().expect("a pipe");
        let from = messages(child.stdout.take().expect("a pipe"));
        let mut browser =
            Self { child, to, from, last_id: 0, loads: 0, session: None, complaints: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Log", "Runtime"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Asks for something: what was answered.
    #[track_caller]
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser runs");
        let id = json!(self.last_id);
        let answer = loop {
            let message = self.next();
            if message["id"] == id {
                break message;
            }
        };
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// The next message, taken note of.
    #[track_caller]
    fn next(&mut self) -> Value {
        let message = self.from.recv_timeout(PATIENCE).expect("the browser has something to say");
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loads += 1,
            Some("Log.entryAdded" | "Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => {
                self.complaints.push(message["params"].to_string());
            }
            _ => {}
        }
        message
    }

    /// Goes to a page, and waits until it is there.
    #[track_caller]
    pub(super) fn go(&mut self, url: &str) {
        let before = self.loads;
        let answer = self.call("Page.navigate", &json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.loaded(before);
    }

    /// Waits until one page more is there than `before`.
    #[track_caller]
    fn loaded(&mut self, before: usize) {
        while self.loads == before {
            self.next();
        }
    }

    /// Whether pages may run scripts. What the test asks for runs all the same.
    pub(super) fn scripts(&mut self, run: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": !run}));
    }

    /// How the page is shown: the scheme, `light` or `dark`, and how wide, in pixels.
    pub(super) fn shown(&mut self, scheme: &str, width: u32) {
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &scheme);
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What an expression of JavaScript comes to on the page.
    #[track_caller]
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What it complained about, but for pages that say what was wrong with what somebody wrote.
    pub(super) fn complaints(&self) -> Vec<&str> {
        let all = self.complaints.iter().map(String::as_str);
        all.filter(|complaint| !complaint.contains("400 (Bad Request)")).collect()
    }

    /// The text that the page shows.
    #[track_caller]
    pub(super) fn text(&mut self) -> String {
        self.value("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Where the page is from.
    #[track_caller]
    pub(super) fn path(&mut self) -> String {
        self.value("location.pathname").as_str().unwrap_or_default().to_owned()
    }

    /// Clicks what is called so: the first link, button or summary with that text.
    #[track_caller]
    pub(super) fn click(&mut self, name: &str) {
        let find = format!(
            "(() => {{ const all = [...document.querySelectorAll('a, button, summary b')]; \
             const found = all.find(each => each.innerText.trim() === {}); if (!found) return null; \
             found.scrollIntoView({{block: 'center'}}); const at = found.getBoundingClientRect(); \
             return [at.x + at.width / 2, at.y + at.height / 2]; }})()",
            json!(name)
        );
        let place = self.value(&find);
        let (Some(x), Some(y)) = (place[0].as_f64(), place[1].as_f64()) else {
            panic!("nothing is called {name:?} in {}", self.text());
        };
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Clicks what leads to another page, and waits until that is there.
    #[track_caller]
    pub(super) fn follow(&mut self, name: &str) {
        let before = self.loads;
        self.click(name);
        self.loaded(before);
    }

    /// Writes into the field of that name, in the place of what is there.
    #[track_caller]
    pub(super) fn write(&mut self, field: &str, text: &str) {
        let there = self.value(&format!(
            "(() => {{ const field = document.querySelector('[name={field}]'); if (!field) return false; \
             field.focus(); field.select(); return true; }})()"
        ));
        assert_eq!(there, json!(true), "no field {field}");
        self.call("Input.insertText", &json!({"text": text}));
    }
}

/// Its messages: JSON with a zero byte behind each.
fn messages(from: std::process::ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread(move || {
        for text in BufReader::new(from).split(0).map_while(Result::ok) {
            let message = serde_json::from_slice(&text).expect("JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when its pipe does, with the processes below it; where it does not, it is ended.
        let message = json!({"id": 0, "method": "Browser.close"});
        let _ = self.to.write_all(format!("{message}\0").as_bytes());
        if !std::thread::panicking() {
            wait_for("the browser to end", || self.child.try_wait().expect("a child of ours"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
