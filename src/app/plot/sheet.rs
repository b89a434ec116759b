//! The sheet of pictures, each with its best captions.

use super::answers::{Answers, best_first};
use super::canvas::{Area, Drawn, FAINT, INK, draw, fill, thumbnail};
use super::marks::{MISSED, Mark, RIGHT, cross, key, tick};
use super::text::{Anchor, decimals, ellipsise, text};
use image::RgbImage;
use plotters::style::Color;

/// Number of entries in a row. The lengths below are in points.
const COLUMNS: usize = 3;
const WIDTH: f64 = 318.0;
const PICTURE: f64 = 84.0;
const LINE: f64 = 20.0;
const GAP: f64 = 22.0;
const SCORE: f64 = 44.0;
const MARGIN: f64 = 22.0;
const HEAD: f64 = 66.0;
/// Height of the title of a block of pictures.
const TITLE: f64 = 34.0;
const TEXT: f64 = 13.0;

const KEY: [(Mark, &str); 2] = [(tick, "the right caption"), (cross, "the right caption, not among the best")];

/// A picture with the captions that the model scores best.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub picture: &'a RgbImage,
    /// The captions with the best scores, best first.
    pub guesses: Vec<Guess<'a>>,
    /// The right caption and its rank (1 = best) among all captions.
    pub truth: (&'a str, usize),
}

/// One caption with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess<'a> {
    pub caption: &'a str,
    /// The cosine or the probability, written with two decimals.
    pub score: f32,
    pub right: bool,
}

impl<'a> Entry<'a> {
    /// Makes an entry of the k captions with the best scores. `truth` is the index of the right one, which comes
    /// after all others of the same score; NaN scores come last.
    #[track_caller]
    pub fn best(picture: &'a RgbImage, captions: &[&'a str], scores: &[f32], truth: usize, k: usize) -> Self {
        let (c, s) = (captions.len(), scores.len());
        assert!(c == s && truth < c, "{c} captions, {s} scores, the right one is {truth}");
        let order = best_first(scores, truth);
        let rank = 1 + order.iter().position(|&i| i == truth).expect("every caption has a place");
        let guess = |&i: &usize| Guess { caption: captions[i], score: scores[i], right: i == truth };
        Entry { picture, guesses: order.iter().take(k).map(guess).collect(), truth: (captions[truth], rank) }
    }
}

/// Draws each block of pictures under its title, three pictures in a row, each with its `k` best captions. The right
/// caption has a tick. If it is not among the best, it is shown below them with a cross and its rank.
#[track_caller]
pub fn sheet(blocks: &[Answers], k: usize) -> RgbImage {
    blocks.iter().for_each(Answers::check);
    let entries: Vec<Vec<Entry>> = blocks.iter().map(|block| entries(block, k)).collect();
    let all = || entries.iter().flatten();
    let lines = all().map(|e| e.guesses.len() + 1).max().unwrap_or(0);
    let row = PICTURE.max(LINE * lines as f64) + GAP;
    let height = |entries: &Vec<Entry>| TITLE + entries.len().div_ceil(COLUMNS) as f64 * row;
    let largest = all().flat_map(|e| &e.guesses).map(|g| g.score).fold(f32::MIN_POSITIVE, f32::max);
    let width = 2.0 * MARGIN + COLUMNS as f64 * (WIDTH + GAP) - GAP;
    draw((width, HEAD + entries.iter().map(height).sum::<f64>() - GAP + MARGIN), |area| {
        text(area, "Pictures and their best captions", (MARGIN, 24.0), Anchor::Left, 17.0, &INK)?;
        key(area, (MARGIN, 47.0), &KEY)?;
        let mut top = HEAD;
        for (block, entries) in blocks.iter().zip(&entries) {
            let title = ellipsise(&format!("{}: {}", block.title, block.score(k)), 14.5, width - 2.0 * MARGIN);
            text(area, &title, (MARGIN, top + 12.0), Anchor::Left, 14.5, &INK)?;
            for (i, entry) in entries.iter().enumerate() {
                let x = MARGIN + (i % COLUMNS) as f64 * (WIDTH + GAP);
                draw_entry(area, (x, top + TITLE + (i / COLUMNS) as f64 * row), entry, largest)?;
            }
            top += height(entries);
        }
        Ok(())
    })
}

fn entries(Answers { pictures, captions, truth, cosines, .. }: &Answers, k: usize) -> Vec<Entry<'_>> {
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let rows = pictures.iter().zip(truth).zip(cosines.rows());
    rows.map(|((picture, &truth), scores)| Entry::best(picture, &captions, &scores.to_vec(), truth, k)).collect()
}

fn draw_entry(area: &Area, (x, y): (f64, f64), entry: &Entry, largest: f32) -> Drawn {
    thumbnail(area, entry.picture, (x, y), PICTURE)?;
    let left = x + PICTURE + 20.0;
    let right = x + WIDTH;
    let mut middle = y + LINE / 2.0;
    for guess in &entry.guesses {
        let share = f64::from(guess.score.max(0.0) / largest);
        let colour = if guess.right { RIGHT } else { FAINT };
        let end = left + share * (right - left - SCORE);
        fill(area, [(left, middle - 8.5), (end, middle + 8.5)], colour.mix(0.2))?;
        if guess.right {
            tick(area, (left - 9.0, middle))?;
        }
        let caption = ellipsise(guess.caption, TEXT, right - left - SCORE - 8.0);
        text(area, &caption, (left + 5.0, middle), Anchor::Left, TEXT, &INK)?;
        text(area, &decimals(guess.score), (right - 4.0, middle), Anchor::Right, TEXT, &INK)?;
        middle += LINE;
    }
    if entry.guesses.iter().all(|guess| !guess.right) {
        let (caption, rank) = entry.truth;
        cross(area, (left - 9.0, middle))?;
        let caption = ellipsise(caption, TEXT, right - left - 74.0);
        text(area, &caption, (left + 5.0, middle), Anchor::Left, TEXT, &MISSED)?;
        text(area, &format!("rank {rank}"), (right - 4.0, middle), Anchor::Right, TEXT, &MISSED)?;
    }
    Ok(())
}
