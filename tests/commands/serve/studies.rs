//! Answers that take long: maps and duplicates.

use super::client::Server;
use crate::search::{Bench, paint};
use clipwright::index::{Entry, Index, Store};
use clipwright::layers::normalize::unit;
use clipwright::random::normals;
use serde_json::{Value, json};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn ids(reply: &Value) -> Vec<&str> {
    reply["points"].as_array().unwrap().iter().map(|point| point["id"].as_str().unwrap()).collect()
}

/// Waits until an update is over.
fn update(server: &Server) {
    assert_eq!(server.post("/reindex", &json!({})).status, 202);
    while server.good("/reindex", None)["running"] == true {
        sleep(Duration::from_millis(5));
    }
}

/// An index of so many pictures that nobody has.
fn large(bench: &Bench, n: usize) {
    let known = Index::open(&bench.path("pictures")).unwrap();
    let (model, e) = (known.manifest().model.clone(), known.manifest().embed_dim);
    fs::create_dir(bench.path("large")).unwrap();
    let mut store = Store::open(&bench.path("large/.clip-index"), "..", model, e).unwrap();
    let entry = |i: usize| Entry { path: format!("{i}.png"), size: i as u64, modified: 0 };
    store.append(&(0..n).map(entry).collect::<Vec<_>>(), unit(normals((n, e), 1).view()).view()).unwrap();
}

#[test]
fn the_map_is_that_of_the_command_and_follows_the_index() {
    let bench = Bench::new(20);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    let map = server.whole("/map");
    let expected = bench.json(&["map", "pictures"]);
    assert_eq!((&map["clusters"], map["pictures"].as_u64()), (&expected["clusters"], Some(20)));
    for (point, expected) in map["points"].as_array().unwrap().iter().zip(expected["points"].as_array().unwrap()) {
        assert_eq!(format!("pictures/{}", point["path"].as_str().unwrap()), expected["path"].as_str().unwrap());
        assert_eq!(
            ["x", "y", "cluster"].map(|field| &point[field]),
            ["x", "y", "cluster"].map(|field| &expected[field])
        );
    }
    let item = server.good(&format!("/item/{}", ids(&map)[7]), None);
    assert_eq!(item["path"], map["points"][7]["path"]);
    // What is kept is there at once, and only as long as it is true.
    let start = Instant::now();
    (0..20).for_each(|_| assert_eq!(server.good("/map", None), map));
    assert!(start.elapsed() < Duration::from_secs(1));
    paint(&bench.picture(20), 20, 40);
    update(&server);
    assert_eq!(ids(&server.whole("/map")).len(), 21);
    assert!(server.get("/map?index=none").fault(404).contains("none"));
    assert!(server.get("/map?most=1").fault(400).contains("most"));
}

#[test]
fn duplicates_are_those_of_the_command_within_each_index() {
    let bench = Bench::new(6);
    for (from, to) in [(1, "pictures/one.png"), (1, "pictures/sub/once more.png"), (2, "pictures/two.png")] {
        fs::copy(bench.picture(from), bench.path(to)).unwrap();
    }
    bench.index();
    fs::create_dir_all(bench.path("more/pictures")).unwrap();
    [7, 8].iter().for_each(|i| paint(&bench.path(&format!("more/pictures/{i}.png")), 7, 40));
    bench.json(&["index", "more/pictures", "--model", "model"]);
    let server = Server::start(&bench, &["pictures", "more/pictures"]);
    let found = server.whole("/duplicates?above=0.99999&keep=shortest-path");
    let groups = found["exact"]["groups"].as_array().unwrap();
    let said = |group: &Value| {
        let path =
            |picture: &Value| format!("{}/{}", picture["index"].as_str().unwrap(), picture["path"].as_str().unwrap());
        let others: Vec<String> = group["others"].as_array().unwrap().iter().map(path).collect();
        [vec![path(&group["kept"])], others].concat()
    };
    let groups: Vec<Vec<String>> = groups.iter().map(said).collect();
    assert_eq!(
        groups,
        [
            vec!["pictures/1.png", "pictures/one.png", "pictures/sub/once more.png"],
            vec!["pictures/two.png", "pictures/sub/2.png"],
            vec!["pictures-2/7.png", "pictures-2/8.png"],
        ]
    );
    assert_eq!((found["not_kept"].as_u64(), found["exact"]["count"].as_u64()), (Some(4), Some(3)));
    let only = server.whole("/duplicates?above=0.99999&index=pictures-2");
    assert_eq!((only["pictures"].as_u64(), only["exact"]["count"].as_u64()), (Some(2), Some(1)));
    // A lower bar finds what the command finds.
    let found = server.whole("/duplicates?above=0.5&index=pictures");
    let expected = bench.json(&["duplicates", "pictures", "--above", "0.5"]);
    let scores = |groups: &Value| {
        let others = groups.as_array().unwrap().iter().flat_map(|group| group["others"].as_array().unwrap());
        others.map(|other| other["score"].clone()).collect::<Vec<_>>()
    };
    assert!(!scores(&expected["near"]).is_empty(), "{expected}");
    assert_eq!(scores(&found["near"]["groups"]), scores(&expected["near"]));
    assert!(server.get("/duplicates?above=2").fault(400).contains("above"));
    assert!(server.get("/duplicates?keep=newest").fault(400).contains("shortest-path"));
}

#[test]
fn work_goes_on_in_the_background_and_ends_when_nobody_asks_for_it() {
    let bench = Bench::new(3);
    bench.index();
    large(&bench, 20_000);
    let server = Server::start(&bench, &["pictures", "large"]);
    let asked = server.get("/map?index=large");
    assert_eq!(asked.status, 202, "twenty thousand pictures in a second");
    assert!(server.get("/map?index=large").json()["running"] == true);
    // Searches do not wait for it.
    let start = Instant::now();
    server.good("/search?q=a&k=1", None);
    assert!(start.elapsed() < Duration::from_secs(2));
    // The next question is told that it waits, until the first has been given up.
    let waiting = server.get("/map?index=pictures").json();
    assert_eq!((&waiting["what"], &waiting["running"]), (&json!("waiting"), &json!(true)));
    let start = Instant::now();
    server.whole("/map?index=pictures");
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(server.get("/map?index=large").status, 202, "what was given up begins anew");
}
