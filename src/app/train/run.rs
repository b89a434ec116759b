//! The training loop.

use super::agreement::{check_alike, check_ranks, share_text};
use super::begin::begin;
use super::card;
use super::defaults::Family;
use super::error::{TrainError, advice};
use super::learner::{Begun, Learner};
use super::options::{Cli, Options};
use super::page::Facts;
use super::progress::{Progress, clock};
use super::records::Records;
use crate::app::{be_quiet, hint};
use crate::batches::{Loader, LoaderConfig};
use crate::checkpoint::{TOKENIZER, copy_tokenizer};
use crate::counted::counted;
use crate::datasets::Place;
use crate::eval::exam::{Depth, Exam};
use crate::eval::report::Report;
use crate::train::data::{PairList, TrainingData};
use crate::train::log::{Evaluation, Line, Step};
use crate::train::metric::Metric;
use crate::train::objective::{Saved, State};
use crate::train::run_folder::{PAGE, REPORT, RunFolder};
use crate::train::watch::{Collapse, Watch};
use crate::train::world::World;
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

/// Trains as the command line says, as one of the ranks of a world. The run stops when `interrupted`, which is called after
/// every step, returns true on any of them.
///
/// The first rank alone writes, prints and draws. What another does depends on numbers that all of them have.
pub fn run<W: World + 'static>(world: W, cli: Cli, interrupted: &dyn Fn() -> bool) -> Result<Outcome, TrainError> {
    let leads = world.rank() == 0;
    if !leads {
        be_quiet();
    }
    let mut run = match &cli.resume {
        Some(name) => {
            let found = if leads { RunFolder::find(name, &cli.options.logs)?.path } else { PathBuf::new() };
            let folder = RunFolder { path: share_text(&world, &found.to_string_lossy()).into() };
            let mut begun = Options::of(&folder)?;
            // Runs of earlier versions do not say that they have one.
            begun.shards.get_or_insert(1);
            let options = Options { epochs: cli.options.epochs.or(begun.epochs), ..begun.clone() };
            let run = Run::prepare(world, options, Some(folder))?;
            if leads && run.options != begun {
                run.folder.write_options(&run.options)?;
            }
            run
        }
        None => Run::prepare(world, cli.options, None)?,
    };
    run.introduce();
    let ended = run.train(cli.stop_after, interrupted);
    if leads && ended.is_err() && cli.resume.is_none() && run.folder.discard_unused() {
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

/// What a rank wants behind a step. The greatest wish of all ranks is followed by all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    Save,
    Interrupt,
}

/// The state of a run on one of its ranks.
struct Run<W> {
    world: W,
    options: Options,
    folder: RunFolder,
    data: TrainingData,
    learner: Box<dyn Learner>,
    loader: Loader,
    /// How many steps the run has.
    total: u64,
    records: Records,
}

impl<W: World + 'static> Run<W> {
    /// Prepares a new or a resumed run. Everything that can fail because of an option fails before a folder is made. A
    /// run that was killed before its first checkpoint starts from the beginning.
    fn prepare(world: W, options: Options, resumed: Option<RunFolder>) -> Result<Self, TrainError> {
        let checkpoint = resumed.as_ref().filter(|folder| folder.has_state());
        let family = Family::of(&options, checkpoint)?;
        let options = options.settled(family, world.size());
        check_ranks(&world, options.shards())?;
        let Begun { mut learner, data, words, loader } = begin(&world, family, &options, checkpoint)?;
        let mut source = data.training();
        source.cut(options.shards());
        let list = PairList::of(&source);
        let described = serde_json::to_string(&options).expect("options are plain data");
        check_alike(&world, &described, &format!("{} with digest {}", counted(list.pairs, "pair"), list.digest))?;
        if let Some(folder) = &resumed {
            folder.check_list(&list)?;
        }
        if let Some(folder) = checkpoint {
            let mut state = learner.state();
            state.extend(saved_places(source.places()));
            folder.load(state)?;
        }
        let own = options.shards() / world.size();
        source.keep(world.rank() * own..(world.rank() + 1) * own);
        let loader = Loader::new(source, words, LoaderConfig { start_step: learner.steps(), ..loader })?;
        let total = loader.steps_per_epoch() * options.epochs() as u64;
        if learner.steps() > total {
            return Err(TrainError::TooLong { steps: learner.steps(), total });
        }
        let (begins, leads) = (checkpoint.is_none(), world.rank() == 0);
        let folder = match resumed {
            Some(folder) => folder,
            None if leads => {
                let folder = options.make_folder()?;
                folder.write_list(&list)?;
                folder
            }
            None => RunFolder { path: PathBuf::new() },
        };
        if begins && leads {
            learner.save_tokenizer(&folder)?;
        }
        let records = if leads { Records::open(&folder, &options, learner.steps())? } else { Records::default() };
        Ok(Run { world, options, folder, data, learner, loader, total, records })
    }

    fn introduce(&self) {
        say!("model   {}", self.model());
        say!("data    {}", self.data);
        self.data.left_out().into_iter().find_map(hint::rows).iter().for_each(|help| say!("help: {help}"));
        say!("steps   {}", self.steps());
        self.learner.plan().iter().for_each(|line| say!("{line}"));
        if self.world.size() > 1 {
            let (ranks, threads) = (self.world.size(), rayon::current_num_threads());
            say!("ranks   {ranks} with {} each", counted(threads, "thread"));
        }
        say!("run     {}", self.folder.path.display());
        if self.learner.steps() > 0 {
            say!("resumed after step {}", self.learner.steps());
        }
        if self.options.warmup() > self.total {
            say!(
                "warning: the warm-up of {} is longer than the run, so the learning rate never reaches {}. Try a shorter \
                 --warmup or more --epochs",
                counted(self.options.warmup(), "step"),
                self.options.lr()
            );
        }
    }

    /// Describes the model.
    fn model(&self) -> String {
        let (model, [parameters, visual]) = (self.options.model_name(), self.learner.parameters());
        format!("{model}: {:.1} M parameters, {:.1} M of them visual", millions(parameters), millions(visual))
    }

    /// Describes the steps.
    fn steps(&self) -> String {
        let (batch_size, parts) = (self.options.batch_size(), self.options.accum_freq * self.options.shards());
        let (epochs, steps) = (counted(self.options.epochs(), "epoch"), self.loader.steps_per_epoch());
        let parts = if parts > 1 { format!(" × {parts} each") } else { " each".into() };
        format!("{} = {epochs} of {steps}, {}{parts}", self.total, counted(batch_size, "pair"))
    }

    /// Trains to the last step, or until the run is interrupted or stopped.
    fn train(&mut self, stop_after: Option<u64>, interrupted: &dyn Fn() -> bool) -> Result<End, TrainError> {
        let total = self.total;
        let progress = Progress::new(self.learner.steps(), total);
        let mut watch = Watch::new(self.options.warmup());
        let exam = self.data.exam(Depth::Quick);
        let (mut saved, mut pace) = (Instant::now(), Pace::from(self.learner.steps()));
        if self.learner.steps() == 0 {
            self.keep(0)?;
        }
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
                self.records.append(&Line::Step(line))?;
                pace = Pace::from(step);
            }
            self.keep(step)?;
            let wish = match (interrupted(), saved.elapsed() > SAVE_EVERY) {
                (true, _) => Wish::Interrupt,
                (false, true) => Wish::Save,
                (false, false) => Wish::GoOn,
            };
            let wish = self.greatest(wish);
            if wish == Wish::Interrupt {
                self.save()?;
                return Ok(End::Interrupted);
            }
            if stop_after.is_some_and(|stop| step >= stop) && step < total {
                self.save()?;
                return Ok(End::Stopped);
            }
            // The last step is saved when the run is finished.
            if step < total && (wish == Wish::Save || self.due(step, self.options.save_frequency())) {
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
        let (began, waited) = (Instant::now(), self.world.waited());
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
        if self.world.size() > 1 {
            metrics.extend(self.stragglers(began.elapsed(), self.world.waited() - waited));
        }
        Ok((epoch, Step { step, metrics }))
    }

    /// Returns how evenly the ranks have worked in a step that took `whole`, of which this one has waited for others.
    fn stragglers(&self, whole: Duration, waited: Duration) -> [Metric; 4] {
        let (own, mut all) = ([(whole.saturating_sub(waited)).as_secs_f64()], vec![]);
        let worked = self.world.all_gather(&own, &mut all);
        let mut order: Vec<usize> = (0..worked.len()).collect();
        order.sort_by(|&a, &b| worked[a].total_cmp(&worked[b]));
        let (slowest, median) = (order[order.len() - 1], order[order.len() / 2]);
        let mean = worked.iter().sum::<f64>() / worked.len() as f64;
        [
            Metric::new("slowest_rank", slowest as f64),
            Metric::new("slowest_seconds", worked[slowest]),
            Metric::new("median_seconds", worked[median]),
            Metric::new("waiting", (1.0 - mean / whole.as_secs_f64()).max(0.0)),
        ]
    }

    /// Returns the greatest wish of all ranks.
    fn greatest(&self, own: Wish) -> Wish {
        let (own, mut all) = ([own as u8], vec![]);
        let wishes = self.world.all_gather(&own, &mut all);
        let greatest = wishes.iter().max().expect("at least one rank");
        [Wish::GoOn, Wish::Save, Wish::Interrupt][usize::from(*greatest)]
    }

    /// Keeps the model as it is after a step, on the first rank, if the options say so.
    fn keep(&self, step: u64) -> Result<(), TrainError> {
        let frequency = self.options.keep_frequency.unwrap_or(0);
        let is_due = frequency > 0 && (self.due(step, frequency) || step == self.total);
        if !is_due || self.world.rank() > 0 {
            return Ok(());
        }
        self.folder.keep(step / self.loader.steps_per_epoch(), |kept| {
            self.learner.save_model(kept)?;
            // The folder of the run has the model's own tokenizer, or none.
            Ok(copy_tokenizer(&self.folder.file(TOKENIZER), &kept.path)?)
        })
    }

    /// Returns whether the step ends an epoch whose number is a multiple of `epochs`.
    fn due(&self, step: u64, epochs: usize) -> bool {
        epochs > 0 && step.is_multiple_of(epochs as u64 * self.loader.steps_per_epoch())
    }

    fn evaluate(&mut self, step: u64, exam: &Exam, progress: &Progress) -> Result<(), TrainError> {
        let (report, _) = self.learner.examine(exam)?;
        report.brief().iter().for_each(|lines| progress.say(lines));
        if let Some(collapse) = self.learner.collapse(exam).filter(|_| step > self.options.warmup()) {
            warn(progress, &collapse);
        }
        self.records.append(&Line::Evaluation(Evaluation { step, eval: report }))?;
        let metrics = self.records.metrics(&self.folder)?;
        self.records.write_page(&self.folder, self.facts(), &metrics, false)
    }

    /// Returns what the page says of the run.
    fn facts(&self) -> Facts {
        let lines = vec![("model", self.model()), ("data", self.data.to_string()), ("steps", self.steps())];
        Facts { lines, total: self.total }
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
        if self.world.rank() > 0 {
            return Ok(Outcome::Finished(report));
        }
        let step = self.learner.steps();
        self.records.append(&Line::Evaluation(Evaluation { step, eval: report.clone() }))?;
        self.folder.write(REPORT, report.markdown().as_bytes())?;
        card::write(&self.folder, &*self.learner, &self.options, &self.facts(), &report)?;
        say!("{report}");
        let metrics = self.records.metrics(&self.folder)?;
        self.learner.draw(&self.folder, &metrics, &exam)?;
        self.records.write_page(&self.folder, self.facts(), &metrics, true)?;
        say!("the model, its curves and pictures are in {}; all on one page: {PAGE}", self.folder.path.display());
        self.options.conclude(&report, step, metrics.steps.last().map_or(f64::NAN, Step::loss))?;
        Ok(Outcome::Finished(report))
    }

    /// Saves the model and the state of the run.
    fn save(&mut self) -> Result<(), TrainError> {
        let leads = self.world.rank() == 0;
        if leads {
            self.learner.save_model(&self.folder)?;
        }
        let counts: Vec<u64> = self.loader.streams().iter().flat_map(Place::counts).collect();
        let mut memory = vec![];
        let counts = self.world.all_gather(&counts, &mut memory).as_chunks().0;
        let mut places: Vec<Place> = counts.iter().copied().map(Place::of).collect();
        let mut state = self.learner.state();
        state.extend(saved_places(&mut places));
        if leads { Ok(self.folder.save(state)?) } else { Ok(()) }
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
