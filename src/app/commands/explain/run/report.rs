//! What is printed of a run.

use super::axes::Axes;
use super::folder::Trained;
use super::look::{Look, Said};
use super::shown::Shown;
use crate::app::commands::explain::page::one_line;
use crate::counted::counted;
use crate::datasets::Example;
use ndarray::{Array2, Axis, concatenate};
use serde::Serialize;
use std::fmt;

#[derive(Serialize)]
pub(super) struct Report {
    pub run: String,
    pub pictures: Vec<Shot>,
    /// The distinct captions of the pictures.
    pub captions: Vec<String>,
    /// How much of the variance of the last checkpoint's embeddings each axis of the map has.
    pub shares: Vec<f64>,
    pub checkpoints: Vec<Point>,
}

/// A picture with its caption.
#[derive(Serialize)]
pub(super) struct Shot {
    pub caption: String,
    /// The kind of the picture, as a title.
    pub part: String,
    /// The place of its caption among the distinct ones.
    pub own: usize,
    #[serde(skip)]
    pub example: Example,
}

/// What is shown of a checkpoint.
#[derive(Serialize)]
pub(super) struct Point {
    pub epoch: Option<u64>,
    pub loss: Option<f64>,
    /// For how many pictures their own caption is nearer than every other.
    pub own_nearest: usize,
    /// The cosines of each picture with each caption.
    pub cosines: Vec<Vec<f32>>,
    /// The places on the map of all pictures, then of all captions.
    pub points: Vec<[f64; 2]>,
    pub said: Vec<Vec<Said>>,
}

impl Report {
    /// Puts everything side by side. The axes of the map are those of the last checkpoint.
    pub fn new(Trained { name, shown, .. }: Trained, looks: Vec<Look>) -> Self {
        let axes = looks.last().filter(|last| last.images.nrows() > 0).map(|last| Axes::of(rows(last).view()));
        let point = |look: Look| Point {
            epoch: look.epoch,
            loss: look.loss,
            own_nearest: look.own_nearest(&shown.own),
            cosines: look.cosines().rows().into_iter().map(|row| row.to_vec()).collect(),
            points: axes.as_ref().map_or(vec![], |axes| axes.places(rows(&look).view())),
            said: look.said,
        };
        let checkpoints = looks.into_iter().map(point).collect();
        let Shown { examples, parts, captions, own, .. } = shown;
        let shots = examples.into_iter().zip(parts).zip(own);
        let shot = |((example, part), own): ((Example, String), usize)| Shot {
            caption: example.caption.clone(),
            part,
            own,
            example,
        };
        let shares = axes.as_ref().map_or(vec![], |axes| axes.shares.to_vec());
        Report { run: name, pictures: shots.map(shot).collect(), captions, shares, checkpoints }
    }

    /// Whether the models embed pictures and captions.
    pub fn embeds(&self) -> bool {
        !self.shares.is_empty()
    }

    /// The checkpoint that is shown first.
    pub fn last(&self) -> &Point {
        self.checkpoints.last().expect("a run has a checkpoint")
    }

    /// Says what to do about a run of which there is one checkpoint alone.
    pub fn advice(&self) -> Option<&'static str> {
        (self.last().epoch.is_none()).then_some(
            "The run has kept its last checkpoint alone. train --keep-frequency 1 keeps one for every epoch, and the \
             one before the first step.",
        )
    }
}

impl Point {
    pub fn name(&self) -> String {
        self.epoch.map_or("last checkpoint".into(), |epoch| format!("epoch {epoch}"))
    }

    pub fn loss(&self) -> String {
        self.loss.map_or("–".into(), |loss| format!("{loss:.3}"))
    }
}

/// Returns the embeddings of the pictures, and below them those of the captions.
fn rows(look: &Look) -> Array2<f32> {
    concatenate(Axis(0), &[look.images.view(), look.texts.view()]).expect("both are of the joint space")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { run, pictures, checkpoints, .. } = self;
        let n = pictures.len();
        writeln!(f, "{run}: {}, the same {}", counted(checkpoints.len(), "checkpoint"), counted(n, "picture"))?;
        if self.embeds() {
            writeln!(f, "\n{:<16}{:>10}  own caption nearest", "", "loss")?;
            for point in checkpoints {
                writeln!(f, "{:<16}{:>10}  {:>3} of {n}", point.name(), point.loss(), point.own_nearest)?;
            }
        }
        for (place, Shot { caption, .. }) in pictures.iter().enumerate().filter(|_| !self.last().said.is_empty()) {
            writeln!(f, "\npicture {}: {}", place + 1, one_line(caption))?;
            for point in checkpoints {
                let said: Vec<String> = point.said[place].iter().map(Said::to_string).collect();
                writeln!(f, "{:<16}  {}", point.name(), said.join("; "))?;
            }
        }
        self.advice().map_or(Ok(()), |advice| write!(f, "\n{advice}"))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Said { question, text, is_true } = self;
        question.as_ref().map_or(Ok(()), |question| write!(f, "{} ", one_line(question)))?;
        write!(f, "{}{}", one_line(text), if *is_true { " ✓" } else { "" })
    }
}
