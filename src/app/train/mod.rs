//! The program `train`.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`] | the command line |
//! | [`run`](mod@run) | the loop |
//! | [`progress`] | what is printed on the way |
//! | [`gallery`] | the pictures of a finished run |

pub mod gallery;
pub mod options;
pub mod progress;
pub mod run;

pub use options::{Cli, Options};
pub use run::{Outcome, TrainError, run};
