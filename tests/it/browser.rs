//! A browser without a screen, driven over WebDriver (W3C): headless Chromium.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::wait_until;
use crate::http_client::Answer;
use crate::support::{Client, LOOPBACK};

/// How long a command may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One window of a browser of its own.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, where Chromium and its driver are installed.
    pub(crate) fn start() -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = started else {
            assert!(
                std::env::var_os("CHROMIUM_REQUIRED").is_none(),
                "CHROMIUM_REQUIRED is set: there is no chromedriver"
            );
            println!("skipped: there is no chromedriver");
            return None;
        };
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.rsplit_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = SocketAddr::new(LOOPBACK, port.expect("chromedriver says its port"));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.path().to_str().unwrap()),
        ];
        let options = json!({ "args": arguments });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let session = browser.send("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        Some(browser)
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut client = Client::Plain(TcpStream::connect(self.address).unwrap());
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        ));
        let answer = receive(&mut client).unwrap_or_else(|| panic!("{path}: no answer"));
        let mut value: Value =
            serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {path}: {answer:?}"));
        assert_eq!(answer.status, 200, "{path}: {value}");
        value["value"].take()
    }

    #[track_caller]
    fn command(&self, command: &str, body: &Value) -> Value {
        self.send("POST", &format!("/session/{}/{command}", self.session), body)
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// What a function with this body returns in the page.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn wait_for(&self, expression: &str) {
        wait_until(expression, || (self.run(&format!("return Boolean({expression});")) == true).then_some(()));
    }

    /// Presses a key, by its name or as the character that WebDriver has for it.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })])
            .collect();
        self.command("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    #[track_caller]
    pub(crate) fn resize(&self, width: u32, height: u32) {
        // What the window has beside the page is none of a headless one's, but for what it takes in a narrow one.
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.command("goog/cdp/execute", &command);
    }

    /// Has the page believe that its user wants light or dark.
    #[track_caller]
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("goog/cdp/execute", &json!({ "cmd": "Emulation.setEmulatedMedia", "params": features }));
    }

    /// What is on the screen, as PNG.
    #[track_caller]
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let encoded = self.send("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded.as_str().unwrap()).unwrap()
    }

    /// What the browser has complained of since the last time.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.command("se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// An answer, whose connection the driver keeps open.
fn receive(client: &mut Client) -> Option<Answer> {
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let (byte, _) = client.receive(1, TIMEOUT);
        if byte.is_empty() {
            return None;
        }
        received.extend(byte);
    }
    let head = String::from_utf8_lossy(&received).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    received.extend(client.receive(length?, TIMEOUT).0);
    Some(Answer::read(&received))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without this, the browser itself would stay. Also where the test has failed.
        if let Ok(socket) = TcpStream::connect(self.address) {
            let mut client = Client::Plain(socket);
            let path = format!("/session/{}", self.session);
            client.send(format!("DELETE {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address));
            receive(&mut client);
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
