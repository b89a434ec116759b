//! The training loop.

use super::error::{TrainError, advice};
use super::gallery;
use super::model::{Start, tokenizer};
use super::options::{Cli, Options};
use super::progress::{Progress, clock};
use crate::app::hint;
use crate::batches::{Batch, Loader, LoaderConfig};
use crate::checkpoint::{self, ConfigFile, copy_tokenizer};
use crate::counted::counted;
use crate::embed::Embedder;
use crate::eval::exam::{Depth, Exam};
use crate::eval::report::Report;
use crate::models::Captions;
use crate::models::clip::model::Model;
use crate::optim::schedule::Schedule;
use crate::params;
use crate::text::Tokenizer;
use crate::train::clip::{ClipObjective, Pairs};
use crate::train::data::{self, PairList, TrainingData};
use crate::train::log::{Evaluation, Line, Log, Metrics, Step};
use crate::train::metric::Metric;
use crate::train::run_folder::{METRICS, REPORT, RunFolder};
use crate::train::step::{Trainer, TrainerOptions};
use crate::train::watch::{Collapse, Watch};
use ndarray::ArrayView2;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time between two checkpoints, whatever the length of an epoch. A run that is killed loses at most this much
/// work.
const SAVE_EVERY: Duration = Duration::from_secs(600);

/// How a run ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// All steps were taken; this is the last table of results.
    Finished(Report),
    /// The run was interrupted and can be resumed from this folder.
    Interrupted(PathBuf),
    /// The run stopped after the requested number of steps and can be resumed from this folder.
    Stopped(PathBuf),
}

/// Trains as the command line says. The run stops when `interrupted`, which is called after every step, returns true.
pub fn run(cli: Cli, interrupted: &dyn Fn() -> bool) -> Result<Outcome, TrainError> {
    let mut run = match &cli.resume {
        Some(name) => {
            let folder = RunFolder::find(name, &cli.options.logs)?;
            let begun = Options::of(&folder)?;
            let options = Options { epochs: cli.options.epochs.or(begun.epochs), ..begun.clone() };
            let run = Run::prepare(options, Some(folder))?;
            if run.options != begun {
                run.folder.write_options(&run.options)?;
            }
            run
        }
        None => Run::prepare(cli.options, None)?,
    };
    run.introduce();
    let ended = run.train(cli.stop_after, interrupted);
    if ended.is_err() && cli.resume.is_none() && run.folder.discard_unused() {
        say!("nothing was learnt, and {} is removed", run.folder.path.display());
    }
    match ended? {
        End::Finished => run.finish(),
        End::Interrupted => Ok(Outcome::Interrupted(run.folder.path)),
        End::Stopped => Ok(Outcome::Stopped(run.folder.path)),
    }
}

/// Why the loop ended.
enum End {
    Finished,
    Interrupted,
    Stopped,
}

/// The state of a run.
struct Run {
    options: Options,
    folder: RunFolder,
    config: ConfigFile,
    tokenizer: Arc<Tokenizer>,
    data: TrainingData,
    trainer: Trainer<ClipObjective>,
    loader: Loader,
    schedule: Schedule,
    log: Log,
}

impl Run {
    /// Prepares a new or a resumed run. Everything that can fail because of an option fails before a folder is made. A
    /// run that was killed before its first checkpoint starts from the beginning.
    fn prepare(options: Options, resumed: Option<RunFolder>) -> Result<Run, TrainError> {
        let checkpoint = resumed.as_ref().filter(|folder| folder.has_state());
        let Start { model, config, tokenizer: own } = match checkpoint {
            Some(folder) => Start::resumed(folder)?,
            None => Start::of(&options)?,
        };
        let tokenizer = Arc::new(tokenizer(own.as_deref(), &model.config)?);
        let data = options.data.open()?;
        let pairs = data.training();
        let list = PairList::of(&*pairs);
        if let Some(folder) = &resumed {
            folder.check_list(&list)?;
        }
        let trainer_options = TrainerOptions::new(options.hyper(&model.config));
        let trainer_options = trainer_options.max_norm(options.grad_clip_norm).seed(options.seed);
        let mut trainer = Trainer::new(ClipObjective::new(model).lock_image(options.lock_image), trainer_options);
        if let Some(folder) = checkpoint {
            folder.load(trainer.state())?;
        }
        let loader_config = LoaderConfig {
            batch_size: options.pairs_per_step(),
            context_length: config.model_cfg.text_cfg.context_length,
            preprocess: config.preprocess_cfg.clone(),
            augment: Some(data.augment()),
            seed: options.seed,
            workers: options.workers,
            start_step: trainer.steps(),
            bad_limit: data.bad_limit(),
        };
        let loader = Loader::new(pairs, Arc::clone(&tokenizer), loader_config)?;
        let total = loader.steps_per_epoch() * options.epochs() as u64;
        if trainer.steps() > total {
            return Err(TrainError::TooLong { steps: trainer.steps(), total });
        }
        let schedule = Schedule { lr: options.lr, warmup: options.warmup, total };
        let begins = checkpoint.is_none();
        let folder = match resumed {
            Some(folder) => folder,
            None => {
                let folder = options.make_folder()?;
                folder.write_list(&list)?;
                folder
            }
        };
        if let Some(own) = own.filter(|_| begins) {
            copy_tokenizer(&own, &folder.path)?;
        }
        let log = Log::open(folder.file(METRICS))?;
        Ok(Run { options, folder, config, tokenizer, data, trainer, loader, schedule, log })
    }

    fn introduce(&self) {
        let Options { batch_size, accum_freq, .. } = &self.options;
        let (model, epochs) = (self.options.model_name(), self.options.epochs());
        let spec = &self.model().params.spec;
        let (parameters, visual) = (params::count(spec), params::count(&spec.visual));
        say!("model   {model}: {:.1} M parameters, {:.1} M of them visual", millions(parameters), millions(visual));
        say!("data    {}", self.data);
        self.data.left_out().into_iter().find_map(hint::rows).iter().for_each(|help| say!("help: {help}"));
        say!(
            "steps   {} = {} of {}, {}{}",
            self.schedule.total,
            counted(epochs, "epoch"),
            self.loader.steps_per_epoch(),
            counted(*batch_size, "pair"),
            if *accum_freq > 1 { format!(" × {accum_freq} each") } else { " each".into() },
        );
        say!("run     {}", self.folder.path.display());
        if self.trainer.steps() > 0 {
            say!("resumed after step {}", self.trainer.steps());
        }
        if self.schedule.warmup > self.schedule.total {
            say!(
                "warning: the warm-up of {} is longer than the run, so the learning rate never reaches {}. Try a shorter \
                 --warmup or more --epochs",
                counted(self.schedule.warmup, "step"),
                self.schedule.lr
            );
        }
    }

    /// Trains to the last step, or until the run is interrupted or stopped.
    fn train(&mut self, stop_after: Option<u64>, interrupted: &dyn Fn() -> bool) -> Result<End, TrainError> {
        let total = self.schedule.total;
        let progress = Progress::new(self.trainer.steps(), total);
        let mut watch = Watch::new(self.schedule.warmup);
        let exam = self.data.exam(Depth::Quick);
        let (mut saved, mut pace) = (Instant::now(), Pace::from(self.trainer.steps()));
        while self.trainer.steps() < total {
            let (epoch, line) = self.step(&pace)?;
            match watch.step(&line) {
                Some(collapse @ Collapse::NotFinite { .. }) => return Err(TrainError::Collapse(collapse)),
                Some(collapse) => warn(&progress, &collapse),
                None => {}
            }
            let step = line.step;
            progress.step(step);
            if step.is_multiple_of(self.options.log_every_n_steps as u64) || step == total {
                progress.log(epoch + 1, &line);
                self.log.append(&Line::Step(line))?;
                pace = Pace::from(step);
            }
            if interrupted() {
                self.save()?;
                return Ok(End::Interrupted);
            }
            if stop_after.is_some_and(|stop| step >= stop) && step < total {
                self.save()?;
                return Ok(End::Stopped);
            }
            if self.due(step, self.options.save_frequency) || saved.elapsed() > SAVE_EVERY {
                self.save()?;
                saved = Instant::now();
            }
            if self.due(step, self.options.val_frequency) && step < total {
                self.evaluate(step, &exam, &progress)?;
                pace = Pace::from(step);
            }
        }
        Ok(End::Finished)
    }

    /// Takes one step; returns the epoch that it belongs to and its numbers.
    fn step(&mut self, pace: &Pace) -> Result<(u64, Step), TrainError> {
        let lr = self.schedule.at(self.trainer.steps());
        let batch = self.loader.next()?;
        let mut metrics = self.gradients(&batch);
        let update = self.trainer.update(lr);
        let epoch = batch.epoch;
        self.loader.recycle(batch);
        metrics.extend(update.metrics);
        metrics.push(Metric::new("lr", lr));
        metrics.push(Metric::new("grad_norm", update.grad_norm));
        let step = self.trainer.steps();
        metrics.push(Metric::new("pairs_per_second", pace.pairs_per_second(step, self.options.pairs_per_step())));
        Ok((epoch, Step { step, metrics }))
    }

    fn gradients(&mut self, batch: &Batch) -> Vec<Metric> {
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

    /// Returns whether the step ends an epoch whose number is a multiple of `epochs`.
    fn due(&self, step: u64, epochs: usize) -> bool {
        epochs > 0 && step.is_multiple_of(epochs as u64 * self.loader.steps_per_epoch())
    }

    fn evaluate(&mut self, step: u64, exam: &Exam, progress: &Progress) -> Result<(), TrainError> {
        let (report, _) = exam.report(&self.embedder())?;
        report.rows.iter().for_each(|row| progress.say(&row.brief()));
        if let Some(collapse) = data::collapse(exam, &self.embedder()).filter(|_| step > self.schedule.warmup) {
            warn(progress, &collapse);
        }
        self.log.append(&Line::Evaluation(Evaluation { step, eval: report }))?;
        Ok(())
    }

    /// Ends a finished run: saves the model, evaluates it in full and draws the plots.
    fn finish(mut self) -> Result<Outcome, TrainError> {
        self.save()?;
        let bad = self.loader.bad();
        if bad.bad > 0 {
            say!("skipped {bad}");
        }
        say!("waited {} for pictures", clock(self.loader.stall()));
        say!("measuring the final model …");
        let exam = self.data.exam(Depth::Full);
        let (report, unread) = exam.report(&self.embedder())?;
        if unread.bad > 0 {
            say!("skipped when measuring: {unread}");
        }
        let step = self.trainer.steps();
        self.log.append(&Line::Evaluation(Evaluation { step, eval: report.clone() }))?;
        self.folder.write(REPORT, report.markdown().as_bytes())?;
        say!("{report}");
        let metrics = Metrics::read(self.folder.file(METRICS))?;
        gallery::draw(&self.folder, &metrics, &exam, &self.embedder())?;
        say!("the model, its curves and pictures are in {}", self.folder.path.display());
        Ok(Outcome::Finished(report))
    }

    fn embedder(&self) -> Embedder<'_> {
        Embedder::new(self.model(), &self.config.preprocess_cfg, &self.tokenizer)
    }

    fn model(&self) -> &Model {
        self.trainer.objective().model()
    }

    /// Saves the model in OpenCLIP's form and the state of the run.
    fn save(&mut self) -> Result<(), TrainError> {
        checkpoint::save_model(&self.folder.path, self.model(), &self.config)?;
        Ok(self.folder.save(self.trainer.state())?)
    }
}

/// The time and the step from which on speed is measured.
struct Pace {
    since: Instant,
    step: u64,
}

impl Pace {
    fn from(step: u64) -> Self {
        Pace { since: Instant::now(), step }
    }

    fn pairs_per_second(&self, step: u64, pairs_per_step: usize) -> f64 {
        // A clock may be too coarse to see a step pass.
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        (step - self.step) as f64 * pairs_per_step as f64 / seconds
    }
}

fn warn(progress: &Progress, collapse: &Collapse) {
    progress.say(&format!("warning: {collapse}. {}", advice(collapse)));
}

fn millions(n: usize) -> f64 {
    n as f64 / 1e6
}
