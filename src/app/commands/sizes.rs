//! The sizes of a Transformer, as `clipwright info` describes them.

use crate::layers::block::Size;
use serde::Serialize;
use std::fmt;

#[derive(Serialize)]
pub(super) struct Transformer {
    width: usize,
    layers: usize,
    heads: usize,
    mlp_width: usize,
}

impl Transformer {
    pub fn of(size: &Size) -> Self {
        let Size { width, layers, heads, mlp_width, .. } = *size;
        Transformer { width, layers, heads, mlp_width }
    }
}

impl fmt::Display for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Transformer { width, layers, heads, mlp_width } = self;
        write!(f, "{layers} layers {width} wide, {heads} heads, MLP {mlp_width}")
    }
}

/// Writes a number of parameters.
pub(super) fn millions(n: usize) -> String {
    format!("{:.1} M parameters", n as f64 / 1e6)
}
