//! The commands of BLIPs, with tiny random ones.

use super::bench::{Bench, Outcome, lines, paint};
use crate::support::tiny;
use clipwright::Blip;
use clipwright::checkpoint::Precision;
use clipwright::checkpoint::blip::{Format, load, save};
use clipwright::datasets::{BadLimit, CsvLayout, Dataset, Table};
use clipwright::generate::{BeamStyle, Options, Search};
use clipwright::models::blip::{Config, Model, Parts, TextConfig, VisionConfig};
use clipwright::pictures::{Picture, decode};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn config(parts: Parts) -> Config {
    let base = Config::base(parts);
    let vision = VisionConfig { image_size: [32, 32], width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.vision };
    let text = TextConfig { positions: 40, width: 64, mlp_width: 64, heads: 1, layers: 2, ..base.text };
    Config { vision, text, embed_dim: 16, ..base }
}

/// Puts a random BLIP into a folder. What it writes depends on the picture, since its words are large.
pub fn put(folder: &Path, parts: Parts, format: Format) {
    let mut model = Model::new(config(parts), 3);
    model.params.flat.iter_mut().for_each(|value| *value *= 2.0);
    save(folder, &model.config, &model.params, None, format, Precision::F32).unwrap();
}

/// Makes a folder with a random BLIP in `model` and the pictures p0.png to p9.png in `photos`.
pub fn bench(parts: Parts) -> Bench {
    let bench = Bench::new(tiny::config(64));
    fs::rename(bench.path("model"), bench.path("clip")).unwrap();
    // Hugging Face has no class for a pre-trained one.
    let format = if parts == Parts::Pretrained { Format::Original } else { Format::HuggingFace };
    put(&bench.path("model"), parts, format);
    for i in 0..10u32 {
        paint(&bench, &format!("photos/p{i}.png"), [(25 * i) as u8, (200 - 20 * i) as u8, 70], i);
    }
    bench
}

pub fn blip(bench: &Bench) -> Blip {
    Blip::load(bench.path("model")).unwrap()
}

pub fn pictures(bench: &Bench) -> Vec<Picture> {
    (0..10).map(|i| decode::open(&bench.path(&format!("photos/p{i}.png"))).unwrap()).collect()
}

pub fn beams(blip: &Blip) -> Options {
    let search = Search::Beams { beams: 3, style: BeamStyle::Original };
    Options { min_length: 5, search, ..blip.options(20) }
}

/// Checks that a command fails with this code and says these words.
#[track_caller]
pub fn fails(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!((outcome.code, outcome.out.as_str()), (code, ""), "{outcome:?}");
    words.iter().for_each(|word| assert!(outcome.error.contains(word), "{word}: {}", outcome.error));
}

fn texts<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap()).collect()
}

#[test]
fn captions_are_those_of_the_facade() {
    let bench = bench(Parts::Captioner);
    let (blip, pictures) = (blip(&bench), pictures(&bench));
    let expected = |prompt: &str, options: &Options| -> Vec<String> {
        let batches = pictures.chunks(8).zip([0, 8]);
        let all = batches.flat_map(|(some, first)| blip.caption(some, prompt, options, first).unwrap());
        all.map(|written| written.text).collect()
    };
    let default = bench.json(&["caption", "photos"]);
    assert_eq!(texts(&default, "caption"), expected("a picture of ", &beams(&blip)));
    assert_eq!(texts(&default, "image")[9], "photos/p9.png");
    assert!(default.iter().all(|line| line["score"].as_f64().unwrap() < 0.0));
    let distinct: std::collections::BTreeSet<_> = texts(&default, "caption").into_iter().collect();
    assert!(distinct.len() > 1, "{distinct:?}");

    let greedy =
        bench.json(&["caption", "photos", "--greedy", "--prompt", "", "--max-length", "9", "--min-length", "0"]);
    assert_eq!(texts(&greedy, "caption"), expected("", &blip.options(9)));
    let search = Search::Sample { temperature: 0.5, top_k: 40, top_p: 0.8, seed: 7 };
    let options = Options { min_length: 5, repetition_penalty: 1.1, search, ..blip.options(20) };
    let sample = ["--sample", "--seed", "7", "--top-k", "40", "--top-p", "0.8", "--temperature", "0.5"];
    let sampled = bench.json(&[&["caption", "photos"][..], &sample].concat());
    assert_eq!(texts(&sampled, "caption"), expected("a picture of ", &options));
    let search = Search::Beams { beams: 2, style: BeamStyle::Transformers };
    let options = Options { search, length_penalty: -1.0, repetition_penalty: 1.5, ..beams(&blip) };
    let other =
        ["--beams", "2", "--beam-search", "transformers", "--length-penalty", "-1", "--repetition-penalty", "1.5"];
    let others = bench.json(&[&["caption", "photos"][..], &other].concat());
    assert_eq!(texts(&others, "caption"), expected("a picture of ", &options));

    let plain = bench.run(&["caption", "photos/p3.png"]);
    assert_eq!(plain.out.trim_end(), format!("photos/p3.png: {}", expected("a picture of ", &beams(&blip))[3]));
}

/// A picture draws by its place in the list, whether or not those before it can be read.
#[test]
fn unreadable_pictures_are_named_counted_and_change_no_other() {
    let bench = bench(Parts::Captioner);
    let all = bench.json(&["caption", "photos", "--sample"]);
    bench.write("photos/p4.png", "no picture");
    let outcome = bench.run(&["caption", "photos", "--sample", "--json"]);
    assert_eq!(outcome.code, 1);
    for words in ["skipped photos/p4.png", "1 of 10 pictures could not be read", "--skip-unreadable"] {
        assert!(outcome.error.contains(words), "{}", outcome.error);
    }
    let others: Vec<&str> =
        texts(&all, "caption").into_iter().enumerate().filter(|(i, _)| *i != 4).map(|(_, t)| t).collect();
    assert_eq!(texts(&lines(&outcome.out), "caption"), others);
    assert_eq!(bench.run(&["caption", "photos", "--skip-unreadable", "--greedy"]).code, 0);

    let outcome = bench.run(&["caption", "photos/p4.png", "--output", "a.csv"]);
    assert!(outcome.code == 1 && !bench.path("a.csv").exists() && !bench.path("a.csv.partial").exists(), "{outcome:?}");
    let outcome = bench.run(&["caption", "photos", "--sample", "--output", "a.jsonl", "--json"]);
    assert_eq!(
        (outcome.code, &lines(&outcome.out)[0]),
        (1, &json!({ "output": "a.jsonl", "captions": 9, "skipped": 1 }))
    );
    assert_eq!(texts(&lines(&fs::read_to_string(bench.path("a.jsonl")).unwrap()), "caption"), others);
}

#[test]
fn a_file_of_captions_is_a_table_to_train_on() {
    let bench = bench(Parts::Captioner);
    fs::rename(bench.path("photos/p0.png"), bench.path("photos/a, \"b\".png")).unwrap();
    let shown = bench.json(&["caption", "photos"]);
    fs::create_dir(bench.path("tables")).unwrap();
    for output in ["captions.csv", "tables/captions.csv"] {
        let report = bench.json(&["caption", "photos", "--output", output]);
        assert_eq!(report, [json!({ "output": output, "captions": 10, "skipped": 0 })]);
        let text = fs::read_to_string(bench.path(output)).unwrap();
        assert!(text.starts_with("filepath,title\n"), "{text}");
        let layout = CsvLayout { separator: b',', ..CsvLayout::default() };
        let table = Table::csv(&bench.path(output), &layout, BadLimit::default()).unwrap();
        assert_eq!(table.concepts().len(), 10, "{text}");
        for (i, line) in shown.iter().enumerate() {
            let mut example = Default::default();
            table.read(i, &mut clipwright::random::rng(&[0]), &mut example).unwrap();
            assert_eq!(example.caption, line["caption"].as_str().unwrap());
        }
    }
    bench.json(&["caption", "photos", "--output", "captions.jsonl"]);
    assert_eq!(lines(&fs::read_to_string(bench.path("captions.jsonl")).unwrap()), shown);
}

/// Starts a command and kills it as soon as a file has so many lines.
fn kill_at(bench: &Bench, args: &[&str], file: &str, count: usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
    command
        .current_dir(bench.path(""))
        .args(args)
        .args(["--model", "model"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let (mut child, start) = (command.spawn().unwrap(), Instant::now());
    let written = || fs::read(bench.path(file)).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count());
    while written() < count {
        assert!(
            start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(),
            "{file}: {}",
            written()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn an_interrupted_run_goes_on_and_ends_with_the_same_bytes() {
    let bench = bench(Parts::Captioner);
    for i in 10..100u32 {
        paint(&bench, &format!("photos/p{i}.png"), [(2 * i) as u8, (200 - 2 * i) as u8, 70], i);
    }
    bench.write("photos/p13.png", "no picture");
    let command = |output| ["caption", "photos", "--sample", "--seed", "5", "--skip-unreadable", "--output", output];
    assert_eq!(bench.run(&command("whole.csv")).code, 0);
    let whole = fs::read(bench.path("whole.csv")).unwrap();

    let partial = bench.path("parts.csv.partial");
    kill_at(&bench, &command("parts.csv"), "parts.csv.partial", 3);
    assert!(!bench.path("parts.csv").exists());
    // The power went out in the middle of a line.
    let mut done = fs::read(&partial).unwrap();
    done.extend(b"{\"pictures\": [\"photos/p");
    fs::write(&partial, &done).unwrap();

    let with = |words: &[&str]| bench.run(&[&command("parts.csv")[..], words].concat());
    fails(&with(&["--prompt", "a photo of"]), 1, &["parts.csv.partial", "prompt", "delete it"]);
    fails(&with(&["--seed", "6"]), 2, &["seed"]);
    fails(&with(&["--top-k", "6"]), 1, &["parts.csv.partial", "search"]);
    fails(&with(&["--exif"]), 1, &["parts.csv.partial", "exif"]);
    let of_others = ["caption", "photos/p1.png", "--sample", "--seed", "5", "--output", "parts.csv"];
    fails(&bench.run(&of_others), 1, &["parts.csv.partial", "list of pictures"]);

    let resumed = with(&[]);
    assert!(resumed.code == 0 && resumed.error.contains("goes on behind"), "{resumed:?}");
    assert!(resumed.error.contains("skipped photos/p13.png"), "{resumed:?}");
    assert_eq!(fs::read(bench.path("parts.csv")).unwrap(), whole);
    assert!(!partial.exists());
}

#[test]
fn questions_are_answered() {
    let bench = bench(Parts::Answerer);
    let (blip, pictures) = (blip(&bench), pictures(&bench));
    let question = "how many dogs are there?";
    let search = Search::Beams { beams: 3, style: BeamStyle::Original };
    let options = Options { min_length: 1, search, ..blip.options(10) };
    let expected: Vec<String> = (pictures[..8].iter().chain(&pictures[8..]).collect::<Vec<_>>().chunks(8))
        .flat_map(|some| {
            let some: Vec<Picture> = some.iter().map(|&picture| picture.clone()).collect();
            blip.answer(&some, &vec![question; some.len()], &options, 0).unwrap()
        })
        .map(|written| written.text)
        .collect();
    let asked = bench.json(&["ask", "photos", "How MANY dogs (are) there?"]);
    assert_eq!(texts(&asked, "answer"), expected);
    assert!(asked.iter().all(|line| line["question"] == question && line["score"].is_number()));
    assert_eq!(bench.json(&["ask", "photos", "--question", question]), asked);
    bench.write("list.txt", "photos/p2.png\n");
    assert_eq!(bench.json(&["ask", "--files-from", "list.txt", "--question", question])[0], asked[2]);
    assert_eq!(
        bench.run(&["ask", "photos/p2.png", question]).out.trim_end(),
        format!("photos/p2.png: {}", expected[2])
    );

    let answers = ["yes", "no", "two", "a red car", "two dogs"];
    bench.write("answers.txt", answers.join("\n\n"));
    let ranked = bench.json(&["ask", "photos/p1.png", question, "--answers", "answers.txt", "-k", "2", "--keep", "4"]);
    let best = ranked[0]["best"].as_array().unwrap();
    let expected = blip.rank_answers(&pictures[1], question, &answers, 4).unwrap();
    assert_eq!(best.len(), 2);
    for (answer, (index, score)) in best.iter().zip(&expected) {
        assert_eq!((answer["index"].as_u64(), answer["text"].as_str()), (Some(*index as u64), Some(answers[*index])));
        assert!((answer["score"].as_f64().unwrap() - f64::from(*score)).abs() < 1e-5);
    }
    let plain = bench.run(&["ask", "photos/p1.png", question, "--answers", "answers.txt"]);
    assert_eq!(plain.out.lines().count(), 6);
}

#[test]
fn what_is_no_question_is_refused() {
    let bench = bench(Parts::Answerer);
    fails(&bench.run(&["ask", "photos/p1.png"]), 2, &["photos/p1.png", "question", "--question"]);
    fails(&bench.run(&["ask", "is it red?"]), 2, &["no picture"]);
    fails(&bench.run(&["ask", "photos/p1.png", "(...)"]), 2, &["nothing of it is left"]);
    fails(&bench.run(&["ask", "photos/p1.png", "red?", "-k", "3"]), 2, &["--answers"]);
    let long = "really ".repeat(60) + "red?";
    assert!(bench.run(&["ask", "photos/p1.png", &long]).error.contains("50 words"));
}

#[test]
fn texts_are_matched() {
    let bench = bench(Parts::Matcher);
    let (blip, pictures) = (blip(&bench), pictures(&bench));
    let given = ["A red CAR!", "a blue sky", "two dogs, one cat"];
    bench.write("texts.txt", given.join("\n"));
    let matched = bench.json(&["match", "photos", "--texts", "texts.txt"]);
    let expected = blip.match_texts(&pictures[..8], &["a red car", "a blue sky", "two dogs, one cat"]).unwrap();
    assert_eq!(matched.len(), 10);
    for (line, (probabilities, cosines)) in
        matched.iter().zip(expected.probabilities.rows().into_iter().zip(expected.cosines.rows()))
    {
        let best = line["best"].as_array().unwrap();
        let number = |scored: &Value, field: &str| scored[field].as_f64().unwrap();
        assert!(best.windows(2).all(|pair| number(&pair[0], "probability") >= number(&pair[1], "probability")));
        for scored in best {
            let index = scored["index"].as_u64().unwrap() as usize;
            assert_eq!(scored["text"], given[index]);
            assert!((number(scored, "probability") - f64::from(probabilities[index])).abs() < 1e-6);
            assert!((number(scored, "cosine") - f64::from(cosines[index])).abs() < 1e-6);
        }
    }
    let one = bench.json(&["match", "photos/p3.png", "--texts", "texts.txt", "-k", "1"]);
    assert_eq!(one[0]["best"].as_array().unwrap().len(), 1);
    bench.write("texts.txt", "fine\n...\n");
    fails(&bench.run(&["match", "photos", "--texts", "texts.txt"]), 1, &["texts.txt, line 2", "cleaning"]);
    bench.write("texts.txt", format!("{}red", "so ".repeat(31)));
    assert!(bench.run(&["match", "photos/p1.png", "--texts", "texts.txt"]).error.contains("30 words"));
}

#[test]
fn a_model_of_another_kind_is_named_with_what_it_is_for() {
    let bench = bench(Parts::Captioner);
    bench.write("texts.txt", "a dog\n");
    let clip = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        let output = command.current_dir(bench.path("")).args(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    };
    let commands =
        [&["caption", "photos"][..], &["ask", "photos", "red?"], &["match", "photos", "--texts", "texts.txt"]];
    for (command, model) in commands.into_iter().zip(["captioning-base", "vqa-base", "itm-base-coco"]) {
        let of_clip = clip(&[command, &["--model", "clip"]].concat());
        fails(&of_clip, 1, &["a CLIP, not a BLIP", "classify", "clip/open_clip_model.safetensors"]);
        fails(&clip(command), 1, &["no model", "--model", model]);
        fails(&bench.run(&[command, &["--activation", "gelu"]].concat()), 2, &["--activation", "BLIP"]);
    }
    fails(&bench.run(&["ask", "photos", "red?"]), 1, &["model/model.safetensors", "captioner", "blip-vqa-base"]);
    let clips = [
        &["caption-match", "photos", "--captions", "texts.txt"][..],
        &["text-states", "--text", "a", "--output", "a.npy"],
    ];
    for command in clips {
        fails(&bench.run(command), 1, &["a BLIP, not a CLIP", "caption, ask, match"]);
    }
}

#[test]
fn the_environment_may_name_the_model() {
    let bench = bench(Parts::Captioner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
    command.current_dir(bench.path("")).env("CLIP_MODEL", "model").args(["caption", "photos/p1.png", "--greedy"]);
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"photos/p1.png: "), "{output:?}");
}

#[test]
fn settings_that_make_no_sense_are_refused_before_anything_is_read() {
    let bench = bench(Parts::Captioner);
    for (args, words) in [
        (&["--top-p", "0.5"][..], &["--sample"][..]),
        (&["--greedy", "--beams", "2"], &["--beams"]),
        (&["--greedy", "--length-penalty", "2"], &["--length-penalty"]),
        (&["--sample", "--top-p", "1.5"], &["top-p", "1.5"]),
        (&["--sample", "--top-k", "0"], &["--top-k"]),
        (&["--beams", "0"], &["--beams"]),
        (&["--beams", "5000"], &["--beams", "1024"]),
        (&["--min-length", "30"], &["30", "20"]),
        (&["--max-length", "41"], &["--max-length 41", "40 tokens"]),
        (&["--max-length", "5", "--prompt", "a large picture of"], &["--prompt", "5"]),
        (&["--repetition-penalty", "0"], &["--repetition-penalty"]),
        (&["--output", "a.txt"], &["a.txt", ".csv", ".jsonl"]),
        (&["--output", "photos"], &["photos"]),
    ] {
        let outcome = bench.run(&[&["caption", "photos"], args].concat());
        fails(&outcome, 2, words);
    }
    fails(&bench.run(&["caption", "photos", "--output", "nowhere/a.csv"]), 1, &["nowhere/a.csv.partial"]);
    bench.write("a.csv.partial", "[1]\n");
    fails(&bench.run(&["caption", "photos", "--output", "a.csv"]), 1, &["a.csv.partial, line 1"]);
}

/// Whatever stands in a partial file, it is named and stays.
#[test]
fn a_damaged_partial_file_is_named() {
    let bench = bench(Parts::Captioner);
    bench.write("photos/p4.png", "no picture");
    let photos: Vec<String> = (0..10).map(|i| format!("photos/p{i}.png")).collect();
    let args = |photos: &[String]| {
        let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
        let rest = ["--greedy", "--skip-unreadable", "--output", "a.csv"];
        bench.run(&[&["caption"][..], &photos, &rest].concat())
    };
    assert_eq!(args(&photos).code, 0);
    let whole = fs::read(bench.path("a.csv")).unwrap();
    // The settings of a run that was begun with a model of another time.
    bench.write("a.csv.partial", "{\"model\": [\"\", 1, 2]}\n");
    fails(&args(&photos), 1, &["a.csv.partial", "an interrupted run left"]);
    for damaged in [&b"{}"[..], b"\xff\xfe\n", b"\0\0\0\n", b"[[[[[[\n", b"null\n", b"\n", b"{\"exif\": 1e999}\n"] {
        bench.write("a.csv.partial", damaged);
        let outcome = args(&photos);
        if damaged.ends_with(b"\n") {
            fails(&outcome, 1, &["a.csv.partial"]);
            assert_eq!(fs::read(bench.path("a.csv.partial")).unwrap(), damaged);
        } else {
            // What has no end of a line was never written.
            assert!(outcome.code == 0 && fs::read(bench.path("a.csv")).unwrap() == whole, "{outcome:?}");
        }
    }
}

#[test]
fn a_blip_is_described_and_converted() {
    let bench = bench(Parts::Pretrained);
    let json = |args: &[&str]| {
        let outcome = bench.run_alone(&[args, &["--json"]].concat());
        assert_eq!((outcome.code, outcome.error.as_str()), (0, ""), "{args:?}");
        lines(&outcome.out)
    };
    let info = &json(&["info", "model"])[0];
    assert_eq!((&info["kind"], &info["parts"], &info["embed_dim"]), (&json!("blip"), &json!("pretrained"), &json!(16)));
    assert_eq!((&info["image"]["heads"], &info["image"]["heads_inferred"]), (&json!(1), &json!(false)));
    let parameters = load(&bench.path("model"), &Default::default()).unwrap().params.flat;
    assert_eq!(info["parameters"], json!(parameters.len()));
    assert_eq!(info["commands"], json!(["caption", "match", "embed", "index", "search", "classify", "eval"]));

    fails(&bench.run_alone(&["convert", "model", "x"]), 2, &["pre-trained", "--to original"]);
    json(&["convert", "model", "again", "--to", "original"]);
    assert_eq!(load(&bench.path("again"), &Default::default()).unwrap().params.flat, parameters);

    put(&bench.path("captioner"), Parts::Captioner, Format::HuggingFace);
    let parameters = load(&bench.path("captioner"), &Default::default()).unwrap().params.flat;
    let report = json(&["convert", "captioner", "original", "--to", "original"]);
    assert_eq!(report[0]["format"], "original");
    json(&["convert", "original", "back"]);
    for folder in ["original", "back"] {
        assert_eq!(load(&bench.path(folder), &Default::default()).unwrap().params.flat, parameters);
    }
    fs::create_dir(bench.path("bare")).unwrap();
    fs::copy(bench.path("again/model.safetensors"), bench.path("bare/model.safetensors")).unwrap();
    let bare = bench.run_alone(&["info", "bare"]);
    assert!(bare.out.contains("1 head, MLP 64 (inferred)") && bare.error.contains("how many heads"), "{bare:?}");
    assert!(bare.out.contains("BLIP         pretrained, for caption, match, embed, index"), "{}", bare.out);

    json(&["convert", "captioner", "larger", "--image-size", "64", "--dtype", "f16"]);
    let larger = &json(&["info", "larger"])[0];
    assert_eq!((&larger["image"]["image_size"], &larger["dtypes"]), (&json!([64, 64]), &json!(["F16"])));
    fails(&bench.run_alone(&["convert", "model", "x", "--to", "openclip"]), 2, &["BLIP", "--to original"]);
    fails(&bench.run_alone(&["convert", "model", "x", "--to", "onnx"]), 2, &["--to onnx is for CLIPs", "BLIP"]);
    let card = std::fs::read_to_string(bench.path("original/README.md")).unwrap();
    assert!(card.contains("pipeline_tag: image-to-text\n") && card.contains("clipwright caption photo.jpg"), "{card}");
    fails(&bench.run_alone(&["convert", "clip", "x", "--to", "original"]), 2, &["CLIP", "--to openclip"]);
    assert_eq!(json(&["info", "clip"])[0]["kind"], "clip");
}

#[test]
fn help_fits_a_narrow_terminal() {
    for command in ["caption", "ask", "match", "convert"] {
        let output = Command::new(env!("CARGO_BIN_EXE_clipwright")).args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80 && help.contains("Examples:"), "{command}: {longest}");
    }
}
