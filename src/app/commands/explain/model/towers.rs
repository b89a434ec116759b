//! The parts of either family, equal neighbours together.

use crate::models::Keep;
use crate::models::blip;
use crate::models::clip::{self, text, visual};
use crate::models::parts::Part;
use crate::params::count;
use crate::train::clip::kept_of_pair;
use serde::Serialize;

/// The sizes of a model of either family.
pub(super) enum Sizes {
    Clip {
        image: Option<visual::Shape>,
        text: Option<text::Shape>,
        /// How many parameters the logits have.
        scalars: usize,
    },
    Blip(Box<blip::Config>),
}

/// A tower, or a use of one.
#[derive(Serialize)]
pub(super) struct Tower {
    pub name: String,
    pub parts: Vec<Row>,
    /// The parameters that no tower before has.
    pub parameters: usize,
    pub multiply_adds: f64,
    pub kept_bytes: usize,
}

/// Equal parts that follow each other, and what they take together.
#[derive(Serialize)]
pub(super) struct Row {
    pub name: &'static str,
    pub count: usize,
    pub input: Vec<usize>,
    pub output: Vec<usize>,
    pub parameters: usize,
    pub shared: usize,
    pub multiply_adds: f64,
    pub kept_bytes: usize,
}

impl Sizes {
    pub(super) fn of_clip(config: &clip::Config) -> Self {
        let (image, text) = (config.vision(), config.text());
        let towers = count(&image.spec()) + count(&text.spec());
        let scalars = count(&clip::model::spec(config)) - towers;
        Sizes::Clip { image: Some(image), text: Some(text), scalars }
    }

    /// Returns the longest text in tokens.
    pub(super) fn longest_text(&self) -> Option<usize> {
        match self {
            Sizes::Clip { text, .. } => text.map(|text| text.context_length),
            Sizes::Blip(config) => Some(config.text.positions),
        }
    }

    /// Lists the towers for one picture and one text of so many tokens.
    pub(super) fn towers(&self, tokens: usize, keep: Keep) -> Vec<Tower> {
        match self {
            Sizes::Clip { image, text, scalars } => {
                let images = image.map(|shape| Tower::new("image tower", &shape.parts(1, keep)));
                let texts = text.map(|shape| Tower::new("text tower", &shape.parts(1, tokens, keep)));
                let joint =
                    image.zip(*text).map(|(image, _)| Tower::new("joint space", &[pair(image.embed_dim(), *scalars)]));
                [images, texts, joint].into_iter().flatten().collect()
            }
            Sizes::Blip(config) => config
                .uses(tokens, keep)
                .iter()
                .map(|blip::parts::Use { name, parts }| Tower::new(name, parts))
                .collect(),
        }
    }
}

/// Returns the part in which a pair meets. Its arithmetic grows with the batch, and is none of a single pair.
fn pair(embed_dim: usize, parameters: usize) -> Part {
    let (input, output, kept) = (vec![2, embed_dim], vec![1], kept_of_pair(embed_dim));
    Part { name: "contrast", input, output, parameters, shared: 0, flops: 0.0, kept }
}

impl Tower {
    fn new(name: &str, parts: &[Part]) -> Self {
        let rows: Vec<Row> = parts.chunk_by(|a, b| a == b).map(Row::of).collect();
        Tower {
            name: name.into(),
            parameters: rows.iter().map(|row| row.parameters).sum(),
            multiply_adds: rows.iter().map(|row| row.multiply_adds).sum(),
            kept_bytes: rows.iter().map(|row| row.kept_bytes).sum(),
            parts: rows,
        }
    }
}

impl Row {
    /// Joins equal parts.
    fn of(parts: &[Part]) -> Self {
        let Part { name, input, output, .. } = &parts[0];
        Row {
            name,
            count: parts.len(),
            input: input.clone(),
            output: output.clone(),
            parameters: parts.iter().map(|part| part.parameters).sum(),
            shared: parts.iter().map(|part| part.shared).sum(),
            // Each multiply-add is counted as two operations.
            multiply_adds: parts.iter().map(|part| part.flops / 2.0).sum(),
            kept_bytes: size_of::<f32>() * parts.iter().map(|part| part.kept).sum::<usize>(),
        }
    }

    pub(super) fn title(&self) -> String {
        if self.count == 1 { self.name.into() } else { format!("{} × {}", self.name, self.count) }
    }
}
