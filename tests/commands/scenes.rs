//! `clipwright scenes` against the readers of `train`, `eval` and of annotations.

use super::bench::{bench, lines};
use clipwright::datasets::annotations::visual_questions;
use clipwright::datasets::{BadLimit, Example, OwnPairs, PairLayout};
use clipwright::random::rng;

#[test]
fn scenes_read_back_and_are_never_written_over() {
    let bench = bench();
    let write = ["scenes", "--count", "12", "--image-size", "48", "--languages", "en,ru", "--json", "--out"];
    let said = bench.run_alone(&[&write[..], &["folder"]].concat());
    assert_eq!((said.code, said.error.as_str()), (0, ""));
    let said = &lines(&said.out)[0];
    assert_eq!((&said["scenes"], &said["wrong"]), (&12.into(), &0.into()));
    assert_eq!(bench.run_alone(&[&write[..], &["shards", "--format", "webdataset"]].concat()).code, 0);
    let read = |name: &str| {
        let path = bench.path(name);
        let pairs = OwnPairs::open(path.to_str().unwrap(), &PairLayout::default(), BadLimit::default()).unwrap();
        let mut example = Example::default();
        let one = |i| {
            pairs.dataset().read(i, &mut rng(&[]), &mut example).unwrap();
            (example.picture.samples.clone(), example.caption.clone())
        };
        (0..pairs.dataset().concepts().len()).map(one).collect::<Vec<_>>()
    };
    let folder = read("folder");
    assert_eq!(folder.len(), 12);
    assert!(folder == read("shards"));
    let file = |name: &str| bench.path("folder").join(name);
    let questions = visual_questions(&file("questions.json"), Some(&file("answers.json")), &file("images")).unwrap();
    assert_eq!(said["questions"], questions.len());
    assert!(questions.iter().all(|question| question.picture.is_file() && question.answers.len() == 10));
    let again = bench.run_alone(&[&write[..], &["folder"]].concat());
    assert_eq!((again.code, again.error.as_str()), (1, "error: folder: is not empty\n"));
    let bad = bench.run_alone(&[&write[..], &["new", "--languages", "ja"]].concat());
    assert!(bad.code == 2 && !bench.path("new").exists());
}
