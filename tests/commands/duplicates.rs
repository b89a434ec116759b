//! `clipwright duplicates` as its users see it.

use super::search::{Bench, Outcome, paint};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Writes a picture nearly like another: of one pixel, one colour is another.
fn touch_up(from: &Path, to: &Path, colour: usize) {
    let mut picture = image::open(from).unwrap().into_rgb8();
    let pixel = picture.get_pixel_mut(3, 3);
    pixel.0[colour] ^= 8;
    picture.save(to).unwrap();
}

/// Twelve pictures, of which 1 is there three times, and 3 and 4 nearly twice. The cosines of others are far from 1.
fn collection() -> Bench {
    let bench = Bench::new(12);
    let at = |name: &str| bench.path("pictures").join(name);
    for copy in ["a long name of 1.png", "sub/one.png"] {
        fs::copy(at("1.png"), at(copy)).unwrap();
    }
    touch_up(&at("3.png"), &at("3 once more.png"), 0);
    touch_up(&at("4.png"), &at("4 once more.png"), 0);
    touch_up(&at("1.png"), &at("1 near.png"), 0);
    bench.index();
    bench
}

fn kept(groups: &Value) -> Vec<&str> {
    groups.as_array().unwrap().iter().map(|group| group["kept"].as_str().unwrap()).collect()
}

fn others(group: &Value) -> Vec<&str> {
    group["others"].as_array().unwrap().iter().map(|other| other["path"].as_str().unwrap()).collect()
}

const ABOVE: &str = "0.9995";

#[test]
fn copies_and_near_pictures_are_in_groups() {
    let bench = collection();
    let found = bench.json(&["duplicates", "pictures", "--above", ABOVE, "--keep", "shortest-path"]);
    assert_eq!(found["pictures"], 17);
    assert_eq!(kept(&found["exact"]), ["pictures/1.png"]);
    assert_eq!(others(&found["exact"][0]), ["pictures/sub/one.png", "pictures/a long name of 1.png"]);
    let mut near = kept(&found["near"]);
    near.sort();
    assert_eq!(near, ["pictures/1.png", "pictures/3.png", "pictures/4.png"]);
    for group in found["near"].as_array().unwrap() {
        let score = group["others"][0]["score"].as_f64().unwrap();
        assert!((0.9995..1.001).contains(&score), "{score}");
    }
    let list = [
        "pictures/1 near.png",
        "pictures/3 once more.png",
        "pictures/4 once more.png",
        "pictures/a long name of 1.png",
        "pictures/sub/one.png",
    ];
    assert_eq!(found["not_kept"], json!(list));
    let text = bench.run(&["duplicates", "pictures", "--above", ABOVE, "--keep", "shortest-path"]);
    assert_eq!((text.code, text.out, text.error), (0, list.join("\n") + "\n", String::new()));
    assert!(list.iter().all(|path| bench.path(path).is_file()), "nothing is deleted");

    let text = bench.run(&["duplicates", "pictures", "--above", ABOVE]).out;
    assert!(text.starts_with("3 with the same bytes\n          pictures/1.png\n          pictures/"), "{text}");
    let end = "17 pictures: 1 group of the same bytes, 3 groups with cosines of 0.9995 or more; without 5 there would be none\n";
    assert!(text.ends_with(end), "{text}");
    // The scores are those of a search.
    let search = bench.json(&["search", "pictures", "--image", "pictures/3.png", "-k", "2"]);
    let near = found["near"].as_array().unwrap().iter().find(|group| group["kept"] == "pictures/3.png").unwrap();
    let difference = search["hits"][1]["score"].as_f64().unwrap() - near["others"][0]["score"].as_f64().unwrap();
    assert!(difference.abs() < 1e-3, "{difference}");
}

#[test]
fn the_rule_says_which_is_kept() {
    let bench = Bench::new(3);
    let at = |name: &str| bench.path("pictures").join(name);
    // The same pixels in a larger file, which is younger and has the longest name.
    let large = [fs::read(at("0.png")).unwrap(), vec![0; 500]].concat();
    fs::write(at("0 large.png"), large).unwrap();
    fs::copy(at("0.png"), at("00.png")).unwrap();
    for (name, seconds) in [("0 large.png", 30), ("0.png", 20), ("00.png", 10)] {
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(at(name)).unwrap().set_modified(time).unwrap();
    }
    bench.index();
    for (rule, not_kept) in [
        ("best", ["0.png", "00.png"]),
        ("oldest", ["0 large.png", "0.png"]),
        ("shortest-path", ["0 large.png", "00.png"]),
    ] {
        let found = bench.json(&["duplicates", "pictures", "--above", ABOVE, "--keep", rule]);
        assert_eq!(found["not_kept"], json!(not_kept.map(|name| format!("pictures/{name}"))), "{rule}");
    }
}

#[test]
fn an_index_is_looked_for_in_another() {
    let bench = collection();
    fs::create_dir(bench.path("train")).unwrap();
    fs::copy(bench.picture(1), bench.path("train/x.png")).unwrap();
    touch_up(&bench.picture(4), &bench.path("train/y.png"), 1);
    paint(&bench.path("train/z.png"), 500, 40);
    bench.json(&["index", "train", "--model", "model"]);
    let args = ["duplicates", "train", "pictures", "--above", ABOVE];
    let found = bench.json(&args);
    assert_eq!((&found["pictures"], &found["others"]), (&3.into(), &17.into()));
    let [exact, near] = ["exact", "near"].map(|kind| found[kind].as_array().unwrap().clone());
    assert_eq!((exact.len(), &exact[0]["path"], exact[0].get("score")), (1, &"train/x.png".into(), None));
    assert!(exact[0]["other"].as_str().unwrap().starts_with("pictures/"));
    assert_eq!(near.len(), 1);
    assert_eq!((near[0]["path"].as_str(), near[0]["score"].as_f64() > Some(0.9995)), (Some("train/y.png"), true));
    let text = bench.run(&args);
    let end = "2 of 3 pictures found among the other 17: 1 with the same bytes, 1 with cosines of 0.9995 or more\n";
    assert!(text.code == 0 && text.out.ends_with(end), "{}", text.out);

    let failed = bench.run(&[&args[..], &["--fail"]].concat());
    assert_eq!((failed.code, failed.error.as_str()), (1, "error: duplicates: 2 of 3 pictures\n"));
    assert_eq!(failed.out, text.out);
    fs::remove_file(bench.path("train/x.png")).unwrap();
    fs::remove_file(bench.path("train/y.png")).unwrap();
    bench.json(&["index", "train"]);
    let clean = bench.run(&[&args[..], &["--fail"]].concat());
    assert_eq!((clean.code, clean.error.as_str()), (0, ""));
    assert!(clean.out.starts_with("0 of 1 picture found among the other 17"), "{}", clean.out);

    bench.json(&["index", "train", "--output", "foreign", "--model", "other"]);
    let error = bench.refused(&["duplicates", "foreign", "pictures"]);
    assert!(error.contains("an index of embeddings by"), "{error}");
}

#[test]
fn a_page_shows_the_groups() {
    let bench = collection();
    let odd = "pictures/<b>\"&.png";
    touch_up(&bench.picture(6), &bench.path(odd), 0);
    fs::remove_file(bench.path("pictures/1 near.png")).unwrap();
    bench.index();
    fs::remove_file(bench.path("pictures/3 once more.png")).unwrap();
    let outcome = bench.run(&["duplicates", "pictures", "--above", ABOVE, "--html", "pictures/sub/page.html"]);
    assert_eq!((outcome.code, outcome.error.as_str()), (0, ""));
    let html = fs::read_to_string(bench.path("pictures/sub/page.html")).unwrap();
    assert_eq!(html.matches("data:image/jpeg;base64,").count(), 8);
    assert_eq!(html.matches("cannot be read").count(), 1);
    assert!(html.contains("The same bytes: 1 group<") && html.contains("Near each other: 3 groups<"), "{html}");
    assert!(html.contains("&lt;b&gt;&quot;&amp;.png") && !html.contains("<b>\""), "{html}");
    assert!(html.contains("href=\"./../1.png\"") && html.contains("<b>kept</b>"), "{html}");
}

#[test]
fn nothing_twice_is_no_line_and_mistakes_have_messages() {
    let bench = Bench::new(3);
    bench.index();
    let none = bench.run(&["duplicates", "pictures", "--above", ABOVE, "--keep", "best", "--fail"]);
    assert_eq!((none.code, none.out.as_str(), none.error.as_str()), (0, "", ""));
    let found = bench.json(&["duplicates", "pictures", "--above", ABOVE, "--keep", "best"]);
    assert_eq!((&found["exact"], &found["near"], &found["not_kept"]), (&json!([]), &json!([]), &json!([])));
    // Without digests, copies are found by their embeddings, and that is said.
    fs::copy(bench.picture(0), bench.path("pictures/copy.png")).unwrap();
    bench.index();
    fs::write(bench.path("pictures/.clip-index/digests-0.u128"), [0; 64]).unwrap();
    let Outcome { code, out, error } = bench.run(&["duplicates", "pictures", "--above", ABOVE]);
    assert!(code == 0 && out.contains("0 groups of the same bytes, 1 group with"), "{out}");
    assert!(error.contains("the bytes of 4 pictures are unknown"), "{error}");
    // The next update reads the files.
    bench.index();
    assert!(
        bench.run(&["duplicates", "pictures", "--above", ABOVE]).out.contains(": 1 group of the same bytes, 0 groups")
    );
    for args in [
        &["duplicates", "pictures", "--above", "1.5"][..],
        &["duplicates", "pictures", "--keep", "newest"],
        &["duplicates", "pictures", "pictures", "--keep", "best"],
        &["duplicates", "pictures", "--html", "page.txt"],
    ] {
        assert_eq!(bench.run(args).code, 2, "{args:?}");
    }
    assert!(bench.refused(&["duplicates", "model"]).contains("model: no index here"));
    assert!(bench.refused(&["duplicates", "pictures", "--html", "no/page.html"]).contains("no/page.html"));
}
