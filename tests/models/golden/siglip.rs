//! Hugging Face's SigLIP against the reference: hidden states, features, logits, loss and all gradients.

use super::{GRADIENT, Io, OUTPUT, close, folders_of, largest, row};
use clipwright::checkpoint::{Checkpoint, Overrides};
use clipwright::models::clip::{Model, text, visual};
use clipwright::models::{Captions, Keep, Mode, Workspace};
use clipwright::optim::adamw::Hyper;
use clipwright::params::for_each;
use clipwright::train::clip::{ClipObjective, Pairs};
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::{Arena, Path as TreePath};
use ndarray::{Array2, ArrayView2};
use safetensors::SafeTensors;
use std::path::Path;

#[test]
fn siglip_models_agree_with_the_reference() {
    folders_of("siglip").iter().for_each(|folder| check(folder));
}

fn check(folder: &Path) {
    println!("{}", folder.display());
    let checkpoint = Checkpoint::open(folder, &Overrides::default()).unwrap();
    let (model, _) = checkpoint.model().unwrap();
    let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
    let io = Io(SafeTensors::deserialize(&bytes).unwrap());
    let (images, (ids, offsets)) = (io.matrix("pixel_values"), padded(&io, "input_ids"));
    let captions = Captions { ids: &ids, offsets: &offsets };

    for keep in [Keep::Nothing, Keep::All] {
        let [image, text] = features(&model, images.view(), captions, keep);
        close("image_features", &image, &io.matrix("image_features"), OUTPUT);
        close("text_features", &text, &io.matrix("text_features"), OUTPUT);
    }
    let mut buffers = Default::default();
    let (images_, texts) =
        (model.encode_images(images.view(), &mut buffers), model.encode_texts(captions, &mut buffers));
    close("image_embeds", &images_, &io.matrix("image_embeds"), OUTPUT);
    close("text_embeds", &texts, &io.matrix("text_embeds"), OUTPUT);
    let wrong = io.matrix("wrong.masked_text_embeds");
    assert!(largest(&(&texts - &wrong)) > 0.01, "padding is a part of the input");
    let p = model.params.view();
    let logits = images_.dot(&texts.t()) * p.logit_scale[0].exp() + p.logit_bias.unwrap()[0];
    close("logits_per_image", &logits, &io.matrix("logits_per_image"), OUTPUT);
    let states = text::hidden_states(&p.text, &model.config.text(), captions);
    let last = states.last().unwrap().to_owned().into_shape_with_order(io.matrix("text_last_hidden_state").dim());
    close("text_last_hidden_state", &last.unwrap(), &io.matrix("text_last_hidden_state"), OUTPUT);
    check_gradients(folder, model, images.view(), captions, &io);
}

/// The batch is processed at once, then in pieces of three and of one.
fn check_gradients(folder: &Path, model: Model, images: ArrayView2<f32>, captions: Captions, io: &Io) {
    let keys: Vec<u64> = (0..images.nrows() as u64).collect();
    let pairs = Pairs { images, captions, concepts: &keys, caption_keys: &keys, examples: &keys, teacher_images: None };
    let expected = gradients(folder);
    for micro_batch in [images.nrows(), 3, 1] {
        let model = Model { config: model.config.clone(), params: model.params.clone() };
        let mut trainer = Trainer::new(ClipObjective::new(model), TrainerOptions::new(Hyper::VIT));
        let loss = trainer.gradients(&pairs, micro_batch)[0].value as f32;
        let wanted = io.matrix("loss")[[0, 0]];
        assert!((loss - wanted).abs() <= OUTPUT * wanted.max(1.0), "loss: {loss} and {wanted}");
        for_each(&expected.params.spec, &TreePath::ROOT, |path, _, range| {
            let ours = row(&trainer.flat_grads()[range.clone()]);
            close(&path.to_string(), &ours, &row(&expected.params.flat[range]), GRADIENT);
        });
    }
}

/// Reads the gradients, which have the names of the parameters, as if they were a model.
fn gradients(folder: &Path) -> Model {
    let named = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("config.json"), named.path().join("config.json")).unwrap();
    std::fs::copy(folder.join("grads.safetensors"), named.path().join("model.safetensors")).unwrap();
    Checkpoint::open(named.path(), &Overrides::default()).unwrap().model().unwrap().0
}

/// Returns the features of both towers.
fn features(model: &Model, images: ArrayView2<f32>, captions: Captions, keep: Keep) -> [Array2<f32>; 2] {
    let (mut workspace, mut scratch) = (Workspace::default(), Arena::default());
    let p = model.params.view();
    let zeros = || Array2::zeros((images.nrows(), model.config.embed_dim));
    let (mut image, mut text) = (zeros(), zeros());
    let (shape, mode) = (model.config.vision(), Mode::Training(keep));
    visual::forward(&p.visual, &shape, images, mode, image.view_mut(), &mut workspace, &mut scratch);
    let shape = model.config.text();
    text::forward(&p.text, &shape, captions, keep, text.view_mut(), &mut workspace, &mut scratch);
    [image, text]
}

/// Returns whole rows of tokens: padding is a part of the input.
fn padded(io: &Io, name: &str) -> (Vec<u32>, Vec<usize>) {
    let tensor = io.0.tensor(name).unwrap();
    let ids = tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();
    let [rows, tokens] = *tensor.shape() else { panic!("rows of tokens") };
    (ids, (0..=rows).map(|i| i * tokens).collect())
}
