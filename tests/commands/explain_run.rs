//! `clipwright explain run`, with the runs of tiny models.

use super::train::{Bench, PAIRS, failed, succeeded};
use super::{bench, blip};
use clipwright::Blip;
use clipwright::eval::exam::search;
use clipwright::models::blip::Parts;
use clipwright::pictures::decode;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::slice::from_ref;

fn clipwright(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
    command.current_dir(folder).args(args).env_remove("CLIP_MODEL");
    command.output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bench::lines(std::str::from_utf8(&output.stdout).unwrap())
}

/// Reads the numbers that the page's script has behind this name.
fn script(page: &str, name: &str) -> Value {
    let after = page.split_once(&format!("{name} = ")).unwrap().1;
    serde_json::Deserializer::from_str(after).into_iter().next().unwrap().unwrap()
}

/// Returns the embeddings that `clipwright embed` writes.
fn embedded(folder: &Path, args: &[&str]) -> Vec<Vec<f64>> {
    let rows = lines(&clipwright(folder, &[&["embed"], args].concat()));
    rows.into_iter().map(|row| serde_json::from_value(row["embedding"].clone()).unwrap()).collect()
}

/// A run is stopped and goes on, and has kept the model before the first step and one for each epoch, the last of which
/// is its own. The page has them all, with the cosines that `embed` gives.
#[test]
fn a_page_has_every_epoch_with_the_cosines_of_embed() {
    let bench = Bench::new();
    let folder = bench.path("");
    succeeded(
        &bench.training("kept", &["--epochs", "3", "--keep-frequency", "1", "--stop-after", "4"]).output().unwrap(),
    );
    succeeded(&bench.resume("kept"));
    let kept = |epoch: usize| format!("runs/kept/checkpoints/epoch_{epoch:03}");
    let weights = |path: &str| fs::read(bench.path(&format!("{path}/open_clip_model.safetensors"))).unwrap();
    assert_eq!(weights(&kept(3)), bench.weights("kept"));

    let output = clipwright(&folder, &["explain", "run", "runs/kept", "-n", "6", "--output", "run.html", "--json"]);
    let report = &lines(&output)[0];
    let page = fs::read_to_string(bench.path("run.html")).unwrap();
    assert!(page.contains("<input id=\"at\" type=\"range\" min=\"0\" max=\"3\" value=\"3\" hidden>"), "{page}");
    assert!(!page.contains("src=\"http") && page.matches("<script>").count() == 1);
    let frames = script(&page, "frames");
    let names: Vec<&str> = frames.as_array().unwrap().iter().map(|frame| frame["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["epoch 0", "epoch 1", "epoch 2", "epoch 3"]);
    assert!(report["checkpoints"][0]["loss"].is_null() && report["checkpoints"][3]["loss"].is_number());

    let captions: Vec<String> = serde_json::from_value(report["captions"].clone()).unwrap();
    fs::write(bench.path("captions.txt"), captions.join("\n")).unwrap();
    let files: Vec<String> = (report["pictures"].as_array().unwrap().iter())
        .map(|shot| format!("{}.png", shot["caption"].as_str().unwrap().rsplit(' ').next().unwrap()))
        .collect();
    assert_eq!((files.len(), &files[0]), (6, &"0.png".to_owned()));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    for epoch in [0, 2] {
        let model = kept(epoch);
        let images = embedded(&folder, &[&files[..], &["--model", &model]].concat());
        let texts = embedded(&folder, &["--texts", "captions.txt", "--model", &model]);
        let shown: Vec<Vec<f64>> = serde_json::from_value(frames[epoch]["cosines"].clone()).unwrap();
        assert_eq!((shown.len(), shown[0].len()), (images.len(), texts.len()));
        for (image, row) in images.iter().zip(&shown) {
            for (text, cosine) in texts.iter().zip(row) {
                let own: f64 = image.iter().zip(text).map(|(a, b)| a * b).sum();
                assert!((own - cosine).abs() < 1e-5, "epoch {epoch}: {own}, on the page {cosine}");
            }
        }
        // On any axes of length 1 a distance is at most that of the embeddings.
        let points: Vec<[f64; 2]> = serde_json::from_value(report["checkpoints"][epoch]["points"].clone()).unwrap();
        let rows: Vec<_> = images.iter().chain(&texts).collect();
        for (i, j) in (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let far = rows[i].iter().zip(rows[j]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let shown = (points[i][0] - points[j][0]).hypot(points[i][1] - points[j][1]);
            assert!(shown <= far + 1e-5, "{shown} {far}");
        }
    }
}

/// A run that kept nothing shows its last checkpoint, and how to keep more.
#[test]
fn a_run_without_kept_models_shows_its_last() {
    let bench = Bench::new();
    succeeded(&bench.training("plain", &["--epochs", "1"]).output().unwrap());
    assert!(!bench.path("runs/plain/checkpoints").exists());
    let args = ["explain", "run", "runs/plain", "--output", "run.html"];
    let text = succeeded(&clipwright(&bench.path(""), &args));
    assert!(text.contains("--keep-frequency 1") && text.contains("16 pictures"), "{text}");
    let page = fs::read_to_string(bench.path("run.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("last checkpoint") && page.contains("--keep-frequency 1"));
    assert_eq!(page.matches("<image ").count(), 16.min(PAIRS));
}

#[test]
fn a_blip_says_what_its_checkpoints_say() {
    let bench = blip::bench(Parts::Pretrained);
    let folder = bench.path("");
    let rows: String = (0..10).map(|i| format!("photos/p{i}.png,<b>picture {i}</b>\n")).collect();
    bench.write("pairs.csv", format!("filepath,title\n{rows}"));
    let how = "--pretrained model --train-data pairs.csv --batch-size 5 --epochs 2 --queue 8 --warmup 1 --name blip";
    let args: Vec<&str> = how.split(' ').chain(["--keep-frequency", "1"]).collect();
    let trained = Command::new(env!("CARGO_BIN_EXE_train")).current_dir(&folder).args(args).output().unwrap();
    succeeded(&trained);
    let output = clipwright(&folder, &["explain", "run", "runs/blip", "-n", "3", "--output", "run.html", "--json"]);
    let report = &lines(&output)[0];
    let page = fs::read_to_string(bench.path("run.html")).unwrap();
    assert!(page.contains("&lt;b&gt;picture 0&lt;/b&gt;"), "{page}");
    assert!(!page.contains("<b>picture"));
    for epoch in 0..3 {
        let blip = Blip::load(bench.path(&format!("runs/blip/checkpoints/epoch_{epoch:03}"))).unwrap();
        for (place, shot) in report["pictures"].as_array().unwrap().iter().enumerate() {
            let number = shot["caption"].as_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit());
            let picture = decode::open(&bench.path(&format!("photos/p{number}.png"))).unwrap();
            let own = blip.caption(from_ref(&picture), "", &search(&blip), 0).unwrap().remove(0).text;
            assert_eq!(report["checkpoints"][epoch]["said"][place][0]["text"], own);
        }
    }
    assert_eq!(page.matches("data-at=\"2\">").count(), 3);
    assert_eq!(page.matches("data-at=\"0\" hidden>").count(), 3);
}

#[test]
fn mistakes_are_named() {
    let bench = Bench::new();
    let folder = bench.path("");
    succeeded(&bench.training("plain", &["--epochs", "1"]).output().unwrap());
    fs::create_dir(bench.path("empty")).unwrap();
    let mistakes: [(&[&str], &[&str]); 4] = [
        (&["empty"], &["empty: no run of the trainer", "options.json", "runs/"]),
        (&["nowhere"], &["nowhere: no run of the trainer"]),
        (&["runs/plain", "-n", "1"], &["2..=32"]),
        (&["runs/plain", "--model", "x"], &["leave --model out"]),
    ];
    for (args, words) in mistakes {
        let text = failed(&clipwright(&folder, &[&["explain", "run"], args].concat()));
        words.iter().for_each(|word| assert!(text.contains(word), "{args:?}: {text}"));
    }
    fs::remove_file(bench.path("metadata.jsonl")).unwrap();
    failed(&clipwright(&folder, &["explain", "run", "runs/plain"]));
    fs::remove_file(bench.path("runs/plain/open_clip_model.safetensors")).unwrap();
    let text = failed(&clipwright(&folder, &["explain", "run", "runs/plain"]));
    assert!(text.contains("runs/plain"), "{text}");
}
