//! The two models of CapFilt: one writes captions, the other judges whether captions fit.

use super::CliError;
use super::capfilt_folder::{Judged, Line, Origin, Verdict};
use crate::datasets::PictureFiles;
use crate::embed::source::{About, Examples, Watched};
use crate::embed::{Batch, Blip, BlipError};
use crate::generate::Options;
use crate::models::blip::model::Source;
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use indicatif::ProgressBar;
use std::ops::Range;

/// The model that writes, with what it is asked for.
pub(super) struct Captioner {
    pub blip: Blip,
    pub prompt: String,
    pub options: Options,
}

/// The model that judges.
pub(super) enum Filter {
    Own(Box<Blip>),
    /// The captioner judges too. It looks at each picture once.
    Captioner,
}

/// The models, at least one of them.
pub(super) struct Models {
    pub captioner: Option<Captioner>,
    pub filter: Option<Filter>,
    /// The least probability of a caption that is kept.
    pub threshold: f32,
}

/// The pairs of a shard: for each, the lines about its captions or its picture, or none before it is read.
struct Pairs<'a> {
    data: &'a dyn PictureFiles,
    first: usize,
    lines: Vec<Vec<Line>>,
}

impl Models {
    /// Returns how often pictures are looked at.
    pub(super) fn looks(&self) -> usize {
        usize::from(self.captioner.is_some()) + usize::from(matches!(self.filter, Some(Filter::Own(_))))
    }

    /// Writes captions for pairs of the data, and judges theirs and its own.
    ///
    /// # Errors
    /// Returns an error if a model cannot do its part.
    pub(super) fn judge(
        &self,
        data: &dyn PictureFiles,
        numbers: Range<usize>,
        bar: &ProgressBar,
    ) -> Result<Vec<Line>, CliError> {
        let mut pairs = Pairs { data, first: numbers.start, lines: vec![vec![]; numbers.len()] };
        let positions: Vec<usize> = numbers.collect();
        let source = Watched { source: &Examples { dataset: data, positions: &positions }, done: || bar.inc(1) };
        if let Some(Captioner { blip, prompt, options }) = &self.captioner {
            blip.stream(&source, |batch| {
                let number = |i: usize| positions[batch.read[i].0] as u64;
                let written = blip.caption_seen(&batch.rows, prompt, options, number).map_err(error_of(blip))?;
                pairs.note(&batch, bar, |i| Some(written[i].text.clone()));
                match self.filter {
                    Some(Filter::Captioner) => self.filter(blip, &batch, &mut pairs),
                    _ => Ok(()),
                }
            })?;
        }
        if let Some(Filter::Own(blip)) = &self.filter {
            blip.stream(&source, |batch| {
                pairs.note(&batch, bar, |_| None);
                self.filter(blip, &batch, &mut pairs)
            })?;
        }
        Ok(pairs.lines.into_iter().flatten().collect())
    }

    /// Judges the captions of a batch that are kept so far.
    fn filter(&self, blip: &Blip, batch: &Batch<About, Source>, pairs: &mut Pairs) -> Result<(), CliError> {
        let (mut texts, mut texts_of) = (vec![], vec![]);
        for (i, _) in &batch.read {
            let start = texts.len();
            texts.extend(pairs.kept(*i).map(|judged| cleaned(&judged.caption)));
            texts_of.push(start..texts.len());
        }
        if texts.is_empty() {
            return Ok(());
        }
        let probabilities = blip.match_each(&batch.rows, &texts, &texts_of).map_err(error_of(blip))?;
        for ((i, _), texts) in batch.read.iter().zip(texts_of) {
            for (judged, &probability) in pairs.kept(*i).zip(&probabilities[texts]) {
                judged.probability = Some(probability).filter(|probability| probability.is_finite());
                judged.verdict = if probability >= self.threshold { Verdict::Kept } else { Verdict::Removed };
            }
        }
        Ok(())
    }
}

impl Pairs<'_> {
    /// Notes the pairs of a batch, of which the second model finds those that the first has read. `written(i)` is the
    /// synthetic caption of the i-th picture that was read.
    fn note(&mut self, batch: &Batch<About, Source>, bar: &ProgressBar, written: impl Fn(usize) -> Option<String>) {
        for (place, (i, about)) in batch.read.iter().enumerate() {
            if self.lines[*i].is_empty() {
                self.lines[*i] = self.captions(*i, &about.caption, written(place));
            }
        }
        for (i, bad) in &batch.bad {
            if !matches!(self.lines[*i][..], [Line::Unreadable { .. }]) {
                bar.suspend(|| note!("skipped {bad}"));
            }
            let (number, key) = (self.first + i, self.data.name(self.first + i));
            self.lines[*i] = vec![Line::Unreadable { number, key, unreadable: bad.to_string() }];
        }
    }

    /// Returns the captions of a pair before they are judged.
    fn captions(&self, i: usize, web: &str, synthetic: Option<String>) -> Vec<Line> {
        let (number, key) = (self.first + i, self.data.name(self.first + i));
        let of_web = cleaned(web);
        let line = |source, caption: String| {
            let verdict = match cleaned(&caption) {
                cleaned if cleaned.is_empty() => Verdict::Empty,
                cleaned if source == Origin::Synthetic && cleaned == of_web => Verdict::Duplicate,
                _ => Verdict::Kept,
            };
            Line::Judged(Judged { number, key: key.clone(), source, caption, probability: None, verdict })
        };
        let synthetic = synthetic.map(|caption| line(Origin::Synthetic, caption));
        [line(Origin::Web, web.to_owned())].into_iter().chain(synthetic).collect()
    }

    /// Returns the captions of a pair that are kept so far.
    fn kept(&mut self, i: usize) -> impl Iterator<Item = &mut Judged> {
        self.lines[i].iter_mut().filter_map(Line::kept)
    }
}

/// Returns a caption as a BLIP learns it.
fn cleaned(text: &str) -> String {
    caption(text, MAX_CAPTION_WORDS)
}

fn error_of(blip: &Blip) -> impl Fn(BlipError) -> CliError {
    |source| CliError::Blip { path: blip.path().into(), source }
}
