//! `clipwright classify`, `embed`, `caption-match` and `text-states` against the library, and all commands against bad input.

use super::bench::{Bench, Outcome, bench, clip, colour_folders, encode, lines, paint};
use clipwright::checkpoint::safetensors::Reader;
use clipwright::models::Captions;
use clipwright::models::clip::text::{final_norm, hidden_states};
use clipwright::text::tokenizer::END_OF_TEXT;
use ndarray::{Array2, ArrayView2, Axis};
use serde_json::{Value, json};

/// Checks that rows are equal up to the rounding of batches of another size.
#[track_caller]
pub fn close(a: ArrayView2<f32>, b: ArrayView2<f32>) {
    assert_eq!(a.dim(), b.dim());
    let furthest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 2e-6, "{furthest}");
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// Reads the embeddings of lines of JSON.
pub fn rows(lines: &[Value]) -> Array2<f32> {
    let flat: Vec<f32> = lines.iter().flat_map(|line| numbers(&line["embedding"])).collect();
    Array2::from_shape_vec((lines.len(), flat.len() / lines.len()), flat).unwrap()
}

/// Reads a NumPy file: the shape as its header has it, and the numbers.
fn npy(bench: &Bench, name: &str) -> (String, Vec<f32>) {
    let bytes = std::fs::read(bench.path(name)).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': ("), "{header}");
    let shape = header.split(['(', ')']).nth(1).unwrap().to_owned();
    (shape, bytes[end..].as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

fn tensor(bench: &Bench, file: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let reader = Reader::open(&bench.path(file)).unwrap();
    let shape = reader.shape(name).unwrap().to_vec();
    let mut values = vec![0.0; shape.iter().product()];
    reader.read(name, &shape, &mut values).unwrap();
    (shape, values)
}

/// Returns the header of a PNG of this size, without any data.
fn forged_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes().into_iter().chain(height.to_be_bytes()).chain([8, 2, 0, 0, 0]));
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..], &crc.sum().to_be_bytes()].concat()
}

#[test]
fn classify_is_the_softmax_over_mean_embeddings() {
    let bench = bench();
    bench.write("templates.txt", "a drawing of {}\n\n{}, {} again\n");
    let answers =
        bench.json(&["classify", "a.png", "b.jpg", "--labels", "cat,a red dog,bird", "--templates", "templates.txt"]);
    let (clip, images) = (clip(&bench), encode(&bench, &["a.png", "b.jpg"]));
    let labels = ["cat", "a red dog", "bird"];
    for ((answer, name), image) in answers.iter().zip(["a.png", "b.jpg"]).zip(images.rows()) {
        assert_eq!(answer["image"], name);
        let logits = labels.map(|label| {
            let texts = clip.encode_text(&[format!("a drawing of {label}"), format!("{label}, {label} again")]);
            let mean = texts.mean_axis(Axis(0)).unwrap();
            clip.scale() * mean.dot(&image) / mean.dot(&mean).sqrt()
        });
        let sum: f32 = logits.iter().map(|l| l.exp()).sum();
        let best = answer["best"].as_array().unwrap();
        assert_eq!(best.len(), 3);
        let mut last = f64::INFINITY;
        for scored in best {
            let index = scored["index"].as_u64().unwrap() as usize;
            assert_eq!(scored["text"], labels[index]);
            let probability = scored["probability"].as_f64().unwrap();
            assert!((probability as f32 - logits[index].exp() / sum).abs() < 1e-4 && probability <= last);
            last = probability;
        }
    }
}

#[test]
fn classify_minds_its_labels() {
    let bench = bench();
    let Outcome { code, out, error } = bench.run(&["classify", "a.png", "--labels", "Dog, dog ,,cat,", "-k", "1"]);
    assert_eq!((code, out.lines().count()), (0, 2), "{error}");
    assert!(error.contains("\"dog\" is there twice, as \"Dog\"") && out.contains(" %"), "{error}{out}");
    let long = "very ".repeat(40) + "long";
    bench.write("labels.txt", format!("\u{feff}cat\r\n\r\n{long}\r\n"));
    let args = ["classify", "a.png", "--labels-file", "labels.txt", "--templates", "openai", "--json"];
    let Outcome { code, out, error } = bench.run(&args);
    assert_eq!(code, 0);
    assert!(error.contains("is longer than the model's 20 tokens") && error.contains("very very"), "{error}");
    let texts: Vec<&str> = error.lines().collect();
    assert_eq!((texts.len(), lines(&out)[0]["best"].as_array().unwrap().len()), (1, 2));
    assert!(out.contains("\"cat\""));
}

#[test]
fn embed_writes_rows_in_order() {
    let bench = bench();
    let names = ["c.png", "a.png", "b.jpg"];
    let expected = encode(&bench, &names);
    let args = [&["embed"][..], &names].concat();
    let streamed = bench.json(&args);
    assert!(streamed.iter().zip(names).all(|(line, name)| line["image"] == name));
    close(rows(&streamed).view(), expected.view());

    let to = |file: &'static str| [&args[..], &["--output", file]].concat();
    let report = bench.json(&to("out.npy"));
    assert_eq!((&report[0]["rows"], &report[0]["width"]), (&3.into(), &64.into()));
    let (shape, flat) = npy(&bench, "out.npy");
    assert_eq!(shape, "3, 64");
    close(ArrayView2::from_shape((3, 64), &flat).unwrap(), expected.view());

    let read = |name: &str| lines(&std::fs::read_to_string(bench.path(name)).unwrap());
    let ids = [json!({"image": "c.png"}), json!({"image": "a.png"}), json!({"image": "b.jpg"})];
    assert_eq!((read("out.names.jsonl"), &report[0]["ids"]), (ids.to_vec(), &"out.names.jsonl".into()));

    let one = bench.run(&["embed", "a.png", "--output", "one.npy"]);
    assert_eq!((one.code, one.out.as_str()), (0, "one.npy: 1 row of 64\n"));

    bench.json(&to("out.safetensors"));
    let (shape, values) = tensor(&bench, "out.safetensors", "embeddings");
    assert_eq!((shape, values), (vec![3, 64], flat));
    let reader = Reader::open(&bench.path("out.safetensors")).unwrap();
    assert_eq!(reader.metadata("names"), Some("[\"c.png\",\"a.png\",\"b.jpg\"]"));

    bench.json(&to("out.jsonl"));
    assert_eq!(read("out.jsonl"), streamed);

    bench.write("texts.txt", "a dog\na cat on a mat");
    let texts = bench.json(&["embed", "--texts", "texts.txt"]);
    assert_eq!(texts[1]["text"], "a cat on a mat");
    bench.json(&["embed", "--texts", "texts.txt", "--output", "texts.npy", "--ids", "ids.jsonl"]);
    assert_eq!(read("ids.jsonl"), [json!({"text": "a dog"}), json!({"text": "a cat on a mat"})]);
    close(rows(&texts).view(), clip(&bench).encode_text(&["a dog", "a cat on a mat"]).view());
}

#[test]
fn embed_goes_through_folders_and_past_a_batch() {
    let bench = bench();
    for i in 0..130 {
        paint(&bench, &format!("many/{}/{i:03}.png", i % 3), [i as u8, 100, 50], i);
    }
    bench.write("many/1/notes.txt", "no picture");
    let Outcome { code, out, error } = bench.run(&["embed", "many", "--json"]);
    assert_eq!((code, error.as_str()), (0, "passed over: 1 .txt\n"));
    let found = lines(&out);
    let names: Vec<String> = found.iter().map(|line| line["image"].as_str().unwrap().to_owned()).collect();
    assert!(names.len() == 130 && names.is_sorted(), "{names:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    close(rows(&found).view(), encode(&bench, &names).view());
}

#[test]
fn unreadable_pictures_are_named_counted_and_left_out() {
    let bench = bench();
    bench.write("zero.png", "");
    bench.write("text.jpg", "this is no picture");
    bench.write("huge.png", forged_png(60_000, 60_000));
    let torn = std::fs::read(bench.path("a.png")).unwrap();
    bench.write("torn.png", &torn[..torn.len() / 2]);
    std::fs::copy(bench.path("b.jpg"), bench.path("really_a_jpeg.png")).unwrap();
    let bad = ["zero.png", "text.jpg", "huge.png", "torn.png", "nowhere.png"];
    let args = [&["embed", "a.png"][..], &bad, &["really_a_jpeg.png"]].concat();
    let complain = |outcome: &Outcome| {
        assert!(bad.iter().all(|name| outcome.error.contains(&format!("skipped {name}: "))), "{}", outcome.error);
    };
    let outcome = bench.run(&args);
    complain(&outcome);
    assert!(outcome.code == 1 && outcome.error.contains("5 of 7 pictures could not be read"), "{outcome:?}");
    close(rows(&lines(&outcome.out)).view(), encode(&bench, &["a.png", "b.jpg"]).view());

    let outcome = bench.run(&[&args[..], &["--skip-unreadable", "--output", "out.npy"]].concat());
    complain(&outcome);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "out.npy: 2 rows of 64, 5 skipped\n"));
    assert_eq!(npy(&bench, "out.npy").0, "2, 64");

    let outcome = bench.run(&[&["classify", "b.jpg"][..], &bad, &["--labels", "a,b"]].concat());
    complain(&outcome);
    assert!(outcome.code == 1 && outcome.out.starts_with("b.jpg\n"), "{outcome:?}");

    for extension in ["npy", "safetensors", "jsonl"] {
        let file = format!("none.{extension}");
        let outcome = bench.run(&[&["embed"][..], &bad, &["--skip-unreadable", "--output", &file]].concat());
        assert!(outcome.code == 1 && outcome.error.contains("5 of 5"), "{outcome:?}");
        assert!(!bench.path(&file).exists());
    }
    let leftovers = std::fs::read_dir(bench.path("")).unwrap().flatten();
    assert!(leftovers.into_iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".part")));
}

#[test]
fn caption_match_ranks_captions_as_they_stand() {
    let bench = bench();
    let captions: Vec<String> = (0..30).map(|i| format!("{i} birds over a house")).collect();
    bench.write("captions.txt", captions.join("\n\n"));
    let answer = &bench.json(&["caption-match", "a.png", "--captions", "captions.txt", "-k", "7"])[0];
    let (clip, image) = (clip(&bench), encode(&bench, &["a.png"]));
    let logits = clip.similarity(image.view(), clip.encode_text(&captions).view());
    let mut order: Vec<usize> = (0..30).collect();
    order.sort_by(|&a, &b| logits[[0, b]].total_cmp(&logits[[0, a]]));
    let sum: f32 = logits.iter().map(|l| l.exp()).sum();
    let best = answer["best"].as_array().unwrap();
    assert_eq!(best.len(), 7);
    for (scored, &index) in best.iter().zip(&order) {
        assert_eq!((&scored["index"], &scored["text"]), (&index.into(), &captions[index].as_str().into()));
        let expected = [logits[[0, index]] / clip.scale(), logits[[0, index]].exp() / sum];
        let given = [&scored["cosine"], &scored["probability"]].map(|v| v.as_f64().unwrap() as f32);
        assert!(given.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{given:?} {expected:?}");
    }
}

/// The states equal their definition: the whole padded text passes through every block.
fn states(bench: &Bench, text: &str, padding: Option<u32>) -> (Vec<Array2<f32>>, Array2<f32>) {
    let (model, _) = clipwright::checkpoint::load_model(&bench.path("model")).unwrap();
    let mut ids = clip(bench).text.tokenizer().encode(text, 20).ids;
    if let Some(padding) = padding {
        ids.resize(20, padding);
    }
    let (weights, shape) = (model.params.into_weights(), model.config.text());
    let p = weights.view().text;
    let all = hidden_states(&p, &shape, Captions { ids: &ids, offsets: &[0, ids.len()] });
    let normed = final_norm(&p, &shape, all[1].view());
    (all, normed)
}

#[test]
fn text_states_are_those_of_the_named_layer() {
    let bench = bench();
    let write = |text: &str, flags: &[&str]| {
        bench.json(&[&["text-states", "--text", text, "--output", "out.npy"], flags].concat());
        npy(&bench, "out.npy")
    };
    let flat = |states: &Array2<f32>| states.iter().copied().collect::<Vec<f32>>();
    for (pad, id) in [("eot", END_OF_TEXT), ("zero", 0)] {
        let (all, normed) = states(&bench, "a horse", Some(id));
        for (flags, expected) in [
            (&["--layer", "last"][..], &all[2]),
            (&["--layer", "last", "--final-norm"], &all[3]),
            (&["--layer", "penultimate"], &all[1]),
            (&["--layer", "penultimate", "--final-norm"], &normed),
            (&["--layer", "0"], &all[0]),
            (&["--layer", "2"], &all[2]),
        ] {
            let (shape, values) = write("a horse", &[flags, &["--pad", pad]].concat());
            assert_eq!((shape.as_str(), values), ("1, 20, 64", flat(expected)), "{flags:?} {pad}");
        }
    }
    // Padding changes nothing before it, and the two kinds differ after it.
    let (own, _) = states(&bench, "a horse", None);
    let (shape, unpadded) = write("a horse", &[]);
    assert_eq!((shape.as_str(), &unpadded), ("1, 4, 64", &flat(&own[2])));
    let [(_, eot), (_, zero)] = ["eot", "zero"].map(|pad| write("a horse", &["--pad", pad]));
    let before = unpadded.len();
    assert!(eot[..before] == zero[..before] && eot[before..] != zero[before..]);
    assert!(eot[..before].iter().zip(&unpadded).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn text_states_come_with_pooled_features() {
    let bench = bench();
    let args = ["text-states", "--text", "a horse", "--text", "two cats on a mat", "--pad", "zero"];
    let outcome = bench.run(&[&args[..], &["--layer", "penultimate", "--output", "out.safetensors"]].concat());
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "out.safetensors: (2, 20, 64) after block 1\n"));
    assert_eq!(tensor(&bench, "out.safetensors", "hidden_states").0, [2, 20, 64]);
    let (shape, pooled) = tensor(&bench, "out.safetensors", "pooled");
    let mut pooled = Array2::from_shape_vec((shape[0], shape[1]), pooled).unwrap();
    for mut row in pooled.rows_mut() {
        let norm = row.dot(&row).sqrt();
        assert!((norm - 1.0).abs() > 1e-3, "not of unit length: {norm}");
        row /= norm;
    }
    close(pooled.view(), clip(&bench).encode_text(&["a horse", "two cats on a mat"]).view());
}

#[test]
fn mistakes_are_explained() {
    let bench = bench();
    colour_folders(&bench);
    bench.write("broken.txt", b"a cat\na \xff dog\n");
    bench.write("blank.txt", "\n  \n");
    bench.write("gap.txt", "a cat\n\na dog\n");
    bench.write("sentences.txt", "a photo of {}\na photo\n");
    bench.write("two.txt", "one\ntwo\n");
    bench.write("empty.tsv", "filepath\ttitle\n");
    bench.write("columns.tsv", "a\tb\nx\ty\n");
    bench.write("gone.tsv", "filepath\ttitle\nnowhere.png\ta cat\n");
    bench.write("hollow/notes.txt", "no pictures");
    for (args, code, expected) in [
        ("classify a.png --labels ,", 1, "--labels: no text in it"),
        ("classify a.png --labels-file blank.txt", 1, "blank.txt: no text in it"),
        ("classify a.png --labels-file broken.txt", 1, "broken.txt, line 2: not UTF-8"),
        ("classify a.png --labels-file nowhere.txt", 1, "nowhere.txt: No such file"),
        ("classify a.png --labels a,b --templates sentences.txt", 1, "sentences.txt, line 2: no {}"),
        ("classify a.png --labels a,b --templates nonsense", 1, "nonsense: No such file"),
        ("classify a.png --labels a,b -k 0", 2, "0 is not in 1.."),
        ("classify a.png", 2, "--labels"),
        ("classify --labels a", 2, "--files-from FILE"),
        ("classify hollow --labels a", 1, "hollow: no picture in it"),
        ("classify a.png --labels a --labels-file gap.txt", 2, "cannot be used with"),
        ("caption-match a.png --captions broken.txt", 1, "broken.txt, line 2: not UTF-8"),
        ("caption-match a.png --captions blank.txt", 1, "blank.txt: no text in it"),
        ("caption-match nowhere.png --captions gap.txt", 1, "nowhere.png: No such file"),
        ("caption-match a.png", 2, "--captions"),
        ("embed", 2, "--files-from FILE"),
        ("embed a.png --texts gap.txt", 2, "cannot be used with"),
        ("embed --texts gap.txt", 1, "gap.txt, line 2: a blank line"),
        ("embed --texts broken.txt", 1, "broken.txt, line 2: not UTF-8"),
        ("embed a.png --ids ids.jsonl", 2, "--output"),
        ("embed a.png --output out.jsonl --ids ids.jsonl", 2, "--ids ids.jsonl: this file has its names inside"),
        ("embed a.png --output out.npy --ids out.npy", 2, "--ids out.npy: it is the --output too"),
        ("embed a.png --output out.npy --ids no/ids.jsonl", 1, "no/ids.jsonl: No such file"),
        ("embed a.png --output out.txt", 2, "must end in .npy, .faiss, .safetensors, .jsonl"),
        ("embed a.png --output no/where.npy", 1, "no/where.npy: No such file"),
        ("embed a.png --output no/where.safetensors", 1, "no/where.safetensors: No such file"),
        ("text-states --text a --layer 3 --output x.npy", 2, "--layer 3: the text tower has 2 layers"),
        ("text-states --text a --layer first --output x.npy", 2, "not `last`"),
        ("text-states --text a --text b --output x.npy", 2, "--pad"),
        ("text-states --text a --output x.jsonl", 2, "must end in .npy, .safetensors"),
        ("text-states --text a", 2, "--output"),
        ("eval", 2, "<DATA>"),
        ("eval nowhere.tsv", 1, "nowhere.tsv: No such file"),
        ("eval empty.tsv", 1, "empty.tsv: no usable example"),
        ("eval columns.tsv", 1, "no column named \"filepath\""),
        ("eval gone.tsv", 1, "gone.tsv, line 2"),
        ("eval hollow", 1, "hollow: no folder in it"),
        ("eval colours --labels-file two.txt", 1, "two.txt: 2 names for 3 classes"),
        ("eval colours/val --linear-probe", 2, "--train-data"),
        ("eval gone.tsv --linear-probe", 2, "--captions-are-classes"),
        ("eval colours --probe-c 1", 2, "--linear-probe"),
        ("eval colours --linear-probe --probe-c 0", 2, "above 0"),
        ("eval colours --emoji", 2, "cannot be used with"),
        ("eval --wrong", 2, "--wrong"),
    ] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let Outcome { code: given, out, error } = bench.run(&args);
        assert_eq!((given, out.as_str()), (code, ""), "{args:?}: {error}");
        assert!(error.contains(expected) && !error.contains("panicked"), "{args:?}: {error}");
    }
}

#[test]
fn help_teaches() {
    let bench = bench();
    for (command, words) in [
        ("classify", ["softmax", "--templates", "Examples:"]),
        ("embed", ["unit length", ".safetensors", "Examples:"]),
        ("caption-match", ["cosine", "--captions", "Example:"]),
        ("text-states", ["causal", "Stable Diffusion XL", "--pad"]),
        ("eval", ["linear probe", "WebDataset", "Examples:"]),
    ] {
        let Outcome { code, out, .. } = bench.run(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(words.iter().all(|word| out.contains(word)), "{command}: {out}");
    }
}
