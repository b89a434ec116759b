//! The sheet of pictures, each with what a model says of it.

use super::canvas::{Area, Drawn, FAINT, INK, draw, image, thumbnail};
use super::marks::{MISSED, Mark, cross, key, tick};
use super::text::{Anchor, ellipsise, text, wrap};
use crate::eval::exam::{Said, Told};
use image::RgbImage;

/// Number of entries in a row. The lengths below are in points.
const COLUMNS: usize = 3;
const WIDTH: f64 = 330.0;
const PICTURE: f64 = 96.0;
const LINE: f64 = 16.5;
/// Lines of text beside a picture, and those that a text may take.
const LINES: usize = 7;
const LINES_OF_TEXT: usize = 3;
const GAP: f64 = 20.0;
const MARGIN: f64 = 22.0;
const HEAD: f64 = 66.0;
/// Height of the title of a block of pictures.
const TITLE: f64 = 34.0;
const TEXT: f64 = 12.5;

const KEY: [(Mark, &str); 2] = [(tick, "true to the letter"), (cross, "not what is true, which stands below")];

/// Draws each block of pictures under its title, three pictures in a row. What is true to the letter has a tick; what is
/// not has a cross, and the truth below it.
pub fn told(title: &str, blocks: &[Told]) -> RgbImage {
    let row = PICTURE.max(LINE * LINES as f64) + GAP;
    let height = |block: &Told| TITLE + block.pictures.len().div_ceil(COLUMNS) as f64 * row;
    let width = 2.0 * MARGIN + COLUMNS as f64 * (WIDTH + GAP) - GAP;
    draw((width, HEAD + blocks.iter().map(height).sum::<f64>() - GAP + MARGIN), |area| {
        text(area, title, (MARGIN, 24.0), Anchor::Left, 17.0, &INK)?;
        key(area, (MARGIN, 47.0), &KEY)?;
        let mut top = HEAD;
        for block in blocks {
            let title = ellipsise(&block.title, 14.5, width - 2.0 * MARGIN);
            text(area, &title, (MARGIN, top + 12.0), Anchor::Left, 14.5, &INK)?;
            for (i, (picture, said)) in block.pictures.iter().enumerate() {
                let x = MARGIN + (i % COLUMNS) as f64 * (WIDTH + GAP);
                entry(area, (x, top + TITLE + (i / COLUMNS) as f64 * row), &image(picture), said)?;
            }
            top += height(block);
        }
        Ok(())
    })
}

/// Draws a picture with as much of what is said as there is room for.
fn entry(area: &Area, (x, y): (f64, f64), picture: &RgbImage, said: &[Said]) -> Drawn {
    thumbnail(area, picture, (x, y), PICTURE)?;
    let (left, width) = (x + PICTURE + 22.0, WIDTH - PICTURE - 22.0);
    let mut lines = 0;
    for Said { question, text: says, truth } in said {
        let broken = |text: &str| wrap(text, TEXT, width, LINES_OF_TEXT);
        let asked = question.as_deref().map_or(vec![], broken);
        let (says, truth) = (broken(says), truth.as_deref().map_or(vec![], broken));
        let n = asked.len() + says.len() + truth.len();
        if lines + n > LINES {
            break;
        }
        let middle = |line: usize| y + (lines + line) as f64 * LINE + LINE / 2.0;
        let mark = if truth.is_empty() { tick } else { cross };
        mark(area, (left - 10.0, middle(asked.len())))?;
        let coloured = [(&asked, &FAINT), (&says, &INK), (&truth, &MISSED)];
        let all = coloured.into_iter().flat_map(|(lines, colour)| lines.iter().map(move |line| (line, colour)));
        for (i, (line, colour)) in all.enumerate() {
            text(area, line, (left, middle(i)), Anchor::Left, TEXT, colour)?;
        }
        lines += n;
    }
    Ok(())
}
