//! The program `train`.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`] | the command line |
//! | [`run`](mod@run) | the loop |
//! | [`error`] | why a run ended early, and which flag helps |
//! | [`progress`] | what is printed on the way |
//! | [`gallery`] | the pictures of a finished run |

pub mod error;
pub mod gallery;
pub mod options;
pub mod progress;
pub mod run;

pub use error::TrainError;
pub use options::{Cli, Options};
pub use run::{Outcome, run};
