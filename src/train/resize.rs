//! A model in training goes on with pictures of another size.
//!
//! Of all parameters only the table of positions depends on the size of pictures. It is resampled as a checkpoint's is
//! that is loaded for another size, and so are AdamW's moments of it: the first with the same weights, as the mean of
//! gradients that it is, and the second with weights that keep it a bound on their squares. All else stays as it is.

use super::clip::ClipObjective;
use super::objective::Saved;
use super::step::{Trainer, TrainerOptions};
use super::world::World;
use crate::checkpoint::positions::{self, Filter, square};
use crate::models::clip::model::{self, ClipParams, Model};
use crate::params::{Params, Spec, for_each};
use crate::tree::Path;

/// Returns a trainer that goes on with pictures of `image_size` pixels where `trainer` stands, with options that are
/// the same. All ranks have to ask for it together.
///
/// # Panics
/// If no such model can take pictures of this size.
pub fn resized<W: World>(
    world: &W,
    trainer: &mut Trainer<ClipObjective, W>,
    options: TrainerOptions,
    image_size: usize,
) -> Trainer<ClipObjective, W> {
    let old = trainer.objective().model();
    let (mut config, old_spec) = (old.config.clone(), old.params.spec.clone());
    config.vision_cfg.image_size = image_size;
    config.check().expect("a size that fits the model");
    let spec = model::spec(&config);
    let params = Params::zeros(spec.clone());
    let objective = trainer.objective_mut().take_for(Model { config, params });
    let mut new = Trainer::among(world.clone(), objective, options);
    for ((name, old), (_, new)) in trainer.state().into_iter().zip(new.state()) {
        let filter = if name == "exp_avg_sq" { Filter::Squares } else { Filter::Antialiased };
        match (old, new) {
            (Saved::Floats(old), Saved::Floats(new)) => carry((&old_spec, old), (&spec, new), filter),
            (Saved::Count(old), Saved::Count(new)) => *new = *old,
            (old, _) => panic!("{name} is {old:?}, which a CLIP does not save"),
        }
    }
    new
}

/// Copies what every leaf has in `old` to `new`, and resamples the table of positions. Both are laid out as their
/// tables say, with or without the buffers.
fn carry((old_spec, old): (&ClipParams<Spec>, &[f32]), (spec, new): (&ClipParams<Spec>, &mut [f32]), filter: Filter) {
    let mut leaves = vec![];
    for_each(old_spec, &Path::ROOT, |_, spec, range| leaves.push((spec.shape.clone(), range)));
    let mut leaves = leaves.into_iter();
    for_each(spec, &Path::ROOT, |_, spec, range| {
        let (shape, old_range) = leaves.next().expect("as many leaves");
        let (Some(old), Some(new)) = (old.get(old_range), new.get_mut(range)) else { return };
        if shape == spec.shape {
            new.copy_from_slice(old);
        } else {
            let grids = [&shape, &spec.shape].map(|shape| square(shape[0]));
            positions::resize((old, grids[0]), (new, grids[1]), shape[1], filter);
        }
    });
}
