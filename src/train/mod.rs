//! Training: a step, its log, its watch, and the folder that a run fills.
//!
//! | file | what it knows |
//! |---|---|
//! | [`step`] | one training step |
//! | [`log`] | the numbers of a run, one JSON object a line |
//! | [`watch`] | whether training is dead, and why |
//! | [`data`] | what a run is trained on and judged on |
//! | [`run_folder`] | where a run keeps its files |

pub mod data;
pub mod log;
#[cfg(feature = "app")]
pub mod run_folder;
pub mod step;
pub mod watch;
