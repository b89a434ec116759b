//! The training loop.

use super::begin::begin;
use super::error::{TrainError, advice};
use super::learner::{Begun, Learner};
use super::options::{Cli, Family, Options};
use super::progress::{Progress, clock};
use crate::app::hint;
use crate::batches::{Loader, LoaderConfig};
use crate::counted::counted;
use crate::datasets::Place;
use crate::eval::exam::{Depth, Exam};
use crate::eval::report::Report;
use crate::train::data::{PairList, TrainingData};
use crate::train::log::{Evaluation, Line, Log, Metrics, Step};
use crate::train::metric::Metric;
use crate::train::objective::{Saved, State};
use crate::train::run_folder::{METRICS, REPORT, RunFolder};
use crate::train::watch::{Collapse, Watch};
use std::path::PathBuf;
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
    data: TrainingData,
    learner: Box<dyn Learner>,
    loader: Loader,
    /// How many steps the run has.
    total: u64,
    log: Log,
}

impl Run {
    /// Prepares a new or a resumed run. Everything that can fail because of an option fails before a folder is made. A
    /// run that was killed before its first checkpoint starts from the beginning.
    fn prepare(options: Options, resumed: Option<RunFolder>) -> Result<Run, TrainError> {
        let checkpoint = resumed.as_ref().filter(|folder| folder.has_state());
        let family = Family::of(&options, checkpoint)?;
        let options = options.settled(family);
        let Begun { mut learner, data, words, loader } = begin(family, &options, checkpoint)?;
        let mut source = data.training();
        let list = PairList::of(&source);
        if let Some(folder) = &resumed {
            folder.check_list(&list)?;
        }
        if let Some(folder) = checkpoint {
            let mut state = learner.state();
            state.extend(saved_places(source.places()));
            folder.load(state)?;
        }
        let loader = Loader::new(source, words, LoaderConfig { start_step: learner.steps(), ..loader })?;
        let total = loader.steps_per_epoch() * options.epochs() as u64;
        if learner.steps() > total {
            return Err(TrainError::TooLong { steps: learner.steps(), total });
        }
        let begins = checkpoint.is_none();
        let folder = match resumed {
            Some(folder) => folder,
            None => {
                let folder = options.make_folder()?;
                folder.write_list(&list)?;
                folder
            }
        };
        if begins {
            learner.save_tokenizer(&folder)?;
        }
        let log = Log::open(folder.file(METRICS))?;
        Ok(Run { options, folder, data, learner, loader, total, log })
    }

    fn introduce(&self) {
        let (batch_size, accum_freq) = (self.options.batch_size(), self.options.accum_freq);
        let (model, epochs) = (self.options.model_name(), self.options.epochs());
        let [parameters, visual] = self.learner.parameters();
        say!("model   {model}: {:.1} M parameters, {:.1} M of them visual", millions(parameters), millions(visual));
        say!("data    {}", self.data);
        self.data.left_out().into_iter().find_map(hint::rows).iter().for_each(|help| say!("help: {help}"));
        say!(
            "steps   {} = {} of {}, {}{}",
            self.total,
            counted(epochs, "epoch"),
            self.loader.steps_per_epoch(),
            counted(batch_size, "pair"),
            if accum_freq > 1 { format!(" × {accum_freq} each") } else { " each".into() },
        );
        say!("run     {}", self.folder.path.display());
        if self.learner.steps() > 0 {
            say!("resumed after step {}", self.learner.steps());
        }
        if self.options.warmup > self.total {
            say!(
                "warning: the warm-up of {} is longer than the run, so the learning rate never reaches {}. Try a shorter \
                 --warmup or more --epochs",
                counted(self.options.warmup, "step"),
                self.options.lr
            );
        }
    }

    /// Trains to the last step, or until the run is interrupted or stopped.
    fn train(&mut self, stop_after: Option<u64>, interrupted: &dyn Fn() -> bool) -> Result<End, TrainError> {
        let total = self.total;
        let progress = Progress::new(self.learner.steps(), total);
        let mut watch = Watch::new(self.options.warmup);
        let exam = self.data.exam(Depth::Quick);
        let (mut saved, mut pace) = (Instant::now(), Pace::from(self.learner.steps()));
        while self.learner.steps() < total {
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
            if self.due(step, self.options.val_frequency()) && step < total {
                self.evaluate(step, &exam, &progress)?;
                pace = Pace::from(step);
            }
        }
        Ok(End::Finished)
    }

    /// Takes one step; returns the epoch that it belongs to and its numbers.
    fn step(&mut self, pace: &Pace) -> Result<(u64, Step), TrainError> {
        let lr = self.options.lr_at(self.learner.steps(), self.loader.steps_per_epoch());
        let batch = self.loader.next()?;
        let mut metrics = self.learner.gradients(&batch, self.options.batch_size());
        let update = self.learner.update(lr);
        let epoch = batch.epoch;
        self.loader.recycle(batch);
        metrics.extend(update.metrics);
        metrics.push(Metric::new("lr", lr));
        metrics.push(Metric::new("grad_norm", update.grad_norm));
        let step = self.learner.steps();
        metrics.push(Metric::new("pairs_per_second", pace.pairs_per_second(step, self.options.pairs_per_step())));
        Ok((epoch, Step { step, metrics }))
    }

    /// Returns whether the step ends an epoch whose number is a multiple of `epochs`.
    fn due(&self, step: u64, epochs: usize) -> bool {
        epochs > 0 && step.is_multiple_of(epochs as u64 * self.loader.steps_per_epoch())
    }

    fn evaluate(&mut self, step: u64, exam: &Exam, progress: &Progress) -> Result<(), TrainError> {
        let (report, _) = self.learner.examine(exam)?;
        report.brief().iter().for_each(|lines| progress.say(lines));
        if let Some(collapse) = self.learner.collapse(exam).filter(|_| step > self.options.warmup) {
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
        let (report, unread) = self.learner.examine(&exam)?;
        if unread.bad > 0 {
            say!("skipped when measuring: {unread}");
        }
        let step = self.learner.steps();
        self.log.append(&Line::Evaluation(Evaluation { step, eval: report.clone() }))?;
        self.folder.write(REPORT, report.markdown().as_bytes())?;
        say!("{report}");
        let metrics = Metrics::read(self.folder.file(METRICS))?;
        self.learner.draw(&self.folder, &metrics, &exam)?;
        say!("the model, its curves and pictures are in {}", self.folder.path.display());
        Ok(Outcome::Finished(report))
    }

    /// Saves the model and the state of the run.
    fn save(&mut self) -> Result<(), TrainError> {
        self.learner.save_model(&self.folder)?;
        let (mut state, mut places) = (self.learner.state(), self.loader.streams().to_vec());
        state.extend(saved_places(&mut places));
        Ok(self.folder.save(state)?)
    }
}

/// Returns where streams go on, as a part of the state that is saved.
fn saved_places(places: &mut [Place]) -> State<'_> {
    let mut state = vec![];
    for (stream, Place { shards, samples, pairs }) in places.iter_mut().enumerate() {
        let counts = [("shards", shards), ("samples", samples), ("pairs", pairs)];
        state.extend(counts.map(|(name, count)| (format!("stream.{stream}.{name}"), Saved::Count(count))));
    }
    state
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
