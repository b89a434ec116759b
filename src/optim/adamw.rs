//! AdamW (Loshchilov & Hutter 2019) over a flat parameter block, or over the slices of it that a process owns.

use crate::params::{Spec, for_each};
use crate::tree::{Path, Tree};
use kernels::adamw::{Step, step};
use kernels::memory::Floats;
use std::ops::Range;

/// The hyper-parameters that stay the same for a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// The decay rate β₁ of the first moment.
    pub beta1: f32,
    /// The decay rate β₂ of the second moment.
    pub beta2: f32,
    /// The ε that is added to the root of the second moment.
    pub eps: f32,
    /// The λ of decoupled weight decay.
    pub weight_decay: f32,
}

impl Hyper {
    /// The values that CLIP's paper gives for a ViT (Radford et al. 2021, appendix F).
    pub const VIT: Hyper = Hyper { beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.2 };
    /// The values that CLIP's paper gives for a ResNet (Radford et al. 2021, appendix F).
    pub const RESNET: Hyper = Hyper { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.2 };
    /// The values that BLIP's original has for every task, with [`Decay::All`].
    pub const BLIP: Hyper = Hyper { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.05 };
}

/// The parameters that weight decay applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decay {
    /// Decay applies to matrices and tables, not to gains, biases and scalars (Radford et al. 2021, section 2.5).
    #[default]
    Matrices,
    /// Decay applies to every parameter, as in BLIP's original.
    All,
}

impl Decay {
    fn applies(self, spec: &Spec) -> bool {
        self == Decay::All || spec.shape.len() >= 2
    }
}

/// The state of the optimizer: both moments of the parameters that it moves, and how many steps were taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamW {
    /// The first moments, the running means of the gradients, in the order of the parameters.
    pub m: Floats,
    /// The second moments, those of their squares, in the order of the parameters.
    pub v: Floats,
    /// How many steps were taken.
    pub steps: u64,
    /// The ranges of the parameters that are moved, ascending, whose moments lie one behind the other.
    own: Vec<Range<usize>>,
}

impl AdamW {
    /// Returns the state before the first step of `n` parameters.
    pub fn new(n: usize) -> Self {
        AdamW::of(std::iter::once(0..n))
    }

    /// Returns the state before the first step of an optimizer that moves the parameters in these ranges alone.
    pub fn of(own: impl IntoIterator<Item = Range<usize>>) -> Self {
        let own: Vec<_> = own.into_iter().collect();
        let n = own.iter().map(Range::len).sum();
        AdamW { m: Floats::zeros(n), v: Floats::zeros(n), steps: 0, own }
    }

    /// Takes one step with the gradient `grad_scale`·g, and leaves g at zero. `lr` returns the learning rate of what is at a
    /// path.
    ///
    /// Parameters whose path is `frozen` stay as they are, and their g is left alone, as are buffers and their slots.
    pub fn step<S: Tree<Leaf = Spec>>(
        &mut self,
        spec: &S,
        (hyper, decay): (&Hyper, Decay),
        lr: impl Fn(&Path) -> f32,
        grad_scale: f32,
        params: &mut [f32],
        grads: &mut [f32],
        frozen: impl Fn(&Path) -> bool,
    ) {
        self.steps += 1;
        let AdamW { m, v, steps, own } = self;
        for_each(spec, &Path::ROOT, |path, spec, leaf| {
            if spec.is_buffer() || frozen(path) {
                return;
            }
            let scalars = Step {
                lr: lr(path),
                beta1: hyper.beta1,
                beta2: hyper.beta2,
                eps: hyper.eps,
                weight_decay: if decay.applies(spec) { hyper.weight_decay } else { 0.0 },
                step: *steps,
                grad_scale,
            };
            for (part, moments) in parts(own, &leaf) {
                let (p, g) = (&mut params[part.clone()], &mut grads[part]);
                step(&scalars, p, g, &mut m[moments.clone()], &mut v[moments]);
            }
        });
    }

    /// Goes through the ranges that are moved, each with the range of its moments.
    pub fn own(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        parts(&self.own, &(0..usize::MAX))
    }
}

/// Goes through the parts of a leaf that are in one of the ranges, each with the range of its moments.
fn parts(own: &[Range<usize>], leaf: &Range<usize>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut before = 0;
    own.iter().filter_map(move |own| {
        let (start, end) = (own.start.max(leaf.start), own.end.min(leaf.end));
        let first = before + start.saturating_sub(own.start);
        before += own.len();
        (start < end).then(|| (start..end, first..first + (end - start)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::linear::{Linear, default_init};
    use crate::params::Params;
    use crate::tree::tree;

    tree!(Model { first: Linear, middle as "part": [Linear], last: Linear });

    /// With zero gradients a step is decay alone.
    #[test]
    fn decay_applies_to_matrices_or_to_all() {
        let params = Params::init(Linear::spec(3, 2, default_init(3), default_init(3)), 1);
        for decay in [Decay::Matrices, Decay::All] {
            let (mut flat, mut grads) = (params.flat.clone(), vec![0.0; params.flat.len()]);
            let hyper = (&Hyper::VIT, decay);
            AdamW::new(flat.len()).step(&params.spec, hyper, |_| 0.1, 1.0, &mut flat, &mut grads, |_| false);
            let shrunk = |i: usize| flat[i].abs() < params.flat[i].abs();
            assert!((0..6).all(shrunk));
            assert!((6..8).all(|i| shrunk(i) == (decay == Decay::All) && (shrunk(i) || flat[i] == params.flat[i])));
        }
    }

    /// Where the ranges are cut does not matter, be it within a leaf.
    #[test]
    fn the_parts_of_several_optimizers_are_the_whole() {
        let linear = || Linear::spec(3, 2, default_init(3), default_init(3));
        let spec = Model { first: linear(), middle: (0..3).map(|_| linear()).collect(), last: linear() };
        let params = Params::init(spec, 1);
        let n = params.flat.len();
        let train = |optimizers: Vec<AdamW>| {
            let mut flat = params.flat.clone();
            let mut moments = vec![f32::NAN; n];
            for mut adam in optimizers {
                for _ in 0..3 {
                    let mut grads: Vec<f32> = (0..n).map(|i| (i as f32 - 9.5) * 0.1).collect();
                    let hyper = (&Hyper::VIT, Decay::default());
                    adam.step(&params.spec, hyper, |_| 0.1, 0.5, &mut flat, &mut grads, |path| path.is_under("part.1"));
                }
                adam.own().for_each(|(own, at)| moments[own].copy_from_slice(&adam.v[at]));
            }
            (flat, moments)
        };
        let parts = vec![AdamW::of([0..5, 11..30]), AdamW::of([5..11, 30..n]), AdamW::of([])];
        assert!(train(parts) == train(vec![AdamW::new(n)]));
    }

    /// The factor scales what a step moves, weight decay included, and nothing else.
    #[test]
    fn every_path_has_a_rate_of_its_own() {
        let params = Params::init(Linear::spec(3, 2, default_init(3), default_init(3)), 1);
        let moved = |lr: fn(&Path) -> f32| {
            let (mut flat, mut grads) = (params.flat.clone(), vec![0.5; params.flat.len()]);
            let mut adam = AdamW::new(flat.len());
            adam.step(&params.spec, (&Hyper::VIT, Decay::All), lr, 1.0, &mut flat, &mut grads, |_| false);
            (flat.to_vec(), adam)
        };
        let (all, half, none) = (moved(|_| 0.1), moved(|_| 0.05), moved(|_| 0.0));
        let (mixed, adam) = moved(|path| if path.is_under("bias") { 0.05 } else { 0.1 });
        assert!(mixed[..6] == all.0[..6] && mixed[6..] == half.0[6..] && adam == all.1);
        assert!(none.0 == params.flat.to_vec() && none.1 == all.1);
    }

    /// The frozen part stands in the middle of the tree, and its name is the beginning of another one's.
    #[test]
    fn what_is_frozen_by_its_path_stays_wherever_it_stands() {
        let linear = || Linear::spec(3, 2, default_init(3), default_init(3));
        let spec = Model { first: linear(), middle: (0..11).map(|_| linear()).collect(), last: linear() };
        let params = Params::init(spec, 1);
        for frozen in ["part", "part.1", "part.1.bias", "first", "last.weight", "nothing"] {
            let (mut flat, mut grads) = (params.flat.clone(), vec![1.0; params.flat.len()]);
            let mut adam = AdamW::new(flat.len());
            let hyper = (&Hyper::VIT, Decay::default());
            adam.step(&params.spec, hyper, |_| 0.1, 1.0, &mut flat, &mut grads, |path| path.is_under(frozen));
            for_each(&params.spec, &Path::ROOT, |path, _, range| {
                let name = path.to_string();
                let stays = name == frozen || name.starts_with(&format!("{frozen}."));
                for i in range {
                    assert_eq!(flat[i] == params.flat[i], stays, "{name}, frozen {frozen}");
                    assert_eq!((grads[i] == 1.0, adam.m[i] == 0.0), (stays, stays), "{name}, frozen {frozen}");
                }
            });
        }
    }
}
