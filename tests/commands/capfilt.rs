//! `clipwright capfilt` against the library, `match` and the readers of `train`.

use super::bench::{Bench, Outcome, lines};
use super::blip::{fails, pictures, put};
use clipwright::Blip;
use clipwright::checkpoint::blip::Format;
use clipwright::datasets::{BadLimit, Example, OwnPairs, PairLayout};
use clipwright::generate::{Options, Search};
use clipwright::models::blip::Parts;
use clipwright::random::rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Makes a folder with the models `cap` and `itm`, ten pictures in `photos`, and `web.csv` with a caption for each.
fn bench() -> Bench {
    let bench = super::blip::bench(Parts::Captioner);
    fs::rename(bench.path("model"), bench.path("cap")).unwrap();
    fs::create_dir(bench.path("itm")).unwrap();
    put(&bench.path("itm"), Parts::Matcher, Format::HuggingFace);
    table(&bench, |i| format!("{} Horses, number {i}!", if i % 3 == 0 { "Red" } else { "No" }));
    bench
}

fn table(bench: &Bench, caption: impl Fn(usize) -> String) {
    let rows: String = (0..10).map(|i| format!("photos/p{i}.png,\"{}\"\n", caption(i))).collect();
    bench.write("web.csv", format!("filepath,title\n{rows}"));
}

const BOTH: [&str; 6] = ["capfilt", "web.csv", "--captioner", "cap", "--filter", "itm"];

fn run(bench: &Bench, args: &[&str], more: &[&str]) -> Outcome {
    bench.run_alone(&[args, more].concat())
}

/// Runs the command, which must succeed without a word, and returns its report.
#[track_caller]
fn report(bench: &Bench, args: &[&str], more: &[&str]) -> Value {
    let outcome = run(bench, args, &[more, &["--json"]].concat());
    assert_eq!((outcome.code, outcome.error.as_str()), (0, ""), "{more:?}");
    lines(&outcome.out).remove(0)
}

fn list(bench: &Bench, name: &str) -> Vec<Value> {
    lines(&fs::read_to_string(bench.path(name)).unwrap())
}

/// Returns all files of a folder.
fn files(bench: &Bench, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(bench.path(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

/// Returns the pictures and captions that training reads.
fn read(bench: &Bench, pattern: &str) -> Vec<Example> {
    let path = bench.path(pattern);
    let pairs = OwnPairs::open(path.to_str().unwrap(), &PairLayout::default(), BadLimit::default()).unwrap();
    let one = |i| {
        let mut example = Example::default();
        pairs.dataset().read(i, &mut rng(&[]), &mut example).unwrap();
        example
    };
    (0..pairs.dataset().concepts().len()).map(one).collect()
}

/// What the library writes for the pictures, drawn by their places, with a seed.
fn synthetic(bench: &Bench, seed: u64) -> Vec<String> {
    let blip = Blip::load(bench.path("cap")).unwrap();
    let search = Search::Sample { temperature: 1.0, top_k: 50, top_p: 0.9, seed };
    let options = Options { min_length: 5, repetition_penalty: 1.1, search, ..blip.options(20) };
    let batches = pictures(bench);
    let batches = batches.chunks(8).zip([0, 8]);
    let written = batches.flat_map(|(some, first)| blip.caption(some, "a picture of ", &options, first).unwrap());
    written.map(|written| written.text).collect()
}

#[test]
fn captions_stay_if_a_match_says_that_they_fit() {
    let bench = bench();
    let (pictures, synthetic) = (pictures(&bench), synthetic(&bench, 7));
    let itm = Blip::load(bench.path("itm")).unwrap();
    let web: Vec<String> = (0..10).map(|i| format!("{} horses, number {i}", ["red", "no", "no"][i % 3])).collect();
    let expected: Vec<f32> = (0..10)
        .flat_map(|i| {
            let texts = [web[i].clone(), synthetic[i].to_lowercase()];
            itm.match_texts(&pictures[i..=i], &texts).unwrap().probabilities.into_raw_vec_and_offset().0
        })
        .collect();
    let mut sorted = expected.clone();
    sorted.sort_by(f32::total_cmp);
    let threshold = (sorted[9] + sorted[10]) / 2.0;
    assert!(sorted[10] - sorted[9] > 3e-5, "{sorted:?}");

    let limit = threshold.to_string();
    let said = report(&bench, &BOTH, &["--seed", "7", "--threshold", &limit, "--out", "clean"]);
    let judged = list(&bench, "clean/000000.jsonl");
    assert_eq!(judged.len(), 20);
    for (i, (line, &expected)) in judged.iter().zip(&expected).enumerate() {
        let (source, number) = (["web", "synthetic"][i % 2], i / 2);
        assert_eq!((&line["number"], &line["source"]), (&json!(number), &json!(source)));
        assert_eq!(line["key"], format!("photos/p{number}.png"));
        let probability = line["probability"].as_f64().unwrap();
        assert!((probability - f64::from(expected)).abs() < 1e-5, "{line} {expected}");
        assert_eq!(line["verdict"], if expected >= threshold { "kept" } else { "removed" });
    }
    assert_eq!(judged[0]["caption"], "Red Horses, number 0!", "as it was");
    let count = |source: &str, verdict: &str| {
        judged.iter().filter(|line| line["source"] == source && line["verdict"] == verdict).count()
    };
    for source in ["web", "synthetic"] {
        let tallied = &said[source];
        assert_eq!(
            (&tallied["kept"], &tallied["removed"]),
            (&json!(count(source, "kept")), &json!(count(source, "removed")))
        );
        let of_source = judged.iter().filter(|line| line["source"] == source);
        let sum: f64 = of_source.map(|line| line["probability"].as_f64().unwrap()).sum();
        assert!((tallied["mean_probability"].as_f64().unwrap() - sum / 10.0).abs() < 1e-6);
    }
    assert_eq!((&said["pairs"], &said["unreadable"], &said["shards"]), (&json!(10), &json!(0), &json!(1)));

    // Training reads what is kept, in the same order, from the pictures' own bytes.
    let kept: Vec<&Value> = judged.iter().filter(|line| line["verdict"] == "kept").collect();
    let examples = read(&bench, "clean/*.tar");
    assert_eq!((kept.len(), examples.len()), (10, 10));
    for (line, example) in kept.iter().zip(&examples) {
        assert_eq!(line["caption"], example.caption.as_str());
        assert_eq!(example.picture, pictures[line["number"].as_u64().unwrap() as usize]);
    }
    assert_eq!(read(&bench, "clean").len(), 10);
    let shard = fs::read(bench.path("clean/000000.tar")).unwrap();
    let mut archive = tar::Archive::new(&shard[..]);
    for (i, member) in archive.entries().unwrap().enumerate() {
        let (mut member, line) = (member.unwrap(), kept[i / 3]);
        let name = format!("{:09}-{}", line["number"].as_u64().unwrap(), line["source"].as_str().unwrap());
        assert_eq!(member.path().unwrap().to_str().unwrap(), format!("{name}.{}", ["png", "txt", "json"][i % 3]));
        let mut bytes = vec![];
        std::io::Read::read_to_end(&mut member, &mut bytes).unwrap();
        match i % 3 {
            0 => assert_eq!(bytes, fs::read(bench.path(line["key"].as_str().unwrap())).unwrap()),
            1 => assert_eq!(bytes, line["caption"].as_str().unwrap().as_bytes()),
            _ => assert_eq!(&serde_json::from_slice::<Value>(&bytes).unwrap(), line),
        }
    }
    // The report is the same when there is nothing left to do.
    let again = run(&bench, &BOTH, &["--seed", "7", "--threshold", &limit, "--out", "clean", "--json"]);
    assert_eq!((&lines(&again.out)[0], again.code), (&said, 0));
    assert!(again.error.contains("clean: 1 of 1 shard finished already"), "{}", again.error);
    let text = run(&bench, &BOTH, &["--seed", "7", "--threshold", &limit, "--out", "clean"]).out;
    assert!(text.starts_with("clean: 1 shard of 10 pairs\ncaptions") && text.lines().count() == 4, "{text}");
}

#[test]
fn one_model_alone_does_its_part() {
    let bench = bench();
    let captioned = ["capfilt", "web.csv", "--captioner", "cap"];
    let said = report(&bench, &captioned, &["--out", "more"]);
    assert_eq!((&said["web"]["kept"], &said["synthetic"]["kept"]), (&json!(10), &json!(10)));
    assert_eq!(said["web"]["mean_probability"], Value::Null);
    let more = list(&bench, "more/000000.jsonl");
    let written: Vec<&str> = more
        .iter()
        .filter(|line| line["source"] == "synthetic")
        .map(|line| line["caption"].as_str().unwrap())
        .collect();
    assert_eq!(written, synthetic(&bench, 0));
    assert!(more.iter().all(|line| line["probability"].is_null()));

    report(&bench, &BOTH, &["--out", "both"]);
    let filtered = ["capfilt", "web.csv", "--filter", "itm"];
    report(&bench, &filtered, &["--out", "less"]);
    let both = list(&bench, "both/000000.jsonl").into_iter().filter(|line| line["source"] == "web");
    for (alone, both) in list(&bench, "less/000000.jsonl").iter().zip(both) {
        let of = |line: &Value| line["probability"].as_f64().unwrap();
        assert!((of(alone) - of(&both)).abs() < 1e-5, "{alone} {both}");
    }

    // A pre-trained model can be both, and looks once.
    fs::create_dir(bench.path("pre")).unwrap();
    put(&bench.path("pre"), Parts::Pretrained, Format::Original);
    report(&bench, &["capfilt", "web.csv", "--captioner", "pre", "--filter", "pre"], &["--out", "once"]);
    let blip = Blip::load(bench.path("pre")).unwrap();
    let once = list(&bench, "once/000000.jsonl");
    assert_eq!(once.len(), 20);
    for line in once.iter().filter(|line| line["source"] == "synthetic") {
        let picture = &pictures(&bench)[line["number"].as_u64().unwrap() as usize];
        let text = clipwright::text::blip_clean::caption(line["caption"].as_str().unwrap(), 30);
        let expected = blip.match_texts(std::slice::from_ref(picture), &[text]).unwrap().probabilities[[0, 0]];
        assert!((line["probability"].as_f64().unwrap() - f64::from(expected)).abs() < 1e-5, "{line} {expected}");
    }
}

#[test]
fn what_says_the_same_or_nothing_does_not_count() {
    let bench = bench();
    let synthetic = synthetic(&bench, 0);
    table(&bench, |i| match i {
        0 => format!(" {}. ", synthetic[0].to_uppercase()),
        1 => "(...)!".into(),
        _ => format!("picture {i}"),
    });
    let all = report(&bench, &BOTH, &["--threshold", "0", "--out", "all"]);
    assert_eq!(
        all["synthetic"],
        json!({ "kept": 9, "removed": 0, "duplicate": 1, "empty": 0,
        "mean_probability": all["synthetic"]["mean_probability"] })
    );
    assert_eq!((&all["web"]["kept"], &all["web"]["empty"]), (&json!(9), &json!(1)));
    assert_eq!(read(&bench, "all/*.tar").len(), 18);
    // Of nine captions that can be judged, one is alone with its picture.
    let filtered = report(&bench, &["capfilt", "web.csv", "--filter", "itm"], &["--threshold", "0", "--out", "web"]);
    assert_eq!((&filtered["web"]["kept"], &filtered["web"]["empty"]), (&json!(9), &json!(1)));
    table(&bench, |_| "...".into());
    let none = report(&bench, &["capfilt", "web.csv", "--filter", "itm"], &["--out", "none"]);
    assert_eq!((&none["web"]["empty"], &none["web"]["mean_probability"]), (&json!(10), &Value::Null));
}

/// Starts the command and kills it as soon as a file is there.
fn kill_at(bench: &Bench, args: &[&str], file: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
    command.current_dir(bench.path("")).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut child, start) = (command.spawn().unwrap(), Instant::now());
    while !bench.path(file).exists() {
        assert!(start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(), "{file}");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_interrupted_run_and_the_parts_of_several_machines_end_with_the_same_bytes() {
    let bench = bench();
    let to = |out: &'static str| [&BOTH[..], &["--seed", "5", "--shard-size", "2", "--out", out]].concat();
    let said = report(&bench, &to("whole"), &[]);
    assert_eq!(said["shards"], 5);
    let whole = files(&bench, "whole");
    assert_eq!(whole.len(), 12, "{:?}", whole.keys());

    kill_at(&bench, &to("parts"), "parts/000000.tar");
    let finished = fs::metadata(bench.path("parts/000000.tar")).unwrap().modified().unwrap();
    let with = |words: &[&str]| run(&bench, &to("parts"), words);
    fails(&with(&["--prompt", "a photo of"]), 1, &["parts: begun with another prompt", "--out"]);
    fails(&with(&["--threshold", "0.6"]), 1, &["parts: begun with another threshold"]);
    fails(&with(&["--top-k", "6"]), 1, &["parts: begun with another search"]);
    let others = |filter: &str, size: &str| {
        let args = ["capfilt", "web.csv", "--captioner", "cap", "--seed", "5", "--out", "parts"];
        run(&bench, &args, &["--shard-size", size, "--filter", filter])
    };
    fails(&others("itm", "3"), 1, &["parts: begun with another shard size"]);
    fs::create_dir(bench.path("other")).unwrap();
    put(&bench.path("other"), Parts::Pretrained, Format::Original);
    fails(&others("other", "2"), 1, &["parts: begun with another filter"]);
    let before = fs::read(bench.path("web.csv")).unwrap();
    table(&bench, |i| format!("other {i}"));
    fails(&with(&[]), 1, &["parts: begun with another pairs"]);
    bench.write("web.csv", before);
    let resumed = with(&["--json"]);
    assert!(resumed.code == 0 && resumed.error.contains("of 5 shards finished already"), "{resumed:?}");
    assert!(files(&bench, "parts") == whole);
    assert_eq!(fs::metadata(bench.path("parts/000000.tar")).unwrap().modified().unwrap(), finished);
    let summary = |report: &Value| [&report["web"], &report["synthetic"], &report["pairs"]].map(Value::clone);
    assert_eq!(summary(&lines(&resumed.out)[0]), summary(&said));

    let (mut together, mut pairs) = (BTreeMap::new(), 0);
    for (part, out) in [("0/3", "m1"), ("1/3", "m2"), ("2/3", "m3")] {
        let said = report(&bench, &to(out), &["--shard", part]);
        pairs += said["pairs"].as_u64().unwrap();
        together.extend(files(&bench, out));
    }
    assert_eq!(pairs, 10);
    assert!(together == whole);
    // Two machines that share a folder.
    report(&bench, &to("shared"), &["--shard", "1/2"]);
    report(&bench, &to("shared"), &["--shard", "0/2"]);
    assert!(files(&bench, "shared") == whole);

    let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
    command.current_dir(bench.path("")).args(to("slow")).env("RAYON_NUM_THREADS", "1");
    assert!(command.output().unwrap().status.success());
    assert!(files(&bench, "slow") == whole);
}

#[test]
fn unreadable_pictures_are_named_counted_and_change_no_other() {
    let bench = bench();
    report(&bench, &BOTH, &["--shard-size", "5", "--out", "all"]);
    bench.write("photos/p4.png", "no picture");
    let outcome = run(&bench, &BOTH, &["--shard-size", "5", "--out", "some", "--json"]);
    assert_eq!(outcome.code, 1);
    for words in ["skipped web.csv, line 6: photos/p4.png: ", "1 of 10 pictures could not be read", "--skip-unreadable"]
    {
        assert!(outcome.error.contains(words), "{}", outcome.error);
    }
    assert_eq!(outcome.error.matches("p4.png").count(), 1, "{}", outcome.error);
    let said = &lines(&outcome.out)[0];
    assert_eq!((&said["pairs"], &said["unreadable"]), (&json!(10), &json!(1)));
    let some = list(&bench, "some/000000.jsonl");
    let (bad, good): (Vec<Value>, Vec<Value>) = some.into_iter().partition(|line| line["number"] == 4);
    assert_eq!((bad.len(), &bad[0]["key"]), (1, &json!("photos/p4.png")));
    assert!(bad[0]["unreadable"].as_str().unwrap().starts_with("web.csv, line 6: "), "{bad:?}");
    for (some, all) in good.iter().zip(list(&bench, "all/000000.jsonl")) {
        assert_eq!((&some["caption"], &some["verdict"]), (&all["caption"], &all["verdict"]));
    }
    let other = |folder: &str| files(&bench, folder).remove("000001.tar");
    assert!(other("some") == other("all"));
    let again = run(&bench, &BOTH, &["--shard-size", "5", "--out", "some", "--skip-unreadable"]);
    assert!(again.code == 0 && again.error.contains("skipped web.csv, line 6"), "{again:?}");

    let rows = fs::read_to_string(bench.path("web.csv")).unwrap();
    bench.write("web.csv", format!("{rows}photos/p1.png,\n"));
    let outcome = run(&bench, &["capfilt", "web.csv", "--captioner", "cap"], &["--out", "c", "--skip-unreadable"]);
    assert!(outcome.error.contains("web.csv, line 12") && outcome.out.contains("1 left out"), "{outcome:?}");
}

/// Shards go in as they come out.
#[test]
fn shards_and_what_is_known_of_scenes_are_read() {
    let bench = bench();
    let scenes = ["scenes", "--out", "scenes", "--count", "12", "--image-size", "48", "--caption-noise", "0.5"];
    assert_eq!(bench.run_alone(&scenes).code, 0);
    let truth = ["--filter", "itm", "--truth", "scenes/metadata.jsonl"];
    let said = report(&bench, &["capfilt", "scenes"], &[&truth[..], &["--out", "a"]].concat());
    let told = list(&bench, "scenes/metadata.jsonl");
    let (mut noise, mut good) = ([0, 0], [0, 0]);
    for (told, judged) in told.iter().zip(list(&bench, "a/000000.jsonl")) {
        assert_eq!(told["file_name"], judged["key"]);
        let of = if told["noise"].is_null() { &mut good } else { &mut noise };
        of[0] += 1;
        of[1] += usize::from(judged["verdict"] != "kept");
    }
    let counts = |[captions, gone]: [usize; 2]| json!({ "captions": captions, "gone": gone });
    assert!(noise[0] > 2 && good[0] > 2);
    assert_eq!((&said["truth"]["noise"], &said["truth"]["good"]), (&counts(noise), &counts(good)));
    let text = run(&bench, &["capfilt", "scenes"], &[&truth[..], &["--out", "a"]].concat()).out;
    assert!(text.contains(&format!("noise removed: {} of {}", noise[1], noise[0])), "{text}");

    let captioned = ["capfilt", "scenes", "--captioner", "cap"];
    report(&bench, &captioned, &["--out", "b"]);
    let from_shards = report(&bench, &["capfilt", "b/*.tar", "--filter", "itm"], &["--threshold", "0", "--out", "c"]);
    assert_eq!((&from_shards["web"]["kept"], &from_shards["pairs"]), (&json!(24), &json!(24)));
    assert_eq!(list(&bench, "c/000000.jsonl")[1]["key"], "000000000-synthetic");
    let (b, c) = (read(&bench, "b/*.tar"), read(&bench, "c"));
    assert!(b.iter().zip(&c).all(|(b, c)| (&b.picture, &b.caption) == (&c.picture, &c.caption)));

    bench.write("some.jsonl", "{\"file_name\": \"a.png\", \"noise\": null}\n");
    let some = ["--filter", "itm", "--out", "new", "--truth", "some.jsonl"];
    fails(&run(&bench, &["capfilt", "scenes"], &some), 1, &["some.jsonl: no line about images/"]);
    bench.write("some.jsonl", "{\"file_name\": \"a.png\"}\n");
    fails(&run(&bench, &["capfilt", "scenes"], &some), 1, &["some.jsonl, line 1", "noise"]);
    assert!(!bench.path("new").exists());
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let bench = bench();
    let cases: [(&[&str], i32, &[&str]); 10] = [
        (&[], 2, &["--captioner", "--filter"]),
        (&["--captioner", "nowhere"], 1, &["nowhere"]),
        (&["--captioner", "itm"], 1, &["itm/model.safetensors", "writes nothing", "blip-image-captioning-base"]),
        (&["--filter", "cap"], 1, &["cap/model.safetensors", "a captioner", "blip-itm-base-coco"]),
        (&["--filter", "clip"], 1, &["a CLIP, not a BLIP"]),
        (&["--filter", "itm", "--top-p", "0.5"], 2, &["--captioner"]),
        (&["--filter", "itm", "--threshold", "2"], 2, &["between 0 and 1"]),
        (&["--captioner", "cap", "--max-length", "41"], 2, &["--max-length 41", "40"]),
        (&["--captioner", "cap", "--shard", "1/1"], 2, &["I/N"]),
        (&["--captioner", "cap", "--shard", "1/2"], 2, &["--shard 1/2", "there is 1 shard", "--shard-size"]),
    ];
    for (args, code, words) in cases {
        fails(&run(&bench, &["capfilt", "web.csv", "--out", "out"], args), code, words);
        assert!(!bench.path("out").exists(), "{args:?}");
    }
    let with_model = run(&bench, &BOTH, &["--out", "out", "--model", "cap"]);
    fails(&with_model, 2, &["--captioner and --filter instead of --model"]);
    fails(&run(&bench, &["capfilt", "nowhere.csv", "--filter", "itm"], &["--out", "out"]), 1, &["nowhere.csv"]);
    fails(&run(&bench, &BOTH, &["--out", "photos"]), 1, &["photos: is not empty"]);
    assert_eq!(bench.run_alone(&["caption", "photos", "--model", "cap", "--top-p", "0.5"]).code, 2);

    report(&bench, &BOTH, &["--out", "out"]);
    bench.write("out/000000.jsonl", "{}\n");
    fails(&run(&bench, &BOTH, &["--out", "out"]), 1, &["out/000000.jsonl, line 1", "not what capfilt writes"]);
    bench.write("out/capfilt.json", "[]");
    fails(&run(&bench, &BOTH, &["--out", "out"]), 1, &["out/capfilt.json", "not what capfilt writes"]);
}
