//! Questions about scenes: what, where, how many, which colour.

use super::blip::{answer_search, as_written};
use super::pairs::{LookError, PairsExam};
use super::part::Said;
use crate::datasets::scenes::{Asked, Question, Scenes};
use crate::embed::rows::evenly_spread;
use crate::embed::{Blip, BlipError};
use crate::eval::crew::Crew;
use crate::eval::retrieval::identify;
use crate::eval::texts::AnswerScore;
use crate::models::blip::model::Source;
use crate::pictures::Picture;
use crate::text::blip_clean::{MAX_QUESTION_WORDS, question};
use std::collections::BTreeMap;
use std::slice::from_ref;

/// The kinds of questions, and what they are called in a table.
const KINDS: [(Asked, &str); 4] =
    [(Asked::What, "what"), (Asked::Where, "where"), (Asked::Count, "count"), (Asked::Colour, "colour")];

/// The commonest answer to each kind of question.
pub(super) struct Commonest([String; 4]);

impl Commonest {
    /// Counts the answers that the first n scenes give.
    pub fn of(scenes: &Scenes, n: usize) -> Self {
        let mut counts = [(); 4].map(|()| BTreeMap::<String, usize>::new());
        for Question { asked, answer, .. } in (0..n).flat_map(|number| scenes.questions(number)) {
            *counts[asked as usize].entry(answer).or_default() += 1;
        }
        let best = |counts: BTreeMap<String, usize>| counts.into_iter().max_by_key(|(_, n)| *n).map(|(text, _)| text);
        Commonest(counts.map(|counts| best(counts).unwrap_or_default()))
    }
}

/// Returns the answers to questions about a picture that was looked at.
fn ask(blip: &Blip, seen: &Source, questions: Vec<Question>) -> Result<Vec<(Question, String)>, BlipError> {
    let texts: Vec<String> = questions.iter().map(|asked| question(&asked.text, MAX_QUESTION_WORDS)).collect();
    let answers = blip.answer_each(seen, &texts, from_ref(&(0..texts.len())), &answer_search(blip), |i| i as u64)?;
    Ok(questions.into_iter().zip(answers.into_iter().map(|answer| answer.text)).collect())
}

/// Returns what a BLIP answers to all questions about at most `n` of the scenes, evenly spread.
///
/// # Errors
/// Returns an error if the model answers no questions.
pub(super) fn tell(scenes: &Scenes, blip: &Blip, n: usize) -> Result<Vec<(Picture, Vec<Said>)>, BlipError> {
    let told = |number: usize| {
        let mut picture = Picture::default();
        scenes.paint(number, &mut picture);
        let said = ask(blip, &blip.look(from_ref(&picture)), scenes.questions(number))?.into_iter();
        let said = said.map(|(Question { text: question, answer, .. }, text)| {
            let is_true = text == as_written(blip, &answer);
            Said { question: Some(question), text, truth: (!is_true).then_some(answer) }
        });
        Ok((picture, said.collect()))
    };
    evenly_spread(scenes.options().count, n).map(told).collect()
}

/// Asks a BLIP all questions about the scenes of an exam.
///
/// # Errors
/// Returns an error if the model answers no questions.
pub(super) fn answers(
    exam: &PairsExam,
    scenes: &Scenes,
    blip: &Blip,
    crew: &impl Crew,
    commonest: Option<&Commonest>,
) -> Result<Vec<AnswerScore>, LookError> {
    let (seen, sources) = exam.look_closely(blip, None, || {})?;
    let pictures = identify(&seen.digests);
    let answers = crew.share(pictures.len(), |own| {
        let ask = |(&place, &picture)| {
            let answered = ask(blip, &sources[picture], scenes.questions(place))?;
            Ok(answered.into_iter().map(|(_, given)| given).collect())
        };
        seen.places[own.clone()].iter().zip(&pictures[own]).map(ask).collect::<Result<Vec<Vec<String>>, BlipError>>()
    })?;
    let (mut asked, mut right, mut guessed) = ([0; 4], [0; 4], [0; 4]);
    for (&place, answers) in seen.places.iter().zip(answers) {
        for (Question { asked: kind, answer, .. }, given) in scenes.questions(place).into_iter().zip(answers) {
            let kind = kind as usize;
            asked[kind] += 1;
            right[kind] += usize::from(given == as_written(blip, &answer));
            guessed[kind] += usize::from(commonest.is_some_and(|commonest| commonest.0[kind] == answer));
        }
    }
    let score = |(kind, name): (Asked, &str)| {
        let (kind, share) = (kind as usize, |n: usize| n as f64 / asked[kind as usize].max(1) as f64);
        let commonest = commonest.map(|_| share(guessed[kind]));
        AnswerScore { kind: name.into(), questions: asked[kind], accuracy: share(right[kind]), commonest }
    };
    Ok(KINDS.map(score).into())
}
