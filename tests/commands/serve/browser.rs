//! The page in a real browser. Where none is installed the tests say that they are skipped. With
//! `CLIP_SCREENSHOTS=FOLDER` pictures of the page are left there to be looked at.

use super::client::Server;
use super::driver::Browser;
use crate::search::{Bench, paint, paths};
use serde_json::json;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How a key is called in WebDriver.
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const LEFT: &str = "\u{E012}";
const RIGHT: &str = "\u{E014}";
const DOWN: &str = "\u{E015}";
const END: &str = "\u{E010}";
const HOME: &str = "\u{E011}";
const TAB: &str = "\u{E004}";

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

#[test]
fn one_of_several_indexes_is_chosen_in_every_view() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let bench = Bench::new(6);
    bench.index();
    fs::create_dir_all(bench.path("more/sights")).unwrap();
    (6..9).for_each(|i| paint(&bench.path(&format!("more/sights/{i}.png")), i, 40));
    bench.json(&["index", "more/sights", "--model", "model"]);
    let server = Server::start(&bench, &["pictures", "more/sights"]);
    browser.open(&server, "/");
    browser.wait("document.querySelector('#about').textContent.startsWith('9 in pictures, sights')");
    browser.press(&["a"]);
    browser.wait("document.querySelectorAll('#hits li').length === 9");
    // The first choice is all of them, the last one the second index.
    let choose = |key: &str| {
        browser.run("document.querySelector('#index').focus()");
        browser.press(&[key]);
    };
    let says =
        |words: &str| browser.wait(&format!("document.querySelector('#status').textContent.includes('{words}')"));
    choose(END);
    browser.wait("document.querySelectorAll('#hits li').length === 3");
    browser.run("document.querySelector('[data-view=map]').click()");
    says("3 pictures in");
    choose(HOME);
    says("9 pictures in");
    choose(END);
    says("3 pictures in");
    shoot_phone(&browser, "one-index");
    browser.run("document.querySelector('[data-view=duplicates]').click()");
    says("of 3 pictures");
    choose(HOME);
    says("of 9 pictures");
    // The words are still there, and so is the choice.
    browser.run("document.querySelector('[data-view=search]').click()");
    browser.wait("document.querySelector('#text').value === 'a'");
    browser.wait("document.querySelectorAll('#hits li').length === 9");
    choose(END);
    browser.wait("document.querySelectorAll('#hits li').length === 3");
    // An update counts anew.
    paint(&bench.path("more/sights/9.png"), 9, 40);
    browser.run("document.querySelector('#update').click()");
    browser.wait("document.querySelector('#about').textContent.startsWith('10 in pictures, sights')");
    browser.wait("document.querySelectorAll('#hits li').length === 4");
}
