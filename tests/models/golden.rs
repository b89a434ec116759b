//! CLIP against the reference implementations: outputs, loss, all gradients and one AdamW step, as computed by OpenCLIP
//! on PyTorch; outputs of Hugging Face's. Runs on every folder in `tests/golden` and, when `CLIP_GOLDEN_DIR` is set, on every folder in there.

mod hugging_face;
mod siglip;

use clipwright::checkpoint::safetensors::Reader;
use clipwright::checkpoint::{ConfigFile, load_params};
use clipwright::models::Captions;
use clipwright::models::clip::model::{ClipParams, Model, spec};
use clipwright::models::clip::text;
use clipwright::models::clip::{Config, Layers, visual};
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::optim::adamw::Hyper;
use clipwright::params::{Params, Role, Spec, count, for_each};
use clipwright::train::clip::{ClipObjective, Pairs};
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::{Arena, Path as TreePath};
use ndarray::{Array2, ArrayView2, Axis};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// Tolerance of outputs, relative to the largest entry of a tensor. By the order of their terms alone, f32 sums of a
/// few hundred products differ by some 1e-7 a layer.
pub(crate) const OUTPUT: f32 = 1e-5;
/// Tolerance of gradients, which have passed through every layer twice.
pub(crate) const GRADIENT: f32 = 1e-4;
/// Error that the step adds to that of its gradient.
const STEP: f32 = 1e-5;
/// The learning rate of the reference step.
const LR: f32 = 5e-4;

#[test]
fn models_agree_with_the_reference() {
    let configs = trained_folders().into_iter().map(|folder| check(&folder).vision_cfg.layers).collect::<Vec<_>>();
    assert!(configs.iter().any(|layers| matches!(layers, Layers::Vit(_))), "no golden folder of a ViT");
    assert!(configs.iter().any(|layers| matches!(layers, Layers::ResNet(_))), "no golden folder of a ResNet");
}

/// Returns the golden folders of a CLIP with its gradients.
fn trained_folders() -> Vec<PathBuf> {
    let has_gradients = |folder: &PathBuf| folder.join("grads.safetensors").is_file();
    folders_with("open_clip_config.json").into_iter().filter(has_gradients).collect()
}

/// Returns the golden folders that have this file.
pub(crate) fn folders_with(file: &str) -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let more = std::env::var_os("CLIP_GOLDEN_DIR").map(PathBuf::from);
    let entries = [Some(own), more].into_iter().flatten().flat_map(|folder| {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    let mut folders: Vec<_> = entries.filter(|path| path.join(file).is_file()).collect();
    folders.sort();
    folders
}

/// Returns the golden folders of a model of this kind, as Hugging Face's `config.json` names it.
fn folders_of(model_type: &str) -> Vec<PathBuf> {
    let is_of = |folder: &PathBuf| {
        let json = std::fs::read(folder.join("config.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["model_type"] == model_type
    };
    let folders: Vec<_> = folders_with("config.json").into_iter().filter(is_of).collect();
    assert!(!folders.is_empty(), "no golden folder of Hugging Face's {model_type}");
    folders
}

fn check(folder: &Path) -> Config {
    println!("{}", folder.display());
    let config = ConfigFile::read(&folder.join("open_clip_config.json")).unwrap().model_cfg;
    let load = |file: &str| load_params(&folder.join(file), spec(&config), &TreePath::ROOT).unwrap();
    let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
    let io = Io(SafeTensors::deserialize(&bytes).unwrap());

    let images = io.matrix("images");
    let (ids, offsets) = io.captions("tokens");
    let captions = Captions { ids: &ids, offsets: &offsets };
    let model = Model { config: config.clone(), params: load("model.safetensors") };
    check_evaluation(&model, images.view(), captions, &io);
    check_features(&model, images.view(), captions, &io);
    let grads = gradients(&folder.join("grads.safetensors"), spec(&config));
    let model = || Model { config: config.clone(), params: load("model.safetensors") };
    check_training(model, images.view(), captions, &io, &grads, &load("after_adamw_step.safetensors"));
    config
}

/// Returns the gradients of all parameters, without buffers, of which the reference has none.
fn gradients(path: &Path, spec: ClipParams<Spec>) -> Params<ClipParams<Spec>> {
    let (reader, mut grads) = (Reader::open(path).unwrap(), Params::zeros(spec));
    for_each(&grads.spec, &TreePath::ROOT, |path, spec, range| {
        if !spec.is_buffer() {
            reader.read(&path.to_string(), &spec.shape, &mut grads.flat[range]).unwrap();
        }
    });
    grads
}

/// Features before normalisation, with running statistics where there are any, equal the reference.
fn check_evaluation(model: &Model, images: ArrayView2<f32>, captions: Captions, io: &Io) {
    let features = |mode| features(model, images, captions, mode);
    let [image, text] = features(Mode::Inference);
    close("eval.image_features", &image, &io.matrix("eval.image_features"), OUTPUT);
    close("eval.text_features", &text, &io.matrix("eval.text_features"), OUTPUT);
    let unit = model.encode_images(images, &mut Default::default());
    close("encode_images", &unit, &normalized(&image), OUTPUT);
    let unit = model.encode_texts(captions, &mut Default::default());
    close("encode_texts", &unit, &normalized(&text), OUTPUT);
}

/// Features and logits with the statistics of the batch equal the reference.
fn check_features(model: &Model, images: ArrayView2<f32>, captions: Captions, io: &Io) {
    let kept = features(model, images, captions, Mode::Training(Keep::All));
    assert_eq!(kept, features(model, images, captions, Mode::Training(Keep::Nothing)), "bit for bit");
    let [images, texts] = kept.map(|features| normalized(&features));
    close("train.image_features_normalized", &images, &io.matrix("train.image_features_normalized"), OUTPUT);
    close("train.text_features_normalized", &texts, &io.matrix("train.text_features_normalized"), OUTPUT);
    let logits = images.dot(&texts.t()) * model.params.view().logit_scale[0].exp();
    close("train.logits_per_image", &logits, &io.matrix("train.logits_per_image"), OUTPUT);
}

/// Returns the features of both towers.
fn features(model: &Model, images: ArrayView2<f32>, captions: Captions, mode: Mode) -> [Array2<f32>; 2] {
    let (mut workspace, mut scratch) = (Workspace::default(), Arena::default());
    let p = model.params.view();
    let zeros = || Array2::zeros((images.nrows(), model.config.embed_dim));
    let (mut image, mut text) = (zeros(), zeros());
    let shape = model.config.vision();
    visual::forward(&p.visual, &shape, images, mode, image.view_mut(), &mut workspace, &mut scratch);
    let shape = model.config.text();
    text::forward(&p.text, &shape, captions, Keep::Nothing, text.view_mut(), &mut workspace, &mut scratch);
    [image, text]
}

fn normalized(features: &Array2<f32>) -> Array2<f32> {
    let norms = features.map_axis(Axis(1), |row| row.dot(&row).sqrt()).insert_axis(Axis(1));
    features / &norms
}

fn check_training(
    model: impl Fn() -> Model,
    images: ArrayView2<f32>,
    captions: Captions,
    io: &Io,
    grads: &Params<ClipParams<Spec>>,
    after: &Params<ClipParams<Spec>>,
) {
    let keys: Vec<u64> = (0..images.nrows() as u64).collect();
    let pairs = Pairs { images, captions, concepts: &keys, caption_keys: &keys, examples: &keys, teacher_images: None };

    // The batch is processed at once, then in pieces of three and of one. All must give the gradients of the whole
    // batch, unless the pieces have statistics of their own.
    let has_statistics = grads.flat.len() > count(&grads.spec);
    for micro_batch in if has_statistics { vec![images.nrows()] } else { vec![images.nrows(), 3, 1] } {
        let mut trainer = Trainer::new(ClipObjective::new(model()), TrainerOptions::new(Hyper::VIT));
        let loss = trainer.gradients(&pairs, micro_batch)[0].value as f32;
        // The loss is a difference of terms of order 1, so its error is that of the terms, however small the loss is.
        let expected = io.matrix("train.loss")[[0, 0]];
        let apart = (loss - expected).abs();
        assert!(apart <= OUTPUT * expected.max(1.0), "train.loss: {loss} and {expected}");
        compare(&trainer, grads);
        trainer.update(LR);
        compare_step(&trainer.objective().model().params, after, grads);
    }
}

fn compare(trainer: &Trainer<ClipObjective>, reference: &Params<ClipParams<Spec>>) {
    for_each(&reference.spec, &TreePath::ROOT, |path, spec, range| {
        if !spec.is_buffer() {
            let ours = row(&trainer.flat_grads()[range.clone()]);
            close(&path.to_string(), &ours, &row(&reference.flat[range]), GRADIENT);
        }
    });
}

/// The first step moves a parameter by lr·g/(|g| + ε), whose derivative is lr·ε/(|g| + ε)²: where the true gradient is
/// zero, or cancels to nearly zero, its last bits decide the whole step, and no two implementations agree. So a
/// parameter may differ by what the gradient's tolerance δ makes of it; for all gradients well above δ that is nothing.
///
/// Running statistics have no gradient and are as exact as outputs.
fn compare_step(ours: &Params<ClipParams<Spec>>, after: &Params<ClipParams<Spec>>, grads: &Params<ClipParams<Spec>>) {
    for_each(&ours.spec, &TreePath::ROOT, |path, spec, range| {
        let (values, theirs, g) = (&ours.flat[range.clone()], &after.flat[range.clone()], &grads.flat[range]);
        match spec.role {
            Role::Parameter => {}
            Role::Statistic => return close(&path.to_string(), &row(values), &row(theirs), OUTPUT),
            Role::Count => return assert_eq!(values, theirs, "{path}"),
        }
        close_step(&path.to_string(), values, theirs, g, (LR, Hyper::VIT.eps));
    });
}

/// Checks a leaf after its first step of length `lr`.
#[track_caller]
pub(crate) fn close_step(path: &str, values: &[f32], theirs: &[f32], g: &[f32], (lr, eps): (f32, f32)) {
    let rounding = STEP * largest(values);
    for (i, ((ours, theirs), amplified)) in values.iter().zip(theirs).zip(amplified(g, lr, eps)).enumerate() {
        let apart = (ours - theirs).abs();
        let allowed = rounding + amplified;
        assert!(apart <= allowed, "{path}[{i}] after the step: {ours} and {theirs}, {apart} apart, not {allowed}");
    }
}

/// Returns how far apart two steps may be by the tolerance of their gradients. At the maximum of 2·lr, the largest
/// difference of two steps of at most lr, an entry is not judged.
fn amplified(g: &[f32], lr: f32, eps: f32) -> impl Iterator<Item = f32> {
    let delta = GRADIENT * largest(g).max(1e-2);
    g.iter().map(move |g| {
        let surely = (g.abs() - delta).max(0.0) + eps;
        (lr * delta * eps / (surely * surely)).min(2.0 * lr)
    })
}

/// Two to three steps of 1000 are not judged, apart from those of tokens that no caption has and whose gradient is zero:
/// most are of the keys' biases, which change no softmax, and of matrices with tiny entries.
#[test]
fn nearly_every_step_is_judged() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in trained_folders().into_iter().filter(|folder| folder.starts_with(own)) {
        let config = ConfigFile::read(&folder.join("open_clip_config.json")).unwrap().model_cfg;
        let grads = gradients(&folder.join("grads.safetensors"), spec(&config));
        let (mut all, mut free) = (0, 0);
        for_each(&grads.spec, &TreePath::ROOT, |_, spec, range| {
            if !spec.is_buffer() {
                let g = &grads.flat[range];
                all += g.len();
                free += g
                    .iter()
                    .zip(amplified(g, LR, Hyper::VIT.eps))
                    .filter(|&(&g, step)| g != 0.0 && step == 2.0 * LR)
                    .count();
            }
        });
        println!("{}: {free} of {all} steps are not judged", folder.display());
        assert!(free * 200 < all, "{}: {free} of {all} steps are not judged", folder.display());
    }
}

pub(crate) fn row(values: &[f32]) -> Array2<f32> {
    Array2::from_shape_vec((1, values.len()), values.to_vec()).unwrap()
}

pub(crate) fn largest<'a>(values: impl IntoIterator<Item = &'a f32>) -> f32 {
    values.into_iter().fold(0f32, |max, v| max.max(v.abs()))
}

/// Every entry within `tolerance` of the largest. A batch of one pair has nothing to learn: its loss and gradients are
/// zero, made of terms that are not, and only as exact as those.
#[track_caller]
pub(crate) fn close(what: &str, ours: &Array2<f32>, reference: &Array2<f32>, tolerance: f32) {
    assert_eq!(ours.dim(), reference.dim(), "{what}");
    let largest = largest(reference).max(1e-2);
    for ((index, a), b) in ours.indexed_iter().zip(reference) {
        assert!(
            (a - b).abs() <= tolerance * largest,
            "{what} {index:?}: {a} and {b} differ by {:e} of the largest, {largest}",
            (a - b).abs() / largest
        );
    }
}

/// The inputs and outputs of the reference, from `io.safetensors`.
pub(crate) struct Io<'a>(pub SafeTensors<'a>);

impl Io<'_> {
    /// Returns a tensor as a matrix, with all dimensions but the first as one.
    pub(crate) fn matrix(&self, name: &str) -> Array2<f32> {
        let tensor = self.0.tensor(name).unwrap();
        let values: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let rows = tensor.shape()[0];
        Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
    }

    /// Returns each row of tokens up to its end-of-text token, which is the first of the largest ids.
    fn captions(&self, name: &str) -> (Vec<u32>, Vec<usize>) {
        let tensor = self.0.tensor(name).unwrap();
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
