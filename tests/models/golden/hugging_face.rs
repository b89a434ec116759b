//! Models of Hugging Face's CLIP against the reference: embeddings, logits, loss and hidden states of the text tower.

use super::{Io, OUTPUT, close, folders_of};
use clipwright::checkpoint::{Checkpoint, Overrides};
use clipwright::models::Captions;
use clipwright::models::clip::text::hidden_states;
use ndarray::{Array2, ArrayView2, Axis, s};
use safetensors::SafeTensors;
use std::path::Path;

#[test]
fn hugging_face_models_agree_with_the_reference() {
    folders_of("clip").iter().for_each(|folder| check(folder));
}

fn check(folder: &Path) {
    println!("{}", folder.display());
    let checkpoint = Checkpoint::open(folder, &Overrides::default()).unwrap();
    let (model, _) = checkpoint.model().unwrap();
    let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
    let io = Io(SafeTensors::deserialize(&bytes).unwrap());

    let (ids, offsets) = io.captions("input_ids");
    let captions = Captions { ids: &ids, offsets: &offsets };
    let mut buffers = Default::default();
    let images = model.encode_images(io.matrix("pixel_values").view(), &mut buffers);
    let texts = model.encode_texts(captions, &mut buffers);
    close("image_embeds", &images, &io.matrix("image_embeds"), OUTPUT);
    close("text_embeds", &texts, &io.matrix("text_embeds"), OUTPUT);
    let logits = images.dot(&texts.t()) * model.params.view().logit_scale[0].exp();
    close("logits_per_image", &logits, &io.matrix("logits_per_image"), OUTPUT);
    let loss = (cross_entropy(logits.view()) + cross_entropy(logits.t())) / 2.0;
    close("loss", &Array2::from_elem((1, 1), loss), &io.matrix("loss"), OUTPUT);

    let states = hidden_states(&model.params.view().text, &model.config.text(), captions);
    let [.., penultimate, _, last] = &states[..] else { panic!("{} states", states.len()) };
    check_states("text_last_hidden_state", last, &offsets, &io);
    check_states("text_penultimate_hidden_state", penultimate, &offsets, &io);
    // Each tower loaded alone gives the same embeddings as the whole model.
    assert!(checkpoint.vision().unwrap().flat[..] == model.params.flat[..checkpoint.vision().unwrap().flat.len()]);
}

/// The diagonal's, of each row's softmax.
fn cross_entropy(logits: ArrayView2<f32>) -> f32 {
    let row = |(i, row): (usize, ndarray::ArrayView1<f32>)| {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        sum.ln() - f64::from(row[i])
    };
    let rows = logits.axis_iter(Axis(0)).enumerate().map(row);
    (rows.sum::<f64>() / logits.nrows() as f64) as f32
}

/// Ours are packed, those of the reference padded; under a causal mask the rows up to the end of text are the same.
fn check_states(what: &str, ours: &Array2<f32>, offsets: &[usize], io: &Io) {
    let padded = io.matrix(what);
    for (caption, ends) in offsets.windows(2).enumerate() {
        let rows = ends[1] - ends[0];
        let theirs = padded.slice(s![caption, ..rows * ours.ncols()]).to_owned();
        let theirs = theirs.into_shape_with_order((rows, ours.ncols())).unwrap();
        close(what, &ours.slice(s![ends[0]..ends[1], ..]).to_owned(), &theirs, OUTPUT);
    }
}
