//! The decoder one token at a time.
//!
//! A row of a batch is a text that grows: a prompt, then one token a step. What its tokens ask and answer in
//! self-attention never changes afterwards under a causal mask, so the keys and values of each block are kept in a
//! cache, and a step computes the new token alone. A prompt goes through in one pass. Several rows may go on from one
//! row of the step before, as the beams of a search do; they take over its cache. All rows that look at one picture
//! read the same keys and values.
//!
//! What leaves the last block is the last token of each row, since nothing else is read.

use super::head::{self, Head};
use super::sights::{Attended, Keys, Sights};
use super::text::{self, Shape, TextRef, Workspace};
use crate::layers::block::Size;
use crate::layers::cross_attention;
use crate::layers::layer_norm::{self, Saved as NormSaved};
use crate::layers::linear;
use crate::layers::pooled_attention::{heads, in_proj};
use crate::layers::post_norm::{self, At, Block, Look, Looks, RestScratch, Sums};
use crate::layers::sequences::Pool;
use crate::layers::token_embed;
use crate::layers::{Keep, floats, floats_mut, rows, rows_mut};
use crate::loss::cross_entropy::Labels;
use crate::models::Packed;
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use kernels::attention::{HeadsMut, Layout};
use kernels::embedding;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// The buffers of one step over N tokens in R rows.
    ///
    /// `embedded`, `x`, `out` (N,d), `q` (N,d), `kv` (N,2d), `lse` (H,N), `last`, `y` (R,d)
    Buffers {
        embedded,
        ln: NormSaved,
        x,
        q,
        kv,
        out,
        lse,
        sums: Sums,
        rest: RestScratch,
        last,
        last_sums: Sums,
        last_rest: RestScratch,
        y,
    }
}

/// A decoder and what its texts look at.
pub struct Decoder<'a, R> {
    pub text: TextRef<'a, R>,
    pub head: &'a Head<R>,
    pub shape: Shape,
    /// The keys and values of the source.
    pub keys: Keys<ArrayView2<'a, f32>>,
    /// The rows in the source that the texts of each request look at.
    pub sources: &'a [Range<usize>],
}

/// The rows of a batch between two steps.
#[derive(Debug, Default)]
pub struct Decoding {
    /// The most tokens of a row.
    capacity: usize,
    /// The request that each row belongs to.
    requests: Vec<usize>,
    /// How many tokens each row has in the caches.
    lengths: Vec<usize>,
    /// The keys and values of each block: row r has `capacity` of 2d floats, from r·capacity on.
    caches: Vec<Vec<f32>>,
    /// Where rows are copied to when they change places.
    spare: Vec<f32>,
    buffers: Arena,
    head: Arena,
    logits: Array2<f32>,
}

/// The tokens that a step adds, end to end.
struct New<'a> {
    ids: &'a [u32],
    /// The new tokens of each row.
    ranges: Vec<Range<usize>>,
    positions: Vec<u32>,
}

impl Buffers<Dim> {
    fn dims(shape: &Shape, tokens: usize, rows: usize) -> Self {
        let (size, width) = (&shape.size, shape.size.width);
        let (all, last) = (Dim(tokens, width), Dim(rows, width));
        Buffers {
            embedded: all,
            ln: NormSaved::dims(tokens),
            x: all,
            q: all,
            kv: Dim(tokens, 2 * width),
            out: all,
            lse: Dim(size.heads, tokens),
            sums: Sums::dims(size, tokens, true, Keep::Nothing),
            rest: RestScratch::dims(size, tokens, Some(Looks::AtKeys)),
            last,
            last_sums: Sums::dims(size, rows, true, Keep::Nothing),
            last_rest: RestScratch::dims(size, rows, Some(Looks::AtKeys)),
            y: last,
        }
    }
}

impl<R: Read> Decoder<'_, R> {
    /// Returns the sum of the losses of each text's tokens behind the first. All texts look at the first source.
    #[track_caller]
    pub fn losses(&self, texts: &[&[u32]], smoothing: f32) -> Vec<f32> {
        let packed = Packed::new(texts);
        let captions = packed.captions();
        let (shape, all) = (&self.shape, 0..texts.len());
        let mut states = Array2::zeros((captions.ids.len(), shape.size.width));
        let (mut workspace, mut scratch, mut arena) = (Workspace::default(), Arena::default(), Arena::default());
        let sights = Sights { texts: std::slice::from_ref(&all), rows: &self.sources[..1] };
        let (how, y) = ((Pool::All, Keep::Nothing), states.view_mut());
        text::forward(
            self.text,
            shape,
            captions,
            Some((sights, Attended::Keys(&self.keys))),
            how,
            None,
            y,
            &mut workspace,
            &mut scratch,
        );
        let mut labels = Labels::default();
        labels.fill(texts.iter().flat_map(|text| {
            let next = text[1..].iter().map(|&id| Some((id, 1.0)));
            next.chain([None])
        }));
        let mut losses = vec![0.0; labels.len()];
        let table = self.text.shared.embeddings.word_embeddings;
        head::losses(self.head, table, shape, states.view(), &labels, smoothing, &mut losses, &mut arena);
        let mut losses = losses.into_iter();
        texts.iter().map(|text| losses.by_ref().take(text.len() - 1).sum()).collect()
    }
}

impl Decoding {
    /// Reads the prompts, one for each request, and returns the logits behind the last token of each. No text will have
    /// more than `capacity` tokens.
    ///
    /// returns (requests,V)
    ///
    /// # Panics
    /// If a prompt is empty or longer than `capacity`, or `capacity` is larger than the decoder's number of positions.
    #[track_caller]
    pub fn start<R: Read>(&mut self, decoder: &Decoder<R>, prompts: &[&[u32]], capacity: usize) -> ArrayView2<'_, f32> {
        assert!(
            capacity <= decoder.shape.positions,
            "texts of {capacity} tokens, {} positions",
            decoder.shape.positions
        );
        assert_eq!(prompts.len(), decoder.sources.len(), "prompts and sources");
        self.capacity = capacity;
        self.requests = (0..prompts.len()).collect();
        self.lengths = vec![0; prompts.len()];
        let size = decoder.shape.size;
        self.caches.resize_with(size.layers, Vec::new);
        for cache in &mut self.caches {
            cache.clear();
            cache.resize(prompts.len() * capacity * 2 * size.width, 0.0);
        }
        self.step(decoder, &prompts.concat(), prompts.iter().map(|prompt| prompt.len()))
    }

    /// Goes on: row r continues row `parents[r]` of the call before with `tokens[r]`. Rows that nobody continues are
    /// gone.
    ///
    /// returns (rows,V)
    #[track_caller]
    pub fn advance<R: Read>(&mut self, decoder: &Decoder<R>, parents: &[usize], tokens: &[u32]) -> ArrayView2<'_, f32> {
        self.take_over(decoder.shape.size.width, parents);
        self.step(decoder, tokens, tokens.iter().map(|_| 1))
    }

    /// Row r becomes a copy of row `parents[r]`.
    fn take_over(&mut self, width: usize, parents: &[usize]) {
        let room = self.capacity * 2 * width;
        let lengths: Vec<usize> = parents.iter().map(|&parent| self.lengths[parent]).collect();
        if parents.iter().copied().ne(0..self.lengths.len()) {
            for cache in &mut self.caches {
                self.spare.resize(parents.len() * room, 0.0);
                for ((row, &parent), length) in self.spare.chunks_exact_mut(room).zip(parents).zip(&lengths) {
                    let used = length * 2 * width;
                    row[..used].copy_from_slice(&cache[parent * room..][..used]);
                }
                std::mem::swap(cache, &mut self.spare);
            }
        }
        self.requests = parents.iter().map(|&parent| self.requests[parent]).collect();
        self.lengths = lengths;
    }

    /// Computes the new tokens of all rows.
    #[track_caller]
    fn step<R: Read>(
        &mut self,
        decoder: &Decoder<R>,
        ids: &[u32],
        lengths: impl Iterator<Item = usize>,
    ) -> ArrayView2<'_, f32> {
        let new = self.grow(ids, lengths);
        let Decoder { text, head, shape, .. } = decoder;
        let rows = self.lengths.len();
        self.logits = Array2::zeros((rows, shape.vocab_size));
        if rows > 0 {
            let mut buffers = std::mem::take(&mut self.buffers);
            let carved = &mut buffers.carve(&Buffers::dims(shape, ids.len(), rows));
            self.blocks(decoder, &new, carved);
            let table = text.shared.embeddings.word_embeddings;
            head::logits(head, table, shape, carved.y.view(), self.logits.view_mut(), &mut self.head);
            self.buffers = buffers;
        }
        self.logits.view()
    }

    /// Makes room for the new tokens.
    #[track_caller]
    fn grow<'a>(&mut self, ids: &'a [u32], lengths: impl Iterator<Item = usize>) -> New<'a> {
        let (mut ranges, mut positions, mut start) = (vec![], vec![], 0);
        for (length, new) in self.lengths.iter_mut().zip(lengths) {
            assert!(new > 0 && *length + new <= self.capacity, "{new} more tokens than {length}, of {}", self.capacity);
            positions.extend(*length as u32..(*length + new) as u32);
            ranges.push(start..start + new);
            start += new;
            *length += new;
        }
        assert_eq!(start, ids.len(), "new tokens and their lengths");
        New { ids, ranges, positions }
    }

    /// y = the last new row of each text behind the last block
    fn blocks<R: Read>(&mut self, decoder: &Decoder<R>, new: &New, buffers: &mut Buffers<ArrayViewMut2<f32>>) {
        let &Decoder { text, ref shape, .. } = decoder;
        let Buffers { embedded, ln, x, q, kv, out, lse, sums, rest, last, last_sums, last_rest, y } = buffers;
        let (size, embeddings) = (&shape.size, &text.shared.embeddings);
        let (words, positions) = (&embeddings.word_embeddings, &embeddings.position_embeddings);
        token_embed::forward(words, positions, new.ids, &new.positions, embedded.view_mut());
        layer_norm::forward(&embeddings.ln, size.eps, embedded.view(), x.view_mut(), ln);

        let singles: Vec<Range<usize>> = (0..new.ranges.len()).map(|row| row..row + 1).collect();
        let ends: Vec<u32> = new.ranges.iter().map(|range| range.end as u32 - 1).collect();
        let pick = |x: ArrayView2<f32>, y: ArrayViewMut2<f32>| {
            embedding::gather(floats(x), &ends, size.width, floats_mut(y));
        };
        for i in 0..size.layers {
            let is_last = i + 1 == size.layers;
            let block = Block { attention: &text.attention[i], rest: &text.shared.layers[i] };
            let attn = &block.attention.attn;
            let (in_q, in_kv) = in_proj(attn, size.width);
            linear::forward(&in_kv, x.view(), kv.view_mut());
            self.store(i, kv.view(), &new.ranges);
            let ranges = if is_last { &singles } else { &new.ranges };
            let count = ranges.last().map_or(0, |range| range.end);
            // The rows whose queries are asked: all new ones, or the last of each text.
            let asking = if is_last {
                pick(x.view(), last.view_mut());
                last.view()
            } else {
                x.view()
            };
            let mut q = rows_mut(q.view_mut(), &(0..count));
            linear::forward(&in_q, asking, q.view_mut());
            self.attend(i, size, q.view(), ranges, out, lse);
            let (sums, rest) = if is_last { (&mut *last_sums, &mut *last_rest) } else { (&mut *sums, &mut *rest) };
            let out = rows(out.view(), &(0..count));
            linear::forward_residual(&attn.out_proj, out, asking, sums.sum.view_mut());
            let (queries, source) = self.looks(ranges, decoder.sources);
            let at = At::Keys(decoder.keys.kv[i]);
            let shape = cross_attention::Shape { queries: &queries, source: &source, heads: size.heads, dropout: None };
            let y = if is_last { y.view_mut() } else { x.view_mut() };
            post_norm::behind_attention(block, size, Some(Look { at, shape }), None, y, sums, rest);
        }
    }

    /// Puts the new keys and values of a block behind those that each row has.
    fn store(&mut self, block: usize, kv: ArrayView2<f32>, new: &[Range<usize>]) {
        let width = kv.ncols();
        let kv = floats(kv);
        for (row, (range, end)) in new.iter().zip(&self.lengths).enumerate() {
            let at = (row * self.capacity + end - range.len()) * width;
            let from = &kv[range.start * width..range.end * width];
            self.caches[block][at..at + from.len()].copy_from_slice(from);
        }
    }

    /// out = softmax(q kᵀ/√c) v over all tokens that each row has
    fn attend(
        &self,
        block: usize,
        size: &Size,
        q: ArrayView2<f32>,
        queries: &[Range<usize>],
        out: &mut ArrayViewMut2<f32>,
        lse: &mut ArrayViewMut2<f32>,
    ) {
        let cache = &self.caches[block];
        let kv = ArrayView2::from_shape((cache.len() / (2 * size.width), 2 * size.width), cache).expect("whole rows");
        let (q, k, v) = heads(q, kv);
        let seen: Vec<Range<usize>> = (self.lengths.iter().enumerate())
            .map(|(row, length)| row * self.capacity..row * self.capacity + length)
            .collect();
        let head_dim = size.width / size.heads;
        let layout = Layout { q: queries, kv: &seen, heads: size.heads, head_dim, causal: true, dropout: None };
        let out = HeadsMut { data: floats_mut(out.view_mut()), row_stride: size.width };
        kernels::attention::forward(layout, q, k, v, out, floats_mut(lse.view_mut()));
    }

    /// Returns the runs of rows that look at the same source, and what each of them looks at.
    fn looks(&self, ranges: &[Range<usize>], sources: &[Range<usize>]) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
        let mut runs: Vec<(Range<usize>, usize)> = vec![];
        for (range, &request) in ranges.iter().zip(&self.requests) {
            match runs.last_mut() {
                Some((run, same)) if *same == request => run.end = range.end,
                _ => runs.push((range.clone(), request)),
            }
        }
        runs.into_iter().map(|(run, request)| (run, sources[request].clone())).unzip()
    }
}
