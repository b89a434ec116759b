//! The sizes of a Transformer, as `clipwright info` describes them.

use crate::counted::counted;
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
        write!(f, "{} {width} wide, {}, MLP {mlp_width}", counted(*layers, "layer"), counted(*heads, "head"))
    }
}

/// Writes a number of parameters.
pub(super) fn millions(n: usize) -> String {
    format!("{:.1} M parameters", n as f64 / 1e6)
}
