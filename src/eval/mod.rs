//! Evaluation of a model against the truth, against chance, and against methods that need no neural network.
//!
//! Everything but [`templates`] and [`exam`], which ask a model, takes plain arrays (unit-length embeddings, labels,
//! pictures).
//!
//! | file | what it answers |
//! |---|---|
//! | [`rank`] | which rank has the right answer among all candidates, with ties at their expected value? |
//! | [`templates`] | which sentences is a class name put into? |
//! | [`zero_shot`] | which share of the pictures is assigned the right class name? |
//! | [`rerank`](mod@rerank) | retrieval whose best candidates a second model ranks |
//! | [`retrieval`] | which share of the captions finds its picture, and of the pictures its caption? |
//! | [`linear_probe`] | how far does a linear classifier on the image features get? |
//! | [`lbfgs`] | where is a convex function smallest? |
//! | [`baseline`] | how far do raw pixels and gradient histograms get? |
//! | [`captions`] | how close are generated captions to those that people wrote? |
//! | [`vqa`] | how many people would give this answer? |
//! | [`alike`] | does a model give one embedding to everything? |
//! | [`report`], [`texts`], [`table`] | how do all of these look in tables? |
//! | [`crew`] | which processes share the work of an exam? |
//! | [`exam`] | how good is a model on the embedded emoji, or on a user's pairs? |

pub mod alike;
pub mod baseline;
pub mod captions;
pub mod crew;
pub mod exam;
pub mod lbfgs;
pub mod linear_probe;
pub mod rank;
pub mod report;
pub mod rerank;
pub mod retrieval;
pub mod table;
pub mod templates;
pub mod texts;
pub mod vqa;
pub mod zero_shot;

pub use report::Report;
