//! `clipwright eval --captions` and `--answers`: compares what a BLIP writes with what people wrote.

use super::{CliError, Context};
use crate::counted::counted;
use crate::datasets::annotations::{self, CaptionedPicture, VisualQuestion};
use crate::datasets::{BadLimit, BadReport, Questions};
use crate::embed::blip::published::PROMPT;
use crate::embed::rows::evenly_spread;
use crate::embed::source::{About, Examples, Files, Watched};
use crate::embed::{Batch, Blip, BlipError, Task};
use crate::eval::captions::{CaptionScores, Captioned};
use crate::eval::vqa;
use crate::files::{self, folder_of, has_extension};
use crate::models::blip::model::Source;
use crate::text::blip_clean::{MAX_QUESTION_WORDS, question};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is written and measured.
#[derive(Debug, Args)]
pub(crate) struct Texts {
    /// Let the model caption the pictures as BLIP's published captions were, and compare: BLEU, ROUGE-L, CIDEr-D
    #[arg(long, conflicts_with_all = ["emoji", "templates", "labels_file", "captions_are_classes", "linear_probe", "rerank"])]
    captions: bool,
    /// Let the model answer VQA's questions, which are DATA, and compare with people's answers in this file
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["captions", "emoji", "templates", "labels_file", "captions_are_classes", "linear_probe", "rerank"])]
    answers: Option<PathBuf>,
    /// Folder of the pictures that a JSON file names [default: that of DATA]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// The part of a JSON file of captions to measure, if it has several: `test`, `val`, …
    #[arg(long, value_name = "NAME", requires = "captions")]
    split: Option<String>,
    /// File of captions or answers that are ready, as `caption --json` and `ask --json` show them; no model is needed
    #[arg(long, value_name = "FILE")]
    ready: Option<PathBuf>,
}

impl Texts {
    pub(crate) fn are_asked_for(&self) -> bool {
        self.captions || self.answers.is_some()
    }

    /// Refuses options that say something of texts that are not asked for.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let given = [("--images", self.images.is_some()), ("--ready", self.ready.is_some())];
        match given.iter().find(|(_, given)| *given && !self.are_asked_for()) {
            Some((flag, _)) => Err(CliError::Usage(format!("{flag} needs --captions or --answers"))),
            None => Ok(()),
        }
    }

    /// Measures captions or answers. `pairs` opens data that is no file of JSON.
    pub(crate) fn run(
        &self,
        context: &Context,
        data: &str,
        limit: Option<usize>,
        pairs: impl FnOnce(&str) -> Result<Questions, CliError>,
    ) -> Result<(), CliError> {
        let limit = limit.unwrap_or(usize::MAX);
        let path = Path::new(data);
        let folder = self.images.as_deref().unwrap_or(folder_of(path));
        if let Some(answers) = &self.answers {
            let all = annotations::visual_questions(path, Some(answers), folder)?;
            let asked = choose(all, limit);
            let (answers, skipped) = match &self.ready {
                Some(ready) => (ready_answers(ready, &asked)?, 0),
                None => answer(context, &asked)?,
            };
            return context.output.show(&AnswerReport::of(data, &asked, &answers, skipped));
        }
        let (captioned, skipped) = if has_extension(path, "json") {
            let pictures = choose(self.captioned(path, folder)?, limit);
            match &self.ready {
                Some(ready) => (ready_captions(ready, &pictures)?, 0),
                None => caption(context, &pictures)?,
            }
        } else if self.ready.is_some() || self.images.is_some() || self.split.is_some() {
            let message = "--ready, --images and --split need a JSON file of captions, which names its pictures";
            return Err(CliError::Usage(format!("{data}: {message}")));
        } else {
            caption_pairs(context, &pairs(data)?, limit)?
        };
        context.output.show(&CaptionReport::of(data, &captioned, skipped))
    }

    /// Reads the pictures of the part that is asked for, all of which have captions.
    fn captioned(&self, path: &Path, folder: &Path) -> Result<Vec<CaptionedPicture>, CliError> {
        let mut pictures = annotations::captions(path, folder)?;
        let mut splits: Vec<String> = pictures.iter().filter_map(|picture| picture.split.clone()).collect();
        splits.sort();
        splits.dedup();
        match &self.split {
            None if splits.len() > 1 => {
                let message = format!("it has the parts {}; --split NAME chooses one", splits.join(", "));
                return Err(CliError::Usage(format!("{}: {message}", path.display())));
            }
            Some(split) if !splits.contains(split) => {
                let parts =
                    if splits.is_empty() { "no parts".into() } else { format!("the parts {}", splits.join(", ")) };
                return Err(CliError::Usage(format!("--split {split}: {} has {parts}", path.display())));
            }
            split => pictures.retain(|picture| split.is_none() || picture.split == *split),
        }
        match pictures.iter().find(|picture| picture.captions.is_empty()) {
            Some(picture) => Err(unfit(path, format!("no caption of {} in it", picture.picture.display()))),
            None if pictures.is_empty() => Err(unfit(path, "no picture in it".into())),
            None => Ok(pictures),
        }
    }
}

fn unfit(path: &Path, reason: String) -> CliError {
    CliError::file(path)(io::Error::other(reason))
}

/// Returns at most `limit` of the things, evenly spread.
fn choose<T: Clone>(all: Vec<T>, limit: usize) -> Vec<T> {
    evenly_spread(all.len(), limit).map(|i| all[i].clone()).collect()
}

/// A BLIP that writes captions as the published ones were written.
struct Captioner(Blip);

impl Captioner {
    fn new(context: &Context) -> Result<Self, CliError> {
        Ok(Captioner(context.blip(Task::Caption)?))
    }

    fn captions(&self, seen: &Source) -> Result<Vec<String>, CliError> {
        let written = self.0.caption_seen(seen, PROMPT, &self.0.published_captions(), |i| i as u64);
        Ok(written.map_err(error_of(&self.0))?.into_iter().map(|written| written.text).collect())
    }
}

fn error_of(blip: &Blip) -> impl Fn(BlipError) -> CliError {
    |source| CliError::Blip { path: blip.path().into(), source }
}

/// Captions annotated pictures; returns also the number of those that could not be read.
fn caption(context: &Context, pictures: &[CaptionedPicture]) -> Result<(Vec<Captioned>, u64), CliError> {
    let captioner = Captioner::new(context)?;
    let paths: Vec<&PathBuf> = pictures.iter().map(|picture| &picture.picture).collect();
    let bar = context.output.progress(paths.len(), "pictures");
    let mut captioned = vec![];
    let bad = captioner.0.stream(&Watched { source: &Files(&paths), done: || bar.inc(1) }, |batch| {
        let written = captioner.captions(&batch.rows)?;
        let pairs = batch.read.iter().zip(&written);
        captioned.extend(pairs.map(|(&(i, ()), text)| Captioned::new(text, &pictures[i].captions)));
        check(batch.report, BadLimit::default())
    })?;
    bar.finish_and_clear();
    finish(&bad)?;
    Ok((captioned, bad.bad))
}

/// Captions the distinct pictures of pairs, whose references are all their captions.
fn caption_pairs(context: &Context, pairs: &Questions, limit: usize) -> Result<(Vec<Captioned>, u64), CliError> {
    if pairs.names.is_some() {
        return Err(CliError::Usage("--captions needs pictures with captions, and these have classes".into()));
    }
    let captioner = Captioner::new(context)?;
    let positions: Vec<usize> = evenly_spread(pairs.test.concepts().len(), limit).collect();
    let examples = Examples { dataset: &*pairs.test, positions: &positions };
    let bar = context.output.progress(positions.len(), "pictures");
    let (mut places, mut references, mut written) = (HashMap::new(), Vec::<Vec<String>>::new(), vec![]);
    let bad =
        captioner.0.stream(&Watched { source: &examples, done: || bar.inc(1) }, |batch: Batch<About, Source>| {
            let mut new = vec![];
            for (row, (_, About { caption, digest })) in batch.read.into_iter().enumerate() {
                let place = *places.entry(digest).or_insert(references.len());
                if place == references.len() {
                    references.push(vec![]);
                    new.push(row);
                }
                references[place].push(caption);
            }
            written.extend(captioner.captions(&batch.rows.select(&new))?);
            check(batch.report, BadLimit::default())
        })?;
    bar.finish_and_clear();
    finish(&bad)?;
    let captioned = written.iter().zip(&references).map(|(text, references)| Captioned::new(text, references));
    Ok((captioned.collect(), bad.bad + pairs.left_out.bad))
}

/// Answers questions, all about one picture together; returns an answer for each that could be asked, and the number of
/// the others.
fn answer(context: &Context, asked: &[VisualQuestion]) -> Result<(Vec<Option<String>>, u64), CliError> {
    let blip = context.blip(Task::Answer)?;
    let (mut paths, mut places, mut about) = (vec![], HashMap::new(), Vec::<Vec<usize>>::new());
    for (i, VisualQuestion { picture, .. }) in asked.iter().enumerate() {
        let place = *places.entry(picture).or_insert(paths.len());
        if place == paths.len() {
            paths.push(picture);
            about.push(vec![]);
        }
        about[place].push(i);
    }
    let bar = context.output.progress(asked.len(), "questions");
    let mut answers = vec![None; asked.len()];
    let options = blip.published_answers();
    let bad = blip.stream(&Files(&paths), |batch| {
        let (mut places, mut ranges) = (Vec::<usize>::new(), Vec::<Range<usize>>::new());
        for (i, ()) in &batch.read {
            let start = places.len();
            places.extend(&about[*i]);
            ranges.push(start..places.len());
        }
        let asks = |&i: &usize| question(&asked[i].question, MAX_QUESTION_WORDS);
        let questions: Vec<String> = places.iter().map(asks).collect();
        let written = blip.answer_each(&batch.rows, &questions, &ranges, &options, |i| i as u64);
        for (&i, written) in places.iter().zip(written.map_err(error_of(&blip))?) {
            answers[i] = Some(written.text);
        }
        bar.inc(places.len() as u64);
        check(batch.report, BadLimit::default())
    })?;
    bar.finish_and_clear();
    finish(&bad)?;
    let skipped = answers.iter().filter(|answer| answer.is_none()).count();
    Ok((answers, skipped as u64))
}

fn check(report: &BadReport, limit: BadLimit) -> Result<(), CliError> {
    Ok(limit.check(report)?)
}

/// Says which pictures do not count.
fn finish(bad: &BadReport) -> Result<(), CliError> {
    check(bad, BadLimit { after: 0, ..BadLimit::default() })?;
    if bad.bad > 0 {
        note!("warning: pictures that could not be read and do not count: {bad}");
    }
    Ok(())
}

/// A line of a file of captions or answers that are ready.
#[derive(Deserialize)]
struct Ready {
    image: PathBuf,
    #[serde(alias = "answer")]
    caption: String,
    #[serde(default)]
    question: String,
}

/// Reads what is ready, by picture and question.
fn ready(path: &Path) -> Result<HashMap<(PathBuf, String), String>, CliError> {
    let text = files::read_text(path).map_err(CliError::file(path))?;
    let mut ready = HashMap::new();
    for (line, json) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        if json.trim_ascii().is_empty() {
            continue;
        }
        let Ready { image, caption, question } =
            serde_json::from_slice(json).map_err(|error| CliError::line(path, line, &error.to_string()))?;
        let image = std::path::absolute(&image).map_err(CliError::file(&image))?;
        if ready.insert((image, question), caption).is_some() {
            return Err(CliError::line(path, line, "the second text of one picture"));
        }
    }
    Ok(ready)
}

fn find(
    path: &Path,
    ready: &HashMap<(PathBuf, String), String>,
    picture: &Path,
    question: String,
) -> Result<String, CliError> {
    let image = std::path::absolute(picture).map_err(CliError::file(picture))?;
    let about = if question.is_empty() { String::new() } else { format!(" and {question:?}") };
    let missing = || unfit(path, format!("nothing for {}{about} in it", picture.display()));
    ready.get(&(image, question)).cloned().ok_or_else(missing)
}

fn ready_captions(path: &Path, pictures: &[CaptionedPicture]) -> Result<Vec<Captioned>, CliError> {
    let ready = ready(path)?;
    let captioned = |CaptionedPicture { picture, captions, .. }: &CaptionedPicture| {
        Ok(Captioned::new(&find(path, &ready, picture, String::new())?, captions))
    };
    pictures.iter().map(captioned).collect()
}

fn ready_answers(path: &Path, asked: &[VisualQuestion]) -> Result<Vec<Option<String>>, CliError> {
    let ready = ready(path)?;
    let answer = |asked: &VisualQuestion| {
        find(path, &ready, &asked.picture, question(&asked.question, MAX_QUESTION_WORDS)).map(Some)
    };
    asked.iter().map(answer).collect()
}

#[derive(Serialize)]
struct CaptionReport<'a> {
    data: &'a str,
    /// Number of pictures or rows that could not be read.
    skipped: u64,
    /// Number of pictures with a caption.
    pictures: usize,
    bleu: Vec<f64>,
    rouge_l: f64,
    cider: f64,
}

impl<'a> CaptionReport<'a> {
    fn of(data: &'a str, captioned: &[Captioned], skipped: u64) -> Self {
        let CaptionScores { bleu, rouge_l, cider } = CaptionScores::of(captioned);
        CaptionReport { data, skipped, pictures: captioned.len(), bleu: bleu.to_vec(), rouge_l, cider }
    }
}

impl fmt::Display for CaptionReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let CaptionReport { data, pictures, bleu, rouge_l, cider, .. } = self;
        writeln!(f, "{data}: captions of {}", counted(*pictures, "picture"))?;
        writeln!(f, " BLEU@1  BLEU@2  BLEU@3  BLEU@4  ROUGE-L  CIDEr-D")?;
        bleu.iter().try_for_each(|bleu| write!(f, "{:>7.1} ", 100.0 * bleu))?;
        write!(f, "{:>8.1} {:>8.1}\nAll scores × 100.", 100.0 * rouge_l, 100.0 * cider)
    }
}

#[derive(Serialize)]
struct AnswerReport<'a> {
    data: &'a str,
    /// Number of questions about pictures that could not be read.
    skipped: u64,
    /// Number of questions with an answer.
    questions: usize,
    accuracy: f64,
}

impl<'a> AnswerReport<'a> {
    fn of(data: &'a str, asked: &[VisualQuestion], answers: &[Option<String>], skipped: u64) -> Self {
        let answered = asked.iter().zip(answers).filter_map(|(asked, answer)| Some((asked, answer.as_ref()?)));
        let scores: Vec<f64> = answered.map(|(asked, answer)| vqa::accuracy(answer, &asked.answers)).collect();
        let accuracy = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        AnswerReport { data, skipped, questions: scores.len(), accuracy }
    }
}

impl fmt::Display for AnswerReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let AnswerReport { data, questions, accuracy, .. } = self;
        write!(f, "{data}: {}, accuracy {:.2} %", counted(*questions, "question"), 100.0 * accuracy)
    }
}
