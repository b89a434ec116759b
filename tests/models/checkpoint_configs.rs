//! Tests of configurations, preprocessing and tokenizers as OpenCLIP and Hugging Face write them.

use crate::support::folders::{HF_CONFIG, edit, error_of, model, open, saved};
use crate::support::tiny::config;
use clipwright::checkpoint::{
    CONFIG, CheckpointError, ConfigFile, ConfigFileError, Contents, Format, Precision, load_model, save,
};
use clipwright::models::clip::config::VOCAB_SIZE;
use clipwright::models::clip::model::Model;
use clipwright::pictures::{Interpolation, Library, Preprocess, ResizeMode};
use clipwright::text::{Tokenizer, clean};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use unicode_normalization::UnicodeNormalization;

#[test]
fn hugging_faces_config_has_defaults_and_legacy_overrides() {
    let (folder, model) = saved(Format::HuggingFace, Precision::F32);
    let path = folder.path().join(HF_CONFIG);
    edit(&path, |json| {
        // Values that equal the defaults of the classes may be left out; of repeated values the last counts.
        json["vision_config"]
            .as_object_mut()
            .unwrap()
            .retain(|name, _| name != "num_channels" && name != "layer_norm_eps");
        json["text_config_dict"] = json!({ "hidden_size": 64, "num_attention_heads": 2, "bos_token_id": null });
        json["text_config"]["hidden_size"] = json!(9);
        json["text_config"]["num_attention_heads"] = json!(4);
        json.as_object_mut().unwrap().remove("model_type");
    });
    let (loaded, _) = load_model(folder.path()).unwrap();
    assert_eq!(loaded.config, model.config);

    let broken = |change: &dyn Fn(&mut Value)| {
        let (folder, _) = saved(Format::HuggingFace, Precision::F32);
        edit(&folder.path().join(HF_CONFIG), change);
        let error = error_of(folder.path());
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
        error
    };
    assert!(broken(&|json| json["model_type"] = json!("siglip2")).contains("NaFlex"));
    assert!(broken(&|json| json["text_config"]["hidden_act"] = json!("gelu")).contains("different activations"));
    assert!(broken(&|json| json["vision_config"]["hidden_act"] = json!("relu")).contains("hidden_act is \"relu\""));
    assert!(broken(&|json| json["vision_config"]["layer_norm_eps"] = json!(1e-6)).contains("layer_norm_eps"));
    assert!(broken(&|json| json["vision_config"]["num_channels"] = json!(4)).contains("num_channels"));
    assert!(broken(&|json| json["vision_config"]["num_attention_heads"] = json!(0)).contains("num_attention_heads"));
    assert!(broken(&|json| json["vision_config"]["hidden_size"] = json!(-1)).contains("invalid value"));
    assert!(broken(&|json| json["text_config"]["num_hidden_layers"] = json!(3)).contains("layers.2"));
    assert!(broken(&|json| json["text_config"]["num_hidden_layers"] = json!(1)).contains("no place for"));
    assert!(broken(&|json| json["text_config"]["vocab_size"] = json!(u32::MAX)).contains("more than"));
    assert!(broken(&|json| json["projection_dim"] = json!("wide")).contains("projection_dim"));
    assert!(broken(&|json| json["text_config"] = json!(7)).contains("text_config is 7"));
    assert!(broken(&|json| *json = json!([])).contains("not an object"));
}

#[test]
fn pictures_are_prepared_as_the_folder_says() {
    let (folder, _) = saved(Format::HuggingFace, Precision::F32);
    let path = folder.path().join("preprocessor_config.json");
    let read = |json: Value| {
        fs::write(&path, json.to_string()).unwrap();
        open(folder.path()).map(|checkpoint| checkpoint.preprocess).map_err(|e| e.to_string())
    };
    let openai = Preprocess { size: 24, library: Library::HuggingFace, ..Preprocess::default() };
    // These are the ways in which versions of the class have written the same settings.
    for size in [json!(24), json!({ "shortest_edge": 24 })] {
        for crop in [json!(24), json!({ "height": 24, "width": 24 })] {
            assert_eq!(
                read(json!({ "size": size, "crop_size": crop, "feature_extractor_type": "x" })).unwrap(),
                openai
            );
        }
    }
    let squash = json!({
        "size": { "height": 24, "width": 24 }, "do_center_crop": false, "resample": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 1.0], "do_normalize": true,
    });
    let expected = Preprocess {
        size: 24,
        mean: [0.5; 3],
        std: [0.25, 0.5, 1.0],
        interpolation: Interpolation::Bilinear,
        resize_mode: ResizeMode::Squash,
        library: Library::HuggingFace,
    };
    assert_eq!(read(squash).unwrap(), expected);
    let plain = read(json!({ "size": 24, "crop_size": 24, "do_normalize": false })).unwrap();
    assert_eq!((plain.mean, plain.std), ([0.0; 3], [1.0; 3]));
    for (json, expected) in [
        (json!({ "size": 32, "crop_size": 24 }), "a crop of 24 from a size of 32"),
        (json!({ "size": 24, "crop_size": 24, "do_center_crop": false }), "end as squares"),
        (json!({ "size": { "height": 24, "width": 20 } }), "24×20 is not a square"),
        (json!({ "size": 24, "crop_size": 24, "resample": 0 }), "resample is 0"),
        (json!({ "size": 24, "crop_size": 24, "rescale_factor": 1.0 }), "rescale_factor"),
        (json!({ "size": 24, "crop_size": 24, "image_std": [1.0, 0.0, 1.0] }), "image_std"),
        (json!({ "size": 24, "crop_size": 24, "do_resize": false }), "not resized"),
        (json!({ "size": "big" }), "preprocessor_config.json"),
        (json!(7), "preprocessor_config.json"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let (model, mut file) = model();
    file.preprocess_cfg.resize_mode = ResizeMode::Longest;
    let error = save(folder.path(), Contents { model: &model, config: &file }, Format::HuggingFace, Precision::F32)
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot pad"), "{error}");
}

/// Programs tell errors apart by their kind, not by their words.
#[test]
fn what_is_wrong_with_a_configuration_is_a_variant() {
    let (folder, _) = saved(Format::HuggingFace, Precision::F32);
    edit(&folder.path().join(HF_CONFIG), |json| json["text_config"]["layer_norm_eps"] = json!(1e-6));
    let error = load_model(folder.path()).err().unwrap();
    let CheckpointError::Config { path, source } = error else { panic!("{error}") };
    assert_eq!(path, folder.path().join(HF_CONFIG));
    assert!(matches!(source, ConfigFileError::Eps { eps: 1e-6, .. }), "{source}");
}

#[test]
fn openclips_config_may_spell_out_defaults() {
    let (folder, model) = saved(Format::OpenClip, Precision::F32);
    let path = folder.path().join(CONFIG);
    edit(&path, |json| {
        let model = &mut json["model_cfg"];
        model["custom_text"] = json!(true);
        model["init_logit_scale"] = json!(2.3);
        model["vision_cfg"]["timm_model_name"] = Value::Null;
        model["vision_cfg"]["pool_type"] = json!("tok");
        model["text_cfg"]["no_causal_mask"] = json!(false);
        model["text_cfg"]["mlp_ratio"] = json!(4.0);
    });
    assert_eq!(load_model(folder.path()).unwrap().0.config, model.config);
    for (part, field, value) in [
        ("vision_cfg", "pool_type", json!("avg")),
        ("text_cfg", "no_causal_mask", json!(true)),
        ("text_cfg", "hf_model_name", json!("roberta")),
        ("vision_cfg", "ls_init_value", json!(1e-4)),
    ] {
        let before = fs::read(&path).unwrap();
        edit(&path, |json| json["model_cfg"][part][field] = value.clone());
        assert!(error_of(folder.path()).contains(field), "{}", error_of(folder.path()));
        fs::write(&path, before).unwrap();
    }
}

/// The written tokenizer equals the built-in one on text that both clean alike.
#[test]
fn the_tokenizers_files_are_clips_own_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(8);
    config.text_cfg.vocab_size = VOCAB_SIZE;
    let file = ConfigFile::new(config.clone());
    save(folder.path(), Contents { model: &Model::new(config, 0), config: &file }, Format::HuggingFace, Precision::F32)
        .unwrap();
    let (ours, written) = (Tokenizer::clip(), Tokenizer::open(&folder.path().join("tokenizer.json")).unwrap());
    assert_eq!(written.vocabulary(), VOCAB_SIZE);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer.json");
    let golden: Value = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
    let mut compared = 0;
    let strings = golden.as_array().unwrap().iter().map(|case| case["text"].as_str().unwrap());
    // The built-in one repairs more before it splits, and OpenCLIP spells start and end of text differently.
    let plain =
        |text: &str| text.nfc().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    for text in strings.filter(|text| clean(text) == plain(text) && !text.contains("text|>")) {
        for context in [5, 77] {
            assert_eq!(ours.encode(text, context), written.encode(text, context), "{text:?}");
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
    let merges = fs::read_to_string(folder.path().join("merges.txt")).unwrap();
    assert!(merges.starts_with("#version") && merges.lines().count() == 48_895);
    let vocabulary: Value = serde_json::from_slice(&fs::read(folder.path().join("vocab.json")).unwrap()).unwrap();
    assert_eq!((vocabulary["!"].as_u64(), vocabulary["<|endoftext|>"].as_u64()), (Some(0), Some(49_407)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any configuration gives an error or a model, never a panic, and never more memory than the file has.
    #[test]
    fn damaged_configurations_are_survived(
        format in prop_oneof![Just(Format::OpenClip), Just(Format::HuggingFace)],
        places in proptest::collection::vec((0usize..4000, any::<u8>()), 1..4),
    ) {
        let (folder, _) = saved(format, Precision::F32);
        let name = if format == Format::OpenClip { CONFIG } else { HF_CONFIG };
        let mut bytes = fs::read(folder.path().join(name)).unwrap();
        let len = bytes.len();
        places.iter().for_each(|&(place, byte)| bytes[place % len] = byte);
        fs::write(folder.path().join(name), bytes).unwrap();
        let _ = load_model(folder.path());
    }

    #[test]
    fn any_number_in_a_configuration_is_survived(
        format in prop_oneof![Just(Format::OpenClip), Just(Format::HuggingFace)],
        which in any::<usize>(),
        number in prop_oneof![any::<u64>().prop_map(|n| json!(n)), any::<i64>().prop_map(|n| json!(n)), any::<f64>().prop_map(|n| json!(n)), Just(json!(0)), Just(Value::Null)],
    ) {
        let (folder, _) = saved(format, Precision::F32);
        let name = if format == Format::OpenClip { CONFIG } else { HF_CONFIG };
        edit(&folder.path().join(name), |json| {
            let mut numbers = vec![];
            collect_numbers(json, &mut numbers);
            let which = which % numbers.len();
            *numbers.swap_remove(which) = number.clone();
        });
        let _ = load_model(folder.path());
    }

    #[test]
    fn any_index_is_survived(text in "\\PC{0,60}") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors.index.json");
        for text in [text.clone(), format!(r#"{{"weight_map":{{"a":{text:?}}}}}"#)] {
            fs::write(&path, text).unwrap();
            prop_assert!(open(&path).is_err());
        }
    }
}

fn collect_numbers<'a>(json: &'a mut Value, numbers: &mut Vec<&'a mut Value>) {
    match json {
        Value::Number(_) => numbers.push(json),
        Value::Object(fields) => fields.values_mut().for_each(|value| collect_numbers(value, numbers)),
        Value::Array(values) => values.iter_mut().for_each(|value| collect_numbers(value, numbers)),
        _ => {}
    }
}
