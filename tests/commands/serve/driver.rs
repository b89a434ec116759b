//! A real browser, driven by ChromeDriver (`apt-get install chromium chromium-driver`).

use super::client::{Server, answer};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Reads one answer. ChromeDriver leaves connections open, whatever it is asked for.
fn whole(stream: TcpStream) -> Vec<u8> {
    let (mut reader, mut bytes, mut length) = (BufReader::new(stream), vec![], 0);
    loop {
        let start = bytes.len();
        reader.read_until(b'\n', &mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[start..]).to_lowercase();
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap(),
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    reader.read_exact(&mut bytes[start..]).unwrap();
    bytes
}

/// Browsers run one after the other: one takes all processors when it starts.
static TURN: Mutex<()> = Mutex::new(());

/// A browser without a window, which ends with the test.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// The profile, and what is downloaded.
    _folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without its session the browser ends; the driver would leave it behind.
        let _ = catch_unwind(AssertUnwindSafe(|| self.command("DELETE", "", &Value::Null)));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Starts a browser of this size, if there is one.
    pub fn start(width: u32, height: u32) -> Option<Browser> {
        // A test that failed has ended its browser too.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new("chromedriver");
        let Ok(mut driver) = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            eprintln!("skipped: no chromedriver is installed (apt-get install chromium chromium-driver)");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("chromedriver says its port").unwrap();
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        // Nobody reads on, and a pipe that is full would stop the driver.
        std::thread::spawn(move || lines.for_each(drop));
        let folder = tempfile::tempdir().unwrap();
        let mut browser = Browser { driver, port, session: String::new(), _folder: folder, _turn: turn };
        let profile = format!("--user-data-dir={}", browser._folder.path().display());
        let size = format!("--window-size={width},{height}");
        let alone = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
        let args = [&["--headless=new", "--no-sandbox", "--disable-gpu", &size, &profile], &alone[..]].concat();
        let wish = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let session = browser.command("POST", "", &wish);
        browser.session = format!("/{}", session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Sends a command and returns its value.
    #[track_caller]
    pub fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "{method} /session{}{path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.session,
            self.port,
            body.len()
        )
        .unwrap();
        let answer = answer(&whole(stream));
        assert_eq!(answer.status, 200, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()["value"].clone()
    }

    pub fn open(&self, server: &Server, path: &str) {
        self.command("POST", "/url", &json!({"url": format!("http://{}{path}", server.address)}));
    }

    /// Runs a script and returns what it returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != true {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{expression}: {}",
                self.run("return document.body.innerText")
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys one after the other, wherever the focus is.
    pub fn press(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|key| {
            key.chars().flat_map(|c| [json!({"type": "keyDown", "value": c}), json!({"type": "keyUp", "value": c})])
        });
        let actions: Vec<Value> = strokes.collect();
        self.command("POST", "/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// Returns the paths of the pictures that are shown.
    pub fn shown(&self) -> Vec<String> {
        let titles = self.run("return [...document.querySelectorAll('#hits small')].map((small) => small.title)");
        titles.as_array().unwrap().iter().map(|title| format!("pictures/{}", title.as_str().unwrap())).collect()
    }

    /// Leaves a picture of the page, if somebody wants to look at it.
    pub fn shoot(&self, name: &str) {
        let Some(folder) = std::env::var_os("CLIP_SCREENSHOTS") else { return };
        let png = self.command("GET", "/screenshot", &json!(null));
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, png.as_str().unwrap()).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }

    /// Makes the browser pretend to have another screen.
    pub fn emulate(&self, what: &str, params: &Value) {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": what, "params": params}));
    }
}
