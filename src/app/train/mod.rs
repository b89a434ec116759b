//! The program `train`.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`], `data_options`, `tune_options`, `blip_options`, `savings_options`, `values` | the command line |
//! | `defaults` | what a run does that is not said |
//! | `steps` | how steps are taken, as the options say |
//! | `exercise_options`, `exercise` | runs that show something by themselves |
//! | `launch` | the start of a run by itself, or as one of several ranks |
//! | `run` | the loop |
//! | `begin` | what a run begins with, by the family of its model |
//! | `learner` | what the loop knows of the model that it trains |
//! | `agreement` | what ranks tell each other besides numbers of the model |
//! | `clip`, `model` | a CLIP in training, and the one that a run begins with |
//! | `tuning` | which parts of a CLIP learn, and what need not be computed again |
//! | `blip` | a BLIP in training |
//! | `error` | why a run ended early, and which flag helps |
//! | `progress` | the progress bar and the lines of numbers |
//! | `gallery` | the pictures of a finished run |
//! | `records`, `page`, `card` | what is written down of a run, the page about it, and the card of its model |

mod agreement;
mod begin;
mod blip;
mod blip_options;
mod card;
mod clip;
pub(crate) mod data_options;
mod defaults;
mod error;
mod exercise;
mod exercise_options;
mod gallery;
mod launch;
mod learner;
mod model;
pub mod options;
mod page;
mod progress;
mod records;
mod run;
mod savings_options;
mod steps;
mod tune_options;
mod tuning;
pub(crate) mod values;

pub use error::TrainError;
pub use launch::{launch, launched};
pub use options::{Cli, Options};
pub use run::{Outcome, run};
