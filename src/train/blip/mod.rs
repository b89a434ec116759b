//! BLIP's objectives. In pre-training, pictures and texts are contrasted (ITC), matched (ITM), and texts are written (LM),
//! from one pass of the image encoder (Li et al. 2022, section 3.2; Li et al. 2021, ALBEF, section 3).
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
//! Each fine-tuning keeps a part of that:
//!
//! | for | objective | what is learnt |
//! |---|---|---|
//! | retrieval | [`BlipObjective`] of a model without a decoder | ITC and ITM |
//! | captions | [`CaptionObjective`] | LM |
//! | answers to questions | [`AnswerObjective`] | LM of answers in view of a question, which is read in view of a picture |
//!
//! # One step of pre-training
//! 1. The temperature is clamped, and the momentum copy moves a little towards the parameters as they are now.
//! 2. Both encoders, and the copy's, embed the batch. ITC is computed for all of it, and negatives are drawn.
//! 3. Of each micro-batch the image encoder's tokens become keys and values, once a block. All texts that look at a
//!    picture read them: its own text, the one that was drawn for it, those for which it was drawn, and its own again
//!    when it is written. Their gradients meet in the keys and values, and pass to the image encoder once.
//! 4. When the parameters have moved, the copy's features of this batch replace the oldest of the queue.
//!
//! # On several ranks
//! ITC contrasts each pair with the features of all ranks, the queue is the same everywhere, negatives are drawn from the
//! batch of all ranks, and means are over the pairs and tokens of all ranks. So ranks learn what one rank would learn from
//! all their pairs. A pair is judged where its picture is: texts travel, pictures and their tokens do not.
//!
//! # What is dropped
//! In training the text Transformer has dropout in every use, and a large image encoder has stochastic depth ([`Rates`]).
//! The momentum copy drops too, as the original's does. A pair that was drawn as a negative both ways is computed once,
//! and so it has one mask where the original has two.
//!
//! | file | what it knows |
//! |---|---|
//! | [`objective`] | the objective of pre-training and retrieval, step by step |
//! | [`captions`], [`answers`] | the objectives of the other two tasks, and their batches |
//! | `tuned` | what these two have in common |
//! | [`options`] | pre-training and retrieval, their numbers, and what is dropped |
//! | [`trained`] | the parameters: the model's and the temperature |
//! | [`batch`] | pictures and their texts |
//! | `vision` | the image encoder on a micro-batch, and the tokens that everything looks at |
//! | `towers` | both encoders on a micro-batch, as far as ITC needs them |
//! | `momentum` | the copy that follows the parameters |
//! | `queue` | the features of earlier batches |
//! | `contrast` | ITC |
//! | [`negatives`] | which texts and pictures are drawn as negatives |
//! | `all_texts` | the texts of all ranks |
//! | `looks` | which texts the ITM head judges for each picture |
//! | `passes` | one pass of texts that look at rows, forward and backward |
//! | `matching`, `writing` | ITM and LM |
//! | `grounded` | both of them in view of the same pictures |
//! | `drops` | what a step drops at random |
//! | `mean` | means over a batch of which every rank has a part |

mod all_texts;
pub mod answers;
pub mod batch;
pub mod captions;
mod contrast;
mod drops;
mod grounded;
mod looks;
mod matching;
mod mean;
mod momentum;
pub mod negatives;
pub mod objective;
pub mod options;
mod passes;
mod queue;
mod towers;
pub mod trained;
mod tuned;
mod vision;
mod writing;

pub use answers::{AnswerBatch, AnswerObjective};
pub use batch::Batch;
pub use captions::{CaptionBatch, CaptionObjective};
pub use objective::BlipObjective;
pub use options::{Options, Rates, Stage};
