//! Threads that make batches ahead of the trainer.
//!
//! Step k's batch is a pure function of (source, configuration, seed, k): it depends neither on the number of workers
//! nor on the step at which the run began. Which pairs belong to it is settled in the order of the steps, by whichever
//! worker is next; reading them is what workers do at the same time. An example that cannot be read is replaced by
//! another of the dataset, or of the stream's block, drawn by (seed, k, place). So one bad file changes one place of
//! one batch and nothing after it.

use crate::batches::augment::Augment;
use crate::batches::batch::Batch;
use crate::batches::error::LoaderError;
use crate::batches::feature_cache::FeatureCache;
use crate::batches::image_sizes::ImageSizeSchedule;
use crate::batches::queue::Queue;
use crate::batches::source::{Drawer, Part, Source};
use crate::datasets::Place;
use crate::datasets::dataset::{Answer, Dataset, Example};
use crate::datasets::error::{BadExample, BadLimit, BadReport};
use crate::digest::digest;
use crate::pictures::{Preprocess, Scratch, View};
use crate::random::{Rng, rng};
use crate::text::Tokenize;
use rand::RngExt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The settings that decide how batches are made.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// The number N of pictures in a batch, of which [`LoaderConfig::own`] are made.
    pub batch_size: usize,
    /// The places of the batch that are made here: all of them, or a process's part where several train together.
    pub own: Range<usize>,
    /// Length in tokens at which captions are cut, start and end of text included.
    pub context_length: usize,
    /// Picture size and normalisation.
    pub preprocess: Preprocess,
    /// The picture size of each step, if it is not that of `preprocess` throughout.
    pub image_sizes: Option<ImageSizeSchedule>,
    /// Random variation of the pictures; with `None` they are prepared as for evaluation.
    pub augment: Option<Augment>,
    /// The features of pictures that are known already. The pixels of such a picture are not numbers, and it is not read
    /// unless a teacher needs it.
    pub known: Option<Arc<FeatureCache>>,
    /// What a teacher takes, if there is one.
    pub teacher: Option<TeacherPictures>,
    /// Seed of the order, the choice of captions and the augmentation.
    pub seed: u64,
    /// Number of threads; one or two are enough for training on a CPU.
    pub workers: usize,
    /// The first step whose batch is made; a resumed run gets the batches that an uninterrupted one would have got.
    pub start_step: u64,
    /// The share of bad examples that stops the run.
    pub bad_limit: BadLimit,
}

impl LoaderConfig {
    /// Returns the picture size and normalisation of a step.
    fn preprocess_at(&self, step: u64) -> Preprocess {
        let own = self.preprocess.size;
        let size = self.image_sizes.as_ref().map_or(own, |sizes| sizes.at(step));
        Preprocess { size, ..self.preprocess.clone() }
    }
}

/// The pictures that a teacher takes. They vary as the model's own do.
#[derive(Clone, Debug)]
pub struct TeacherPictures {
    /// The teacher's picture size and normalisation.
    pub preprocess: Preprocess,
    /// The teacher's features that are known already, as in [`LoaderConfig::known`].
    pub known: Option<Arc<FeatureCache>>,
}

/// An endless stream of batches. Dropping it stops its threads.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    stall: Duration,
    /// Where each stream goes on after the last batch that was taken.
    streams: Vec<Place>,
}

impl Loader {
    /// Starts the threads that make batches. Streams must be at the places where the step before the first one left
    /// them.
    ///
    /// # Errors
    /// Returns [`LoaderError::TooFew`] if the pairs of an epoch do not fill one batch.
    ///
    /// # Panics
    /// Panics if what is made here of a batch cannot be cut into as many equal parts as there are streams.
    pub fn new(
        source: impl Into<Source>,
        tokenizer: Arc<dyn Tokenize>,
        config: LoaderConfig,
    ) -> Result<Self, LoaderError> {
        let (source, batch_size, workers) = (source.into(), config.batch_size, config.workers.max(1));
        let steps_per_epoch = source.pairs().checked_div(batch_size).unwrap_or(0) as u64;
        if steps_per_epoch == 0 {
            return Err(LoaderError::TooFew { examples: source.pairs(), batch_size });
        }
        let drawer = Drawer::new(source, batch_size, config.own.clone(), steps_per_epoch, config.seed);
        let streams = drawer.places().collect();
        let shared = Arc::new(Shared {
            drawer: Mutex::new(drawer),
            steps_per_epoch,
            // Each worker makes one batch, and one more waits for the trainer.
            queue: Queue::new(config.start_step, workers + 1),
            tokenizer,
            config,
            bad: Mutex::default(),
            left_out: Mutex::default(),
        });
        let threads = (0..workers)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.work())
            })
            .collect();
        Ok(Self { shared, threads, stall: Duration::ZERO, streams })
    }

    /// Waits for the next step's batch and returns it. Give it back with [`recycle`](Self::recycle) after use.
    ///
    /// # Errors
    /// Returns [`DatasetError::TooManyBad`](crate::datasets::DatasetError::TooManyBad) or [`LoaderError::Panic`], after
    /// which no batch follows.
    #[expect(clippy::should_implement_trait, reason = "an endless stream of results is no good iterator")]
    pub fn next(&mut self) -> Result<Batch, LoaderError> {
        let start = Instant::now();
        let batch = self.shared.queue.take();
        self.stall += start.elapsed();
        batch.inspect(|batch| self.streams.clone_from(&batch.streams))
    }

    /// Takes a used batch back, so that later ones reuse its memory.
    pub fn recycle(&self, batch: Batch) {
        self.shared.queue.recycle(batch);
    }

    /// Returns the number of full batches in an epoch; examples beyond the last full batch are left out of that epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.shared.steps_per_epoch
    }

    /// Returns where each stream goes on after the last batch that [`next`](Self::next) returned.
    pub fn streams(&self) -> &[Place] {
        &self.streams
    }

    /// Returns the total time that [`next`](Self::next) has waited.
    pub fn stall(&self) -> Duration {
        self.stall
    }

    /// Returns the counts of the examples tried so far and of the bad ones among them. Samples of streams that were
    /// left out count as tried.
    pub fn bad(&self) -> BadReport {
        let mut report = self.shared.bad.lock().expect("counting does not panic").clone();
        let left_out = self.shared.left_out.lock().expect("counting does not panic").clone();
        report.merge(&BadReport { seen: left_out.bad, ..left_out });
        report
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker catches its panics");
        }
    }
}

/// The state that all workers share.
struct Shared {
    drawer: Mutex<Drawer>,
    steps_per_epoch: u64,
    tokenizer: Arc<dyn Tokenize>,
    config: LoaderConfig,
    queue: Queue,
    bad: Mutex<BadReport>,
    /// The report on the samples of streams that are no pairs.
    left_out: Mutex<BadReport>,
}

impl Shared {
    /// Makes one batch after another until the queue closes or an error ends the stream.
    fn work(&self) {
        let mut state = WorkerState::default();
        loop {
            // A step is claimed and its pairs are drawn under one lock, so that steps are drawn in order. If another
            // worker has panicked meanwhile, it says so itself.
            let Ok(mut drawer) = self.drawer.lock() else { return };
            let Some((step, mut batch)) = self.queue.claim() else { return };
            let made = catch_unwind(AssertUnwindSafe(|| {
                batch.clear(step, step / self.steps_per_epoch);
                let (parts, left_out) = drawer.draw(step)?;
                batch.streams.extend(drawer.places());
                drop(drawer);
                self.left_out.lock().expect("counting does not panic").merge(&left_out);
                self.make(batch, &parts, &mut state)
            }));
            match made.unwrap_or_else(|panic| Err(LoaderError::Panic(message(&*panic)))) {
                Ok(Some(batch)) => self.queue.put(step, Ok(batch)),
                Ok(None) => return,
                Err(error) => return self.queue.put(step, Err(error)),
            }
        }
    }

    /// Makes a batch of these pairs; returns `None` if the loader is dropped meanwhile.
    fn make(&self, mut batch: Batch, parts: &[Part], state: &mut WorkerState) -> Result<Option<Batch>, LoaderError> {
        let LoaderConfig { own, teacher, .. } = &self.config;
        let preprocess = self.config.preprocess_at(batch.step);
        batch.images.resize(own.len() * pixels(&preprocess), 0.0);
        let teachers = teacher.as_ref().map_or(0, |teacher| pixels(&teacher.preprocess));
        batch.teacher_images.resize(own.len() * teachers, 0.0);
        let pairs = parts.iter().flat_map(|part| part.positions.iter().map(|&index| (&*part.dataset, index as usize)));
        for (place, pair) in pairs.enumerate() {
            if self.queue.is_closed() {
                return Ok(None);
            }
            self.fill(&mut batch, place, pair, &preprocess, state)?;
        }
        Ok(Some(batch))
    }

    /// Puts the pair, or the first usable substitute for it, at `place` of what is made here of the batch.
    fn fill(
        &self,
        batch: &mut Batch,
        place: usize,
        (dataset, mut index): (&dyn Dataset, usize),
        preprocess: &Preprocess,
        state: &mut WorkerState,
    ) -> Result<(), LoaderError> {
        let LoaderConfig { own, known, teacher, seed, context_length, .. } = &self.config;
        let mut rng = rng(&[*seed, batch.step, (own.start + place) as u64]);
        state.example.view = self.view(preprocess);
        while !self.read(dataset, index, &mut rng, &mut state.example)? {
            index = rng.random_range(0..dataset.concepts().len());
        }
        // A teacher's picture varies as the model's does, because the same numbers are drawn for it.
        let mut teachers_rng = rng.clone();
        let image = picture_at(&mut batch.images, place, preprocess);
        self.picture(preprocess, known, index, &mut rng, state, image);
        if let Some(TeacherPictures { preprocess, known }) = teacher {
            let image = picture_at(&mut batch.teacher_images, place, preprocess);
            self.picture(preprocess, known, index, &mut teachers_rng, state, image);
        }
        let Example { caption, answers, .. } = &state.example;
        let start = batch.tokens.len();
        batch.truncated += usize::from(self.tokenizer.append(caption, *context_length, &mut batch.tokens));
        batch.offsets.push(batch.tokens.len());
        let first = batch.answers.weights.len();
        for Answer { text, weight } in answers {
            self.tokenizer.append_answer(text, *context_length, &mut batch.answers.tokens);
            batch.answers.offsets.push(batch.answers.tokens.len());
            batch.answers.weights.push(*weight);
        }
        batch.answers.of_pictures.push(first..batch.answers.weights.len());
        batch.caption_keys.push(digest(batch.tokens[start..].iter().map(|id| id.to_le_bytes())).key());
        batch.concept_keys.push(dataset.concepts()[index]);
        batch.examples.push(index as u64);
        Ok(())
    }

    /// Returns what is looked at of a picture: the square that it becomes, unless another part is drawn or a teacher sees
    /// it too.
    fn view(&self, preprocess: &Preprocess) -> View {
        let LoaderConfig { augment, teacher, .. } = &self.config;
        if augment.is_none() && teacher.is_none() { View::of(preprocess) } else { View::default() }
    }

    /// Prepares the picture of an example that has been read, unless its features are known.
    fn picture(
        &self,
        preprocess: &Preprocess,
        known: &Option<Arc<FeatureCache>>,
        index: usize,
        rng: &mut Rng,
        state: &mut WorkerState,
        image: &mut [f32],
    ) {
        let WorkerState { example: Example { picture, may_flip, .. }, scratch } = state;
        match &self.config.augment {
            _ if is_known(known, index) => image.fill(f32::NAN),
            Some(augment) => augment.apply(preprocess, picture, *may_flip, rng, scratch, image),
            None => preprocess.apply(picture, scratch, image),
        }
    }

    /// Reads an example, counts it, and returns whether it could be read. Its picture is left out where nothing needs it.
    fn read(
        &self,
        dataset: &dyn Dataset,
        index: usize,
        rng: &mut Rng,
        example: &mut Example,
    ) -> Result<bool, LoaderError> {
        let LoaderConfig { known, teacher, .. } = &self.config;
        let all_known =
            is_known(known, index) && teacher.as_ref().is_none_or(|teacher| is_known(&teacher.known, index));
        let outcome: Result<(), BadExample> = match all_known {
            true => dataset.read_caption(index, rng, example),
            false => dataset.read(index, rng, example),
        };
        let mut bad = self.bad.lock().expect("counting does not panic");
        bad.count(&outcome);
        self.config.bad_limit.check(&bad)?;
        Ok(outcome.is_ok())
    }
}

/// Returns the number of values of a picture.
fn pixels(preprocess: &Preprocess) -> usize {
    3 * preprocess.size * preprocess.size
}

/// Returns the values of the picture at a place.
fn picture_at<'a>(images: &'a mut [f32], place: usize, preprocess: &Preprocess) -> &'a mut [f32] {
    &mut images[place * pixels(preprocess)..][..pixels(preprocess)]
}

/// Returns whether the features of an example's picture are known.
fn is_known(known: &Option<Arc<FeatureCache>>, index: usize) -> bool {
    known.as_ref().is_some_and(|known| known.contains(index as u64))
}

/// The memory that one worker reuses from example to example.
#[derive(Default)]
struct WorkerState {
    example: Example,
    scratch: Scratch,
}

/// Returns the text that a thread panicked with.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
