//! One picture has one embedding by every command and data format, whatever its channels: to the bit in the same company.

use super::bench::Bench;
use crate::support::tiny;
use clipwright::Clip;
use clipwright::checkpoint::{ConfigFile, Contents, Format, Precision, save};
use clipwright::datasets::image_folder::{ImageFolder, class_folders};
use clipwright::datasets::{BadExample, BadLimit, Columns, CsvLayout, Dataset, Shards, Table};
use clipwright::embed::source::{About, Examples, Files, Loaded, Painted, Watched};
use clipwright::embed::{BATCH, Embed, Pictures};
use clipwright::models::clip::Config;
use clipwright::models::clip::model::Model;
use clipwright::pictures::{Channels, Picture, View, decode};
use clipwright::text::tokenizer::VOCABULARY;
use half::f16;
use image::{DynamicImage, ImageBuffer};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::ThreadPoolBuilder;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// One picture of every kind, in the order of their names. All but those of 16 bits were written by Pillow.
const KINDS: [&str; 8] = [
    "cmyk.jpg",
    "colour_16.png",
    "grey_16.png",
    "grey_alpha.png",
    "palette.png",
    "palette_alpha.png",
    "rgba.png",
    "rgba.webp",
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kinds").join(name)
}

fn with_vocabulary(mut config: Config) -> Config {
    config.text_cfg.vocab_size = VOCABULARY;
    config
}

/// Makes a folder with a model for pictures of 24 pixels and, in `kinds`, a picture of every kind.
fn bench(format: Format) -> Bench {
    let config = with_vocabulary(tiny::config(64));
    let bench = Bench::new(config.clone());
    fs::remove_dir_all(bench.path("model")).unwrap();
    fs::create_dir(bench.path("model")).unwrap();
    let file = ConfigFile::new(config.clone());
    save(&bench.path("model"), Contents { model: &Model::new(config, 5), config: &file }, format, Precision::F32)
        .unwrap();
    fs::create_dir(bench.path("kinds")).unwrap();
    let rgba = image::open(golden("rgba.png")).unwrap();
    let noise = |i: usize| (i * i * 31 % 65_521) as u16;
    for name in KINDS {
        let path = bench.path("kinds").join(name);
        match name {
            "colour_16.png" => {
                let samples = (0..3 * 40 * 31).map(noise).collect();
                DynamicImage::ImageRgb16(ImageBuffer::from_vec(40, 31, samples).unwrap()).save(path).unwrap();
            }
            "grey_16.png" => {
                let samples = (0..31 * 40).map(|i| noise(i) % 300).collect();
                DynamicImage::ImageLuma16(ImageBuffer::from_vec(31, 40, samples).unwrap()).save(path).unwrap();
            }
            "rgba.webp" => rgba.save(path).unwrap(),
            name => {
                fs::copy(golden(name), path).unwrap();
            }
        }
    }
    bench
}

/// Stores the pictures as a table, as lines of JSON, as a shard and as a folder for each class.
fn stored(bench: &Bench) -> [(&'static str, Box<dyn Dataset>); 4] {
    let read = |name| fs::read(bench.path("kinds").join(name)).unwrap();
    let rows: String = KINDS.map(|name| format!("kinds/{name},picture of {name}\n")).concat();
    bench.write("pairs.csv", format!("filepath,title\n{rows}"));
    bench.write(
        "kinds/metadata.jsonl",
        KINDS.map(|name| format!("{{\"file_name\": \"{name}\", \"text\": \"picture of {name}\"}}\n")).concat(),
    );
    let mut shard = tar::Builder::new(Vec::new());
    let mut append = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        shard.append_data(&mut header, name, bytes).unwrap();
    };
    for (i, name) in KINDS.iter().enumerate() {
        let (stem, extension) = name.split_once('.').unwrap();
        append(format!("{i:03}.{extension}"), &read(name));
        append(format!("{i:03}.txt"), format!("picture of {name}").as_bytes());
        bench.write(&format!("classes/{stem} {extension}/0.{extension}"), read(name));
    }
    bench.write("pairs.tar", shard.into_inner().unwrap());

    let limit = BadLimit::default();
    let classes = class_folders(&[&bench.path("classes")]).unwrap();
    let layout = CsvLayout { separator: b',', ..CsvLayout::default() };
    [
        ("pairs.csv", Box::new(Table::csv(&bench.path("pairs.csv"), &layout, limit).unwrap())),
        ("kinds", Box::new(Table::jsonl(&bench.path("kinds/metadata.jsonl"), &Columns::default(), limit).unwrap())),
        ("pairs.tar", Box::new(Shards::open(&[bench.path("pairs.tar")], 9, limit).unwrap())),
        ("classes", Box::new(ImageFolder::open(&bench.path("classes"), &classes, &classes).unwrap())),
    ]
}

/// Reads the embeddings of an `.npy` file.
fn npy(bench: &Bench, name: &str) -> Array2<f32> {
    let bytes = fs::read(bench.path(name)).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[start..].as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
    Array2::from_shape_vec((KINDS.len(), 64), values).unwrap()
}

/// Returns (index, cosine) of the texts that a command ranks, sorted by index.
fn cosines(line: &Value) -> Vec<f32> {
    let mut ranked: Vec<(u64, f32)> = (line["best"].as_array().unwrap().iter())
        .map(|text| (text["index"].as_u64().unwrap(), text["cosine"].as_f64().unwrap() as f32))
        .collect();
    ranked.sort_by_key(|text| text.0);
    ranked.into_iter().map(|text| text.1).collect()
}

#[test]
fn by_every_command_and_every_call() {
    for format in [Format::OpenClip, Format::HuggingFace] {
        let bench = bench(format);
        let clip = Clip::load(bench.path("model")).unwrap();
        let paths = KINDS.map(|name| bench.path("kinds").join(name));
        let pictures: Vec<Picture> = paths.iter().map(|path| decode::open(path).unwrap()).collect();
        let expected = clip.encode_image(&pictures);

        assert_eq!(clip.image.all(&Files(&paths)).rows, expected);
        for (name, dataset) in stored(&bench) {
            let positions: Vec<usize> = (0..KINDS.len()).collect();
            let seen = clip.all(&Examples { dataset: &*dataset, positions: &positions });
            assert_eq!(seen.rows, expected, "{name}");
            for (place, (i, About { digest, .. })) in seen.read.into_iter().enumerate() {
                assert_eq!((i, digest), (place, pictures[i].digest()), "{name}");
            }
        }

        let names = KINDS.map(|name| format!("kinds/{name}"));
        let names = names.each_ref().map(String::as_str);
        bench.json(&[&["embed", "--output", "files.npy"][..], &names].concat());
        bench.json(&["embed", "--output", "folder.npy", "kinds"]);
        assert_eq!(npy(&bench, "files.npy"), expected);
        assert_eq!(npy(&bench, "folder.npy"), expected);

        let captions = ["red", "a drawing of something", "noise"];
        bench.write("captions.txt", captions.join("\n"));
        let texts = clip.encode_text(&captions);
        let scores: Vec<_> = expected.rows().into_iter().map(|row| texts.dot(&row)).collect();
        for (name, picture) in names.iter().zip(&pictures) {
            let answer = bench.json(&["caption-match", name, "--captions", "captions.txt"]);
            let alone = clip.encode_image(std::slice::from_ref(picture));
            assert_eq!(cosines(&answer[0]), texts.dot(&alone.row(0)).to_vec(), "{name}");
        }
        bench.write("templates.txt", "{}");
        let args = ["classify", "kinds", "--labels-file", "captions.txt", "--templates", "templates.txt", "--json"];
        let outcome = bench.run(&args);
        assert_eq!((outcome.code, outcome.error.as_str()), (0, "passed over: 1 .jsonl\n"));
        let answers = super::bench::lines(&outcome.out);
        for (answer, scores) in answers.iter().zip(&scores) {
            // Labels are the mean of their sentences, brought to unit length again.
            assert!(cosines(answer).iter().zip(scores).all(|(a, b)| (a - b).abs() < 1e-6), "{answer} {scores}");
        }

        bench.json(&["index", "kinds"]);
        let bytes = fs::read(bench.path("kinds/.clip-index/embeddings-0.f16")).unwrap();
        let stored: Vec<f16> = bytes.as_chunks().0.iter().map(|&value| f16::from_le_bytes(value)).collect();
        assert_eq!(stored, expected.iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>());
        for (row, name) in expected.rows().into_iter().zip(names) {
            let found = &bench.json(&["search", "kinds", "--image", name, "-k", "8"])[0]["hits"];
            let hit =
                found.as_array().unwrap().iter().find(|hit| hit["path"].as_str().unwrap().ends_with(name)).unwrap();
            let score: f32 = row.iter().map(|&x| f16::from_f32(x).to_f32() * x).sum();
            assert!((hit["score"].as_f64().unwrap() as f32 - score).abs() < 1e-6, "{hit} {score}");
        }

        let table = |data| bench.json(&["eval", data, "--captions-are-classes"])[0]["rows"].clone();
        assert_eq!(table("kinds"), table("pairs.csv"));
        assert_eq!(table("pairs.tar"), table("pairs.csv"));
        bench.write("names.txt", KINDS.map(|name| format!("picture of {name}")).join("\n"));
        let folders = bench.json(&["eval", "classes", "--labels-file", "names.txt"])[0]["rows"].clone();
        assert_eq!(folders, table("pairs.csv"));
    }
}

/// `KIND.openclip.png` and `KIND.huggingface.png` were made with Pillow. The former were resized to 24 pixels and then
/// stripped of their opacity, the latter were laid over white first.
#[test]
fn opacity_and_palettes_are_seen_as_by_the_model_s_own_library() {
    for (format, library) in [(Format::OpenClip, "openclip"), (Format::HuggingFace, "huggingface")] {
        let bench = bench(format);
        let clip = Clip::load(bench.path("model")).unwrap();
        let kinds = ["grey_alpha", "palette", "palette_alpha", "rgba"];
        let originals = clip.image.all(&Files(&kinds.map(|kind| golden(&format!("{kind}.png"))))).rows;
        let prepared = clip.image.all(&Files(&kinds.map(|kind| golden(&format!("{kind}.{library}.png"))))).rows;
        assert_eq!(originals, prepared, "{library}");
    }
}

/// 150 pictures of different sizes and channels.
fn many() -> Vec<Picture> {
    let modes = [Channels::Grey, Channels::GreyAlpha, Channels::Rgb, Channels::Rgba, Channels::Palette];
    let picture = |n: usize| {
        let mut picture = Picture::new(20 + n % 13, 19 + n % 17, modes[n % modes.len()]);
        picture.samples.iter_mut().enumerate().for_each(|(i, sample)| *sample = (i * (n + 3) % 251) as u8);
        picture
    };
    (0..150).map(picture).collect()
}

fn some(rows: &Array2<f32>, n: usize) -> ArrayView2<'_, f32> {
    rows.view().split_at(Axis(0), n).0
}

/// A product of few rows adds in another order than one of many, so what else is embedded at the same time shows in the
/// last bits of unit rows, and nowhere else.
#[track_caller]
fn assert_near(actual: &Array2<f32>, expected: ArrayView2<f32>, what: &str) {
    let furthest = (actual - &expected).iter().fold(0.0, |furthest: f32, x| furthest.max(x.abs()));
    assert!(actual.dim() == expected.dim() && furthest < 1e-6, "{what}: {furthest}");
}

#[test]
fn alone_and_in_any_company() {
    for config in [tiny::config(64), tiny::resnet(16)] {
        let bench = Bench::new(with_vocabulary(config));
        let clip = Clip::load(bench.path("model")).unwrap();
        let pictures = many();
        let all = clip.encode_image(&pictures);
        for n in [1, 2, 3, 8, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH] {
            assert_near(&clip.encode_image(&pictures[..n]), some(&all, n), &format!("{n} pictures"));
        }
        let texts: Vec<String> = (0..300).map(|i| "word ".repeat(i % 19) + &i.to_string()).collect();
        let embedded = clip.encode_text(&texts);
        for n in [1, 2, 3, 8, 127, 128, 129] {
            assert_near(&clip.encode_text(&texts[..n]), some(&embedded, n), &format!("{n} texts"));
        }
        assert_eq!(clip.encode_image(&pictures), all, "again");
        for threads in [1, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| clip.encode_image(&pictures)), all, "{threads} threads");
        }
        let both = std::thread::scope(|scope| {
            let calls = [(); 2].map(|()| scope.spawn(|| clip.encode_image(&pictures)));
            calls.map(|call| call.join().unwrap())
        });
        assert!(both.iter().all(|rows| *rows == all));
    }
}

/// Every third picture cannot be read.
struct Torn<'a>(&'a [Picture]);

impl Pictures for Torn<'_> {
    type Note = usize;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<usize, BadExample> {
        if i.is_multiple_of(3) {
            return Err(BadExample::new(format!("picture {i}"), "torn"));
        }
        Loaded(self.0).read(i, view, picture).map(|()| 2 * i)
    }
}

#[test]
fn what_cannot_be_read_is_left_out_named_and_counted() {
    let bench = Bench::new(with_vocabulary(tiny::config(64)));
    let clip = Clip::load(bench.path("model")).unwrap();
    let pictures = many();
    let all = clip.encode_image(&pictures);
    let tried = AtomicUsize::new(0);
    let done = || {
        tried.fetch_add(1, SeqCst);
    };
    let source = Watched { source: &Torn(&pictures), done };
    let seen = clip.all(&source);
    assert_eq!((tried.into_inner(), seen.bad.seen, seen.bad.bad), (150, 150, 50));
    assert_eq!(seen.bad.first[1], BadExample::new("picture 3", "torn"));
    let good: Vec<usize> = (0..150).filter(|i| i % 3 > 0).collect();
    assert_eq!(seen.read, good.iter().map(|&i| (i, 2 * i)).collect::<Vec<_>>());
    assert_eq!(seen.rows, all.select(Axis(0), &good));

    let mut batches = vec![];
    let stopped = clip.stream(&Torn(&pictures), |batch| {
        batches.push((batch.rows.nrows(), batch.bad.len(), batch.report.seen));
        if batches.len() < 2 { Ok(()) } else { Err("enough") }
    });
    assert_eq!(stopped, Err("enough"));
    assert_eq!(batches, [(42, 22, 64), (43, 21, 128)]);

    let none = clip.all(&Torn(&pictures[..1]));
    assert_eq!((none.rows.dim(), none.bad.bad), ((0, 64), 1));
    let painted = Painted { n: 0, paint: |_, _: &mut Picture| unreachable!("there is no picture") };
    assert_eq!(clip.all(&painted).rows.dim(), (0, 64));
}

#[cfg(unix)]
#[test]
fn every_command_sees_the_same_pictures_in_a_folder() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new(with_vocabulary(tiny::config(64)));
    let seen = ["cats/1.png", "cats/2.png", "cats/old/1.png", "dogs/linked.png"];
    for (i, name) in
        ["cats/1.png", "cats/2.png", "cats/.3.png", "dogs/.bin/1.png", ".thumbnails/1.png"].iter().enumerate()
    {
        super::bench::paint(&bench, &format!("pets/{name}"), [10, 20, 200], i as u32);
    }
    super::bench::paint(&bench, "elsewhere/1.png", [90, 20, 0], 7);
    symlink(bench.path("elsewhere"), bench.path("pets/cats/old")).unwrap();
    symlink(bench.path("elsewhere/1.png"), bench.path("pets/dogs/linked.png")).unwrap();
    symlink(bench.path("pets"), bench.path("pets/dogs/back")).unwrap();
    symlink("nowhere", bench.path("pets/dogs/broken.png")).unwrap();
    let unseen = ["pets/dogs/back: a link back to pets", "pets/dogs/broken.png: No such file"];

    let expected = seen.map(|name| format!("pets/{name}"));
    for command in [&["embed", "pets"][..], &["classify", "pets", "--labels", "a,b"]] {
        let outcome = bench.run(&[command, &["--json"]].concat());
        let named = super::bench::lines(&outcome.out);
        let named: Vec<&str> = named.iter().map(|line| line["image"].as_str().unwrap()).collect();
        assert_eq!(named, expected, "{command:?}");
        assert!(unseen.iter().all(|what| outcome.error.contains(&format!("skipped {what}"))), "{}", outcome.error);
        assert!(outcome.code == 1 && outcome.error.contains("2 of 6 pictures could not be read"), "{outcome:?}");
        assert_eq!(bench.run(&[command, &["--skip-unreadable"]].concat()).code, 0);
    }

    assert_eq!(bench.run(&["index", "pets"]).code, 1);
    let report = &bench.json(&["index", "pets", "--skip-unreadable"])[0];
    let skipped = report["skipped"].as_array().unwrap().iter();
    let skipped: Vec<String> = skipped
        .map(|skip| format!("{}: {}", skip["path"].as_str().unwrap(), skip["reason"].as_str().unwrap()))
        .collect();
    assert!(skipped.len() == 2 && skipped.iter().zip(unseen).all(|(skip, what)| skip.starts_with(what)), "{skipped:?}");
    let entries = fs::read_to_string(bench.path("pets/.clip-index/entries-0.jsonl")).unwrap();
    let entries = super::bench::lines(&entries);
    let indexed: Vec<&str> = entries.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(indexed, seen);

    // More than a tenth of the pictures is missing.
    let outcome = bench.run(&["eval", "pets"]);
    assert!(outcome.code == 1 && outcome.error.contains("2 of 6"), "{}", outcome.error);
    assert!(unseen.iter().all(|what| outcome.error.contains(what)), "{}", outcome.error);
}
