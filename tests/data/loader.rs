//! Tests of the loader: batches do not depend on the number of workers or on the step at which the run began.

use clipwright::datasets::emoji::{Cut, Emoji, EmojiTraining};
use clipwright::{batches::*, datasets::*, pictures::*, random::*, text::*};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static EMOJI: LazyLock<Arc<EmojiTraining>> =
    LazyLock::new(|| Arc::new(EmojiTraining::new(Arc::new(Emoji::load()), Cut::Whole, &[])));
static CLIP: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| Arc::new(Tokenizer::clip()));

fn config(batch_size: usize, workers: usize, start_step: u64) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        context_length: 16,
        preprocess: Preprocess { size: 32, ..Preprocess::default() },
        augment: Some(Augment::drawings()),
        known: None,
        teacher: None,
        seed: 7,
        workers,
        start_step,
        bad_limit: BadLimit::default(),
    }
}

fn loader(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Loader {
    Loader::new(dataset, CLIP.clone(), config).unwrap()
}

#[test]
fn a_batch_is_a_function_of_seed_and_step() {
    let run = |workers, start, steps| {
        let mut loader = loader(EMOJI.clone(), config(1500, workers, start));
        (0..steps).map(|_| loader.next().unwrap()).collect::<Vec<_>>()
    };
    // An epoch has five steps, so seven steps cross its end.
    let reference = run(1, 0, 7);
    assert_eq!(reference.iter().map(|b| (b.step, b.epoch)).collect::<Vec<_>>()[4..], [(4, 0), (5, 1), (6, 1)]);
    assert!(run(3, 0, 7) == reference);
    assert!(run(2, 4, 3) == reference[4..]);
    let other = loader(EMOJI.clone(), LoaderConfig { seed: 8, ..config(1500, 1, 0) }).next().unwrap();
    assert!(other.images != reference[0].images && other.concept_keys != reference[0].concept_keys);
}

#[test]
fn a_batch_is_consistent() {
    let mut loader = loader(EMOJI.clone(), config(64, 2, 0));
    assert_eq!(loader.steps_per_epoch(), 8240 / 64);
    for _ in 0..4 {
        let batch = loader.next().unwrap();
        assert_eq!((batch.len(), batch.images.len()), (64, 64 * 3 * 32 * 32));
        assert_eq!((batch.offsets.len(), batch.offsets[0], batch.offsets[64]), (65, 0, batch.tokens.len()));
        for caption in batch.offsets.windows(2).map(|w| &batch.tokens[w[0]..w[1]]) {
            assert!(caption[0] == tokenizer::START_OF_TEXT && caption.ends_with(&[tokenizer::END_OF_TEXT]));
            assert!(caption.len() <= 16);
        }
        assert!(batch.images.iter().all(|v| v.is_finite() && v.abs() < 4.0));
        loader.recycle(batch);
    }
    assert!(loader.stall() > Duration::ZERO);
    assert_eq!(loader.bad().bad, 0);
}

/// No concept has more than seven pictures, and an epoch has more batches than that, so no batch needs a concept twice.
#[test]
fn no_concept_meets_itself_and_every_picture_comes_once() {
    let mut loader = loader(EMOJI.clone(), LoaderConfig { augment: None, ..config(515, 2, 0) });
    let steps = loader.steps_per_epoch();
    assert_eq!(steps, 16);
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..steps {
        let batch = loader.next().unwrap();
        assert_eq!(batch.concept_keys.iter().collect::<HashSet<_>>().len(), 515);
        seen.extend(&batch.concept_keys);
        loader.recycle(batch);
    }
    seen.sort_unstable();
    let mut all = EMOJI.concepts().to_vec();
    all.sort_unstable();
    assert_eq!(seen, all);
}

/// A dataset of twenty white pictures, some of which cannot be read.
struct Faulty {
    concepts: Vec<u64>,
    is_bad: fn(usize) -> bool,
    panics: bool,
}

impl Faulty {
    fn new(is_bad: fn(usize) -> bool, panics: bool) -> Arc<Self> {
        Arc::new(Self { concepts: (0..20).collect(), is_bad, panics })
    }
}

impl Dataset for Faulty {
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        if (self.is_bad)(index) {
            assert!(!self.panics, "picture {index} panics");
            return Err(BadExample::new(format!("picture {index}"), "is bad"));
        }
        example.picture = Picture::new(8, 8, Channels::Rgb);
        example.caption = format!("number {index}");
        Ok(())
    }
}

#[test]
fn bad_examples_are_replaced_and_named() {
    let run = |workers| {
        let mut loader = loader(Faulty::new(|i| i == 3, false), config(10, workers, 0));
        let batches: Vec<Batch> = (0..20).map(|_| loader.next().unwrap()).collect();
        (batches, loader.bad())
    };
    let (batches, report) = run(1);
    assert!(batches.iter().all(|batch| batch.len() == 10 && !batch.concept_keys.contains(&3)));
    assert!(report.bad > 0 && report.bad < 40, "{report}");
    assert_eq!(report.first, [BadExample::new("picture 3", "is bad")]);
    assert!(run(3).0 == batches);
}

#[test]
fn too_many_bad_examples_stop_the_run() {
    for is_bad in [|i| i % 4 == 0, |_| true] {
        let mut loader = loader(Faulty::new(is_bad, false), config(10, 2, 0));
        let error = (0..100).find_map(|_| loader.next().err()).expect("a quarter is more than a tenth");
        assert!(
            matches!(&error, LoaderError::Dataset(DatasetError::TooManyBad { .. }))
                && error.to_string().contains("picture"),
            "{error}"
        );
        assert!(loader.next().is_err());
    }
}

#[test]
fn a_panic_in_a_worker_is_an_error_of_next() {
    let mut loader = loader(Faulty::new(|i| i == 5, true), config(10, 2, 0));
    let error = (0..100).find_map(|_| loader.next().err()).unwrap();
    assert!(error.to_string().contains("picture 5 panics"), "{error}");
}

#[test]
fn too_small_a_dataset_is_refused() {
    let error = Loader::new(Faulty::new(|_| false, false), CLIP.clone(), config(21, 1, 0)).err().unwrap();
    assert!(matches!(error, LoaderError::TooFew { examples: 20, batch_size: 21 }));
}

#[test]
fn dropping_stops_the_threads_promptly() {
    let start = Instant::now();
    drop(loader(EMOJI.clone(), config(8000, 2, 0)));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
