//! The sheet of pictures, each with its best captions.

use super::canvas::{Area, COLOURS, Drawn, FAINT, INK, draw, fill, pt, thumbnail};
use super::text::{Anchor, decimals, ellipsise, text};
use image::RgbImage;
use plotters::prelude::*;

/// Number of entries in a row. The lengths below are in points.
const COLUMNS: usize = 3;
const WIDTH: f64 = 318.0;
const PICTURE: f64 = 84.0;
const LINE: f64 = 20.0;
const GAP: f64 = 22.0;
const SCORE: f64 = 44.0;
const MARGIN: f64 = 22.0;
const HEAD: f64 = 66.0;
const TEXT: f64 = 13.0;

const RIGHT: RGBColor = COLOURS[2];
const MISSED: RGBColor = COLOURS[1];

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
    /// Makes an entry of the k captions with the best scores. `truth` is the index of the right one; NaN scores come
    /// last.
    #[track_caller]
    pub fn best(picture: &'a RgbImage, captions: &[&'a str], scores: &[f32], truth: usize, k: usize) -> Self {
        let (c, s) = (captions.len(), scores.len());
        assert!(c == s && truth < c, "{c} captions, {s} scores, the right one is {truth}");
        let key = |i: usize| if scores[i].is_nan() { f32::NEG_INFINITY } else { scores[i] };
        let mut order: Vec<usize> = (0..c).collect();
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
        let rank = 1 + order.iter().position(|&i| i == truth).expect("every caption has a place");
        let guess = |&i: &usize| Guess { caption: captions[i], score: scores[i], right: i == truth };
        Entry { picture, guesses: order.iter().take(k).map(guess).collect(), truth: (captions[truth], rank) }
    }
}

/// Draws the sheet, with three entries in a row. The right caption has a tick. If it is not among the best, it is shown
/// below them with a cross and its rank.
pub fn sheet(entries: &[Entry]) -> RgbImage {
    let lines = entries.iter().map(|e| e.guesses.len() + 1).max().unwrap_or(0);
    let height = PICTURE.max(LINE * lines as f64);
    let rows = entries.len().div_ceil(COLUMNS);
    let largest = entries.iter().flat_map(|e| &e.guesses).map(|g| g.score).fold(f32::MIN_POSITIVE, f32::max);
    let size =
        (2.0 * MARGIN + COLUMNS as f64 * (WIDTH + GAP) - GAP, HEAD + rows as f64 * (height + GAP) - GAP + MARGIN);
    draw(size, |area| {
        text(area, "Pictures and their best captions", (MARGIN, 24.0), Anchor::Left, 17.0, &INK)?;
        key(area)?;
        for (i, entry) in entries.iter().enumerate() {
            let x = MARGIN + (i % COLUMNS) as f64 * (WIDTH + GAP);
            let y = HEAD + (i / COLUMNS) as f64 * (height + GAP);
            draw_entry(area, (x, y), entry, largest)?;
        }
        Ok(())
    })
}

/// Draws the key, which explains tick and cross.
fn key(area: &Area) -> Drawn {
    let y = 47.0;
    tick(area, (MARGIN + 6.0, y))?;
    text(area, "the right caption", (MARGIN + 16.0, y), Anchor::Left, 12.0, &FAINT)?;
    cross(area, (MARGIN + 130.0, y))?;
    text(area, "the right caption, not among the best", (MARGIN + 140.0, y), Anchor::Left, 12.0, &FAINT)
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

fn tick(area: &Area, (x, y): (f64, f64)) -> Drawn {
    stroke(area, &[(x - 4.5, y), (x - 1.5, y + 3.5), (x + 4.5, y - 4.5)], RIGHT)
}

fn cross(area: &Area, (x, y): (f64, f64)) -> Drawn {
    stroke(area, &[(x - 3.5, y - 3.5), (x + 3.5, y + 3.5)], MISSED)?;
    stroke(area, &[(x - 3.5, y + 3.5), (x + 3.5, y - 3.5)], MISSED)
}

fn stroke(area: &Area, points: &[(f64, f64)], colour: RGBColor) -> Drawn {
    let points: Vec<(i32, i32)> = points.iter().map(|&(x, y)| (pt(x), pt(y))).collect();
    Ok(area.draw(&PathElement::new(points, colour.stroke_width(pt(1.8) as u32)))?)
}
