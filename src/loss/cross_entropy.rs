//! Streaming softmax cross-entropy over a vocabulary, which is the loss of a language model.
//!
//! The class of a row should be its label, smoothed (Szegedy et al. 2016, section 7):
//!
//! ```text
//! S             = x Wᵀ + b
//! targetⱼ       = (1 − smoothing)·(1 if j is the label, else 0) + smoothing/V
//! loss of a row = −Σⱼ targetⱼ ln Pⱼ
//!               = lse(S) − (1 − smoothing)·S of the label − smoothing·mean(S)
//! loss          = Σ weight · loss of the row
//! ```
//!
//! rows x (N,d), output matrix W (V,d), bias b (V), logits S (N,V) and their softmax P
//!
//! Weights of 1/(number of labels) make it a mean. A row without a label, or with weight 0, costs nothing, because the
//! products take only the others.
//!
//! # Derivation
//! The gradient of the logits is that of a softmax; then follows a linear layer.
//!
//! ```text
//! dS  = weight·(P − target)
//! dx  = dS W
//! dW += dSᵀ x
//! db += Σₙ dS
//! ```
//!
//! W may also be a table of embeddings, because its gradient adds to what is there.
//!
//! # Memory
//! At most 32 MB of logits exist at a time, those of some hundred rows, whatever N and V are. As the weights are known
//! beforehand, the backward pass gives the loss as well and needs no forward pass before it. That makes three products
//! in all, where going through the logits twice would take a fourth.

use crate::layers::linear::{self, Linear};
use crate::layers::{floats_mut, mat};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Epilogue, Mat, MatMut, cross_entropy, embedding, gemm::gemm, reduce};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::{AddAssign, Range};

/// The most logits in memory: 32 MB, hundreds of rows of a usual vocabulary, so that the products are at full speed.
const MAX_LOGITS: usize = 8 << 20;

tree! {
    /// The buffers of a block of rows.
    ///
    /// `logits` (rows,V), `taken`, `dtaken` (rows,d), `hits` (1,rows)
    Scratch { logits, taken, dtaken, hits }
}

impl Scratch<Dim> {
    /// Returns the sizes for N rows of `width` over a vocabulary of V.
    pub fn dims(n: usize, width: usize, vocabulary: usize) -> Self {
        Self::of_blocks(n.min((MAX_LOGITS / vocabulary.max(1)).max(1)), width, vocabulary)
    }

    /// Returns the sizes for blocks of this many rows.
    pub fn of_blocks(rows: usize, width: usize, vocabulary: usize) -> Self {
        let row = Dim(rows, width);
        Scratch { logits: Dim(rows, vocabulary), taken: row, dtaken: row, hits: Dim(1, rows) }
    }
}

/// The rows that have a label, their classes, and how much each of them counts.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    rows: Vec<u32>,
    classes: Vec<u32>,
    weights: Vec<f32>,
}

impl Labels {
    /// Takes a class and a weight for each row, or none. Buffers are reused.
    pub fn fill(&mut self, labels: impl IntoIterator<Item = Option<(u32, f32)>>) {
        self.rows.clear();
        self.classes.clear();
        self.weights.clear();
        for (row, label) in labels.into_iter().enumerate() {
            if let Some((class, weight)) = label.filter(|&(_, weight)| weight != 0.0) {
                self.rows.push(row as u32);
                self.classes.push(class);
                self.weights.push(weight);
            }
        }
    }

    /// Takes a class for each row, or none; the loss is then the mean over the rows that have one. Buffers are reused.
    pub fn fill_mean(&mut self, labels: impl IntoIterator<Item = Option<u32>>) {
        self.fill(labels.into_iter().map(|class| class.map(|class| (class, 1.0))));
        let weight = 1.0 / self.len() as f32;
        self.weights.fill(weight);
    }

    /// Returns the number of rows with a label.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row has a label.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists the rows with a label, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// What the labels of a batch come to. Divided by `weight`, both others are means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Σ weight · loss of the row
    pub loss: f64,
    /// Σ weight of the rows of which no class has a larger logit than the label.
    pub hits: f64,
    /// Σ weight
    pub weight: f64,
}

impl Sums {
    /// Returns the numbers to be sent elsewhere, where [`Sums::of`] makes sums of them again.
    pub(crate) fn numbers(&self) -> [f64; 3] {
        [self.loss, self.hits, self.weight]
    }

    /// Makes sums of their [numbers](Sums::numbers).
    pub(crate) fn of([loss, hits, weight]: [f64; 3]) -> Self {
        Sums { loss, hits, weight }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.loss += other.loss;
        self.hits += other.hits;
        self.weight += other.weight;
    }
}

/// loss = Σ weight · loss of the row
///
/// W (V,d), b (V), `x` (N,d), `losses` (labels)
///
/// On return `losses` holds the loss of each row with a label, without its weight.
#[track_caller]
pub fn forward(
    p: &Linear<impl Read>,
    x: ArrayView2<f32>,
    labels: &Labels,
    smoothing: f32,
    losses: &mut [f32],
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) -> f32 {
    let mut buffers = Buffers::new(p, x, labels, losses, scratch);
    for block in blocks(labels.len(), buffers.rows) {
        let Block { logits, .. } = buffers.logits(p, x, &labels.rows[block.clone()]);
        cross_entropy::forward(logits, &labels.classes[block.clone()], smoothing, &mut losses[block]);
    }
    weighted_sum(&labels.weights, losses) as f32
}

/// dx = dS W, dW += dSᵀ x, db += Σₙ dS
///
/// W (V,d), b (V), `x`, `dx` (N,d), `losses` (labels)
///
/// Returns the loss, with what else the logits tell, and writes `losses` as [`forward`] does, which need not be called
/// before.
#[track_caller]
pub fn backward(
    p: &Linear<&[f32]>,
    x: ArrayView2<f32>,
    labels: &Labels,
    smoothing: f32,
    losses: &mut [f32],
    mut dx: ArrayViewMut2<f32>,
    g: &mut Linear<&mut [f32]>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) -> Sums {
    assert_eq!(dx.dim(), x.dim(), "rows and their gradients");
    let mut buffers = Buffers::new(p, x, labels, losses, scratch);
    let (width, vocabulary) = (x.ncols(), p.bias.len());
    dx.fill(0.0);
    let weight = labels.weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut sums = Sums { weight, ..Sums::default() };
    for block in blocks(labels.len(), buffers.rows) {
        let (rows, classes) = (&labels.rows[block.clone()], &labels.classes[block.clone()]);
        let Block { logits: ds, taken, dtaken, hits } = buffers.logits(p, x, rows);
        let weights = &labels.weights[block.clone()];
        // in the forward pass: loss = Σ weight · cross-entropy(S)
        cross_entropy::backward(ds, classes, weights, smoothing, &mut losses[block], hits);
        sums.hits += weighted_sum(weights, hits);
        // in the forward pass: S = x Wᵀ + b
        reduce::add_column_sums(ds, g.bias);
        let ds = Mat::new(ds, rows.len(), vocabulary);
        let weight = Mat::new(p.weight, vocabulary, width);
        gemm(1.0, ds, weight, 0.0, MatMut::new(dtaken, rows.len(), width), Epilogue::None);
        let dweight = MatMut::new(g.weight, vocabulary, width);
        gemm(1.0, ds.t(), Mat::new(taken, rows.len(), width), 1.0, dweight, Epilogue::None);
        // in the forward pass: the rows with a label were taken out of x
        embedding::scatter_add(dtaken, rows, width, floats_mut(dx.view_mut()));
    }
    sums.loss = weighted_sum(&labels.weights, losses);
    sums
}

/// The scratch of one call.
struct Buffers<'a> {
    /// The most rows of a block.
    rows: usize,
    all: Block<'a>,
}

/// The buffers of a block of rows.
struct Block<'a> {
    logits: &'a mut [f32],
    taken: &'a mut [f32],
    dtaken: &'a mut [f32],
    hits: &'a mut [f32],
}

impl<'a> Buffers<'a> {
    /// Takes the scratch apart; panics unless all sizes fit.
    #[track_caller]
    fn new(
        p: &Linear<impl Read>,
        x: ArrayView2<f32>,
        labels: &Labels,
        losses: &[f32],
        scratch: &'a mut Scratch<ArrayViewMut2<f32>>,
    ) -> Self {
        let (vocabulary, width, rows) = (p.bias.rows().len(), x.ncols(), scratch.logits.nrows());
        assert_eq!(losses.len(), labels.len(), "losses and labels");
        assert!(labels.rows.last().is_none_or(|&last| (last as usize) < x.nrows()), "labels for {} rows", x.nrows());
        assert!(rows > 0 || labels.is_empty(), "scratch for no rows");
        assert_eq!((scratch.logits.ncols(), scratch.taken.dim()), (vocabulary, (rows, width)), "sizes of the scratch");
        let Scratch { logits, taken, dtaken, hits } = scratch;
        let [logits, taken, dtaken, hits] = [logits, taken, dtaken, hits].map(|buffer| floats_mut(buffer.view_mut()));
        Buffers { rows, all: Block { logits, taken, dtaken, hits } }
    }

    /// Computes the logits of these rows, and returns them, the rows themselves, and room for the rows' gradients and
    /// hits.
    fn logits(&mut self, p: &Linear<impl Read>, x: ArrayView2<f32>, rows: &[u32]) -> Block<'_> {
        let (n, width, vocabulary) = (rows.len(), x.ncols(), p.bias.rows().len());
        let [taken, dtaken] = [&mut *self.all.taken, &mut *self.all.dtaken].map(|rows| &mut rows[..n * width]);
        embedding::gather(mat(x).data, rows, width, taken);
        let logits = &mut self.all.logits[..n * vocabulary];
        let matrix = |data| ArrayView2::from_shape((n, width), data).expect("n·width floats");
        let out = ArrayViewMut2::from_shape((n, vocabulary), &mut *logits).expect("n·vocabulary floats");
        linear::forward(p, matrix(&*taken), out);
        Block { logits, taken, dtaken, hits: &mut self.all.hits[..n] }
    }
}

/// Cuts `0..n` into blocks of `rows`.
fn blocks(n: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(rows.max(1)).map(move |start| start..n.min(start + rows))
}

/// Σ weight·value, in f64 and in the order of the labels
fn weighted_sum(weights: &[f32], values: &[f32]) -> f64 {
    weights.iter().zip(values).map(|(&weight, &value)| f64::from(weight) * f64::from(value)).sum()
}
