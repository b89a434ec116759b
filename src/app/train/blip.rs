//! A BLIP in training.

use super::blip_options::Task;
use super::error::TrainError;
use super::gallery;
use super::learner::{Begun, Learner, captions};
use super::options::Options;
use crate::app::card::{self, Form};
use crate::batches::{Answers, Augment, Batch, LoaderConfig};
use crate::checkpoint::blip::{self as files, Format, Overrides, preprocess};
use crate::checkpoint::{Precision, copy_tokenizer};
use crate::datasets::BadReport;
use crate::datasets::scenes::Scenes;
use crate::embed::{Blip, Family, Task as Asked};
use crate::eval::exam::Exam;
use crate::eval::report::Report;
use crate::models::Captions;
use crate::models::blip::{Config, Model, Parts, TextConfig, TokenIds, spec as blip_spec};
use crate::optim::adamw::Hyper;
use crate::params::{self, Params};
use crate::pictures::Preprocess;
use crate::text::wordpiece::reduced_vocabulary;
use crate::text::{BlipCaptions, BlipQuestions, Tokenize, WordPiece};
use crate::train::blip::trained::spec;
use crate::train::blip::{
    self as objective, AnswerBatch, AnswerObjective, BlipObjective, CaptionBatch, CaptionObjective, Rates,
};
use crate::train::data::{self, TrainingData};
use crate::train::log::Metrics;
use crate::train::metric::Metric;
use crate::train::objective::{Objective, State};
use crate::train::run_folder::RunFolder;
use crate::train::step::{Trainer, Update};
use crate::train::together::Ranks;
use crate::train::watch::Collapse;
use crate::train::world::World;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of scenes whose texts say which word pieces a vocabulary needs.
const READ: usize = 4096;
/// The name of a vocabulary's file.
const VOCABULARY: &str = "vocab.txt";

struct BlipLearner<L, W> {
    world: W,
    trainer: Trainer<L, W>,
    config: Config,
    preprocess: Preprocess,
    tokenizer: Arc<WordPiece>,
    vocabulary: Vocabulary,
    /// What captions begin with.
    prompt: String,
}

/// Where a model's vocabulary comes from.
enum Vocabulary {
    /// It is BERT's, which needs no file.
    Bert,
    File(PathBuf),
    /// It was made for the run, and is the text of a file.
    Made(String),
}

/// What a run begins with.
struct Start {
    model: Model,
    preprocess: Preprocess,
    data: TrainingData,
    tokenizer: WordPiece,
    vocabulary: Vocabulary,
}

/// A width below which a model is a small one, for the embedded pictures.
const SMALL_WIDTH: usize = 384;

impl Task {
    /// Returns the parts that a model has which learns it.
    fn parts(self) -> Parts {
        match self {
            Task::Pretrain => Parts::Pretrained,
            Task::Retrieval => Parts::Matcher,
            Task::Caption => Parts::Captioner,
            Task::Vqa => Parts::Answerer,
        }
    }

    /// Returns the least share of a picture that a crop of the original keeps.
    fn least_area(self) -> f32 {
        if self == Task::Pretrain { 0.2 } else { 0.5 }
    }

    /// Returns the longest text, in tokens, as the original has it.
    fn max_tokens(self) -> usize {
        match self {
            Task::Pretrain => 30,
            Task::Caption => 40,
            Task::Retrieval | Task::Vqa => 35,
        }
    }
}

/// Prepares the BLIP that the options describe, or that of a run's folder.
pub(super) fn begin<W: World + 'static>(
    world: &W,
    options: &Options,
    folder: Option<&RunFolder>,
) -> Result<Begun, TrainError> {
    let start = match (folder, &options.pretrained) {
        (Some(folder), _) => Start::resumed(options, folder)?,
        (None, Some(path)) => Start::pretrained(options, path)?,
        (None, None) => Start::new(options)?,
    };
    let steps = options.steps_per_epoch(&start.data);
    let config = &start.model.config;
    let is_small = is_small(config);
    let Rates { dropout, depth } = if is_small { Rates::default() } else { Rates::original(config) };
    let rates = Rates { dropout: options.blip.dropout.unwrap_or(dropout), depth };
    let contrasts = |published: objective::Options| {
        let usual = if is_small { published.small() } else { published };
        objective::Options { queue: options.blip.queue.unwrap_or(usual.queue), rates, ..usual }
    };
    let (seed, checkpointing) = (options.seed, options.grad_checkpointing);
    let contrast = |model: &Model, published| {
        BlipObjective::new(model, contrasts(published), seed).grad_checkpointing(checkpointing)
    };
    Ok(match options.blip.task {
        Task::Pretrain => start.begun(world, options, |model| contrast(model, objective::Options::pretraining(steps))),
        Task::Retrieval => start.begun(world, options, |model| contrast(model, objective::Options::retrieval(steps))),
        Task::Caption => {
            start.begun(world, options, |model| CaptionObjective::new(model, rates).grad_checkpointing(checkpointing))
        }
        Task::Vqa => {
            start.begun(world, options, |model| AnswerObjective::new(model, rates).grad_checkpointing(checkpointing))
        }
    })
}

/// Returns whether a model is a small one, for the embedded pictures.
fn is_small(config: &Config) -> bool {
    config.vision.width < SMALL_WIDTH
}

/// What a BLIP learns, as a run knows it.
trait Lesson<W: World>: Objective<W> + Send + 'static {
    /// Computes the gradients of a batch, whose captions begin with so many tokens that are given.
    fn gradients(trainer: &mut Trainer<Self, W>, batch: &Batch, given: usize, micro: usize) -> Vec<Metric>
    where
        Self: Sized;

    /// Returns a copy of the model as it is now.
    fn model(&self) -> Model;
}

impl<W: World> Lesson<W> for BlipObjective {
    fn gradients(trainer: &mut Trainer<Self, W>, batch: &Batch, _: usize, micro: usize) -> Vec<Metric> {
        let (images, pictures) = (batch.images(), &batch.concept_keys);
        trainer.gradients(&objective::Batch { images, texts: captions(batch), pictures, uniforms: None }, micro)
    }

    fn model(&self) -> Model {
        self.model()
    }
}

impl<W: World> Lesson<W> for CaptionObjective {
    fn gradients(trainer: &mut Trainer<Self, W>, batch: &Batch, given: usize, micro: usize) -> Vec<Metric> {
        let given = &vec![given; batch.len()];
        trainer.gradients(&CaptionBatch { images: batch.images(), captions: captions(batch), given }, micro)
    }

    fn model(&self) -> Model {
        self.model()
    }
}

impl<W: World> Lesson<W> for AnswerObjective {
    fn gradients(trainer: &mut Trainer<Self, W>, batch: &Batch, _: usize, micro: usize) -> Vec<Metric> {
        let Answers { tokens, offsets, weights, of_pictures } = &batch.answers;
        let answers = Captions { ids: tokens, offsets };
        let (images, questions) = (batch.images(), captions(batch));
        trainer.gradients(&AnswerBatch { images, questions, answers, answers_of: of_pictures, weights }, micro)
    }

    fn model(&self) -> Model {
        self.model()
    }
}

impl Start {
    /// Prepares what remains, for a model that learns this.
    fn begun<L: Lesson<W>, W: World + 'static>(
        self,
        world: &W,
        options: &Options,
        lesson: impl FnOnce(&Model) -> L,
    ) -> Begun {
        let Start { model, preprocess, data, tokenizer, vocabulary } = self;
        let (task, tokenizer) = (options.blip.task, Arc::new(tokenizer));
        let original = options.blip.rand_augment.then(|| Augment::blip(task.least_area()));
        let loader = LoaderConfig {
            context_length: task.max_tokens().min(model.config.text.positions),
            preprocess: preprocess.clone(),
            augment: (!options.data.no_augment).then(|| original.unwrap_or_else(|| data.augment())),
            ..options.loader(&data, world)
        };
        let prompt = options.blip.captions_begin().to_owned();
        let pieces = Arc::clone(&tokenizer);
        let words: Arc<dyn Tokenize> = match task {
            Task::Vqa => Arc::new(BlipQuestions(pieces)),
            _ => Arc::new(BlipCaptions { pieces, prompt: prompt.clone() }),
        };
        // A short run of a small model has no use for a variance over a thousand steps.
        let beta2 = if is_small(&model.config) { Hyper::VIT.beta2 } else { Hyper::BLIP.beta2 };
        let trainer_options = options.trainer(Hyper { beta2, ..Hyper::BLIP });
        let trainer = Trainer::among(world.clone(), lesson(&model), trainer_options);
        let (config, world) = (model.config, world.clone());
        let learner = Box::new(BlipLearner { world, trainer, config, preprocess, tokenizer, vocabulary, prompt });
        Begun { learner, data, words, loader }
    }

    /// Draws a new model. Its vocabulary is what the data needs, if the data says so.
    fn new(options: &Options) -> Result<Self, TrainError> {
        let name = options.model_name();
        let config = Config::preset(&name, options.blip.task.parts()).expect("a preset of a BLIP");
        let [side, _] = config.vision.image_size;
        let data = options.open(options.blip.embedded(), side)?;
        let (tokenizer, vocabulary) = match (&options.blip.tokenizer, &data) {
            (Some(folder), _) => of_folder(folder)?,
            (None, TrainingData::Scenes { train, .. }) => {
                let made = reduced_vocabulary(texts(train));
                let tokenizer = WordPiece::of_vocabulary(&made).expect("a vocabulary of BERT's pieces");
                (tokenizer, Vocabulary::Made(made))
            }
            _ => (WordPiece::blip(), Vocabulary::Bert),
        };
        let ids = TokenIds {
            pad: tokenizer.id("[PAD]").unwrap_or_default(),
            cls: tokenizer.cls(),
            end: tokenizer.sep(),
            decode: tokenizer.dec(),
            encode: tokenizer.enc(),
        };
        let config = Config { text: TextConfig { vocab_size: tokenizer.vocabulary(), ids, ..config.text }, ..config };
        let preprocess = Preprocess { size: side, ..preprocess() };
        Ok(Start { model: Model::new(config, options.seed), preprocess, data, tokenizer, vocabulary })
    }

    /// Reads a model that is to learn further.
    fn pretrained(options: &Options, path: &Path) -> Result<Self, TrainError> {
        let loaded = files::load(path, &Overrides::default())?;
        loaded.notes.iter().for_each(|note| note!("note: {note}"));
        let files::Loaded { path, config, params, preprocess, tokenizer, .. } = loaded;
        let preprocess = preprocess.ok_or_else(|| TrainError::NotSquare { path: path.clone() })?;
        let task = options.blip.task;
        let lacks = |parameter| TrainError::Lacks { path: path.clone(), parameter, task: task.name() };
        let model = Model { config, params }.for_task(task.parts()).map_err(lacks)?;
        let data = options.open(options.blip.embedded(), preprocess.size)?;
        let (tokenizer, vocabulary) = match tokenizer {
            Some(file) => (beside(&file, config.text.ids)?, Vocabulary::File(file)),
            None => (WordPiece::blip(), Vocabulary::Bert),
        };
        Ok(Start { model, preprocess, data, tokenizer, vocabulary })
    }

    /// Prepares the model of a run's folder, whose parameters are still to be loaded.
    fn resumed(options: &Options, folder: &RunFolder) -> Result<Self, TrainError> {
        let described = files::describe(&folder.path, &Overrides::default())?;
        let files::Described { path, config, preprocess, tokenizer, .. } = described;
        let own = blip_spec(&config);
        // Where pictures and texts are compared, the temperature is learnt too.
        let len = if config.parts.has_heads() { params::len(&spec(&config)) } else { params::len(&own) };
        folder.check("params", len)?;
        let preprocess = preprocess.ok_or_else(|| TrainError::NotSquare { path })?;
        let data = options.open(options.blip.embedded(), preprocess.size)?;
        let tokenizer = match tokenizer {
            Some(file) => beside(&file, config.text.ids)?,
            None => WordPiece::blip(),
        };
        let model = Model { config, params: Params::zeros(own) };
        Ok(Start { model, preprocess, data, tokenizer, vocabulary: Vocabulary::Bert })
    }
}

/// Returns the vocabulary of the model in a folder.
fn of_folder(folder: &Path) -> Result<(WordPiece, Vocabulary), TrainError> {
    let files::Described { config, tokenizer, .. } = files::describe(folder, &Overrides::default())?;
    let file = tokenizer.ok_or_else(|| TrainError::NoVocabulary { path: folder.into() })?;
    Ok((beside(&file, config.text.ids)?, Vocabulary::File(file)))
}

/// Opens the vocabulary of this file.
fn beside(file: &Path, ids: TokenIds) -> Result<WordPiece, TrainError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let opened = WordPiece::open(folder, ids.decode, ids.encode)?;
    opened.ok_or_else(|| TrainError::NoVocabulary { path: folder.into() })
}

/// Returns what is said and asked about scenes.
fn texts(scenes: &Scenes) -> impl Iterator<Item = String> {
    (0..READ.min(scenes.options().count)).flat_map(|number| {
        let questions = scenes.questions(number).into_iter().flat_map(|asked| [asked.text, asked.answer]);
        questions.chain([scenes.caption(number).text])
    })
}

impl<L: Lesson<W>, W: World> BlipLearner<L, W> {
    fn lesson(&self) -> &L {
        self.trainer.objective()
    }

    /// Returns the model as it is now.
    fn blip(&self) -> Blip {
        let tokenizer = Arc::clone(&self.tokenizer);
        Blip::of_model("the model in training".into(), self.lesson().model(), self.preprocess.clone(), tokenizer)
    }
}

impl<L: Lesson<W>, W: World> Learner for BlipLearner<L, W> {
    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn gradients(&mut self, batch: &Batch, micro: usize) -> Vec<Metric> {
        // `[CLS]` is given too; `[SEP]` is not.
        let given = self.tokenizer.encode(&self.prompt, usize::MAX).len() - 1;
        L::gradients(&mut self.trainer, batch, given, micro)
    }

    fn update(&mut self, lr: f32) -> Update {
        self.trainer.update(lr)
    }

    fn state(&mut self) -> State<'_> {
        self.trainer.state()
    }

    /// Saves the model under the original's names.
    fn save_model(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let Model { config, params } = self.lesson().model();
        let preprocess = Some(&self.preprocess);
        Ok(files::save(&folder.path, &config, &params, preprocess, Format::Original, Precision::F32)?)
    }

    fn save_tokenizer(&self, folder: &RunFolder) -> Result<(), TrainError> {
        match &self.vocabulary {
            Vocabulary::Bert => Ok(()),
            Vocabulary::File(file) => Ok(copy_tokenizer(file, &folder.path)?),
            Vocabulary::Made(text) => Ok(folder.write(VOCABULARY, text.as_bytes())?),
        }
    }

    fn described(&self) -> (Form, Vec<(&'static str, String)>) {
        let [parameters, _] = self.parameters();
        (Form::Blip(self.config.parts, false), card::blip(&self.config, parameters, Some(&self.preprocess)))
    }

    fn parameters(&self) -> [usize; 2] {
        let spec = blip_spec(&self.config);
        [params::count(&spec), params::count(&spec.visual_encoder)]
    }

    fn examine(&self, exam: &Exam) -> Result<(Report, BadReport), TrainError> {
        Ok(exam.report_blip(&self.blip(), &self.prompt, &Ranks(&self.world))?)
    }

    fn collapse(&self, exam: &Exam) -> Option<Collapse> {
        let blip = self.blip();
        blip.check(Asked::Match).ok().and_then(|()| data::collapse(exam, &Family::Blip(Box::new(blip))))
    }

    fn draw(&self, folder: &RunFolder, metrics: &Metrics, exam: &Exam) -> Result<(), TrainError> {
        let blip = self.blip();
        gallery::curves(folder, metrics)?;
        if blip.check(Asked::Caption).is_ok() || blip.check(Asked::Answer).is_ok() {
            gallery::tell(folder, exam, &blip, &self.prompt)?;
        }
        if blip.check(Asked::Caption).is_ok() {
            gallery::look(folder, exam, &blip, &self.prompt)?;
        }
        match blip.check(Asked::Match) {
            Ok(()) => gallery::matches(folder, exam, &Family::Blip(Box::new(blip))),
            Err(_) => Ok(()),
        }
    }
}
