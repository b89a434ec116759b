//! What a BLIP is asked about pairs beyond their embeddings: to rank the best candidates again by matching, and to write
//! captions.

use super::pairs::{LookError, PairsExam, Seen};
use super::part::{Part, Said, Told};
use crate::datasets::{BadReport, Example};
use crate::embed::{Blip, BlipError, Task};
use crate::eval::captions::{CaptionScores, Captioned};
use crate::eval::crew::Crew;
use crate::eval::report::{Report, Row};
use crate::eval::retrieval::{first_of_each, identify};
use crate::eval::texts::{CaptionRow, CaptionScore};
use crate::generate::Options;
use crate::models::blip::model::Source;
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use std::slice::from_ref;

/// Number of candidates that are ranked again.
pub const RERANKED: usize = 32;
/// Longest caption that is written, in tokens: the longest that pre-training has.
const MAX_LENGTH: usize = 30;
/// Number of pictures whose captions are written together.
const TOGETHER: usize = 32;

/// The true captions of a picture.
pub(super) struct References {
    /// The captions that scores compare with.
    pub compared: Vec<String>,
    /// All captions that are true to the letter.
    pub all: Vec<String>,
}

impl PairsExam {
    /// Measures what a BLIP can do.
    ///
    /// # Errors
    /// Returns an error if no pair could be read.
    pub fn report_blip(&self, blip: &Blip, prompt: &str, crew: &impl Crew) -> Result<(Report, BadReport), LookError> {
        self.ask(blip, prompt, crew, |_, captions| References { compared: captions.to_vec(), all: captions.to_vec() })
    }

    /// Measures what a BLIP can do. `references(i, captions)` returns the true captions of the i-th asked example, whose
    /// picture has these captions among the asked ones.
    pub(super) fn ask(
        &self,
        blip: &Blip,
        prompt: &str,
        crew: &impl Crew,
        references: impl Fn(usize, &[String]) -> References,
    ) -> Result<(Report, BadReport), LookError> {
        let (seen, sources) = self.look_closely(blip, None, || {})?;
        let mut report = Report::default();
        if blip.check(Task::Match).is_ok() {
            report.rows = self.rows(blip, crew, &seen, &sources)?.into();
        }
        if blip.check(Task::Caption).is_ok() {
            report.captions.push({
                let written = write(blip, prompt, crew, &sources)?;
                self.captions(blip, &seen, &written, references)
            });
        }
        Ok((report, seen.bad))
    }

    /// Returns the rows for retrieval without and with a second ranking.
    fn rows(&self, blip: &Blip, crew: &impl Crew, seen: &Seen, sources: &[Source]) -> Result<[Row; 2], BlipError> {
        let (captions, truth) = seen.distinct_captions();
        let captions: Vec<String> = captions.iter().map(|text| caption(text, MAX_CAPTION_WORDS)).collect();
        let texts = blip.encode_text(&captions)?;
        let judge = |(seen, texts): (&Source, &Vec<usize>)| {
            blip.match_logits(seen, &texts.iter().map(|&text| &captions[text]).collect::<Vec<_>>())
        };
        let judge = |texts_of: &[Vec<usize>]| {
            crew.share(sources.len(), |own| sources[own.clone()].iter().zip(&texts_of[own]).map(judge).collect())
        };
        let again = format!("{}, re-ranked", self.name());
        let first = seen.row(self.name(), texts.view(), &truth, false);
        Ok([first, seen.reranked_row(&again, texts.view(), &truth, RERANKED, judge)?])
    }

    /// Returns the row for what was written about each distinct picture.
    fn captions(
        &self,
        blip: &Blip,
        seen: &Seen,
        written: &[String],
        references: impl Fn(usize, &[String]) -> References,
    ) -> CaptionRow {
        let pictures = identify(&seen.digests);
        let references: Vec<References> = (first_of_each(&pictures).into_iter().enumerate())
            .map(|(picture, example)| {
                let own = (0..pictures.len()).filter(|&other| pictures[other] == picture);
                let own: Vec<String> = own.map(|other| seen.captions[other].clone()).collect();
                references(seen.places[example], &own)
            })
            .collect();
        CaptionRow {
            concepts: "own".into(),
            pictures: self.name().into(),
            images: written.len(),
            score: score(blip, written, &references),
            nearest: None,
        }
    }
}

/// Writes a caption about each of the pictures that were looked at.
fn write(blip: &Blip, prompt: &str, crew: &impl Crew, sources: &[Source]) -> Result<Vec<String>, BlipError> {
    let options = search(blip);
    crew.share(sources.len(), |own| {
        let mut texts = vec![];
        for sources in sources[own].chunks(TOGETHER) {
            let written = blip.caption_seen(&Source::join(sources), prompt, &options, |i| i as u64)?;
            texts.extend(written.into_iter().map(|written| written.text));
        }
        Ok(texts)
    })
}

/// Returns how captions are searched for: as BLIP's published ones were, but for their length.
pub fn search(blip: &Blip) -> Options {
    Options { min_length: 0, max_length: MAX_LENGTH.min(blip.config().text.positions), ..blip.published_captions() }
}

/// Returns how answers are searched for, which is as BLIP's published ones were.
pub(super) fn answer_search(blip: &Blip) -> Options {
    let published = blip.published_answers();
    Options { max_length: published.max_length.min(blip.config().text.positions), ..published }
}

/// Returns what a captioner says of pictures beside their captions.
pub(super) fn tell(blip: &Blip, prompt: &str, part: Part) -> Result<Told, BlipError> {
    let Part { title, examples } = part;
    let told = |example: Example| {
        let text = blip.caption(from_ref(&example.picture), prompt, &search(blip), 0)?.remove(0).text;
        let is_true = text == as_written(blip, &caption(&example.caption, MAX_CAPTION_WORDS));
        let truth = (!is_true).then_some(example.caption);
        Ok((example.picture, vec![Said { question: None, text, truth }]))
    };
    Ok(Told { title, pictures: examples.into_iter().map(told).collect::<Result<_, BlipError>>()? })
}

/// Returns a text as the model would write it: without what its vocabulary does not tell apart.
pub(super) fn as_written(blip: &Blip, text: &str) -> String {
    blip.tokenizer().decode(&blip.tokenizer().encode(text, usize::MAX))
}

/// Whether a model's caption is one of these to the letter.
pub(super) fn is_true(blip: &Blip, text: &str, all: &[String]) -> bool {
    all.iter().any(|one| as_written(blip, &caption(one, MAX_CAPTION_WORDS)) == text)
}

/// Scores captions. All texts are compared cleaned and as the model writes them.
pub(super) fn score(blip: &Blip, captions: &[String], references: &[References]) -> CaptionScore {
    let written = |text: &String| as_written(blip, &caption(text, MAX_CAPTION_WORDS));
    let captions: Vec<String> = captions.iter().map(written).collect();
    let exact = captions.iter().zip(references).filter(|(text, true_)| is_true(blip, text, &true_.all)).count();
    let captioned: Vec<Captioned> = (captions.iter().zip(references))
        .map(|(caption, r)| Captioned::new(caption, &r.compared.iter().map(written).collect::<Vec<_>>()))
        .collect();
    let CaptionScores { bleu, cider, .. } = CaptionScores::of(&captioned);
    CaptionScore { exact: exact as f64 / captions.len().max(1) as f64, bleu4: bleu[3], cider }
}
