//! Tables, shards and lists of labels as people have them: what is read, what is left out, and what is said about it.

use super::bench::{Bench, COLOURS, Outcome, bench, colour_folders, lines};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Returns the path of a file among the golden ones.
fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command that must fail for its data; returns what it says.
fn refused(bench: &Bench, args: &[&str]) -> String {
    let Outcome { code, error, .. } = bench.run(args);
    assert!(code == 1 && error.starts_with("error: ") && !error.contains("panicked"), "{args:?} {error}");
    error
}

/// Runs a command that must succeed; returns its line of JSON and what it says beside it.
fn reported(bench: &Bench, args: &[&str]) -> (Value, String) {
    let Outcome { code, out, error } = bench.run(&[args, &["--json"]].concat());
    assert_eq!(code, 0, "{args:?} {error}");
    (lines(&out).remove(0), error)
}

fn train(bench: &Bench, data: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    let output = command.current_dir(bench.path("")).args(["--train-data", data, "--name", "none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn captions_with_commas_and_no_quotes_are_no_captions() {
    let bench = bench();
    let table = golden("tables/commas_unquoted.csv");
    for error in [refused(&bench, &["eval", &table]), train(&bench, &table)] {
        let row = "commas_unquoted.csv, line 2: the row is too long: 4 fields under 2 headings";
        assert!(error.contains("12 of 12") && error.contains(row), "{error}");
        assert!(error.contains("\nhelp: ") && error.contains("quotes") && error.contains("--csv-separator"), "{error}");
    }
    let some = "filepath,title\na.png,one\nb.jpg,\"two, three\"\nc.png,four, five\n";
    bench.write("some.csv", some);
    let (report, error) = reported(&bench, &["eval", "some.csv"]);
    assert_eq!((&report["skipped"], &report["rows"][0]["images"]), (&1.into(), &2.into()));
    assert!(
        error.contains("1 of 3 pictures left out") && error.contains("line 4: ") && error.contains("help: "),
        "{error}"
    );
}

#[test]
fn an_open_quote_is_an_error_with_its_line() {
    let bench = bench();
    let table = golden("tables/open_quote.tsv");
    for error in [refused(&bench, &["eval", &table]), train(&bench, &table)] {
        assert!(error.contains("open_quote.tsv, line 5: a quote is opened and never closed"), "{error}");
    }
}

#[test]
fn the_wrong_separator_is_answered_with_the_flag() {
    let bench = bench();
    let table = golden("tables/semicolons.csv");
    for error in [refused(&bench, &["eval", &table]), train(&bench, &table)] {
        assert!(error.contains("separated by ',', are [\"filepath;title\"]"), "{error}");
        assert!(error.contains("\nhelp: --csv-separator"), "{error}");
    }
    let (report, error) = reported(&bench, &["eval", &table, "--csv-separator", ";"]);
    assert_eq!((&report["rows"][0]["images"], &report["skipped"], error.as_str()), (&12.into(), &0.into(), ""));
}

#[test]
fn rows_with_empty_captions_are_counted() {
    let bench = bench();
    let (report, error) = reported(&bench, &["eval", &golden("tables/empty_captions.csv")]);
    assert_eq!((&report["rows"][0]["images"], &report["skipped"]), (&10.into(), &2.into()));
    assert!(
        error.contains("2 of 12 pictures left out") && error.contains("line 4: pics/3.png: empty caption"),
        "{error}"
    );
}

#[test]
fn gzipped_tables_and_lists_are_read() {
    let bench = bench();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (name, table) in [
        ("a.csv", "filepath,title\na.png,one\nb.jpg,\"two, three\"\n"),
        ("a.tsv", "filepath\ttitle\na.png\tone\nb.jpg\ttwo, three\n"),
        (
            "a.jsonl",
            "{\"file_name\": \"a.png\", \"text\": \"one\"}\n{\"file_name\": \"b.jpg\", \"text\": \"two, three\"}\n",
        ),
    ] {
        bench.write(name, table);
        bench.write(&format!("{name}.gz"), gzip(table));
        let rows = |name: &str| reported(&bench, &["eval", name]).0["rows"].clone();
        assert_eq!(rows(name), rows(&format!("{name}.gz")));
        bench.write(&format!("{name}.gz"), &gzip(table)[..30]);
        let error = refused(&bench, &["eval", &format!("{name}.gz")]);
        assert!(error.contains(&format!("{name}.gz: it is compressed with gzip, and damaged or cut off")), "{error}");
    }
    bench.write("labels.csv", "name\ncat\n\"red, car\"\n");
    bench.write("labels.csv.gz", gzip("name\ncat\n\"red, car\"\n"));
    let best = |labels: &str| bench.json(&["classify", "a.png", "--labels-file", labels]);
    assert_eq!(best("labels.csv"), best("labels.csv.gz"));
}

/// A device may have no end: it is refused, and fills neither memory nor time.
#[cfg(unix)]
#[test]
fn devices_are_refused_wherever_data_is_read() {
    let bench = bench();
    for args in [
        &["eval", "/dev/zero"][..],
        &["eval", "/dev/zero", "--dataset-type", "jsonl"],
        &["eval", "/dev/zero", "--dataset-type", "webdataset"],
        &["embed", "/dev/zero"],
        &["embed", "--texts", "/dev/zero"],
        &["embed", "--files-from", "/dev/zero"],
        &["classify", "a.png", "--labels-file", "/dev/zero"],
        &["classify", "a.png", "--labels", "cat,dog", "--templates", "/dev/zero"],
        &["caption-match", "a.png", "--captions", "/dev/zero"],
    ] {
        let Outcome { code, error, .. } = bench.run(args);
        assert!(code == 1 && error.contains("/dev/zero: not a file"), "{args:?} {error}");
    }
    assert!(train(&bench, "/dev/zero").contains("/dev/zero: not a file but a device"));
}

#[test]
fn a_guess_of_columns_is_said() {
    let bench = bench();
    for (name, table) in [
        ("a.csv", "image,caption\na.png,one\nb.jpg,two\n"),
        ("b.tsv", "id\timage_path\tTEXT\n1\ta.png\tone\n2\tb.jpg\ttwo\n"),
        ("c.jsonl", "{\"image\": \"a.png\", \"caption\": \"one\"}\n{\"image\": \"b.jpg\", \"caption\": \"two\"}\n"),
        ("lines", "{\"image\": \"a.png\", \"caption\": \"one\"}\n{\"image\": \"b.jpg\", \"caption\": \"two\"}\n"),
    ] {
        bench.write(name, table);
        let (report, error) = reported(&bench, &["eval", name]);
        assert_eq!(report["rows"][0]["images"], 2, "{name}");
        assert!(error.contains("holds the pictures") && error.contains("\"image"), "{name} {error}");
    }
    bench.write("folder/metadata.csv", "\u{feff}file_name,text\n../a.png,one\n../b.jpg,two\n");
    assert_eq!(bench.json(&["eval", "folder"])[0]["rows"][0]["images"], 2);
    bench.write("folder/metadata.jsonl", "{\"file_name\": \"../a.png\", \"text\": \"one\"}\n");
    assert!(refused(&bench, &["eval", "folder"]).contains("both metadata.csv and metadata.jsonl"));
    assert_eq!(bench.json(&["eval", "folder", "--dataset-type", "jsonl"])[0]["rows"][0]["images"], 1);
}

#[test]
fn opacity_is_treated_alike_wherever_a_picture_comes_from() {
    let bench = bench();
    let score = |args: &[&str]| {
        let report = bench.json(&[&["eval"], args].concat()).remove(0);
        let row = &report["rows"][0];
        assert_eq!((&row["images"], &row["zero_shot"]["classes"]), (&8.into(), &4.into()), "{args:?}");
        (row["zero_shot"].clone(), row["retrieval"].clone())
    };
    let folder = score(&[&golden("pictures/alpha/cls")]);
    for pairs in ["pictures/alpha/pairs.csv", "pictures/alpha/pairs.tar"] {
        assert_eq!(score(&[&golden(pairs), "--captions-are-classes"]), folder, "{pairs}");
    }
}

#[test]
fn shards_are_read_gzipped_and_not_when_they_break_off() {
    let bench = bench();
    let report = &bench.json(&["eval", &golden("shards/whole.tar.gz")])[0];
    assert_eq!((&report["rows"][0]["images"], &report["skipped"]), (&8.into(), &0.into()));
    let whole = std::fs::read(golden("pictures/alpha/pairs.tar")).unwrap();
    for length in [whole.len() / 2, 5000, 2048] {
        bench.write("cut.tar", &whole[..length]);
        let error = refused(&bench, &["eval", "cut.tar"]);
        assert!(error.contains("cut.tar: damaged or cut off"), "{error}");
    }
    assert!(train(&bench, "cut.tar").contains("cut.tar: damaged or cut off"));
    assert!(refused(&bench, &["eval", "nothing/*.tar"]).contains("matches no file"));
    std::fs::create_dir(bench.path("empty")).unwrap();
    assert!(refused(&bench, &["eval", "empty"]).contains("empty: "));
    assert!(train(&bench, "empty").contains("empty: no metadata.jsonl, metadata.csv or tar file"));
}

/// Writes a shard of the test pictures of [`colour_folders`], each beside a member of this kind.
fn shard(bench: &Bench, name: &str, kind: &str, text: impl Fn(usize, usize) -> String) {
    let mut shard = tar::Builder::new(vec![]);
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        shard.append_data(&mut header, name, bytes).unwrap();
    };
    for (class, (colour, _)) in COLOURS.iter().enumerate() {
        for i in 5..8 {
            add(format!("s{class}{i}.{kind}"), text(class, i).as_bytes());
            let picture = std::fs::read(bench.path(&format!("colours/val/{colour}/{i}.png"))).unwrap();
            add(format!("s{class}{i}.png"), &picture);
        }
    }
    bench.write(name, shard.into_inner().unwrap());
}

#[test]
fn clip_benchmarks_shards_of_classes_are_what_folders_of_classes_are() {
    let bench = bench();
    colour_folders(&bench);
    // Folders are sorted: blue, dark red, green.
    shard(&bench, "wds/test/0.tar", "cls", |class, _| ["1", "2", "0\n"][class].into());
    assert!(refused(&bench, &["eval", "wds"]).contains("help: --labels-file"));
    bench.write("names.json", "[\"blue\", \"dark red\", \"green\"]");
    let folders = &bench.json(&["eval", "colours"])[0]["rows"];
    assert_eq!(&bench.json(&["eval", "wds/test/0.tar", "--labels-file", "names.json"])[0]["rows"], folders);
    bench.write("wds/classnames.txt", "blue\ndark red\ngreen\n");
    bench.write("wds/test/nshards.txt", "1\n");
    for data in ["wds", "wds/test", "wds/test/{0..0}.tar", "wds/*/0.tar"] {
        assert_eq!(&bench.json(&["eval", data])[0]["rows"], folders, "{data}");
    }
    bench.write("wds/zeroshot_classification_templates.txt", "a drawing of {c}\n{c}, painted\n");
    bench.write("templates.txt", "a drawing of {}\n{}, painted\n");
    let drawn = &bench.json(&["eval", "colours", "--templates", "templates.txt"])[0]["rows"];
    assert_eq!(&bench.json(&["eval", "wds"])[0]["rows"], drawn);
    assert_eq!(&bench.json(&["eval", "wds", "--templates", "simple"])[0]["rows"], folders);

    bench.write("wds/test/nshards.txt", "2\n");
    assert!(refused(&bench, &["eval", "wds"]).contains("nshards.txt: it says \"2\" shards, and there are 1"));
    std::fs::remove_file(bench.path("wds/test/nshards.txt")).unwrap();
    bench.write("wds/classnames.txt", "blue\ndark red\n");
    assert!(refused(&bench, &["eval", "wds"]).contains("has class 2, and there are 2 names"));
    bench.write("wds/dataset_type.txt", "multilabel\n");
    assert!(refused(&bench, &["eval", "wds"]).contains("dataset_type.txt: its kind is \"multilabel\""));
}

/// In shards for retrieval each line is a caption of the same picture.
#[test]
fn clip_benchmarks_shards_of_captions_have_one_a_line() {
    let bench = bench();
    colour_folders(&bench);
    shard(&bench, "wds/test/0.tar", "txt", |class, i| format!("number {i} of {class}\n{class} again, {i}\n"));
    bench.write("wds/dataset_type.txt", "retrieval\n");
    let mut table = String::from("filepath\ttitle\n");
    for (class, (colour, _)) in COLOURS.iter().enumerate() {
        for i in 5..8 {
            let path = format!("colours/val/{colour}/{i}.png");
            table += &format!("{path}\tnumber {i} of {class}\n{path}\t{class} again, {i}\n");
        }
    }
    bench.write("pairs.tsv", table);
    assert_eq!(bench.json(&["eval", "wds"])[0]["rows"], bench.json(&["eval", "pairs.tsv"])[0]["rows"]);
}

#[test]
fn hugging_faces_parts_are_found_in_their_folder() {
    let bench = bench();
    bench.write("set/validation/metadata.csv", "file_name,text\n../../a.png,one\n../../b.jpg,two\n");
    bench.write("set/train/metadata.csv", "file_name,text\n../../a.png,one\n");
    assert_eq!(bench.json(&["eval", "set"])[0]["rows"][0]["images"], 2);
}

#[test]
fn pictures_outside_of_classes_are_counted() {
    let bench = bench();
    for path in ["set/stray.png", "set/one/a.png", "set/two/b.png"] {
        bench.write(path, std::fs::read(bench.path("a.png")).unwrap());
    }
    let (report, error) = reported(&bench, &["eval", "set"]);
    assert_eq!((&report["rows"][0]["images"], &report["skipped"]), (&2.into(), &1.into()));
    assert!(error.contains("stray.png: in no folder of a class"), "{error}");
}

/// Runs a command with this standard input; returns its lines of JSON.
fn piped(bench: &Bench, args: &[&str], input: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
    command.current_dir(bench.path("")).args(args).args(["--model", "model", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    lines(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn labels_are_lines_a_list_or_a_column() {
    let bench = bench();
    let by = |file: &str| bench.json(&["classify", "a.png", "--labels-file", file]).remove(0);
    bench.write("labels.txt", "red car\ntench, Tinca tinca\nblue\n");
    let right = by("labels.txt");
    for (file, content) in [
        ("labels.json", "[\"red car\", \"tench, Tinca tinca\", \"blue\"]"),
        ("list", "\n [\"red car\", \"tench, Tinca tinca\",\n\"blue\"]\n"),
        ("one.csv", "red car\n\"tench, Tinca tinca\"\nblue\n"),
        ("headed.csv", "\u{feff}Label\r\nred car\r\n\"tench, Tinca tinca\"\r\nblue\r\n"),
        ("wide.csv", "id,name\n0,red car\n1,\"tench, Tinca tinca\"\n2,blue\n"),
        ("wide.tsv", "id\tname\n0\tred car\n1\ttench, Tinca tinca\n2\tblue\n"),
    ] {
        bench.write(file, content);
        assert_eq!(by(file), right, "{file}");
    }
    let text = "red car\ntench, Tinca tinca\nblue\n";
    assert_eq!(piped(&bench, &["classify", "a.png", "--labels-file", "-"], text), std::slice::from_ref(&right));
    for (file, content, reason) in [
        ("bad.json", "{\"a\": 1}", "no list of labels"),
        ("number.json", "[\"a\", 1]", "label 1 is 1"),
        ("comma.csv", "red car\ntench, Tinca tinca\n", "line 2: 2 fields"),
        ("none.csv", "a,b\nc,d\n", "no column called \"label\""),
        ("quote.csv", "a\n\"b\nc", "line 2: a quote"),
        ("empty.json", "[]", "no text in it"),
    ] {
        bench.write(file, content);
        let error = refused(&bench, &["classify", "a.png", "--labels-file", file]);
        assert!(error.contains(file) && error.contains(reason), "{error}");
    }
    bench.write("utf16.txt", b"\xff\xfea\0\n\0");
    assert!(refused(&bench, &["classify", "a.png", "--labels-file", "utf16.txt"]).contains("UTF-16"));
}

#[test]
fn labels_after_a_repeated_one_keep_their_places() {
    let bench = bench();
    bench.write("labels.txt", "cat\nCat\ndog\ncat\nbird\n");
    let (report, error) = reported(&bench, &["classify", "a.png", "--labels-file", "labels.txt"]);
    assert!(error.contains("\"Cat\" is there twice"), "{error}");
    let mut places: Vec<(u64, &str)> = (report["best"].as_array().unwrap().iter())
        .map(|best| (best["index"].as_u64().unwrap(), best["text"].as_str().unwrap()))
        .collect();
    places.sort_unstable();
    assert_eq!(json!(places), json!([[0, "cat"], [2, "dog"], [4, "bird"]]));
}

#[test]
fn texts_and_captions_come_from_standard_input_too() {
    let bench = bench();
    let texts = "a dog\na cat\n";
    bench.write("texts.txt", texts);
    let same = |args: &dyn Fn(&'static str) -> Vec<&'static str>| {
        assert_eq!(piped(&bench, &args("-"), texts), bench.json(&args("texts.txt")));
    };
    same(&|file| vec!["embed", "--texts", file]);
    same(&|file| vec!["caption-match", "a.png", "--captions", file]);
    same(&|file| vec!["classify", "a.png", "--labels-file", file]);
}
