//! Threads that make batches ahead of the trainer.
//!
//! Step k's batch is a pure function of (dataset, configuration, seed, k): neither the number of workers nor where the
//! run began shows in it. An example that cannot be read is replaced by another, drawn by (seed, k, place), so that
//! one bad file changes one place of one batch and nothing after it.

use crate::batches::augment::Augment;
use crate::batches::error::LoaderError;
use crate::batches::queue::Queue;
use crate::batches::sampler::Sampler;
use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::{BadExample, BadLimit, BadReport};
use crate::pictures::preprocess::{Preprocess, Scratch};
use crate::random::{Rng, key, rng};
use crate::text::tokenizer::Tokenizer;
use rand::RngExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// N pictures and N captions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub step: u64,
    pub epoch: u64,
    /// Normalised pixels, (N, 3, S, S).
    pub images: Vec<f32>,
    /// The captions' token ids, one after the other without padding.
    pub tokens: Vec<u32>,
    /// Where each caption begins in `tokens`, and the total: N + 1 numbers.
    pub offsets: Vec<usize>,
    /// Pictures with equal keys show the same thing.
    pub concept_keys: Vec<u64>,
    /// Captions with equal keys are the same tokens.
    pub caption_keys: Vec<u64>,
    /// Captions that lost their end to the context length.
    pub truncated: usize,
}

impl Batch {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.concept_keys.len()
    }

    /// A batch that has not been filled.
    pub fn is_empty(&self) -> bool {
        self.concept_keys.is_empty()
    }

    fn clear(&mut self, step: u64, epoch: u64) {
        (self.step, self.epoch, self.truncated) = (step, epoch, 0);
        self.tokens.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.concept_keys.clear();
        self.caption_keys.clear();
    }
}

/// How batches are made.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// N, pictures per batch.
    pub batch_size: usize,
    /// Longest caption in tokens, the two that frame it included.
    pub context_length: usize,
    /// Picture size and normalisation.
    pub preprocess: Preprocess,
    /// Random variation of the pictures; without it they are prepared as for evaluation.
    pub augment: Option<Augment>,
    /// Decides order, captions and augmentation.
    pub seed: u64,
    /// Threads; one or two keep a CPU trainer fed.
    pub workers: usize,
    /// The first step to make; a resumed run starts here and gets what it would have got.
    pub start_step: u64,
    /// When bad examples stop the run.
    pub bad_limit: BadLimit,
}

/// The stream of batches, without end. Dropping it stops its threads.
pub struct Loader {
    kitchen: Arc<Kitchen>,
    threads: Vec<JoinHandle<()>>,
    stall: Duration,
}

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`LoaderError::TooFew`] if the dataset does not fill one batch.
    pub fn new(
        dataset: Arc<dyn Dataset>,
        tokenizer: Arc<Tokenizer>,
        config: LoaderConfig,
    ) -> Result<Self, LoaderError> {
        let workers = config.workers.max(1);
        let kitchen = Arc::new(Kitchen {
            sampler: Sampler::new(dataset.concepts().len(), config.batch_size, config.seed)?,
            // One batch in each worker's hands and one ready.
            queue: Queue::new(config.start_step, workers + 1),
            dataset,
            tokenizer,
            config,
            bad: Mutex::default(),
        });
        let threads = (0..workers)
            .map(|_| {
                let kitchen = Arc::clone(&kitchen);
                std::thread::spawn(move || kitchen.work())
            })
            .collect();
        Ok(Self { kitchen, threads, stall: Duration::ZERO })
    }

    /// The next step's batch, as soon as it is ready. Give it back with [`recycle`](Self::recycle).
    ///
    /// # Errors
    /// [`DatasetError::TooManyBad`](crate::datasets::DatasetError::TooManyBad) or [`LoaderError::Panic`]; the stream is over then.
    #[expect(clippy::should_implement_trait, reason = "an endless stream of results is no good iterator")]
    pub fn next(&mut self) -> Result<Batch, LoaderError> {
        let start = Instant::now();
        let batch = self.kitchen.queue.take();
        self.stall += start.elapsed();
        batch
    }

    /// Returns a batch whose memory the next ones reuse.
    pub fn recycle(&self, batch: Batch) {
        self.kitchen.queue.recycle(batch);
    }

    /// Full batches in an epoch; what is left over sits the epoch out.
    pub fn steps_per_epoch(&self) -> u64 {
        self.kitchen.sampler.steps_per_epoch()
    }

    /// How long [`next`](Self::next) has waited in all.
    pub fn stall(&self) -> Duration {
        self.stall
    }

    /// The examples seen so far, and the bad ones among them.
    pub fn bad(&self) -> BadReport {
        self.kitchen.bad.lock().expect("counting does not panic").clone()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.kitchen.queue.close();
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker catches its panics");
        }
    }
}

/// What the workers share.
struct Kitchen {
    dataset: Arc<dyn Dataset>,
    tokenizer: Arc<Tokenizer>,
    config: LoaderConfig,
    sampler: Sampler,
    queue: Queue,
    bad: Mutex<BadReport>,
}

impl Kitchen {
    fn work(&self) {
        let mut bench = Bench::default();
        while let Some((step, batch)) = self.queue.claim() {
            let made = catch_unwind(AssertUnwindSafe(|| self.make(step, batch, &mut bench)));
            match made.unwrap_or_else(|panic| Err(LoaderError::Panic(message(&*panic)))) {
                Ok(Some(batch)) => self.queue.serve(step, Ok(batch)),
                Ok(None) => return,
                Err(error) => return self.queue.serve(step, Err(error)),
            }
        }
    }

    /// Nothing if the loader was dropped meanwhile.
    fn make(&self, step: u64, mut batch: Batch, bench: &mut Bench) -> Result<Option<Batch>, LoaderError> {
        let size = self.config.preprocess.size;
        batch.clear(step, self.sampler.epoch(step));
        batch.images.resize(self.config.batch_size * 3 * size * size, 0.0);
        for (place, index) in self.sampler.batch(&*self.dataset, step).enumerate() {
            if self.queue.is_closed() {
                return Ok(None);
            }
            self.fill(&mut batch, place, index, bench)?;
        }
        Ok(Some(batch))
    }

    /// Puts the example, or the first usable substitute for it, at `place` of the batch.
    fn fill(&self, batch: &mut Batch, place: usize, index: usize, bench: &mut Bench) -> Result<(), LoaderError> {
        let LoaderConfig { preprocess, augment, seed, context_length, .. } = &self.config;
        let mut rng = rng(&[*seed, batch.step, place as u64]);
        let mut index = index;
        while !self.read(index, &mut rng, &mut bench.example)? {
            index = rng.random_range(0..self.dataset.concepts().len());
        }
        let pixels = 3 * preprocess.size * preprocess.size;
        let image = &mut batch.images[place * pixels..][..pixels];
        let Example { picture, caption, may_flip } = &bench.example;
        match augment {
            Some(augment) => augment.apply(preprocess, picture, *may_flip, &mut rng, &mut bench.scratch, image),
            None => preprocess.apply(picture, &mut bench.scratch, image),
        }
        let start = batch.tokens.len();
        batch.truncated += usize::from(self.tokenizer.encode_into(caption, *context_length, &mut batch.tokens));
        batch.offsets.push(batch.tokens.len());
        batch.caption_keys.push(key(batch.tokens[start..].iter().flat_map(|id| id.to_le_bytes())));
        batch.concept_keys.push(self.dataset.concepts()[index]);
        Ok(())
    }

    /// Whether the example could be read.
    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<bool, LoaderError> {
        let outcome: Result<(), BadExample> = self.dataset.read(index, rng, example);
        let mut bad = self.bad.lock().expect("counting does not panic");
        bad.count(&outcome);
        self.config.bad_limit.check(&bad)?;
        Ok(outcome.is_ok())
    }
}

/// A worker's own memory, reused from example to example.
#[derive(Default)]
struct Bench {
    example: Example,
    scratch: Scratch,
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
