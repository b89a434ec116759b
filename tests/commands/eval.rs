//! `clipwright eval` against `clipwright classify`, the library and counting by hand.

use super::bench::{COLOURS, Outcome, bench, clip, colour_folders, encode};
use clipwright::pictures::{Channels, Picture};
use serde_json::Value;
use std::fmt::Write;

#[test]
fn eval_of_class_folders_is_what_classify_says() {
    let bench = bench();
    colour_folders(&bench);
    let report = &bench.json(&["eval", "colours", "--linear-probe"])[0];
    let row = &report["rows"][0];
    assert_eq!((&row["images"], &row["zero_shot"]["classes"]), (&9.into(), &3.into()));
    let answers = bench.json(&["classify", "colours/val", "--labels", "blue,dark red,green"]);
    let right = |answer: &&Value| {
        let label = answer["best"][0]["text"].as_str().unwrap().replace(' ', "_");
        answer["image"].as_str().unwrap().contains(&label)
    };
    let hits = answers.iter().filter(right).count();
    assert_eq!(row["zero_shot"]["score"]["top1"].as_f64().unwrap(), hits as f64 / 9.0);
    let probe = &report["linear_probe"];
    assert_eq!((&probe["train"], &probe["test"], &probe["converged"]), (&15.into(), &9.into(), &true.into()));
    assert_eq!(probe["score"]["top1"], 1.0, "three colours are separable");

    let same = &bench.json(&["eval", "colours/val", "--linear-probe", "--train-data", "colours/train"])[0];
    assert_eq!((&same["rows"], &same["linear_probe"]), (&report["rows"], probe));
    bench.write("names.txt", "azure\nruby\nemerald\n");
    let named = &bench.json(&["eval", "colours", "--labels-file", "names.txt", "--limit", "6"])[0];
    assert_eq!(named["rows"][0]["images"], 6);
    let Outcome { code, out, .. } = bench.run(&["eval", "colours", "--linear-probe", "--probe-c", "10"]);
    assert!(code == 0 && out.contains("linear probe  top-1 100.0") && out.contains("C = 1.000e1"), "{out}");
}

#[test]
fn folders_without_pictures_are_no_classes_and_are_named() {
    let bench = bench();
    colour_folders(&bench);
    let scores = bench.json(&["eval", "colours"])[0]["rows"].clone();
    for folder in ["colours/val/cache", "colours/train/cache", "colours/val/thumbs/small"] {
        std::fs::create_dir_all(bench.path(folder)).unwrap();
    }
    bench.write("colours/val/thumbs/small/note.txt", "no picture");
    let Outcome { code, out, error } = bench.run(&["eval", "colours", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["rows"]), (0, &scores), "{error}");
    assert!(error.contains("note: without a picture, and so no class: cache, thumbs"), "{error}");
    // Names for all folders make classes of all.
    bench.write("names.txt", "azure\ncache\nruby\nemerald\nthumbs\n");
    let Outcome { code, out, error } = bench.run(&["eval", "colours", "--labels-file", "names.txt", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["rows"][0]["zero_shot"]["classes"]), (0, &5.into()), "{error}");
}

#[test]
fn eval_of_captions_finds_pairs() {
    let bench = bench();
    colour_folders(&bench);
    let mut tsv = String::from("filepath\ttitle\n");
    let mut jsonl = String::new();
    let shard = std::fs::File::create(bench.path("shard.tar")).unwrap();
    let mut shard = tar::Builder::new(shard);
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        shard.append_data(&mut header, name, bytes).unwrap();
    };
    for (name, _) in COLOURS {
        for i in 5..8 {
            let (file, caption) = (format!("val/{name}/{i}.png"), format!("number {i} of {name}"));
            writeln!(tsv, "colours/{file}\t{caption}").unwrap();
            writeln!(jsonl, "{{\"file_name\": \"{file}\", \"text\": \"{caption}\"}}").unwrap();
            add(format!("{name}{i}.png"), &std::fs::read(bench.path("colours").join(file)).unwrap());
            add(format!("{name}{i}.txt"), caption.as_bytes());
        }
    }
    shard.finish().unwrap();
    bench.write("pairs.tsv", &tsv);
    bench.write("pairs.csv", tsv.replace('\t', ","));
    bench.write("colours/metadata.jsonl", jsonl);

    let [first, others @ ..] = ["pairs.tsv", "pairs.csv", "colours", "shard.tar"];
    let report = &bench.json(&["eval", first])[0]["rows"][0];
    assert_eq!((&report["images"], &report["zero_shot"]), (&9.into(), &Value::Null));
    // Computed by hand: the share of the captions whose own picture has the best score.
    let pairs: Vec<(&str, &str)> = tsv.lines().skip(1).map(|line| line.split_once('\t').unwrap()).collect();
    let (names, captions): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
    let cosines = clip(&bench).encode_text(&captions).dot(&encode(&bench, &names).t());
    let best = |row: ndarray::ArrayView1<f32>| (0..9).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let hits = (0..9).filter(|&i| best(cosines.row(i)) == i).count();
    let at1 = report["retrieval"]["text_to_image"]["at1"].as_f64().unwrap();
    assert!((at1 - hits as f64 / 9.0).abs() < 1e-9, "{at1}");
    for other in others {
        assert_eq!(&bench.json(&["eval", other])[0]["rows"][0], report, "{other}");
    }

    bench.write("classes.tsv", tsv.lines().map(|line| line.replace("number 5 of ", "") + "\n").collect::<String>());
    let report = &bench.json(&["eval", "classes.tsv", "--captions-are-classes"])[0]["rows"][0];
    assert_eq!(report["zero_shot"]["classes"], 9);
}

/// Returns a pixel of a picture that shows its class by the place of its bright part.
fn stripe(i: usize, class: usize) -> u8 {
    if i / 80 == class { 250 } else { 9 }
}

#[test]
fn eval_reads_fashion_mnist() {
    let bench = bench();
    for (part, n) in [("train", 40u32), ("t10k", 20)] {
        let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
        let pixels = labels.iter().flat_map(|&label| (0..784).map(move |i| stripe(i, usize::from(label))));
        let header = |magic: u32, dims: &[u32]| -> Vec<u8> {
            [&[magic], dims].concat().iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        bench.write(
            &format!("mnist/{part}-images-idx3-ubyte"),
            [header(0x803, &[n, 28, 28]), pixels.collect()].concat(),
        );
        bench.write(&format!("mnist/{part}-labels-idx1-ubyte"), [header(0x801, &[n]), labels.clone()].concat());
    }
    let report = &bench.json(&["eval", "mnist", "--linear-probe", "--probe-c", "1000"])[0];
    assert_eq!((&report["rows"][0]["images"], &report["rows"][0]["zero_shot"]["classes"]), (&20.into(), &10.into()));
    assert_eq!(report["linear_probe"]["score"]["top1"], 1.0, "the test pictures are among those learnt");

    let picture = |class| Picture {
        width: 28,
        height: 28,
        mode: Channels::Grey,
        samples: (0..784).map(|i| stripe(i, class)).collect(),
        ..Picture::default()
    };
    let pictures: Vec<Picture> = (0..10).map(picture).collect();
    let (clip, names) = (clip(&bench), clipwright::datasets::idx::FASHION.map(|name| format!("a photo of a {name}.")));
    let logits = clip.similarity(clip.encode_image(&pictures).view(), clip.encode_text(&names).view());
    let is_best = |&class: &usize| logits.row(class).iter().all(|&logit| logit <= logits[[class, class]]);
    let hits = (0..10).filter(is_best).count();
    assert_eq!(report["rows"][0]["zero_shot"]["score"]["top1"].as_f64().unwrap(), hits as f64 / 10.0);

    bench.write("mnist/t10k-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 20, 1]);
    let Outcome { code, error, .. } = bench.run(&["eval", "mnist"]);
    assert!(code == 1 && error.contains("t10k-labels-idx1-ubyte: ") && error.contains("1 of the 20 bytes"), "{error}");
}

#[test]
fn eval_asks_the_emoji() {
    let bench = bench();
    let report = &bench.json(&["eval", "--emoji"])[0];
    assert_eq!((&report["data"], report["rows"].as_array().unwrap().len()), (&"emoji".into(), 8));
    assert!(report["rows"][0]["zero_shot"]["raw_pixels"]["top1"].as_f64().unwrap() > 0.1);
}
