//! The post-norm residual block of BERT (Devlin et al. 2019; Vaswani et al. 2017, section 3.1), with the
//! cross-attention that BLIP puts between its halves (Li et al. 2022, figure 2):
//!
//! ```text
//! own  = ln(x + attention(x))
//! seen = cross_ln(own + cross_attention(own, picture))        seen = own where a text looks at nothing
//! y    = mlp_ln(seen + mlp(seen))
//! ```
//!
//! A pre-norm block normalises what its layers read; here the sum itself is normalised, so the residual stream has unit
//! variance behind every layer.
//!
//! If only one row of each sequence leaves the last block, its attention is a [pooled
//! one](super::pooled_attention), and everything behind it is computed for these rows alone.
//!
//! In training, probabilities of both attentions and values of all three branches may be [dropped](super::dropout).
//!
//! # Derivation
//! Each of the three parts is a LayerNorm of a sum. Saved are the sums; what is normalised is cheaper to compute again
//! than to keep.
//!
//! ```text
//! sum  = x + f(x)             y  = ln(sum)
//! dsum = lnᵀ(dy)              dx = dsum + fᵀ(dsum)        fᵀ is the backward pass of f
//! ```

use super::Keep;
use super::attention::{self, Attention, Saved as AttentionSaved, Scratch as AttentionScratch};
use super::block::Size;
use super::cross_attention::{self, CrossAttention, Saved as CrossSaved, Scratch as CrossScratch};
use super::dropout::{self, Dropout, Residual, Site};
use super::keyless_attention::{self, Scratch as KeylessScratch};
use super::layer_norm::{self, LayerNorm, Saved as NormSaved};
use super::linear::Linear;
use super::mlp::{self, Mlp};
use super::pooled_attention::{self, Saved as PooledSaved, Scratch as PooledScratch, gather, scatter_add};
use super::sequences::Sequences;
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// Self-attention and the LayerNorm behind it: what BLIP's encoder and decoder do not share.
    SelfAttention { attn: Attention, ln: LayerNorm }
}

tree! {
    /// The rest of the block: what BLIP's encoder and decoder share.
    Rest { cross: CrossAttention, cross_ln: LayerNorm, mlp: Mlp, mlp_ln: LayerNorm }
}

tree! {
    /// What the backward pass needs beside x. There is either `attn` or `pooled`.
    Saved { attn: [AttentionSaved?], pooled: [PooledSaved?], sums: Sums }
}

tree! {
    /// The three sums and their statistics; there is `cross` where texts look at something.
    ///
    /// `sum`, `mlp_sum` (R,d), `preact` (R,hidden), or (0,hidden) if it is not kept
    Sums { sum, ln: NormSaved, cross: [Cross?], preact, mlp_sum, mlp_ln: NormSaved }
}

tree! {
    /// What the backward pass needs of cross-attention.
    ///
    /// `sum` (R,d)
    Cross { attn: CrossSaved, sum, ln: NormSaved }
}

tree! {
    /// `residual` are the pooled rows of x.
    ///
    /// `residual` (R,d)
    Scratch { attn: [AttentionScratch?], pooled: [PooledScratch?], residual: [_?], rest: RestScratch }
}

tree! {
    /// `own` and `seen` are those of the formulas, `act` is the MLP's hidden layer after its activation, `grad` and
    /// `dsum` are gradients, and `preact` is used where it is not kept. Where texts look at something, there is either
    /// `cross` or `keyless`.
    ///
    /// `own`, `seen`, `grad`, `dsum` (R,d), `act`, `preact` (R,hidden)
    RestScratch { cross: [CrossScratch?], keyless: [KeylessScratch?], own, seen, act, preact, grad, dsum }
}

/// The parameters of a block, wherever a model's tree has them.
pub struct Block<'a, T> {
    pub attention: &'a SelfAttention<T>,
    pub rest: &'a Rest<T>,
}

/// The gradients of the parameters of a block.
pub struct BlockMut<'a, T> {
    pub attention: &'a mut SelfAttention<T>,
    pub rest: &'a mut Rest<T>,
}

/// What the rows of a batch look at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub at: At<'a>,
    pub shape: cross_attention::Shape<'a>,
}

/// In which form rows see a source. What is learnt from has keys and values.
#[derive(Clone, Copy)]
pub enum At<'a> {
    /// The keys and values that [`cross_attention::keys`] computed.
    ///
    /// (M,2d)
    Keys(ArrayView2<'a, f32>),
    /// The [source itself](keyless_attention).
    ///
    /// (M,D)
    Tokens(ArrayView2<'a, f32>),
}

/// The keys and values that the rows of a batch looked at, and where their gradient goes.
pub struct LookMut<'a, 'b> {
    /// `kv`, `dkv` (rows of the source, 2d)
    pub kv: ArrayView2<'a, f32>,
    pub shape: cross_attention::Shape<'a>,
    pub write: Write,
    pub dkv: ArrayViewMut2<'b, f32>,
}

/// The form in which rows will see a source, which decides what buffers they need.
#[derive(Clone, Copy, Debug)]
pub enum Looks {
    AtKeys,
    /// The rows (M,D) of the longest picture are given.
    AtTokens(Dim),
}

/// Which rows leave a block, and whether they look at something.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// How many rows enter.
    pub rows: usize,
    /// How many sequences they form, if only the pooled row of each leaves; `None` if all rows do.
    pub pooled: Option<usize>,
    pub looks: Option<Looks>,
}

impl Part {
    /// Returns how many rows leave.
    fn leaving(self) -> usize {
        self.pooled.unwrap_or(self.rows)
    }
}

impl SelfAttention<Spec> {
    pub fn spec(width: usize, init: Init) -> Self {
        SelfAttention { attn: Attention::spec(width, init, init), ln: LayerNorm::spec(width) }
    }
}

impl Rest<Spec> {
    /// Returns the parameter table for texts that look at rows of the width `source`. All biases start at zero.
    pub fn spec(size: &Size, source: usize, init: Init) -> Self {
        let zero = Init::Const(0.0);
        let (width, mlp_width) = (size.width, size.mlp_width);
        Rest {
            cross: CrossAttention::spec(width, source, init),
            cross_ln: LayerNorm::spec(width),
            mlp: Mlp {
                c_fc: Linear::spec(width, mlp_width, init, zero),
                c_proj: Linear::spec(mlp_width, width, init, zero),
            },
            mlp_ln: LayerNorm::spec(width),
        }
    }
}

impl Saved<Dim> {
    pub fn dims(size: &Size, part: Part, keep: Keep) -> Self {
        let width = size.width;
        Saved {
            attn: part.pooled.is_none().then(|| AttentionSaved::dims(part.rows, width, keep)),
            pooled: part.pooled.map(|sequences| PooledSaved::dims(part.rows, sequences, width, size.heads)),
            sums: Sums::dims(size, part.leaving(), part.looks.is_some(), keep),
        }
    }
}

impl Sums<Dim> {
    /// Returns the sizes for R rows.
    pub fn dims(size: &Size, rows: usize, looks: bool, keep: Keep) -> Self {
        let sum = Dim(rows, size.width);
        let ln = || NormSaved::dims(rows);
        let kept = keep.recomputable(rows);
        let cross = || Cross { attn: CrossSaved::dims(rows, size.width, size.heads), sum, ln: ln() };
        Sums { sum, ln: ln(), cross: looks.then(cross), preact: Dim(kept, size.mlp_width), mlp_sum: sum, mlp_ln: ln() }
    }
}

impl Scratch<Dim> {
    pub fn dims(size: &Size, part: Part) -> Self {
        let width = size.width;
        Scratch {
            attn: part.pooled.is_none().then(|| AttentionScratch::dims(part.rows, width, size.heads)),
            pooled: part.pooled.map(|sequences| PooledScratch::dims(part.rows, sequences, width)),
            residual: part.pooled.map(|sequences| Dim(sequences, width)),
            rest: RestScratch::dims(size, part.leaving(), part.looks),
        }
    }
}

impl RestScratch<Dim> {
    /// Returns the sizes for R rows.
    pub fn dims(size: &Size, rows: usize, looks: Option<Looks>) -> Self {
        let (row, hidden) = (Dim(rows, size.width), Dim(rows, size.mlp_width));
        let (cross, keyless) = match looks {
            None => (None, None),
            Some(Looks::AtKeys) => (Some(CrossScratch::dims(rows, size.width)), None),
            Some(Looks::AtTokens(source)) => (None, Some(KeylessScratch::dims(rows, size.heads, source))),
        };
        RestScratch { cross, keyless, own: row, seen: row, act: hidden, preact: hidden, grad: row, dsum: row }
    }
}

/// y = the rows that leave of mlp_ln(seen + mlp(seen))
///
/// `x` (N,d), `y` (R,d)
///
/// These are all rows, or the pooled row of each sequence. `dropout` names the R rows.
#[track_caller]
pub fn forward(
    p: Block<impl Read>,
    size: &Size,
    sequences: &Sequences,
    look: Option<Look>,
    dropout: Option<Dropout>,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let attn = &p.attention.attn;
    let sum = saved.sums.sum.view_mut();
    let residual = |x| Residual { x, dropout: dropout::at(dropout, Site::AttentionOutput) };
    if let (Some(saved), Some(attn_scratch), Some(pooled_x)) =
        (&mut saved.pooled, &mut scratch.pooled, &mut scratch.residual)
    {
        gather(x, sequences, pooled_x.view_mut());
        let (shape, residual) = (pooled(size, sequences, dropout), residual(pooled_x.view()));
        pooled_attention::forward(attn, shape, x, residual, sum, saved, attn_scratch);
    } else if let (Some(saved), Some(scratch)) = (&mut saved.attn, &mut scratch.attn) {
        attention::forward(attn, whole(size, sequences, dropout), x, residual(x), sum, saved, scratch);
    }
    behind_attention(p, size, look, dropout, y, &mut saved.sums, &mut scratch.rest);
}

/// y = mlp_ln(seen + mlp(seen)), where `sums` holds the first sum
///
/// `y` (R,d)
#[track_caller]
pub(crate) fn behind_attention(
    p: Block<impl Read>,
    size: &Size,
    look: Option<Look>,
    dropout: Option<Dropout>,
    y: ArrayViewMut2<f32>,
    sums: &mut Sums<ArrayViewMut2<f32>>,
    scratch: &mut RestScratch<ArrayViewMut2<f32>>,
) {
    let Block { attention: SelfAttention { ln, .. }, rest } = p;
    let RestScratch { keyless, own, seen, act, .. } = scratch;
    let residual = |x, site| Residual { x, dropout: dropout::at(dropout, site) };
    layer_norm::forward(ln, size.eps, sums.sum.view(), own.view_mut(), &mut sums.ln);
    let seen = match (look, &mut sums.cross) {
        (None, None) => own.view(),
        (Some(look), Some(saved)) => {
            let sum = saved.sum.view_mut();
            let residual = residual(own.view(), Site::CrossOutput);
            let (p, shape, own, attn) = (&rest.cross, cross(look.shape, dropout), own.view(), &mut saved.attn);
            match (look.at, keyless) {
                (At::Keys(kv), _) => cross_attention::forward(p, shape, own, kv, residual, sum, attn),
                (At::Tokens(source), Some(scratch)) => {
                    keyless_attention::forward(p, shape, own, source, residual, sum, attn, scratch);
                }
                (At::Tokens(_), None) => panic!("a block whose buffers are for looks at keys looks at tokens"),
            }
            layer_norm::forward(&rest.cross_ln, size.eps, saved.sum.view(), seen.view_mut(), &mut saved.ln);
            seen.view()
        }
        _ => panic!("a block whose buffers are for texts that look at something, or at nothing, does the other"),
    };
    let (preact, act) = (sums.preact.view_mut(), act.view_mut());
    let residual = residual(seen, Site::Mlp);
    mlp::forward(&rest.mlp, size.activation, seen, residual, sums.mlp_sum.view_mut(), preact, act);
    layer_norm::forward(&rest.mlp_ln, size.eps, sums.mlp_sum.view(), y, &mut sums.mlp_ln);
}

/// Adds to `g` the gradients of all parameters but `cross.key_value`, writes `dx`, and writes the gradient of the keys
/// and values that the rows looked at, or adds to it.
///
/// `x`, `dx` (N,d), `dy` (R,d)
#[track_caller]
pub fn backward(
    p: Block<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    look: Option<LookMut>,
    dropout: Option<Dropout>,
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    mut dx: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: BlockMut<&mut [f32]>,
) {
    let Block { attention: SelfAttention { attn, ln }, rest } = p;
    let BlockMut { attention: SelfAttention { attn: g_attn, ln: g_ln }, rest: g_rest } = g;
    let Scratch { attn: attn_scratch, pooled: pooled_scratch, rest: scratch, .. } = scratch;
    let RestScratch { cross: cross_scratch, own, seen, act, preact: spare, grad, dsum, .. } = scratch;
    let Saved { attn: attn_saved, pooled: pooled_saved, sums: saved } = saved;
    layer_norm::recompute(ln, saved.sum.view(), &saved.ln, own.view_mut());
    let seen = match &saved.cross {
        None => own.view(),
        Some(cross) => {
            layer_norm::recompute(&rest.cross_ln, cross.sum.view(), &cross.ln, seen.view_mut());
            seen.view()
        }
    };
    // in the forward pass: y = mlp_ln(mlp_sum)
    let sum = saved.mlp_sum.view();
    layer_norm::backward(&rest.mlp_ln, sum, &saved.mlp_ln, dy, Write::Set, dsum.view_mut(), &mut g_rest.mlp_ln);
    // in the forward pass: mlp_sum = seen + m ∘ mlp(seen)
    grad.assign(dsum);
    dropout::apply(dropout::at(dropout, Site::Mlp), dsum.view_mut());
    let (preact, act, spare) = (saved.preact.view(), act.view_mut(), spare.view_mut());
    let dseen = grad.view_mut();
    mlp::backward(
        &rest.mlp,
        size.activation,
        seen,
        preact,
        dsum.view(),
        Write::Add,
        dseen,
        act,
        spare,
        &mut g_rest.mlp,
    );
    if let (Some(LookMut { kv, shape, write, dkv }), Some(saved)) = (look, &saved.cross) {
        // in the forward pass: seen = cross_ln(sum)
        let sum = saved.sum.view();
        let dseen = grad.view();
        layer_norm::backward(&rest.cross_ln, sum, &saved.ln, dseen, Write::Set, dsum.view_mut(), &mut g_rest.cross_ln);
        // in the forward pass: sum = own + m ∘ cross_attention(own)
        grad.assign(dsum);
        dropout::apply(dropout::at(dropout, Site::CrossOutput), dsum.view_mut());
        let scratch = cross_scratch.as_mut().expect("buffers for texts that look at something");
        cross_attention::backward(
            &rest.cross,
            cross(shape, dropout),
            own.view(),
            kv,
            &saved.attn,
            dsum.view(),
            (Write::Add, grad.view_mut()),
            (write, dkv),
            scratch,
            &mut g_rest.cross,
        );
    }
    // in the forward pass: own = ln(sum)
    layer_norm::backward(ln, saved.sum.view(), &saved.ln, grad.view(), Write::Set, dsum.view_mut(), g_ln);
    // in the forward pass: sum = x + m ∘ attention(x), or its pooled rows
    let dbranch = dropout::branch(dropout::at(dropout, Site::AttentionOutput), dsum.view(), grad.view_mut());
    if let (Some(saved), Some(scratch)) = (pooled_saved, pooled_scratch) {
        let shape = pooled(size, sequences, dropout);
        pooled_attention::backward(attn, shape, x, saved, dbranch, dx.view_mut(), scratch, g_attn);
        scatter_add(dsum.view(), sequences, dx);
    } else if let (Some(saved), Some(scratch)) = (attn_saved, attn_scratch) {
        dx.assign(dsum);
        let shape = whole(size, sequences, dropout);
        attention::backward(attn, shape, x, saved, dbranch, Write::Add, dx, scratch, g_attn);
    }
}

/// Returns the shape of attention of all rows.
fn whole<'a>(size: &Size, sequences: &'a Sequences, dropout: Option<Dropout<'a>>) -> attention::Shape<'a> {
    let dropout = dropout::at(dropout, Site::Attention);
    attention::Shape { dropout, ..size.attention(sequences.ranges()) }
}

/// Returns the shape of pooled attention.
fn pooled<'a>(size: &Size, sequences: &'a Sequences, dropout: Option<Dropout<'a>>) -> pooled_attention::Shape<'a> {
    let dropout = dropout::at(dropout, Site::Attention);
    pooled_attention::Shape { sequences, heads: size.heads, causal: size.causal, dropout }
}

/// Returns the shape of cross-attention.
fn cross<'a>(shape: cross_attention::Shape<'a>, dropout: Option<Dropout<'a>>) -> cross_attention::Shape<'a> {
    cross_attention::Shape { dropout: dropout::at(dropout, Site::Cross), ..shape }
}
