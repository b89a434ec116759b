//! The image encoder of a CLIP: a ViT or a ResNet.

use crate::models::clip::resnet::{self, ResNet};
use crate::models::clip::vit::{self, Vit};
use crate::models::{Keep, Mode, Workspace};
use crate::params::Spec;
use crate::tree::{Arena, Path, Tree};
use crate::weights::{Balance, Read};
use kernels::Activation;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2};

/// The parameters of a ViT or of a ResNet, whose fields stand at this level.
#[derive(Clone, Debug)]
pub enum Visual<T> {
    Vit(Vit<T>),
    ResNet(ResNet<T>),
}

impl<T> Tree for Visual<T> {
    type Leaf = T;
    type Of<U> = Visual<U>;

    fn map<U>(&self, at: &Path, f: &mut dyn FnMut(&Path, &T) -> U) -> Visual<U> {
        match self {
            Visual::Vit(vit) => Visual::Vit(vit.map(at, f)),
            Visual::ResNet(resnet) => Visual::ResNet(resnet.map(at, f)),
        }
    }
}

impl Balance<Visual<Spec>> for Visual<&mut [f32]> {
    /// A ResNet has nothing that is rounded.
    fn balance(&mut self, spec: &mut Visual<Spec>) {
        if let (Visual::Vit(vit), Visual::Vit(spec)) = (self, spec) {
            vit.transformer.balance(&mut spec.transformer);
            vit.attn_pool.iter_mut().for_each(|head| head.balance());
        }
    }
}

/// The sizes of an image encoder of either kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Vit(vit::Shape),
    ResNet(resnet::Shape),
}

impl Shape {
    /// Returns the parameter table.
    pub fn spec(&self) -> Visual<Spec> {
        match self {
            Shape::Vit(shape) => Visual::Vit(shape.spec()),
            Shape::ResNet(shape) => Visual::ResNet(shape.spec()),
        }
    }

    /// Returns how many [layer groups](super::groups) come before the map of a picture's places: the input of a ResNet's
    /// attention pool, or of a ViT's first block.
    pub fn groups_before_map(&self) -> usize {
        match self {
            Shape::Vit(shape) => shape.groups_before_map(),
            Shape::ResNet(shape) => shape.groups_before_map(),
        }
    }

    /// Returns the number of places of that map, grid².
    pub fn places(&self) -> usize {
        match self {
            Shape::Vit(shape) => shape.grid.patches(),
            Shape::ResNet(shape) => shape.pool().pixels,
        }
    }

    /// Returns the number of floats of a picture, 3·edge².
    pub fn image_len(&self) -> usize {
        match self {
            Shape::Vit(shape) => shape.grid.image_len(),
            Shape::ResNet(shape) => shape.image_len(),
        }
    }

    /// Returns the activation of a ViT's MLPs.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Shape::Vit(shape) => Some(shape.size.activation),
            Shape::ResNet(_) => None,
        }
    }

    /// Returns the width e of the joint space.
    pub fn embed_dim(&self) -> usize {
        match self {
            Shape::Vit(shape) => shape.embed_dim,
            Shape::ResNet(shape) => shape.embed_dim,
        }
    }
}

/// Computes the features of pictures, which are not of unit length.
///
/// `images` (B,3·edge²), `features` (B,e)
///
/// The values of a picture are ordered by channel, row and column; each is (x − mean)/std of its channel.
///
/// # Panics
/// If a ResNet, which has no patches, is to drop some.
#[track_caller]
pub fn forward(
    p: &Visual<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    mode: Mode,
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    match (p, shape) {
        (Visual::Vit(p), Shape::Vit(shape)) => {
            let how = match mode {
                Mode::Training(keep) => (keep, None),
                Mode::Masked(keep, dropout) => (keep, Some(dropout)),
                Mode::Inference => (Keep::Nothing, None),
            };
            vit::forward(p, shape, images, how, features, workspace, scratch)
        }
        (Visual::ResNet(p), Shape::ResNet(shape)) => {
            resnet::forward(p, shape, images, mode, features, workspace, scratch)
        }
        _ => panic!("the parameters are not of {shape:?}"),
    }
}

/// Adds to `g` the gradients of all parameters that the workspace does not lock.
///
/// `images` (B,3·edge²), `dfeatures` (B,e)
///
/// The last [`forward`] in `workspace` must have been one of training on these pictures that kept all or the inputs. This
/// call may overwrite what it saved.
#[track_caller]
pub fn backward(
    p: &Visual<&[f32]>,
    shape: &Shape,
    images: ArrayView2<f32>,
    dfeatures: ArrayView2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    g: &mut Visual<&mut [f32]>,
) {
    match (p, shape, g) {
        (Visual::Vit(p), Shape::Vit(shape), Visual::Vit(g)) => {
            vit::backward(p, shape, images, dfeatures, workspace, scratch, g)
        }
        (Visual::ResNet(p), Shape::ResNet(shape), Visual::ResNet(g)) => {
            resnet::backward(p, shape, images, dfeatures, workspace, scratch, g)
        }
        _ => panic!("the parameters or the gradients are not of {shape:?}"),
    }
}

/// Returns the map of a picture's places, row by row of its grid, and the gradient with respect to it.
///
/// each (places,C)
///
/// The last [`forward`] and [`backward`] in `workspace` must have been of one picture, in [`Mode::Training`] with
/// [`Keep::All`] and the groups [before the map](Shape::groups_before_map) locked, and nothing may have used
/// `scratch` since.
#[track_caller]
pub fn places_map(shape: &Shape, workspace: &mut Workspace, scratch: &mut Arena) -> [Array2<f32>; 2] {
    match shape {
        Shape::Vit(shape) => vit::places_map(shape, workspace, scratch),
        Shape::ResNet(shape) => resnet::places_map(shape, workspace, scratch),
    }
}

/// What attends to what in a picture.
#[derive(Clone, Debug)]
pub enum Attention {
    /// The probabilities (H,T,T) of every block of a ViT, whose first token is the class token.
    Blocks(Vec<Array3<f32>>),
    /// The probabilities (H,T) of the one query of a ResNet's attention pool, whose first token is the mean.
    Pool(Array2<f32>),
    /// The probabilities (H,T) of the probe of a ViT's MAP head.
    Probe(Array2<f32>),
}

/// Returns the attention probabilities for the one picture of the last [`forward`] in `workspace`, which must have been
/// one as [`places_map`] needs it.
#[track_caller]
pub fn attention(p: &Visual<impl Read>, shape: &Shape, workspace: &mut Workspace) -> Attention {
    match (p, shape) {
        (_, Shape::Vit(shape)) if shape.map_head => Attention::Probe(vit::probe_attention(shape, workspace)),
        (Visual::Vit(p), Shape::Vit(shape)) => Attention::Blocks(vit::attention(p, shape, workspace)),
        (Visual::ResNet(_), Shape::ResNet(shape)) => Attention::Pool(resnet::attention(shape, workspace)),
        _ => panic!("the parameters are not of {shape:?}"),
    }
}
