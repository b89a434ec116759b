//! Tests of checkpoints: round trips bit for bit, and errors that name every way in which a file can be broken.

use crate::support::tiny::{Batch, config, resnet};
use clipwright::checkpoint::safetensors::{Reader, Tensor as Named, write};
use clipwright::checkpoint::{
    CONFIG, Checkpoint, ConfigFile, Dtype as Stored, Overrides, WEIGHTS, load_model, save_model,
};
use clipwright::models::clip::model::Model;
use clipwright::params::count;
use clipwright::tree::Path as TreePath;
use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::fs;
use std::path::Path;

fn saved() -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::new(config(12), 3);
    save_model(folder.path(), &model, &ConfigFile::new(model.config.clone())).unwrap();
    (folder, model)
}

fn error_of(folder: &Path) -> String {
    load_model(folder).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_model_comes_back_bit_for_bit() {
    let (folder, model) = saved();
    for path in [folder.path().to_path_buf(), folder.path().join(WEIGHTS)] {
        let (loaded, file) = load_model(&path).unwrap();
        assert!(loaded.params.flat == model.params.flat);
        assert_eq!(loaded.config, model.config);
        assert_eq!(file.preprocess_cfg.size, model.config.vision_cfg.image_size);
    }
}

/// Running statistics are saved with the parameters, counts as the integers that PyTorch has.
#[test]
fn a_resnet_comes_back_with_its_buffers() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::new(resnet(8), 3);
    let first_buffer = count(&model.params.spec);
    model.params.flat[first_buffer..].iter_mut().zip(1u16..).for_each(|(buffer, i)| *buffer = f32::from(i));
    save_model(folder.path(), &model, &ConfigFile::new(model.config.clone())).unwrap();
    let (loaded, _) = load_model(folder.path()).unwrap();
    assert!(loaded.params.flat == model.params.flat && loaded.config == model.config);

    let weights = folder.path().join(WEIGHTS);
    let bytes = fs::read(&weights).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let dtype = |name: &str| tensors.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).dtype();
    assert_eq!(dtype("visual.layer2.1.bn3.num_batches_tracked"), Dtype::I64);
    assert_eq!(dtype("visual.layer2.0.downsample.1.running_var"), Dtype::F32);
    assert_eq!(dtype("visual.bn2.running_mean"), Dtype::F32);
    assert_eq!(dtype("visual.attnpool.c_proj.bias"), Dtype::F32);

    let checkpoint = Checkpoint::open(folder.path(), &Overrides::default()).unwrap();
    let vision = checkpoint.vision().unwrap();
    let buffers = count(&vision.spec);
    assert!(vision.flat[..buffers] == model.params.flat[..buffers]);
    assert!(vision.flat[buffers..] == model.params.flat[first_buffer..]);
    assert!(checkpoint.text().is_ok());
}

#[test]
fn either_tower_comes_alone() {
    let (folder, model) = saved();
    let checkpoint = Checkpoint::open(folder.path(), &Overrides::default()).unwrap();
    let (vision, text) = (checkpoint.vision().unwrap(), checkpoint.text().unwrap());
    assert!(*vision.flat == model.params.flat[..vision.flat.len()]);
    assert!(*text.flat == model.params.flat[vision.flat.len()..model.params.flat.len() - 1]);
    let batch = Batch::of(&model.config, 3, 0);
    let states =
        clipwright::models::clip::text::hidden_states(&text.view(), &model.config.text(), batch.pairs().captions);
    assert_eq!(states.len(), model.config.text_cfg.layers + 2);
}

#[test]
fn names_are_those_of_openai() {
    let (folder, _) = saved();
    let reader = Reader::open(&folder.path().join(WEIGHTS)).unwrap();
    let names = reader.names();
    for name in [
        "visual.class_embedding",
        "visual.conv1.weight",
        "visual.transformer.resblocks.2.attn.in_proj_weight",
        "visual.ln_pre.weight",
        "visual.proj",
        "transformer.resblocks.1.mlp.c_fc.bias",
        "token_embedding.weight",
        "positional_embedding",
        "text_projection",
        "ln_final.bias",
        "logit_scale",
    ] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
    assert_eq!(reader.shape("logit_scale"), Some(&[][..]));
    assert_eq!(reader.metadata("format"), Some("pt"));
}

/// A changed tensor: its type, its shape (empty to keep the old one) and its bytes.
type Tensor = (Dtype, Vec<usize>, Vec<u8>);

/// A change of a file: it returns the new tensor for a name and values, or `None` to leave the tensor out.
type Change<'a> = &'a dyn Fn(&str, Vec<f32>) -> Option<Tensor>;

/// Reads a file with the `safetensors` crate, changes its tensors and writes it again.
fn rewrite(folder: &Path, change: Change) {
    let bytes = fs::read(folder.join(WEIGHTS)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let changed: Vec<_> = tensors
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| {
            let values: Vec<f32> = view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            let shape = view.shape().to_vec();
            change(&name, values)
                .map(|(dtype, new, bytes)| (name, dtype, if new.is_empty() { shape } else { new }, bytes))
        })
        .collect();
    let views = changed
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(folder.join(WEIGHTS), serialize(views, None).unwrap()).unwrap();
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn half_precision_is_read() {
    type Convert = fn(f32) -> [u8; 2];
    let to_f16: Convert = |v| f16::from_f32(v).to_le_bytes();
    let to_bf16: Convert = |v| bf16::from_f32(v).to_le_bytes();
    for (dtype, convert, precision) in [(Dtype::F16, to_f16, 1e-3), (Dtype::BF16, to_bf16, 8e-3)] {
        let (folder, model) = saved();
        rewrite(folder.path(), &|_, values| Some((dtype, vec![], values.into_iter().flat_map(convert).collect())));
        let (loaded, _) = load_model(folder.path()).unwrap();
        // Below its smallest normal number f16 has absolute, not relative, precision.
        let apart = |(a, b): (&f32, &f32)| (a - b).abs() <= precision * a.abs() + 1e-6;
        assert!(model.params.flat.iter().zip(&loaded.params.flat).all(apart), "{dtype:?}");
    }
}

#[test]
fn wrong_tensors_are_named() {
    let cases: [(&str, Change); 4] = [
        ("tensor ln_final.bias is missing", &|name, v| {
            (name != "ln_final.bias").then(|| (Dtype::F32, vec![], f32_bytes(&v)))
        }),
        ("tensor visual.proj has shape [144], this model needs [12, 12]", &|name, v| {
            Some((Dtype::F32, if name == "visual.proj" { vec![144] } else { vec![] }, f32_bytes(&v)))
        }),
        ("tensor logit_scale is F64", &|name, v| {
            let wide = || (Dtype::F64, vec![], v.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect());
            Some(if name == "logit_scale" { wide() } else { (Dtype::F32, vec![], f32_bytes(&v)) })
        }),
        ("tensor visual.ln_pre.bias holds NaN at element 5", &|name, mut v| {
            if name == "visual.ln_pre.bias" {
                v[5] = f32::NAN;
            }
            Some((Dtype::F32, vec![], f32_bytes(&v)))
        }),
    ];
    for (expected, change) in cases {
        let (folder, _) = saved();
        rewrite(folder.path(), change);
        let error = error_of(folder.path());
        assert!(error.contains(expected) && error.contains(WEIGHTS), "{error}");
    }
}

#[test]
fn tensors_without_a_place_are_named() {
    let (folder, model) = saved();
    let ours = model.params.named(&TreePath::ROOT).into_iter();
    let mut tensors: Vec<_> =
        ours.map(|(name, spec, values)| Named::new(&name, &spec.shape, values, Stored::F32)).collect();
    tensors.push(Named::new("logit_offset", &[], &[0.0], Stored::F32));
    write(&folder.path().join(WEIGHTS), &tensors, []).unwrap();
    assert!(error_of(folder.path()).contains("no place for logit_offset"));
}

#[test]
fn broken_files_are_refused() {
    let (folder, _) = saved();
    let (weights, config) = (folder.path().join(WEIGHTS), folder.path().join(CONFIG));
    let whole = fs::read(&weights).unwrap();
    for (broken, expected) in [
        (&b""[..], "0 bytes"),
        (&whole[..5], "5 bytes"),
        (&whole[..whole.len() - 4], "its header promises"),
        (&[255; 16], "claims a header"),
        (b"\x02\0\0\0\0\0\0\0{]", "not a safetensors file"),
    ] {
        fs::write(&weights, broken).unwrap();
        assert!(error_of(folder.path()).contains(expected), "{}", error_of(folder.path()));
    }
    fs::write(&weights, &whole).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    for (from, to, expected) in [
        ("\"patch_size\": 8", "\"patch_size\": 7", "not a multiple"),
        ("\"patch_size\": 8", "\"patch_size\": 8, \"timm_model_name\": \"x\"", "timm_model_name"),
        ("\"layers\": 3", "\"layers\": -3", "expected a number (ViT) or a list of four (ResNet)"),
        ("{", "[", CONFIG),
    ] {
        fs::write(&config, text.replacen(from, to, 1)).unwrap();
        assert!(error_of(folder.path()).contains(expected), "{}", error_of(folder.path()));
    }
    fs::remove_file(&config).unwrap();
    assert!(error_of(folder.path()).contains(CONFIG));
}

/// Loads a file of this header with so many zeros behind it; returns the error.
fn with_header(header: &str, data: usize) -> String {
    let (folder, _) = saved();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    fs::write(folder.path().join(WEIGHTS), bytes).unwrap();
    error_of(folder.path())
}

#[test]
fn hostile_headers_are_refused() {
    let tensor = |name: &str, shape: &str, from: &str, to: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let file = |tensors: &[String]| format!("{{{}}}", tensors.join(","));
    let cases = [
        // Offsets overlap, leave a gap, run backwards, are negative, do not fit the shape, or overflow.
        (file(&[tensor("a", "[2]", "0", "8"), tensor("b", "[2]", "4", "12")]), 12, "invalid offset"),
        (file(&[tensor("a", "[1]", "0", "4"), tensor("b", "[1]", "8", "12")]), 12, "invalid offset"),
        (file(&[tensor("a", "[1]", "8", "4")]), 4, "offset"),
        (file(&[tensor("a", "[1]", "-4", "0")]), 4, "invalid value"),
        (file(&[tensor("a", "[3]", "0", "4")]), 4, "not a safetensors file"),
        (file(&[tensor("a", "[4294967296,4294967296]", "0", "4")]), 4, "not a safetensors file"),
        (file(&[tensor("a", "[1]", "0", "4"), tensor("a", "[1]", "0", "4")]), 4, "tensor a is there twice"),
        (file(&[tensor("a", "[18446744073709551615]", "0", "18446744073709551612")]), 4, "not a safetensors file"),
        ("[]".into(), 0, "a header of named tensors"),
        (r#"{"__metadata__":{"format":1}}"#.into(), 0, "not a safetensors file"),
    ];
    for (header, data, expected) in cases {
        let error = with_header(&header, data);
        assert!(error.contains(expected) && error.contains(WEIGHTS), "{header}: {error}");
    }
}

proptest! {
    /// Any bytes give an error, never a panic or a large allocation.
    #[test]
    fn any_bytes_are_survived(header in ".{0,200}", rest in proptest::collection::vec(any::<u8>(), 0..64)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes().chain(rest));
        fs::write(&path, bytes).unwrap();
        let _ = Reader::open(&path);
    }

    /// A valid file with a few changed bytes gives a result or an error, never a panic.
    #[test]
    fn damage_is_survived(places in proptest::collection::vec((0usize..2000, any::<u8>()), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let values = [1.0, 2.0, 3.0, 4.0];
        let tensor = |name, shape: &[usize]| Named::new(name, shape, &values, Stored::F32);
        write(&path, &[tensor("a", &[2, 2]), tensor("b", &[4])], []).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let len = bytes.len();
        places.iter().for_each(|&(place, byte)| bytes[place % len] = byte);
        fs::write(&path, bytes).unwrap();
        if let Ok(reader) = Reader::open(&path) {
            let _ = reader.read("a", &[2, 2], &mut [0.0; 4]);
        }
    }
}
