//! BLIP's objective: pictures and texts are contrasted (ITC), matched (ITM), and texts are written (LM), from one pass of
//! the image encoder (Li et al. 2022, section 3.2; Li et al. 2021, ALBEF, section 3).
//!
//! ```text
//! loss = ITC + ITM + LM
//! ```
//!
//! | loss | of | use of the text Transformer |
//! |---|---|---|
//! | ITC | the batch's features against those of a momentum copy, of this batch and of a queue of earlier ones | unimodal encoder |
//! | ITM | whether a text fits a picture: every pair, and two hard negatives for it | image-grounded encoder |
//! | LM | the next token of a pair's text | image-grounded decoder |
//!
//! A model without a decoder learns the first two, as fine-tuning for retrieval does.
//!
//! # One step
//! 1. The temperature is clamped, and the momentum copy moves a little towards the parameters as they are now.
//! 2. Both encoders, and the copy's, embed the batch. ITC is computed for all of it, and negatives are drawn.
//! 3. Of each micro-batch the image encoder's tokens become keys and values, once a block. All texts that look at a
//!    picture read them: its own text, the one that was drawn for it, those for which it was drawn, and its own again
//!    when it is written. Their gradients meet in the keys and values, and pass to the image encoder once.
//! 4. When the parameters have moved, the copy's features of this batch replace the oldest of the queue.
//!
//! # On several ranks
//! ITC contrasts each pair with the features of all ranks, the queue is the same everywhere, and LM's mean is over the
//! tokens of all ranks. Negatives are drawn from a rank's own part of the batch, because a rank has only the tokens of
//! its own pictures.
//!
//! | file | what it knows |
//! |---|---|
//! | [`objective`] | the objective, step by step |
//! | [`options`] | pre-training and retrieval, and their numbers |
//! | [`trained`] | the parameters: the model's and the temperature |
//! | [`batch`] | pictures and their texts |
//! | `towers` | both encoders on a micro-batch, as far as ITC needs them |
//! | `momentum` | the copy that follows the parameters |
//! | `queue` | the features of earlier batches |
//! | `contrast` | ITC |
//! | [`negatives`] | which texts and pictures are drawn as negatives |
//! | `looks` | which texts the ITM head judges for each picture |
//! | `grounded` | ITM and LM, forward and backward |

pub mod batch;
mod contrast;
mod grounded;
mod looks;
mod momentum;
pub mod negatives;
pub mod objective;
pub mod options;
mod queue;
mod towers;
pub mod trained;

pub use batch::Batch;
pub use objective::BlipObjective;
pub use options::{Options, Stage};
