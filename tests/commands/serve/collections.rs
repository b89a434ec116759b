//! Searches, ids, pictures and updates of indexed folders.

use super::client::{Server, base64};
use crate::search::{Bench, paint, paths};
use serde_json::{Value, json};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn hits(reply: &Value) -> &Vec<Value> {
    reply["hits"].as_array().unwrap()
}

/// Returns the paths of hits as the program names them, below the folder that it was called for.
fn named(reply: &Value) -> Vec<String> {
    hits(reply).iter().map(|hit| format!("pictures/{}", hit["path"].as_str().unwrap())).collect()
}

/// Waits until no update is under way, and returns what the last one did.
fn updated(server: &Server) -> Value {
    let start = Instant::now();
    loop {
        let state = server.good("/reindex", None);
        if state["running"] == false {
            return state["last"].clone();
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn searches_are_those_of_search() {
    let bench = Bench::new(30);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    assert_eq!(server.started["indexes"][0]["pictures"], 30);
    let by_picture = json!({"image": base64(&bench.picture(7)), "k": 30});
    let found = server.good("/search", Some(&by_picture));
    let expected = bench.json(&["search", "pictures", "--image", &Bench::name(7), "-k", "30"]);
    assert_eq!((named(&found), found["pictures"].as_u64()), (paths(&expected), Some(30)));
    let scores = |reply: &Value| hits(reply).iter().map(|hit| hit["score"].clone()).collect::<Vec<_>>();
    assert_eq!(scores(&found), scores(&expected));
    // A sum of parts, filtered, in either form.
    let args = ["search", "pictures", "a beach", "--not", "people", "--path", "sub", "-k", "4", "--above", "-0.9"];
    let expected = paths(&bench.json(&args));
    assert_eq!(named(&server.good("/search?q=a+beach&not=people&path=sub&k=4&above=-0.9", None)), expected);
    let body = json!({"parts": [{"text": "a beach"}, {"text": "people", "weight": -1.0}], "path": ["sub"], "k": 4});
    let found = server.good("/search", Some(&body));
    assert_eq!((named(&found), found["matching"].as_u64()), (expected, Some(10)));
    // Pages follow each other.
    let all = server.good("/search?q=a&k=10", None);
    let pages: Vec<Value> =
        (0..5).flat_map(|i| hits(&server.good(&format!("/search?q=a&k=2&offset={}", 2 * i), None)).clone()).collect();
    assert_eq!(&pages, hits(&all));
    // A picture is most like itself.
    let id = pages[3]["id"].as_str().unwrap();
    assert_eq!(server.good(&format!("/search?like={id}&k=1"), None)["hits"][0]["id"], id);
    assert!(server.get("/search?q=a&index=none").fault(404).contains("none"));
    let body = json!({"parts": [{"text": "a"}, {"text": "a", "weight": -1}]});
    assert!(server.post("/search", &body).fault(400).contains("cancel"));
}

#[test]
fn several_indexes_are_one_search() {
    let bench = Bench::new(6);
    bench.index();
    fs::create_dir_all(bench.path("more/pictures")).unwrap();
    (6..9).for_each(|i| paint(&bench.path(&format!("more/pictures/{i}.png")), i, 40));
    bench.json(&["index", "more/pictures", "--model", "model"]);
    let server = Server::start(&bench, &["pictures", "more/pictures"]);
    let all = server.good("/search?q=a&k=20", None);
    assert_eq!((hits(&all).len(), all["pictures"].as_u64()), (9, Some(9)));
    let scores: Vec<f64> = hits(&all).iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let second = server.good("/search?q=a&index=pictures-2", None);
    assert!(hits(&second).len() == 3 && hits(&second).iter().all(|hit| hit["index"] == "pictures-2"), "{second}");
    bench.json(&["index", "more/pictures", "--output", "elsewhere", "--model", "other"]);
    let refused = bench.refused(&["serve", "pictures", "elsewhere"]);
    assert!(refused.contains("elsewhere") && refused.contains("--model"), "{refused}");
}

#[test]
fn pictures_are_served_by_their_ids_alone() {
    let bench = Bench::new(4);
    paint(&bench.path("pictures/large.png"), 9, 700);
    fs::write(bench.path("pictures/<b>&\"'.png"), fs::read(bench.picture(1)).unwrap()).unwrap();
    fs::write(bench.path("secret.txt"), "secret").unwrap();
    bench.json(&["index", "pictures", "--model", "model"]);
    let server = Server::start(&bench, &["pictures"]);
    let all = server.good("/search?q=a&k=20", None);
    for hit in hits(&all) {
        let (id, path) = (hit["id"].as_str().unwrap(), hit["path"].as_str().unwrap());
        let file = fs::read(bench.path("pictures").join(path)).unwrap();
        let item = server.good(&format!("/item/{id}"), None);
        assert_eq!((&item["path"], item["size"].as_u64()), (&hit["path"], Some(file.len() as u64)));
        let picture = server.get(&format!("/picture/{id}"));
        assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/png")));
        assert!(picture.body == file, "{path}");
        for (size, side) in [("", 320), ("?size=16", 16), ("?size=1", 1)] {
            let thumb = server.get(&format!("/thumb/{id}{size}"));
            assert_eq!(thumb.header("content-type"), Some("image/jpeg"));
            let thumb = image::load_from_memory(&thumb.body).unwrap();
            let original = if path == "large.png" { 700 } else { 40 };
            assert_eq!(thumb.width().max(thumb.height()), side.min(original), "{path}{size}");
        }
        let head = server.ask("HEAD", &format!("/picture/{id}"), &[], b"");
        assert_eq!(head.header("content-length"), Some(file.len().to_string().as_str()));
        for size in ["0", "1025", "x", "1&size=2", "1&x=1"] {
            assert_eq!(server.get(&format!("/thumb/{id}?size={size}")).status, 400, "{size}");
        }
    }
    for id in [
        "..",
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "0-0-99",
        "0-1-0",
        "1-0-0",
        "0-0-0/",
        "0-0-0%00",
        "0-0--1",
        "0-0-00",
        "0-0-18446744073709551616",
        "0-0-0/../0-0-1",
        "....//secret.txt",
        "%252e%252e%252fsecret.txt",
        "/etc/passwd",
        "file:///etc/passwd",
        "..\\secret.txt",
        "0-0-0;.png",
    ] {
        for route in ["item", "thumb", "picture"] {
            let answer = server.get(&format!("/{route}/{id}"));
            assert_eq!(answer.status, 404, "/{route}/{id}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret\n"));
        }
    }
}

/// An index follows links, and names what is behind them; the server does not leave its folder.
#[cfg(unix)]
#[test]
fn links_that_lead_out_are_not_followed() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new(2);
    fs::create_dir(bench.path("outside")).unwrap();
    paint(&bench.path("outside/a.png"), 50, 40);
    paint(&bench.path("outside/b.png"), 51, 40);
    symlink(bench.path("outside/a.png"), bench.path("pictures/file.png")).unwrap();
    symlink(bench.path("outside"), bench.path("pictures/folder")).unwrap();
    symlink(bench.picture(0), bench.path("pictures/inside.png")).unwrap();
    bench.json(&["index", "pictures", "--model", "model"]);
    let server = Server::start(&bench, &["pictures"]);
    // What is a picture when it is indexed may be something else later.
    fs::remove_file(bench.picture(1)).unwrap();
    fs::write(bench.picture(1), "<script>alert(1)</script>").unwrap();
    let all = server.good("/search?q=a&k=20", None);
    let status = |path: &str, route: &str| {
        let hit = hits(&all).iter().find(|hit| hit["path"] == path).unwrap_or_else(|| panic!("{path}: {all}"));
        server.get(&format!("/{route}/{}", hit["id"].as_str().unwrap())).status
    };
    for route in ["thumb", "picture"] {
        assert_eq!((status("0.png", route), status("inside.png", route)), (200, 200));
        for path in ["file.png", "folder/a.png", "folder/b.png", "1.png"] {
            assert_eq!(status(path, route), 404, "{path}");
        }
    }
    // A folder that becomes a link out is one.
    fs::rename(bench.path("pictures/0.png"), bench.path("outside/0.png")).unwrap();
    symlink(bench.path("outside/0.png"), bench.path("pictures/0.png")).unwrap();
    assert_eq!(status("0.png", "picture"), 404);
}

#[test]
fn an_update_is_served_once_it_is_done() {
    let bench = Bench::new(20);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    let old = server.good("/search?q=a&k=1", None)["hits"][0]["id"].as_str().unwrap().to_owned();
    paint(&bench.picture(20), 20, 40);
    (0..8).for_each(|i| fs::remove_file(bench.picture(i)).unwrap());
    assert_eq!(hits(&server.good("/search?q=a&k=50", None)).len(), 20);
    assert_eq!(server.post("/reindex", &json!({})).status, 202);
    let last = updated(&server);
    let counts = json!({"added": 1, "changed": 0, "moved": 0, "removed": 8, "unchanged": 12, "skipped": 0});
    let mut report = json!({"index": "pictures"});
    report.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
    assert_eq!(last, json!([report]));
    let all = server.good("/search?q=a&k=50", None);
    assert_eq!((hits(&all).len(), all["pictures"].as_u64()), (13, Some(13)));
    // The files were rewritten, so an old id is nobody's: it never shows another picture.
    assert_eq!(server.get(&format!("/item/{old}")).status, 404);
    // Another process that writes the index is told of.
    let store = fs::File::options().write(true).open(bench.path("pictures/.clip-index/index.lock")).unwrap();
    store.lock().unwrap();
    assert_eq!(server.post("/reindex", &json!({})).status, 202);
    assert!(updated(&server)["error"].as_str().unwrap().contains("another process"));
}

#[test]
fn searches_go_on_during_an_update() {
    let bench = Bench::new(10);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    paint(&bench.path("large.png"), 7, 700);
    for i in 0..200 {
        fs::copy(bench.path("large.png"), bench.path(&format!("pictures/new{i}.png"))).unwrap();
    }
    assert_eq!(server.post("/reindex", &json!({})).status, 202);
    let (mut during, mut conflicts, mut counts) = (0, 0, vec![]);
    loop {
        counts.push(server.good("/search?q=a&k=1", None)["pictures"].as_u64().unwrap());
        if server.good("/health", None)["indexing"] == false {
            break;
        }
        during += 1;
        conflicts += usize::from(server.post("/reindex", &json!({})).status == 409);
    }
    assert!(during > 0 && conflicts > 0, "{during} {conflicts}");
    counts.push(server.good("/search?q=a&k=1", None)["pictures"].as_u64().unwrap());
    // All or nothing: an update is seen whole.
    counts.dedup();
    assert_eq!(counts, [10, 210]);
}
