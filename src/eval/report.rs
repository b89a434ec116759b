//! The table of results: the scores of a model beside chance and beside a baseline without a neural network.

use super::retrieval::{Recall, Retrieval};
use super::table::{CONCEPTS, Column, NUMBER, PICTURES, Table};
use super::texts::{AnswerRow, AnswerTable, CaptionRow, CaptionTable};
use super::zero_shot::{TopK, zero_shot};
use crate::counted::counted;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// A table of results with one row for each cut of the evaluation pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub rows: Vec<Row>,
    /// The scores of captions, of a model that writes some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<CaptionRow>,
    /// The scores of answers, of a model that gives some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRow>,
}

/// The scores on one cut of the pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The concepts of the pictures: "seen", "held-out", …
    pub concepts: String,
    /// The source of the pictures: "training vendors", "twemoji, held out", …
    pub pictures: String,
    /// Whether flags are left out. They look nearly the same from every vendor, so naming them only shows memory.
    pub without_flags: bool,
    pub images: usize,
    /// Zero-shot scores; `None` for data whose captions are no class names.
    pub zero_shot: Option<ZeroShot>,
    pub retrieval: Retrieval,
    /// Retrieval scores of guessing.
    pub retrieval_chance: Retrieval,
}

/// Zero-shot scores beside those of chance and of the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZeroShot {
    pub classes: usize,
    pub score: TopK,
    pub chance: TopK,
    /// The score of the [baseline](super::baseline) on raw pixels, where it was measured.
    #[serde(alias = "floor")]
    pub raw_pixels: Option<TopK>,
}

impl ZeroShot {
    /// Classifies pictures by the embeddings of classes.
    ///
    /// `images` (N,e), `classes` (M,e)
    ///
    /// `truth[n]` is the class of picture n.
    #[track_caller]
    pub fn measure(
        images: ArrayView2<f32>,
        classes: ArrayView2<f32>,
        truth: &[usize],
        raw_pixels: Option<TopK>,
    ) -> Self {
        let score = zero_shot(images, classes, truth);
        ZeroShot { classes: classes.nrows(), score, chance: TopK::chance(classes.nrows()), raw_pixels }
    }
}

/// The columns with numbers: the title of each group and the heads of its columns.
const GROUPS: [(&str, &[&str]); 4] = [
    ("zero-shot", &["top-1", "top-5"]),
    ("raw pixels", &["top-1", "top-5"]),
    ("picture → caption", &["R@1", "R@5", "R@10"]),
    ("caption → picture", &["R@1", "R@5", "R@10"]),
];

/// The source of the scores in a line.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Model,
    Chance,
}

impl Row {
    /// Returns the model's scores in two lines, for a log.
    pub fn brief(&self) -> String {
        let zero_shot =
            self.zero_shot.map_or(String::new(), |ZeroShot { score: TopK { top1, top5 }, classes, .. }| {
                format!(", zero-shot {:.1} / {:.1} % of {classes}", 100.0 * top1, 100.0 * top5)
            });
        let percent = |r: Recall| format!("{:.1} {:.1} {:.1}", 100.0 * r.at1, 100.0 * r.at5, 100.0 * r.at10);
        let (captions, pictures) = (percent(self.retrieval.image_to_text), percent(self.retrieval.text_to_image));
        format!(
            "eval  {}: {}{zero_shot}\n      R@1/5/10 to captions {captions}, to pictures {pictures}",
            self.concepts(),
            self.pictures
        )
    }

    /// Returns what the pictures show, and whether flags are left out.
    pub(crate) fn concepts(&self) -> String {
        if self.without_flags { format!("{}, no flags", self.concepts) } else { self.concepts.clone() }
    }

    /// Says which pictures the scores are of.
    pub fn title(&self) -> String {
        let classes = self.zero_shot.map_or(String::new(), |z| format!(", {}", counted(z.classes, "class")));
        format!("{}: {}, {}{classes}", self.concepts(), self.pictures, counted(self.images, "picture"))
    }

    /// Returns the model's scores in [0, 1] with their names.
    pub fn named_scores(&self) -> Vec<(String, f64)> {
        let groups = GROUPS.iter().zip(self.scores(Who::Model));
        let named = |(&(title, heads), scores): (&(&str, &'static [&'static str]), Vec<Option<f64>>)| {
            let scores = heads.iter().zip(scores).filter_map(|(head, score)| Some((head, score?)));
            scores.map(|(head, score)| (format!("{title} {head}"), score)).collect::<Vec<_>>()
        };
        groups.flat_map(named).filter(|(name, _)| !name.starts_with("raw pixels")).collect()
    }

    fn classes(&self) -> String {
        self.zero_shot.map_or("–".into(), |z| z.classes.to_string())
    }

    /// Returns the scores in [0, 1], in the order of [`GROUPS`].
    fn scores(&self, who: Who) -> [Vec<Option<f64>>; 4] {
        let top = |k: Option<TopK>| vec![k.map(|k| k.top1), k.map(|k| k.top5)];
        let recall = |r: Recall| vec![Some(r.at1), Some(r.at5), Some(r.at10)];
        let z = self.zero_shot;
        let (zero_shot, raw_pixels, retrieval) = match who {
            Who::Model => (z.map(|z| z.score), z.and_then(|z| z.raw_pixels), self.retrieval),
            Who::Chance => (z.map(|z| z.chance), None, self.retrieval_chance),
        };
        [top(zero_shot), top(raw_pixels), recall(retrieval.image_to_text), recall(retrieval.text_to_image)]
    }
}

/// Formats a score in percent, six columns wide. Chance has one more decimal, with the decimal points aligned; a chance
/// of 100 % has none, since it would touch the neighbouring column.
fn cell(score: Option<f64>, who: Who) -> String {
    match (score, who) {
        (Some(score), Who::Chance) if score >= 0.99995 => "  100 ".into(),
        (Some(score), Who::Model) => format!("{:>5.1} ", 100.0 * score),
        (Some(score), Who::Chance) => format!("{:>6.2}", 100.0 * score),
        (None, Who::Model) => format!("{:>5} ", "–"),
        (None, Who::Chance) => " ".repeat(6),
    }
}

/// The table of retrieval and zero-shot scores.
struct RecallTable<'a>(&'a [Row]);

/// Writes the table as plain text of 80 columns: a line that says what a row is about, then the model's scores, then
/// those of chance.
impl Display for RecallTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, left: &str, cells: [String; 4]| {
            writeln!(f, "{}", format!("{left:<10}│{}", cells.join("│")).trim_end())
        };
        line(f, "", GROUPS.map(|(title, heads)| format!("{title:^0$}", 6 * heads.len() + 1)))?;
        line(f, "", GROUPS.map(|(_, heads)| heads.iter().map(|head| format!("{head:>6}")).collect::<String>() + " "))?;
        let rule = GROUPS.map(|(_, heads)| "─".repeat(6 * heads.len() + 1));
        for row in self.0 {
            writeln!(f, "{}┼{}", "─".repeat(10), rule.join("┼"))?;
            writeln!(f, "{}", row.title())?;
            for (left, who) in [("model", Who::Model), ("by chance", Who::Chance)] {
                let cells = |group: Vec<Option<f64>>| group.iter().map(|&s| cell(s, who)).collect::<String>() + " ";
                line(f, left, row.scores(who).map(cells))?;
            }
        }
        writeln!(f, "All scores in percent.")
    }
}

/// Writes the tables that have rows.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { rows, captions, answers } = self;
        let recall = (!rows.is_empty()).then(|| RecallTable(rows).to_string());
        let captions = (!captions.is_empty()).then(|| CaptionTable(captions).to_string());
        let answers = (!answers.is_empty()).then(|| AnswerTable(answers).to_string());
        let tables: Vec<String> = [recall, captions, answers].into_iter().flatten().collect();
        f.write_str(tables.join("\n").trim_end())
    }
}

impl Report {
    /// Says which concepts the pictures of all rows show.
    pub fn name_concepts(&mut self, concepts: &str) {
        self.rows.iter_mut().for_each(|row| row.concepts = concepts.into());
        self.captions.iter_mut().for_each(|row| row.concepts = concepts.into());
        self.answers.iter_mut().for_each(|row| row.concepts = concepts.into());
    }

    /// Adds the rows of another table.
    pub fn extend(&mut self, other: Report) {
        self.rows.extend(other.rows);
        self.captions.extend(other.captions);
        self.answers.extend(other.answers);
    }

    /// Returns the scores of every row in a few lines, for a log.
    pub fn brief(&self) -> Vec<String> {
        let texts = self.captions.iter().map(CaptionRow::brief).chain(self.answers.iter().map(AnswerRow::brief));
        self.rows.iter().map(Row::brief).chain(texts).collect()
    }

    /// Returns the tables that have rows.
    pub fn tables(&self) -> Vec<Table> {
        let Report { rows, captions, answers } = self;
        let recall = (!rows.is_empty()).then(|| RecallTable(rows).table());
        let captions = (!captions.is_empty()).then(|| CaptionTable(captions).table());
        let answers = (!answers.is_empty()).then(|| AnswerTable(answers).table());
        [recall, captions, answers].into_iter().flatten().collect()
    }

    /// Returns the tables that have rows as Markdown.
    pub fn markdown(&self) -> String {
        self.tables().iter().map(Table::markdown).collect::<Vec<_>>().join("\n")
    }
}

/// What the columns with numbers say, in the order of [`GROUPS`].
const MEANINGS: [&str; 4] = [
    "Each picture is compared with the embedded name of every class, none of which was trained as a class. Top-1 is the \
     share of pictures whose own name is the nearest, top-5 of those whose own is among the five nearest.",
    "The same question, answered without a neural network from the colours and edges of the most similar training \
     pictures; it is measured at the end of a run. A model that does not beat it knows nothing that pixels do not say.",
    "Each picture looks for its caption among all captions of the row. R@K is the share of pictures that have a right \
     one among the K nearest.",
    "Each caption looks for its picture among all pictures of the row. R@K is the share of captions that have a right \
     one among the K nearest.",
];
const CLASSES: &str = "Among how many names zero-shot classification chooses. Guessing is right once in so many times.";

impl RecallTable<'_> {
    /// Returns the table with chance in brackets.
    fn table(&self) -> Table {
        let texts = [Column::text("concepts", CONCEPTS), Column::text("pictures", PICTURES)];
        let numbers = [Column::number("number", NUMBER), Column::number("classes", CLASSES)];
        let group = |((title, heads), meaning): ((&str, &[&str]), _)| {
            Column::number(format!("{title} {}", heads.join(" / ")), meaning)
        };
        let groups = GROUPS.into_iter().zip(MEANINGS).map(group);
        Table {
            columns: texts.into_iter().chain(numbers).chain(groups).collect(),
            rows: self.0.iter().map(Row::cells).collect(),
            note: "All scores in percent; in brackets by chance.".into(),
        }
    }
}

impl Row {
    /// Returns the cells of the row, in the order of the columns.
    fn cells(&self) -> Vec<String> {
        let joined = |scores: &[Option<f64>], who| {
            let cells: Vec<String> = scores.iter().map(|&score| cell(score, who).trim().into()).collect();
            cells.join(" / ").trim().to_string()
        };
        let group = |(scores, chance): (Vec<_>, Vec<_>)| match chance[0] {
            Some(_) => format!("{} ({})", joined(&scores, Who::Model), joined(&chance, Who::Chance)),
            None => joined(&scores, Who::Model),
        };
        let about = [self.concepts(), self.pictures.clone(), self.images.to_string(), self.classes()];
        let groups = self.scores(Who::Model).into_iter().zip(self.scores(Who::Chance)).map(group);
        about.into_iter().chain(groups).collect()
    }
}
