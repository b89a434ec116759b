//! Running statistics (Ioffe & Szegedy 2015, section 3.1), which no gradient moves.
//!
//! Every micro-batch that goes backward leaves its statistics in the buffers' slots of the gradient block, see
//! [`Role`]. A step moves the running statistics once, towards the mean over its micro-batches, however many it had,
//! just as it has one gradient.

use crate::params::{Role, Spec, count, for_each};
use crate::tree::{Path, Tree};

/// A step moves a running statistic by this share of the way to the observed one, which is PyTorch's default.
pub const MOMENTUM: f32 = 0.1;

/// running ← 0.9·running + 0.1·(observed / batches), count ← count + 1
///
/// `running` holds the running values and `observed` the slots; both are flat blocks laid out as `spec` says.
/// Statistics that no batch observed stay as they are, and so do those whose count has a `frozen` path.
pub fn step<S: Tree<Leaf = Spec>>(spec: &S, running: &mut [f32], observed: &[f32], frozen: impl Fn(&Path) -> bool) {
    let mut statistics = count(spec);
    for_each(spec, &Path::ROOT, |path, spec, range| {
        if spec.role != Role::Count {
            return;
        }
        let batches = if frozen(path) { 0.0 } else { observed[range.start] };
        if batches > 0.0 {
            let (running, observed) = (&mut running[statistics..range.start], &observed[statistics..range.start]);
            for (running, observed) in running.iter_mut().zip(observed) {
                *running = (1.0 - MOMENTUM) * *running + MOMENTUM * (observed / batches);
            }
        }
        running[range.start] += if batches > 0.0 { 1.0 } else { 0.0 };
        statistics = range.end;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Init, Params, view_mut};
    use crate::tree::tree;

    tree!(Norm { gain, seen, count });
    tree!(Norms { norms: [Norm] });

    fn spec() -> Norms<Spec> {
        let buffer = |shape: &[usize], role| Spec::buffer(shape, Init::Const(0.0), role);
        let norm = || Norm {
            gain: Spec::new(&[2], Init::Const(1.0)),
            seen: buffer(&[2], Role::Statistic),
            count: buffer(&[], Role::Count),
        };
        Norms { norms: vec![norm(), norm()] }
    }

    #[test]
    fn once_towards_the_mean_of_the_micro_batches() {
        let mut params = Params::init(spec(), 0);
        let mut observed = vec![9.0; params.flat.len()];
        let mut slots = view_mut(&params.spec, &mut observed);
        slots.norms[0].seen.copy_from_slice(&[3.0, -6.0]);
        slots.norms[0].count[0] = 3.0;
        slots.norms[1].count[0] = 0.0;
        view_mut(&params.spec, &mut params.flat).norms[0].seen.copy_from_slice(&[1.0, 10.0]);
        step(&params.spec, &mut params.flat, &observed, |_| false);
        let p = params.view();
        assert_eq!(*p.norms[0].seen, [0.9 * 1.0 + 0.1, 0.9 * 10.0 - 0.1 * 2.0]);
        assert_eq!(*p.norms[0].count, [1.0]);
        assert_eq!((p.norms[1].seen, p.norms[1].count), (&[0.0; 2][..], &[0.0][..]), "nobody observed it");
        assert_eq!(params.flat[..4], [1.0; 4], "no parameters");
        let before = params.flat.clone();
        step(&params.spec, &mut params.flat, &observed, |path| path.is_under("norms"));
        assert!(params.flat == before, "frozen");
    }
}
