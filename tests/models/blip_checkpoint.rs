//! Tests of BLIP's checkpoints: every tensor of the reference files ends at its leaf, models survive the way through
//! both formats, and what cannot be read is named.

use crate::support::blip::{HUGGING_FACE, ORIGINAL, folder, loaded, meta, overrides};
use crate::support::folders::{edit, rewrite, tensors};
use clipwright::checkpoint::blip::{CONFIG, Format, Loaded, Overrides, load, save};
use clipwright::checkpoint::safetensors::{Tensor, write};
use clipwright::checkpoint::{Checkpoint, Dtype, Kind, Note, Precision, kind};
use clipwright::models::blip::{Parts, TokenIds};
use clipwright::params::count;
use clipwright::pictures::ResizeMode;
use clipwright::tree::{Path as TreePath, Tree};
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the values of each leaf of a model.
fn leaves(model: &Loaded) -> BTreeMap<String, Vec<f32>> {
    let mut leaves = BTreeMap::new();
    model.params.view().map(&TreePath::ROOT, &mut |path, values| leaves.insert(path.to_string(), values.to_vec()));
    leaves
}

/// Returns the values of each tensor of a file.
fn values(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let is_index = |name: &str| {
        name.ends_with("position_ids") || name.ends_with("_ptr") || name.ends_with("idx_queue") || name == "ptr_queue"
    };
    let reader = clipwright::checkpoint::safetensors::Reader::open(path).unwrap();
    let names = reader.names().into_iter().filter(|name| !is_index(name));
    let values = names.map(|name| {
        let shape = reader.shape(&name).unwrap().to_vec();
        let mut values = vec![0.0; shape.iter().product()];
        reader.read(&name, &shape, &mut values).unwrap();
        (name, values)
    });
    values.collect()
}

/// Whether a tensor of an original file belongs to training alone.
fn is_training(name: &str) -> bool {
    let part = name.split('.').next().unwrap();
    part.ends_with("_m") || part.ends_with("queue") || part == "temp"
}

fn error_of(path: &Path, overrides: &Overrides) -> String {
    load(path, overrides).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn parts_follow_from_the_tensors() {
    let parts = |name: &str| loaded(name).config.parts;
    assert_eq!(HUGGING_FACE.map(parts), [Parts::Captioner, Parts::Matcher, Parts::Answerer]);
    assert_eq!(ORIGINAL.map(parts), [Parts::Captioner, Parts::Matcher, Parts::Answerer, Parts::Pretrained]);
}

/// Every value of a file is in the leaf that its name means, and the leaves have no others.
#[test]
fn every_tensor_ends_at_its_leaf() {
    for name in HUGGING_FACE.into_iter().chain(ORIGINAL) {
        let model = loaded(name);
        let mut left = values(&folder(name).join("model.safetensors"));
        left.retain(|name, _| !is_training(name));
        let stored: usize = left.values().map(Vec::len).sum();
        let mut take = |path: &str, tensor: &str, range: std::ops::Range<usize>| {
            let found = left.remove(tensor).unwrap_or_else(|| panic!("{name}: {path} needs {tensor}"));
            (found, range)
        };
        let mut seen = 0;
        for (path, values) in leaves(&model) {
            for tensors in tensors_of(&path, model.format, model.config.parts) {
                let part = values.len() / tensors.len();
                for (i, tensor) in tensors.iter().enumerate() {
                    if tensor.contains("predictions.decoder") && model.format == Format::HuggingFace {
                        continue;
                    }
                    let (found, range) = take(&path, tensor, i * part..(i + 1) * part);
                    assert!(found == values[range], "{name}: {path} is not {tensor}");
                    seen += found.len();
                }
            }
        }
        assert!(left.is_empty(), "{name}: {:?}", left.keys());
        assert_eq!(seen, stored, "{name}");
        assert_eq!(count(&model.params.spec), model.params.flat.len());
    }
}

/// Returns the tensors of a leaf: a list for each of its names, of as many tensors as hold its rows.
fn tensors_of(path: &str, format: Format, parts: Parts) -> Vec<Vec<String>> {
    let hugging_face = format == Format::HuggingFace;
    let split: Vec<&str> = path.split('.').collect();
    let whole = |name: String| vec![vec![name]];
    match split[..] {
        ["visual_encoder", ref rest @ ..] => {
            let root = if hugging_face { "vision_model" } else { "visual_encoder" };
            let own = rest.join(".");
            let pairs = if hugging_face { &VISION_HF[..] } else { &VISION };
            let mut name = own;
            for (ours, theirs) in pairs {
                name = name.replace(ours, theirs);
            }
            whole(format!("{root}.{name}"))
        }
        ["text_encoder", "attention", layer, ref rest @ ..] => attention("text_encoder", layer, &rest.join(".")),
        ["text_decoder", "attention", layer, ref rest @ ..] => attention("text_decoder.bert", layer, &rest.join(".")),
        ["text_encoder", "shared", ref rest @ ..] => {
            let mut tensors = shared("text_encoder", &rest.join("."));
            if parts == Parts::Pretrained {
                tensors.extend(shared("text_decoder.bert", &rest.join(".")));
                if rest[1] == "word_embeddings" {
                    tensors.extend(whole("text_decoder.cls.predictions.decoder.weight".into()));
                }
            }
            tensors
        }
        ["text_decoder", "shared", ref rest @ ..] => {
            let mut tensors = shared("text_decoder.bert", &rest.join("."));
            if rest[1] == "word_embeddings" {
                tensors.extend(whole("text_decoder.cls.predictions.decoder.weight".into()));
            }
            tensors
        }
        ["text_decoder", "head", "bias"] => {
            ["bias", "decoder.bias"].map(|name| vec![format!("text_decoder.cls.predictions.{name}")]).to_vec()
        }
        ["text_decoder", "head", module, leaf] => {
            let module = if module == "ln" { "LayerNorm" } else { module };
            whole(format!("text_decoder.cls.predictions.transform.{module}.{leaf}"))
        }
        _ => whole(path.into()),
    }
}

const VISION: [(&str, &str); 10] = [
    ("class_embedding", "cls_token"),
    ("positional_embedding", "pos_embed"),
    ("conv1", "patch_embed.proj"),
    ("resblocks", "blocks"),
    ("ln_1", "norm1"),
    ("ln_2", "norm2"),
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj", "attn.proj"),
    ("c_fc", "fc1"),
    ("c_proj", "fc2"),
];

const VISION_HF: [(&str, &str); 12] = [
    ("class_embedding", "embeddings.class_embedding"),
    ("positional_embedding", "embeddings.position_embedding"),
    ("conv1", "embeddings.patch_embedding"),
    ("resblocks", "encoder.layers"),
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.in_proj_", "self_attn.qkv."),
    ("attn.out_proj", "self_attn.projection"),
    ("c_fc", "fc1"),
    ("c_proj", "fc2"),
    ("norm.weight", "post_layernorm.weight"),
    ("norm.bias", "post_layernorm.bias"),
];

fn attention(bert: &str, layer: &str, rest: &str) -> Vec<Vec<String>> {
    let at = format!("{bert}.encoder.layer.{layer}.attention");
    let thirds = |leaf: &str| vec![["query", "key", "value"].map(|part| format!("{at}.self.{part}.{leaf}")).to_vec()];
    match rest {
        "attn.in_proj_weight" => thirds("weight"),
        "attn.in_proj_bias" => thirds("bias"),
        _ => vec![vec![format!("{at}.output.{}", rest.replace("attn.out_proj", "dense").replace("ln.", "LayerNorm."))]],
    }
}

fn shared(bert: &str, rest: &str) -> Vec<Vec<String>> {
    let split: Vec<&str> = rest.split('.').collect();
    match split[..] {
        ["embeddings", table] => vec![vec![format!("{bert}.embeddings.{table}.weight")]],
        ["embeddings", "ln", leaf] => vec![vec![format!("{bert}.embeddings.LayerNorm.{leaf}")]],
        ["layers", layer, ref rest @ ..] => {
            let at = format!("{bert}.encoder.layer.{layer}");
            let module = match rest[..rest.len() - 1].join(".").as_str() {
                "cross.query" => "crossattention.self.query",
                "cross.out" => "crossattention.output.dense",
                "cross_ln" => "crossattention.output.LayerNorm",
                "mlp.c_fc" => "intermediate.dense",
                "mlp.c_proj" => "output.dense",
                "mlp_ln" => "output.LayerNorm",
                "cross.key_value" => {
                    let leaf = rest[2];
                    return vec![
                        ["key", "value"].map(|part| format!("{at}.crossattention.self.{part}.{leaf}")).to_vec(),
                    ];
                }
                other => panic!("{other}"),
            };
            vec![vec![format!("{at}.{module}.{}", rest[rest.len() - 1])]]
        }
        _ => panic!("{rest}"),
    }
}

#[test]
fn sizes_are_those_that_the_reference_says() {
    for name in ORIGINAL {
        let (config, meta) = (loaded(name).config, meta(name));
        let number = |field: &str| meta[field].as_u64().unwrap() as usize;
        assert_eq!(config.vision.image_size, [number("image_size"); 2]);
        assert_eq!(config.vision.patch_size, number("patch_size"));
        assert_eq!((config.vision.width, config.text.width), (number("vision_width"), number("text_width")));
        assert_eq!((config.vision.layers, config.text.layers), (number("vision_layers"), number("text_layers")));
        assert_eq!((config.vision.mlp_width, config.text.mlp_width), (number("vision_mlp"), number("text_mlp")));
        assert_eq!(config.text.positions, number("max_position_embeddings"));
        assert_eq!(config.text.vocab_size, number("vocab_size"));
        assert_eq!((config.vision.eps, config.text.eps), (1e-6, 1e-12));
        if config.parts.has_heads() {
            assert_eq!(config.embed_dim, number("embed_dim"));
        }
    }
    let config = loaded("blip_itm").config;
    assert_eq!((config.vision.eps, config.text.eps, config.embed_dim), (1e-6, 1e-5, 14));
    assert_eq!((config.vision.heads, config.text.heads), (3, 4));
    assert_eq!(config.text.ids, TokenIds { pad: 0, cls: 4, end: 5, decode: 69, encode: 70 });
}

/// Saves a model in a format and reads it again, with nothing said beside the files.
fn through(model: &Loaded, format: Format) -> (tempfile::TempDir, Loaded) {
    let folder = tempfile::tempdir().unwrap();
    let Loaded { config, params, preprocess, .. } = model;
    save(folder.path(), config, params, preprocess.as_ref(), format, Precision::F32).unwrap();
    let again = load(folder.path(), &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.format, format);
    assert_eq!(again.config, model.config);
    assert_eq!(again.preprocess, model.preprocess);
    assert!(again.params.flat == model.params.flat);
    assert_eq!(again.notes, []);
    (folder, again)
}

#[test]
fn models_survive_both_formats() {
    for name in HUGGING_FACE {
        let (_original, model) = through(&loaded(name), Format::Original);
        let (again, _) = through(&model, Format::HuggingFace);
        let sorted = |path: &Path| {
            let mut tensors = tensors(path);
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            tensors
        };
        let (before, after) =
            (sorted(&folder(name).join("model.safetensors")), sorted(&again.path().join("model.safetensors")));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((&before.name, &before.shape), (&after.name, &after.shape));
            assert!(before.values == after.values, "{}", before.name);
        }
        // One of them was made with another smoothing than the default.
        let smoothing =
            |folder: &Path| super::blip::json(&folder.join("config.json"))["text_config"]["label_smoothing"].clone();
        assert_eq!(smoothing(again.path()), smoothing(&folder(name)));
    }
    for name in ORIGINAL {
        let (_folder, model) = through(&loaded(name), Format::Original);
        let refused = match model.config.parts {
            Parts::Pretrained => "no class for a pre-trained BLIP",
            Parts::Answerer => "one width for pictures and texts",
            // The reference's [CLS] stands before its [SEP], and its [ENC] is the last token.
            Parts::Captioner | Parts::Matcher => {
                through(&model, Format::HuggingFace);
                continue;
            }
        };
        let to = tempfile::tempdir().unwrap();
        let (params, preprocess) = (&model.params, model.preprocess.as_ref());
        let written = save(to.path(), &model.config, params, preprocess, Format::HuggingFace, Precision::F32);
        let error = written.unwrap_err().to_string();
        assert!(error.contains(refused), "{error}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }
}

#[test]
fn halves_are_read_and_written() {
    let model = loaded("blip_caption");
    let folder = tempfile::tempdir().unwrap();
    let Loaded { config, params, preprocess, .. } = &model;
    for format in [Format::Original, Format::HuggingFace] {
        save(folder.path(), config, params, preprocess.as_ref(), format, Precision::F16).unwrap();
        let halves = load(folder.path(), &Overrides::default()).unwrap();
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3 * a.abs().max(0.1);
        assert!(params.flat.iter().zip(halves.params.flat.iter()).all(near));
        let path = folder.path().join("model.safetensors");
        rewrite(&path, |tensor| Some(Tensor { dtype: Dtype::Bf16, ..tensor }));
        assert!(load(folder.path(), &Overrides::default()).is_ok());
    }
}

/// Writes a reference model's tensors but its integers to a folder, changed.
fn changed(name: &str, change: impl Fn(&mut Vec<Tensor<'static>>)) -> (tempfile::TempDir, PathBuf) {
    let to = tempfile::tempdir().unwrap();
    let from = folder(name).join("model.safetensors");
    let reader = clipwright::checkpoint::safetensors::Reader::open(&from).unwrap();
    let mut tensors: Vec<_> = values(&from)
        .into_iter()
        .map(|(name, values)| Tensor {
            shape: reader.shape(&name).unwrap().to_vec(),
            name,
            values: Cow::Owned(values),
            dtype: Dtype::F32,
        })
        .collect();
    change(&mut tensors);
    let path = to.path().join("model.safetensors");
    write(&path, &tensors, []).unwrap();
    let config = folder(name).join("config.json");
    if config.is_file() {
        fs::copy(config, to.path().join("config.json")).unwrap();
    }
    (to, path)
}

#[test]
fn tied_tensors_may_be_missing_but_not_differ() {
    let name = "blip_pretrain";
    let whole = loaded(name);
    let tied = ["text_decoder.bert.encoder.layer.1.output.dense.weight", "text_decoder.cls.predictions.decoder.weight"];
    for (spoilt, first) in tied
        .into_iter()
        .zip(["text_encoder.encoder.layer.1.output.dense.weight", "text_encoder.embeddings.word_embeddings.weight"])
    {
        let spoil = |tensors: &mut Vec<Tensor>| {
            tensors.iter_mut().find(|tensor| tensor.name == spoilt).unwrap().values.to_mut()[5] += 1.0;
        };
        let (_folder, path) = changed(name, spoil);
        let error = error_of(&path, &overrides(name));
        assert!(error.contains(&format!("{first} and {spoilt} are one in this model, and differ")), "{error}");
    }
    let (_folder, path) = changed(name, |tensors| {
        tensors.retain(|tensor| !tied.contains(&tensor.name.as_str()) && !tensor.name.ends_with("decoder.bias"));
    });
    assert!(load(&path, &overrides(name)).unwrap().params.flat == whole.params.flat);
    // The self-attentions of encoder and decoder are two.
    let (_folder, path) = changed(name, |tensors| {
        tensors.retain(|tensor| tensor.name != "text_decoder.bert.encoder.layer.0.attention.self.value.weight");
    });
    assert!(error_of(&path, &overrides(name)).contains("attention.self.value.weight is missing"));
}

#[test]
fn what_belongs_to_training_is_named() {
    let notes = loaded("blip_pretrain").notes;
    let keys = [
        "image_queue",
        "queue_ptr",
        "temp",
        "text_encoder_m",
        "text_proj_m",
        "text_queue",
        "vision_proj_m",
        "visual_encoder_m",
    ];
    let path = folder("blip_pretrain").join("model.safetensors");
    assert_eq!(notes, [Note::Beside { path, keys: keys.map(String::from).to_vec() }]);
    let (_folder, path) = changed("blip_decoder", |tensors| tensors[0].name = "visual_encoder.blocks.0.other".into());
    assert!(error_of(&path, &overrides("blip_decoder")).contains(" is missing"));
    let (_folder, path) = changed("blip_decoder", |tensors| {
        tensors.push(Tensor::new("text_decoder.other", &[1], &[0.0], Dtype::F32));
    });
    assert!(error_of(&path, &overrides("blip_decoder")).contains("no place for text_decoder.other"));
}

/// The file has the form of Salesforce's and LAVIS's: the model stands under its own key, beside an optimizer's state.
/// Tied tensors are stored once, so that all of them together are larger than the file.
#[test]
fn a_file_of_torch_save_is_read() {
    let path = folder("blip_torch").join("captioner.pth");
    let ids = TokenIds { pad: 0, cls: 1, end: 2, decode: 3, encode: 4 };
    let asked = Overrides { vision_heads: Some(2), text_heads: Some(4), ids: Some(ids), ..Overrides::default() };
    let model = load(&path, &asked).unwrap_or_else(|error| panic!("{error}"));
    let config = model.config;
    assert_eq!((config.parts, config.vision.image_size, config.text.vocab_size), (Parts::Captioner, [4, 4], 1000));
    assert_eq!((config.vision.heads, config.text.heads, config.text.ids), (2, 4, ids));
    let keys = ["config", "optimizer"].map(String::from).to_vec();
    let Note::Beside { keys: found, .. } = &model.notes[0] else { panic!("{:?}", model.notes) };
    assert!(found.iter().all(|key| keys.contains(key) || key == "epoch"), "{found:?}");
    let words = model.params.view().text_decoder.unwrap().shared.unwrap().embeddings.word_embeddings;
    // The words are the file's 19th tensor.
    assert!(words.iter().zip(0..).all(|(&word, i)| word == ((7 * i + 3 * 18) % 17 - 8) as f32 / 8.0));
    assert_eq!(model.preprocess.unwrap().resize_mode, ResizeMode::Squash);
}

/// Returns the folder of a small model whose heads are 64 wide, with the tokens of the reference.
fn wide(format: Format) -> tempfile::TempDir {
    let mut config = loaded("blip_caption").config;
    (config.vision.width, config.vision.heads, config.text.width, config.text.heads) = (64, 1, 128, 2);
    let params = clipwright::params::Params::init(clipwright::models::blip::spec(&config), 1);
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &config, &params, None, format, Precision::F32).unwrap();
    folder
}

/// Hugging Face's default of 8 heads is nobody's.
#[test]
fn heads_that_nothing_says_are_64_wide() {
    let folder = wide(Format::HuggingFace);
    edit(&folder.path().join("config.json"), |json| {
        json["text_config"].as_object_mut().unwrap().remove("num_attention_heads");
    });
    let model = load(folder.path(), &Overrides::default()).unwrap();
    assert_eq!(model.config.text.heads, 2);
    assert!(matches!(model.notes[..], [Note::Heads { heads: 2, .. }]), "{:?}", model.notes);
    assert!(model.notes[0].to_string().contains("attention over texts has; 2 are taken, each 64 wide"));
    let asked = Overrides { text_heads: Some(8), ..Overrides::default() };
    let model = load(folder.path(), &asked).unwrap();
    assert_eq!((model.config.text.heads, &model.notes[..]), (8, &[][..]));

    let folder = wide(Format::Original);
    fs::remove_file(folder.path().join(CONFIG)).unwrap();
    let ids = Overrides { ids: overrides("blip_decoder").ids, ..Overrides::default() };
    let model = load(folder.path(), &ids).unwrap();
    assert_eq!((model.config.vision.heads, model.config.text.heads, model.notes.len()), (1, 2, 2));

    let ids = Overrides { text_heads: None, ..overrides("blip_decoder") };
    let error = error_of(&self::folder("blip_decoder"), &ids);
    assert!(error.contains("nothing says how many heads attention over texts has, of width 24"), "{error}");
}

#[test]
fn tokens_are_those_of_the_vocabulary() {
    let name = "blip_decoder";
    let expected = overrides(name).ids.unwrap();
    let heads = Overrides { ids: None, ..overrides(name) };
    let (to, path) = changed(name, |_| {});
    let error = error_of(&path, &heads);
    assert!(error.contains("which of its tokens begin and end a text"), "{error}");

    let words: Vec<String> = serde_json::from_value(meta(name)["vocabulary"].clone()).unwrap();
    fs::write(to.path().join("vocab.txt"), words[..47].join("\n")).unwrap();
    let model = load(&path, &heads).unwrap();
    assert_eq!((model.config.text.ids, model.tokenizer), (expected, Some(to.path().join("vocab.txt"))));

    let vocabulary: BTreeMap<_, _> = words[..47].iter().zip(0..).collect();
    let added = [json!({ "id": 47, "content": "[DEC]" }), json!({ "id": 46, "content": "[ENC]" })];
    let file = json!({ "model": { "vocab": vocabulary }, "added_tokens": added });
    fs::write(to.path().join("tokenizer.json"), file.to_string()).unwrap();
    assert_eq!(load(&path, &heads).unwrap().config.text.ids, TokenIds { encode: 46, ..expected });

    // A file of Hugging Face's does not say [CLS].
    let (to, path) = changed("blip_itm", |_| {});
    fs::write(to.path().join("vocab.txt"), "[PAD]\n[CLS]\n").unwrap();
    let model = load(&path, &Overrides::default()).unwrap();
    assert_eq!(model.config.text.ids, TokenIds { pad: 0, cls: 1, end: 5, decode: 69, encode: 70 });
    // Saved without the vocabulary, the file says it.
    through(&Loaded { notes: vec![], ..model }, Format::HuggingFace);
}

/// The expected values are PyTorch's rule written out: four neighbours in each direction, with a = −¾.
#[test]
fn positions_are_resampled_for_pictures_of_any_size() {
    let whole = loaded("blip_caption");
    let asked = |image_size| Overrides { image_size: Some(image_size), ..Overrides::default() };
    let path = folder("blip_caption");
    assert!(load(&path, &asked([30, 30])).unwrap().params.flat == whole.params.flat);
    let cubic = |x: f64| match x.abs() {
        x if x < 1.0 => 1.25 * x * x * x - 2.25 * x * x + 1.0,
        x if x < 2.0 => -0.75 * x * x * x + 3.75 * x * x - 6.0 * x + 3.0,
        _ => 0.0,
    };
    for (size, [rows, columns]) in [([36, 24], [6, 4]), ([12, 66], [2, 11])] {
        let model = load(&path, &asked(size)).unwrap();
        assert_eq!((model.config.vision.image_size, model.preprocess.is_none()), (size, true));
        let (old, new) = (whole.params.view().visual_encoder.embed, model.params.view().visual_encoder.embed);
        let (old, new) = (old.positional_embedding, new.positional_embedding);
        assert_eq!((old.len(), new.len()), (26 * 20, (1 + rows * columns) * 20));
        assert_eq!(old[..20], new[..20]);
        for (i, &value) in new[20..].iter().enumerate() {
            let (row, column, channel) = (i / 20 / columns, i / 20 % columns, i % 20);
            let at = |i: usize, n: usize| (i as f64 + 0.5) * 5.0 / n as f64 - 0.5;
            let (y, x) = (at(row, rows), at(column, columns));
            let mut sum = 0.0;
            for j in -3..9i32 {
                for k in -3..9i32 {
                    let weight = cubic(y - f64::from(j)) * cubic(x - f64::from(k));
                    let (j, k) = (j.clamp(0, 4) as usize, k.clamp(0, 4) as usize);
                    sum += weight * f64::from(old[20 * (1 + 5 * j + k) + channel]);
                }
            }
            assert!((sum - f64::from(value)).abs() < 1e-6, "{i}: {value} is not {sum}");
        }
        // Pictures that are not square have no class at Hugging Face.
        let (to, _) = through(&model, Format::Original);
        let written = save(to.path(), &model.config, &model.params, None, Format::HuggingFace, Precision::F32);
        assert!(written.unwrap_err().to_string().contains("square"));
    }
    let error = error_of(&path, &asked([30, 31]));
    assert!(error.contains("vision.image_size 31 is not a multiple of vision.patch_size 6"), "{error}");
}

/// Writes a file of these names.
fn named(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors: Vec<_> = names.iter().map(|name| Tensor::new(name, &[1], &[0.0], Dtype::F32)).collect();
    write(&path, &tensors, []).unwrap();
    (folder, path)
}

#[test]
fn each_kind_of_model_is_recognised() {
    for name in HUGGING_FACE.into_iter().chain(ORIGINAL).chain(["blip_torch"]) {
        let path = folder(name);
        assert_eq!(kind(&path).unwrap(), Some(Kind::Blip), "{name}");
        let error = Checkpoint::open(&path, &Default::default()).map(|_| ()).unwrap_err().to_string();
        assert!(error.ends_with("a BLIP, not a CLIP"), "{error}");
    }
    for name in ["clip_vit", "clip_resnet", "hf_clip"] {
        let path = folder(name).join("model.safetensors");
        assert_eq!(kind(&path).unwrap(), Some(Kind::Clip), "{name}");
        let error = error_of(&path, &Overrides::default());
        assert!(error.ends_with("a CLIP, not a BLIP"), "{error}");
    }
    let relatives = [
        (
            &["visual_encoder.blocks.0.norm1.bias", "text_encoder.encoder.layer.0.crossattention.self0.key.bias"][..],
            "NLVR2",
        ),
        (
            &["vision_model.encoder.layers.0.self_attn.qkv.bias", "text_model.encoder.layer.0.output.dense.bias"],
            "BlipModel",
        ),
        (&["model.visual_encoder.blocks.0.norm1.bias", "model.Qformer.bert.embeddings.LayerNorm.bias"], "BLIP-2"),
        (&["attn_pool.latent", "blocks.0.norm1.bias"], "an image tower of timm alone"),
    ];
    for (names, what) in relatives {
        let (_folder, path) = named(names);
        for error in [error_of(&path, &Overrides::default()), kind(&path).unwrap_err().to_string()] {
            assert!(error.contains(what), "{error}");
        }
    }
    let naflex = tempfile::tempdir().unwrap();
    let patches = Tensor::new("vision_model.embeddings.patch_embedding.weight", &[2, 3], &[0.0; 6], Dtype::F32);
    let probe = Tensor::new("vision_model.head.probe", &[1, 1, 2], &[0.0; 2], Dtype::F32);
    let path = naflex.path().join("model.safetensors");
    write(&path, &[patches, probe], []).unwrap();
    let error = Checkpoint::open(&path, &Default::default()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("NaFlex") && error.ends_with("not a CLIP"), "{error}");
    let (_folder, path) = named(&["fc.weight"]);
    assert_eq!(kind(&path).unwrap(), None);
    assert!(error_of(&path, &Overrides::default()).contains("cannot be inferred"));
}

#[test]
fn sizes_that_do_not_fit_are_named() {
    let (to, path) = changed("blip_caption", |_| {});
    let config = fs::read(to.path().join("config.json")).unwrap();
    for (field, value, message) in [
        ("/text_config/num_attention_heads", json!(0), "text.heads is 0"),
        ("/text_config/num_attention_heads", json!(7), "text.width 24 is not a multiple of text.heads 7"),
        ("/text_config/num_hidden_layers", json!(1_000_000_000), "text.layers is 1000000000, more than 1024"),
        ("/text_config/num_hidden_layers", json!(3), "encoder.layer.2"),
        ("/text_config/vocab_size", json!(70), "has shape [71, 24], this model needs [70, 24]"),
        ("/text_config/sep_token_id", json!(71), "text.ids.end is 71, more than 70"),
        ("/text_config/layer_norm_eps", json!(1e9), "layer_norm_eps is 1000000000"),
        ("/text_config/label_smoothing", json!(1.5), "label_smoothing is 1.5, out of range"),
        ("/text_config/hidden_act", json!("relu"), "hidden_act is \"relu\""),
        ("/vision_config/patch_size", json!(0), "vision.patch_size is 0"),
        ("/vision_config/image_size", json!(36), "this model needs [1, 37, 20]"),
        ("/vision_config/image_size", json!(1u64 << 40), "vision.image_size is 1099511627776"),
        ("/vision_config/hidden_size", json!(-1), "invalid value"),
        ("/model_type", json!("clip"), "model_type \"clip\" is not a BLIP"),
    ] {
        fs::write(to.path().join("config.json"), &config).unwrap();
        edit(&to.path().join("config.json"), |json| *json.pointer_mut(field).unwrap() = value.clone());
        let error = error_of(&path, &Overrides::default());
        assert!(error.contains(message), "{field}: {error}");
    }
    // What the file leaves out has the defaults of Hugging Face's classes, which are those of the base model.
    fs::write(to.path().join("config.json"), r#"{"text_config": {"num_attention_heads": 12}}"#).unwrap();
    let error = error_of(&path, &Overrides::default());
    assert!(error.contains("this model needs [1, 1, 768]"), "{error}");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(load(&path, &Overrides::default()).is_err());
    }
}

#[test]
fn pictures_are_prepared_as_the_files_say() {
    let (to, path) = changed("blip_caption", |_| {});
    let model = load(&path, &Overrides::default()).unwrap();
    assert_eq!(model.notes, [Note::BlipPictures { path: path.clone() }]);
    let preprocess = model.preprocess.unwrap();
    assert_eq!((preprocess.size, preprocess.resize_mode), (30, ResizeMode::Squash));
    let file = json!({ "image_processor_type": "BlipImageProcessor", "resample": 2, "image_mean": [0.5, 0.5, 0.5] });
    fs::write(to.path().join("preprocessor_config.json"), file.to_string()).unwrap();
    let model = load(&path, &Overrides::default()).unwrap();
    let said = model.preprocess.clone().unwrap();
    assert_eq!((said.mean, said.std, said.size, model.notes.len()), ([0.5; 3], preprocess.std, 30, 0));
    assert_eq!(said.resize_mode, ResizeMode::Squash);
    let (_folder, model) = through(&model, Format::HuggingFace);
    through(&model, Format::Original);
}
