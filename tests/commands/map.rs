//! `clipwright map` as its users see it.

use super::search::{Bench, paint};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;

fn array<'a>(report: &'a Value, field: &str) -> &'a Vec<Value> {
    report[field].as_array().unwrap()
}

/// Twenty-four pictures in two indexes, each of which is there with a copy.
fn collection() -> Bench {
    let bench = Bench::new(12);
    for i in 0..12 {
        fs::copy(bench.picture(i), bench.path(&format!("pictures/copy of {i}.png"))).unwrap();
    }
    bench.index();
    fs::create_dir(bench.path("more")).unwrap();
    (100..106).for_each(|i| paint(&bench.path(&format!("more/{i}.png")), i, 40));
    bench.json(&["index", "more", "--model", "model"]);
    bench
}

#[test]
fn every_picture_has_a_place_beside_its_copy_and_a_region_with_a_name_of_its_own() {
    let bench = collection();
    let found = bench.json(&["map", "pictures", "more", "--clusters", "5"]);
    let (points, clusters) = (array(&found, "points"), array(&found, "clusters"));
    assert_eq!((found["pictures"].as_u64(), found["left_out"].as_u64(), points.len()), (Some(30), Some(0), 30));
    let names: HashSet<&str> = clusters.iter().map(|cluster| cluster["name"].as_str().unwrap()).collect();
    assert_eq!((clusters.len(), names.len()), (5, 5), "{clusters:?}");
    for (i, cluster) in clusters.iter().enumerate() {
        let own = points.iter().filter(|point| point["cluster"] == i).count();
        assert_eq!(cluster["pictures"].as_u64(), Some(own as u64));
    }
    let place = |path: &str| {
        let point = points.iter().find(|point| point["path"] == path).unwrap_or_else(|| panic!("{path}: {points:?}"));
        ["x", "y"].map(|axis| point[axis].as_f64().unwrap())
    };
    assert!(
        points.iter().all(|point| ["x", "y"].iter().all(|axis| (0.0..=1.0).contains(&point[axis].as_f64().unwrap())))
    );
    for i in 0..12 {
        let (own, copy) = (place(&Bench::name(i)), place(&format!("pictures/copy of {i}.png")));
        let distance = |other: [f64; 2]| (own[0] - other[0]).hypot(own[1] - other[1]);
        let others = points.iter().filter(|point| point["path"] != Bench::name(i));
        let nearest = others.map(|point| distance(place(point["path"].as_str().unwrap()))).fold(f64::MAX, f64::min);
        assert_eq!(distance(copy), nearest, "{i}");
    }
    assert_eq!(bench.json(&["map", "pictures", "more", "--clusters", "5"]), found, "the same map each time");
    assert_ne!(bench.json(&["map", "pictures", "more", "--clusters", "5", "--linear"])["points"], found["points"]);
}

#[test]
fn words_are_of_a_file_and_some_pictures_may_be_left_out() {
    let bench = collection();
    fs::write(bench.path("words.txt"), "red\nblue\n").unwrap();
    let args = ["map", "pictures", "--words", "words.txt", "--clusters", "3", "--most", "16"];
    let found = bench.json(&args);
    assert_eq!((found["pictures"].as_u64(), found["left_out"].as_u64()), (Some(24), Some(8)));
    let mut names: Vec<&str> =
        array(&found, "clusters").iter().filter_map(|cluster| cluster["name"].as_str()).collect();
    names.sort();
    assert_eq!((array(&found, "clusters").len(), names), (3, vec!["blue", "red"]));
    let text = bench.run(&args).out;
    assert!(
        text.contains("  (no word)\n") && text.ends_with("24 pictures in 3 regions; 8 left out (--most)\n"),
        "{text}"
    );
}

#[test]
fn the_page_has_all_places_and_small_pictures() {
    let bench = Bench::new(10);
    fs::copy(bench.picture(0), bench.path("pictures/<b>\"&.png")).unwrap();
    bench.index();
    fs::remove_file(bench.picture(1)).unwrap();
    let outcome = bench.run(&["map", "pictures", "--html", "pictures/sub/map.html"]);
    assert_eq!((outcome.code, outcome.error.as_str()), (0, ""));
    let html = fs::read_to_string(bench.path("pictures/sub/map.html")).unwrap();
    let told = html.split("id=\"map\">").nth(1).unwrap().split("</script>").next().unwrap();
    let map: Value = serde_json::from_str(told).unwrap();
    let points = array(&map, "points");
    assert_eq!((points.len(), points.iter().filter(|point| point["small"].is_string()).count()), (11, 10));
    let odd = points.iter().find(|point| point["path"] == "pictures/<b>\"&.png").unwrap();
    assert_eq!(odd["link"], "./../%3Cb%3E%22%26.png");
    assert!(!html.contains("<b>\"") && !html.contains("http"), "{html}");
}

#[test]
fn mistakes_have_messages() {
    let bench = Bench::new(1);
    bench.index();
    let one = bench.json(&["map", "pictures"]);
    assert_eq!((&one["points"][0]["x"], array(&one, "clusters").len()), (&0.5.into(), 1));
    bench.json(&["index", "pictures", "--output", "elsewhere", "--model", "other"]);
    assert!(bench.refused(&["map", "pictures", "elsewhere"]).contains("an index of embeddings by"));
    assert!(bench.refused(&["map", "model"]).contains("model: no index here"));
    assert!(bench.refused(&["map", "pictures", "--words", "none.txt"]).contains("none.txt"));
    assert!(bench.refused(&["map", "pictures", "--html", "no/map.html"]).contains("no/map.html"));
    for args in [&["map"][..], &["map", "pictures", "--html", "map.txt"], &["map", "pictures", "--clusters", "0"]] {
        assert_eq!(bench.run(args).code, 2, "{args:?}");
    }
}
