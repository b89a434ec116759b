//! `train` on pairs from several sources, and on streams of shards.

use crate::train::{Bench, failed, saved_steps, succeeded};
use std::fs;
use std::process::Output;

const TINY: [&str; 6] = ["--model", "tiny.json", "--batch-size", "10", "--warmup", "5"];

fn train(bench: &Bench, flags: &[&str], more: &[&str]) -> Output {
    bench.command(&TINY).args(flags).args(more).output().unwrap()
}

#[test]
fn sources_of_all_kinds_are_joined() {
    let bench = Bench::new();
    bench.write_shards();
    fs::write(bench.path("a.tsv"), "filepath\ttitle\n1.png\tone\n2.png\ttwo\n").unwrap();
    let flags = ["--train-data", "a.tsv::{00..01}.tar::.", "--val-data", "a.tsv::00.tar", "--epochs", "1"];
    let said = succeeded(&train(&bench, &flags, &["--name", "joined"]));
    // Two rows, two shards of fifteen pictures, and the table of the thirty pictures.
    assert!(said.contains("62 pairs in a.tsv::{00..01}.tar::.") && said.contains("judged on 17 pairs"), "{said}");
    assert!(said.contains("6 = 1 epoch of 6, 10 pairs each"), "{said}");
}

const STREAM: [&str; 8] = [
    "--train-data",
    "00.tar::01.tar",
    "--dataset-resampled",
    "--train-data-upsampling-factors",
    "1::0.5",
    "--train-num-samples",
    "100",
    "--epochs=2",
];

/// Parts of a run on a stream, with other numbers of workers, are the whole run.
#[test]
fn a_run_on_a_stream_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    fs::write(bench.path("7.png"), b"no picture").unwrap();
    bench.write_shards();
    let run = |name: &str, more: &[&str]| train(&bench, &[&STREAM[..], &["--name", name]].concat(), more);
    let said = succeeded(&run("whole", &[]));
    assert!(said.contains("a stream from 2 shards, an epoch of 100 pairs"), "{said}");
    assert!(said.contains("20 = 2 epochs of 10, 10 pairs each") && said.contains("training pairs"), "{said}");
    succeeded(&run("parts", &["--workers", "3", "--stop-after", "3"]));
    let folder = bench.run_folder("parts");
    for stop in ["4", "11", "100"] {
        succeeded(&bench.command(&["--resume", folder.to_str().unwrap(), "--stop-after", stop]).output().unwrap());
    }
    assert_eq!(saved_steps(&folder), Some(20));
    assert!(bench.weights("whole") == bench.weights("parts"));
    // The shards of a run are part of it.
    let options = folder.join("options.json");
    let text = fs::read_to_string(&options).unwrap();
    fs::write(&options, text.replace("1::0.5", "1::2")).unwrap();
    let resume = ["--resume", folder.to_str().unwrap(), "--epochs", "3"];
    let said = failed(&bench.command(&resume).output().unwrap());
    assert!(said.contains("begun with 100 pairs, and there are as many others now"), "{said}");
}

#[test]
fn mistakes_with_sources_are_explained() {
    let bench = Bench::new();
    bench.write_shards();
    fs::write(bench.path("a.tsv"), "filepath\ttitle\n1.png\tone\n").unwrap();
    let says = |flags: &[&str], expected: &[&str]| {
        let said = failed(&train(&bench, flags, &[]));
        assert!(expected.iter().all(|expected| said.contains(expected)), "{flags:?}: {said}");
    };
    let resampled = |path, more: &[&'static str]| {
        [&["--dataset-resampled", "--train-num-samples", "100", "--train-data", path][..], more].concat()
    };
    let factors = "--train-data-upsampling-factors";
    says(&["--train-data", "00.tar", factors, "1"], &["--dataset-resampled"]);
    says(&["--dataset-resampled", "--train-num-samples", "9"], &["--train-data <PATH>"]);
    says(&["--train-data", "00.tar", "--dataset-resampled"], &["--dataset-resampled needs --train-num-samples"]);
    says(&["--train-data", "00.tar", "--train-num-samples", "9"], &["--train-num-samples needs --dataset-resampled"]);
    says(&resampled("a.tsv", &[]), &["a.tsv: no tar shards", "help: leave --dataset-resampled out"]);
    says(&resampled(".::00.tar", &[]), &["error: .: no tar shards"]);
    says(&resampled("{00..01}.tgz", &[]), &["00.tgz"]);
    says(&resampled("0*.tgz", &[]), &["0*.tgz\": matches no file"]);
    says(&resampled("00.tar::01.tar", &[factors, "1"]), &["1: 1 factor for 2 sources", "a number above 0 for each"]);
    says(&resampled("00.tar", &[factors, "0"]), &["0: \"0\" is not a number above 0"]);
    says(&["--train-data", "a.tsv::none.tar"], &["none.tar"]);
    fs::write(bench.path("02.tar"), fs::read(bench.path("00.tar")).unwrap().split_at(700).0).unwrap();
    says(&resampled("02.tar", &[]), &["100 of 100", "02.tar: damaged or cut off"]);
    assert!(!bench.path("runs").exists());
}
