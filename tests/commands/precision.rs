//! Embedding in 16 and in eight bits, by the commands.

use super::bench::{Bench, bench};
use clipwright::checkpoint::{ConfigFile, load_model, save_model};
use clipwright::params::view_mut;
use ndarray::Array2;
use std::process::Command;

/// Embeds what the arguments name.
fn embed(bench: &Bench, args: &[&str]) -> Array2<f32> {
    let rows = bench.json(&[&["embed"], args].concat());
    let numbers: Vec<Vec<f32>> =
        rows.iter().map(|row| serde_json::from_value(row["embedding"].clone()).unwrap()).collect();
    Array2::from_shape_vec((rows.len(), 64), numbers.concat()).unwrap()
}

#[test]
fn pictures_and_texts_are_embedded_in_eight_bits_if_asked_for() {
    let bench = bench();
    bench.write("texts.txt", "a dog\na red car at night\na cat under a tree\n");
    for what in [&["a.png", "b.jpg", "c.png"][..], &["--texts", "texts.txt"]] {
        let exact = embed(&bench, what);
        assert_eq!(embed(&bench, &[what, &["--precision", "f32"]].concat()), exact, "f32 is the default");
        let rounded = embed(&bench, &[what, &["--precision", "int8"]].concat());
        assert_eq!(embed(&bench, &[what, &["--precision", "int8"]].concat()), rounded, "the same bits again");
        assert_ne!(rounded, exact);
        for (rounded, exact) in rounded.rows().into_iter().zip(exact.rows()) {
            assert!(rounded.dot(&exact) > 0.999, "{what:?}: cosine {}", rounded.dot(&exact));
            assert!((rounded.dot(&rounded) - 1.0).abs() < 1e-5, "unit length");
        }
    }
}

#[test]
fn an_index_made_in_32_bits_is_searched_in_eight() {
    let bench = bench();
    let found = |args: &[&str]| bench.json(&[&["search", ".", "--image", "b.jpg", "-k", "1"], args].concat());
    assert_eq!(bench.run(&["index", "."]).code, 0);
    let [exact, rounded] = ["f32", "int8"].map(|precision| found(&["--precision", precision])[0]["hits"][0].clone());
    assert_eq!(rounded["path"], exact["path"]);
    let [exact, rounded] = [&exact, &rounded].map(|hit| hit["score"].as_f64().expect("a score"));
    assert!((exact - rounded).abs() < 0.01 && exact != rounded, "{exact} and {rounded}");
}

#[test]
fn what_cannot_be_computed_in_is_refused() {
    let bench = bench();
    let refused = bench.run(&["embed", "a.png", "--precision", "int4"]);
    assert_eq!(refused.code, 2);
    assert!(refused.error.contains("int4") && refused.error.contains("f32, f16, bf16, int8"), "{}", refused.error);
    let model = bench.path("model");
    let useless: [&[&str]; 3] = [
        &["convert", model.to_str().unwrap(), "copy"],
        &["explain", "picture", "a.png", "a"],
        &["export", ".", "--output", "x.npy"],
    ];
    for args in useless {
        let refused = bench.run(&[args, &["--precision", "f16"]].concat());
        assert!(refused.code == 2 && refused.error.contains("--precision f16: "), "{args:?}: {}", refused.error);
    }
}

#[test]
fn bench_says_what_it_computes_in() {
    let bench = bench();
    let only = ["bench", "--batch", "2", "--repeats", "1", "--only", "encode_text", "--precision"];
    let report = |precision| bench.json(&[&only[..], &[precision]].concat()).remove(0);
    assert!(report("f32")["integers"].is_null() && report("f32")["precision"] == "f32");
    assert!(report("f16")["integers"].is_null() && report("f16")["precision"] == "f16");
    assert!(report("int8")["integers"].is_string() && report("int8")["precision"] == "int8");
    let text = bench.run(&[&only[..], &["int8"]].concat()).out;
    assert!(text.contains("encoding in int8, by "), "{text}");
}

/// What is embedded below.
const WHATS: [&[&str]; 2] = [&["a.png", "b.jpg", "c.png"], &["--texts", "texts.txt"]];

#[test]
fn sixteen_bits_are_near_32_and_nearer_the_more_of_them_are_of_the_fraction() {
    let bench = bench();
    bench.write("texts.txt", "a dog\na red car at night\na cat under a tree\n");
    for what in WHATS {
        let exact = embed(&bench, what);
        let [f16, bf16] = ["f16", "bf16"].map(|precision| {
            let off = embed(&bench, &[what, &["--precision", precision]].concat()) - &exact;
            off.iter().map(|x| x * x).sum::<f32>().sqrt()
        });
        assert!(0.0 < f16 && f16 < 0.3 * bf16 && bf16 < 0.05, "{what:?}: {f16} and {bf16}");
    }
}

#[test]
fn a_model_stored_in_16_bits_loses_nothing() {
    let bench = bench();
    bench.write("texts.txt", "a dog\na red car at night\n");
    assert_eq!(bench.run_alone(&["convert", "model", "stored", "--dtype", "f16"]).code, 0);
    for what in WHATS {
        let of = |args: &[&str]| {
            let out = bench.run_alone(&[&["embed", "--json", "--model", "stored"], what, args].concat());
            assert_eq!((out.code, out.error.as_str()), (0, ""));
            out.out
        };
        let expected = of(&["--precision", "f32"]);
        assert_eq!((of(&[]), of(&["--precision", "f16"])), (expected.clone(), expected.clone()), "{what:?}");
        assert_ne!(of(&["--precision", "bf16"]), expected, "{what:?}");
    }
    let info = |model, args: &[&str]| bench.run_alone(&[&["info", model], args].concat()).out;
    let exact = info("stored", &["--precision", "f16"]);
    assert!(exact.contains("in f16") && exact.contains("matrices are exact"), "{exact}");
    let changed = info("model", &["--precision", "bf16"]);
    assert!(changed.contains("in bf16") && changed.contains("matrices change"), "{changed}");
    assert!(!info("model", &[]).contains("matrices"));
}

#[test]
fn a_number_too_large_for_f16_is_refused_by_its_name() {
    let bench = bench();
    let (mut model, file) = load_model(&bench.path("model")).unwrap();
    view_mut(&model.params.spec, &mut model.params.flat).text.transformer.resblocks[1].mlp.c_fc.weight[7] = 70_000.0;
    save_model(&bench.path("large"), &model, &ConfigFile { ..file }).unwrap();
    bench.write("texts.txt", "a dog\n");
    // The text tower is read in passing by a search, and whole by an embedding.
    assert_eq!(bench.run_alone(&["index", ".", "--model", "large"]).code, 0);
    for command in [&["embed", "--texts", "texts.txt"][..], &["search", ".", "a dog"]] {
        let run = |precision| bench.run_alone(&[command, &["--model", "large", "--precision", precision]].concat());
        let refused = run("f16");
        assert_eq!(refused.code, 1, "{}", refused.error);
        for part in ["c_fc.weight", "70000", "element 7", "f16"] {
            assert!(refused.error.contains(part), "{}", refused.error);
        }
        assert_eq!(run("bf16").code, 0);
    }
}

#[test]
fn a_model_converted_to_eight_bits_embeds_as_int8_does() {
    let bench = bench();
    bench.write("texts.txt", "a dog\na red car at night\n");
    assert_eq!(bench.run_alone(&["convert", "model", "int8", "--dtype", "int8"]).code, 0);
    let size = |model: &str| std::fs::metadata(bench.path(model).join("open_clip_model.safetensors")).unwrap().len();
    assert!(size("int8") < size("model"));
    let of = |what: &[&str], model: &str, args: &[&str]| {
        let out = bench.run_alone(&[&["embed", "--json", "--model", model], what, args].concat());
        assert_eq!((out.code, out.error.as_str()), (0, ""));
        out.out
    };
    for what in WHATS {
        let expected = of(what, "model", &["--precision", "int8"]);
        assert_eq!(of(what, "int8", &[]), expected, "{what:?}");
        assert_eq!(of(what, "int8", &["--precision", "int8"]), expected, "{what:?}");
        assert_ne!(of(what, "int8", &["--precision", "f32"]), expected, "{what:?}: products of 32 bits");
    }
    let labels = ["classify", "a.png", "b.jpg", "--labels", "red,green", "--json", "--model"];
    let classified = |args: &[&str]| bench.run_alone(&[&labels, args].concat()).out;
    assert_eq!(classified(&["int8"]), classified(&["model", "--precision", "int8"]));
    let info = bench.run_alone(&["info", "int8"]).out;
    assert!(info.contains("F32 and I8"), "{info}");
}

#[test]
fn a_converted_model_keeps_the_32_bits_that_sharp_attention_asks_for() {
    let bench = bench();
    bench.write("texts.txt", "a dog\na red car at night\n");
    let (mut model, file) = load_model(&bench.path("model")).unwrap();
    let sharp = &mut view_mut(&model.params.spec, &mut model.params.flat).text.transformer.resblocks[1];
    sharp.attn.in_proj_weight.iter_mut().for_each(|w| *w *= 20.0);
    save_model(&bench.path("sharp"), &model, &ConfigFile { ..file }).unwrap();
    for model in ["model", "sharp"] {
        assert_eq!(bench.run_alone(&["convert", model, &format!("{model}-int8"), "--dtype", "int8"]).code, 0);
    }
    let size = |model: &str| std::fs::metadata(bench.path(model).join("open_clip_model.safetensors")).unwrap().len();
    assert!(size("model-int8") < size("sharp-int8") && size("sharp-int8") < size("sharp"));
    let of = |model: &str, precision: &str| {
        let texts = ["embed", "--json", "--texts", "texts.txt", "--model", model, "--precision", precision];
        bench.run_alone(&texts).out
    };
    let rounded = |model: &str| bench.run_alone(&["info", model, "--precision", "int8"]).out;
    assert!(rounded("model").contains("20 of 20 matrices of linear layers are rounded\n"), "{}", rounded("model"));
    assert!(rounded("sharp").contains("16 of 20 matrices of linear layers are rounded; those"), "{}", rounded("sharp"));
    let expected = of("sharp", "int8");
    assert!(!expected.is_empty() && expected != of("sharp", "f32"));
    assert_eq!(of("sharp-int8", "int8"), expected);
    let stored = bench.run_alone(&["embed", "--json", "--texts", "texts.txt", "--model", "sharp-int8"]).out;
    assert_eq!(stored, expected);
}

#[test]
fn a_model_of_eight_bits_is_widened_but_not_trained() {
    let bench = bench();
    assert_eq!(bench.run_alone(&["convert", "model", "int8", "--dtype", "int8"]).code, 0);
    let widened = bench.run_alone(&["convert", "int8", "wide"]);
    assert!(widened.code == 0 && widened.error.contains("int8") && widened.error.contains("widened"), "{widened:?}");
    assert!(bench.run_alone(&["info", "wide"]).out.contains("names, F32,"));
    let refused = bench.run_alone(&["convert", "model", "other", "--dtype", "int8", "--to", "huggingface"]);
    assert!(refused.code == 2 && refused.error.contains("--to openclip"), "{}", refused.error);
    assert!(!bench.path("other").exists());
    let mut train = Command::new(env!("CARGO_BIN_EXE_train"));
    let out = train.current_dir(bench.path(".")).args(["--pretrained", "int8", "--epochs", "1"]).output().unwrap();
    let error = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && error.contains("rounded to eight bits"), "{error}");
    assert!(error.contains("clipwright convert"), "{error}");
}

#[test]
fn eval_puts_a_precision_beside_32_bits() {
    let bench = bench();
    bench.write("pairs.tsv", "filepath\ttitle\na.png\ta dog\nb.jpg\ta cat\nc.png\ta red car\n");
    let exact = bench.json(&["eval", "pairs.tsv"]).remove(0);
    assert!(exact["f32"].is_null());
    for (precision, least) in [("f16", 0.999_99), ("bf16", 0.999), ("int8", 0.999)] {
        let report = bench.json(&["eval", "pairs.tsv", "--precision", precision]).remove(0);
        assert_eq!((&report["f32"]["rows"], &report["f32"]["precision"]), (&exact["rows"], &precision.into()));
        for what in ["images", "texts"] {
            let [mean, worst] = ["mean", "worst"].map(|of| report["f32"][what][of].as_f64().unwrap());
            assert!(least < worst && worst <= mean && mean < 1.0, "{precision}, {what}: {mean} and {worst}");
        }
    }
    let text = bench.run(&["eval", "pairs.tsv", "--precision", "int8"]).out;
    for part in ["f32    int8  change", "picture → caption R@1", "cosine with f32", "pictures", "texts"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let alone = bench.run(&["eval", "pairs.tsv", "--precision", "f32"]).out;
    assert!(!alone.contains("change"), "{alone}");
}
