//! The memory that training allocates, counted by an allocator. There is one test, so that nothing else is counted.

#[path = "support/mod.rs"]
mod support;

use crate::support::blip_objective::Pairs;
use crate::support::blip_passes::tiny;
use crate::support::tiny::{Batch, config, resnet};
use clipwright::loss::info_nce::{self, Saved, Scratch};
use clipwright::loss::positives::Positives;
use clipwright::models::blip::Parts;
use clipwright::models::clip::model::Model;
use clipwright::models::clip::{Config, visual};
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::optim::adamw::Hyper;
use clipwright::train::blip::{self as objective, BlipObjective, Options, Rates, Stage};
use clipwright::train::clip::ClipObjective;
use clipwright::train::objective::Objective;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::Arena;
use ndarray::Array2;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The system's allocator with a count of its bytes.
struct Counting;

static TOTAL: AtomicUsize = AtomicUsize::new(0);
static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TOTAL.fetch_add(layout.size(), SeqCst);
        PEAK.fetch_max(CURRENT.fetch_add(layout.size(), SeqCst) + layout.size(), SeqCst);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        TOTAL.fetch_add(layout.size(), SeqCst);
        PEAK.fetch_max(CURRENT.fetch_add(layout.size(), SeqCst) + layout.size(), SeqCst);
        // SAFETY: the caller keeps GlobalAlloc's contract. Unlike the default, this leaves zero pages to the system.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn memory_is_bounded() {
    a_step_allocates_nothing_that_grows();
    a_step_of_a_blip_allocates_nothing_that_grows();
    what_is_kept_has_the_size_of_its_formula();
    a_loss_over_32768_pairs_fits(1, 400_000_000);
    a_loss_over_32768_pairs_fits(4, 250_000_000);
}

/// A step allocates only lists of views into the parameters of the blocks, which grow with the number of layers.
fn a_step_allocates_nothing_that_grows() {
    // A thread allocates its scratch with its first work of a kind; with one thread that is in the first step.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let kinds = [
        (config as fn(_) -> _, false),
        (config, true),
        (|width| config(width).siglip(), false),
        (|width| resnet(width / 16), false),
    ];
    for (config, checkpointing) in kinds {
        let allocated = |n, width| allocated_later(n, config(width), checkpointing);
        let (small, large) = pool.install(|| (allocated(8, 32), allocated(64, 128)));
        assert!(small > 0, "the counter counts");
        assert!(large <= small + 1024, "{small} bytes for 8 pairs of width 32, {large} for 64 of width 128");
    }
}

/// Returns the bytes that a second step allocates.
fn allocated_later(n: usize, config: Config, checkpointing: bool) -> usize {
    let objective = ClipObjective::new(Model::new(config.clone(), 1)).grad_checkpointing(checkpointing);
    let mut trainer = Trainer::new(objective, TrainerOptions::new(Hyper::VIT));
    // The batch is processed in pieces, so that both kinds of forward pass run.
    let mut step = |seed| step_allocates(&mut trainer, &Batch::of(&config, n, seed).pairs(), n / 2);
    step(0);
    step(1)
}

fn step_allocates<O: Objective + Send>(trainer: &mut Trainer<O>, batch: &O::Batch<'_>, micro: usize) -> usize {
    let before = TOTAL.load(SeqCst);
    trainer.gradients(batch, micro);
    trainer.update(1e-3);
    TOTAL.load(SeqCst) - before
}

/// Of each block nine widths a row are kept, or two if activations are checkpointed. The last block has a row for each
/// picture behind its keys and values, and there only the hidden layer of its MLP differs.
fn what_is_kept_has_the_size_of_its_formula() {
    let (n, width) = (8, 64);
    let config = config(width);
    let visual::Shape::Vit(shape) = config.vision() else { panic!("a ViT") };
    let model = Model::new(config.clone(), 1);
    let (batch, mut features) = (Batch::of(&config, n, 1), Array2::zeros((n, config.embed_dim)));
    let mut kept = |keep| {
        let (mut workspace, mut scratch) = (Workspace::default(), Arena::default());
        let (p, shape, y) = (&model.params.view().visual, &config.vision(), features.view_mut());
        let before = CURRENT.load(SeqCst);
        visual::forward(p, shape, batch.pairs().images, Mode::Training(keep), y, &mut workspace, &mut scratch);
        drop(scratch);
        CURRENT.load(SeqCst) - before
    };
    // With its first pass, the one thread allocates its own scratch.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let [_, all, inputs] = pool.install(|| [Keep::Nothing, Keep::All, Keep::Inputs].map(&mut kept));
    let (rows, whole) = (n * shape.grid.tokens(), shape.size.layers - 1);
    let dropped = (whole * rows * 7 * width + n * 4 * width) * size_of::<f32>();
    // The queue of the pool's thread may have grown by a little.
    assert!((all - inputs).abs_diff(dropped) <= 1024, "{all} and {inputs} bytes, {dropped} apart by the formula");
    // The embedded rows, the inputs of all blocks and of all MLPs, and the keys and values of the last block, beside
    // which statistics and the few rows of the last block are little.
    let widths = (1 + shape.size.layers + whole + 2) * rows * width * size_of::<f32>();
    assert!((widths..widths * 11 / 10).contains(&inputs), "{inputs} bytes, {widths} of them by the widths");
}

/// The number of features in a BLIP's queue.
const QUEUE: usize = 128;

/// Every step has the same texts and the same negatives, so that none has more to do than those before it.
fn a_step_of_a_blip_allocates_nothing_that_grows() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (stage, parts) in [(Stage::Pretraining, Parts::Pretrained), (Stage::Retrieval, Parts::Matcher)] {
        for pieces in [1, 2] {
            let allocated = |n| blip_allocates_later(n, n / pieces, stage, parts);
            let (small, large) = pool.install(|| (allocated(8), allocated(64)));
            assert!(small > 0, "the counter counts");
            assert!(large <= small + 1024, "{stage:?} in {pieces}: {small} bytes for 8 pairs, {large} for 64");
        }
    }
}

/// Returns the bytes that a step of a BLIP allocates once its queue is full.
fn blip_allocates_later(n: usize, micro: usize, stage: Stage, parts: Parts) -> usize {
    let model = tiny(parts);
    let (pairs, uniforms) = (Pairs::random(&model.config, n, 1), vec![0.0; 2 * n]);
    let batch = objective::Batch { uniforms: Some(&uniforms), ..pairs.batch() };
    let rates = Rates { dropout: 0.1, depth: 0.1 };
    let options = Options { stage, momentum: 0.9, queue: QUEUE, alpha: 0.4, ramp: 0, rates, ..Options::pretraining(0) };
    let mut trainer = Trainer::new(BlipObjective::new(&model, options, 1), TrainerOptions::new(Hyper::BLIP));
    (0..=QUEUE / n).map(|_| step_allocates(&mut trainer, &batch, micro)).last().expect("a step")
}

/// Runs one rank's part of the loss forward and backward, the inputs of all ranks and its own gradients counted. The matrix
/// of logits alone would take 4 GB.
fn a_loss_over_32768_pairs_fits(ranks: usize, limit: usize) {
    let (n, d) = (32_768, 512);
    PEAK.store(CURRENT.load(SeqCst), SeqCst);
    let before = CURRENT.load(SeqCst);
    let row = |i: usize| move |j: usize| if i % d == j { 1.0 } else { 0.0 };
    let images = Array2::from_shape_fn((n, d), |(i, j)| row(i)(j));
    let texts = images.clone();
    let own = n / ranks;
    let (mut dimages, mut dtexts) = (Array2::zeros((own, d)), Array2::zeros((own, d)));
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let mut saved = saved.carve(&Saved::dims(n));
    let mut scratch = scratch.carve(&Scratch::dims(n));
    let positives = Positives::diagonal_of(0..own, n);
    let (i, t, scale) = (images.view(), texts.view(), 1.0);
    let loss = info_nce::forward(i, t, scale, &positives, &mut saved, &mut scratch);
    // Of every row's logits, n/d are 1 and the others 0.
    let lse = ((n / d) as f32 * (1f32.exp() + (d - 1) as f32)).ln();
    // The other ranks have found the same for their pairs.
    saved.image_lse.fill(lse);
    saved.text_lse.fill(lse);
    info_nce::backward(i, t, scale, &positives, &saved, dimages.view_mut(), dtexts.view_mut(), &mut scratch);

    let expected = f64::from(lse - 1.0) / ranks as f64;
    assert!((loss.mean() - expected).abs() < 1e-4, "{loss:?}, expected {expected}");
    let peak = PEAK.load(SeqCst) - before;
    assert!(peak < limit, "peak of {peak} bytes on one of {ranks} ranks");
}
