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
