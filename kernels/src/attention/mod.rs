//! Softmax attention per (sequence, head) over packed rows of unequal lengths.

pub mod naive;

/// Queries, or keys, or values: row i of head h is `data[i·row_stride + h·head_dim ..][..head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
}

/// The same, writable.
#[derive(Debug)]
pub struct HeadsMut<'a> {
    pub data: &'a mut [f32],
    pub row_stride: usize,
}

/// Which rows form a sequence, and how they see each other.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Sequence s has the query rows `q_offsets[s]..q_offsets[s + 1]` …
    pub q_offsets: &'a [usize],
    /// … and the key and value rows `kv_offsets[s]..kv_offsets[s + 1]`. Never fewer keys than queries when causal.
    pub kv_offsets: &'a [usize],
    pub heads: usize,
    pub head_dim: usize,
    /// Query i of n sees the first `keys − n + i + 1` keys: queries stand at the end of their sequence. So a lone
    /// query for the last row sees all, and equal offsets give the usual lower triangle.
    pub causal: bool,
}

/// out = softmax(q·kᵀ/√head_dim)·v (Vaswani et al. 2017, eq. 1); lse (heads, query rows) is the log-sum-exp of each
/// row of scaled scores, from which `backward` recomputes the probabilities.
pub fn forward(layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    naive::forward(layout, q, k, v, out, lse)
}

/// With P = exp(scores − lse), δ = Σ dout·out per row, dS = P∘(dout·vᵀ − δ)/√head_dim:
/// dq = dS·k, dk = dSᵀ·q, dv = Pᵀ·dout. All three are overwritten.
#[allow(clippy::too_many_arguments)]
pub fn backward(layout: Layout, q: Heads, k: Heads, v: Heads, out: Heads, lse: &[f32], dout: Heads, dqkv: DQkv) {
    naive::backward(layout, q, k, v, out, lse, dout, dqkv)
}

/// Where the gradients of q, k and v go. They may interleave in one buffer (packed q|k|v rows), hence offsets into
/// it instead of three slices: the gradient of q's row i, head h starts at `i·q_stride + q_offset + h·head_dim`.
#[derive(Debug)]
pub enum DQkv<'a> {
    /// One (rows, 3·heads·head_dim) buffer, columns q | k | v: queries and keys are the same rows.
    Packed(&'a mut [f32]),
    /// dq (query rows, heads·head_dim) and dkv (rows, 2·heads·head_dim), columns k | v.
    Split { dq: &'a mut [f32], dkv: &'a mut [f32] },
}
