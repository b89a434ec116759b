//! What `clipwright bench` times of a BLIP.

use super::timing::{Timer, Timing, Work, check, forget_peak_memory};
use crate::embed::blip::published::BEAMS;
use crate::embed::write;
use crate::generate::{BeamStyle, Options, Request, Search};
use crate::layers::rows;
use crate::models::blip::model::{Inference, Source};
use crate::models::blip::params::Blip;
use crate::models::blip::{Config, Model, Parts};
use crate::models::{Captions, Packed};
use crate::optim::adamw::{Decay, Hyper};
use crate::random::normals;
use crate::train::blip::{self as objective, Batch, BlipObjective, Rates};
use crate::train::step::{Trainer, TrainerOptions};
use crate::weights::Read;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::ops::Range;
use std::slice::from_ref;

/// Number of tokens of a caption, `[DEC]` included.
const CAPTION: usize = 20;
/// Number of tokens of an answer, `[DEC]` included.
const ANSWER: usize = 10;

/// Sizes, and random pictures and texts for them.
pub(super) struct Inputs {
    config: Config,
    images: Array2<f32>,
    texts: Packed,
    keys: Vec<u64>,
}

impl Inputs {
    pub(super) fn random(config: &Config, batch: usize, tokens: usize) -> Self {
        let mut rng = Pcg64::seed_from_u64(0);
        let mut text =
            || -> Vec<u32> { (0..tokens).map(|_| rng.random_range(0..config.text.vocab_size as u32)).collect() };
        let images = normals((batch, config.vit().grid.image_len()), 0);
        let texts = Packed::new((0..batch).map(|_| text()));
        Inputs { config: *config, images, texts, keys: (0..batch as u64).collect() }
    }

    /// Times one work with a model that has the parts for it. Returns the times and the number of operations.
    pub(super) fn time(&self, work: Work, grad_checkpointing: bool, timer: &mut Timer) -> (Timing, f64) {
        let parts = match work {
            Work::Caption => Parts::Captioner,
            Work::Answer => Parts::Answerer,
            Work::TrainStep => Parts::Pretrained,
            _ => Parts::Matcher,
        };
        let config = Config { parts, ..self.config };
        forget_peak_memory();
        if work == Work::TrainStep {
            return self.time_train_step(&config, grad_checkpointing, timer);
        }
        let weights = Model::new(config, 0).params.into_weights();
        let (p, mut buffers) = (weights.view(), Inference::default());
        let timing = timer.repeat(|| self.run(work, &mut buffers, &p, &config));
        (timing, self.flops(work, &config))
    }

    /// Times steps of pre-training with all that the original's have: the share of soft targets that it soon reaches,
    /// its queue and its dropout.
    fn time_train_step(&self, config: &Config, grad_checkpointing: bool, timer: &mut Timer) -> (Timing, f64) {
        let options =
            objective::Options { ramp: 0, rates: Rates::original(config), ..objective::Options::pretraining(0) };
        let objective = BlipObjective::new(&Model::new(*config, 0), options, 0).grad_checkpointing(grad_checkpointing);
        let mut trainer = Trainer::new(objective, TrainerOptions::new(Hyper::BLIP).decay(Decay::All));
        let (images, texts) = (self.images.view(), self.texts.captions());
        let batch = Batch { images, texts, pictures: &self.keys, uniforms: None };
        let timing = timer.repeat(|| {
            let loss = trainer.gradients(&batch, batch.len())[0].value;
            let grad_norm = trainer.update(1e-6).grad_norm;
            assert!(loss.is_finite() && grad_norm.is_finite(), "loss {loss}, gradient {grad_norm}");
        });
        let tokens = texts.ids.len() / batch.len();
        (timing, config.pretraining_flops(batch.len(), tokens, options.queue))
    }

    fn run(&self, work: Work, buffers: &mut Inference, p: &Blip<impl Read>, config: &Config) {
        let (images, texts) = (self.images.view(), self.texts.captions());
        match work {
            Work::EncodeText => check(buffers.embed_texts(p, config, texts).view()),
            Work::EncodeImage => check(buffers.encode_images(p, config, images).view()),
            Work::Match => {
                let seen = buffers.look(p, config, rows(images, &(0..1)));
                let logits = buffers.match_logits(p, config, &seen, texts, from_ref(&(0..texts.len())));
                assert!(logits.iter().all(|logit| logit.is_finite()), "logits {logits}");
            }
            Work::Caption => {
                let seen = buffers.look(p, config, images);
                write_all(buffers, p, config, &seen, CAPTION);
            }
            Work::Answer => {
                let seen = buffers.look(p, config, images);
                let read = read(buffers, p, config, &seen, texts);
                write_all(buffers, p, config, &read, ANSWER);
            }
            Work::TrainStep | Work::InfoNce => unreachable!("not a pass of inference"),
        }
    }

    /// Returns the number of floating-point operations of a whole batch.
    fn flops(&self, work: Work, config: &Config) -> f64 {
        let (n, tokens) = (self.texts.captions().len(), self.texts.captions().ids.len() / self.images.nrows());
        let of_each = match work {
            Work::EncodeImage => config.embed_flops(None),
            Work::EncodeText => config.embed_flops(Some(tokens)),
            Work::Match => return config.match_flops(n, tokens),
            Work::Caption => config.caption_flops(CAPTION, BEAMS),
            Work::Answer => config.answer_flops(tokens, ANSWER, BEAMS),
            Work::TrainStep | Work::InfoNce => unreachable!("not a pass of inference"),
        };
        n as f64 * of_each
    }
}

fn read(buffers: &mut Inference, p: &Blip<impl Read>, config: &Config, seen: &Source, questions: Captions) -> Source {
    let one_each: Vec<Range<usize>> = (0..questions.len()).map(|i| i..i + 1).collect();
    buffers.read_questions(p, config, seen, questions, &one_each)
}

/// Writes a text of exactly this many tokens for each source.
fn write_all(buffers: &mut Inference, p: &Blip<impl Read>, config: &Config, seen: &Source, tokens: usize) {
    let ids = config.text.ids;
    let search = Search::Beams { beams: BEAMS, style: BeamStyle::Original };
    let options = Options { min_length: tokens, search, ..Options::new(ids.end, tokens) };
    let prompt = [ids.decode];
    let requests: Vec<_> = (0..seen.rows.len() as u64).map(|number| Request { prompt: &prompt, number }).collect();
    let texts = write(buffers, p, config, seen, &requests, &options).expect("options that make sense");
    assert!(texts.iter().all(|text| text.ids.len() == tokens), "texts of other lengths than {tokens}");
}
