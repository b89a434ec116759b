//! The page in a real browser, driven by ChromeDriver (`apt-get install chromium chromium-driver`). Without it the tests
//! say that they are skipped. With `CLIP_SCREENSHOTS=FOLDER` pictures of the page are left there to be looked at.

use super::client::{Server, answer};
use crate::search::{Bench, paths};
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

/// How a key is called in WebDriver.
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const LEFT: &str = "\u{E012}";
const RIGHT: &str = "\u{E014}";
const DOWN: &str = "\u{E015}";
const TAB: &str = "\u{E004}";

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
struct Browser {
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
    fn start(width: u32, height: u32) -> Option<Browser> {
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
    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
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

    fn open(&self, server: &Server, path: &str) {
        self.command("POST", "/url", &json!({"url": format!("http://{}{path}", server.address)}));
    }

    /// Runs a script and returns what it returns.
    #[track_caller]
    fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true.
    #[track_caller]
    fn wait(&self, expression: &str) {
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
    fn press(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|key| {
            key.chars().flat_map(|c| [json!({"type": "keyDown", "value": c}), json!({"type": "keyUp", "value": c})])
        });
        let actions: Vec<Value> = strokes.collect();
        self.command("POST", "/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// Returns the paths of the pictures that are shown.
    fn shown(&self) -> Vec<String> {
        let titles = self.run("return [...document.querySelectorAll('#hits small')].map((small) => small.title)");
        titles.as_array().unwrap().iter().map(|title| format!("pictures/{}", title.as_str().unwrap())).collect()
    }

    /// Leaves a picture of the page, if somebody wants to look at it.
    fn shoot(&self, name: &str) {
        let Some(folder) = std::env::var_os("CLIP_SCREENSHOTS") else { return };
        let png = self.command("GET", "/screenshot", &json!(null));
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, png.as_str().unwrap()).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }

    /// Makes the browser pretend to have another screen.
    fn emulate(&self, what: &str, params: &Value) {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": what, "params": params}));
    }
}

/// Says that all small pictures within the window are there.
const LOADED: &str = "[...document.querySelectorAll('#hits img')].slice(0, 12).every((img) => img.naturalWidth > 0)";

/// An indexed folder of so many pictures and its server.
fn served(pictures: usize) -> (Bench, Server) {
    let bench = Bench::new(pictures);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    (bench, server)
}

#[test]
fn words_are_looked_for_while_they_are_typed() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let (bench, server) = served(80);
    browser.open(&server, "/");
    browser.wait("document.querySelector('#about').textContent.includes('80 in pictures')");
    browser.press(&["a beach"]);
    browser.wait("document.querySelectorAll('#hits li').length === 60");
    let expected = paths(&bench.json(&["search", "pictures", "a beach", "-k", "80"]));
    assert_eq!(browser.shown(), expected[..60]);
    browser.wait(LOADED);
    browser.shoot("light.png");
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.emulate("Emulation.setEmulatedMedia", &dark);
    browser.shoot("dark.png");
    // The rest comes when the end comes near.
    browser.run("scrollTo(0, document.body.scrollHeight)");
    browser.wait("document.querySelectorAll('#hits li').length === 80");
    assert_eq!(browser.shown(), expected);
    // What is asked is in the address, and a page that is opened there asks the same.
    let address = browser.run("return location.hash");
    browser.open(&server, "/page/style.css");
    browser.open(&server, &format!("/{}", address.as_str().unwrap()));
    browser.wait("document.querySelectorAll('#hits li').length === 60");
    assert_eq!(browser.shown(), expected[..60]);
}

#[test]
fn the_keyboard_is_enough() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let (bench, server) = served(20);
    browser.open(&server, "/");
    browser.press(&["a beach", ENTER, "people"]);
    browser.wait("document.querySelectorAll('#parts li').length === 1");
    browser.run("document.querySelector('[data-sign=\"-1\"]').focus()");
    browser.press(&[" "]);
    browser.wait("document.querySelectorAll('#parts li.minus').length === 1");
    let expected = paths(&bench.json(&["search", "pictures", "a beach", "--not", "people", "-k", "20"]));
    browser.wait("document.querySelectorAll('#hits li').length === 20");
    let start = Instant::now();
    while browser.shown() != expected {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?} instead of {expected:?}", browser.shown());
    }
    // Down into the pictures, along a row, and back.
    browser.press(&["/"]);
    browser.press(&[DOWN, RIGHT, RIGHT, LEFT]);
    assert_eq!(browser.run("return document.activeElement.hit.rank"), 2);
    browser.press(&[" "]);
    browser.wait("document.querySelector('#large').open && document.querySelector('#original').naturalWidth > 0");
    browser.wait("document.querySelector('#facts').textContent.includes('rank 2')");
    browser.shoot("large.png");
    browser.press(&[ESCAPE]);
    browser.wait("!document.querySelector('#large').open && document.activeElement.hit?.rank === 2");
    // More like this: the picture itself is the first.
    let id = browser.run("return document.activeElement.hit.id");
    browser.press(&["m"]);
    browser.wait(&format!("document.querySelector('#hits button')?.hit.id === {id}"));
    browser.wait("document.querySelectorAll('#parts li').length === 1");
    browser.shoot("like.png");
    // The way back leads to the query before.
    browser.run("history.back()");
    browser.wait("document.querySelectorAll('#parts li').length !== 1");
    // Everything that can be done can be reached.
    browser.run("document.querySelector('#text').focus()");
    let mut reached = vec![];
    for _ in 0..12 {
        browser.press(&[TAB]);
        reached.push(browser.run("return document.activeElement.id || document.activeElement.textContent"));
    }
    for id in ["file", "above", "path", "clear", "update"] {
        assert!(reached.iter().any(|element| element == id), "{id} is not among {reached:?}");
    }
}

#[test]
fn a_picture_is_dropped_and_a_least_score_is_kept() {
    let Some(browser) = Browser::start(500, 800) else { return };
    // A window cannot be as narrow as a phone, but the page can.
    let metrics = json!({"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": true});
    browser.emulate("Emulation.setDeviceMetricsOverride", &metrics);
    let (bench, server) = served(20);
    browser.open(&server, "/");
    browser.wait("document.querySelector('#status').textContent !== ''");
    // A file that is dropped, as a browser has it that takes it from the desktop.
    let drop = "const bytes = await (await fetch(arguments[0])).blob();
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'dropped.png', {type: 'image/png'}));
        dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));";
    let found = server.good("/search?q=a&k=1", None);
    let id = found["hits"][0]["id"].as_str().unwrap();
    let script = json!({"script": drop, "args": [format!("/picture/{id}")]});
    browser.command("POST", "/execute/sync", &script);
    browser.wait("document.querySelectorAll('#parts img').length === 1");
    browser.wait("document.querySelectorAll('#hits li').length === 20");
    let nearest = browser.run("return document.querySelector('#hits button').hit");
    assert_eq!(nearest["id"], id);
    assert!(nearest["score"].as_f64().unwrap() > 0.99, "{nearest}");
    browser.wait(LOADED);
    browser.shoot("phone.png");
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), 400, "the page is wider than the phone");
    browser.run(
        "const above = document.querySelector('#above'); above.value = '0.99'; above.dispatchEvent(new Event('input'))",
    );
    let close = server.good(&format!("/search?like={id}&above=0.99&k=20"), None)["hits"].as_array().unwrap().len();
    browser.wait(&format!("document.querySelectorAll('#hits li').length === {close}"));
    // A picture that is added is found after an update.
    fs::copy(bench.picture(3), bench.path("pictures/one_more.png")).unwrap();
    browser.run("document.querySelector('#update').click()");
    browser.wait("document.querySelector('#status').textContent.includes('1 added')");
}

#[test]
fn a_token_is_asked_for() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let bench = Bench::new(5);
    bench.index();
    fs::write(bench.path("token"), "correct-horse-battery").unwrap();
    let server = Server::start(&bench, &["pictures", "--token-file", "token"]);
    browser.open(&server, "/");
    browser.wait("document.querySelector('#locked').open");
    browser.press(&["correct-horse-battery", ENTER]);
    browser.wait("document.querySelector('#about').textContent.includes('5 in pictures')");
    browser.press(&["/", "a beach"]);
    browser.wait("document.querySelectorAll('#hits li').length === 5");
    browser.wait("[...document.querySelectorAll('#hits img')].every((img) => img.naturalWidth > 0)");
}

/// Makes the browser prefer dark colours, and leaves a picture of the page in both.
fn shoot_both(browser: &Browser, name: &str) {
    for scheme in ["dark", "light"] {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.emulate("Emulation.setEmulatedMedia", &media);
        sleep(Duration::from_millis(200));
        browser.shoot(&format!("{name}-{scheme}.png"));
    }
}

/// Makes the page as narrow as a phone's, and leaves pictures of it.
fn shoot_phone(browser: &Browser, name: &str) {
    let metrics = json!({"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": true});
    browser.emulate("Emulation.setDeviceMetricsOverride", &metrics);
    browser.wait("innerWidth === 400");
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), 400, "the page is wider than the phone");
    shoot_both(browser, &format!("{name}-phone"));
}

#[test]
fn the_map_is_operated_by_keys() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let (_bench, server) = served(30);
    let map = server.whole("/map");
    let x = |path: &str| {
        let points = map["points"].as_array().unwrap();
        points.iter().find(|point| point["path"] == path).unwrap_or_else(|| panic!("{path:?}"))["x"].as_f64().unwrap()
    };
    browser.open(&server, "/");
    browser.wait("document.querySelector('#about').textContent.includes('30 in pictures')");
    browser.run("document.querySelector('[data-view=map]').focus()");
    browser.press(&[ENTER]);
    browser.wait("document.querySelector('#map canvas')");
    browser.wait("document.querySelector('#status').textContent.includes('30 pictures in')");
    assert_eq!(browser.run("return document.querySelector('#query').hidden"), true);
    browser.press(&[TAB, TAB]);
    assert_eq!(browser.run("return document.activeElement.tagName"), "CANVAS");
    // The first step goes to the middle, the next ones to pictures that lie that way.
    let chosen =
        || browser.run("return document.querySelector('#map .tip').lastChild.textContent").as_str().unwrap().to_owned();
    browser.press(&[LEFT]);
    browser.wait("!document.querySelector('#map .tip').hidden");
    let first = chosen();
    browser.press(&[RIGHT]);
    browser.wait(&format!("!document.querySelector('#map output').textContent.startsWith({first:?} + ',')"));
    assert!(x(&chosen()) > x(&first));
    browser.press(&[LEFT, LEFT]);
    browser.wait("document.querySelector('#map .tip img')?.naturalWidth > 0");
    assert!(x(&chosen()) < x(&first));
    shoot_both(&browser, "map");
    // A region is shown large, and 0 shows all again.
    let place = || {
        browser.run("return [document.querySelector('#map .tip').style.left, document.querySelector('#map .tip').style.top].join()")
    };
    let before = place();
    browser.run("document.querySelector('#map li:last-child button').focus()");
    browser.press(&[ENTER]);
    browser.wait(&format!("[document.querySelector('#map .tip').style.left, document.querySelector('#map .tip').style.top].join() !== {before}"));
    assert_eq!(browser.run("return document.activeElement.tagName"), "CANVAS");
    browser.shoot("region.png");
    browser.press(&["+", "-", "0"]);
    browser.wait(&format!("[document.querySelector('#map .tip').style.left, document.querySelector('#map .tip').style.top].join() === {before}"));
    // Enter looks for more like the picture, and the way back leads to the map.
    let path = chosen();
    browser.press(&[ENTER]);
    browser.wait("document.querySelectorAll('#hits li').length === 30");
    assert_eq!(browser.shown()[0], format!("pictures/{path}"));
    browser.run("history.back()");
    browser.wait("!document.querySelector('#map').hidden && document.querySelector('#hits').offsetParent === null");
}

#[test]
fn the_map_is_moved_by_a_mouse_and_fits_a_phone() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let (_bench, server) = served(30);
    browser.open(&server, "/#view=map");
    browser.wait("document.querySelector('#map canvas')");
    browser.wait("document.querySelector('#map canvas').width > 300");
    // What the pointer is on is told, and a click looks for more like it.
    let point = "const canvas = document.querySelector('#map canvas');
        for (let y = 0; y < canvas.clientHeight; y += 6) for (let x = 0; x < canvas.clientWidth; x += 6) {
          const event = (kind) => new PointerEvent(kind, {pointerId: 1, pointerType: 'mouse', bubbles: true,
            clientX: canvas.getBoundingClientRect().left + x, clientY: canvas.getBoundingClientRect().top + y});
          canvas.setPointerCapture = () => {};
          canvas.dispatchEvent(event('pointermove'));
          if (document.querySelector('#map output').textContent === '') continue;
          canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: 300, cancelable: true,
            clientX: canvas.getBoundingClientRect().left + x, clientY: canvas.getBoundingClientRect().top + y}));
          canvas.dispatchEvent(event('pointerdown'));
          canvas.dispatchEvent(event('pointerup'));
          return document.querySelector('#map .tip').lastChild.textContent;
        }";
    let path = browser.run(point);
    browser.wait("document.querySelectorAll('#hits li').length === 30");
    assert_eq!(browser.shown()[0], format!("pictures/{}", path.as_str().unwrap()));
    browser.open(&server, "/page/style.css");
    browser.open(&server, "/#view=map");
    browser.wait("document.querySelector('#map canvas')");
    shoot_phone(&browser, "map");
}

#[test]
fn duplicates_are_shown_in_groups() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let bench = Bench::new(12);
    for (from, to) in [(1, "pictures/one.png"), (1, "pictures/sub/once more.png"), (2, "pictures/two.png")] {
        fs::copy(bench.picture(from), bench.path(to)).unwrap();
    }
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    browser.open(&server, "/#view=duplicates");
    let count = |above: &str| {
        let found = server.whole(&format!("/duplicates?above={above}"));
        ["exact", "near"].map(|kind| found[kind]["groups"].as_array().unwrap().len()).iter().sum::<usize>()
    };
    browser.wait(&format!("document.querySelectorAll('#groups section').length === {}", count("0.95")));
    browser.wait("document.querySelector('#groups h2').textContent === 'The same bytes: 2 groups'");
    browser.wait("document.querySelector('#groups .kept small').textContent.startsWith('kept')");
    browser.wait("document.querySelector('#groups img').naturalWidth > 0");
    shoot_both(&browser, "duplicates");
    // Arrow keys lead through a group, and a picture is shown large.
    browser.run("document.querySelector('#groups button').focus()");
    browser.press(&[RIGHT]);
    assert_eq!(browser.run("return document.activeElement.hit.said"), "same bytes");
    browser.press(&[ENTER]);
    browser.wait(
        "document.querySelector('#large').open && document.querySelector('#facts').textContent.includes('same bytes')",
    );
    browser.press(&[ESCAPE]);
    let set = "const field = document.querySelector(arguments[0]); field.value = arguments[1];
        field.dispatchEvent(new Event('change'));";
    let script = |field: &str, value: &str| {
        browser.command("POST", "/execute/sync", &json!({"script": set, "args": [field, value]}));
    };
    script("#least", "0.99999");
    browser.wait(&format!("document.querySelectorAll('#groups section').length === {}", count("0.99999")));
    script("#keep", "shortest-path");
    browser.wait("document.querySelector('#groups .kept small').title === '1.png'");
    // A picture that is no longer there twice is no longer shown.
    fs::remove_file(bench.path("pictures/two.png")).unwrap();
    browser.open(&server, "/");
    browser.run("document.querySelector('#update').click()");
    browser.wait("document.querySelector('#status').textContent.includes('1 removed')");
    browser.run("document.querySelector('[data-view=duplicates]').click()");
    browser.wait("document.querySelector('#groups h2')?.textContent === 'The same bytes: 1 group'");
    shoot_phone(&browser, "duplicates");
}
