//! Tests of checkpoints as people have them: wrapped, renamed, incomplete, or no checkpoints at all.

use crate::support::folders::{HF_CONFIG, HF_WEIGHTS, edit, error_of, open, rewrite, saved, tensors};
use clipwright::ImageEncoder;
use clipwright::checkpoint::safetensors::{Tensor, write};
use clipwright::checkpoint::{CONFIG, Checkpoint, Dtype, Format, Note, Overrides, Precision, WEIGHTS};
use clipwright::pictures::decode;
use clipwright::tree::Path as TreePath;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const PREPROCESSOR: &str = "preprocessor_config.json";
const PROCESSOR: &str = "processor_config.json";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Checks the embedding of a picture against the library that wrote the folder.
fn embeds(folder: &Path, picture: &Path, right: &[f32], tolerance: f32) {
    let picture = decode::open(picture).unwrap();
    let embedding = ImageEncoder::load(folder).unwrap().encode(&[picture]);
    assert_eq!(embedding.dim(), (1, right.len()));
    let apart = embedding.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < tolerance, "{}: {apart}", folder.display());
}

#[test]
fn compiled_and_wrapped_models_embed_as_the_plain_one() {
    let plain = golden("checkpoints/plain");
    let right: Vec<f32> = serde_json::from_slice(&fs::read(plain.join("right.json")).unwrap()).unwrap();
    for folder in ["plain", "compiled", "inside_model_key"] {
        embeds(&golden("checkpoints").join(folder), &plain.join("picture.png"), &right, 1e-5);
    }
}

#[test]
fn transformers_5_says_in_another_file_how_pictures_are_prepared() {
    let folder = golden("checkpoints/transformers5");
    let right: BTreeMap<String, Vec<f32>> =
        serde_json::from_slice(&fs::read(folder.join("right.json")).unwrap()).unwrap();
    for (picture, right) in right {
        embeds(&folder, &folder.join(picture), &right, 1e-4);
    }
    assert_eq!(open(&folder).unwrap().notes, []);
}

const PREFIXES: [&str; 9] = [
    "module.",
    "_orig_mod.",
    "model.",
    "clip.",
    "state_dict.model.",
    "_orig_mod.module.",
    "net.0.clip_model.",
    "visual.",
    "x.text_model.",
];

#[test]
fn any_prefix_of_all_names_is_found() {
    for (format, weights) in [(Format::OpenClip, WEIGHTS), (Format::HuggingFace, HF_WEIGHTS)] {
        for prefix in PREFIXES {
            let (folder, model) = saved(format, Precision::F32);
            let path = folder.path().join(weights);
            rewrite(&path, |tensor| Some(Tensor { name: format!("{prefix}{}", tensor.name), ..tensor }));
            let checkpoint = open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
            assert!(checkpoint.model().unwrap().0.params.flat == model.params.flat, "{prefix}");
            assert_eq!((checkpoint.dtypes(), &checkpoint.notes), (vec!["F32".to_string()], &vec![]));

            // Nothing says that what stands elsewhere may be left out.
            let mut all = tensors(&path);
            all.push(Tensor::new("head.weight", &[1], &[0.0], Dtype::F32));
            write(&path, &all, []).unwrap();
            assert!(error_of(folder.path()).contains("no place for head.weight"), "{}", error_of(folder.path()));
        }
    }
}

/// Towers and layers can be compiled, checkpointed or spread over machines one by one.
#[test]
fn wrappers_within_names_are_dropped() {
    let wrapped = |name: &str| {
        let parts = name.split('.').map(|part| match part {
            "visual" | "vision_model" => format!("{part}._orig_mod"),
            "transformer" | "text_model" => format!("{part}.module"),
            "0" => "0._checkpoint_wrapped_module._fsdp_wrapped_module".to_owned(),
            part => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(".")
    };
    for (format, weights) in [(Format::OpenClip, WEIGHTS), (Format::HuggingFace, HF_WEIGHTS)] {
        for prefix in ["", "module.", "state_dict.module."] {
            let (folder, model) = saved(format, Precision::F32);
            let path = folder.path().join(weights);
            rewrite(&path, |tensor| Some(Tensor { name: format!("{prefix}{}", wrapped(&tensor.name)), ..tensor }));
            assert!(tensors(&path).iter().any(|tensor| tensor.name.contains("._orig_mod.")));
            let checkpoint = open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
            assert!(checkpoint.model().unwrap().0.params.flat == model.params.flat, "{prefix}");
        }
    }
    // Two tensors never become one.
    let (folder, _) = saved(Format::OpenClip, Precision::F32);
    let path = folder.path().join(WEIGHTS);
    let mut all = tensors(&path);
    all.push(Tensor::new("visual.module.proj", &[1], &[0.0], Dtype::F32));
    write(&path, &all, []).unwrap();
    assert!(error_of(folder.path()).contains("no place for visual.module.proj"), "{}", error_of(folder.path()));
}

#[test]
fn a_missing_tensor_is_named_as_the_file_would_name_it() {
    let (folder, _) = saved(Format::HuggingFace, Precision::F32);
    rewrite(&folder.path().join(HF_WEIGHTS), |tensor| {
        let name = format!("clip.{}", tensor.name);
        (!name.ends_with("post_layernorm.bias")).then_some(Tensor { name, ..tensor })
    });
    assert!(error_of(folder.path()).contains("tensor clip.vision_model.post_layernorm.bias is missing"));
}

/// The values that `make.py` gives all tensors.
fn is_the_golden_model(checkpoint: &Checkpoint) {
    let (model, _) = checkpoint.model().unwrap();
    let mut named = model.params.named(&TreePath::ROOT);
    named.sort_by(|a, b| a.0.cmp(&b.0));
    for (n, (name, _, values)) in named.into_iter().enumerate() {
        let expected: Vec<f32> = (0..values.len()).map(|i| (((i + n) % 17) as f32 - 8.0) / 16.0).collect();
        assert_eq!(values, expected, "{name}");
    }
}

/// What a training script saves beside the model is not read, and that is said.
#[test]
fn training_states_of_torch_are_read() {
    for (file, keys) in [
        ("open_clip_pytorch_model.bin", &["optimizer"][..]),
        ("trainer.pt", &["loss", "optimizer_state_dict"]),
        ("lightning.ckpt", &["optimizer_states"]),
    ] {
        let path = golden("torch").join(file);
        let checkpoint = open(&path).unwrap_or_else(|error| panic!("{error}"));
        is_the_golden_model(&checkpoint);
        assert_eq!(checkpoint.dtypes(), ["F16"]);
        let keys = keys.iter().map(|key| key.to_string()).collect();
        assert_eq!(checkpoint.notes, [Note::Beside { path: path.clone(), keys }]);
        let said = checkpoint.notes[0].to_string();
        assert!(said.contains(file) && said.contains("not read: ") && said.contains("optim"), "{said}");
    }
    let error = error_of(&golden("torch/criterion.pt"));
    assert!(error.contains("no place for model.criterion.weight"), "{error}");
    let error = error_of(&golden("torch/two_models.pt"));
    assert!(error.contains("two models") && error.contains("\"ema.\" and \"model.\""), "{error}");
}

#[test]
fn masks_and_index_tables_are_no_parameters() {
    for (format, weights) in [(Format::OpenClip, WEIGHTS), (Format::HuggingFace, HF_WEIGHTS)] {
        for prefix in ["", "module."] {
            let (folder, model) = saved(format, Precision::F32);
            let path = folder.path().join(weights);
            rewrite(&path, |tensor| Some(Tensor { name: format!("{prefix}{}", tensor.name), ..tensor }));
            let mut all = tensors(&path);
            for name in [
                "attn_mask",
                "transformer.attn_mask",
                "text.attn_mask",
                "text_model.embeddings.position_ids",
                "vision_model.embeddings.position_ids",
                "position_ids",
            ] {
                all.push(Tensor::new(&format!("{prefix}{name}"), &[2, 2], &[0.0; 4], Dtype::F32));
            }
            write(&path, &all, []).unwrap();
            let checkpoint = open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
            assert!(checkpoint.model().unwrap().0.params.flat == model.params.flat, "{prefix}");
        }
    }
}

#[test]
fn a_missing_temperature_is_named_and_can_be_given() {
    for (format, weights) in [(Format::OpenClip, WEIGHTS), (Format::HuggingFace, HF_WEIGHTS)] {
        let (folder, model) = saved(format, Precision::F32);
        let asked = Overrides { logit_scale: Some(4.5), ..Overrides::default() };
        let with_it = Checkpoint::open(folder.path(), &asked).unwrap();
        assert_eq!(with_it.logit_scale().unwrap(), Some(4.5));

        rewrite(&folder.path().join(weights), |tensor| (tensor.name != "logit_scale").then_some(tensor));
        let error = error_of(folder.path());
        assert!(error.contains("tensor logit_scale is missing") && error.contains(weights), "{error}");
        let without = Checkpoint::open(folder.path(), &asked).unwrap();
        assert_eq!(without.logit_scale().unwrap(), Some(4.5));
        let (loaded, _) = without.model().unwrap();
        let (last, others) = loaded.params.flat.split_last().unwrap();
        assert_eq!(*last, 4.5);
        assert!(*others == model.params.flat[..others.len()]);

        // A tower alone has none, whatever is asked for.
        rewrite(&folder.path().join(weights), |tensor| tensor.name.starts_with("vis").then_some(tensor));
        assert_eq!(Checkpoint::open(folder.path(), &asked).unwrap().logit_scale().unwrap(), None);
    }
}

#[test]
fn how_pictures_are_prepared_is_read_or_said_to_be_assumed() {
    let (folder, _) = saved(Format::HuggingFace, Precision::F32);
    let path = |name: &str| folder.path().join(name);
    let section: Value = serde_json::from_slice(&fs::read(path(PREPROCESSOR)).unwrap()).unwrap();
    let written = |mean: f32| {
        let mut section = section.clone();
        section["image_mean"] = json!([mean, mean, mean]);
        fs::write(
            path(PROCESSOR),
            json!({ "processor_class": "CLIPProcessor", "image_processor": section }).to_string(),
        )
        .unwrap();
    };
    let mean = || open(folder.path()).unwrap().preprocess.mean;
    // Where both files are, transformers goes by the newer one.
    written(0.25);
    assert_eq!(mean(), [0.25; 3]);
    fs::remove_file(path(PREPROCESSOR)).unwrap();
    assert_eq!((mean(), open(folder.path()).unwrap().notes), ([0.25; 3], vec![]));
    edit(&path(PROCESSOR), |json| json["image_processor"]["resample"] = json!(0));
    let error = error_of(folder.path());
    assert!(error.contains(PROCESSOR) && error.contains("image_processor: resample is 0"), "{error}");
    for broken in ["7", "[]", "{", "null"] {
        fs::write(path(PROCESSOR), broken).unwrap();
        assert!(error_of(folder.path()).contains(PROCESSOR), "{}", error_of(folder.path()));
    }

    // One without that part says nothing about pictures.
    fs::write(path(PROCESSOR), json!({ "processor_class": "CLIPProcessor" }).to_string()).unwrap();
    let checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.notes, [Note::OpenAiPictures { path: path(HF_WEIGHTS) }]);
    assert!(checkpoint.notes[0].to_string().contains("as for OpenAI's models"));
    assert!((checkpoint.preprocess.mean[0] - 0.481).abs() < 1e-3);
    fs::write(path(PREPROCESSOR), section.to_string()).unwrap();
    assert_eq!(open(folder.path()).unwrap().notes, []);

    // A text tower alone needs no pictures.
    fs::remove_file(path(PREPROCESSOR)).unwrap();
    rewrite(&path(HF_WEIGHTS), |tensor| tensor.name.starts_with("text").then_some(tensor));
    edit(&path(HF_CONFIG), |json| *json = json["text_config"].take());
    assert_eq!(open(folder.path()).unwrap().notes, []);
}

#[test]
fn weights_are_found_under_the_names_that_they_have() {
    let whole =
        |folder: &Path, name: &str| fs::copy(golden("torch/open_clip_pytorch_model.bin"), folder.join(name)).unwrap();
    let folder = |names: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(golden("torch").join(CONFIG), folder.path().join(CONFIG)).unwrap();
        for name in names {
            whole(folder.path(), name);
        }
        folder
    };
    let others = |notes: &[Note]| {
        let chosen = notes.iter().find_map(|note| match note {
            Note::Chosen { others, .. } => Some(others.clone()),
            _ => None,
        });
        chosen.unwrap_or_default()
    };
    for (names, taken, left) in [
        (&["epoch_5.pt"][..], "epoch_5.pt", &[][..]),
        (&["epoch_latest.pt"], "epoch_latest.pt", &[]),
        (&["epoch_9.pt", "epoch_10.pt"], "epoch_10.pt", &["epoch_9.pt"]),
        (&["epoch_9.pt", "epoch_latest.pt"], "epoch_latest.pt", &["epoch_9.pt"]),
        (&["my.ckpt", "._my.ckpt"], "my.ckpt", &[]),
        (&["My.PTH"], "My.PTH", &[]),
        (&["epoch_3.pt", "pytorch_model.bin"], "pytorch_model.bin", &[]),
    ] {
        let folder = folder(names);
        let checkpoint = open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(checkpoint.path(), folder.path().join(taken));
        assert_eq!(others(&checkpoint.notes), left);
    }
    let error = error_of(folder(&["b.pt", "a.safetensors"]).path());
    assert!(error.contains("several files of weights") && error.contains("a.safetensors, b.pt"), "{error}");
    let error = error_of(folder(&[]).path());
    assert!(error.contains("no weights here") && error.contains("open_clip_model.safetensors"), "{error}");

    let (hugging_face, model) = saved(Format::HuggingFace, Precision::F16);
    let path = |name: &str| hugging_face.path().join(name);
    fs::rename(path(HF_WEIGHTS), path("model.fp16.safetensors")).unwrap();
    assert_eq!(open(hugging_face.path()).unwrap().model().unwrap().0.config, model.config);
}

#[test]
fn what_is_no_model_is_recognised_and_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&[u8], &str, &str); 16] = [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 605\n", "Git LFS pointer", "git lfs pull"),
        (b"GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0", "GGUF", "safetensors or PyTorch"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\x80", "ONNX", "safetensors or PyTorch"),
        (b"\x08\x08:\xd2\x94\x1a\n0123456789", "ONNX", "safetensors or PyTorch"),
        (b"<!DOCTYPE html>\n<html class=\"\">", "web page", "/resolve/"),
        (b"\xef\xbb\xbf\n  <HTML><head>", "web page", "hf download"),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied", "web page", "download"),
        (b"PK\x03\x04\x14\0\0\0", "not a PyTorch", "ZIP"),
        (b"\x89HDF\r\n\x1a\n0123456789", "HDF5", "safetensors or PyTorch"),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", "NumPy", "safetensors or PyTorch"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "gzip", "unpack"),
        (b"\x81\xa6params\x82\xaalogit_sca", "Flax", "safetensors or PyTorch"),
        (b"\x1c\0\0\0TFL3\x14\0 \0", "TensorFlow", "safetensors or PyTorch"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture", "weights"),
        (&tar, "tar archive", "unpack"),
        (b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x07nothing\x94.", "not a PyTorch weights file", "dictionary"),
    ];
    for (start, what, help) in cases {
        fs::write(&path, start).unwrap();
        for named in [folder.path(), &path] {
            let error = error_of(named);
            let is_said = |part: &str| error.to_lowercase().contains(&part.to_lowercase());
            assert!(is_said("model.safetensors") && is_said(what) && is_said(help), "{error}");
        }
    }
    // A folder that has nothing else leads to the same answer.
    fs::write(&path, cases[1].0).unwrap();
    fs::rename(&path, folder.path().join("clip.gguf")).unwrap();
    assert!(error_of(folder.path()).contains("clip.gguf: a GGUF file"), "{}", error_of(folder.path()));
    // An archive of something else, here an empty one and one with a text.
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    for (zip, expected) in [(&empty[..], "ZIP archive"), (TEXT_IN_ZIP, "ZIP archive")] {
        fs::write(&path, zip).unwrap();
        let error = error_of(&path);
        assert!(error.contains(expected) && error.contains("torch.save"), "{error}");
    }
    let config = folder.path().join(HF_CONFIG);
    fs::write(&config, "{\"model_type\": \"clip\"}").unwrap();
    assert!(error_of(&config).contains("name the weights beside it"), "{}", error_of(&config));
    let (pointer, _) = saved(Format::HuggingFace, Precision::F32);
    fs::write(pointer.path().join(HF_CONFIG), cases[0].0).unwrap();
    assert!(error_of(pointer.path()).contains("git lfs pull"));
}

/// An archive that holds `a.txt` with the letter a, not compressed.
const TEXT_IN_ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0C\xbe\xb7\xe8\x01\0\0\0\x01\0\0\0\x05\0\0\0a.txta\
    PK\x01\x02\x14\x03\x14\0\0\0\0\0\0\0!\0C\xbe\xb7\xe8\x01\0\0\0\x01\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x80\x01\0\0\0\0a.txt\
    PK\x05\x06\0\0\0\0\x01\0\x01\0\x33\0\0\0\x24\0\0\0\0\0";

#[test]
fn the_name_of_an_architecture_is_no_model() {
    for name in
        ["ViT-B-32", "ViT-B/32", "ViT-L/14@336px", "RN50", "rn50x4", "ViT-B-32-quickgelu", "ViT-SO400M-14-SigLIP"]
    {
        let error = error_of(Path::new(name));
        assert!(error.starts_with(name) && error.contains("architecture"), "{error}");
    }
    for name in ["openai/clip-vit-base-patch32", "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"] {
        let error = error_of(Path::new(name));
        let download = format!("hf download {}", name.trim_start_matches("hf-hub:"));
        assert!(error.contains("Hugging Face cache") && error.ends_with(&download), "{error}");
    }
    assert!(error_of(Path::new("nowhere.safetensors")).contains("No such file"));
}
