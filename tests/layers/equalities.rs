//! The exact savings: each is equal to the plain computation that it replaces.

use super::shapes::{OFFSETS, Towers, block_spec, packed, ranges, sizes};
use crate::support::compare::{assert_close, assert_leaves_close};
use crate::support::{
    random,
    trees::{poisoned, poisoned_arena},
};
use clipwright::layers::block::{self, Block, Size};
use clipwright::layers::sequences::Sequences;
use clipwright::layers::{pooled_block, projection};
use clipwright::models::Captions;
use clipwright::models::clip::Config;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::models::clip::text;
use clipwright::models::clip::visual;
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::params::{self, Params, Spec};
use ndarray::{Array2, ArrayView2, s};
use std::ops::Range;

/// Runs forward and backward through a block and returns y and dx. Parameter gradients are added to `g`.
fn block(
    p: &Params<Block<Spec>>,
    size: &Size,
    ranges: &[Range<usize>],
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    g: &mut [f32],
) -> (Array2<f32>, Array2<f32>) {
    let rows = x.nrows();
    let saved = &mut poisoned(&block::Saved::dims(size, rows, Keep::All));
    let scratch = &mut poisoned(&block::Scratch::dims(size, rows));
    let (mut y, mut dx) = (Array2::zeros(x.dim()), dy.to_owned());
    block::forward(&p.view(), size, ranges, None, x, y.view_mut(), saved, scratch);
    block::backward(&p.view(), size, ranges, None, x, dx.view_mut(), saved, scratch, &mut params::view_mut(&p.spec, g));
    (y, dx)
}

/// Runs forward and backward through a pooled block and returns y and dx. Parameter gradients are added to `g`.
fn pooled(
    p: &Params<Block<Spec>>,
    size: &Size,
    sequences: &Sequences,
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    g: &mut [f32],
) -> (Array2<f32>, Array2<f32>) {
    let rows = x.nrows();
    let saved = &mut poisoned(&pooled_block::Saved::dims(size, rows, sequences.len(), Keep::All));
    let scratch = &mut poisoned(&pooled_block::Scratch::dims(size, rows, sequences.len()));
    let (mut y, mut dy, mut dx) = (Array2::zeros(dy.dim()), dy.to_owned(), Array2::zeros(x.dim()));
    let (p, mut g) = (p.view(), params::view_mut(&p.spec, g));
    pooled_block::forward(&p, size, sequences, None, x, y.view_mut(), saved, scratch);
    pooled_block::backward(&p, size, sequences, None, x, dy.view_mut(), dx.view_mut(), saved, scratch, &mut g);
    (y, dx)
}

#[test]
fn a_packed_batch_is_each_sequence_by_itself() {
    for (size, offsets) in sizes().flat_map(|size| OFFSETS.map(|offsets| (size, offsets))) {
        let p = random::params(block_spec(&size), 1);
        let dim = (offsets[offsets.len() - 1], size.width);
        let (x, dy) = (random::matrix(dim, 2), random::matrix(dim, 3));
        let (mut g, mut g_alone) = (vec![0.0; p.flat.len()], vec![0.0; p.flat.len()]);
        let (y, dx) = block(&p, &size, &ranges(offsets), x.view(), dy.view(), &mut g);
        for pair in offsets.windows(2) {
            let rows = s![pair[0]..pair[1], ..];
            let (x, dy) = (x.slice(rows), dy.slice(rows));
            let (y_alone, dx_alone) = block(&p, &size, &ranges(&[0, x.nrows()]), x, dy, &mut g_alone);
            assert_close("y", y.slice(rows), y_alone.view());
            assert_close("dx", dx.slice(rows), dx_alone.view());
        }
        assert_leaves_close(&p.spec, &g, &g_alone);
    }
}

#[test]
fn a_pooled_block_is_the_pooled_rows_of_a_block() {
    for (size, offsets) in sizes().flat_map(|size| OFFSETS.map(|offsets| (size, offsets))) {
        let p = random::params(block_spec(&size), 1);
        let sequences = packed(offsets, size.causal);
        let x = random::matrix((sequences.rows(), size.width), 2);
        let dy = random::matrix((sequences.len(), size.width), 3);
        let (mut g, mut g_whole) = (vec![0.0; p.flat.len()], vec![0.0; p.flat.len()]);
        let (y, dx) = pooled(&p, &size, &sequences, x.view(), dy.view(), &mut g);

        let pooled = |s: usize| sequences.pooled()[s] as usize;
        let mut dy_whole = Array2::zeros(x.dim());
        (0..sequences.len()).for_each(|s| dy_whole.row_mut(pooled(s)).assign(&dy.row(s)));
        let (y_whole, dx_whole) = block(&p, &size, sequences.ranges(), x.view(), dy_whole.view(), &mut g_whole);
        let y_whole = Array2::from_shape_fn(y.dim(), |(s, i)| y_whole[[pooled(s), i]]);
        assert_close("y", y.view(), y_whole.view());
        assert_close("dx", dx.view(), dx_whole.view());
        assert_leaves_close(&p.spec, &g, &g_whole);
    }
}

/// Returns the features of both towers.
fn features(towers: &Towers, keep: Keep) -> [Array2<f32>; 2] {
    let (image, text) = (towers.config.vision(), towers.config.text());
    let (p_image, p_text) = (random::params(image.spec(), 1), random::params(text.spec(), 2));
    let (mut workspace, mut scratch) = (Workspace::default(), poisoned_arena());
    let nans = || Array2::from_elem((towers.images.nrows(), towers.config.embed_dim), f32::NAN);
    let (mut images, mut texts) = (nans(), nans());
    let (p, pixels, y) = (p_image.view(), towers.images.view(), images.view_mut());
    visual::forward(&p, &image, pixels, Mode::Training(keep), y, &mut workspace, &mut scratch);
    let (p, captions, y) = (p_text.view(), towers.captions(), texts.view_mut());
    text::forward(&p, &text, captions, keep, y, &mut workspace, &mut scratch);
    [images, texts]
}

#[test]
fn keeping_nothing_changes_no_bit() {
    for layers in 1..=4 {
        let towers = Towers::new(layers, true);
        assert_eq!(features(&towers, Keep::All), features(&towers, Keep::Nothing), "{layers} layers");
    }
}

/// The reference pads every caption to the whole context, computes all rows, and reads the end-of-text row.
#[test]
fn a_packed_caption_is_the_padded_one() {
    for layers in 1..=3 {
        let towers = Towers::new(layers, false);
        let (shape, captions) = (towers.config.text(), towers.captions());
        let context = shape.context_length;
        let lengths: Vec<usize> = captions.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let padded: Vec<u32> = captions
            .offsets
            .windows(2)
            .flat_map(|pair| {
                // The kind of padding cannot matter, so it is a word here.
                captions.ids[pair[0]..pair[1]].iter().copied().chain(std::iter::repeat(7)).take(context)
            })
            .collect();
        let offsets: Vec<usize> = (0..=captions.len()).map(|i| i * context).collect();
        let ends: Vec<usize> = lengths.iter().enumerate().map(|(i, len)| i * context + len - 1).collect();
        let [_, packed] = features(&towers, Keep::Nothing);
        let padded = Captions { ids: &padded, offsets: &offsets };
        assert_close("features", packed.view(), projected(&towers, padded, &ends).view());
    }
}

#[test]
fn the_last_hidden_state_pooled_and_projected_is_the_feature() {
    for layers in 1..=3 {
        let towers = Towers::new(layers, false);
        let captions = towers.captions();
        let ends: Vec<usize> = captions.offsets[1..].iter().map(|end| end - 1).collect();
        let [_, features] = features(&towers, Keep::Nothing);
        assert_close("features", features.view(), projected(&towers, captions, &ends).view());
    }
}

#[test]
fn weights_give_the_embeddings_of_their_parameters() {
    for preset in ["Emoji-ViT-S", "Emoji-RN-S"] {
        let config = Config::preset(preset).unwrap();
        let images = random::matrix((3, config.vision().image_len()), 1);
        let captions = Captions { ids: &[1, 7, 2, 3, 9, 9, 4, 1], offsets: &[0, 2, 7, 8] };
        let model = Model::new(config, 0);
        let (image, text) = (model.config.vision(), model.config.text());
        let (weights, p) = (model.params.clone().into_weights(), model.params.view());
        let (w, buffers) = (weights.view(), &mut Inference::default());
        let [plain, laid_out] = [
            buffers.encode_images(&p.visual, &image, images.view()),
            buffers.encode_images(&w.visual, &image, images.view()),
        ];
        assert_close(preset, laid_out.view(), plain.view());
        let [plain, laid_out] =
            [buffers.encode_texts(&p.text, &text, captions), buffers.encode_texts(&w.text, &text, captions)];
        assert_close(preset, laid_out.view(), plain.view());
    }
}

/// Returns these rows of the text tower's last hidden state, projected.
fn projected(towers: &Towers, captions: Captions, rows: &[usize]) -> Array2<f32> {
    let shape = towers.config.text();
    let p = random::params(shape.spec(), 2);
    let states = text::hidden_states(&p.view(), &shape, captions);
    assert_eq!(states.len(), shape.size.layers + 2, "embedded, one a block, normed");
    let last = states[states.len() - 1].select(ndarray::Axis(0), rows);
    let mut features = Array2::zeros((rows.len(), shape.embed_dim));
    projection::forward(&p.view().text_projection, None, last.view(), features.view_mut());
    features
}
