//! `clipwright ask`: answers questions about pictures.

use super::pictures::Images;
use super::texts::lines;
use super::{CliError, Context};
use crate::app::number::positive;
use crate::embed::Task;
use crate::text::blip_clean::{MAX_QUESTION_WORDS, question};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Answer a question about pictures, with a BLIP
///
/// Answers are written as BLIP's published ones: with 3 beams and in 1 to 10 tokens. With --answers the model chooses
/// from your own instead. The question is cleaned as the original's are: lower case, without . ! " ( ) * # : ; ~, and
/// of at most 50 words. Salesforce/blip-vqa-base and blip-vqa-capfilt-large are models for it.
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright ask [OPTIONS] IMAGE… QUESTION\n       clipwright ask [OPTIONS] --question QUESTION IMAGE…",
    after_help = "\
Examples:
  clipwright ask a.jpg \"how many dogs?\" --model Salesforce/blip-vqa-base
  clipwright ask photos/ \"is it raining?\" --model blip/ --json
  clipwright ask a.jpg \"what colour is it?\" --model blip/ --answers colours.txt

As JSON, a line for each picture:
{\"image\", \"question\", \"answer\", \"score\"}
or, with --answers, where index counts answers from 0:
{\"image\", \"question\", \"best\": [{\"index\", \"text\", \"score\"}, …]}
The score is a logarithm of a probability: of the answer divided by its length,
or with --answers of all its tokens, smoothed as in training."
)]
pub(crate) struct Ask {
    #[command(flatten)]
    images: Images,
    /// Question [default: the last argument]
    #[arg(long, value_name = "QUESTION")]
    question: Option<String>,
    /// Text file with one possible answer per line, `-` for standard input; blank lines are skipped
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Number of answers that are compared as a whole: those with the likeliest first tokens
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive(), requires = "answers")]
    keep: usize,
    /// Number of answers to show
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive(), requires = "answers")]
    k: usize,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Ask {
    pub(crate) fn run(mut self, context: &Context) -> Result<(), CliError> {
        let question = self.question()?;
        let answers = self.answers.as_deref().map(lines).transpose()?;
        let answers: Option<Vec<String>> = answers.map(|all| all.into_iter().map(|(_, line)| line).collect());
        let named = self.images.find()?;
        named.warn_passed_over();
        let blip = context.blip(Task::Answer)?;
        let options = blip.published_answers();
        let error = |source| CliError::Blip { path: blip.path().into(), source };
        let bar = context.output.progress(named.paths.len(), "pictures");
        let show = |answered: Vec<Answered>| {
            bar.suspend(|| answered.iter().try_for_each(|answered| context.output.show(answered)))
        };
        let tally = named.look(&blip, 0, &bar, |batch| {
            let images = batch.read.iter().map(|&(i, ())| named.name(i));
            let answered = |(image, answer)| Answered { image, question: &question, answer };
            let answers: Vec<Answer> = match &answers {
                None => {
                    let questions = vec![&question; batch.read.len()];
                    let written = blip.answer_seen(&batch.rows, &questions, &options, |i| i as u64).map_err(error)?;
                    let number = |score: f32| Some(score).filter(|score| score.is_finite());
                    written.into_iter().map(|w| Answer::Written { answer: w.text, score: number(w.score) }).collect()
                }
                Some(answers) => {
                    let ranked = blip.rank_answers_seen(&batch.rows, &question, answers, self.keep).map_err(error)?;
                    ranked.into_iter().map(|ranked| Answer::ranked(&ranked, answers, self.k)).collect()
                }
            };
            show(images.zip(answers).map(answered).collect())
        })?;
        tally.verdict(self.skip_unreadable)
    }

    /// Takes the question from its option or from the arguments, and cleans it.
    fn question(&mut self) -> Result<String, CliError> {
        let usage = |message: String| Err(CliError::Usage(message));
        let asked = match self.question.take() {
            Some(question) => question,
            None => {
                let Some(last) = self.images.take_last() else {
                    return usage("no question: it is the last argument, or that of --question".into());
                };
                if last.exists() || last == Path::new("-") {
                    let message = "the last argument is the question, and this is a file; or say --question";
                    return usage(format!("{}: {message}", last.display()));
                }
                last.to_string_lossy().into_owned()
            }
        };
        let words = question(&asked, usize::MAX);
        if words.trim().is_empty() {
            return usage(format!("{asked:?}: no question, since nothing of it is left after cleaning"));
        }
        let cleaned = question(&asked, MAX_QUESTION_WORDS);
        if cleaned != words {
            note!("warning: the question has more than {MAX_QUESTION_WORDS} words; the rest is ignored");
        }
        Ok(cleaned)
    }
}

/// A picture, the question and the answer.
#[derive(Serialize)]
struct Answered<'a> {
    image: String,
    question: &'a str,
    #[serde(flatten)]
    answer: Answer<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Written {
        answer: String,
        /// `None` if it is no number, which JSON cannot express.
        score: Option<f32>,
    },
    Ranked {
        best: Vec<Ranked<'a>>,
    },
}

/// One of the given answers.
#[derive(Serialize)]
struct Ranked<'a> {
    /// Position in the list of answers, counted from 0.
    index: usize,
    text: &'a str,
    score: f32,
}

impl<'a> Answer<'a> {
    fn ranked(ranked: &[(usize, f32)], answers: &'a [String], k: usize) -> Self {
        let best = ranked.iter().take(k).map(|&(index, score)| Ranked { index, text: &answers[index], score });
        Answer::Ranked { best: best.collect() }
    }
}

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.answer {
            Answer::Written { answer, .. } => write!(f, "{}: {answer}", self.image),
            Answer::Ranked { best } => {
                write!(f, "{}", self.image)?;
                best.iter().try_for_each(|Ranked { text, score, .. }| write!(f, "\n{score:8.3}  {text}"))
            }
        }
    }
}
