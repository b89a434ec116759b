//! The plots of a run: its curves, and the similarities that the model sees in a few pictures.

use crate::app::plot::{curves, matrix, save, sheet};
use crate::app::train::TrainError;
use crate::datasets::Example;
use crate::datasets::emoji::Side;
use crate::embed::{Embed, Embedder};
use crate::eval::exam::{EmojiExam, Exam};
use crate::pictures::Picture;
use crate::train::log::Metrics;
use crate::train::run_folder::{RunFolder, RunFolderError};
use image::RgbImage;

/// Number of pairs in the similarity matrix.
const PAIRS: usize = 14;
/// Number of pictures on the sheet.
const PICTURES: usize = 24;
/// Number of captions beside each picture of the sheet.
const CAPTIONS: usize = 5;

/// Pictures and captions to show, with the right caption of each picture.
struct Show {
    pictures: Vec<Picture>,
    captions: Vec<String>,
    truth: Vec<usize>,
}

/// Draws all plots of a run into its folder.
pub fn draw(folder: &RunFolder, metrics: &Metrics, exam: &Exam, embedder: &Embedder) -> Result<(), TrainError> {
    let save = |name: &str, picture: &RgbImage| {
        let path = folder.file(name);
        save(&path, picture).map_err(|source| RunFolderError::File { path, source })
    };
    save("loss.png", &curves::loss(metrics))?;
    save("recall.png", &curves::recall(metrics))?;
    save("schedule.png", &curves::schedule(metrics))?;
    let (few, many) = match exam {
        Exam::Emoji(exam) => (Show::names(exam), Show::all_names(exam)),
        Exam::Pairs(exam) => (Show::pairs(exam.sample(PAIRS)), Show::pairs(exam.sample(PICTURES))),
    };
    save("similarity.png", &few.similarity(embedder))?;
    Ok(save("captions.png", &many.sheet(embedder))?)
}

impl Show {
    /// Shows concepts that no training picture shows, drawn by a vendor that was never trained on, with their own
    /// names.
    fn names(exam: &EmojiExam) -> Show {
        let tiles = exam.sample(Side::HeldOut, PAIRS);
        let names = exam.names();
        Show {
            pictures: tiles.iter().map(|&tile| exam.picture(tile)).collect(),
            captions: tiles.iter().map(|tile| names[tile.concept].into()).collect(),
            truth: (0..tiles.len()).collect(),
        }
    }

    /// Shows pictures of the vendor that was never trained on, half of them of held-out concepts, with the names of all
    /// concepts as captions.
    fn all_names(exam: &EmojiExam) -> Show {
        let mut tiles = exam.sample(Side::Trained, PICTURES / 2);
        tiles.extend(exam.sample(Side::HeldOut, PICTURES / 2));
        Show {
            pictures: tiles.iter().map(|&tile| exam.picture(tile)).collect(),
            captions: exam.names().into_iter().map(String::from).collect(),
            truth: tiles.iter().map(|tile| tile.concept).collect(),
        }
    }

    /// Shows a user's pairs.
    fn pairs(examples: Vec<Example>) -> Show {
        let truth = (0..examples.len()).collect();
        let (pictures, captions) = examples.into_iter().map(|example| (example.picture, example.caption)).unzip();
        Show { pictures, captions, truth }
    }

    fn captions(&self) -> Vec<&str> {
        self.captions.iter().map(String::as_str).collect()
    }

    fn images(&self) -> Vec<RgbImage> {
        self.pictures.iter().map(image).collect()
    }

    fn cosines(&self, embedder: &Embedder) -> ndarray::Array2<f32> {
        let images = embedder.pictures(self.pictures.len(), |i, picture| picture.clone_from(&self.pictures[i]));
        images.dot(&embedder.captions(&self.captions).t())
    }

    fn similarity(&self, embedder: &Embedder) -> RgbImage {
        matrix::similarity_matrix(&self.images(), &self.captions(), self.cosines(embedder).view())
    }

    fn sheet(&self, embedder: &Embedder) -> RgbImage {
        let (images, captions, cosines) = (self.images(), self.captions(), self.cosines(embedder));
        let entries = (images.iter().zip(&self.truth).zip(cosines.rows())).map(|((image, &truth), scores)| {
            sheet::Entry::best(image, &captions, scores.as_slice().expect("a row"), truth, CAPTIONS)
        });
        sheet::sheet(&entries.collect::<Vec<_>>())
    }
}

/// Converts a picture to the type that the plots take, and turns it upright.
fn image(picture: &Picture) -> RgbImage {
    let picture = picture.clone().upright().into_rgb();
    let (width, height) = (picture.width as u32, picture.height as u32);
    RgbImage::from_raw(width, height, picture.samples).expect("three samples a pixel")
}
