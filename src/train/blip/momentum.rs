//! The momentum copy of both encoders and projections, whose features are more even over time than the model's own (He
//! et al. 2020, section 3.2).
//!
//! It only embeds, so it has neither a decoder nor an ITM head. Nothing reads its cross-attention.

use super::trained::Trained;
use crate::models::blip::Blip;
use crate::params::{Params, PartRanges, Spec, ranges_of_part};
use kernels::reduce::PIECE;
use rayon::prelude::*;

/// The copy, and where each of its leaves is in it and in the model.
pub(super) struct Momentum {
    pub params: Params<Blip<Spec>>,
    followed: PartRanges,
}

impl Momentum {
    /// Copies the encoders of a model.
    pub fn new(model: &Params<Trained<Spec>>) -> Self {
        let spec = Blip { text_decoder: None, itm_head: None, ..model.spec.blip.clone() };
        let followed = ranges_of_part(&spec, &model.spec, None).expect("the copy is a part of the model");
        let mut momentum = Momentum { params: Params::zeros(spec), followed };
        momentum.follow(&model.flat, 0.0);
        momentum
    }

    /// copy ← share·copy + (1 − share)·model
    pub fn follow(&mut self, model: &[f32], share: f32) {
        for (own, place) in &self.followed {
            let (own, model) = (&mut self.params.flat[own.clone()], &model[place.clone()]);
            own.par_chunks_mut(PIECE).zip(model.par_chunks(PIECE)).for_each(|(own, model)| {
                own.iter_mut().zip(model).for_each(|(own, p)| *own = share * *own + (1.0 - share) * p);
            });
        }
    }
}
