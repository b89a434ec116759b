//! Tests of the whole ResNet: gradients along random directions, inference, savings, the same bits on any thread count.

use crate::support::compare::{assert_close, to_f64};
use crate::support::gradcheck::{Layer, Pass};
use crate::support::oracle::{self, Relus};
use crate::support::{oracle_models, random, trees::poisoned_arena};
use clipwright::models::clip::resnet::{self, ResNet, Shape};
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::params::{self, Spec, view};
use ndarray::Array2;
use rayon::ThreadPoolBuilder;

/// Returns ResNets with and without shortcut convolutions in all stages, some for pictures whose border is dropped.
fn shapes() -> impl Iterator<Item = Shape> {
    [(64, 4, [1, 2, 1, 1], 4), (66, 4, [2, 1, 1, 2], 8), (75, 6, [1, 1, 2, 1], 2)]
        .into_iter()
        .map(|(image_size, width, layers, heads)| Shape { image_size, width, layers, heads, embed_dim: 7 })
}

const PICTURES: usize = 12;

/// Returns pictures for which the input of no ReLU is so near to zero that f32 could round it to the other side. One in
/// a hundred thousand would be enough to make two gradients differ.
fn images(shape: &Shape, locked: usize) -> Array2<f32> {
    let params = random::params(shape.spec(), 2);
    let point = to_f64(&params.flat);
    let margin = |images: &Array2<f32>| {
        let relus = Relus::default();
        let p = view(&params.spec, &point);
        oracle_models::resnet(&p, shape, norms(locked), &relus, images.mapv(f64::from).view());
        relus.margin()
    };
    let mut tries = (4..).map(|seed| random::matrix((PICTURES, shape.image_len()), seed));
    tries.find(|images| margin(images) > 3e-6).expect("one of infinitely many")
}

/// Returns the norm of each layer group, of which the first `locked` ones have only their running statistics.
fn norms(locked: usize) -> impl Fn(usize) -> oracle::Norm {
    move |group| if group < locked { oracle::batch_norm_running } else { oracle::batch_norm }
}

/// Scratch does not last from forward to backward: the other tower uses it in between.
#[test]
fn gradients() {
    for shape in shapes() {
        let (images, relus) = (images(&shape, 0), Relus::default());
        // The tolerance allows for sixteen convolutions, each behind a division by a deviation.
        Layer::new(format!("{shape:?}"), shape.spec(), []).within(5e-5).check_directions(
            |p, []| oracle_models::resnet(p, &shape, norms(0), &relus, images.mapv(f64::from).view()),
            |Pass { p, y, dy, mut g, .. }: Pass<ResNet<Spec>, 0>| {
                let (images, mut workspace) = (images.view(), Workspace::default());
                let mode = Mode::Training(Keep::All);
                resnet::forward(&p, &shape, images, mode, y, &mut workspace, &mut poisoned_arena());
                resnet::backward(&p, &shape, images, dy, &mut workspace, &mut poisoned_arena(), &mut g);
            },
        );
    }
}

/// Locked groups have their running statistics and no gradients; the groups behind them have both as ever. Running
/// statistics do not normalise what passes through, so that values are larger and round more than those of a batch do.
#[test]
fn gradients_behind_locked_groups() {
    let locks = shapes().zip([2, 3, 1]).chain(shapes().zip([4, 5]));
    for (shape, locked) in locks {
        let (images, relus) = (images(&shape, locked), Relus::default());
        let fixed = random::params(shape.spec(), 2);
        let fixed_point = to_f64(&fixed.flat);
        let fixed = view(&fixed.spec, &fixed_point);
        Layer::new(format!("{shape:?}, {locked} locked"), shape.spec(), []).within(1e-4).check_directions(
            |p, []| {
                let p = with_locked(p, &fixed, locked);
                oracle_models::resnet(&p, &shape, norms(locked), &relus, images.mapv(f64::from).view())
            },
            |Pass { p, y, dy, mut g, .. }: Pass<ResNet<Spec>, 0>| {
                let (images, mut workspace) = (images.view(), Workspace::locked(locked));
                let mode = Mode::Training(Keep::All);
                resnet::forward(&p, &shape, images, mode, y, &mut workspace, &mut poisoned_arena());
                resnet::backward(&p, &shape, images, dy, &mut workspace, &mut poisoned_arena(), &mut g);
            },
        );
        let [kept, not_kept] = [Keep::All, Keep::Nothing].map(|keep| features(&shape, Mode::Training(keep), locked));
        assert!(kept == not_kept, "{shape:?}, {locked} locked: keeping nothing changes no bit");
    }
}

/// Returns the parameters with others in the first `locked` layer groups.
fn with_locked<'a>(p: &ResNet<&'a [f64]>, fixed: &ResNet<&'a [f64]>, locked: usize) -> ResNet<&'a [f64]> {
    let of = |group| if group < locked { fixed } else { p };
    ResNet {
        stem: of(0).stem.clone(),
        layer1: of(1).layer1.clone(),
        layer2: of(2).layer2.clone(),
        layer3: of(3).layer3.clone(),
        layer4: of(4).layer4.clone(),
        attnpool: p.attnpool.clone(),
    }
}

fn features(shape: &Shape, mode: Mode, locked: usize) -> Array2<f32> {
    let params = random::params(shape.spec(), 2);
    let mut y = Array2::from_elem((PICTURES, shape.embed_dim), f32::NAN);
    let images = images(shape, locked);
    let (workspace, scratch) = (&mut Workspace::locked(locked), &mut poisoned_arena());
    resnet::forward(&params.view(), shape, images.view(), mode, y.view_mut(), workspace, scratch);
    y
}

#[test]
fn inference() {
    for shape in shapes() {
        let params = random::params(shape.spec(), 2);
        let (point, images) = (to_f64(&params.flat), images(&shape, 0).mapv(f64::from));
        let p = view(&params.spec, &point);
        let expected = oracle_models::resnet(&p, &shape, norms(6), &Relus::default(), images.view());
        let features = features(&shape, Mode::Inference, 0);
        assert_close("features", features.view(), expected.mapv(|y| y as f32).view());
    }
}

#[test]
fn keeping_nothing_changes_no_bit() {
    for shape in shapes() {
        let kept = features(&shape, Mode::Training(Keep::All), 0);
        assert!(kept == features(&shape, Mode::Training(Keep::Nothing), 0), "{shape:?}");
    }
}

/// The sizes are large enough that every kernel cuts its work into pieces.
#[test]
fn same_bits_on_any_number_of_threads() {
    let shape = Shape { image_size: 64, width: 16, layers: [1, 1, 1, 1], heads: 8, embed_dim: 40 };
    let run = || {
        let p = random::params(shape.spec(), 1);
        let (images, dy) = (random::matrix((13, shape.image_len()), 2), random::matrix((13, shape.embed_dim), 3));
        let (mut y, mut g) = (Array2::zeros(dy.dim()), vec![0.0; p.flat.len()]);
        let (mut workspace, mut scratch) = (Workspace::default(), poisoned_arena());
        let (images, mode) = (images.view(), Mode::Training(Keep::All));
        resnet::forward(&p.view(), &shape, images, mode, y.view_mut(), &mut workspace, &mut scratch);
        let gradients = &mut params::view_mut(&p.spec, &mut g);
        resnet::backward(&p.view(), &shape, images, dy.view(), &mut workspace, &mut scratch, gradients);
        resnet::forward(&p.view(), &shape, images, Mode::Inference, y.view_mut(), &mut workspace, &mut scratch);
        y.into_iter().chain(g).map(f32::to_bits).collect::<Vec<_>>()
    };
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two, "one thread and two");
    assert!(one == five, "one thread and five");
}
