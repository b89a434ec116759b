//! Training, as one readable loop.

use super::gallery;
use super::options::{Cli, Options};
use super::progress::{Progress, clock};
use crate::batches::{Batch, Loader, LoaderConfig, LoaderError};
use crate::checkpoint::{self, CheckpointError, ConfigFile};
use crate::datasets::DatasetError;
use crate::embed::Embedder;
use crate::eval::exam::{Depth, Exam};
use crate::eval::report::Report;
use crate::loss::info_nce::Loss;
use crate::models::clip::config::{Config, ConfigError, VOCAB_SIZE};
use crate::models::clip::model::Model;
use crate::models::clip::text::Captions;
use crate::optim::schedule::Schedule;
use crate::params;
use crate::pictures::Library;
use crate::text::Tokenizer;
use crate::train::data::{self, TrainingData};
use crate::train::log::{Evaluation, Line, Log, Metrics, ReadError, Step};
use crate::train::run_folder::RunFolder;
use crate::train::step::{Pairs, Trainer, Update};
use crate::train::watch::{Collapse, Watch};
use ndarray::ArrayView2;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// However long an epoch is, no more than this much work is lost with a killed run.
const SAVE_EVERY: Duration = Duration::from_secs(600);

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Model(#[from] ConfigError),
    #[error("a vocabulary of {0} is too small for CLIP's tokenizer, which has {VOCAB_SIZE} tokens")]
    Vocabulary(usize),
    #[error("{}: is there already", path.display())]
    RunExists { path: PathBuf },
    #[error("{}: no run to resume", logs.display())]
    NoRun { logs: PathBuf },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] io::Error),
    #[error(transparent)]
    Metrics(#[from] ReadError),
    #[error("training stopped at {0}")]
    Collapse(Collapse),
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// All steps were taken; the last table.
    Finished(Report),
    /// Stopped on request, to be resumed from this folder.
    Interrupted(PathBuf),
}

/// Runs what the command line says. `interrupted` is asked after every step.
pub fn run(cli: Cli, interrupted: &dyn Fn() -> bool) -> Result<Outcome, TrainError> {
    let mut run = match &cli.resume {
        Some(name) => {
            let (folder, options) = RunFolder::find(name, &cli.options.logs)?;
            Run::prepare(options, Some(folder))?
        }
        None => Run::prepare(cli.options, None)?,
    };
    run.introduce();
    if run.train(interrupted)? { run.finish() } else { Ok(Outcome::Interrupted(run.folder.path)) }
}

/// Everything a run needs.
struct Run {
    options: Options,
    folder: RunFolder,
    config: ConfigFile,
    tokenizer: Arc<Tokenizer>,
    data: TrainingData,
    trainer: Trainer,
    loader: Loader,
    schedule: Schedule,
    log: Log,
}

impl Run {
    /// Everything that can fail because of an option fails before a folder is made. A run that was killed before its
    /// first checkpoint begins again.
    fn prepare(options: Options, resumed: Option<RunFolder>) -> Result<Run, TrainError> {
        let checkpoint = resumed.as_ref().filter(|folder| folder.has_state());
        let (model, config) = match checkpoint {
            Some(folder) => folder.model()?,
            None => model(&options)?,
        };
        let data = options.data.open()?;
        let hyper = options.hyper(&model.config);
        let mut trainer = Trainer::new(model, hyper);
        trainer.max_norm = options.grad_clip_norm;
        trainer.lock_image = options.lock_image;
        if let Some(folder) = checkpoint {
            folder.load(&mut trainer.model, &mut trainer.adam)?;
        }
        let tokenizer = Arc::new(Tokenizer::clip());
        let loader_config = LoaderConfig {
            batch_size: options.pairs_per_step(),
            context_length: trainer.model.config.text_cfg.context_length,
            preprocess: config.preprocess_cfg.clone(),
            augment: Some(data.augment()),
            seed: options.seed,
            workers: options.workers,
            start_step: trainer.adam.steps,
            bad_limit: data.bad_limit(),
        };
        let loader = Loader::new(data.training(), Arc::clone(&tokenizer), loader_config)?;
        let total = loader.steps_per_epoch() * options.epochs as u64;
        let schedule = Schedule { lr: options.lr, warmup: options.warmup, total };
        let folder = resumed.map_or_else(|| RunFolder::create(&options), Ok)?;
        let log = Log::open(folder.file("metrics.jsonl"))?;
        Ok(Run { options, folder, config, tokenizer, data, trainer, loader, schedule, log })
    }

    fn introduce(&self) {
        let Options { model, batch_size, accum_freq, epochs, .. } = &self.options;
        let spec = &self.trainer.model.params.spec;
        let (parameters, visual) = (params::count(spec), params::count(&spec.visual));
        println!("model   {model}: {:.1} M parameters, {:.1} M of them visual", millions(parameters), millions(visual));
        println!("data    {}", self.data);
        println!(
            "steps   {} = {epochs} epochs of {}, {batch_size} pairs{}",
            self.schedule.total,
            self.loader.steps_per_epoch(),
            if *accum_freq > 1 { format!(" × {accum_freq} each") } else { " each".into() },
        );
        println!("run     {}", self.folder.path.display());
        if self.trainer.adam.steps > 0 {
            println!("resumed after step {}", self.trainer.adam.steps);
        }
    }

    /// The loop. False if it was interrupted.
    fn train(&mut self, interrupted: &dyn Fn() -> bool) -> Result<bool, TrainError> {
        let total = self.schedule.total;
        let progress = Progress::new(self.trainer.adam.steps, total);
        let mut watch = Watch::new(self.schedule.warmup);
        let exam = self.data.exam(Depth::Quick);
        let (mut saved, mut pace) = (Instant::now(), Pace::from(self.trainer.adam.steps));
        while self.trainer.adam.steps < total {
            let (epoch, line) = self.step(&pace)?;
            match watch.step(&line) {
                Some(collapse @ Collapse::NotFinite { .. }) => return Err(TrainError::Collapse(collapse)),
                Some(collapse) => progress.say(&format!("warning: {collapse}")),
                None => {}
            }
            progress.step(line.step);
            if line.step.is_multiple_of(self.options.log_every_n_steps as u64) {
                progress.log(epoch + 1, &line);
                self.log.append(&Line::Step(line))?;
                pace = Pace::from(line.step);
            }
            if interrupted() {
                self.save()?;
                return Ok(false);
            }
            if self.due(line.step, self.options.save_frequency) || saved.elapsed() > SAVE_EVERY {
                self.save()?;
                saved = Instant::now();
            }
            if self.due(line.step, self.options.val_frequency) && line.step < total {
                self.evaluate(line.step, &exam, &progress)?;
                pace = Pace::from(line.step);
            }
        }
        Ok(true)
    }

    /// One step: the epoch it belongs to, and its numbers.
    fn step(&mut self, pace: &Pace) -> Result<(u64, Step), TrainError> {
        let lr = self.schedule.at(self.trainer.adam.steps);
        let batch = self.loader.next()?;
        let loss = self.gradients(&batch);
        let update = self.trainer.update(lr);
        let epoch = batch.epoch;
        self.loader.recycle(batch);
        Ok((epoch, self.line(loss, update, lr, pace)))
    }

    fn gradients(&mut self, batch: &Batch) -> Loss {
        let n = batch.len();
        let pixels = batch.images.len() / n;
        let pairs = Pairs {
            images: ArrayView2::from_shape((n, pixels), &batch.images).expect("n pictures"),
            captions: Captions { ids: &batch.tokens, offsets: &batch.offsets },
            concepts: &batch.concept_keys,
            caption_keys: &batch.caption_keys,
        };
        self.trainer.gradients(&pairs, self.options.batch_size)
    }

    fn line(&self, loss: Loss, update: Update, lr: f32, pace: &Pace) -> Step {
        let step = self.trainer.adam.steps;
        let pairs = self.options.pairs_per_step() as f64;
        Step {
            step,
            loss: loss.mean().into(),
            loss_image_to_text: loss.image_to_text.into(),
            loss_text_to_image: loss.text_to_image.into(),
            loss_chance: pairs.ln(),
            logit_scale: f64::from(update.logit_scale).exp(),
            lr: lr.into(),
            grad_norm: update.grad_norm.into(),
            pairs_per_second: (step - pace.step) as f64 * pairs / pace.since.elapsed().as_secs_f64(),
        }
    }

    /// At the end of every `epochs`-th epoch.
    fn due(&self, step: u64, epochs: usize) -> bool {
        epochs > 0 && step.is_multiple_of(epochs as u64 * self.loader.steps_per_epoch())
    }

    fn evaluate(&mut self, step: u64, exam: &Exam, progress: &Progress) -> Result<(), TrainError> {
        let (report, _) = exam.report(&self.embedder())?;
        report.rows.iter().for_each(|row| progress.say(&row.brief()));
        if let Some(collapse) = data::collapse(exam, &self.embedder()).filter(|_| step > self.schedule.warmup) {
            progress.say(&format!("warning: {collapse}"));
        }
        self.log.append(&Line::Evaluation(Evaluation { step, eval: report }))?;
        Ok(())
    }

    /// Saves, measures everything, draws.
    fn finish(mut self) -> Result<Outcome, TrainError> {
        self.save()?;
        let bad = self.loader.bad();
        if bad.bad > 0 {
            println!("skipped {bad}");
        }
        println!("waited {} for pictures", clock(self.loader.stall()));
        println!("measuring the final model …");
        let exam = self.data.exam(Depth::Full);
        let (report, unread) = exam.report(&self.embedder())?;
        if unread.bad > 0 {
            println!("skipped when measuring: {unread}");
        }
        let step = self.trainer.adam.steps;
        self.log.append(&Line::Evaluation(Evaluation { step, eval: report.clone() }))?;
        self.folder.write("report.md", report.markdown().as_bytes())?;
        println!("{report}");
        let metrics = Metrics::read(self.folder.file("metrics.jsonl"))?;
        gallery::draw(&self.folder, &metrics, &exam, &self.embedder())?;
        println!("the model, its curves and pictures are in {}", self.folder.path.display());
        Ok(Outcome::Finished(report))
    }

    fn embedder(&self) -> Embedder<'_> {
        Embedder::new(&self.trainer.model, &self.config.preprocess_cfg, &self.tokenizer)
    }

    fn save(&self) -> Result<(), TrainError> {
        Ok(self.folder.save(&self.trainer.model, &self.config, &self.trainer.adam)?)
    }
}

/// From when on, and from which step, speed is measured.
struct Pace {
    since: Instant,
    step: u64,
}

impl Pace {
    fn from(step: u64) -> Self {
        Pace { since: Instant::now(), step }
    }
}

fn millions(n: usize) -> f64 {
    n as f64 / 1e6
}

/// The model to begin with.
fn model(options: &Options) -> Result<(Model, ConfigFile), TrainError> {
    let (model, file) = match &options.pretrained {
        Some(path) => {
            let (model, mut file) = checkpoint::load_model(path)?;
            // The run's folder is OpenCLIP's, and is what a resumed run reads.
            file.preprocess_cfg.library = Library::OpenClip;
            (model, file)
        }
        None => {
            let file = if options.model.ends_with(".json") {
                ConfigFile::read(Path::new(&options.model))?
            } else {
                ConfigFile::new(Config::preset(&options.model)?)
            };
            (Model::new(file.model_cfg.clone(), options.seed), file)
        }
    };
    let size = model.config.text_cfg.vocab_size;
    if size < VOCAB_SIZE { Err(TrainError::Vocabulary(size)) } else { Ok((model, file)) }
}
