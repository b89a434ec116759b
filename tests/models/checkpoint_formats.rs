//! Tests of every format of checkpoints: round trips bit for bit, files of other libraries, errors that name the fault.

use crate::support::folders::{HF_CONFIG, HF_WEIGHTS, edit, error_of, model, open, rewrite, saved, tensors};
use clipwright::checkpoint::safetensors::{Reader, Tensor, write};
use clipwright::checkpoint::{
    ActivationSource, CONFIG, Checkpoint, ConfigFile, Contents, Dtype, Format, Overrides, Precision, WEIGHTS,
    load_model, save,
};
use clipwright::params::Spec;
use clipwright::pictures::Library;
use clipwright::tree::Path as TreePath;
use kernels::Activation;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[test]
fn ours_to_openclip_to_hugging_face_and_back_is_the_same_bits() {
    let (first, model) = saved(Format::OpenClip, Precision::F32);
    let mut folder = first;
    // Each library prepares pictures in its own way.
    for (format, library) in [(Format::HuggingFace, Library::OpenClip), (Format::OpenClip, Library::HuggingFace)] {
        let (loaded, file) = load_model(folder.path()).unwrap();
        assert!(loaded.params.flat == model.params.flat, "{format}");
        assert_eq!(loaded.config, model.config);
        let mut expected = ConfigFile::new(model.config.clone());
        expected.preprocess_cfg.library = library;
        assert_eq!(file, expected);
        folder = tempfile::tempdir().unwrap();
        save(folder.path(), Contents { model: &loaded, config: &file }, format, Precision::F32).unwrap();
    }
    assert!(load_model(folder.path()).unwrap().0.params.flat == model.params.flat);
}

#[test]
fn hugging_faces_names_and_shapes_are_those_of_its_classes() {
    let (folder, model) = saved(Format::HuggingFace, Precision::F32);
    let ours = Reader::open(&folder.path().join(HF_WEIGHTS)).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hf_clip/model.safetensors");
    let theirs = Reader::open(&fixture).unwrap();
    // The fixture's towers have two blocks, ours three and two.
    let mut names: Vec<_> =
        ours.names().into_iter().filter(|name| !name.contains("vision_model.encoder.layers.2.")).collect();
    let mut expected = theirs.names();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    let e = model.config.embed_dim;
    assert_eq!(ours.shape("text_projection.weight"), Some(&[e, 64][..]));
    assert_eq!(ours.shape("text_model.encoder.layers.0.self_attn.q_proj.weight"), Some(&[64, 64][..]));
}

#[test]
fn half_the_size_is_half_the_precision() {
    for format in [Format::OpenClip, Format::HuggingFace] {
        let (folder, model) = saved(format, Precision::F16);
        let checkpoint = open(folder.path()).unwrap();
        assert_eq!(checkpoint.dtypes(), ["F16"]);
        let (loaded, _) = checkpoint.model().unwrap();
        // Below its smallest normal number f16 has absolute, not relative, precision.
        let apart = |(a, b): (&f32, &f32)| (a - b).abs() <= 5e-4 * a.abs() + 1e-7;
        assert!(model.params.flat.iter().zip(&loaded.params.flat).all(apart), "{format}");
    }
    let (mut model, file) = model();
    model.params.flat[100] = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let error = save(folder.path(), Contents { model: &model, config: &file }, Format::OpenClip, Precision::F16)
        .unwrap_err()
        .to_string();
    assert!(error.contains("visual.positional_embedding holds 1000000 at element 36, too large for f16"), "{error}");
}

#[test]
fn names_may_be_wrapped() {
    let is_text = |name: &str| !name.starts_with("visual.") && name != "logit_scale";
    let schemes: [&dyn Fn(&str) -> String; 3] = [
        &|name| format!("module.{name}"),
        &|name| if is_text(name) { format!("text.{name}") } else { name.into() },
        &|name| format!("state_dict.module.{}{name}", if is_text(name) { "text." } else { "" }),
    ];
    for rename in schemes {
        let (folder, model) = saved(Format::OpenClip, Precision::F32);
        rewrite(&folder.path().join(WEIGHTS), |mut tensor| {
            tensor.name = rename(&tensor.name);
            // OpenCLIP may keep the temperature as a vector.
            if tensor.name.ends_with("logit_scale") {
                tensor.shape = vec![1];
            }
            Some(tensor)
        });
        assert!(load_model(folder.path()).unwrap().0.params.flat == model.params.flat);
    }
}

#[test]
fn resnets_come_back_with_their_statistics_and_counts() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clip_resnet");
    let (model, file) = load_model(&fixture).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), Contents { model: &model, config: &file }, Format::OpenClip, Precision::F32).unwrap();
    let (loaded, again) = load_model(folder.path()).unwrap();
    assert!(loaded.params.flat == model.params.flat);
    assert_eq!(again, file);
    let written = Reader::open(&folder.path().join(WEIGHTS)).unwrap();
    assert_eq!(written.dtype("visual.bn1.num_batches_tracked").unwrap().to_string(), "I64");
    let checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.dtypes(), ["F32"]);
    assert!(checkpoint.vision().unwrap().flat.len() > clipwright::params::count(&model.params.spec.visual));

    // Twice the size: the pool's table is interpolated.
    let twice = Overrides { image_size: Some(128), ..Overrides::default() };
    let (larger, _) = Checkpoint::open(folder.path(), &twice).unwrap().model().unwrap();
    let positions = |model: &clipwright::models::clip::model::Model| {
        let named = model.params.named(&TreePath::ROOT);
        named.into_iter().find(|(name, ..)| name == "visual.attnpool.positional_embedding").unwrap().1.shape
    };
    assert_eq!((positions(&model)[0], positions(&larger)[0]), (5, 17));

    let error = save(folder.path(), Contents { model: &model, config: &file }, Format::HuggingFace, Precision::F32)
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot be a ResNet"), "{error}");
}

#[test]
fn torch_saves_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torch");
    let checkpoint = open(&folder).unwrap();
    let (model, _) = checkpoint.model().unwrap();
    let mut named = model.params.named(&TreePath::ROOT);
    named.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(named.len(), 38);
    for (n, (name, _, values)) in named.into_iter().enumerate() {
        let expected: Vec<f32> = (0..values.len()).map(|i| (((i + n) % 17) as f32 - 8.0) / 16.0).collect();
        assert_eq!(values, expected, "{name}");
    }
    assert_eq!(checkpoint.dtypes(), ["F16"]);
}

#[test]
fn broken_torch_saves_are_named() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torch/open_clip_pytorch_model.bin");
    let whole = fs::read(fixture).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    for cut in [4, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = error_of(&path);
        assert!(error.contains("model.bin") && error.contains("not a"), "{error}");
    }
    // No damage leads to a panic.
    for place in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        fs::write(&path, damaged).unwrap();
        let _ = Checkpoint::open(&path, &Overrides { activation: Some(Activation::Gelu), ..Overrides::default() })
            .and_then(|checkpoint| checkpoint.model());
    }
}

#[test]
fn shards_are_one_model() {
    let (folder, model) = saved(Format::HuggingFace, Precision::F32);
    let (whole, index) = (folder.path().join(HF_WEIGHTS), folder.path().join("model.safetensors.index.json"));
    let all = tensors(&whole);
    let (first, second) = all.split_at(all.len() / 3);
    let mut map = serde_json::Map::new();
    for (file, part) in [("model-1.safetensors", first), ("model-2.safetensors", second)] {
        write(&folder.path().join(file), part, []).unwrap();
        map.extend(part.iter().map(|tensor| (tensor.name.clone(), json!(file))));
    }
    fs::remove_file(whole).unwrap();
    let written = |map: &serde_json::Map<String, Value>| {
        fs::write(&index, json!({ "metadata": { "total_size": 1 }, "weight_map": map }).to_string()).unwrap();
    };
    written(&map);
    for path in [folder.path(), &index] {
        assert!(load_model(path).unwrap().0.params.flat == model.params.flat);
    }

    let with = |name: &str, file: &str| {
        let mut map = map.clone();
        map.insert(name.into(), json!(file));
        written(&map);
        error_of(folder.path())
    };
    assert!(with("nowhere.weight", "model-1.safetensors").contains("tensor nowhere.weight is missing"));
    assert!(with("logit_scale", "../model-1.safetensors").contains("is not a file beside it"));
    assert!(with("logit_scale", "/etc/passwd").contains("is not a file beside it"));
    assert!(with("logit_scale", "model-3.safetensors").contains("model-3.safetensors"));
    write(&folder.path().join("model-3.safetensors"), &first[..1], []).unwrap();
    assert!(with(&first[0].name, "model-3.safetensors").contains("is in another file too"));
}

#[test]
fn a_bare_file_says_all_but_its_activation() {
    for (format, weights, config_file) in
        [(Format::OpenClip, WEIGHTS, CONFIG), (Format::HuggingFace, HF_WEIGHTS, HF_CONFIG)]
    {
        let (folder, model) = saved(format, Precision::F32);
        fs::remove_file(folder.path().join(config_file)).unwrap();
        let _ = fs::remove_file(folder.path().join("preprocessor_config.json"));
        let path = folder.path().join(weights);
        // Its heads are narrower than any published model's; nothing in the file shows that.
        let mut expected = model.config.clone();
        (expected.vision_cfg.head_width, expected.text_cfg.heads) = (64, 1);
        let error = error_of(&path);
        assert!(error.contains("which activation") && error.contains(weights), "{error}");
        for activation in [Activation::QuickGelu, Activation::Gelu] {
            let asked = Overrides { activation: Some(activation), ..Overrides::default() };
            let checkpoint = Checkpoint::open(&path, &asked).unwrap();
            assert_eq!(checkpoint.activation_source, ActivationSource::Asked);
            expected.quick_gelu = activation == Activation::QuickGelu;
            let (loaded, file) = checkpoint.model().unwrap();
            assert_eq!(loaded.config, expected);
            assert_eq!(file, ConfigFile::new(expected.clone()));
            assert!(loaded.params.flat == model.params.flat);
        }
        rewrite(&path, |tensor| (!tensor.name.contains("fc")).then_some(tensor));
        assert!(error_of(&path).contains("cannot be inferred: tensor visual.transformer.resblocks.0.mlp.c_fc.weight"));
        let foreign = Tensor::new("x", &[1], &[0.0], Dtype::F32);
        write(&path, &[foreign], []).unwrap();
        assert!(error_of(&path).contains("no tensors of a CLIP"), "{}", error_of(&path));
    }
}

/// Converted files of OpenAI are recognised by three integers that nobody else writes; all its models use QuickGELU.
#[test]
fn openais_own_files_need_no_activation() {
    let (folder, model) = saved(Format::OpenClip, Precision::F32);
    let bytes = fs::read(folder.path().join(WEIGHTS)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let integer = 24i64.to_le_bytes();
    let integers = ["input_resolution", "context_length", "vocab_size"].map(|name| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![], &integer).unwrap();
        (name.to_string(), view)
    });
    let path = folder.path().join("alone").join("openai.safetensors");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let all = file.tensors().into_iter().chain(integers);
    fs::write(&path, safetensors::serialize(all, None).unwrap()).unwrap();
    let checkpoint = open(&path).unwrap();
    assert_eq!(checkpoint.activation_source, ActivationSource::OpenAiFile);
    assert_eq!(checkpoint.architecture.activation, Activation::QuickGelu);
    assert!(checkpoint.model().unwrap().0.params.flat == model.params.flat);
}

#[test]
fn a_tower_alone_may_have_no_projection() {
    let cases = [("text_model.", "text_projection.weight"), ("vision_model.", "visual_projection.weight")];
    for (tower, projection) in cases {
        for projected in [true, false] {
            let (folder, model) = saved(Format::HuggingFace, Precision::F32);
            rewrite(&folder.path().join(HF_WEIGHTS), |tensor| {
                let stays = tensor.name.starts_with(tower) || (projected && tensor.name == projection);
                stays.then_some(tensor)
            });
            // The classes of a single tower write its section at the top level.
            edit(&folder.path().join(HF_CONFIG), |json| {
                *json = json[if tower == "text_model." { "text_config" } else { "vision_config" }].take();
            });
            let checkpoint = open(folder.path()).unwrap();
            let (values, whole) = if tower == "text_model." {
                assert!(checkpoint.vision().map(|_| ()).unwrap_err().to_string().contains("no image tower"));
                let vision = model.config.vision().spec();
                let start = clipwright::params::count(&vision);
                let flat = &model.params.flat[start..model.params.flat.len() - 1];
                (checkpoint.text().unwrap().named(&TreePath::ROOT).into_iter().map(owned).collect::<Vec<_>>(), flat)
            } else {
                assert!(checkpoint.text().map(|_| ()).unwrap_err().to_string().contains("no text tower"));
                let params = checkpoint.vision().unwrap();
                let len = params.flat.len();
                (params.named(&TreePath::at("visual")).into_iter().map(owned).collect(), &model.params.flat[..len])
            };
            let mut whole = whole;
            for (name, values) in values {
                let (expected, rest) = whole.split_at(values.len());
                whole = rest;
                if name.contains("proj") && !name.contains("resblocks") && !projected {
                    let identity: Vec<f32> = (0..64 * 64).map(|i| if i % 65 == 0 { 1.0 } else { 0.0 }).collect();
                    assert_eq!(values, identity);
                } else {
                    assert_eq!(values, expected, "{name}");
                }
            }
        }
    }
}

fn owned((name, _, values): (String, Spec, &[f32])) -> (String, Vec<f32>) {
    (name, values.to_vec())
}

#[test]
fn another_picture_size_interpolates_the_positions_alone() {
    let (folder, model) = saved(Format::OpenClip, Precision::F32);
    let sized = |size| Checkpoint::open(folder.path(), &Overrides { image_size: Some(size), ..Overrides::default() });
    for size in [8, 24, 40] {
        let (loaded, file) = sized(size).unwrap().model().unwrap();
        assert_eq!((loaded.config.vision_cfg.image_size, file.preprocess_cfg.size), (size, size));
        let before = model.params.named(&TreePath::ROOT);
        for ((name, spec, values), (_, _, old)) in loaded.params.named(&TreePath::ROOT).into_iter().zip(before) {
            if name == "visual.positional_embedding" {
                assert_eq!(spec.shape[0], 1 + (size / 8).pow(2));
                assert_eq!(values[..64], old[..64], "the class token's row");
                assert_eq!(values == old, size == 24);
            } else {
                assert_eq!(values, old, "{name}");
            }
        }
    }
    let error = sized(25).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("image_size 25 is not a multiple of vision_cfg.patch_size 8"), "{error}");
}
