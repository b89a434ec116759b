//! CLIP against the reference implementation: outputs, loss, all gradients and one AdamW step, as computed by OpenCLIP
//! on PyTorch. Runs on every folder in `tests/golden` and, when `CLIP_GOLDEN_DIR` is set, on every folder in there.

use clip::checkpoint::config_file::ConfigFile;
use clip::checkpoint::{CheckpointError, load_params};
use clip::models::clip::{Clip, Model, spec};
use clip::models::text::{self, Captions};
use clip::models::{Keep, Workspace, vit};
use clip::optim::adamw::Hyper;
use clip::params::Params;
use clip::train::step::{Pairs, Trainer};
use clip::tree::{Arena, Path as TreePath, Tree};
use ndarray::{Array2, ArrayView2};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// Relative to the largest entry of a tensor. f32 sums of a few hundred products differ by their order alone by some
/// 1e-7 a layer.
const OUTPUT: f32 = 1e-5;
/// A gradient has passed through every layer twice.
const GRADIENT: f32 = 1e-4;
/// The first step is lr·g/(|g| + ε): where g is as small as ε = 1e-6, its last bits are as loud as large gradients.
const STEP: f32 = 1e-4;

#[test]
fn vit_models_agree_with_the_reference() {
    let folders: Vec<PathBuf> = golden_folders().into_iter().filter(|folder| is_vit(folder)).collect();
    assert!(!folders.is_empty(), "no golden folder of a ViT");
    folders.iter().for_each(|folder| check(folder));
}

fn golden_folders() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let more = std::env::var_os("CLIP_GOLDEN_DIR").map(PathBuf::from);
    let entries = [Some(own), more].into_iter().flatten().flat_map(|folder| {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    let mut folders: Vec<_> = entries.filter(|path| path.join("grads.safetensors").is_file()).collect();
    folders.sort();
    folders
}

/// A ResNet's `layers` is a list.
fn is_vit(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("open_clip_config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["vision_cfg"]["layers"].is_u64()
}

fn check(folder: &Path) {
    println!("{}", folder.display());
    let config = ConfigFile::read(&folder.join("open_clip_config.json")).unwrap().model_cfg;
    let load = |file: &str| load_params(&folder.join(file), spec(&config), &TreePath::ROOT, |_| true);
    let model = Model { config: config.clone(), params: load("model.safetensors").unwrap() };
    let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
    let io = Io(SafeTensors::deserialize(&bytes).unwrap());

    let images = io.matrix("images");
    let (ids, offsets) = io.captions();
    let captions = Captions { ids: &ids, offsets: &offsets };
    check_features(&model, images.view(), captions, &io);
    check_training(model, images.view(), captions, &io, load);
}

fn check_features(model: &Model, images: ArrayView2<f32>, captions: Captions, io: &Io) {
    let (mut workspace, mut scratch) = (Workspace::default(), Arena::default());
    let p = model.params.view();
    let mut features = Array2::zeros((images.nrows(), model.config.embed_dim));
    let shape = model.config.vision();
    vit::forward(&p.visual, &shape, images, Keep::Nothing, features.view_mut(), &mut workspace, &mut scratch);
    close("eval.image_features", &features, &io.matrix("eval.image_features"), OUTPUT);
    let shape = model.config.text();
    text::forward(&p.text, &shape, captions, Keep::Nothing, features.view_mut(), &mut workspace, &mut scratch);
    close("eval.text_features", &features, &io.matrix("eval.text_features"), OUTPUT);

    let mut buffers = Default::default();
    let images = model.encode_images(images, &mut buffers);
    let texts = model.encode_texts(captions, &mut buffers);
    close("train.image_features_normalized", &images, &io.matrix("train.image_features_normalized"), OUTPUT);
    close("train.text_features_normalized", &texts, &io.matrix("train.text_features_normalized"), OUTPUT);
    let logits = images.dot(&texts.t()) * p.logit_scale[0].exp();
    close("train.logits_per_image", &logits, &io.matrix("train.logits_per_image"), OUTPUT);
}

fn check_training(
    model: Model,
    images: ArrayView2<f32>,
    captions: Captions,
    io: &Io,
    load: impl Fn(&str) -> Result<Params<Clip<clip::params::Spec>>, CheckpointError>,
) {
    let before = model.params.flat.clone();
    let keys: Vec<u64> = (0..images.nrows() as u64).collect();
    let pairs = Pairs { images, captions, concepts: &keys, caption_keys: &keys };
    let (grads, after) = (load("grads.safetensors").unwrap(), load("after_adamw_step.safetensors").unwrap());

    // The whole batch at once, then in pieces of three and of one: all must give the gradients of the big batch.
    let mut trainer = Trainer::new(model, Hyper::VIT);
    for micro_batch in [images.nrows(), 3, 1] {
        let loss = trainer.gradients(&pairs, micro_batch);
        let expected = io.matrix("train.loss");
        close("train.loss", &Array2::from_elem((1, 1), loss.mean()), &expected, OUTPUT);
        compare(trainer.grads(), &grads, GRADIENT);
        trainer.update(5e-4);
        compare(trainer.model.params.view(), &after, STEP);
        trainer.model.params.flat.copy_from_slice(&before);
        trainer.adam = clip::optim::adamw::AdamW::new(before.len());
    }
}

fn compare(ours: Clip<&[f32]>, reference: &Params<Clip<clip::params::Spec>>, tolerance: f32) {
    let mut theirs = vec![];
    reference.view().map(&TreePath::ROOT, &mut |_, values| theirs.push(values.to_vec()));
    let mut theirs = theirs.into_iter();
    ours.map(&TreePath::ROOT, &mut |path, values| {
        let row = |values: &[f32]| Array2::from_shape_vec((1, values.len()), values.to_vec()).unwrap();
        close(&path.to_string(), &row(values), &row(&theirs.next().unwrap()), tolerance);
    });
}

/// Every entry within `tolerance` of the largest.
#[track_caller]
fn close(what: &str, ours: &Array2<f32>, reference: &Array2<f32>, tolerance: f32) {
    assert_eq!(ours.dim(), reference.dim(), "{what}");
    let largest = reference.iter().fold(0f32, |max, v| max.max(v.abs()));
    for ((index, a), b) in ours.indexed_iter().zip(reference) {
        assert!(
            (a - b).abs() <= tolerance * largest,
            "{what} {index:?}: {a} and {b} differ by {:e} of the largest, {largest}",
            (a - b).abs() / largest
        );
    }
}

/// The tensors of `io.safetensors`.
struct Io<'a>(SafeTensors<'a>);

impl Io<'_> {
    /// All dimensions but the first as one.
    fn matrix(&self, name: &str) -> Array2<f32> {
        let tensor = self.0.tensor(name).unwrap();
        let values: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let rows = tensor.shape()[0];
        Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
    }

    /// Each row of `tokens` up to its end-of-text token, the first of the largest ids.
    fn captions(&self) -> (Vec<u32>, Vec<usize>) {
        let tensor = self.0.tensor("tokens").unwrap();
        let tokens: Vec<i64> =
            tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        let (mut ids, mut offsets) = (vec![], vec![0]);
        for row in tokens.chunks_exact(tensor.shape()[1]) {
            let end = row.iter().position(|id| id == row.iter().max().unwrap()).unwrap();
            ids.extend(row[..=end].iter().map(|&id| id as u32));
            offsets.push(ids.len());
        }
        (ids, offsets)
    }
}
