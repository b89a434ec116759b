//! A trained BLIP, ready for pictures and texts.

use super::encoders::LoadError;
use super::session::{Pool, Session};
use super::source::Pictures;
use super::stream::{Batch, Tower};
use super::task::{BlipError, Task};
use super::writer::write;
use crate::checkpoint::blip::{Described, Loaded, Overrides, load};
use crate::datasets::BadReport;
use crate::generate::{Options, Request};
use crate::models::Packed;
use crate::models::blip::Config;
use crate::models::blip::model::{Inference, Model, Source};
use crate::models::blip::params::Blip as Params;
use crate::pictures::{Picture, Preprocess, Scratch};
use crate::text::WordPiece;
use crate::weights::{Stored, Weights};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::Arc;

/// The longest text for the image-grounded encoder, in tokens (`max_length` of the original's `blip_retrieval.py`).
pub const MAX_TEXT: usize = 35;

/// Number of texts that look at a picture at a time, where there may be many.
const TEXTS: usize = 256;

/// The smoothing of the loss by which answers are ranked, which is that of training.
const SMOOTHING: f32 = 0.1;

/// A BLIP with the parts that its file has.
///
/// ```
/// use clipwright::Blip;
/// use clipwright::generate::{BeamStyle, Options, Search};
/// use clipwright::pictures::{Channels, Picture};
/// # use clipwright::checkpoint::blip::{Format, save};
/// # use clipwright::checkpoint::Precision;
/// # use clipwright::models::blip::{Config, Model, Parts, TextConfig, VisionConfig};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// # let base = Config::base(Parts::Captioner);
/// # let vision = VisionConfig { image_size: [32, 32], width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.vision };
/// # let text = TextConfig { positions: 32, width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.text };
/// # let model = Model::new(Config { vision, text, ..base }, 0);
/// # save(path, &model.config, &model.params, None, Format::HuggingFace, Precision::F32)?;
///
/// // `path`: a folder from Hugging Face, or one of the original's files.
/// let blip = Blip::load(path)?;
/// let pictures = [Picture::new(640, 480, Channels::Rgb)]; // or from clipwright::pictures::decode::open
/// let options = Options {
///     min_length: 5,
///     search: Search::Beams { beams: 3, style: BeamStyle::Original },
///     ..blip.options(20)
/// };
/// let captions = blip.caption(&pictures, "a picture of ", &options, 0)?;
/// println!("{}", captions[0].text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Blip {
    path: PathBuf,
    config: Config,
    weights: Weights<Params<Stored>>,
    preprocess: Preprocess,
    tokenizer: Arc<WordPiece>,
    sessions: Pool<Session<Inference>>,
}

/// The number of pictures that are looked at together: the tokens of many more would fill the memory.
pub const BATCH: usize = 8;

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
    /// Loads a model folder or a file of weights, as [`load`] finds them.
    ///
    /// # Errors
    /// Returns a [`LoadError`] that names the file and, where there is one, the tensor.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::new(load(path.as_ref(), &Overrides::default())?)
    }

    /// Reads a checkpoint for a task, or nothing of it if its model cannot do the task.
    ///
    /// # Errors
    /// Returns an error if the model lacks the parts, or under the conditions of [`Blip::load`].
    pub fn open(described: Described, task: Task) -> Result<Self, LoadError> {
        let check = task.check(described.config.parts);
        check.map_err(|source| LoadError::Task { path: described.path.clone(), source })?;
        Self::new(described.load()?)
    }

    /// Makes the model ready from a checkpoint that was read.
    ///
    /// # Errors
    /// Returns an error if the model's tokenizer cannot be used, or does not fit the model.
    pub fn new(loaded: Loaded) -> Result<Self, LoadError> {
        let Loaded { path, config, params, preprocess, .. } = loaded;
        let (ids, known) = (config.text.ids, config.text.vocab_size);
        let folder = path.parent().unwrap_or(Path::new("."));
        let own = WordPiece::open(folder, ids.decode, ids.encode)?;
        let tokenizer_path = own.is_some().then(|| folder.to_path_buf());
        let tokenizer = own.unwrap_or_else(WordPiece::blip);
        let vocabulary = tokenizer.vocabulary();
        if vocabulary > known {
            return Err(LoadError::Vocabulary { path, known, tokenizer: tokenizer_path, vocabulary });
        }
        let preprocess = preprocess.ok_or_else(|| LoadError::NotSquare { path: path.clone() })?;
        Ok(Self::of_model(path, Model { config, params }, preprocess, Arc::new(tokenizer)))
    }

    /// Makes a model ready that is in memory. Messages call it by the path.
    pub fn of_model(path: PathBuf, model: Model, preprocess: Preprocess, tokenizer: Arc<WordPiece>) -> Self {
        let Model { config, params } = model;
        Blip { path, config, weights: params.into_weights(), preprocess, tokenizer, sessions: Pool::default() }
    }

    /// Returns the path of the file of weights, or of the index of several.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the sizes of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the settings by which pictures are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &WordPiece {
        &self.tokenizer
    }

    /// Returns the options of a greedy search for texts of at most `max_length` tokens, the prompt's included.
    pub fn options(&self, max_length: usize) -> Options {
        Options::new(self.config.text.ids.end, max_length)
    }

    /// Checks that the model can do a task.
    ///
    /// # Errors
    /// Returns an error if it has not got the parts.
    pub fn check(&self, task: Task) -> Result<(), BlipError> {
        task.check(self.config.parts)
    }

    /// Looks at the pictures of a source and passes what the model sees in them to `each`, at most [`BATCH`] pictures
    /// at a time, in order, until it fails. Pictures that cannot be read are left out, named and counted.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note, Source>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let p = self.weights.view();
        let encode =
            |buffers: &mut Inference, images: ArrayView2<f32>| -> Source { buffers.look(&p, &self.config, images) };
        let tower = Tower { preprocess: &self.preprocess, batch: BATCH, encode };
        tower.stream(&mut self.sessions.lend(), source, each)
    }

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

    /// Judges how well texts fit pictures, every text with every picture.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn match_texts<S: AsRef<str>>(&self, pictures: &[Picture], texts: &[S]) -> Result<Matches, BlipError> {
        self.check(Task::Match)?;
        self.match_seen(&self.look(pictures), texts, self.encode_text(texts)?.view())
    }

    /// Judges how well texts fit pictures that were looked at, as [`Blip::match_texts`] does. `embedded` are the texts'
    /// embeddings, which [`Blip::encode_text`] returns.
    ///
    /// `embedded` (n, e)
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn match_seen<S: AsRef<str>>(
        &self,
        seen: &Source,
        texts: &[S],
        embedded: ArrayView2<f32>,
    ) -> Result<Matches, BlipError> {
        self.check(Task::Match)?;
        let (p, config) = (self.weights.view(), &self.config);
        let buffers = &mut self.sessions.lend().inference;
        let images = buffers.embed_images(&p, config, seen);
        let texts = self.pack_for_pictures(texts);
        let n = texts.captions().len();
        let (mut logits, mut margins) = (Array2::zeros((seen.rows.len(), n)), Array2::zeros((seen.rows.len(), n)));
        for picture in 0..seen.rows.len() {
            let seen = seen.alone(picture);
            let z = buffers.match_logits(&p, config, &seen, texts.captions(), from_ref(&(0..n)));
            logits.row_mut(picture).assign(&z.column(1));
            margins.row_mut(picture).assign(&z.map_axis(Axis(1), |z| z[1] - z[0]));
        }
        let probabilities = margins.mapv(probability);
        Ok(Matches { probabilities, logits, cosines: images.dot(&embedded.t()) })
    }

    /// Returns the logits of a match of a picture that was looked at with each text, as [`Blip::match_seen`] does.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    ///
    /// # Panics
    /// If there is not one picture.
    #[track_caller]
    pub fn match_logits<S: AsRef<str>>(&self, seen: &Source, texts: &[S]) -> Result<Vec<f32>, BlipError> {
        self.check(Task::Match)?;
        assert_eq!(seen.rows.len(), 1, "one picture");
        let (p, buffers) = (self.weights.view(), &mut self.sessions.lend().inference);
        let judged = texts.chunks(TEXTS).flat_map(|texts| {
            let texts = self.pack_for_pictures(texts);
            let all = 0..texts.captions().len();
            buffers.match_logits(&p, &self.config, seen, texts.captions(), from_ref(&all)).column(1).to_vec()
        });
        Ok(judged.collect())
    }

    /// Returns the probabilities that texts fit pictures that were looked at, each text with one picture: `texts_of[i]` are
    /// those of picture i.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    ///
    /// # Panics
    /// If there are not as many lists of texts as pictures.
    #[track_caller]
    pub fn match_each<S: AsRef<str>>(
        &self,
        seen: &Source,
        texts: &[S],
        texts_of: &[Range<usize>],
    ) -> Result<Vec<f32>, BlipError> {
        self.check(Task::Match)?;
        assert_eq!(seen.rows.len(), texts_of.len(), "pictures and their texts");
        let (texts, buffers) = (self.pack_for_pictures(texts), &mut self.sessions.lend().inference);
        let logits = buffers.match_logits(&self.weights.view(), &self.config, seen, texts.captions(), texts_of);
        Ok(logits.rows().into_iter().map(|z| probability(z[1] - z[0])).collect())
    }

    /// Returns the tokens of texts that look at pictures.
    fn pack_for_pictures<S: AsRef<str>>(&self, texts: &[S]) -> Packed {
        Packed::new(texts.iter().map(|text| self.tokenizer.encode_enc(text.as_ref(), self.max_text())))
    }

    /// Returns unit-length embeddings (n, e) of n pictures.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn encode_image(&self, pictures: &[Picture]) -> Result<Array2<f32>, BlipError> {
        self.check(Task::Match)?;
        self.embed_seen(&self.look(pictures))
    }

    /// Returns unit-length embeddings (n, e) of n pictures that were looked at.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn embed_seen(&self, seen: &Source) -> Result<Array2<f32>, BlipError> {
        self.check(Task::Match)?;
        Ok(self.sessions.lend().inference.embed_images(&self.weights.view(), &self.config, seen))
    }

    /// Returns unit-length embeddings (n, e) of n texts.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn encode_text<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>, BlipError> {
        self.check(Task::Match)?;
        let texts = Packed::new(texts.iter().map(|text| self.tokenizer.encode(text.as_ref(), self.max_text())));
        let buffers = &mut self.sessions.lend().inference;
        Ok(buffers.embed_texts(&self.weights.view(), &self.config, texts.captions()))
    }

    /// Returns the longest text for the text encoder, in tokens.
    pub fn max_text(&self) -> usize {
        MAX_TEXT.min(self.config.text.positions)
    }

    /// Returns the tokens of pictures.
    fn look(&self, pictures: &[Picture]) -> Source {
        let len = self.config.vit().grid.image_len();
        let mut pixels = vec![0.0; pictures.len() * len];
        pixels.par_chunks_exact_mut(len).zip(pictures).for_each_init(Scratch::default, |scratch, (pixels, picture)| {
            self.preprocess.apply(picture, scratch, pixels);
        });
        let images = ArrayView2::from_shape((pictures.len(), len), &pixels).expect("a picture in each row");
        self.sessions.lend().inference.look(&self.weights.view(), &self.config, images)
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

/// Returns the probability of a match by how much its logit is above that of a mismatch.
fn probability(margin: f32) -> f32 {
    1.0 / (1.0 + (-margin).exp())
}

/// Returns lists of one text for each picture.
fn one_each(n: usize) -> Vec<Range<usize>> {
    (0..n).map(|i| i..i + 1).collect()
}

/// How well texts fit pictures: a row for each picture, a column for each text.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches {
    /// The probability that the text fits the picture, by the head that judges matches.
    pub probabilities: Array2<f32>,
    /// The logit of a match, before the softmax with that of a mismatch.
    pub logits: Array2<f32>,
    /// The cosine of both embeddings.
    pub cosines: Array2<f32>,
}

impl Matches {
    /// Returns the scores by which the original ranks candidates again: logit + cosine.
    pub fn scores(&self) -> Array2<f32> {
        &self.logits + &self.cosines
    }
}
