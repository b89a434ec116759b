//! Tests of the loader: batches do not depend on the number of workers or on the step at which the run began.

use clipwright::datasets::emoji::{Cut, Emoji, EmojiTraining};
use clipwright::{batches::*, datasets::*, pictures::*, random::*, text::*};
use ndarray::{ArrayView2, arr1};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static EMOJI: LazyLock<Arc<EmojiTraining>> =
    LazyLock::new(|| Arc::new(EmojiTraining::new(Arc::new(Emoji::load()), Cut::Whole, &[])));
static CLIP: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| Arc::new(Tokenizer::clip()));

fn config(batch_size: usize, workers: usize, start_step: u64) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        own: 0..batch_size,
        context_length: 16,
        preprocess: Preprocess { size: 32, ..Preprocess::default() },
        image_sizes: None,
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

/// Several processes make a batch together.
#[test]
fn the_parts_of_a_batch_are_the_whole() {
    let batch = |own| loader(EMOJI.clone(), LoaderConfig { own, ..config(1500, 1, 3) }).next().unwrap();
    let (whole, parts) = (batch(0..1500), [batch(0..500), batch(500..1500)]);
    let joined = |of: fn(&Batch) -> &[u64]| parts.iter().flat_map(of).copied().collect::<Vec<_>>();
    assert_eq!(whole.concept_keys, joined(|part| &part.concept_keys[..]));
    assert_eq!(whole.caption_keys, joined(|part| &part.caption_keys[..]));
    assert!(parts.iter().flat_map(|part| &part.images).eq(&whole.images), "the same pixels");
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

/// Twenty pictures, each of one colour, with a count of how often one was read.
struct Counted(Vec<u64>, AtomicUsize);

impl Dataset for Counted {
    fn concepts(&self) -> &[u64] {
        &self.0
    }

    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        self.1.fetch_add(1, SeqCst);
        example.picture = Picture::new(9, 8, Channels::Rgb);
        example.picture.samples.fill(10 * index as u8);
        self.read_caption(index, rng, example)
    }

    fn read_caption(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        example.caption = format!("number {index}");
        Ok(())
    }
}

/// A dataset that notes whether all of its pictures is looked at.
struct Viewed(Vec<u64>, AtomicUsize);

impl Dataset for Viewed {
    fn concepts(&self) -> &[u64] {
        &self.0
    }

    fn read(&self, _: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        self.1.fetch_add(usize::from(example.view.preprocess.is_none()), SeqCst);
        example.picture = Picture::new(9, 8, Channels::Rgb);
        example.caption = "a picture".into();
        Ok(())
    }
}

/// A dataset may leave out what no one looks at: all but the centred square, unless a crop is drawn or a teacher looks too.
#[test]
fn a_dataset_knows_what_is_looked_at() {
    let teacher = TeacherPictures { preprocess: Preprocess::default(), known: None };
    for (augment, teacher, all) in [(None, None, 0), (Some(Augment::drawings()), None, 10), (None, Some(teacher), 10)] {
        let dataset = Arc::new(Viewed((0..10).collect(), AtomicUsize::new(0)));
        let mut loader = loader(dataset.clone(), LoaderConfig { augment, teacher, ..config(10, 1, 0) });
        loader.next().unwrap();
        drop(loader);
        // The loader may have begun with the next batch.
        let whole = dataset.1.load(SeqCst);
        assert!(if all == 0 { whole == 0 } else { whole >= all }, "{whole} were looked at whole, {all} expected");
    }
}

/// A picture whose features are known is not read, unless a teacher needs it, and everything else stays as it is.
#[test]
fn known_pictures_are_not_read() {
    let other = Preprocess { size: 16, mean: [0.0; 3], ..Preprocess::default() };
    let run = |known: &[u64], teacher: Option<&[u64]>| {
        let dataset = Arc::new(Counted((0..20).collect(), AtomicUsize::new(0)));
        let cache = |known: &[u64]| {
            let cache = FeatureCache::new(20, 1, 1 << 10);
            known.iter().for_each(|&key| cache.insert(key, arr1(&[0.0]).view()));
            Some(Arc::new(cache))
        };
        let teacher = teacher.map(|known| TeacherPictures { preprocess: other.clone(), known: cache(known) });
        let config = LoaderConfig { augment: None, known: cache(known), teacher, ..config(10, 1, 0) };
        let mut loader = loader(dataset.clone(), config);
        let batches: Vec<Batch> = (0..2).map(|_| loader.next().unwrap()).collect();
        (batches, dataset)
    };
    let all: Vec<u64> = (0..20).collect();
    let (plain, _) = run(&[], Some(&[]));
    for (known, teachers) in [(&all[3..9], None), (&all[..], None), (&all[..8], Some(&all[4..])), (&[], Some(&all[..]))]
    {
        let (batches, dataset) = run(known, teachers);
        for (batch, plain) in batches.iter().zip(&plain) {
            assert!(batch.tokens == plain.tokens && batch.examples == plain.examples);
            assert!(batch.concept_keys == batch.examples, "an example has its place as its key");
            let check = |images: ArrayView2<f32>, plain: ArrayView2<f32>, known: &[u64]| {
                for ((example, row), plain) in batch.examples.iter().zip(images.rows()).zip(plain.rows()) {
                    let is_known = known.contains(example);
                    assert!(if is_known { row.iter().all(|v| v.is_nan()) } else { row == plain }, "{example}");
                }
            };
            check(batch.images(), plain.images(), known);
            if let Some(known) = teachers {
                check(batch.teacher_images().unwrap(), plain.teacher_images().unwrap(), known);
            }
        }
        if known.len() == 20 && teachers.is_none() {
            assert_eq!(dataset.1.load(SeqCst), 0, "nothing is read");
        }
    }
}

/// A teacher's pictures are what a loader with its preprocessing gives: cropped, warped and coloured as the model's own.
#[test]
fn a_teacher_sees_the_same_variation() {
    let other = Preprocess { size: 20, mean: [0.1; 3], ..Preprocess::default() };
    let teacher = Some(TeacherPictures { preprocess: other.clone(), known: None });
    let mut both = loader(EMOJI.clone(), LoaderConfig { teacher, ..config(64, 1, 0) });
    let [mut own, mut teachers] = [config(64, 1, 0).preprocess, other]
        .map(|preprocess| loader(EMOJI.clone(), LoaderConfig { preprocess, ..config(64, 1, 0) }));
    for _ in 0..2 {
        let batch = both.next().unwrap();
        assert!(batch.images == own.next().unwrap().images);
        assert!(batch.teacher_images == teachers.next().unwrap().images);
    }
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
