//! Tests of the readers of captions, questions and answers in COCO's, Karpathy's, BLIP's and VQA's layouts.

use clipwright::datasets::annotations::{CaptionedPicture, VisualQuestion, captions, visual_questions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn written(folder: &TempDir, name: &str, json: &Value) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, json.to_string()).unwrap();
    path
}

fn read(json: &Value) -> Result<Vec<CaptionedPicture>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "captions.json", json);
    captions(&path, Path::new("coco")).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "…"))
}

fn picture(path: &str, captions: &[&str], split: Option<&str>) -> CaptionedPicture {
    let captions = captions.iter().map(|caption| caption.to_string()).collect();
    CaptionedPicture { picture: Path::new("coco").join(path), captions, split: split.map(str::to_owned) }
}

#[test]
fn captions_are_read_from_three_layouts() {
    let coco = json!({
        "info": {}, "licenses": [],
        "images": [{ "license": 4, "file_name": "7.jpg", "id": 7 }, { "file_name": "5.jpg", "id": 5 }],
        "annotations": [
            { "image_id": 5, "id": 1, "caption": "A dog." }, { "image_id": 7, "id": 2, "caption": "A cat" },
            { "image_id": 5, "id": 3, "caption": "The dog" },
        ],
    });
    assert_eq!(
        read(&coco).unwrap(),
        [picture("7.jpg", &["A cat"], None), picture("5.jpg", &["A dog.", "The dog"], None)]
    );
    let listed = json!({ "images": [{ "file_name": "7.jpg", "id": 7 }] });
    assert_eq!(read(&listed).unwrap(), [picture("7.jpg", &[], None)]);

    let sentence = |raw| json!({ "tokens": [], "raw": raw, "imgid": 0, "sentid": 1 });
    let karpathy = json!({ "dataset": "coco", "images": [
        { "filepath": "val2014", "filename": "7.jpg", "split": "test", "imgid": 0, "cocoid": 7, "sentences": [sentence("A cat"), sentence("Cat.")] },
        { "filename": "5.jpg", "split": "restval", "sentences": [sentence("A dog")] },
    ] });
    let right =
        [picture("val2014/7.jpg", &["A cat", "Cat."], Some("test")), picture("5.jpg", &["A dog"], Some("restval"))];
    assert_eq!(read(&karpathy).unwrap(), right);

    let rows = json!([
        { "image": "val2014/7.jpg", "caption": ["A cat", "Cat."] }, { "image": "5.jpg", "caption": "A dog", "image_id": "coco_5" },
        { "image": "val2014/7.jpg", "caption": "The cat" },
    ]);
    let right = [picture("val2014/7.jpg", &["A cat", "Cat.", "The cat"], None), picture("5.jpg", &["A dog"], None)];
    assert_eq!(read(&rows).unwrap(), right);
}

#[test]
fn captions_that_do_not_fit_together_are_an_error() {
    let at = "…: not annotations that can be used: ";
    let image = |id: u64| json!({ "file_name": "7.jpg", "id": id });
    let strange = json!({ "images": [image(7)], "annotations": [{ "image_id": 8, "caption": "A cat" }] });
    assert_eq!(read(&strange).unwrap_err(), format!("{at}a caption of the picture 8, which it does not list"));
    let twice = json!({ "images": [image(7), image(7)], "annotations": [] });
    assert_eq!(read(&twice).unwrap_err(), format!("{at}two pictures with the id 7"));
    let nameless = json!({ "images": [image(7), { "id": 8 }] });
    assert_eq!(read(&nameless).unwrap_err(), format!("{at}picture 2 of the file has no file_name or filename"));
    for other in [
        json!({ "a": 1 }),
        json!(3),
        json!([{ "image": "7.jpg" }]),
        json!({ "images": [image(7)], "annotations": [{}] }),
    ] {
        let error = read(&other).unwrap_err();
        assert!(error.starts_with(at) && error.contains("line 1"), "{error}");
    }
}

fn asked(question: &Value, answers: Option<&Value>) -> Result<Vec<VisualQuestion>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "questions.json", question);
    let answers = answers.map(|answers| written(&folder, "answers.json", answers));
    let read = visual_questions(&path, answers.as_deref(), Path::new("coco"));
    read.map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "…"))
}

#[test]
fn questions_find_their_pictures_and_answers() {
    let ask = |id: u64| json!({ "question_id": id, "image_id": 262_148, "question": "Is it?" });
    let answer = |id: u64, answer: &str| {
        json!({ "question_id": id, "question_type": "is it", "answers": [
        { "answer_id": 1, "answer": answer, "answer_confidence": "yes" }, { "answer_id": 2, "answer": "no" },
    ] })
    };
    let file =
        |questions: &[Value]| json!({ "data_subtype": "val2014", "data_type": "mscoco", "questions": questions });
    let answers = |answers: &[Value]| json!({ "annotations": answers });
    let question = |id, answers: &[&str]| VisualQuestion {
        id,
        picture: "coco/COCO_val2014_000000262148.jpg".into(),
        question: "Is it?".into(),
        answers: answers.iter().map(|answer| answer.to_string()).collect(),
    };
    let two = file(&[ask(1), ask(2)]);
    assert_eq!(asked(&two, None).unwrap(), [question(1, &[]), question(2, &[])]);
    let both = asked(&two, Some(&answers(&[answer(2, "yes"), answer(1, "maybe")]))).unwrap();
    assert_eq!(both, [question(1, &["maybe", "no"]), question(2, &["yes", "no"])]);

    let error = |given: &[Value]| asked(&two, Some(&answers(given))).unwrap_err();
    let at = "…/answers.json: not annotations that can be used: ";
    assert_eq!(error(&[answer(1, "yes")]), format!("{at}no answer to the question 2, \"Is it?\""));
    assert_eq!(error(&[answer(3, "yes")]), format!("{at}answers to the question 3, which nobody asks"));
    assert_eq!(error(&[answer(1, "a"), answer(1, "b")]), format!("{at}two lists of answers to the question 1"));
    let twice = asked(&file(&[ask(1), ask(1)]), None).unwrap_err();
    assert_eq!(twice, "…/questions.json: not annotations that can be used: two questions with the id 1");
}
