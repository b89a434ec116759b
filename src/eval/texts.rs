//! The tables of results for what a model writes.

use super::table::{CONCEPTS, Column, NUMBER, PICTURES, Table};
use crate::counted::counted;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// The scores of captions on one cut of the pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionRow {
    /// The concepts of the pictures, as in [`Row`](super::report::Row).
    pub concepts: String,
    /// The source of the pictures.
    pub pictures: String,
    pub images: usize,
    pub score: CaptionScore,
    /// The scores of the captions of the training pictures that have the most similar pixels, where they were measured.
    pub nearest: Option<CaptionScore>,
}

/// The scores of captions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionScore {
    /// The share of captions that are true to the letter.
    pub exact: f64,
    /// BLEU@4, in [0, 1].
    pub bleu4: f64,
    /// CIDEr-D, in [0, 10].
    pub cider: f64,
}

impl CaptionScore {
    fn cells(&self) -> [String; 3] {
        [self.exact, self.bleu4, self.cider].map(|score| format!("{:.1}", 100.0 * score))
    }
}

impl CaptionRow {
    /// Returns the scores in a line, for a log.
    pub fn brief(&self) -> String {
        let [exact, bleu4, cider] = self.score.cells();
        let CaptionRow { concepts, pictures, .. } = self;
        format!("      {concepts}: {pictures}: exact {exact} %, BLEU@4 {bleu4}, CIDEr-D {cider}")
    }

    /// Goes through whose scores they are.
    fn lines(&self) -> impl Iterator<Item = (&'static str, CaptionScore)> {
        [("model", Some(self.score)), ("pixels", self.nearest)].into_iter().filter_map(|(who, s)| Some((who, s?)))
    }
}

/// A table of captions as plain text.
pub(super) struct CaptionTable<'a>(pub &'a [CaptionRow]);

impl Display for CaptionTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "captions  │  exact   BLEU@4  CIDEr-D")?;
        for row in self.0 {
            writeln!(f, "{}┼{}", "─".repeat(10), "─".repeat(26))?;
            writeln!(f, "{}: {}, {}", row.concepts, row.pictures, counted(row.images, "picture"))?;
            for (who, score) in row.lines() {
                let [exact, bleu4, cider] = score.cells();
                writeln!(f, "{who:<10}│{exact:>7}  {bleu4:>7}  {cider:>7}")?;
            }
        }
        writeln!(f, "All scores × 100. \"Pixels\" takes the caption of the most similar training scene.")
    }
}

impl CaptionTable<'_> {
    /// Returns the table of cells.
    pub fn table(&self) -> Table {
        let row = |row: &CaptionRow, (who, score): (&str, CaptionScore)| {
            let about = [row.concepts.clone(), row.pictures.clone(), row.images.to_string(), who.into()];
            about.into_iter().chain(score.cells()).collect()
        };
        Table {
            columns: vec![
                Column::text("concepts", CONCEPTS),
                Column::text("pictures", PICTURES),
                Column::number("number", NUMBER),
                Column::text(
                    "captions by",
                    "Who has written the captions. \"Pixels\" needs no network: it repeats the caption of the training \
                     scene that looks most similar.",
                ),
                Column::number(
                    "exact",
                    "The share of captions that equal a true caption to the letter. A caption with a single other word \
                     does not count.",
                ),
                Column::number(
                    "BLEU@4",
                    "How many of the caption's words, and of its sequences of up to four words, some reference has too. \
                     The largest score is 100, and captions that are too short lose some of it.",
                ),
                Column::number(
                    "CIDEr-D",
                    "How well the caption's words and sequences of words agree with those of the references, the rare \
                     ones counting most. The largest score is 1000, which hardly any set of captions comes near.",
                ),
            ],
            rows: self.0.iter().flat_map(|about| about.lines().map(move |line| row(about, line))).collect(),
            note: "All scores × 100. \"Pixels\" takes the caption of the most similar training scene.".into(),
        }
    }
}

/// The scores of answers on one cut of the pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// The concepts of the pictures, as in [`Row`](super::report::Row).
    pub concepts: String,
    /// The source of the pictures.
    pub pictures: String,
    /// The scores by kind of question.
    pub kinds: Vec<AnswerScore>,
}

/// The scores of answers to one kind of question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerScore {
    pub kind: String,
    pub questions: usize,
    /// The accuracy, in [0, 1].
    pub accuracy: f64,
    /// The accuracy of the answer that is the commonest in training to questions of this kind, where it was measured.
    pub commonest: Option<f64>,
}

impl AnswerRow {
    /// Returns the scores in a line, for a log.
    pub fn brief(&self) -> String {
        let AnswerRow { concepts, pictures, kinds } = self;
        let kinds: Vec<_> = kinds.iter().map(|kind| format!("{} {:.1}", kind.kind, 100.0 * kind.accuracy)).collect();
        format!("eval  {concepts}: {pictures}: answers to {} %, mean {:.1} %", kinds.join(", "), 100.0 * self.mean())
    }

    /// Returns the mean accuracy of the kinds of questions.
    pub fn mean(&self) -> f64 {
        mean(self.kinds.iter().map(|kind| kind.accuracy))
    }

    /// Goes through whose scores they are: those of each kind, then their mean.
    fn lines(&self) -> impl Iterator<Item = (&'static str, Vec<f64>)> {
        let model: Vec<f64> = self.kinds.iter().map(|kind| kind.accuracy).collect();
        let commonest: Option<Vec<f64>> = self.kinds.iter().map(|kind| kind.commonest).collect();
        let lines = [("model", Some(model)), ("commonest", commonest)].into_iter();
        lines.filter_map(|(who, scores)| {
            let scores = scores?;
            let mean = mean(scores.iter().copied());
            Some((who, [scores, vec![mean]].concat()))
        })
    }
}

fn mean(scores: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = scores.len().max(1);
    scores.sum::<f64>() / n as f64
}

/// A table of answers as plain text.
pub(super) struct AnswerTable<'a>(pub &'a [AnswerRow]);

/// What the baseline of the table is.
const COMMONEST: &str = "\"Commonest\" is the commonest answer to the kind of question in training.";

impl Display for AnswerTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, AnswerRow { concepts, pictures, kinds }) in self.0.iter().enumerate() {
            if i == 0 {
                let names = kinds.iter().map(|kind| kind.kind.as_str()).chain(["mean"]);
                writeln!(f, "answers   │{}", names.map(|name| format!("{name:>8}")).collect::<String>())?;
            }
            writeln!(f, "{}┼{}", "─".repeat(10), "─".repeat(8 * (kinds.len() + 1)))?;
            let questions: usize = kinds.iter().map(|kind| kind.questions).sum();
            writeln!(f, "{concepts}: {pictures}, {}", counted(questions, "question"))?;
            for (who, scores) in self.0[i].lines() {
                let scores = scores.iter().map(|score| format!("{:>8.1}", 100.0 * score));
                writeln!(f, "{who:<10}│{}", scores.collect::<String>())?;
            }
        }
        writeln!(f, "All scores in percent. {COMMONEST}")
    }
}

/// What the columns of the kinds of questions say.
const KIND: &str =
    "The accuracy of the answers to this kind of question. An answer counts as much as people agree on it.";

impl AnswerTable<'_> {
    /// Returns the table of cells.
    pub fn table(&self) -> Table {
        let by = "Who has answered. \"Commonest\" does not look at the picture: it gives the commonest answer to the kind \
                  of question in training.";
        let asked = "How many questions are asked. The accuracies of few questions vary by chance.";
        let mean = "The mean of the accuracies of all kinds of questions. Every kind counts the same, however often it is \
                    asked.";
        let kinds = self.0.first().map_or(&[][..], |row| &row.kinds);
        let about = [Column::text("concepts", CONCEPTS), Column::text("pictures", PICTURES)];
        let about = about.into_iter().chain([Column::number("questions", asked), Column::text("answers by", by)]);
        let kinds = kinds.iter().map(|kind| Column::number(kind.kind.as_str(), KIND));
        let row = |row: &AnswerRow, (who, scores): (&str, Vec<f64>)| {
            let questions: usize = row.kinds.iter().map(|kind| kind.questions).sum();
            let about = [row.concepts.clone(), row.pictures.clone(), questions.to_string(), who.into()];
            about.into_iter().chain(scores.iter().map(|score| format!("{:.1}", 100.0 * score))).collect()
        };
        Table {
            columns: about.chain(kinds).chain([Column::number("mean", mean)]).collect(),
            rows: self.0.iter().flat_map(|about| about.lines().map(move |line| row(about, line))).collect(),
            note: format!("All scores in percent. {COMMONEST}"),
        }
    }
}
