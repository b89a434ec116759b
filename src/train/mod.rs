//! Training: a step of any objective, its log, its watch, and the folder of a run.
//!
//! | file | what it knows |
//! |---|---|
//! | [`objective`] | what a model is trained for: the interface, and an example |
//! | [`blip`] | BLIP's objective: pre-training, and fine-tuning for retrieval |
//! | [`clip`] | CLIP's objective |
//! | [`teacher`] | a trained CLIP whose scores another one learns |
//! | `untrained` | towers that are not trained, whose features can be kept |
//! | [`step`] | one training step of any objective |
//! | [`world`] | the processes that train one model together |
//! | [`metric`] | a number that a step reports |
//! | [`log`] | the numbers of a run, one JSON object a line |
//! | [`watch`] | whether training has collapsed, and why |
//! | [`data`] | what a run is trained on and judged on |
//! | [`run_folder`] | where a run keeps its files |

pub mod blip;
pub mod clip;
pub mod data;
pub mod log;
pub mod metric;
pub mod objective;
pub mod run_folder;
pub mod step;
pub mod teacher;
mod untrained;
pub mod watch;
pub mod world;
