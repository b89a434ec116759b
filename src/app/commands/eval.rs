//! `clipwright eval`: measures how good a model is on given pictures.

use super::context::PrecisionName;
use super::eval_emoji::emoji_table;
use super::eval_precision::{Compared, Cosines, SideBySide};
use super::eval_probe::Probe;
use super::eval_rerank::Rerank;
use super::eval_texts::Texts;
use super::texts::{labels, templates, warn_long};
use super::{CliError, Context};
use crate::Clip;
use crate::app::hint;
use crate::app::number::{above_zero, positive};
use crate::app::train::data_options::Storage;
use crate::datasets::emoji::{self, Emoji};
use crate::datasets::{BadLimit, Dataset, OpenError, Questions};
use crate::embed::{Family, Opened};
use crate::eval::exam::{LookError, PairsExam, Seen};
use crate::eval::linear_probe::{Examples, FITS, LinearProbe};
use crate::eval::report::Report;
use crate::eval::retrieval::{first_of_each, identify};
use crate::eval::templates::{PLACE, embed_classes};
use crate::eval::zero_shot::TopK;
use crate::pictures::Reading;
use crate::pictures::folder::PassedOver;
use crate::text::clean;
use crate::weights::Rounding;
use clap::Args;
use ndarray::Array2;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Largest number of folders without a picture that a note names.
const MAX_NAMED: usize = 5;

/// Measure a model: zero-shot classification, retrieval, linear probe
///
/// Pictures with captions are used for retrieval: R@k is the share of captions that find their picture among the first
/// k of all pictures, and the other way round, for k of 1, 5 and 10. Pictures with classes are classified zero-shot, by
/// the names of the classes. Under every score is the score of guessing.
///
/// The linear probe measures the image features independently of the text tower: a logistic regression is fitted to the
/// unit-length features of training pictures and measured on the others.
///
/// With --precision the model is measured twice, with weights of 32 bits and with those: the scores stand side by side,
/// above the table, and with them the cosines of the embeddings of both.
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright eval [OPTIONS] DATA\n       clipwright eval [OPTIONS] --emoji",
    after_help = "\
DATA is one of
  pairs.csv, pairs.tsv     a table with the columns filepath and title, plain
                           or gzipped (pairs.csv.gz)
  folder/                  with metadata.jsonl, lines of {\"file_name\", \"text\"},
                           or metadata.csv
  'shards/{000..099}.tar'  WebDataset, plain or gzipped; also 'shards/*.tar'
                           and the folder
  folder/test/0.tar        CLIP_benchmark's folders, with classnames.txt beside
                           test/
  folder/CLASS/*.jpg       a folder for each class, also as folder/train/CLASS
                           and folder/val/CLASS (or test)
  folder/t10k-*-ubyte.gz   Fashion-MNIST as published, and anything else in its
                           format

Examples:
  clipwright eval val.tsv
  clipwright eval pets/ --linear-probe
  clipwright eval imagenet/val --labels-file imagenet_classes.txt \\
      --templates openai --limit 5000
  clipwright eval --emoji --json
  clipwright eval val.tsv --precision int8
  clipwright eval flickr.csv --rerank 128 --model blip/
  clipwright eval coco_test.json --captions --images coco --model blip/
  clipwright eval questions.json --answers people.json --images val2014

Files of JSON are read with --captions and --answers alone: COCO's own,
Karpathy's and BLIP's lists of captions, and VQA's questions."
)]
pub(crate) struct Eval {
    /// Pictures with captions or classes; see below
    #[arg(value_name = "DATA", required_unless_present = "emoji", conflicts_with = "emoji")]
    data: Option<String>,
    /// Measure on the embedded emoji, as at the end of a training run
    ///
    /// Classes are given by name and keywords. The linear probe learns 1,923 classes from the drawings of seven
    /// vendors, which takes minutes; if C is to be chosen as well, it takes about an hour.
    #[arg(long, conflicts_with_all = ["templates", "limit", "labels_file", "train_data"])]
    emoji: bool,
    /// Sentences that class names are put into: `simple`, `openai`, or a text file, as for `clipwright classify`
    /// [default: zeroshot_classification_templates.txt beside shards, or else `simple`]
    #[arg(long, value_name = "simple|openai|FILE")]
    templates: Option<String>,
    /// File with the names of the classes [default: the names of their folders, those in classnames.txt beside shards,
    /// or Fashion-MNIST's]
    ///
    /// It has one name per line, is a JSON list, or a CSV file with one column or one that is called `label` or `name`,
    /// in the order of the folders or numbers of the classes. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    labels_file: Option<PathBuf>,
    /// Take the captions as names of classes
    #[arg(long, conflicts_with = "emoji")]
    captions_are_classes: bool,
    /// Measure at most this many pictures, evenly spread [default: all]
    #[arg(long, value_name = "N", value_parser = positive())]
    limit: Option<usize>,
    /// Also fit a linear classifier to the features of training pictures
    #[arg(long)]
    linear_probe: bool,
    /// Training pictures of the linear probe [default: the training part of DATA]
    #[arg(long, value_name = "DATA", requires = "linear_probe")]
    train_data: Option<String>,
    /// C of the linear probe, the inverse strength of its penalty [default: chosen on a fifth of the training pictures]
    #[arg(long, value_name = "C", requires = "linear_probe", value_parser = above_zero::<f64>)]
    probe_c: Option<f64>,
    /// Also rank the K best candidates of each picture and caption again, by how well a BLIP finds that they fit
    ///
    /// Their score is then the logit of a match plus the cosine. The published results have a K of 256 (COCO) and 128
    /// (Flickr30k). What the model sees in a picture stays in memory, 1.8 MB for 384 pixels.
    #[arg(long, value_name = "K", value_parser = positive(), conflicts_with_all = ["emoji", "captions_are_classes"])]
    rerank: Option<usize>,
    /// Decode large JPEG files at a half, a quarter or an eighth of their size, as `embed --fast-decode` does
    #[arg(long, conflicts_with_all = ["emoji", "captions", "answers"])]
    fast_decode: bool,
    #[command(flatten, next_help_heading = "Texts that a BLIP writes")]
    texts: Texts,
    #[command(flatten, next_help_heading = "Tables")]
    storage: Storage,
}

impl Eval {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        self.texts.check()?;
        if let Some(data) = self.data.as_deref().filter(|_| self.texts.are_asked_for()) {
            let pairs = |data: &str| {
                let questions = self.questions(data)?;
                self.say(&questions);
                Ok(questions)
            };
            return self.texts.run(context, data, self.limit, pairs);
        }
        let emoji = self.emoji.then(|| Arc::new(Emoji::load()));
        let questions = match (&emoji, &self.data) {
            (Some(emoji), _) => emoji::questions(emoji),
            (None, data) => self.questions(data.as_deref().unwrap_or_default())?,
        };
        self.check(&questions)?;
        self.say(&questions);
        let beside = questions.templates.as_ref().map(|path| path.display().to_string());
        let templates = templates(self.templates.as_deref().or(beside.as_deref()).unwrap_or("simple"))?;
        let exam = Exam { questions: &questions, emoji: emoji.as_ref(), templates: &templates };
        let opened = context.open_either()?;
        if self.rerank.is_some() && matches!(opened, Opened::Clip(_)) {
            let message = "--rerank needs a BLIP: a CLIP does not judge whether texts fit pictures";
            return Err(CliError::Usage(message.into()));
        }
        let wide = match (context.rounded(), &opened) {
            (Some(precision), Opened::Clip(checkpoint)) => {
                let model = Family::Clip(Clip::new(&checkpoint.rounded(Rounding::None))?);
                Some((precision, self.measure(context, &model, &exam)?))
            }
            _ => None,
        };
        let measured = self.measure(context, &opened.both()?, &exam)?;
        let beside = wide.map(|(precision, wide)| wide.beside(precision, &measured));
        let Measured { table, linear_probe, skipped, .. } = measured;
        let (data, passed_over) = (self.data.unwrap_or("emoji".into()), questions.passed_over);
        context.output.show(&EvalReport { data, skipped, passed_over, table, linear_probe, f32: beside })
    }

    /// Asks a model everything.
    fn measure(&self, context: &Context, model: &Family<Clip>, exam: &Exam) -> Result<Measured, CliError> {
        let Exam { questions, emoji, templates } = *exam;
        let mut rerank = self.rerank.map(|k| Rerank::new(k, model, questions)).transpose()?.flatten();
        let looks = emoji.is_none() || self.linear_probe;
        let kept = rerank.as_mut();
        let test = looks.then(|| self.look(context, model, &questions.test, "pictures", kept)).transpose()?;
        let train = questions.train.as_ref().filter(|_| self.linear_probe);
        let train = train.map(|train| self.look(context, model, train, "training pictures", None)).transpose()?;
        let classes = test.as_ref().and_then(|test| self.classes(questions, test, train.as_ref()));
        let (table, texts) = match (emoji, &test) {
            (Some(emoji), _) => (emoji_table(context, model, emoji), None),
            (None, Some(test)) => table(context, model, test, classes.as_ref(), templates, rerank.as_ref())?,
            (None, None) => (Report::default(), None),
        };
        let linear_probe = match (&test, &train, &classes) {
            (Some(test), Some(train), Some(classes)) => Some(self.probe(context, test, train, classes)),
            _ => None,
        };
        let unread = [&test, &train].into_iter().flatten().map(|seen| &seen.bad);
        let left_out = [Some(&questions.left_out), train.is_some().then_some(&questions.train_left_out)];
        let skipped = unread.chain(left_out.into_iter().flatten()).map(|report| report.bad).sum();
        Ok(Measured { images: test.map(|test| test.images), texts, table, linear_probe, skipped })
    }

    /// Opens the user's data.
    fn questions(&self, data: &str) -> Result<Questions, CliError> {
        let file = self.labels_file.as_deref();
        let (train, layout) = (self.train_data.as_deref(), self.storage.layout());
        let opened = Questions::open(data, train, file.map(labels).transpose()?, &layout, BadLimit::default());
        opened.map_err(|error| match (error, file) {
            (OpenError::Data(error), _) => error.into(),
            (OpenError::Names { names, classes }, Some(path)) => CliError::Names { path: path.into(), names, classes },
            (error, Some(path)) => CliError::Usage(format!("--labels-file {}: {error}", path.display())),
            (error, None) => CliError::Usage(error.to_string()),
        })
    }

    /// Checks that options and data fit together before any long computation begins.
    fn check(&self, questions: &Questions) -> Result<(), CliError> {
        let has_classes = questions.names.is_some() || self.captions_are_classes;
        let reason = match (self.linear_probe, &questions.train) {
            (true, _) if !has_classes => "needs classes: are they the captions? Then say --captions-are-classes",
            (true, None) => "needs pictures to learn from: --train-data, or train/ beside the test pictures",
            _ => return Ok(()),
        };
        Err(CliError::Usage(format!("--linear-probe {reason}")))
    }

    /// Prints what was guessed and left out when the data was opened.
    fn say(&self, questions: &Questions) {
        let Questions { left_out, train_left_out, passed_over, empty, guess, .. } = questions;
        if !passed_over.is_empty() {
            note!("{passed_over}");
        }
        if !empty.is_empty() {
            let named = empty.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = empty.len().saturating_sub(MAX_NAMED);
            let more = if more > 0 { format!(" … and {more} more") } else { String::new() };
            note!("note: without a picture, and so no class: {named}{more}");
        }
        if let Some(guess) = guess {
            note!("note: {guess}");
        }
        for (report, what) in [(left_out, "pictures"), (train_left_out, "training pictures")] {
            if report.bad > 0 && (self.linear_probe || what == "pictures") {
                note!("warning: {} of {} {what} left out", report.bad, report.seen);
                report.first.iter().for_each(|example| note!("  {example}"));
                hint::rows(report).iter().for_each(|help| note!("help: {help}"));
            }
        }
    }

    fn look(
        &self,
        context: &Context,
        model: &Family<Clip>,
        data: &Arc<dyn Dataset>,
        what: &'static str,
        kept: Option<&mut Rerank>,
    ) -> Result<Seen, CliError> {
        let exam = PairsExam::new(Arc::clone(data), what, self.limit.unwrap_or(usize::MAX));
        let exam = exam.read_as(Reading { fast_decode: self.fast_decode, ..Reading::default() });
        let bar = context.output.progress(exam.questions(), what);
        let (limit, done) = (Some(BadLimit::default()), || bar.inc(1));
        let seen = match kept {
            None => exam.look(model, limit, done)?,
            Some(rerank) => {
                let (seen, pictures) = exam.look_closely(rerank.blip, limit, done).map_err(|error| match error {
                    LookError::Data(error) => error.into(),
                    LookError::Blip(error) => rerank.error(error),
                })?;
                rerank.pictures = pictures;
                seen
            }
        };
        bar.finish_and_clear();
        if seen.bad.bad > 0 {
            note!("warning: {what} that could not be read and do not count: {}", seen.bad);
        }
        Ok(seen)
    }

    /// Returns the class of every example, or `None` if captions are sentences.
    fn classes(&self, questions: &Questions, test: &Seen, train: Option<&Seen>) -> Option<Classes> {
        if let Some(names) = &questions.names {
            let of = |seen: &Seen| seen.keys.iter().map(|&key| key as usize).collect();
            return Some(Classes { names: names.clone(), test: of(test), train: train.map(of).unwrap_or_default() });
        }
        if !self.captions_are_classes {
            return None;
        }
        let captions: Vec<&String> = test.captions.iter().chain(train.iter().flat_map(|t| &t.captions)).collect();
        let mut of_test = identify(captions.iter().map(|caption| clean(caption)));
        let names = first_of_each(&of_test).into_iter().map(|place| captions[place].clone()).collect();
        let of_train = of_test.split_off(test.captions.len());
        Some(Classes { names, test: of_test, train: of_train })
    }

    fn probe(&self, context: &Context, test: &Seen, train: &Seen, classes: &Classes) -> Probe {
        let fitted = Examples { features: train.images.view(), classes: &classes.train };
        let asked = Examples { features: test.images.view(), classes: &classes.test };
        let n = classes.names.len();
        // A single picture cannot be split into a part to fit on and a part to score on.
        let c = self.probe_c.or((classes.train.len() < 2).then_some(1.0));
        let probe = match c {
            Some(c) => LinearProbe::fit(fitted, n, c),
            None => {
                let bar = context.output.progress(FITS, "linear probe: choosing C");
                let probe = LinearProbe::fit_choosing(fitted, n, || bar.inc(1));
                bar.finish_and_clear();
                probe
            }
        };
        let LinearProbe { c, steps, converged, .. } = probe;
        let (train, test) = (classes.train.len(), classes.test.len());
        Probe { classes: n, train, test, score: probe.score(asked), chance: TopK::chance(n), c, steps, converged }
    }
}

/// What a model is asked.
struct Exam<'a> {
    questions: &'a Questions,
    emoji: Option<&'a Arc<Emoji>>,
    templates: &'a [String],
}

/// What a model has answered.
struct Measured {
    /// The embeddings (N,e) of the pictures, and (M,e) of the texts.
    images: Option<Array2<f32>>,
    texts: Option<Array2<f32>>,
    table: Report,
    linear_probe: Option<Probe>,
    skipped: u64,
}

impl Measured {
    /// Puts the answers with 32 bits beside those of another precision.
    fn beside(self, precision: PrecisionName, other: &Measured) -> Compared {
        let cosines = |wide: Option<Array2<f32>>, other: &Option<Array2<f32>>| {
            wide.as_ref().zip(other.as_ref()).and_then(|(wide, other)| Cosines::of(wide, other))
        };
        let linear_probe = self.linear_probe.map(|probe| probe.score.top1);
        let (images, texts) = (cosines(self.images, &other.images), cosines(self.texts, &other.texts));
        Compared { precision, table: self.table, linear_probe, images, texts }
    }
}

/// The names of the classes and the class of each example.
struct Classes {
    names: Vec<String>,
    test: Vec<usize>,
    train: Vec<usize>,
}

/// Returns a table of one row, retrieval among the embeddings of the classes or captions and, with classes, zero-shot
/// scores; and these embeddings.
fn table(
    context: &Context,
    model: &Family<Clip>,
    seen: &Seen,
    classes: Option<&Classes>,
    templates: &[String],
    rerank: Option<&Rerank>,
) -> Result<(Report, Option<Array2<f32>>), CliError> {
    let whole = [PLACE.to_owned()];
    let (what, templates) = if classes.is_some() { ("with classes", templates) } else { ("with captions", &whole[..]) };
    let (names, truth) = match classes {
        Some(Classes { names, test, .. }) => (names.clone(), test.clone()),
        None => seen.distinct_captions(),
    };
    warn_long(model, &names, templates);
    let bar = context.output.progress(names.len(), "texts");
    let texts = embed_classes(model, &names, templates, |n| bar.inc(n as u64));
    bar.finish_and_clear();
    let mut rows = vec![seen.row(what, texts.view(), &truth, classes.is_some())];
    if let Some(rerank) = rerank {
        rows.push(rerank.row(context, seen, &names, texts.view(), &truth)?);
    }
    Ok((Report { rows, ..Report::default() }, Some(texts)))
}

#[derive(Serialize)]
struct EvalReport {
    data: String,
    /// Number of rows that were left out and of examples that could not be read.
    skipped: u64,
    #[serde(skip_serializing_if = "PassedOver::is_empty")]
    passed_over: PassedOver,
    #[serde(flatten)]
    table: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    linear_probe: Option<Probe>,
    /// The same with 32 bits, if it was asked for fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    f32: Option<Compared>,
}

impl fmt::Display for EvalReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}", self.data)?;
        if let Some(compared) = &self.f32 {
            let linear_probe = self.linear_probe.as_ref().map(|probe| probe.score.top1);
            writeln!(f, "{}", SideBySide { compared, report: &self.table, linear_probe })?;
        }
        write!(f, "{}", self.table)?;
        self.linear_probe.as_ref().map_or(Ok(()), |probe| write!(f, "\n{probe}"))
    }
}
