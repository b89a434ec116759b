//! A training step: two pictures and two captions, from pixels to moved weights.

use clipwright::layers::normalize;
use clipwright::loss::info_nce::{self, Saved, Scratch};
use clipwright::loss::positives::Positives;
use clipwright::models::clip::model::Model;
use clipwright::models::clip::{Config, text, visual};
use clipwright::models::{Captions, Keep, Mode, Workspace};
use clipwright::optim::adamw::{AdamW, Decay, Hyper};
use clipwright::params::view_mut;
use clipwright::pictures::picture::{Channels, Picture};
use clipwright::pictures::preprocess::{self, Preprocess};
use clipwright::text::Tokenizer;
use clipwright::tree::Arena;
use ndarray::Array2;

fn main() {
    // A red disc and a blue square, on white, and what they are called.
    let painted = |colour: [u8; 3], inside: fn(i32, i32) -> bool| {
        let mut picture = Picture::new(96, 96, Channels::Rgb);
        for (i, pixel) in picture.samples.chunks_mut(3).enumerate() {
            let (row, col) = (i as i32 / 96 - 48, i as i32 % 96 - 48);
            pixel.copy_from_slice(&if inside(row, col) { colour } else { [255; 3] });
        }
        picture
    };
    let disc = painted([220, 30, 30], |row, col| row * row + col * col < 30 * 30);
    let square = painted([30, 60, 220], |row, col| row.abs() < 28 && col.abs() < 28);
    let (pictures, captions) = ([disc, square], ["a red disc", "a blue square"]);

    // A model with weights at random: a ViT for pictures of 64 pixels, and a text Transformer.
    let config = Config::preset("Emoji-ViT-S").unwrap();
    let (vision, language, e) = (config.vision(), config.text(), config.embed_dim);
    let Model { mut params, .. } = Model::new(config, 0);
    println!("{} parameters", params.flat.len());

    // Pixels become numbers around 0, one row a picture; captions become token ids, end to end (chapters 7 and 8).
    let prepare = Preprocess { size: 64, ..Preprocess::default() };
    let mut images = Array2::zeros((2, vision.image_len()));
    for (picture, mut row) in pictures.iter().zip(images.rows_mut()) {
        prepare.apply(picture, &mut preprocess::Scratch::default(), row.as_slice_mut().unwrap());
    }
    let (tokenizer, mut ids, mut offsets) = (Tokenizer::clip(), vec![], vec![0]);
    for caption in captions {
        ids.extend(tokenizer.encode(caption, language.context_length).ids);
        offsets.push(ids.len());
    }
    println!("token ids {ids:?}, captions from {offsets:?}");
    let captions = Captions { ids: &ids, offsets: &offsets };

    let (mut image_kept, mut text_kept) = (Workspace::default(), Workspace::default());
    let (mut scratch, mut saved) = (Arena::default(), Arena::default());
    let (mut optimizer, mut grads) = (AdamW::new(params.flat.len()), vec![0.0; params.flat.len()]);
    let mut losses = vec![];
    for step in 0..4 {
        let p = params.view();
        // Forward. Both towers keep what their backward passes need (chapters 1 to 8).
        let [mut image, mut texts] = [(); 2].map(|()| Array2::zeros((2, e)));
        let mode = Mode::Training(Keep::All);
        visual::forward(&p.visual, &vision, images.view(), mode, image.view_mut(), &mut image_kept, &mut scratch);
        text::forward(&p.text, &language, captions, Keep::All, texts.view_mut(), &mut text_kept, &mut scratch);

        // Rows of length 1 (chapter 9).
        let [mut unit_image, mut unit_text] = [(); 2].map(|()| Array2::zeros((2, e)));
        let [mut image_norm, mut text_norm] = [(); 2].map(|()| Array2::zeros((2, 1)));
        normalize::forward(image.view(), unit_image.view_mut(), image_norm.view_mut());
        normalize::forward(texts.view(), unit_text.view_mut(), text_norm.view_mut());

        // The contrast, and the way back to the rows of length 1 (chapter 10).
        let (scale, positives) = (p.logit_scale[0].exp(), Positives::diagonal(2));
        let (i, t) = (unit_image.view(), unit_text.view());
        let [mut dimage, mut dtext] = [(); 2].map(|()| Array2::zeros((2, e)));
        let lse = &mut saved.carve(&Saved::dims(2));
        let tiles = &mut scratch.carve(&Scratch::dims(2));
        let loss = info_nce::forward(i, t, scale, &positives, lse, tiles).mean();
        let dscale = info_nce::backward(i, t, scale, &positives, lse, dimage.view_mut(), dtext.view_mut(), tiles);
        println!("step {step}: loss {loss:.4}, logits\n{:.2}", scale * i.dot(&t.t()));

        // Back through the division by the length (chapter 9) and through both towers.
        let [mut dfeatures, mut dtext_features] = [(); 2].map(|()| Array2::zeros((2, e)));
        normalize::backward(i, image_norm.view(), dimage.view(), dfeatures.view_mut());
        normalize::backward(t, text_norm.view(), dtext.view(), dtext_features.view_mut());
        let mut g = view_mut(&params.spec, &mut grads);
        let d = dfeatures.view();
        visual::backward(&p.visual, &vision, images.view(), d, &mut image_kept, &mut scratch, &mut g.visual);
        text::backward(&p.text, &language, captions, dtext_features.view(), &mut text_kept, &mut scratch, &mut g.text);
        g.logit_scale[0] += dscale;

        // The step itself (chapter 11), which leaves the gradients at 0 for the next one.
        let norm = grads.iter().map(|g| g * g).sum::<f32>().sqrt();
        println!("gradients of length {norm:.3}");
        let decayed = (&Hyper::VIT, Decay::Matrices);
        optimizer.step(&params.spec, decayed, |_| 1e-4, 1.0, &mut params.flat, &mut grads, |_| false);
        losses.push(loss);
    }
    // Who cannot tell two pairs apart loses ln 2 = 0.69; after three steps these are told apart.
    assert!(losses[0] > 0.5 && losses[3] < 0.2, "{losses:?}");
}
