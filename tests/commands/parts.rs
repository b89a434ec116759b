//! Folders of parts: `clipwright embed --shard` by many processes, and `clipwright index --from` afterwards.

use super::bench::{Bench, Outcome, encode, lines, paint};
use super::blip::fails;
use clipwright::checkpoint::{ConfigFile, save_model};
use clipwright::models::clip::Config;
use clipwright::models::clip::model::Model;
use clipwright::text::tokenizer::VOCABULARY;
use half::f16;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const WIDTH: usize = 64;
/// The picture of the second block that cannot be read.
const TORN: &str = "photos/1/090.png";

fn config() -> Config {
    let mut config = crate::support::tiny::config(WIDTH);
    config.text_cfg.vocab_size = VOCABULARY;
    config
}

/// Makes a folder with the models `model` and `other` and 150 pictures in `photos`, one of which cannot be read: three
/// blocks of at most 64.
fn bench() -> Bench {
    let bench = Bench::new(config());
    fs::create_dir(bench.path("other")).unwrap();
    save_model(&bench.path("other"), &Model::new(config(), 6), &ConfigFile::new(config())).unwrap();
    (0..150).for_each(|i| paint(&bench, &format!("photos/{}/{i:03}.png", i / 75), [i as u8, 90, 200], i));
    bench.write(TORN, "no picture");
    bench
}

/// Runs a command that must succeed, whatever it warns of.
#[track_caller]
fn run(bench: &Bench, args: &[&str]) -> Value {
    let outcome = bench.run(&[args, &["--json"]].concat());
    assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.error);
    lines(&outcome.out).remove(0)
}

fn embed(bench: &Bench, what: &[&str], folder: &str, part: &str) -> Value {
    run(bench, &[&["embed", "--skip-unreadable", "--output", folder, "--shard", part], what].concat())
}

fn embed_all(bench: &Bench, what: &[&str], folder: &str, parts: usize) {
    (0..parts).rev().for_each(|part| drop(embed(bench, what, folder, &format!("{part}/{parts}"))));
}

/// Takes embeddings from parts. Unlike other commands this one has no `--model`.
fn merge(bench: &Bench, parts: &str, index: &str) -> Outcome {
    bench.run_alone(&["index", "photos", "--from", parts, "--output", index, "--json"])
}

/// Returns the sorted names of files in a folder.
fn names(bench: &Bench, folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(bench.path(folder)) else { return vec![] };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Reads the arrays of all parts one after the other: the bytes of their rows.
fn arrays(bench: &Bench, folder: &str, kind: &str) -> Vec<u8> {
    let array = |name: String| {
        let bytes = fs::read(bench.path(folder).join(kind).join(name)).unwrap();
        bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..].to_vec()
    };
    names(bench, &format!("{folder}/{kind}")).into_iter().flat_map(array).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&raw| f32::from_le_bytes(raw)).collect()
}

/// Reads the tables of all parts one after the other: their columns, and the texts of each row.
fn tables(bench: &Bench, folder: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let (mut columns, mut rows) = (vec![], vec![]);
    for name in names(bench, &format!("{folder}/metadata")) {
        let file = File::open(bench.path(folder).join("metadata").join(name)).unwrap();
        let table = SerializedFileReader::new(file).unwrap();
        let schema = table.metadata().file_metadata().schema_descr_ptr();
        columns = schema.columns().iter().map(|column| column.name().to_owned()).collect();
        for row in table.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            rows.push((0..columns.len()).map(|column| row.get_string(column).unwrap().clone()).collect());
        }
    }
    (columns, rows)
}

/// Returns all files below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        for file in fs::read_dir(entry.path()).unwrap().map(|file| file.unwrap().path()) {
            all.insert(file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), fs::read(&file).unwrap());
        }
    }
    all
}

#[test]
fn every_number_of_parts_has_the_same_rows_to_the_bit() {
    let bench = bench();
    let said = embed(&bench, &["photos"], "one", "0/1");
    assert_eq!((&said["rows"], &said["width"], &said["skipped"]), (&json!(149), &json!(WIDTH), &json!(1)));
    assert_eq!(names(&bench, "one"), ["img_emb", "metadata", "parts"]);
    run(&bench, &["embed", "photos", "--output", "whole.npy", "--skip-unreadable"]);
    let whole = fs::read(bench.path("whole.npy")).unwrap();
    assert_eq!(whole, fs::read(bench.path("one/img_emb/img_emb_0.npy")).unwrap());
    let (columns, rows) = tables(&bench, "one");
    let photos = (0..150).map(|i| format!("photos/{}/{i:03}.png", i / 75)).filter(|name| name != TORN);
    assert_eq!((columns, rows.concat()), (vec!["image_path".to_owned()], photos.collect::<Vec<_>>()));

    // Ten parts of three blocks: some are empty, and readers of all parts side by side see nothing of them.
    for (folder, parts) in [("three", 3), ("ten", 10)] {
        embed_all(&bench, &["photos"], folder, parts);
        assert!(arrays(&bench, folder, "img_emb") == arrays(&bench, "one", "img_emb"), "{parts}");
        assert_eq!(tables(&bench, folder).1, rows);
        assert_eq!(names(&bench, &format!("{folder}/parts")).len(), parts);
    }
    assert_eq!(names(&bench, "three/img_emb"), ["img_emb_0.npy", "img_emb_1.npy", "img_emb_2.npy"]);
    assert_eq!(names(&bench, "ten/metadata"), ["00", "03", "06"].map(|part| format!("metadata_{part}.parquet")));

    embed_all(&bench, &["photos", "--dtype", "f16"], "half", 2);
    let rounded: Vec<u8> = floats(&arrays(&bench, "one", "img_emb"))
        .into_iter()
        .flat_map(|value| f16::from_f32(value).to_le_bytes())
        .collect();
    assert!(arrays(&bench, "half", "img_emb") == rounded);
}

#[test]
fn an_index_of_parts_is_the_one_that_is_made_directly() {
    let bench = bench();
    let read = |file: &str| fs::read(bench.path(file)).unwrap();
    run(&bench, &["index", "photos", "--output", "direct", "--skip-unreadable"]);
    for (dtype, parts, index) in [("f32", "single", "a"), ("f16", "half", "b")] {
        embed_all(&bench, &["photos", "--dtype", dtype], parts, 3);
        let outcome = merge(&bench, parts, index);
        assert_eq!((outcome.code, outcome.error.as_str()), (0, ""));
        assert_eq!(lines(&outcome.out)[0]["added"], 149);
        for file in ["embeddings-0.f16", "entries-0.jsonl"] {
            assert!(read(&format!("{index}/{file}")) == read(&format!("direct/{file}")), "{dtype}, {file}");
        }
        let hits = |index| bench.json(&["search", index, "a red car", "-k", "149"])[0]["hits"].clone();
        assert_eq!(hits(index), hits("direct"));
        // An index that was begun is gone on with, and later updates embed what has changed.
        assert_eq!(lines(&merge(&bench, parts, index).out)[0]["unchanged"], 149);
    }
    paint(&bench, "photos/0/000.png", [1, 2, 3], 999);
    paint(&bench, TORN, [4, 5, 6], 998);
    let said = run(&bench, &["index", "photos", "--output", "a"]);
    let counts = ["added", "changed", "removed", "unchanged"].map(|field| said[field].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 0, 148]);

    // A list of files, some of which are named twice; the paths are absolute.
    let folder = bench.path("photos/0").canonicalize().unwrap();
    let list = [7, 3, 7].map(|i| folder.join(format!("00{i}.png")).display().to_string());
    bench.write("list.txt", list.join("\n"));
    embed(&bench, &["--files-from", "list.txt", "--exif"], "list", "0/1");
    assert_eq!(lines(&merge(&bench, "list", "c").out)[0]["added"], 2);
    let index: Value = serde_json::from_slice(&read("c/index.json")).unwrap();
    assert_eq!(index["exif"], true);
    fails(&merge(&bench, "half", "c"), 1, &["c: begun with another --exif"]);
}

#[test]
fn an_interrupted_run_goes_on_with_what_is_missing() {
    let bench = bench();
    embed_all(&bench, &["photos"], "whole", 3);
    let whole = files(&bench.path("whole"));
    for milliseconds in [0, 30, 90] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        command.current_dir(bench.path("")).args(["embed", "photos", "--model", "model"]);
        command.args(["--output", "parts", "--shard", "1/3"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    embed_all(&bench, &["photos"], "parts", 3);
    assert!(files(&bench.path("parts")) == whole);

    // What a process that is killed between two files leaves.
    fs::remove_file(bench.path("parts/parts/part_1.jsonl")).unwrap();
    bench.write("parts/img_emb/img_emb_1.npy", "half");
    fails(&merge(&bench, "parts", "index"), 1, &["parts: parts are missing: 1/3"]);
    let modified = || fs::metadata(bench.path("parts/img_emb/img_emb_0.npy")).unwrap().modified().unwrap();
    let before = modified();
    let again = bench.run(&["embed", "photos", "--output", "parts", "--shard", "0/3"]);
    assert_eq!((again.code, again.out.as_str()), (0, "parts, part 0/3: 64 rows of 64\n"));
    assert!(again.error.contains("parts: part 0/3 is finished already") && modified() == before, "{}", again.error);
    embed(&bench, &["photos"], "parts", "1/3");
    assert!(files(&bench.path("parts")) == whole);

    // A picture that could not be read is counted again, and an unreadable disk ends no part.
    let again = bench.run(&["embed", "photos", "--output", "parts", "--shard", "1/3"]);
    assert_eq!((again.code, again.out.as_str()), (1, "parts, part 1/3: 63 rows of 64, 1 skipped\n"));
    assert!(again.error.contains("1 of 64 pictures could not be read\nhelp: --skip-unreadable"), "{}", again.error);
    let gone = ["embed", "nowhere/1.png", "nowhere/2.png", "--output", "gone"];
    fails(&bench.run(&gone), 1, &["skipped nowhere/1.png", "2 of 2 pictures could not be read"]);
    assert_eq!(names(&bench, "gone/parts"), [""; 0]);
    assert_eq!(run(&bench, &[&gone[..], &["--skip-unreadable"]].concat())["rows"], 0);
    assert_eq!((names(&bench, "gone/parts").len(), names(&bench, "gone/img_emb").len()), (1, 0));
}

#[test]
fn pairs_have_a_row_in_each_folder_or_in_none() {
    let bench = bench();
    let caption = |i: usize| format!("picture number {i}");
    let name = |i: usize| format!("photos/{}/{i:03}.png", i / 75);
    let rows: String = (0..150).map(|i| format!("{},{}\n", name(i), caption(i))).collect();
    bench.write("pairs.csv", format!("filepath,title\n{rows}"));
    let mut shard = tar::Builder::new(vec![]);
    let mut append = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        shard.append_data(&mut header, name, bytes).unwrap();
    };
    for i in 0..150 {
        append(format!("{i:03}.png"), &fs::read(bench.path(&name(i))).unwrap());
        append(format!("{i:03}.txt"), caption(i).as_bytes());
    }
    bench.write("pairs.tar", shard.into_inner().unwrap());

    let good: Vec<usize> = (0..150).filter(|&i| name(i) != TORN).collect();
    embed_all(&bench, &["--pairs", "pairs.csv"], "one", 1);
    embed_all(&bench, &["--pairs", "pairs.csv"], "table", 2);
    embed_all(&bench, &["--pairs", "pairs.tar"], "shards", 3);
    embed_all(&bench, &["photos"], "pictures", 1);
    for folder in ["table", "shards"] {
        for kind in ["img_emb", "text_emb"] {
            assert!(arrays(&bench, folder, kind) == arrays(&bench, "one", kind), "{folder} {kind}");
        }
        let (columns, rows) = tables(&bench, folder);
        let path = |i: usize| if folder == "table" { name(i) } else { format!("{i:03}") };
        let expected: Vec<_> = good.iter().map(|&i| vec![path(i), caption(i)]).collect();
        assert_eq!((columns, rows), (vec!["image_path".to_owned(), "caption".to_owned()], expected));
    }
    assert!(arrays(&bench, "one", "img_emb") == arrays(&bench, "pictures", "img_emb"));
    let texts = floats(&arrays(&bench, "one", "text_emb"));
    let captions: Vec<String> = good.iter().map(|&i| caption(i)).collect();
    let expected = super::bench::clip(&bench).encode_text(&captions);
    assert!(texts.len() == expected.len() && texts.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-6));

    assert_eq!(lines(&merge(&bench, "table", "index").out)[0]["added"], 149);
    fails(&merge(&bench, "shards", "other_index"), 1, &["part_0.jsonl: its pictures are in shards"]);

    bench.write("texts.txt", captions.join("\n"));
    embed_all(&bench, &["--texts", "texts.txt"], "texts", 2);
    assert_eq!(tables(&bench, "texts").1.concat(), captions);
    assert_eq!(arrays(&bench, "texts", "text_emb").len(), 149 * WIDTH * 4);
    fails(&merge(&bench, "texts", "other_index"), 1, &["texts: embeddings of texts"]);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let bench = bench();
    bench.write("few.txt", (0..70).map(|i| format!("photos/0/{i:03}.png\n")).collect::<String>());
    let few = ["--files-from", "few.txt"];
    embed_all(&bench, &few, "parts", 2);
    let with = |args: &[&str]| bench.run(&[&["embed", "--output", "parts"], args].concat());
    let on_few = |args: &[&str]| with(&[&few, args].concat());
    fails(&on_few(&["--shard", "0/3"]), 1, &["parts: begun with another number of parts", "--output"]);
    fails(&on_few(&["--shard", "0/2", "--dtype", "f16"]), 1, &["parts: begun with another --dtype"]);
    fails(&on_few(&["--shard", "0/2", "--exif"]), 1, &["parts: begun with another --exif"]);
    fails(&with(&["photos", "--shard", "0/2"]), 1, &["parts: begun with another list"]);
    let other = [&["embed", "--output", "parts", "--model", "other", "--shard", "0/2"], &few[..]].concat();
    fails(&bench.run_alone(&other), 1, &["parts: begun with another model"]);
    fails(&bench.run(&["embed", "photos", "--output", "photos"]), 1, &["photos: is not empty"]);

    // Parts that were brought together from several places.
    let copy = |from: &str, to: &str| {
        fs::create_dir_all(bench.path(to).parent().unwrap()).unwrap();
        fs::copy(bench.path(from), bench.path(to)).unwrap();
    };
    for (folder, args, what) in [
        ("models", &["--model", "other"][..], "model"),
        ("types", &["--model", "model", "--dtype", "f16"], "--dtype"),
        ("upright", &["--model", "model", "--exif"], "--exif"),
    ] {
        let args = [&["embed", "--output", folder, "--shard", "1/2"], &few[..], args].concat();
        assert_eq!(bench.run_alone(&args).code, 0);
        copy("parts/parts/part_0.jsonl", &format!("{folder}/parts/part_0.jsonl"));
        fails(&merge(&bench, folder, "index"), 1, &["part_1.jsonl: its", what, "is another than that of"]);
    }
    embed(&bench, &few, "parts_of_3", "0/3");
    copy("parts_of_3/parts/part_0.jsonl", "mixed/parts/part_0.jsonl");
    copy("parts/parts/part_1.jsonl", "mixed/parts/part_1.jsonl");
    fails(&merge(&bench, "mixed", "index"), 1, &["part_1.jsonl: its number of parts is another"]);
    fails(&merge(&bench, "parts_of_3", "index"), 1, &["parts_of_3: parts are missing: 1/3, 2/3"]);
    copy("parts/parts/part_1.jsonl", "renamed/parts/part_0.jsonl");
    fails(&merge(&bench, "renamed", "index"), 1, &["part 1/2, whose file has another name"]);
    fails(&merge(&bench, "photos", "index"), 1, &["photos: no part of embeddings in it"]);
    assert!(!bench.path("index").exists());

    // Pictures elsewhere, and an index by another model.
    let inside = bench.run_alone(&["index", "photos/1", "--from", "parts"]);
    fails(&inside, 1, &["photos/1: photos/0/000.png is not in this folder or below it", "help: paths start from"]);
    run(&bench, &["index", "photos", "--output", "index", "--skip-unreadable"]);
    fs::create_dir(bench.path("again")).unwrap();
    let other = [&["embed", "--output", "again/parts", "--model", "other"], &few[..]].concat();
    assert_eq!(bench.run_alone(&other).code, 0);
    fails(&merge(&bench, "again/parts", "index"), 1, &["index: an index of embeddings by", "cannot be compared"]);
}

/// More damage is done in the tests of the merging itself.
#[test]
fn damaged_parts_are_errors() {
    let bench = bench();
    bench.write("few.txt", (0..3).map(|i| format!("photos/0/{i:03}.png\n")).collect::<String>());
    embed_all(&bench, &["--files-from", "few.txt"], "parts", 1);
    let spoil = |file: &str, change: &dyn Fn(&mut Vec<u8>), words: &[&str]| {
        let path = bench.path("parts").join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        fails(&merge(&bench, "parts", "index"), 1, &[&[file], words].concat());
        fs::write(&path, whole).unwrap();
    };
    let (array, record) = ("img_emb/img_emb_0.npy", "parts/part_0.jsonl");
    spoil(array, &|bytes| bytes.truncate(300), &["not an array of 3 rows of 64"]);
    spoil(array, &|bytes| bytes[20] = b'>', &["not an array"]);
    spoil(array, &|bytes| bytes[128..132].copy_from_slice(&9f32.to_le_bytes()), &["row 0 is not of unit length"]);
    spoil(record, &|bytes| bytes.truncate(50), &["line 1: not what embed writes"]);
    spoil(record, &|bytes| bytes.truncate(bytes.len() - 4), &["line 4: not what embed writes"]);
    spoil(record, &|bytes| bytes.extend(b"{\"path\":\"a\",\"size\":1,\"modified\":2}\n"), &["4 lines", "3 rows"]);
    // Nobody reads the tables here.
    bench.write("parts/metadata/metadata_0.parquet", "damaged");
    assert_eq!(merge(&bench, "parts", "index").code, 0);
}

#[test]
fn what_cannot_be_done_is_said() {
    let bench = super::bench::bench();
    bench.write("pairs.csv", "filepath,title\na.png,a cat\n");
    for (args, code, expected) in [
        ("embed a.png --shard 0/2", 2, "--output"),
        ("embed a.png --shard 2/2 --output parts", 2, "I/N, where I is one of 0 to N - 1"),
        ("embed a.png --shard 0/2 --output out.npy", 2, "--shard: its --output is a folder of parts"),
        ("embed --pairs pairs.csv --output out.npy", 2, "--pairs: its --output is a folder of parts"),
        ("embed --pairs pairs.csv", 2, "--output"),
        ("embed --pairs pairs.csv --texts pairs.csv --output parts", 2, "cannot be used with"),
        ("embed --pairs nowhere.csv --output parts", 1, "nowhere.csv"),
        ("embed a.png --dtype f16", 2, "JSON has no types"),
        ("embed a.png --dtype f16 --output out.jsonl", 2, "JSON has no types"),
        ("embed a.png --output parts --ids ids.jsonl", 2, "--ids ids.jsonl: a folder of parts"),
        ("index . --from nowhere --exif", 2, "cannot be used with"),
        ("index . --from nowhere", 2, "--from takes embeddings"),
    ] {
        let outcome = bench.run(&args.split(' ').collect::<Vec<_>>());
        assert!(outcome.code == code && outcome.error.contains(expected), "{args}: {outcome:?}");
        assert!(!bench.path("parts").exists() && !bench.path("out.npy").exists(), "{args}");
    }
    fails(&bench.run_alone(&["index", ".", "--from", "nowhere"]), 1, &["nowhere: no part of embeddings in it"]);
    bench.json(&["embed", "a.png", "b.jpg", "--dtype", "f16", "--output", "half.npy"]);
    let half = fs::read(bench.path("half.npy")).unwrap();
    let expected: Vec<u8> =
        encode(&bench, &["a.png", "b.jpg"]).iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
    assert_eq!(half[128..], expected);
}
