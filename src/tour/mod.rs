//! The tour: how CLIP and BLIP learn, in 16 chapters, with every number on paper.
//!
//! CLIP is a model that says how well a caption fits a picture. BLIP does that too, and also writes captions.
//!
//! A model learns by two passes. The forward pass computes from pictures and captions one number, the loss, which says
//! how wrong the model is. The backward pass computes the gradient: for every number of the model, how the loss changes
//! when that number changes. Most books leave the backward pass to a library. Here it is derived by hand, one step a
//! line, computed on paper for one small example, written as a few lines of code, and checked.
//!
//! # How to read it
//! You need Python, or another language, and the derivatives of school calculus. Chapter 0 explains the few lines of
//! Rust that the programs use. From there read on in order: each chapter uses what the chapters before it explained,
//! and nothing else.
//!
//! A chapter has one question, one picture, formulas, numbers, and one program. The program is one block. Copy it to
//! `main.rs` between `fn main() {` and `}`, then `rustc --edition 2024 main.rs && ./main` runs it; it needs nothing but
//! `rustc`, the compiler of Rust. (The button at the block's corner copies it.) "Break it" asks you to damage the
//! program and to predict what its check will say. Do it: a fault that you have seen once you will know again.
//!
//! "The same, fast" at the end of a chapter compares the chapter's functions with those that train models: the same
//! numbers, computed on whole tables of numbers at once, with 7 digits in place of 16, and without storing what can be
//! computed again. Its program uses more Rust than the chapters explain, and you may pass over it. The functions of the
//! chapters are also what the tests of this crate check the fast ones by. (A **crate** is a library of Rust; this one is
//! called `clipwright`.) [`one_step`] calls the fast ones in order, from two pictures and their captions to moved weights,
//! on one page.
//!
//! To write the backward passes yourself, open `tests/exercises`: each has a judge that names the number that is wrong.
//!
//! # Chapters
//!
//! | | chapter | what it answers |
//! |--:|---|---|
//! | 0 | [The chain rule](chain_rule) | How do we know that a gradient worked out by hand is right? |
//! | 1 | [Linear](linear) | How do features become scores, and which numbers change when a score is wrong? |
//! | 2 | [GELU](gelu) | What lets one feature decide how much another one counts? |
//! | 3 | [LayerNorm](layer_norm) | How are brightness and contrast taken out of a row, and out of its gradient? |
//! | 4 | [Softmax](softmax) | How do scores become shares, what does a wrong one cost, and why does nothing overflow? |
//! | 5 | [Attention](attention) | How does a token choose which others to look at? |
//! | 6 | [The block](block) | Why does a deep stack of layers still pass a gradient down? |
//! | 7 | [Patches](patches) | How does a picture become rows, and which of its pixels decide? |
//! | 8 | [Tokens](tokens) | Into which pieces is a caption cut, and which row speaks for it? |
//! | 9 | [Unit length](unit_length) | What is left of a row, and of its gradient, when length does not count? |
//! | 10 | [The contrast](contrast) | Whom does CLIP pull together, whom does it push apart, and how hard? |
//! | 11 | [AdamW](adamw) | How long a step does each weight take? |
//! | 12 | [Accumulation](accumulation) | How does a batch train that does not fit in memory? |
//! | 13 | [The loss curve](loss_curve) | What does a training run's curve say, and what does it hide? |
//! | 14 | [Convolution](convolution) | How do CLIP's ResNets see? |
//! | 15 | [BLIP](blip) | How does a text look at a picture, and how does a model write one? |
//!
//! # Letters
//! This table is for looking up, not for reading: each chapter explains its own letters. One letter has one meaning in
//! the whole tour, in formulas, in shapes and in code; those that have a second one say so. Sizes that have no letter are
//! words.
//!
//! | letter | meaning | in code |
//! |---|---|---|
//! | N | rows of a matrix, whatever they are: tokens, pixels, pairs | `rows` |
//! | B | sequences (pictures or captions) of a batch | `sequences` |
//! | I, O | inputs and outputs of a linear layer | `inputs`, `outputs` |
//! | d | width: how many numbers a row has | `width` |
//! | e | width of the joint space of embeddings | `embed_dim` |
//! | H, c | attention heads, and the width of one, c = d/H | `heads`, `head_dim` |
//! | C | channels of a picture in a convolution; what fits, at the end of chapter 10 | `channels`, `c` |
//! | T, V | longest caption in tokens, size of the vocabulary | `context_length`, `vocab_size` |
//! | u, M, D | the rows that cross-attention looks at, how many, how wide | `source` |
//! | x, y | input and output of a layer | `x`, `y` |
//! | W, b | weights and bias | `weight`, `bias` |
//! | dx | ∂loss/∂x, for any x, with the shape of x | `dx` |
//! | g | the gradients of all parameters of a layer or a model | `g` |
//! | μ, σ², ε, r | mean, variance, the small number beside it, r = 1/√(σ² + ε) | |
//! | x̂ | x after normalisation | |
//! | φ, Φ | the bell curve, and the area under it to the left of a number | |
//! | q, k, v | queries, keys, values, one a row; k as an index is a number | `q`, `k`, `v` |
//! | S, P | scores or logits, and the softmax of their rows | `scores` or `logits`, `p` |
//! | Q | the softmax of the columns of S | `q` |
//! | Î, T̂ | unit-length embeddings of pictures and of captions | `images`, `texts` |
//! | s | exp(logit_scale), what cosines are multiplied by; 1/s is the temperature | `scale` |
//! | m | the mask of dropout, 0 or 1/(1 − rate) | `mask` |
//! | w | all parameters of a model in one list; in chapter 0, one weight | `w` |
//! | a | the answers in chapters 0 and 1; elsewhere any number | `answers` |
//! | β₁, β₂, λ | how much of AdamW's two running means stays in a step, and the weight decay | `BETA1`, `BETA2`, `decay` |
//! | α | the share of soft targets in BLIP's contrast | `share` |
//! | δᵢⱼ | 1 if i = j, else 0 | |
//! | h | the small step of a central difference; which head, in chapter 5 | `h` |
//! | f | any function or layer; f′ is its slope | `f` |
//! | ∘, ⟨,⟩ | elementwise product, dot product | |
//! | i, j, k, l, n, o, t | indices | |
//!
//! <style>.docblock td code { overflow-wrap: normal; }</style>

pub mod accumulation;
pub mod adamw;
pub mod attention;
pub mod blip;
pub mod block;
pub mod bridge;
pub mod chain_rule;
pub mod contrast;
pub mod convolution;
pub mod gelu;
pub mod layer_norm;
pub mod linear;
pub mod loss_curve;
pub mod one_step;
pub mod patches;
pub mod softmax;
pub mod tokens;
pub mod unit_length;
