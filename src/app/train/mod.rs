//! The program `train`.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`] | the command line |
//! | `model` | the model that a run begins with |
//! | `run` | the loop |
//! | `error` | why a run ended early, and which flag helps |
//! | `progress` | the progress bar and the lines of numbers |
//! | `gallery` | the pictures of a finished run |

mod error;
mod gallery;
mod model;
pub mod options;
mod progress;
mod run;

pub use error::TrainError;
pub use options::{Cli, Options};
pub use run::{Outcome, run};
