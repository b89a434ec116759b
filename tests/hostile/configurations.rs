//! `open_clip_config.json`, `config.json`, `preprocessor_config.json` and the index of shards.

use super::support::folders::{HF_CONFIG, edit, open, saved};
use super::{cases, damaged, edits, fields, promptly};
use clipwright::checkpoint::{CONFIG, ConfigFile, Format, Precision, load_model};
use clipwright::pictures::Preprocess;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;

const PREPROCESSOR: &str = "preprocessor_config.json";

const PROCESSOR: &str = "processor_config.json";

/// Values that a field can have but nobody intends.
pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(&[0, 1, 3, 7, 1 << 14, 1 << 16, 1 << 18, 1 << 24, 1 << 32, 1 << 63, u64::MAX][..])
            .prop_map(|n| json!(n)),
        prop::sample::select(&[-1.0, 0.0, 0.5, 1e-45, 1e-320, 1e18, 1e39, 1e308, -1e308][..]).prop_map(|x| json!(x)),
        prop::sample::select(vec![
            Value::Null,
            json!(true),
            json!("gelu"),
            json!(""),
            json!([]),
            json!({}),
            json!([3, 4, 6, 3]),
            json!([0.5, 0.5, 0.5]),
            json!([1u64 << 40, 1, 1, 1])
        ]),
    ]
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] =
    &[any_fields_are_survived, damaged_files_are_survived, accepted_preparations_give_finite_pixels];

proptest! {
    #![proptest_config(cases(300))]

    /// Several fields are changed at once, since a value that is refused alone may hide another.
    #[test]
    fn any_fields_are_survived(
        file in prop::sample::select(&[(Format::OpenClip, CONFIG), (Format::HuggingFace, HF_CONFIG), (Format::HuggingFace, PREPROCESSOR), (Format::HuggingFace, PROCESSOR)][..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let (format, name) = file;
        let (folder, _) = saved(format, Precision::F32);
        if name == PROCESSOR {
            // The same fields, one level below.
            let path = folder.path().join(PREPROCESSOR);
            edit(&path, |json| *json = json!({ "processor_class": "CLIPProcessor", "image_processor": json.take() }));
            fs::rename(path, folder.path().join(PROCESSOR)).unwrap();
        }
        edit(&folder.path().join(name), |json| for (which, value) in &changes {
            let mut found = vec![];
            fields("", json, &mut found);
            *json.pointer_mut(&found[which.index(found.len())]).unwrap() = value.clone();
        });
        let _ = promptly(|| load_model(folder.path()));
    }

    #[test]
    fn damaged_files_are_survived(
        file in prop::sample::select(&[(Format::OpenClip, CONFIG), (Format::HuggingFace, HF_CONFIG), (Format::HuggingFace, PREPROCESSOR)][..]),
        edits in edits(),
    ) {
        let (format, name) = file;
        let (folder, _) = saved(format, Precision::F32);
        let path = folder.path().join(name);
        fs::write(&path, damaged(&fs::read(&path).unwrap(), &edits)).unwrap();
        let _ = promptly(|| load_model(folder.path()));
    }

    /// Every accepted configuration turns pixels into finite numbers.
    #[test]
    fn accepted_preparations_give_finite_pixels(mean in value(), std in value(), which in 0..3usize) {
        let mut json = json!({ "preprocess_cfg": { "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5] } });
        json["preprocess_cfg"]["mean"][which] = mean.clone();
        json["preprocess_cfg"]["std"][which] = std.clone();
        json["model_cfg"] = serde_json::to_value(super::support::tiny::config(64)).unwrap();
        let accepted = ConfigFile::parse(json).map(|file| file.preprocess_cfg);
        let folder = saved(Format::HuggingFace, Precision::F32).0;
        edit(&folder.path().join(PREPROCESSOR), |json| {
            json["image_mean"][which] = mean.clone();
            json["image_std"][which] = std.clone();
        });
        let also = open(folder.path()).map(|checkpoint| checkpoint.preprocess);
        for preprocess in accepted.into_iter().chain(also) {
            for shade in [0.0f32, 1.0] {
                let value = (shade - preprocess.mean[which]) / preprocess.std[which];
                prop_assert!(value.is_finite(), "{:?}", preprocess);
            }
        }
    }
}

/// A standard deviation of zero is refused: pixels, and so every embedding, would be infinite.
#[test]
fn a_deviation_of_nothing_is_refused() {
    let (folder, _) = saved(Format::OpenClip, Precision::F32);
    for (mean, std) in [(0.5, 0.0), (0.5, 1e-45), (1e39, 1.0), (0.0, 1e-30)] {
        edit(&folder.path().join(CONFIG), |json| {
            json["preprocess_cfg"]["mean"] = json!([0.5, mean, 0.5]);
            json["preprocess_cfg"]["std"] = json!([0.5, std, 0.5]);
        });
        let error = open(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(CONFIG) && error.contains("std"), "{error}");
    }
    assert_eq!(Preprocess::default().check(), Ok(()));
}

/// Sizes that are allowed each by itself are refused if together they amount to 200 TB.
#[test]
fn sizes_that_only_together_fill_the_memory_are_refused() {
    let file = json!({
        "embed_dim": 65_536,
        "vision_cfg": { "image_size": 16_384, "layers": 1024, "width": 65_536, "patch_size": 1 },
        "text_cfg": { "context_length": 65_536, "vocab_size": 1 << 24, "width": 65_536, "heads": 1, "layers": 1024 },
    });
    let error = promptly(|| ConfigFile::parse(file)).unwrap_err();
    assert!(error.to_string().contains("the number of parameters"), "{error}");
}

/// Shards are files beside their index; a decoy elsewhere must never be opened.
#[test]
fn an_index_leads_nowhere_else() {
    let (folder, _) = saved(Format::HuggingFace, Precision::F32);
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let index = inside.join("model.safetensors.index.json");
    let absolute = folder.path().join("model.safetensors").display().to_string();
    for path in
        ["../model.safetensors", "./../model.safetensors", "x/../../model.safetensors", "..", ".", "", "/", &absolute]
    {
        fs::write(&index, json!({ "weight_map": { "logit_scale": path } }).to_string()).unwrap();
        let error = open(&inside).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("is not a file beside it"), "{path}: {error}");
    }
}
