//! The exam on questions that people answered.

use super::blip::answer_search;
use super::pairs::LookError;
use super::part::{Part, Said, Told};
use crate::datasets::{BadReport, Dataset, DatasetError, Example, VisualQuestions};
use crate::embed::Blip;
use crate::embed::rows::evenly_spread;
use crate::eval::crew::Crew;
use crate::eval::report::Report;
use crate::eval::texts::{AnswerRow, AnswerScore};
use crate::eval::vqa;
use crate::random::rng;
use crate::text::blip_clean::{MAX_QUESTION_WORDS, question};
use std::slice::from_ref;
use std::sync::Arc;

/// Most questions that a run is judged on.
const MAX_QUESTIONS: usize = 2000;

/// The exam on questions of a file.
pub struct QuestionsExam {
    questions: Arc<VisualQuestions>,
    name: String,
}

impl QuestionsExam {
    /// Makes an exam on at most 2,000 of the questions, evenly spread.
    pub fn new(questions: Arc<VisualQuestions>, name: &str) -> Self {
        QuestionsExam { questions, name: name.into() }
    }

    /// Measures the accuracy of a model's answers.
    ///
    /// # Errors
    /// Returns an error if no picture can be read, or if the model answers no questions.
    pub fn report_blip(&self, blip: &Blip, crew: &impl Crew) -> Result<(Report, BadReport), LookError> {
        let mut bad = BadReport::default();
        let asked: Vec<usize> = self.asked(MAX_QUESTIONS).collect();
        let accuracy = |place: usize, example: &Example| -> Result<f64, LookError> {
            Ok(vqa::accuracy(&answer(blip, example)?, &self.questions.questions()[place].answers))
        };
        // Every process reads all pictures, so that all know which ones cannot be read.
        let scores: Vec<Option<f64>> = crew.share(asked.len(), |own| {
            let mut scores = vec![];
            for (i, &place) in asked.iter().enumerate() {
                let example = self.read(place, &mut bad);
                if own.contains(&i) {
                    scores.push(example.map(|example| accuracy(place, &example)).transpose()?);
                }
            }
            Ok::<_, LookError>(scores)
        })?;
        let scores: Vec<f64> = scores.into_iter().flatten().collect();
        if scores.is_empty() {
            return Err(DatasetError::Empty { place: self.name.as_str().into(), report: bad }.into());
        }
        let accuracy = scores.iter().sum::<f64>() / scores.len() as f64;
        let all = AnswerScore { kind: "all".into(), questions: scores.len(), accuracy, commonest: None };
        let row = AnswerRow { concepts: "own".into(), pictures: self.name.clone(), kinds: vec![all] };
        Ok((Report { answers: vec![row], ..Report::default() }, bad))
    }

    /// Returns at most `n` of the pictures with their questions.
    pub fn part(&self, n: usize) -> Part {
        let examples = self.asked(n).filter_map(|place| self.read(place, &mut BadReport::default()));
        Part { title: self.name.clone(), examples: examples.collect() }
    }

    /// Returns what a BLIP answers to at most `n` of the questions.
    ///
    /// # Errors
    /// Returns an error if the model answers no questions.
    pub fn tell(&self, blip: &Blip, n: usize) -> Result<Told, LookError> {
        let Part { title, examples } = self.part(n);
        let told = |example: Example| {
            let text = answer(blip, &example)?;
            let best =
                example.answers.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).map(|best| best.text.clone());
            let is_right = example.answers.iter().any(|answer| answer.text == text);
            let said = Said { question: Some(example.caption), text, truth: best.filter(|_| !is_right) };
            Ok((example.picture, vec![said]))
        };
        Ok(Told { title, pictures: examples.into_iter().map(told).collect::<Result<_, LookError>>()? })
    }

    fn asked(&self, n: usize) -> impl Iterator<Item = usize> {
        evenly_spread(self.questions.questions().len(), n)
    }

    /// Reads a question and its picture, and counts it.
    fn read(&self, place: usize, bad: &mut BadReport) -> Option<Example> {
        let mut example = Example::default();
        let outcome = self.questions.read(place, &mut rng(&[place as u64]), &mut example);
        bad.count(&outcome);
        outcome.is_ok().then_some(example)
    }
}

fn answer(blip: &Blip, example: &Example) -> Result<String, LookError> {
    let asked = question(&example.caption, MAX_QUESTION_WORDS);
    Ok(blip.answer(from_ref(&example.picture), &[asked], &answer_search(blip), 0)?.remove(0).text)
}
