//! What a checkpoint makes of the pictures and captions.

use super::shown::Shown;
use crate::app::commands::CliError;
use crate::app::train::TrainError;
use crate::embed::{Blip, Clip, Embed, Family, Opened, Task};
use crate::eval::exam::{self, Told};
use ndarray::{Array2, ArrayView1};
use serde::Serialize;

/// What a checkpoint makes of the pictures and captions. Without embeddings the matrices have no rows.
#[derive(Default)]
pub(super) struct Look {
    /// How many epochs it has learnt, if that is known.
    pub epoch: Option<u64>,
    /// The loss of the last step before.
    pub loss: Option<f64>,
    /// Unit-length embeddings (N,e) of the pictures.
    pub images: Array2<f32>,
    /// Unit-length embeddings (M,e) of the distinct captions.
    pub texts: Array2<f32>,
    /// What the model says of each picture, if it says anything.
    pub said: Vec<Vec<Said>>,
}

/// What a model says of a picture.
#[derive(Serialize)]
pub(super) struct Said {
    /// The question that it answers, if it was asked one.
    pub question: Option<String>,
    pub text: String,
    pub is_true: bool,
}

impl Look {
    /// Embeds, and lets a BLIP write, whatever the model can do of both.
    pub fn new(opened: Opened, shown: &Shown) -> Result<Self, CliError> {
        let described = match opened {
            Opened::Clip(checkpoint) => return Ok(Self::embedded(&Family::Clip(Clip::new(&checkpoint)?), shown)),
            Opened::Blip(described) => *described,
        };
        let can = |task: &Task| task.check(described.config.parts).is_ok();
        let task = [Task::Match, Task::Caption, Task::Answer].into_iter().find(can).expect("every BLIP has a task");
        let blip = Blip::open(described, task)?;
        let said =
            if blip.check(Task::Caption).or(blip.check(Task::Answer)).is_ok() { said(&blip, shown)? } else { vec![] };
        let embedded =
            if task == Task::Match { Self::embedded(&Family::Blip(Box::new(blip)), shown) } else { Look::default() };
        Ok(Look { said, ..embedded })
    }

    fn embedded(model: &Family<Clip>, Shown { examples, captions, .. }: &Shown) -> Self {
        let images = model.pictures(examples.len(), |i, picture| picture.clone_from(&examples[i].picture));
        Look { images, texts: model.captions(captions), ..Look::default() }
    }

    /// Returns the cosine of each picture with each caption.
    ///
    /// result (N,M)
    pub fn cosines(&self) -> Array2<f32> {
        self.images.dot(&self.texts.t())
    }

    /// Returns for how many pictures their own caption is nearer than every other.
    pub fn own_nearest(&self, own: &[usize]) -> usize {
        let is_nearest =
            |row: ArrayView1<f32>, own: usize| row.iter().enumerate().all(|(j, cosine)| j == own || *cosine < row[own]);
        self.cosines().rows().into_iter().zip(own).filter(|(row, own)| is_nearest(*row, **own)).count()
    }
}

/// Returns what a BLIP says of each picture.
fn said(blip: &Blip, Shown { exam, n, prompt, .. }: &Shown) -> Result<Vec<Vec<Said>>, CliError> {
    let told = exam.tell(blip, prompt, *n).map_err(TrainError::from)?;
    let one = |exam::Said { question, text, truth }| Said { question, text, is_true: truth.is_none() };
    let pictures = told.into_iter().flat_map(|Told { pictures, .. }| pictures);
    Ok(pictures.map(|(_, said)| said.into_iter().map(one).collect()).collect())
}
