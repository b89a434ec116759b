//! Where an image tower finds a text in a picture, and what it attends to.
//!
//! # Where a text is
//! A map x holds what a tower knows of each of N places: the input of a ResNet's attention pool, or what enters the first
//! block of a ViT. Let the loss be the cosine of the picture's embedding with a text's. Then the backward pass gives dx,
//! and the heat of a place is what its difference from the mean place x̄ adds to the cosine, to first order, where that is
//! more than nothing:
//!
//! ```text
//! heatₙ = max(0, Σᵢ dxₙᵢ (xₙᵢ − x̄ᵢ))
//! ```
//!
//! It is the gradient times the activation of Grad-CAM (Selvaraju et al. 2017, section 3), place by place instead of with
//! the mean gradient (Draelos & Carin 2020), and without what all places share: that is most of the activation, and says
//! nothing about where.
//!
//! Of several texts, each is taken less the mean of all. What speaks for all of them is left out.
//!
//! Where the edge between two places falls is chance, and a thing that it cuts is hard to know. So the tower sees the
//! picture nine times, shifted by −1, 0 and 1 thirds of a place along each axis, and the heat of a cell, a third of a
//! place wide, is the mean over what it has in all of them, before the maximum is taken. The cosine is that of the picture
//! where it stands.
//!
//! Two emoji stand side by side, and two texts name them. So much of a text's heat was in its own drawing's half, over 40
//! pairs; 50 % is chance. The ResNets were judged with Emoji-RN-S, the ViTs with an Emoji-ViT-S in the middle of its
//! training:
//!
//! | heat | ResNet | ViT, first block | ViT, last block |
//! |---|--:|--:|--:|
//! | Grad-CAM | 80 % | 70 % | 66 % |
//! | gradient times activation | 55 % | 65 % | 61 % |
//! | the same without the mean place | 86 % | 70 % | 60 % |
//! | attention times its gradient, of the last layer | 86 % | | 62 % |
//!
//! With one text instead of two it is 78 % in the third row, and 67 % for the ViT. Grad-CAM leaves every eighth map of
//! the ViT empty. Behind its first block a ViT's attention mixes places, so that tokens no longer say where they are from:
//! block by block the share falls towards chance. These rows are of the picture where it stands. Nine shifts, with the
//! models at the end of their training, on pairs by Noto and by Twemoji: the ViT has 73.8 % and 72.5 % (70.5 % and 65.4 %
//! without shifts), the ResNet of the default run 85.0 % and 89.5 % (92.9 % and 92.8 %).
//!
//! # What is attended to
//! A ViT's class token gathers what it knows of a picture by attention. [`Attended::rollout`] follows it through all
//! blocks (Abnar & Zuidema 2020, section 3): with Aₗ the mean over the heads of block l, whose residual passes on the
//! other half, it is the first row of ∏ₗ (Aₗ + 1)/2, the last block on the left.

use super::encoders::LoadError;
use crate::checkpoint::Checkpoint;
use crate::layers::normalize;
use crate::models::clip::visual::{self, Attention, Shape, Visual};
use crate::models::{Keep, Mode, Workspace};
use crate::params::{self, Params, Spec};
use crate::pictures::{Picture, Preprocess, Scratch};
use crate::tree::Arena;
use kernels::in_pool;
use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};

/// The shifts along an axis at which a picture is seen, in cells. There are as many cells along a place's edge.
const SHIFTS: [isize; 3] = [-1, 0, 1];

/// The image tower of a CLIP, as parameters: a backward pass goes through it.
pub struct Explainer {
    shape: Shape,
    params: Params<Visual<Spec>>,
    preprocess: Preprocess,
}

/// How well a text fits a picture, and what in the picture speaks for it.
#[derive(Clone, Debug)]
pub struct Heat {
    /// The cosine of both embeddings.
    pub cosine: f32,
    /// How much each cell, a third of a place wide, speaks for the text, 0 or more.
    ///
    /// (3·grid,3·grid)
    pub map: Array2<f32>,
}

/// What the one token that leaves a tower attends to: the class token of a ViT, the query of a ResNet's pool, the probe of
/// SigLIP's head.
#[derive(Clone, Debug)]
pub struct Attended {
    /// The probabilities of each head of a layer. They add to 1 with that of the token itself.
    ///
    /// each (grid,grid)
    pub heads: Vec<Array2<f32>>,
    /// What the class token has of each patch by the attention of all blocks, if the tower is a ViT.
    ///
    /// (grid,grid)
    pub rollout: Option<Array2<f32>>,
}

impl Explainer {
    /// Loads the image tower of an opened checkpoint.
    ///
    /// # Errors
    /// Returns a [`LoadError`] that names the file and, where there is one, the tensor.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let params = checkpoint.vision()?;
        let shape = checkpoint.architecture.vision().expect("a tower that was read has a shape");
        Ok(Self { shape, params, preprocess: checkpoint.preprocess.clone() })
    }

    /// Returns the settings by which pictures are prepared for the tower.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Returns the number of layers with attention by one token: a ViT's blocks, the one pool of a ResNet, or the one head of
    /// a SigLIP.
    pub fn layers(&self) -> usize {
        match self.shape {
            Shape::Vit(shape) if shape.map_head => 1,
            Shape::Vit(shape) => shape.size.layers,
            Shape::ResNet(_) => 1,
        }
    }

    /// Returns where in a picture each of N texts is, of which unit-length embeddings are given. Of several texts it is
    /// what speaks for one rather than for their mean.
    ///
    /// `texts` (N,e)
    ///
    /// # Panics
    /// Panics if the picture is empty.
    #[track_caller]
    pub fn heat(&self, picture: &Picture, texts: ArrayView2<f32>) -> Vec<Heat> {
        let mut pass = Pass::new(self, picture);
        let square = pass.image.clone();
        let edge = SHIFTS.len() * self.shape.places().isqrt();
        let cold = |_| Heat { cosine: 0.0, map: Array2::zeros((edge, edge)) };
        let mut heats: Vec<Heat> = (0..texts.nrows()).map(cold).collect();
        in_pool(|| {
            for shift in SHIFTS.iter().flat_map(|&down| SHIFTS.map(|right| [down, right])) {
                pass.image = shifted(&square, shift, edge);
                for (heat, (cosine, places)) in heats.iter_mut().zip(self.speaking(&mut pass, texts)) {
                    heat.map += &cells(&places, shift);
                    if shift == [0, 0] {
                        heat.cosine = cosine;
                    }
                }
            }
        });
        let shifts = SHIFTS.len().pow(2) as f32;
        heats.iter_mut().for_each(|heat| heat.map.mapv_inplace(|sum| (sum / shifts).max(0.0)));
        heats
    }

    /// Returns the cosine of a pass's picture with each text, and what each of its places adds to it.
    ///
    /// `texts` (N,e); each map (grid,grid)
    fn speaking(&self, pass: &mut Pass, texts: ArrayView2<f32>) -> Vec<(f32, Array2<f32>)> {
        let p = self.params.view();
        let features = pass.forward(&p);
        let (mut unit, mut norm) = (Array2::zeros(features.raw_dim()), Array2::zeros((1, 1)));
        normalize::forward(features.view(), unit.view_mut(), norm.view_mut());
        // The backward pass wants a place for the gradients of all parameters. It never touches those of locked ones.
        let mut gradients = vec![0.0; self.params.flat.len()];
        let mut g = params::view_mut(&self.params.spec, &mut gradients);
        let others = texts.mean_axis(Axis(0)).filter(|_| texts.nrows() > 1);
        let of = |text: ArrayView1<f32>| {
            let dunit = others.as_ref().map_or_else(|| text.to_owned(), |mean| &text - mean).insert_axis(Axis(0));
            let mut dfeatures = Array2::zeros(features.raw_dim());
            // in the forward pass: unit = features / |features|
            normalize::backward(unit.view(), norm.view(), dunit.view(), dfeatures.view_mut());
            let [x, dx] = pass.backward(&p, dfeatures.view(), &mut g);
            (unit.row(0).dot(&text), grid(speaking_for(x.view(), dx.view()).view()))
        };
        texts.rows().into_iter().map(of).collect()
    }

    /// Returns what a tower attends to in a picture in its layer `layer`, counted from 0.
    ///
    /// # Panics
    /// Panics if the picture is empty or if there is no such layer.
    #[track_caller]
    pub fn attention(&self, picture: &Picture, layer: usize) -> Attended {
        let p = self.params.view();
        let mut pass = Pass::new(self, picture);
        let attention = in_pool(|| {
            pass.forward(&p);
            visual::attention(&p, &self.shape, &mut pass.workspace)
        });
        match attention {
            Attention::Blocks(blocks) => {
                let heads = blocks[layer].outer_iter().map(|head| grid(without_first(head.row(0)))).collect();
                Attended { heads, rollout: Some(grid(without_first(rollout(&blocks).view()))) }
            }
            Attention::Probe(heads) => {
                assert_eq!(layer, 0, "layer of a SigLIP, which has one with attention by its probe");
                Attended { heads: heads.outer_iter().map(grid).collect(), rollout: None }
            }
            Attention::Pool(heads) => {
                assert_eq!(layer, 0, "layer of a ResNet, which has one with attention");
                Attended { heads: heads.outer_iter().map(|head| grid(without_first(head))).collect(), rollout: None }
            }
        }
    }
}

impl Attended {
    /// Returns the mean of all heads.
    ///
    /// (grid,grid)
    pub fn mean(&self) -> Array2<f32> {
        let sum = self.heads.iter().fold(Array2::zeros(self.heads[0].raw_dim()), |sum, head| sum + head);
        sum / self.heads.len() as f32
    }
}

/// One picture on its way through the tower, and back as far as its map of places.
struct Pass<'a> {
    shape: &'a Shape,
    image: Array2<f32>,
    workspace: Workspace,
    scratch: Arena,
}

impl<'a> Pass<'a> {
    #[track_caller]
    fn new(Explainer { shape, preprocess, .. }: &'a Explainer, picture: &Picture) -> Self {
        let mut pixels = vec![0.0; shape.image_len()];
        preprocess.apply(picture, &mut Scratch::default(), &mut pixels);
        let image = Array2::from_shape_vec((1, pixels.len()), pixels).expect("one picture");
        Pass { shape, image, workspace: Workspace::locked(shape.groups_before_map()), scratch: Arena::default() }
    }

    fn forward(&mut self, p: &Visual<&[f32]>) -> Array2<f32> {
        let mut features = Array2::zeros((1, self.shape.embed_dim()));
        let (images, mode) = (self.image.view(), Mode::Training(Keep::All));
        visual::forward(p, self.shape, images, mode, features.view_mut(), &mut self.workspace, &mut self.scratch);
        features
    }

    /// Returns the map of places and its gradient.
    fn backward(
        &mut self,
        p: &Visual<&[f32]>,
        dfeatures: ArrayView2<f32>,
        g: &mut Visual<&mut [f32]>,
    ) -> [Array2<f32>; 2] {
        let Pass { shape, image, workspace, scratch } = self;
        visual::backward(p, shape, image.view(), dfeatures, workspace, scratch, g);
        visual::places_map(shape, workspace, scratch)
    }
}

/// Returns Σ_c dx ∘ (x − x̄), where x̄ is the mean row of x.
///
/// `x`, `dx` (M,C); returns (M)
fn speaking_for(x: ArrayView2<f32>, dx: ArrayView2<f32>) -> Array1<f32> {
    let own = &x - &x.mean_axis(Axis(0)).expect("a place");
    (own * dx).sum_axis(Axis(1))
}

/// Returns what a tower sees that looks `shift` cells further down and right, of which an edge has `cells`. Behind the
/// picture's edge its last pixels go on. `image` is one row, the floats of a square of three colours.
fn shifted(image: &Array2<f32>, shift: [isize; 2], cells: usize) -> Array2<f32> {
    let edge = (image.ncols() / 3).isqrt();
    let [down, right] = shift.map(|by| (by as f32 * edge as f32 / cells as f32).round() as isize);
    let planes = image.to_shape((3, edge, edge)).expect("three colours of a square");
    let pixel = |(colour, y, x)| planes[[colour, moved(y, down, edge), moved(x, right, edge)]];
    Array3::from_shape_fn((3, edge, edge), pixel).into_shape_with_order(image.dim()).expect("the same pixels")
}

/// Returns what each cell of a picture has by the places of its shifted copy. A cell that is out of sight there has what
/// the nearest one has.
fn cells(places: &Array2<f32>, shift: [isize; 2]) -> Array2<f32> {
    let edge = SHIFTS.len() * places.nrows();
    let place = |cell: usize, by: isize| moved(cell, -by, edge) / SHIFTS.len();
    Array2::from_shape_fn((edge, edge), |(y, x)| places[[place(y, shift[0]), place(x, shift[1])]])
}

/// Returns a place in a row of `len`, moved and kept inside.
fn moved(place: usize, by: isize, len: usize) -> usize {
    place.saturating_add_signed(by).min(len - 1)
}

/// Returns the first row of ∏ₗ (Aₗ + 1)/2, where Aₗ is the mean over the heads of block l.
fn rollout(blocks: &[Array3<f32>]) -> Array1<f32> {
    let mut row = Array1::zeros(blocks[0].len_of(Axis(1)));
    row[0] = 1.0;
    blocks.iter().rev().fold(row, |row, block| (row.dot(&block.mean_axis(Axis(0)).expect("a head")) + &row) / 2.0)
}

/// Returns what is attended to but for the first token, which is no place of the picture.
fn without_first(tokens: ArrayView1<f32>) -> ArrayView1<f32> {
    tokens.split_at(Axis(0), 1).1
}

/// Views the places of a picture, row by row, as its grid.
fn grid(places: ArrayView1<f32>) -> Array2<f32> {
    let edge = places.len().isqrt();
    places.to_shape((edge, edge)).expect("a square of places").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell of the picture has what the place has under which its pixels lie in the shifted copy.
    #[test]
    fn cells_follow_the_pixels_of_a_shift() {
        let (grid, edge) = (2, 12);
        let places = Array2::from_shape_fn((grid, grid), |(y, x)| (grid * y + x) as f32);
        let image = Array2::from_shape_fn((1, 3 * edge * edge), |(_, i)| i as f32);
        let count = SHIFTS.len() * grid;
        for shift in SHIFTS.iter().flat_map(|&down| SHIFTS.map(|right| [down, right])) {
            let (seen, cells) = (shifted(&image, shift, count), cells(&places, shift));
            let mut found = 0;
            for (y, x) in (0..edge).flat_map(|y| (0..edge).map(move |x| (y, x))) {
                // The first place of a pixel: at the edges its colour goes on.
                let Some(at) = seen.iter().position(|&value| value == image[[0, edge * y + x]]) else { continue };
                let place = places[[at / edge * grid / edge, at % edge * grid / edge]];
                assert_eq!(cells[[y * count / edge, x * count / edge]], place, "{shift:?} {y} {x}");
                found += 1;
            }
            let kept = |by: isize| edge - 2 * by.unsigned_abs();
            assert_eq!(found, kept(shift[0]) * kept(shift[1]), "{shift:?}");
        }
    }
}
