//! The exam on scenes of the embedded emoji, drawn by a vendor that is not trained on: scenes of kinds that are, and
//! scenes of others.

use super::blip::{self, References, is_true, score};
use super::depth::Depth;
use super::pairs::{LookError, PairsExam};
use super::part::{Part, Told};
use super::scene_answers::{self, Commonest, answers};
use crate::datasets::scenes::{Division, SceneOptions, Scenes};
use crate::datasets::{BadReport, Dataset, DatasetError, Example};
use crate::embed::rows::evenly_spread;
use crate::embed::{Blip, Embed, Task};
use crate::eval::baseline;
use crate::eval::crew::Crew;
use crate::eval::report::Report;
use crate::eval::texts::{AnswerRow, CaptionRow, CaptionScore};
use crate::pictures::Picture;
use image::RgbImage;
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;
use std::sync::Arc;

/// Number of scenes of kinds that are trained on, and of those that are not, on which a run is measured.
const SCENES: usize = 500;
/// Number of training scenes among which the baseline looks for the most similar one.
const KNOWN: usize = 4096;
/// Number of true captions that are drawn for a scene in order to know all of them, and how many of them captions are
/// compared with.
const DRAWS: usize = 128;
const REFERENCES: usize = 5;

/// The exam on scenes.
pub struct ScenesExam {
    train: Arc<Scenes>,
    /// Scenes of kinds that are trained on, then those of others, if they are measured.
    sides: Vec<Side>,
    depth: Depth,
}

/// Scenes of kinds that are trained on, or of others.
struct Side {
    concepts: &'static str,
    scenes: Arc<Scenes>,
    exam: PairsExam,
}

impl ScenesExam {
    /// Makes an exam for a model that is trained on these scenes. It is the one for the choice of a recipe if the run
    /// `validates` one. At full depth it covers kinds that are not trained on as well, and measures the baselines.
    pub fn new(train: Arc<Scenes>, validates: bool, depth: Depth) -> Self {
        let (divisions, vendor) = Division::judges(validates);
        let side = |(concepts, division)| {
            let options = SceneOptions { division, count: SCENES, caption_noise: 0.0, ..train.options().clone() };
            let scenes = Arc::new(Scenes::new(Arc::clone(train.emoji()), options));
            let dataset: Arc<dyn Dataset> = scenes.clone();
            let exam = PairsExam::new(dataset, &format!("{}, held out", vendor.name()), SCENES);
            Side { concepts, scenes, exam }
        };
        let measured = if depth == Depth::Full { 2 } else { 1 };
        let sides = ["seen", "held-out"].into_iter().zip(divisions).take(measured).map(side).collect();
        ScenesExam { sides, train, depth }
    }

    /// Measures retrieval.
    ///
    /// # Errors
    /// Returns no error, since every scene can be made.
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        let mut all = Report::default();
        for side in &self.sides {
            let (mut report, _) = side.exam.report(model)?;
            report.name_concepts(side.concepts);
            all.extend(report);
        }
        Ok((all, BadReport::default()))
    }

    /// Measures what the model can do: retrieval with and without a second ranking, captions, answers.
    ///
    /// # Errors
    /// Returns no error, since every scene can be made.
    pub fn report_blip(&self, blip: &Blip, prompt: &str, crew: &impl Crew) -> Result<(Report, BadReport), LookError> {
        let mut all = Report::default();
        let is_full = self.depth == Depth::Full;
        if blip.check(Task::Answer).is_ok() {
            let commonest = is_full.then(|| Commonest::of(&self.train, KNOWN.min(self.train.options().count)));
            for side in &self.sides {
                let kinds = answers(&side.exam, &side.scenes, blip, crew, commonest.as_ref())?;
                let (concepts, pictures) = (side.concepts.into(), side.exam.name().into());
                all.answers.push(AnswerRow { concepts, pictures, kinds });
            }
            return Ok((all, BadReport::default()));
        }
        let known = is_full.then(|| Known::new(&self.train));
        for side in &self.sides {
            let references = |place, _: &[String]| side.references(place);
            let (mut report, _) = side.exam.ask(blip, prompt, crew, references)?;
            report.name_concepts(side.concepts);
            for row in &mut report.captions {
                row.nearest = known.as_ref().map(|known| known.captions(side, row, blip));
            }
            all.extend(report);
        }
        Ok((all, BadReport::default()))
    }

    /// Returns at most `n` scenes of kinds that are trained on.
    pub(crate) fn sample(&self, n: usize) -> Vec<Example> {
        self.sides[0].exam.sample(n)
    }

    /// Returns at most `n` scenes, half of them of kinds that are trained on.
    pub fn parts(&self, n: usize) -> Vec<Part> {
        let title = |side: &Side| format!("Scenes of {} kinds, {}", side.concepts, side.exam.name());
        self.sides.iter().map(|side| Part { title: title(side), examples: side.exam.sample(n / 2) }).collect()
    }

    /// Returns what a BLIP says of at most `n` scenes, half of them of kinds that are trained on: answers to all
    /// questions about each, or a caption.
    ///
    /// # Errors
    /// Returns an error if the model says nothing.
    pub fn tell(&self, blip: &Blip, prompt: &str, n: usize) -> Result<Vec<Told>, LookError> {
        let answers = blip.check(Task::Answer).is_ok();
        let told = |(side, part): (&Side, Part)| match answers {
            true => {
                let pictures = scene_answers::tell(&side.scenes, blip, n / 2)?;
                Ok(Told { title: part.title, pictures })
            }
            false => {
                let places = evenly_spread(side.exam.questions(), n / 2);
                let mut told = blip::tell(blip, prompt, part)?;
                // A scene has more true captions than the one beside it.
                for (place, (_, said)) in places.zip(&mut told.pictures) {
                    let all = side.references(place).all;
                    said.iter_mut().filter(|said| is_true(blip, &said.text, &all)).for_each(|said| said.truth = None);
                }
                Ok(told)
            }
        };
        self.sides.iter().zip(self.parts(n)).map(told).collect()
    }
}

impl Side {
    fn references(&self, place: usize) -> References {
        let mut all = self.scenes.wordings(place, DRAWS);
        let own = self.scenes.caption(place).text;
        all.retain(|caption| *caption != own);
        all.insert(0, own);
        References { compared: all[..REFERENCES.min(all.len())].to_vec(), all }
    }
}

/// Training scenes as the baseline knows them: by pixels, each with its caption.
struct Known<'a> {
    scenes: &'a Scenes,
    /// `features` (scenes, [`baseline::FEATURES`])
    features: Array2<f32>,
}

impl<'a> Known<'a> {
    fn new(scenes: &'a Scenes) -> Self {
        Known { scenes, features: features(scenes, KNOWN.min(scenes.options().count)) }
    }

    /// Scores the captions of the most similar training scenes.
    fn captions(&self, side: &Side, row: &CaptionRow, blip: &Blip) -> CaptionScore {
        let asked = features(&side.scenes, row.images);
        let cosines = asked.dot(&self.features.t());
        let best = |row: ArrayView1<f32>| {
            let places = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            self.scenes.caption(places.expect("there are training scenes").0).text
        };
        let captions: Vec<String> = cosines.rows().into_iter().map(best).collect();
        let references: Vec<References> = (0..captions.len()).map(|place| side.references(place)).collect();
        score(blip, &captions, &references)
    }
}

/// Returns the baseline's features of the first n scenes.
fn features(scenes: &Scenes, n: usize) -> Array2<f32> {
    let picture = |number: usize| {
        let mut picture = Picture::default();
        scenes.paint(number, &mut picture);
        let side = scenes.options().image_size as u32;
        RgbImage::from_raw(side, side, picture.samples).expect("an RGB picture")
    };
    let pictures: Vec<RgbImage> = (0..n).into_par_iter().map(picture).collect();
    baseline::features(&pictures)
}
