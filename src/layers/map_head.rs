//! The MAP head of SigLIP (Zhai et al. 2022, section 3.4; `MAPHead` in big_vision): attention with a learnt query, the
//! probe, gathers what the tokens of a picture know, and the second half of a block follows.
//!
//! ```text
//! q = probe W_qᵀ + b_q
//! z = softmax(q kᵀ/√c) v W_outᵀ + b_out        k, v = x W_kᵀ + b_k, x W_vᵀ + b_v, for each head
//! y = z + mlp(ln_2(z))
//! ```
//!
//! The probe itself is not added to z. It is [one query](super::one_query) for all pictures, which needs no keys and no
//! values.

use super::Keep;
use super::attention::Attention;
use super::block::Size;
use super::feed_forward::{self, FeedForward, Saved as FeedForwardSaved, Scratch as FeedForwardScratch};
use super::layer_norm::{self, LayerNorm};
use super::linear::{self, Linear};
use super::mlp::Mlp;
use super::one_query::{self, KeyValue, Saved as QuerySaved, Scratch as QueryScratch};
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The parameters of the head, whose MLP and heads are those of the tower's blocks.
    ///
    /// `probe` (d)
    MapHead { probe, attn: Attention, ln_2: LayerNorm, mlp: Mlp }
}

tree! {
    /// What the backward pass needs beside x; `mid` is the z of the formula.
    ///
    /// `mid` (B,d)
    Saved { query: QuerySaved, mid, ff: FeedForwardSaved }
}

tree! {
    /// `dmid` is the gradient of `mid`.
    ///
    /// `dmid`, `buffer` (B,d)
    Scratch { query: QueryScratch, dmid, buffer, ff: FeedForwardScratch }
}

impl MapHead<Spec> {
    /// Returns the parameter table, initialised as big_vision does.
    pub fn spec(size: &Size) -> Self {
        let width = size.width;
        let xavier = Init::xavier(width, width);
        MapHead {
            probe: Spec::new(&[width], Init::xavier(1, width)),
            attn: Attention {
                // A plain layout, because the weights are cut by heads and read both across and along their rows.
                in_proj_weight: Spec::new(&[3 * width, width], xavier),
                in_proj_bias: Spec::new(&[3 * width], Init::Const(0.0)),
                out_proj: Linear::spec(width, width, xavier, Init::Const(0.0)).rounds(),
            },
            ln_2: LayerNorm::spec(width),
            mlp: Mlp::xavier(width, size.mlp_width),
        }
    }
}

impl MapHead<&mut [f32]> {
    /// Evens out what the LayerNorm and the linear layer behind it multiply.
    pub fn balance(&mut self) {
        layer_norm::balance(&mut self.ln_2, self.mlp.c_fc.weight);
    }
}

impl<T> MapHead<T> {
    fn feed_forward(&self, size: &Size) -> FeedForward<'_, T> {
        let Size { activation, eps, .. } = *size;
        FeedForward { ln_2: &self.ln_2, mlp: &self.mlp, activation, eps, dropout: None }
    }
}

impl Saved<Dim> {
    /// Returns the sizes for so many pictures of so many tokens.
    pub fn dims(size: &Size, tokens: usize, pictures: usize, keep: Keep) -> Self {
        Saved {
            query: QuerySaved::dims(&shape(size, tokens), pictures, 1),
            mid: Dim(pictures, size.width),
            ff: FeedForwardSaved::dims(pictures, size.mlp_width, keep),
        }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for so many pictures of so many tokens.
    pub fn dims(size: &Size, tokens: usize, pictures: usize) -> Self {
        let row = Dim(pictures, size.width);
        Scratch {
            query: QueryScratch::dims(&shape(size, tokens), pictures, 1),
            dmid: row,
            buffer: row,
            ff: FeedForwardScratch::dims(pictures, size.width, size.mlp_width),
        }
    }
}

/// y = z + mlp(ln_2(z)), where z is attention to x with the probe as its query
///
/// `x` (B·T,d), `y` (B,d)
#[track_caller]
pub fn forward(
    p: &MapHead<impl Read>,
    size: &Size,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let Saved { query, mid, ff } = saved;
    let (weight, bias) = (p.attn.in_proj_weight.rows(), p.attn.in_proj_bias.rows());
    let (in_q, key_value) = in_proj(weight, bias, size.width);
    linear::forward(&in_q, row(p.probe.rows()), query.q.view_mut());
    one_query::forward(key_value, &shape(size, x.nrows() / y.nrows()), x, query);
    linear::forward(&p.attn.out_proj, query.out.view(), mid.view_mut());
    feed_forward::forward(p.feed_forward(size), mid.view(), y, ff, &mut scratch.ff);
}

/// Computes dx from dy and what [`forward`] saved, and adds the parameters' gradients to `g`.
///
/// `x`, `dx` (B·T,d), `dy` (B,d)
#[track_caller]
pub fn backward(
    p: &MapHead<&[f32]>,
    size: &Size,
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    dx: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut MapHead<&mut [f32]>,
) {
    let Scratch { query: scratch, dmid, buffer, ff: ff_scratch } = scratch;
    let (query, mid) = (&saved.query, saved.mid.view());
    // in the forward pass: y = mid + mlp(ln_2(mid))
    dmid.assign(&dy);
    let (ff, buffer) = (p.feed_forward(size), buffer.view_mut());
    feed_forward::backward(ff, mid, dmid.view_mut(), buffer, &saved.ff, ff_scratch, &mut g.ln_2, &mut g.mlp);
    // in the forward pass: mid = out W_outᵀ + b_out
    let (out, dout) = (query.out.view(), scratch.dout.view_mut());
    linear::backward(&p.attn.out_proj, out, dmid.view(), Write::Set, dout, &mut g.attn.out_proj);
    // in the forward pass: out = softmax(q kᵀ/√c) v
    let (in_q, key_value) = in_proj(p.attn.in_proj_weight, p.attn.in_proj_bias, size.width);
    let (mut g_q, g_kv) = in_proj_gradients(g.attn.in_proj_weight, g.attn.in_proj_bias, size.width);
    one_query::backward(key_value, &shape(size, x.nrows() / dy.nrows()), x, dx, query, scratch, g_kv);
    // in the forward pass: q = probe W_qᵀ + b_q
    let dprobe = ArrayViewMut2::from_shape((1, size.width), g.probe).expect("d floats");
    linear::backward(&in_q, row(p.probe), scratch.dq.view(), Write::Add, dprobe, &mut g_q);
}

fn shape(size: &Size, tokens: usize) -> one_query::Shape {
    one_query::Shape { tokens, width: size.width, heads: size.heads }
}

/// Views a vector as a matrix of one row.
fn row(x: &[f32]) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((1, x.len()), x).expect("one row")
}

/// Returns the packed input projection as that of the query and those of keys and values.
fn in_proj<'a>(weight: &'a [f32], bias: &'a [f32], d: usize) -> (Linear<&'a [f32]>, KeyValue<&'a [f32]>) {
    let (w_q, w_kv) = weight.split_at(d * d);
    let (k, v) = w_kv.split_at(d * d);
    (Linear { weight: w_q, bias: &bias[..d] }, KeyValue { k, v, v_bias: &bias[2 * d..] })
}

fn in_proj_gradients<'a>(
    weight: &'a mut [f32],
    bias: &'a mut [f32],
    d: usize,
) -> (Linear<&'a mut [f32]>, KeyValue<&'a mut [f32]>) {
    let (w_q, w_kv) = weight.split_at_mut(d * d);
    let (k, v) = w_kv.split_at_mut(d * d);
    let (b_q, b_kv) = bias.split_at_mut(d);
    (Linear { weight: w_q, bias: b_q }, KeyValue { k, v, v_bias: &mut b_kv[d..] })
}
