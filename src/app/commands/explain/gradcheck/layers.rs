//! The list of all layers.

use super::layer::Layer;
use super::{contrast, looks, pictures, rows, tokens};

/// All layers, in the order of the chapters.
pub(super) const LAYERS: [&Layer; 16] = [
    &rows::LINEAR,
    &rows::GELU,
    &rows::QUICK_GELU,
    &rows::LAYER_NORM,
    &rows::SOFTMAX,
    &rows::CROSS_ENTROPY,
    &looks::ATTENTION,
    &looks::BLOCK,
    &pictures::PATCHES,
    &tokens::TOKENS,
    &rows::UNIT_LENGTH,
    &contrast::CONTRAST,
    &pictures::CONVOLUTION,
    &pictures::BATCH_NORM,
    &pictures::ATTENTION_POOL,
    &looks::CROSS_ATTENTION,
];

/// Returns the layer of this name.
pub(super) fn layer(name: &str) -> Option<&'static Layer> {
    LAYERS.into_iter().find(|layer| layer.name == name)
}
