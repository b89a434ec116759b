//! The text Transformer of BLIP in its three uses: BERT (Devlin et al. 2019) with cross-attention in every block.
//!
//! A use is a choice of arguments. An encoder sees all rows of its text, a decoder's size is causal; a text that looks
//! at something has [`Sights`], and without them cross-attention is skipped. Texts are packed: a text has as many rows
//! as tokens, and no row is padding.

use super::initial::initial;
use super::sights::{Attended, Keys, Sights, SightsMut};
use crate::layers::block::Size;
use crate::layers::cross_attention;
use crate::layers::dropout::{self, Dropout, Pass, Site};
use crate::layers::keyless_attention;
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::post_norm::{
    self, Block, BlockMut, Look, LookMut, Looks, Part, Rest, Saved as BlockSaved, Scratch as BlockScratch,
    SelfAttention,
};
use crate::layers::sequences::{Pool, Sequences};
use crate::layers::token_embed;
use crate::models::{Captions, Keep};
use crate::params::Spec;
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Slice};
use std::ops::Range;

tree! {
    /// The tables of words and positions, and the LayerNorm of their sum.
    ///
    /// `word_embeddings` (V,d), `position_embeddings` (T,d)
    Embeddings { word_embeddings, position_embeddings, ln: LayerNorm }
}

tree! {
    /// What an encoder and a decoder may share: everything but self-attention.
    Shared { embeddings: Embeddings, layers: [Rest] }
}

tree! {
    /// A whole text Transformer.
    Text { attention: [SelfAttention], shared: Shared }
}

tree! {
    /// `xs` holds the input of each block, `embedded` the input of the embeddings' LayerNorm. `pooled` exists if one row
    /// of each text leaves the last block.
    ///
    /// `embedded`, `xs[i]` (N,d)
    Saved { embedded, ln: NormSaved, xs: [_], blocks: [BlockSaved], pooled: [BlockSaved?] }
}

tree! {
    /// `dx` and `dy` are the gradients of a block's input and output.
    ///
    /// `dx`, `dy` (N,d)
    Scratch { block: [BlockScratch?], pooled: [BlockScratch?], dx, dy }
}

/// The sizes of a text Transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The number V of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The largest number T of tokens of a text.
    pub positions: usize,
    /// The width of what texts look at.
    pub source: usize,
    /// The sizes of the blocks. A decoder's are causal.
    pub size: Size,
}

/// The parameters of a text Transformer, wherever a model's tree has them.
pub struct TextRef<'a, T> {
    pub attention: &'a [SelfAttention<T>],
    pub shared: &'a Shared<T>,
}

impl<T> Clone for TextRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TextRef<'_, T> {}

/// The gradients of the parameters of a text Transformer.
pub struct TextMut<'a, T> {
    pub attention: &'a mut [SelfAttention<T>],
    pub shared: &'a mut Shared<T>,
}

/// What a Transformer keeps from its forward to its backward pass. It is made once and reused for every batch.
#[derive(Debug, Default)]
pub struct Workspace {
    sequences: Sequences,
    /// What the last forward pass kept.
    keep: Keep,
    saved: Arena,
    /// The rows of all texts that look at each picture, and the same of the rows that leave.
    queries: Vec<Range<usize>>,
    leaving: Vec<Range<usize>>,
}

/// Returns the parameter table of the self-attention of all blocks.
pub fn attention_spec(size: &Size) -> Vec<SelfAttention<Spec>> {
    (0..size.layers).map(|_| SelfAttention::spec(size.width, initial(size.width))).collect()
}

impl Shape {
    /// Returns the parameter table. `multiplied` says that the table of words is also the matrix of a head.
    pub fn spec(&self, multiplied: bool) -> Text<Spec> {
        Text { attention: attention_spec(&self.size), shared: self.shared_spec(multiplied) }
    }

    /// Returns the parameter table of all but self-attention. Matrices and tables have the initial values of their width.
    pub fn shared_spec(&self, multiplied: bool) -> Shared<Spec> {
        let (width, init) = (self.size.width, initial(self.size.width));
        let words = Spec::new(&[self.vocab_size, width], init);
        Shared {
            embeddings: Embeddings {
                word_embeddings: if multiplied { Spec::table(self.vocab_size, width, init) } else { words },
                position_embeddings: Spec::new(&[self.positions, width], init),
                ln: LayerNorm::spec(width),
            },
            layers: (0..self.size.layers).map(|_| Rest::spec(&self.size, self.source, init)).collect(),
        }
    }

    /// Returns the sizes of the keys and values of this many rows.
    pub fn keys(&self, rows: usize) -> Keys<Dim> {
        Keys { kv: vec![Dim(rows, 2 * self.size.width); self.size.layers] }
    }

    /// Whether these texts, which look at rows of the source, take fewer multiply-adds [without keys and
    /// values](keyless_attention).
    pub fn looks_at_tokens(&self, texts: Captions, sights: Sights) -> bool {
        let offsets: Vec<usize> = texts.own_offsets().collect();
        let rows = |texts: &Range<usize>| offsets[texts.start]..offsets[texts.end];
        let queries: Vec<Range<usize>> = sights.texts.iter().map(rows).collect();
        keyless_attention::pays(sights.shape(&queries, self.size.heads), self.size.width, self.source)
    }

    /// Returns the part that whole blocks play, and the one that a pooled last block plays.
    fn parts(&self, sequences: &Sequences, pool: Pool, looks: Option<Looks>) -> (Part, Option<Part>) {
        let rows = sequences.rows();
        let pooled = (pool != Pool::All).then(|| Part { rows, pooled: Some(sequences.len()), looks });
        (Part { rows, pooled: None, looks }, pooled)
    }

    pub(super) fn saved(&self, sequences: &Sequences, pool: Pool, looks: Option<Looks>, keep: Keep) -> Saved<Dim> {
        let (whole, pooled) = self.parts(sequences, pool, looks);
        let (size, rows) = (&self.size, Dim(whole.rows, self.size.width));
        let blocks = size.layers - usize::from(pooled.is_some());
        // Every whole block has buffers of its own, or all blocks share those of one.
        let (xs, blocks) = match keep {
            Keep::All | Keep::Inputs => (size.layers, blocks),
            Keep::Nothing => (size.layers.min(2), blocks.min(1)),
        };
        Saved {
            embedded: rows,
            ln: NormSaved::dims(whole.rows),
            xs: vec![rows; xs],
            blocks: (0..blocks).map(|_| BlockSaved::dims(size, whole, keep)).collect(),
            pooled: pooled.map(|part| BlockSaved::dims(size, part, keep)),
        }
    }

    fn scratch(&self, sequences: &Sequences, pool: Pool, looks: Option<Looks>) -> Scratch<Dim> {
        let (whole, pooled) = self.parts(sequences, pool, looks);
        let rows = Dim(whole.rows, self.size.width);
        Scratch {
            block: (self.size.layers > usize::from(pooled.is_some())).then(|| BlockScratch::dims(&self.size, whole)),
            pooled: pooled.map(|part| BlockScratch::dims(&self.size, part)),
            dx: rows,
            dy: rows,
        }
    }

    #[track_caller]
    fn check(&self, texts: &Captions) {
        for pair in texts.offsets.windows(2) {
            let len = pair[1] - pair[0];
            assert!(len <= self.positions, "text of {len} tokens, {} positions", self.positions);
        }
    }
}

impl<T> Text<T> {
    /// Views the Transformer's parts.
    pub fn as_ref(&self) -> TextRef<'_, T> {
        TextRef { attention: &self.attention, shared: &self.shared }
    }

    /// Views the Transformer's parts to write them.
    pub fn as_mut(&mut self) -> TextMut<'_, T> {
        TextMut { attention: &mut self.attention, shared: &mut self.shared }
    }
}

impl<'a, T> TextRef<'a, T> {
    fn block(&self, i: usize) -> Block<'a, T> {
        Block { attention: &self.attention[i], rest: &self.shared.layers[i] }
    }
}

impl Workspace {
    /// Takes a batch: the rows of its texts, and which of them look at each picture.
    fn fill(&mut self, texts: Captions, sights: Option<Sights>, pool: Pool) {
        self.sequences.fill(texts.own_offsets(), pool);
        self.queries.clear();
        let ranges = self.sequences.ranges();
        for texts in sights.iter().flat_map(|sights| sights.texts) {
            let rows = ranges[texts.clone()].first().zip(ranges[texts.clone()].last());
            self.queries.push(rows.map_or(0..0, |(first, last)| first.start..last.end));
        }
        self.leaving.clear();
        if pool != Pool::All {
            self.leaving.extend(sights.iter().flat_map(|sights| sights.texts).cloned());
        }
    }
}

/// kv\[i\] = the keys and values of block i for all rows of the source
///
/// `source` (M,D), `kv[i]` (M,2d)
#[track_caller]
pub fn keys(p: &Shared<impl Read>, source: ArrayView2<f32>, keys: &mut Keys<ArrayViewMut2<f32>>) {
    for (layer, kv) in p.layers.iter().zip(&mut keys.kv) {
        cross_attention::keys(&layer.cross, source, kv.view_mut());
    }
}

/// Adds to `dsource` the gradient of the source that all blocks' keys and values give, and to `g` those of
/// `cross.key_value`.
///
/// `source`, `dsource` (M,D), `dkv[i]` (M,2d)
#[track_caller]
pub fn backward_keys(
    p: &Shared<&[f32]>,
    source: ArrayView2<f32>,
    dkeys: &Keys<ArrayViewMut2<f32>>,
    mut dsource: ArrayViewMut2<f32>,
    g: &mut Shared<&mut [f32]>,
) {
    for ((layer, dkv), g) in p.layers.iter().zip(&dkeys.kv).zip(&mut g.layers) {
        cross_attention::backward_keys(&layer.cross, source, dkv.view(), dsource.view_mut(), &mut g.cross);
    }
}

/// y = the rows behind the last block: of every text the first, the last, or all
///
/// `y` (R,d)
///
/// Texts with `sights` look at the rows that are [attended](Attended) to. `dropout` drops values and probabilities in training;
/// [`backward`] drops the same.
#[track_caller]
pub fn forward(
    p: TextRef<impl Read>,
    shape: &Shape,
    texts: Captions,
    sights: Option<(Sights, Attended)>,
    (pool, keep): (Pool, Keep),
    dropout: Option<Pass>,
    mut y: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    shape.check(&texts);
    workspace.fill(texts, sights.map(|(sights, _)| sights), pool);
    workspace.sequences.drop(dropout);
    workspace.keep = keep;
    let Workspace { sequences, saved, queries, leaving, .. } = workspace;
    let looks = sights.map(|(sights, attended)| attended.looks(sights));
    let saved = &mut saved.carve(&shape.saved(sequences, pool, looks, keep));
    let scratch = &mut scratch.carve(&shape.scratch(sequences, pool, looks));
    embed(p.shared, shape, texts, sequences, saved);
    let layers = shape.size.layers;
    let whole = layers - usize::from(saved.pooled.is_some());
    let buffers = saved.xs.len();
    for i in 0..layers {
        let is_whole = i < whole;
        let dropout = sequences.dropout(i, !is_whole);
        let queries = if is_whole { &*queries } else { &*leaving };
        let look = sights
            .map(|(sights, attended)| Look { at: attended.at(i), shape: sights.shape(queries, shape.size.heads) });
        let (block_saved, block_scratch) = if is_whole {
            let kept = saved.blocks.len();
            (&mut saved.blocks[i % kept], scratch.block.as_mut().expect("buffers of whole blocks"))
        } else {
            (saved.pooled.as_mut().expect("a pooled block"), scratch.pooled.as_mut().expect("its buffers"))
        };
        if i + 1 == layers {
            let x = saved.xs[i % buffers].view();
            let y = y.view_mut();
            post_norm::forward(p.block(i), &shape.size, sequences, look, dropout, x, y, block_saved, block_scratch);
        } else {
            let [x, next] = saved.xs.get_disjoint_mut([i % buffers, (i + 1) % buffers]).expect("two buffers or more");
            let (x, next) = (x.view(), next.view_mut());
            post_norm::forward(p.block(i), &shape.size, sequences, look, dropout, x, next, block_saved, block_scratch);
        }
    }
}

/// xs\[0\] = m ∘ ln(word + position)
fn embed(
    p: &Shared<impl Read>,
    shape: &Shape,
    texts: Captions,
    sequences: &Sequences,
    saved: &mut Saved<ArrayViewMut2<f32>>,
) {
    let Embeddings { word_embeddings, position_embeddings, ln } = &p.embeddings;
    let (ids, positions) = (texts.own_ids(), sequences.positions());
    token_embed::forward(word_embeddings, position_embeddings, ids, positions, saved.embedded.view_mut());
    layer_norm::forward(ln, shape.size.eps, saved.embedded.view(), saved.xs[0].view_mut(), &mut saved.ln);
    dropout::apply(embedding_dropout(sequences), saved.xs[0].view_mut());
}

/// Returns what is dropped behind the embeddings.
fn embedding_dropout(sequences: &Sequences) -> Option<Dropout<'_>> {
    dropout::at(sequences.dropout(0, false), Site::Embedding)
}

/// attention = mean over the heads of softmax(q kᵀ/√c) in the last block
///
/// Says how much each row of a text attends to each row of the one picture that it looks at. It is read from what
/// [`forward`] kept of the text with all its rows.
///
/// `attention` (N,M)
pub fn attention(shape: &Shape, keys: &Keys<ArrayView2<f32>>, workspace: &mut Workspace) -> Array2<f32> {
    let Workspace { sequences, saved, keep, .. } = workspace;
    let saved = saved.carve(&shape.saved(sequences, Pool::All, Some(Looks::AtKeys), *keep));
    let last = saved.blocks.last().and_then(|block| block.sums.cross.as_ref());
    let q = last.expect("a text that looks at a picture").attn.q.view();
    let kv = keys.kv.last().expect("as many keys as blocks");
    let (heads, c) = (shape.size.heads, shape.size.width / shape.size.heads);
    let mut attention = Array2::zeros((q.nrows(), kv.nrows()));
    for head in 0..heads {
        let columns = Slice::from(head * c..(head + 1) * c);
        let scores = q.slice_axis(Axis(1), columns).dot(&kv.slice_axis(Axis(1), columns).t()) / (c as f32).sqrt();
        for (mut sum, scores) in attention.rows_mut().into_iter().zip(scores.rows()) {
            let highest = scores.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let weights = scores.mapv(|score| (score - highest).exp());
            sum.scaled_add(1.0 / (heads as f32 * weights.sum()), &weights);
        }
    }
    attention
}

/// Adds to `g` the gradients of all parameters but `cross.key_value`, and sets the gradients of the keys and values that
/// the texts looked at, or adds to them.
///
/// `dy` (R,d), `dkv[i]` (M,2d)
///
/// The last [`forward`] in `workspace` must have been one of these texts that kept all or the inputs.
#[track_caller]
pub fn backward(
    p: TextRef<&[f32]>,
    shape: &Shape,
    texts: Captions,
    mut sights: Option<SightsMut>,
    pool: Pool,
    dy: ArrayView2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    g: TextMut<&mut [f32]>,
) {
    let Workspace { sequences, keep, saved, queries, leaving } = workspace;
    let looks = sights.is_some().then_some(Looks::AtKeys);
    let saved = &saved.carve(&shape.saved(sequences, pool, looks, *keep));
    let Scratch { block, pooled, dx, dy: dy_buffer } = &mut scratch.carve(&shape.scratch(sequences, pool, looks));
    let whole = saved.blocks.len();
    for i in (0..shape.size.layers).rev() {
        let is_whole = i < whole;
        let look = sights.as_mut().map(|SightsMut { sights, keys, write, dkeys }| {
            let queries = if is_whole { &*queries } else { &*leaving };
            let (kv, shape, dkv) = (keys.kv[i], sights.shape(queries, shape.size.heads), dkeys.kv[i].view_mut());
            LookMut { kv, shape, write: *write, dkv }
        });
        let (saved_block, scratch) = if is_whole {
            (&saved.blocks[i], block.as_mut().expect("buffers of whole blocks"))
        } else {
            (saved.pooled.as_ref().expect("a pooled block"), pooled.as_mut().expect("its buffers"))
        };
        let g = BlockMut { attention: &mut g.attention[i], rest: &mut g.shared.layers[i] };
        // in the forward pass: y, or the next block's x, = block(x)
        let dy = if i + 1 == shape.size.layers { dy } else { dy_buffer.view() };
        let (x, dx_view) = (saved.xs[i].view(), dx.view_mut());
        let dropout = sequences.dropout(i, !is_whole);
        post_norm::backward(p.block(i), &shape.size, sequences, look, dropout, x, dy, dx_view, saved_block, scratch, g);
        std::mem::swap(dx, dy_buffer);
    }
    let (dy, dembedded) = (dy_buffer, dx);
    // in the forward pass: xs[0] = m ∘ ln(embedded)
    dropout::apply(embedding_dropout(sequences), dy.view_mut());
    let (ln, embedded) = (&p.shared.embeddings.ln, saved.embedded.view());
    let g = &mut g.shared.embeddings;
    layer_norm::backward(ln, embedded, &saved.ln, dy.view(), Write::Set, dembedded.view_mut(), &mut g.ln);
    // in the forward pass: embedded = word + position
    let (ids, positions) = (texts.own_ids(), sequences.positions());
    token_embed::backward(ids, positions, dembedded.view(), g.word_embeddings, g.position_embeddings);
}
