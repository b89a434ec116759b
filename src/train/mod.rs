//! Training: a step of any objective, its log, its watch, and the folder of a run.
//!
//! | file | what it knows |
//! |---|---|
//! | [`objective`] | what a model is trained for: the interface, and an example |
//! | [`blip`] | BLIP's objective: pre-training, and fine-tuning for retrieval |
//! | [`clip`] | CLIP's objective |
//! | [`step`] | one training step of any objective |
//! | [`resize`] | a model in training goes on with pictures of another size |
//! | [`world`] | the processes that train one model together |
//! | [`together`] | a model that embeds with the help of all ranks, and an exam that all sit |
//! | [`metric`] | a number that a step reports |
//! | [`log`] | the numbers of a run, one JSON object a line |
//! | [`tensorboard`] | the same numbers as TensorBoard reads them |
//! | [`watch`] | whether training has collapsed, and why |
//! | [`data`] | what a run is trained on and judged on |
//! | [`run_folder`] | where a run keeps its files |
//! | [`kept`] | the models that it keeps on its way |

pub mod blip;
pub mod clip;
pub mod data;
pub mod kept;
pub mod log;
pub mod metric;
pub mod objective;
pub mod resize;
pub mod run_folder;
pub mod step;
pub mod tensorboard;
pub mod together;
pub mod watch;
pub mod world;
