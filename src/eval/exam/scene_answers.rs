//! Questions about scenes: what, where, how many, which colour.

use super::blip::as_written;
use super::pairs::{LookError, PairsExam};
use crate::datasets::scenes::{Asked, Question, Scenes};
use crate::embed::Blip;
use crate::eval::retrieval::identify;
use crate::eval::texts::AnswerScore;
use crate::generate::{BeamStyle, Options, Search};
use crate::text::blip_clean::{MAX_QUESTION_WORDS, question};
use std::collections::BTreeMap;

/// The search of BLIP's published answers.
const BEAMS: usize = 3;
const MAX_LENGTH: usize = 10;

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

/// Asks a BLIP all questions about the scenes of an exam.
///
/// # Errors
/// Returns an error if the model answers no questions.
pub(super) fn answers(
    exam: &PairsExam,
    scenes: &Scenes,
    blip: &Blip,
    commonest: Option<&Commonest>,
) -> Result<Vec<AnswerScore>, LookError> {
    let (seen, sources) = exam.look_closely(blip, None, || {})?;
    let search = Search::Beams { beams: BEAMS, style: BeamStyle::Original };
    let options = Options { min_length: 1, search, ..blip.options(MAX_LENGTH.min(blip.config().text.positions)) };
    let (mut asked, mut right, mut guessed) = ([0; 4], [0; 4], [0; 4]);
    for (&place, picture) in seen.places.iter().zip(identify(&seen.digests)) {
        let questions = scenes.questions(place);
        let texts: Vec<String> = questions.iter().map(|q| question(&q.text, MAX_QUESTION_WORDS)).collect();
        let answers = blip.answer_each(&sources[picture], &texts, &[0..texts.len()], &options, |i| i as u64)?;
        for (Question { asked: kind, answer, .. }, given) in questions.iter().zip(answers) {
            let kind = *kind as usize;
            asked[kind] += 1;
            right[kind] += usize::from(given.text == as_written(blip, answer));
            guessed[kind] += usize::from(commonest.is_some_and(|commonest| commonest.0[kind] == *answer));
        }
    }
    let score = |(kind, name): (Asked, &str)| {
        let (kind, share) = (kind as usize, |n: usize| n as f64 / asked[kind as usize].max(1) as f64);
        let commonest = commonest.map(|_| share(guessed[kind]));
        AnswerScore { kind: name.into(), questions: asked[kind], accuracy: share(right[kind]), commonest }
    };
    Ok(KINDS.map(score).into())
}
