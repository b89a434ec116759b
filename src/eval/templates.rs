//! Templates: sentences that a class name is put into before it is embedded.
//!
//! A model that was trained on captions recognises "a photo of a crane." better than "crane", and the mean over many
//! sentences ([`class_embeddings`]) is better still. Source: Radford et al. 2021, section 3.1.4.

use super::zero_shot::class_embeddings;
use crate::embed::Embed;
use ndarray::{Array2, Axis, concatenate};
use std::convert::Infallible;

/// The placeholder of the name in a template.
pub const PLACE: &str = "{}";

/// The single template "a photo of a {}.".
pub const SIMPLE: [&str; 1] = ["a photo of a {}."];

/// The 80 templates of OpenAI's ImageNet results.
pub const OPENAI: [&str; 80] = [
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
];

/// Number of prompts that are embedded at a time.
const PROMPTS: usize = 1024;

/// Returns the templates that are called `openai` or `simple`.
pub fn called(name: &str) -> Option<Vec<String>> {
    let templates: &[&str] = match name {
        "openai" => &OPENAI,
        "simple" => &SIMPLE,
        _ => return None,
    };
    Some(templates.iter().map(|&template| template.to_owned()).collect())
}

/// Returns the templates with a name put into them.
pub fn prompts<T: AsRef<str>>(templates: &[T], name: &str) -> impl Iterator<Item = String> {
    templates.iter().map(move |template| template.as_ref().replace(PLACE, name))
}

/// Returns one embedding per class: the mean of the unit embeddings of its name in each template, scaled to unit
/// length. `done` is called with the number of classes that have been embedded since the last call.
pub fn embed_classes<N: AsRef<str>, T: AsRef<str>>(
    model: &impl Embed,
    names: &[N],
    templates: &[T],
    done: impl Fn(usize),
) -> Array2<f32> {
    let captions = |sentences: &[String]| Ok::<_, Infallible>(model.captions(sentences));
    let Ok(rows) = embed_classes_by(captions, names, templates, done);
    rows
}

/// Does the same with a model of which only `captions`, which embeds sentences, is known.
///
/// # Errors
/// Returns the error of `captions`.
pub fn embed_classes_by<N: AsRef<str>, T: AsRef<str>, E>(
    captions: impl Fn(&[String]) -> Result<Array2<f32>, E>,
    names: &[N],
    templates: &[T],
    done: impl Fn(usize),
) -> Result<Array2<f32>, E> {
    let at_a_time = (PROMPTS / templates.len().max(1)).max(1);
    let parts: Result<Vec<Array2<f32>>, E> = (names.chunks(at_a_time))
        .map(|names| {
            let sentences: Vec<String> = names.iter().flat_map(|name| prompts(templates, name.as_ref())).collect();
            let class: Vec<usize> = (0..sentences.len()).map(|i| i / templates.len()).collect();
            let part = class_embeddings(captions(&sentences)?.view(), &class, names.len());
            done(names.len());
            Ok(part)
        })
        .collect();
    let parts = parts?;
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(Axis(0), &views).expect("at least one class, rows of one width"))
}
