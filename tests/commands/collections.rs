//! `clipwright index` on collections as they are: with folders of other programs in them, and pictures that move.

use super::search::{Bench, counts, paint};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[test]
fn what_is_excluded_is_counted_remembered_and_can_be_forgotten() {
    let bench = Bench::new(6);
    for folder in ["@eaDir", "sub/@eaDir", "drafts/old"] {
        fs::create_dir_all(bench.path("pictures").join(folder)).unwrap();
        paint(&bench.path("pictures").join(folder).join("x.png"), 99, 40);
    }
    let report = bench.json(&["index", "pictures", "--model", "model"]);
    assert_eq!(counts(&report), [7, 7, 0, 0, 0]);
    assert_eq!(report["passed_over"], serde_json::json!({"@eaDir/": 2}));

    let exclude = ["index", "pictures", "--exclude", "drafts", "--exclude", "sub/*.png"];
    let report = bench.json(&exclude);
    assert_eq!(counts(&report), [4, 0, 0, 3, 4]);
    let left = serde_json::json!({"@eaDir/": 2, "excluded by drafts": 1, "excluded by sub/*.png": 2});
    assert_eq!(report["passed_over"], left);
    // The next update means the same pictures.
    assert_eq!(counts(&bench.json(&["index", "pictures"])), [4, 0, 0, 0, 4]);
    let said = bench.run(&["index", "pictures"]).out;
    let line = "passed over: 2 @eaDir/, 2 excluded by sub/*.png, 1 excluded by drafts\n";
    assert!(said.ends_with(line), "{said}");
    // Other patterns take their place, and none leaves all in.
    assert_eq!(counts(&bench.json(&["index", "pictures", "--exclude", "DRAFTS/**"])), [6, 2, 0, 0, 4]);
    assert_eq!(counts(&bench.json(&["index", "pictures", "--exclude-nothing"])), [7, 1, 0, 0, 6]);

    let error = bench.refused(&["index", "pictures", "--exclude", "*.png"]);
    assert!(error.contains("pictures: no picture in it; passed over: "), "{error}");
    assert_eq!(bench.run(&["index", "pictures", "--exclude", "a["]).code, 2);
    assert_eq!(bench.run(&["index", "pictures", "--exclude", "a", "--exclude-nothing"]).code, 2);
}

#[test]
fn every_command_that_reads_folders_excludes() {
    let bench = Bench::new(6);
    let outcome = bench.run(&["embed", "pictures", "--model", "model", "--exclude", "sub"]);
    assert_eq!((outcome.code, outcome.out.lines().count()), (0, 4));
    assert_eq!(outcome.error, "passed over: 1 excluded by sub\n");
    // A picture that is named is meant.
    let named = bench.run(&["embed", &Bench::name(2), "--model", "model", "--exclude", "sub"]);
    assert_eq!((named.code, named.out.lines().count()), (0, 1));
    let labels = ["classify", "pictures", "--model", "model", "--labels", "a,b", "--exclude", "?.png", "--json"];
    assert!(bench.run(&labels).error.contains("no picture in it; passed over: "));
}

/// Updates the index; returns (added, changed, moved, removed, unchanged).
fn update(bench: &Bench) -> [u64; 5] {
    let report = bench.json(&["index", "pictures"]);
    ["added", "changed", "moved", "removed", "unchanged"].map(|field| report[field].as_u64().unwrap())
}

/// Returns the path of the best hit for a picture outside of the folder, and its score.
fn nearest(bench: &Bench, image: &str) -> (String, f64) {
    let hit = &bench.json(&["search", "pictures", "--image", image, "-k", "1"])["hits"][0];
    (hit["path"].as_str().unwrap().into(), hit["score"].as_f64().unwrap())
}

/// Checks that every picture of the folder is found by itself, and nothing else is in the index.
#[track_caller]
fn check(bench: &Bench, expected: &[&str]) {
    let rows = bench.json(&["search", "pictures", "a cat", "-k", "100"]);
    let mut paths: Vec<&str> =
        rows["hits"].as_array().unwrap().iter().map(|hit| hit["path"].as_str().unwrap()).collect();
    paths.sort();
    let mut expected: Vec<String> = expected.iter().map(|name| format!("pictures/{name}")).collect();
    expected.sort();
    assert_eq!(paths, expected);
    for path in expected {
        assert!(nearest(bench, &path).1 > 0.999, "{path}");
    }
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_was_moved_or_copied_is_not_embedded_again() {
    let bench = Bench::new(6);
    bench.index();
    let at = |name: &str| bench.path("pictures").join(name);
    fs::create_dir_all(at("new/deep")).unwrap();
    fs::rename(at("0.png"), at("new/deep/0.png")).unwrap();
    fs::rename(at("1.png"), at("renamed.PNG")).unwrap();
    fs::rename(at("sub"), at("below")).unwrap();
    assert_eq!(update(&bench), [0, 0, 4, 0, 2]);
    check(&bench, &["new/deep/0.png", "renamed.PNG", "below/2.png", "3.png", "4.png", "below/5.png"]);
    assert_eq!(update(&bench), [0, 0, 0, 0, 6]);

    // A copy, and two copies of one that has left: one of them is it.
    fs::copy(at("3.png"), at("copy.png")).unwrap();
    fs::copy(at("4.png"), at("a.png")).unwrap();
    fs::rename(at("4.png"), at("b.png")).unwrap();
    assert_eq!(update(&bench), [2, 0, 1, 0, 5]);
    let names = ["new/deep/0.png", "renamed.PNG", "below/2.png", "3.png", "copy.png", "a.png", "b.png", "below/5.png"];
    check(&bench, &names);
    // One of the copies moves.
    fs::rename(at("a.png"), at("c.png")).unwrap();
    assert_eq!(update(&bench), [0, 0, 1, 0, 7]);
    let said = bench.run(&["index", "pictures"]).out;
    assert!(said.contains(": 8 pictures: 0 added, 0 changed, 0 moved, 0 removed, 8 as they were"), "{said}");
}

#[test]
fn two_names_are_exchanged_and_a_new_picture_takes_an_old_name() {
    let bench = Bench::new(4);
    let at = |i: usize| bench.picture(i);
    (0..4).for_each(|i| set_time(&at(i), 1000 + i as u64));
    bench.index();
    let by_name = |name: usize| fs::read(at(name)).unwrap();
    let (zero, one) = (by_name(0), by_name(1));
    fs::rename(at(0), bench.path("aside")).unwrap();
    fs::rename(at(1), at(0)).unwrap();
    fs::rename(bench.path("aside"), at(1)).unwrap();
    assert_eq!(update(&bench), [0, 0, 2, 0, 2]);
    for (bytes, name) in [(zero, 1), (one, 0)] {
        fs::write(bench.path("query.png"), bytes).unwrap();
        assert_eq!(nearest(&bench, "query.png").0, Bench::name(name));
    }

    // 3.png moves, and another picture comes to its place.
    fs::rename(at(3), at(9)).unwrap();
    paint(&at(3), 77, 44);
    assert_eq!(update(&bench), [0, 1, 1, 0, 3]);
    fs::write(bench.path("query.png"), by_name(3)).unwrap();
    assert_eq!(nearest(&bench, "query.png").0, Bench::name(3));
    // A copy takes the place of another picture.
    fs::copy(at(9), at(0)).unwrap();
    assert_eq!(update(&bench), [0, 1, 0, 0, 4]);
    // A new time alone changes nothing.
    set_time(&at(9), 5);
    assert_eq!(update(&bench), [0, 0, 0, 0, 5]);
    check(&bench, &["0.png", "1.png", "sub/2.png", "3.png", "9.png"]);
}

#[test]
fn other_bytes_of_the_same_size_are_another_picture() {
    let bench = Bench::new(3);
    // What stands behind the end of a picture is not looked at, but makes sizes equal.
    let padded = |from: &Path| [fs::read(from).unwrap(), vec![0; 4096]].concat()[..4096].to_vec();
    (0..3).for_each(|i| fs::write(bench.picture(i), padded(&bench.picture(i))).unwrap());
    bench.index();
    paint(&bench.path("new.png"), 50, 40);
    fs::write(bench.picture(1), padded(&bench.path("new.png"))).unwrap();
    set_time(&bench.picture(1), 77);
    assert_eq!(update(&bench), [0, 1, 0, 0, 2]);
    assert_eq!(nearest(&bench, "new.png").0, Bench::name(1));
    // Neither size nor time of change is new, so it counts as the same, as ever.
    fs::write(bench.picture(1), padded(&bench.picture(0))).unwrap();
    set_time(&bench.picture(1), 77);
    assert_eq!(update(&bench), [0, 0, 0, 0, 3]);
}

#[test]
fn an_index_without_digests_gets_them() {
    let bench = Bench::new(5);
    bench.index();
    let index = bench.path("pictures/.clip-index");
    let file = index.join("digests-0.u128");
    let digests = fs::read(&file).unwrap();
    assert!(digests.len() == 5 * 16 && digests.iter().any(|&byte| byte != 0));
    let json: Value = serde_json::from_slice(&fs::read(index.join("index.json")).unwrap()).unwrap();
    let mut old = json.clone();
    old["version"] = 3.into();
    fs::write(index.join("index.json"), old.to_string()).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(bench.json(&["search", "pictures", "a cat"])["pictures"], 5);
    assert!(!file.exists());
    assert_eq!(update(&bench), [0, 0, 0, 0, 5]);
    assert_eq!(fs::read(&file).unwrap(), digests);
    // The file alone may be lost as well.
    fs::remove_file(&file).unwrap();
    fs::rename(bench.picture(0), bench.path("pictures/moved.png")).unwrap();
    assert_eq!(update(&bench), [1, 0, 0, 1, 4], "it could not be recognised");
    assert_eq!(update(&bench), [0, 0, 0, 0, 5]);
    fs::rename(bench.path("pictures/moved.png"), bench.picture(0)).unwrap();
    assert_eq!(update(&bench), [0, 0, 1, 0, 4]);
}

#[cfg(unix)]
#[test]
fn what_is_below_a_folder_that_cannot_be_read_has_not_moved() {
    let bench = Bench::new(6);
    bench.index();
    let away = bench.path("away");
    fs::rename(bench.path("pictures/sub"), &away).unwrap();
    std::os::unix::fs::symlink("sub", bench.path("pictures/sub")).unwrap();
    fs::copy(away.join("2.png"), bench.path("pictures/2.png")).unwrap();
    let report = bench.run(&["index", "pictures", "--skip-unreadable"]).out;
    assert!(report.contains(": 7 pictures: 1 added, 0 changed, 0 moved, 0 removed, 4 as they were"), "{report}");
}
