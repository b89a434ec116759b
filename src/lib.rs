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
//! The same letters everywhere, in formulas, in shapes and in code:
//!
//! | letter | meaning | in code |
//! |---|---|---|
//! | N | rows of a matrix: all tokens of a batch, end to end | `rows` |
//! | B | sequences (pictures or captions) of a batch | `sequences` |
//! | d | width of a Transformer | `width` |
//! | m | hidden width of its MLP, usually 4d | `mlp_width` |
//! | H, c | attention heads, and their width c = d/H | `heads`, `head_dim` |
//! | e | width of the joint space | `embed_dim` |
//! | S, p, g | picture edge and patch edge in pixels, grid edge g = S/p | `image_size`, `patch_size` |
//! | T, V | longest caption in tokens, vocabulary | `context_length`, `vocab_size` |
//! | u, M, f | the rows that cross-attention looks at, how many, and their width | `source` |
//! | I, T̂ | unit-length embeddings of pictures and captions | `images`, `texts` |
//! | s | exp(`logit_scale`), what cosines are multiplied by | `scale` |
//! | x, y | input and output of a layer | `x`, `y` |
//! | dx | ∂loss/∂x, for any x | `dx` |
//! | g | the gradients of a parameter tree | `g` |
//! | ∘, ⟨,⟩ | elementwise product, dot product | |
//!
//! # The house
//! From the ground up. A room imports what its row names, and whatever that may import; no two files import each other,
//! neither directly nor around a ring. `tests/house` reads this table and all imports, and holds them against each other.
//!
//! | room | what it knows | what it may import |
//! |---|---|---|
//! | `kernels/` | slices in, slices out: the loops, and all `unsafe`; a crate of its own | nothing |
//! | `tree`, `params`, `weights`, `random`, `best`, `digest`, `files`, `counted` | trees of named leaves, trained parameters and inference weights as such trees; seeds, the best of many scores, digests, whole files, numbers with their nouns | `kernels` |
//! | `tour/` | the book: naive forward and backward passes in f64, a chapter a file; the tests judge the fast ones by them | `tree` |
//! | `layers/` | forward and backward pairs without state | `tree` |
//! | `generate/` | the search for texts by the scores of their next tokens; no model | `tree` |
//! | `loss/`, `optim/` | what is minimised, over embeddings, and how; no model | `layers` |
//! | `models/` | configurations and towers | `loss` |
//! | `pictures/`, `text/` | a file's pixels as Pillow sees them, a sentence's tokens | `tree` |
//! | `datasets/`, `batches/` | what is asked or learnt; shuffling, augmenting, loading ahead | `pictures`, `text` |
//! | `checkpoint/` | a model's files: recognised, read, named, written | `models`, `pictures`, `text` |
//! | `embed/` | from files and sentences to embeddings and texts | `checkpoint`, `datasets`, `generate` |
//! | `eval/`, `index/` | metrics on plain arrays and exams; a folder that can be searched | `embed` |
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
pub mod models;
pub mod optim;
pub mod params;
pub mod pictures;
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
