//! The pictures of a run: its curves, and what the model thinks of pictures it has never seen.

use super::TrainError;
use super::data::Exam;
use super::exam::EmojiExam;
use super::folder::RunFolder;
use crate::eval::embed::Embedder;
use crate::eval::metrics::Metrics;
use crate::input::Picture;
use crate::input::emoji::{Side, Tile};
use crate::plot::{curves, matrix, save, sheet};
use image::RgbImage;
use ndarray::Array2;

/// Pairs along each edge of the similarity matrix.
const PAIRS: usize = 14;
/// Pictures on the sheet, and captions beside each.
const PICTURES: usize = 24;
const CAPTIONS: usize = 5;

/// Draws everything into the folder.
pub fn draw(folder: &RunFolder, metrics: &Metrics, exam: &Exam, embedder: &Embedder) -> Result<(), TrainError> {
    save(folder.file("loss.png"), &curves::loss(metrics))?;
    save(folder.file("recall.png"), &curves::recall(metrics))?;
    save(folder.file("schedule.png"), &curves::schedule(metrics))?;
    match exam {
        Exam::Emoji(exam) => {
            save(folder.file("similarity.png"), &similarity(exam, embedder))?;
            save(folder.file("captions.png"), &captions(exam, embedder))?;
        }
    }
    Ok(())
}

/// Held-out pictures against their own names.
fn similarity(exam: &EmojiExam, embedder: &Embedder) -> RgbImage {
    let tiles = exam.sample(Side::HeldOut, PAIRS);
    let all = exam.names();
    let names: Vec<&str> = tiles.iter().map(|tile| all[tile.concept]).collect();
    let cosines = embed(exam, embedder, &tiles).dot(&embedder.captions(&names).t());
    matrix::similarity_matrix(&images(exam, &tiles), &names, cosines.view())
}

/// Pictures of the held-out vendor, half of them of concepts that no training picture shows, each with its best names
/// of all.
fn captions(exam: &EmojiExam, embedder: &Embedder) -> RgbImage {
    let mut tiles = exam.sample(Side::Trained, PICTURES / 2);
    tiles.extend(exam.sample(Side::HeldOut, PICTURES / 2));
    let names = exam.names();
    let cosines = embed(exam, embedder, &tiles).dot(&embedder.captions(&names).t());
    let images = images(exam, &tiles);
    let entries: Vec<_> = (tiles.iter().zip(&images).zip(cosines.rows()))
        .map(|((tile, image), scores)| {
            sheet::Entry::best(image, &names, scores.as_slice().expect("a row"), tile.concept, CAPTIONS)
        })
        .collect();
    sheet::sheet(&entries)
}

fn embed(exam: &EmojiExam, embedder: &Embedder, tiles: &[Tile]) -> Array2<f32> {
    embedder.pictures(tiles.len(), |i, picture: &mut Picture| *picture = exam.picture(tiles[i]))
}

fn images(exam: &EmojiExam, tiles: &[Tile]) -> Vec<RgbImage> {
    tiles.iter().map(|&tile| exam.image(tile)).collect()
}
