//! What a run knows of the model that it trains, of whatever family.

use super::error::TrainError;
use crate::app::card::Form;
use crate::batches::{Batch, LoaderConfig};
use crate::datasets::BadReport;
use crate::eval::exam::Exam;
use crate::eval::report::Report;
use crate::models::Captions;
use crate::text::Tokenize;
use crate::train::data::TrainingData;
use crate::train::log::Metrics;
use crate::train::metric::Metric;
use crate::train::objective::State;
use crate::train::run_folder::RunFolder;
use crate::train::step::Update;
use crate::train::watch::Collapse;
use std::sync::Arc;

/// A model in training, with its objective and its optimizer, on one of the ranks that train it together.
pub(super) trait Learner {
    /// Returns how many steps were taken.
    fn steps(&self) -> u64;

    /// Returns a line about each part of the plan that is the model's own, such as the sizes of pictures.
    fn plan(&self) -> Vec<String> {
        vec![]
    }

    /// Computes the gradients of this rank's part of a batch, with at most `micro` pictures in a tower at a time, and returns
    /// the losses of all of it.
    fn gradients(&mut self, batch: &Batch, micro: usize) -> Vec<Metric>;

    /// Takes a step with these gradients.
    fn update(&mut self, lr: f32) -> Update;

    /// Returns everything that has to be saved for the run to go on. All ranks have to ask for it together.
    fn state(&mut self) -> State<'_>;

    /// Saves the model as other programs load it.
    fn save_model(&self, folder: &RunFolder) -> Result<(), TrainError>;

    /// Saves the model's own tokenizer, if it has one.
    fn save_tokenizer(&self, folder: &RunFolder) -> Result<(), TrainError>;

    /// Returns what the saved model's folder is for, and the model's sizes and settings.
    fn described(&self) -> (Form, Vec<(&'static str, String)>);

    /// Returns the number of all parameters, and that of the image encoder's.
    fn parameters(&self) -> [usize; 2];

    /// Measures the model; returns the tables and the report on what could not be read. All ranks have to ask for it
    /// together, and all get the answer.
    fn examine(&self, exam: &Exam) -> Result<(Report, BadReport), TrainError>;

    /// Returns what is wrong if the model embeds everything in an exam alike. All ranks have to ask for it together, and
    /// all get the answer.
    fn collapse(&self, exam: &Exam) -> Option<Collapse>;

    /// Draws the plots of the run into its folder.
    fn draw(&self, folder: &RunFolder, metrics: &Metrics, exam: &Exam) -> Result<(), TrainError>;
}

/// A learner, and what its batches are made of.
pub(super) struct Begun {
    pub learner: Box<dyn Learner>,
    pub data: TrainingData,
    pub words: Arc<dyn Tokenize>,
    pub loader: LoaderConfig,
}

/// Returns the captions of a batch.
pub(super) fn captions(batch: &Batch) -> Captions<'_> {
    Captions { ids: &batch.tokens, offsets: &batch.offsets }
}
