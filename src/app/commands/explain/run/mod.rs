//! `clipwright explain run`: how a run has learnt, checkpoint by checkpoint.
//!
//! | file | what it knows |
//! |---|---|
//! | `folder` | the checkpoints of a run, and its log |
//! | `shown` | the pictures and captions that all of them are shown |
//! | `look` | what a checkpoint makes of them |
//! | `axes` | the two directions in which embeddings differ most |
//! | `report` | what is printed |
//! | `page`, `matrix`, `map` | the page, its matrix of cosines and its map, and the slider that moves both |

mod axes;
mod folder;
mod look;
mod map;
mod matrix;
mod page;
mod report;
mod shown;

use super::page::{PAIRS, Page};
use crate::app::commands::{CliError, Context};
use clap::Args;
use clap::builder::{RangedU64ValueParser, TypedValueParser};
use folder::Trained;
use report::Report;
use std::path::PathBuf;

/// Show how a run has learnt: the same pictures and captions, checkpoint by checkpoint
///
/// Every model that a run has kept embeds the same pictures with their captions: those by which the run is judged, held
/// out of the training where it has such. The page has a slider over the epochs, a matrix of the cosines of all pictures
/// with all captions, and a map of their embeddings. For a BLIP that writes, it shows what each checkpoint says of the
/// pictures.
///
/// `train --keep-frequency 1` keeps a model for every epoch, and the one before the first step. Of another run the last
/// checkpoint alone is shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  train --lesson --name lesson --keep-frequency 2
  clipwright explain run runs/lesson --output lesson.html
  clipwright explain run runs/lesson -n 8 --json

A line of JSON:
  {\"run\", \"pictures\": [{\"caption\", \"part\", \"own\"}], \"captions\", \"shares\",
   \"checkpoints\": [{\"epoch\", \"loss\", \"own_nearest\", \"cosines\", \"points\",
    \"said\": [[{\"question\", \"text\", \"is_true\"}]]}]}
own is the place of a picture's caption in captions. cosines has a row for each
picture and a column for each caption; points are the places on the map of all
pictures, then of all captions, and shares how much of the variance of the last
checkpoint's embeddings the two axes of the map have. Where a model embeds
nothing or says nothing, the lists are empty. epoch is null for a run that has
kept none but its last checkpoint.")]
pub(crate) struct Run {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    path: PathBuf,
    /// Number of pictures, from 2 to 32
    #[arg(short, value_name = "PICTURES", default_value_t = 16, value_parser = number())]
    n: usize,
    #[command(flatten)]
    page: Page,
}

/// Reads a number of pictures whose matrix can still be read.
fn number() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(2..=32)
}

impl Run {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_model("explain run takes the models of RUN; leave --model out")?;
        let trained = Trained::open(&self.path, self.n)?;
        let looks = trained.looks(context)?;
        let report = Report::new(trained, looks);
        let style = [PAIRS, page::STYLE, matrix::STYLE, map::STYLE].concat();
        self.page.write("How a run has learnt", &style, || page::body(&report))?;
        context.output.show(&report)
    }
}
