//! The tables of results for what a model writes.

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
    /// Returns the table as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::from("| concepts | pictures | number | captions by | exact | BLEU@4 | CIDEr-D |\n");
        out += "|---|---|--:|---|--:|--:|--:|\n";
        for row in self.0 {
            for (who, score) in row.lines() {
                let CaptionRow { concepts, pictures, images, .. } = row;
                out += &format!("| {concepts} | {pictures} | {images} | {who} | {} |\n", score.cells().join(" | "));
            }
        }
        out + "\nAll scores × 100. \"Pixels\" takes the caption of the most similar training scene.\n"
    }
}
