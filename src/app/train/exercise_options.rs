//! The options of runs that show something by themselves.

use clap::Args;
use clap::builder::TypedValueParser;
use serde::{Deserialize, Serialize};

/// Most pairs that a model can be made to know by heart; the vendor who draws them has hardly more.
const MAX_PAIRS: i64 = 1024;

/// The options that choose data and defaults for a run which shows something by itself.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Exercises")]
pub struct ExerciseOptions {
    /// Check that a model can learn at all: train it on this many pairs, such as 16, until it knows them by heart
    ///
    /// This is the first thing to run with a new model or a new recipe, since it takes seconds. The pairs are emoji with
    /// their names, always the same and never varied, and all of them are one batch; the model is Emoji-ViT-S if --model
    /// names no other. The loss has to fall to nearly 0. In the end each picture has to find its own name among all, and
    /// each name its picture; otherwise the exit code is 1. A model that fails here fails on more data too: its learning
    /// rate, its configuration or its code is wrong. Success says nothing of pictures that it has not seen.
    #[arg(long, value_name = "PAIRS", value_parser = few(), conflicts_with_all = OTHER_DATA)]
    pub overfit: Option<usize>,
    /// Learn 64 emoji in less than a minute, and see how well: the shortest run that has something to show
    ///
    /// A small CLIP learns animals, food and things from the drawings of seven vendors, and is asked for the names of those
    /// of an eighth, which it has never seen. In the end look at report.html in the folder of the run: the loss falls from
    /// chance, and in the matrix of similarities the diagonal is bright, where pictures meet their own names.
    #[arg(long, conflicts_with_all = OTHER_DATA, conflicts_with = "overfit")]
    pub lesson: bool,
}

/// The options that choose other data.
const OTHER_DATA: [&str; 5] = ["train_data", "scenes", "caption_noise", "validation_cut", "train_num_samples"];

/// Reads a number of pairs that can be told apart.
fn few() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u32).range(2..=MAX_PAIRS).map(|pairs| pairs as usize)
}

impl ExerciseOptions {
    /// Checks options that were read from a file, which can hold values that the command line refuses.
    pub(super) fn is_sound(&self) -> bool {
        self.overfit.is_none_or(|pairs| (2..=MAX_PAIRS as usize).contains(&pairs))
    }
}
