//! What training minimises: objectives over embeddings and logits, which know no model.
//!
//! | file | what it is for |
//! |---|---|
//! | [`contrast`] | scores of rows against columns, tile by tile |
//! | [`info_nce`] | CLIP's symmetric loss, for a whole batch or for one machine's part of it |
//! | [`sigmoid`] | SigLIP's loss, which judges every pair by itself |
//! | [`one_way`] | one direction of it, with soft targets and columns that may come from a queue |
//! | [`distill`] | CLIP's loss with a teacher, in both directions |
//! | [`positives`] | which captions fit which pictures |
//! | [`cross_entropy`] | a language model's loss over a vocabulary |

pub mod contrast;
pub mod cross_entropy;
pub mod distill;
pub mod info_nce;
pub mod one_way;
pub mod positives;
pub mod sigmoid;
