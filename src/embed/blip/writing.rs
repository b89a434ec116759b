//! Captions and answers: the texts that a BLIP writes, and those among which it chooses.

use super::model::Blip;
use crate::embed::task::{BlipError, Task};
use crate::embed::writer::write;
use crate::generate::{Options, Request};
use crate::models::blip::model::Source;
use crate::pictures::Picture;
use std::ops::Range;
use std::slice::from_ref;

/// The smoothing of the loss by which answers are ranked, which is that of training.
const SMOOTHING: f32 = 0.1;

/// A text that a model wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The text behind the prompt.
    pub text: String,
    /// How good the search found it; see [`Text`](crate::generate::Text).
    pub score: f32,
    /// All tokens, the prompt's included.
    pub ids: Vec<u32>,
}

impl Blip {
    /// Writes a caption for each picture, which begins with the prompt. `first` is the number of the first picture
    /// among all that are captioned with one seed; only sampling reads it.
    ///
    /// # Errors
    /// Returns an error if the model has no decoder of captions or if the options make no sense.
    pub fn caption(
        &self,
        pictures: &[Picture],
        prompt: &str,
        options: &Options,
        first: u64,
    ) -> Result<Vec<Written>, BlipError> {
        self.check(Task::Caption)?;
        self.caption_seen(&self.look(pictures), prompt, options, |i| first + i as u64)
    }

    /// Writes a caption for each picture that was looked at, as [`Blip::caption`] does. `number(i)` is the number of
    /// picture i among all that are captioned with one seed.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Blip::caption`].
    pub fn caption_seen(
        &self,
        seen: &Source,
        prompt: &str,
        options: &Options,
        number: impl Fn(usize) -> u64,
    ) -> Result<Vec<Written>, BlipError> {
        self.check(Task::Caption)?;
        let prompt = self.tokenizer.prompt(prompt, options.max_length.max(1));
        self.write(seen, &prompt, options, number)
    }

    /// Answers a question about each picture. `first` is as in [`Blip::caption`].
    ///
    /// # Errors
    /// Returns an error if the model was not made to answer questions or if the options make no sense.
    ///
    /// # Panics
    /// If there are not as many questions as pictures.
    #[track_caller]
    pub fn answer<S: AsRef<str>>(
        &self,
        pictures: &[Picture],
        questions: &[S],
        options: &Options,
        first: u64,
    ) -> Result<Vec<Written>, BlipError> {
        self.check(Task::Answer)?;
        self.answer_seen(&self.look(pictures), questions, options, |i| first + i as u64)
    }

    /// Answers a question about each picture that was looked at, as [`Blip::answer`] does; `number` is as in
    /// [`Blip::caption_seen`].
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Blip::answer`].
    ///
    /// # Panics
    /// If there are not as many questions as pictures.
    #[track_caller]
    pub fn answer_seen<S: AsRef<str>>(
        &self,
        seen: &Source,
        questions: &[S],
        options: &Options,
        number: impl Fn(usize) -> u64,
    ) -> Result<Vec<Written>, BlipError> {
        self.answer_each(seen, questions, &one_each(questions.len()), options, number)
    }

    /// Answers several questions about each picture that was looked at: `questions_of[i]` are those about picture i.
    /// `number(j)` is the number of question j, as that of a picture in [`Blip::caption_seen`].
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Blip::answer`].
    ///
    /// # Panics
    /// If there are not as many lists of questions as pictures.
    #[track_caller]
    pub fn answer_each<S: AsRef<str>>(
        &self,
        seen: &Source,
        questions: &[S],
        questions_of: &[Range<usize>],
        options: &Options,
        number: impl Fn(usize) -> u64,
    ) -> Result<Vec<Written>, BlipError> {
        let read = self.read_questions(seen, questions, questions_of)?;
        self.write(&read, &[self.config.text.ids.decode], options, number)
    }

    /// Ranks answers to a question about a picture, and returns the places of the `keep` likeliest beginnings among
    /// them, best first, each with the logarithm of its probability.
    ///
    /// As the original does it, answers are compared by their first token first, the best `keep` then by the smoothed
    /// loss of all their tokens.
    ///
    /// # Errors
    /// Returns an error if the model was not made to answer questions.
    pub fn rank_answers<S: AsRef<str>>(
        &self,
        picture: &Picture,
        question: &str,
        answers: &[S],
        keep: usize,
    ) -> Result<Vec<(usize, f32)>, BlipError> {
        self.check(Task::Answer)?;
        let seen = self.look(from_ref(picture));
        Ok(self.rank_answers_seen(&seen, question, answers, keep)?.remove(0))
    }

    /// Ranks answers to a question about each picture that was looked at, as [`Blip::rank_answers`] does.
    ///
    /// # Errors
    /// Returns an error if the model was not made to answer questions.
    pub fn rank_answers_seen<S: AsRef<str>>(
        &self,
        seen: &Source,
        question: &str,
        answers: &[S],
        keep: usize,
    ) -> Result<Vec<Vec<(usize, f32)>>, BlipError> {
        let n = seen.rows.len();
        let read = self.read_questions(seen, &vec![question; n], &one_each(n))?;
        let positions = self.config.text.positions;
        let encode = |answer: &S| self.tokenizer.encode_dec(answer.as_ref(), positions);
        let answers: Vec<Vec<u32>> = answers.iter().map(encode).collect();
        let (p, mut session) = (self.weights.view(), self.sessions.lend());
        let rank = |i| session.inference.rank(&p, &self.config, &read.alone(i), &answers, keep, SMOOTHING);
        Ok((0..read.rows.len()).map(rank).collect())
    }

    /// Returns questions with their pictures in view.
    #[track_caller]
    fn read_questions<S: AsRef<str>>(
        &self,
        seen: &Source,
        questions: &[S],
        questions_of: &[Range<usize>],
    ) -> Result<Source, BlipError> {
        self.check(Task::Answer)?;
        assert_eq!(seen.rows.len(), questions_of.len(), "pictures and their questions");
        let questions = self.pack_for_pictures(questions);
        let buffers = &mut self.sessions.lend().inference;
        Ok(buffers.read_questions(&self.weights.view(), &self.config, seen, questions.captions(), questions_of))
    }

    /// Writes a text for each source.
    fn write(
        &self,
        source: &Source,
        prompt: &[u32],
        options: &Options,
        number: impl Fn(usize) -> u64,
    ) -> Result<Vec<Written>, BlipError> {
        let positions = self.config.text.positions;
        if options.max_length > positions {
            return Err(BlipError::TooLong { max_length: options.max_length, positions });
        }
        let requests: Vec<Request> = (0..source.rows.len()).map(|i| Request { prompt, number: number(i) }).collect();
        let buffers = &mut self.sessions.lend().inference;
        let texts = write(buffers, &self.weights.view(), &self.config, source, &requests, options)?;
        let before = self.tokenizer.decode(prompt);
        let written = texts.into_iter().map(|text| {
            let all = self.tokenizer.decode(&text.ids);
            let behind = all.strip_prefix(&before).unwrap_or(&all).trim_start().to_string();
            Written { text: behind, score: text.score, ids: text.ids }
        });
        Ok(written.collect())
    }
}

/// Returns lists of one text for each picture.
fn one_each(n: usize) -> Vec<Range<usize>> {
    (0..n).map(|i| i..i + 1).collect()
}
