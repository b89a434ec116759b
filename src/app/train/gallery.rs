//! The plots of a run: its curves, and the model's answers for a few pictures.

use crate::app::plot::answers::Answers;
use crate::app::plot::canvas::image;
use crate::app::plot::words::Words;
use crate::app::plot::{Figure, curves, matrix, save, sheet, told, words};
use crate::app::train::TrainError;
use crate::datasets::Example;
use crate::embed::{Blip, Embed};
use crate::eval::exam::{Exam, LookError, Part, search};
use crate::eval::retrieval::{first_of_each, identify};
use crate::train::log::Metrics;
use crate::train::run_folder::{RunFolder, RunFolderError};
use image::RgbImage;
use ndarray::Array2;

/// Number of pictures that are compared with all their captions.
const PAIRS: usize = 16;
/// Number of pictures on the sheet.
const PICTURES: usize = 24;
/// Number of pictures whose captions are shown word by word.
const LOOKED_AT: usize = 8;
/// Number of captions beside each picture of the sheet.
const CAPTIONS: usize = 5;

/// Draws the curves of a run into its folder; a plot without data is not made.
pub(crate) fn curves(folder: &RunFolder, metrics: &Metrics) -> Result<(), TrainError> {
    let plots = [
        ("loss.png", curves::loss(metrics)),
        ("recall.png", curves::recall(metrics)),
        ("schedule.png", curves::schedule(metrics)),
    ];
    save_all(folder, plots.map(|(name, figure)| (name, figure.as_ref().map(Figure::draw))))
}

/// Draws what a BLIP says of pictures.
pub(crate) fn tell(folder: &RunFolder, exam: &Exam, blip: &Blip, prompt: &str) -> Result<(), TrainError> {
    let told = exam.tell(blip, prompt, PICTURES)?;
    save_all(folder, [("told.png", Some(told::told("Pictures and what the model says of them", &told)))])
}

/// Draws where a captioner looks as it writes about a few pictures.
pub(crate) fn look(folder: &RunFolder, exam: &Exam, blip: &Blip, prompt: &str) -> Result<(), TrainError> {
    let examples = exam.parts(LOOKED_AT).into_iter().flat_map(|part| part.examples);
    let of = |example: Example| Words::written(blip, &example.picture, prompt, &search(blip));
    let pictures: Vec<Words> = examples.map(of).collect::<Result<_, _>>().map_err(LookError::from)?;
    save_all(folder, [("words.png", Some(words::words(&pictures)))])
}

/// Draws how a model matches pictures with captions.
pub(crate) fn matches(folder: &RunFolder, exam: &Exam, embedder: &impl Embed) -> Result<(), TrainError> {
    let few: Vec<Answers> =
        (parts(exam, PAIRS).iter()).map(|part| Choice::new(captions(part), embedder).answers(part, embedder)).collect();
    let many = parts(exam, PICTURES);
    let choice = Choice::new(many.iter().flat_map(captions).chain(exam.names()), embedder);
    let many: Vec<Answers> = many.iter().map(|part| choice.answers(part, embedder)).collect();
    let plots = [
        ("similarity.png", (!few.is_empty()).then(|| matrix::similarity_matrix(&few))),
        ("captions.png", (!many.is_empty()).then(|| sheet::sheet(&many, CAPTIONS))),
    ];
    save_all(folder, plots)
}

fn save_all<const N: usize>(folder: &RunFolder, plots: [(&str, Option<RgbImage>); N]) -> Result<(), TrainError> {
    for (name, plot) in plots {
        let path = folder.file(name);
        plot.map_or(Ok(()), |plot| save(&path, &plot)).map_err(|source| RunFolderError::File { path, source })?;
    }
    Ok(())
}

/// Returns the parts of the exam that have pictures.
fn parts(exam: &Exam, n: usize) -> Vec<Part> {
    exam.parts(n).into_iter().filter(|part| !part.examples.is_empty()).collect()
}

fn captions(part: &Part) -> impl Iterator<Item = &str> {
    part.examples.iter().map(|example| example.caption.as_str())
}

/// Distinct captions for the model to choose from.
struct Choice {
    captions: Vec<String>,
    /// The embeddings of the captions.
    ///
    /// `embeddings` (captions,e)
    embeddings: Array2<f32>,
}

impl Choice {
    fn new<'a>(captions: impl Iterator<Item = &'a str>, embedder: &impl Embed) -> Self {
        let all: Vec<&str> = captions.collect();
        let captions: Vec<String> =
            first_of_each(&identify(&all)).into_iter().map(|place| all[place].to_string()).collect();
        let embeddings = embedder.captions(&captions);
        Choice { captions, embeddings }
    }

    /// Asks the model for the captions of the pictures.
    fn answers(&self, part: &Part, embedder: &impl Embed) -> Answers {
        let Part { title, examples } = part;
        let pictures = embedder.pictures(examples.len(), |i, picture| picture.clone_from(&examples[i].picture));
        let place = |caption| self.captions.iter().position(|other| other == caption).expect("one of the choice");
        Answers {
            title: title.clone(),
            pictures: examples.iter().map(|example| image(&example.picture)).collect(),
            captions: self.captions.clone(),
            truth: captions(part).map(place).collect(),
            cosines: pictures.dot(&self.embeddings.t()),
        }
    }
}
