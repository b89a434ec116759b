//! `clipwright index` on collections as they are: with folders of other programs in them, and pictures that move.

use super::search::{Bench, counts, paint};
use std::fs;

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
