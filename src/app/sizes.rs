//! The sizes of towers, as `clipwright info` and model cards describe them.

use crate::counted::counted;
use crate::layers::block::Size;
use crate::models::clip::visual::Shape;
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

/// The kind of an image tower.
#[derive(Serialize)]
#[serde(tag = "kind")]
pub(super) enum ImageKind {
    #[serde(rename = "vit")]
    Vit {
        patch_size: usize,
        #[serde(flatten)]
        transformer: Transformer,
    },
    #[serde(rename = "resnet")]
    ResNet { width: usize, layers: [usize; 4], heads: usize },
}

impl ImageKind {
    pub fn of(shape: &Shape) -> Self {
        match shape {
            Shape::Vit(vit) => {
                ImageKind::Vit { patch_size: vit.grid.patch_size, transformer: Transformer::of(&vit.size) }
            }
            Shape::ResNet(resnet) => {
                ImageKind::ResNet { width: resnet.width, layers: resnet.layers, heads: resnet.heads }
            }
        }
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ImageKind::Vit { patch_size, transformer } => write!(f, "ViT, patches of {patch_size}, {transformer}"),
            ImageKind::ResNet { width, layers, heads } => {
                write!(f, "ResNet, {layers:?} layers from {width} wide, {}", counted(*heads, "head"))
            }
        }
    }
}

/// Writes a number of parameters.
pub(super) fn millions(n: usize) -> String {
    format!("{:.1} M parameters", n as f64 / 1e6)
}
