//! `clipwright eval` with BLIPs, against the library and counting by hand.

use super::bench::{Bench, lines};
use super::blip::{beams, bench, blip, fails, pictures};
use clipwright::eval::captions::{CaptionScores, Captioned};
use clipwright::eval::{rerank, vqa};
use clipwright::models::blip::Parts;
use serde_json::{Value, json};
use std::convert::Infallible;

/// Writes a table of the ten pictures, the first of them twice with different captions.
fn pairs(bench: &Bench) -> Vec<String> {
    let captions: Vec<String> = (0..11).map(|i| format!("number {i} of them")).collect();
    let row = |(i, caption): (usize, &String)| format!("photos/p{}.png\t{caption}\n", i % 10);
    let rows: String = captions.iter().enumerate().map(row).collect();
    bench.write("pairs.tsv", format!("filepath\ttitle\n{rows}"));
    captions
}

#[test]
fn retrieval_is_measured_with_and_without_a_second_ranking() {
    let bench = bench(Parts::Matcher);
    let captions = pairs(&bench);
    let report = &bench.json(&["eval", "pairs.tsv", "--rerank", "4"])[0];
    let matches = blip(&bench).match_texts(&pictures(&bench), &captions).unwrap();
    let of = |row: &Value, way: &str, k: &str| row["retrieval"][way][k].as_f64().unwrap();
    let by = |scores: &dyn Fn(usize, usize) -> f32, k: usize| {
        let hits = |i: usize| {
            let mine = scores(i % 10, i);
            (0..10).filter(|&other| scores(other, i) > mine).count() < k
        };
        (0..11).filter(|&i| hits(i)).count() as f64 / 11.0
    };
    let rows = report["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[1]["pictures"]), (2, &json!("the best 4 ranked again")));
    let cosine = |picture: usize, text: usize| matches.cosines[[picture, text]];
    let Ok(reranked) = rerank::rerank(matches.cosines.view(), 4, |texts_of| {
        let logits = |(picture, texts): (usize, &Vec<usize>)| {
            texts.iter().map(|&text| matches.logits[[picture, text]]).collect()
        };
        Ok::<_, Infallible>(texts_of.iter().enumerate().map(logits).collect())
    });
    let again = |picture: usize, text: usize| reranked.images_of_texts[[text, picture]];
    for (row, scores) in rows.iter().zip([&cosine as &dyn Fn(usize, usize) -> f32, &again]) {
        assert!((of(row, "text_to_image", "at1") - by(scores, 1)).abs() < 1e-9, "{row}");
    }
    // Of so few all are candidates: the order is that of the scores.
    let all = &bench.json(&["eval", "pairs.tsv", "--rerank", "500"])[0]["rows"][1];
    let score = |picture: usize, text: usize| matches.logits[[picture, text]] + matches.cosines[[picture, text]];
    for (k, at) in [(1, "at1"), (5, "at5")] {
        assert!((of(all, "text_to_image", at) - by(&score, k)).abs() < 1e-9, "{all}");
    }
    assert_eq!(all["pictures"], "the best 11 ranked again");

    let clip = bench.run_alone(&["eval", "pairs.tsv", "--rerank", "4", "--model", "clip"]);
    fails(&clip, 2, &["--rerank", "BLIP"]);
    bench.write("colours/a/1.png", std::fs::read(bench.path("photos/p1.png")).unwrap());
    bench.write("colours/b/1.png", std::fs::read(bench.path("photos/p2.png")).unwrap());
    fails(&bench.run(&["eval", "colours", "--rerank", "4"]), 2, &["--rerank", "classes"]);
    assert_eq!(bench.json(&["eval", "colours"])[0]["rows"][0]["zero_shot"]["classes"], 2);
    fails(&bench.run(&["eval", "pairs.tsv", "--captions"]), 1, &["retrieval", "captioning-base"]);
}

#[test]
fn captions_are_scored() {
    let bench = bench(Parts::Captioner);
    pairs(&bench);
    let (blip, pictures) = (blip(&bench), pictures(&bench));
    let written: Vec<String> = (pictures.chunks(8))
        .flat_map(|some| blip.caption(some, "a picture of ", &beams(&blip), 0).unwrap())
        .map(|written| written.text)
        .collect();
    // People's captions share words with what a random model writes.
    let people = |i: usize| [written[(i + 1) % 10].clone(), format!("{} too", written[i])];
    let list: Vec<Value> = (0..10).map(|i| json!({ "image": format!("p{i}.png"), "caption": people(i) })).collect();
    bench.write("photos/list.json", serde_json::to_vec(&list).unwrap());
    let captioned: Vec<Captioned> = (0..10).map(|i| Captioned::new(&written[i], &people(i))).collect();
    let CaptionScores { bleu, rouge_l, cider } = CaptionScores::of(&captioned);
    let report = &bench.json(&["eval", "photos/list.json", "--captions"])[0];
    let expected = json!({ "data": "photos/list.json", "skipped": 0, "pictures": 10, "bleu": bleu, "rouge_l": rouge_l,
        "cider": cider });
    // As it is printed and read again, which may round the last bit.
    assert_eq!(report, &lines(&expected.to_string())[0]);
    assert!(bleu[0] > 0.1);

    // Ready captions need no model.
    bench.json(&["caption", "photos", "--output", "ready.jsonl"]);
    let ready = ["eval", "photos/list.json", "--captions", "--ready", "ready.jsonl", "--json"];
    assert_eq!(&lines(&bench.run_alone(&ready).out)[0], report);
    let all = std::fs::read_to_string(bench.path("ready.jsonl")).unwrap();
    bench.write("ready.jsonl", all.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>());
    fails(&bench.run_alone(&ready), 1, &["ready.jsonl", "photos/p0.png"]);
    bench.write("ready.jsonl", format!("{all}{{}}\n"));
    fails(&bench.run_alone(&ready), 1, &["ready.jsonl, line 11", "image"]);

    // All captions of one picture are references of its one caption.
    let of_pairs = &bench.json(&["eval", "pairs.tsv", "--captions"])[0];
    assert_eq!(of_pairs["pictures"], 10);
    bench.write("photos/p4.png", "no picture");
    let outcome = bench.run(&["eval", "photos/list.json", "--captions", "--json"]);
    let report = &lines(&outcome.out)[0];
    assert_eq!((&report["pictures"], &report["skipped"]), (&json!(9), &json!(1)), "{outcome:?}");
    assert!(outcome.error.contains("photos/p4.png"), "{outcome:?}");
    let text = bench.run(&["eval", "photos/list.json", "--captions", "--limit", "3"]).out;
    assert!(text.starts_with("photos/list.json: captions of 3 pictures\n BLEU@1"), "{text}");

    let of_splits = json!({ "images": [
        { "filename": "p0.png", "split": "test", "sentences": [{ "raw": "a" }] },
        { "filename": "p1.png", "split": "val", "sentences": [{ "raw": "b" }] }] });
    bench.write("photos/splits.json", of_splits.to_string());
    fails(&bench.run(&["eval", "photos/splits.json", "--captions"]), 2, &["test, val", "--split"]);
    fails(&bench.run(&["eval", "photos/splits.json", "--captions", "--split", "x"]), 2, &["test, val", "x"]);
    assert_eq!(bench.json(&["eval", "photos/splits.json", "--captions", "--split", "val"])[0]["pictures"], 1);
    fails(&bench.run(&["eval", "pairs.tsv", "--ready", "ready.jsonl"]), 2, &["--ready", "--captions"]);
    fails(&bench.run(&["eval", "pairs.tsv", "--captions", "--ready", "a"]), 2, &["pairs.tsv", "JSON"]);
}

#[test]
fn answers_are_scored() {
    let bench = bench(Parts::Answerer);
    let (blip, pictures) = (blip(&bench), pictures(&bench));
    let asked = [(3, "How many DOGS?"), (1, "is it red?"), (3, "is it red?")];
    let mut answers = vec![];
    for (i, &(picture, question)) in asked.iter().enumerate() {
        let image = format!("coco/COCO_val_{picture:012}.jpg");
        let to = bench.path(&image);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(bench.path(&format!("photos/p{picture}.png")), to).unwrap();
        let cleaned = question.to_lowercase();
        let search = clipwright::generate::Search::Beams { beams: 3, style: clipwright::generate::BeamStyle::Original };
        let options = clipwright::generate::Options { min_length: 1, search, ..blip.options(10) };
        let answer = blip.answer(&pictures[picture..=picture], &[&cleaned], &options, 0).unwrap().remove(0).text;
        let people = if i == 0 { vec!["no"; 10] } else { [vec![&answer[..]; 3], vec!["no"; 7]].concat() };
        answers.push((i, image, cleaned, answer.clone(), people.iter().map(|a| a.to_string()).collect::<Vec<_>>()));
    }
    let questions: Vec<Value> = (asked.iter().enumerate())
        .map(|(i, (picture, question))| json!({ "question_id": i, "image_id": picture, "question": question }))
        .collect();
    let people: Vec<Value> = (answers.iter())
        .map(|(i, _, _, _, people)| {
            let people: Vec<Value> = people.iter().map(|answer| json!({ "answer": answer })).collect();
            json!({ "question_id": i, "answers": people })
        })
        .collect();
    bench.write("questions.json", json!({ "data_subtype": "val", "questions": questions }).to_string());
    bench.write("people.json", json!({ "annotations": people }).to_string());
    let expected = answers.iter().map(|(_, _, _, answer, people)| vqa::accuracy(answer, people)).sum::<f64>() / 3.0;
    let command = ["eval", "questions.json", "--answers", "people.json", "--images", "coco"];
    let report = &bench.json(&command)[0];
    assert_eq!((&report["questions"], &report["accuracy"]), (&json!(3), &json!(expected)));
    assert!(expected > 0.5, "{expected}");

    let ready: String = (answers.iter())
        .map(|(_, image, question, answer, _)| {
            format!("{}\n", json!({ "image": image, "question": question, "answer": answer, "score": null }))
        })
        .collect();
    bench.write("ready.jsonl", ready);
    let outcome = bench.run_alone(&[&command[..], &["--ready", "ready.jsonl", "--json"]].concat());
    assert_eq!(&lines(&outcome.out)[0], report, "{outcome:?}");
    let text = bench.run(&command).out;
    assert!(text.starts_with("questions.json: 3 questions, accuracy "), "{text}");
    fails(&bench.run(&["eval", "questions.json", "--answers", "nowhere.json"]), 1, &["nowhere.json"]);
    fails(&bench.run(&["eval", "questions.json", "--answers", "people.json"]), 1, &["COCO_val_000000000001.jpg"]);
}
