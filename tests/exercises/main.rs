//! Exercises: backward passes to be written by you.
//!
//! ```text
//! cargo test --release --test exercises                          # the judges, tried on the tour's own solutions
//! cargo test --release --test exercises -- --ignored linear      # the judge of one exercise, on yours
//! cargo test --release --test exercises -- --ignored             # of all
//! ```
//!
//! Each file has one function whose body is `todo!`. Its doc says what the forward pass computes; the backward pass is
//! yours. `dy` is the gradient of the loss by the output, and what you return has the shapes of what it belongs to. The
//! judge moves each number of the input a little and looks at the loss, as chapter 0 of the tour explains. If your
//! gradient says something else, it names the tensor, the entry, your value and the right one.
//!
//! | exercise | what to write | the tour derives it in |
//! |---|---|---|
//! | `linear` | products of matrices | chapter 1 |
//! | `gelu` | the slope of a curve | chapter 2 |
//! | `layer_norm` | a mean and a variance in which every entry takes part | chapter 3 |
//! | `softmax` | shares that add up to 1 | chapter 4 |
//! | `cross_entropy` | two terms of which most cancels | chapter 4 |
//! | `attention` | three inputs at once | chapter 5 |
//! | `residual` | two ways from one number to the loss | chapter 6 |
//! | `patches` | numbers that only move | chapter 7 |
//! | `tokens` | a row that is read twice | chapter 8 |
//! | `unit_length` | what is left when length does not count | chapter 9 |
//! | `contrast` | CLIP's loss, and its temperature | chapter 10 |
//! | `adamw` | no gradient, but the step that is made of it | chapter 11 |
//! | `convolution` | a weight that is used all over the picture | chapter 14 |
//!
//! The solutions are the functions of the tour, in `src/tour`. Try first.
#![allow(unused_variables, reason = "there is no use of them until a body is filled in")]

mod adamw;
mod attention;
mod contrast;
mod convolution;
mod cross_entropy;
mod gelu;
mod judge;
mod layer_norm;
mod linear;
mod patches;
mod residual;
mod softmax;
mod tokens;
mod unit_length;
