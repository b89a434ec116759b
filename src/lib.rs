//! CLIP and BLIP from scratch: every forward **and backward** pass written by hand, on ordinary CPUs.
//!
//! CLIP (Radford et al. 2021, [arXiv 2103.00020](https://arxiv.org/abs/2103.00020)) maps pictures and captions into one
//! space: an image encoder and a text encoder are trained together so that a picture lies near its own caption and far
//! from the others of its batch.
//!
//! BLIP (Li et al. 2022, [arXiv 2201.12086](https://arxiv.org/abs/2201.12086)) adds a text Transformer that looks at a
//! picture, and judges whether a text fits or writes one.
//!
//! # Notation
//! One letter has one meaning in the whole workspace, in formulas, in shapes and in code. A shape is written `(N,d)`,
//! without spaces, on a line without a formula. Sizes that have no letter are words: `height`, `width` and `edge` of a
//! picture in pixels, `grid` of it in patches, `patch` and `kernel` for the edge of a square, `hidden` for the width
//! inside an MLP. `tests/house` reads this table and all comments, and holds them against each other.
//!
//! | letter | kind | meaning | in code |
//! |---|---|---|---|
//! | N | size | rows of a matrix, whatever they are: tokens, pixels, pairs; all sequences of a batch, end to end | `rows` |
//! | M | size | rows of the other side: what cross-attention looks at, what a loss or a ranking compares with | `columns` |
//! | R | size | rows that are picked of N, or leave a stack of blocks | |
//! | B | size | sequences (pictures or captions) of a batch | `sequences` |
//! | I, O | size | inputs and outputs of a linear layer or of a convolution | `inputs`, `outputs` |
//! | d | size | width of a Transformer: how many numbers a row has | `width` |
//! | D | size | width of the rows that cross-attention looks at | `source` |
//! | e | size | width of the joint space of embeddings | `embed_dim` |
//! | H, c | size | attention heads, and the width of one, c = d/H | `heads`, `head_dim` |
//! | C | size | channels of a picture in a convolution | `channels` |
//! | T, V | size | rows of the table of positions (the longest caption; patches and class token), vocabulary | `context_length`, `vocab_size` |
//! | K | size | patches that are embedded of a picture: all, or those that are kept | `kept` |
//! | x, y | array | input and output of a layer | `x`, `y` |
//! | z | array | a step between x and y, which the text beside it names | |
//! | W, b | array | weights and bias | `weight`, `bias` |
//! | u | array | the rows that cross-attention looks at, (M,D) | `source` |
//! | q, v | array | queries and values, one a row | `q`, `v` |
//! | k | array, index | keys, one a row; below the line, an index | `k` |
//! | S, P | array | scores or logits, and the softmax of their rows | `scores` or `logits`, `p` or `probs` |
//! | Q | array | the softmax of the columns of S | |
//! | X, Y | array | the rows and the columns that a loss compares, for example Î and T̂ | `rows`, `cols` |
//! | Î, T̂ | array | unit-length embeddings of pictures and of captions | `images`, `texts` |
//! | x̂ | array | x after normalisation | |
//! | m | array | the mask of dropout, 0 or 1/(1 − rate) | `mask` |
//! | w | array | all parameters of a model in one list | `params` |
//! | dx | array | ∂loss/∂x, for any x, with the shape of x | `dx` |
//! | p, g | tree | the parameters of a layer or a model, and their gradients | `p`, `g` |
//! | μ, σ², ε, r | number | mean, variance, the small number beside it, r = 1/√(σ² + ε) | `mean`, `var`, `eps`, `rstd` |
//! | s | number | exp(`logit_scale`), what cosines are multiplied by; 1/s is the temperature | `scale` |
//! | β₁, β₂, λ | number | how much of AdamW's two running means stays in a step, and the weight decay | `beta1`, `beta2`, `weight_decay` |
//! | α | number | the share of the other part in a mixture of two, as of soft targets in BLIP's contrast | `share` |
//! | δᵢⱼ | number | 1 if i = j, else 0 | |
//! | h | index, number | a head; in a central difference, the small step | `h` |
//! | i, j, l, n, o, t | index | indices | |
//! | a, f | any | any number, and any function or layer; fᵀ is its backward pass | |
//! | σ, φ, Φ | function | the sigmoid, the bell curve, and the area under it to the left of a number | |
//! | Σ, Π, ∘, ⟨,⟩, ∗, ⊗ | sign | sum, product, elementwise product, dot product, convolution, outer product | |
//!
//! Some places keep the letters of their field:
//!
//! | where | letter | kind | meaning |
//! |---|---|---|---|
//! | `kernels/src/gemm`, `kernels/benches/gemm.rs`, `kernels/src/attention/product.rs` | A, B, C | array | operands and result of a product, as in BLAS |
//! | `kernels/src/gemm` | M, N, K | size | rows and columns of C, and the depth: how many terms make an element of it |
//! | `kernels/src/gemm` | α, β | number | what the product and the C that was there are multiplied by |
//! | `kernels/src/gemm/winograd` | A, B, G, d, g, Y | array | transforms, inputs, a filter and outputs (Winograd 1980) |
//! | `src/eval/captions` | c, r, l, p, g, F, P, R, β, σ | any | lengths, shares and scores, as the papers on metrics have them |
//! | `src/eval/lbfgs.rs` | s, y | array | the steps of the search, and the changes of the gradient on them |
//! | `kernels/src/codes` | H, n, c, t, u, a, r, δ | any | the turn and the size of its blocks; codes, what they are multiples of, and what they leave out |
//! | `src/index/sketch.rs` | U | array | the directions in which vectors are largest, one a row |
//! | `src/index/sketch.rs`, `src/index/near.rs` | K | size | how many of them there are |
//! | `src/map` | P, Q | array | how much two vectors belong together, and how near they are on the map |
//! | `src/map` | x, y | array | a vector, and its place on the map |
//! | `src/map` | Z, β | number | what makes a sum 1, and how fast affinity falls with distance |
//! | `src/map` | K | size | how many directions or groups there are |
//! | `kernels/src/jpeg` | R, B, Y | number | the differences of red and of blue, and the luminance of a pixel |
//! | `src/pictures` | R, G, B, C, M, Y, K | number | the samples of a pixel |
//! | `src/eval/linear_probe.rs` | C | number | the inverse strength of the penalty, as scikit-learn has it |
//!
//! # The house
//! From the ground up. A room imports what its row names, and whatever that may import; no two files import each other,
//! neither directly nor around a ring. `tests/house` reads this table and all imports, and holds them against each other.
//!
//! | room | what it knows | what it may import |
//! |---|---|---|
//! | `kernels/` | slices in, slices out: the loops, and all `unsafe`; a crate of its own | nothing |
//! | `tree`, `params`, `weights`, `random`, `best`, `digest`, `files`, `counted`, `progress` | trees of named leaves, trained parameters and inference weights as such trees; seeds, the best of many scores, digests, whole files, numbers with their nouns, how far work is | `kernels` |
//! | `tour/` | the book: naive forward and backward passes in f64, a chapter a file; the tests judge the fast ones by them | `tree` |
//! | `layers/` | forward and backward pairs without state | `tree` |
//! | `map/` | vectors as points of the plane, and groups of them | `layers` |
//! | `generate/` | the search for texts by the scores of their next tokens; no model | `tree` |
//! | `loss/`, `optim/` | what is minimised, over embeddings, and how; no model | `layers` |
//! | `models/` | configurations and towers | `loss` |
//! | `pictures/`, `text/` | a file's pixels as Pillow sees them, a sentence's tokens | `tree` |
//! | `datasets/`, `batches/` | what is asked or learnt; shuffling, augmenting, loading ahead | `pictures`, `text` |
//! | `checkpoint/` | a model's files: recognised, read, named, written | `models`, `pictures`, `text` |
//! | `embed/` | from files and sentences to embeddings and texts | `checkpoint`, `datasets`, `generate` |
//! | `eval/`, `index/` | metrics on plain arrays and exams; a folder that can be searched | `embed`, `map` |
//! | `train/` | the step, the log of a run and its folder | `loss`, `batches`, `eval` |
//! | `app/` | the two programs: options, commands, plots | everything above |
//! | `bin/` | their `main` | `app` |
//!
//! # Where to start reading
//! [`tour`] teaches it all, from the chain rule on, with every number on paper.
//!
//! [`layers::linear`] is the smallest forward/backward pair; [`layers::block`] puts the pairs together,
//! [`models::clip`] the blocks, [`loss::info_nce`] is what they are trained for and [`train::step`] how.
//! [`tree`](mod@tree) says how parameters, gradients and activations are all one kind of tree.
//!
//! To use a trained model, start with [`Clip::load`] or [`Blip::load`].

#![forbid(unsafe_code)]

/// The two programs. No interface for others: it changes with them.
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod app;
pub mod batches;
mod best;
pub mod checkpoint;
mod counted;
pub mod datasets;
pub mod digest;
pub mod embed;
pub mod eval;
pub mod files;
pub mod generate;
pub mod index;
pub mod layers;
pub mod loss;
pub mod map;
pub mod models;
pub mod optim;
pub mod params;
pub mod pictures;
pub mod progress;
pub mod random;
pub mod text;
pub mod tour;
pub mod train;
pub mod tree;
pub mod weights;

pub use embed::{Blip, Clip, ImageEncoder, LoadError, TextEncoder, TextStates};
/// Types of the kernels that stand in signatures here.
pub use kernels::{Activation, Write};

/// The README's example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
