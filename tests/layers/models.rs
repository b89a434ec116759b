use super::shapes::Towers;
use crate::support::gradcheck::{Layer, Pass, check_directions};
use crate::support::{
    compare::{TOLERANCE, to_f64},
    oracle::Relus,
    oracle_models, random,
    trees::{flatten, poisoned_arena},
};
use clipwright::layers::patch_dropout::{PatchDropout, Patches};
use clipwright::loss::positives::Positives;
use clipwright::models::clip::model::{INIT_LOGIT_SCALE, Model, spec};
use clipwright::models::clip::text::{self, Text};
use clipwright::models::clip::visual::{self, Visual};
use clipwright::models::clip::vit::{self, Vit};
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::optim::adamw::Hyper;
use clipwright::params::{self, Spec, view};
use clipwright::train::clip::{ClipObjective, Pairs};
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::Tree;
use ndarray::{Array2, ArrayView2};

/// Towers of 1, 2 and 3 blocks with each activation.
fn towers() -> impl Iterator<Item = Towers> {
    (1..=3).flat_map(|layers| [Towers::new(layers, false), Towers::new(layers, true), Towers::siglip(layers)])
}

/// Checks every entry of the gradients of one block, and a few directions for more blocks.
#[track_caller]
fn check_tower<S: Tree<Leaf = Spec>>(
    towers: &Towers,
    spec: S,
    oracle: impl Fn(&S::Of<&[f64]>, [ArrayView2<f64>; 0]) -> Array2<f64>,
    pass: impl FnOnce(Pass<S, 0>),
) {
    let tower = Layer::new(format!("{:?}", towers.config), spec, []);
    match towers.config.text_cfg.layers {
        1 => tower.check(oracle, pass),
        _ => tower.check_directions(oracle, pass),
    }
}

/// Scratch does not last from forward to backward: the other tower uses it in between.
#[test]
fn image_tower() {
    for towers in towers() {
        let (shape, images) = (towers.config.vision(), towers.images.mapv(f64::from));
        check_tower(
            &towers,
            shape.spec(),
            |p, []| oracle_models::visual(p, &shape, &Relus::default(), images.view()),
            |Pass { p, y, dy, mut g, .. }: Pass<Visual<Spec>, 0>| {
                let (images, mut workspace) = (towers.images.view(), Workspace::default());
                visual::forward(
                    &p,
                    &shape,
                    images,
                    Mode::Training(Keep::All),
                    y,
                    &mut workspace,
                    &mut poisoned_arena(),
                );
                visual::backward(&p, &shape, images, dy, &mut workspace, &mut poisoned_arena(), &mut g);
            },
        );
    }
}

/// The tower works on the class token and four of nine patches.
#[test]
fn image_tower_where_patches_are_dropped() {
    for towers in towers() {
        let (shape, images) = (towers.config.vision(), towers.images.mapv(f64::from));
        let visual::Shape::Vit(vit) = shape else { panic!("a ViT") };
        let dropout = PatchDropout { rate: 0.5, key: 9, places: &[3, 4, 7] };
        let mut drawn = Patches::default();
        drawn.draw(9, 3, Some(dropout));
        assert_eq!(drawn.of_each(), 4);
        check_tower(
            &towers,
            vit.spec(),
            |p, []| oracle_models::vit(p, &vit, images.view(), drawn.kept()),
            |Pass { p, y, dy, mut g, .. }: Pass<Vit<Spec>, 0>| {
                let (images, how, mut workspace) =
                    (towers.images.view(), (Keep::All, Some(dropout)), Workspace::default());
                vit::forward(&p, &vit, images, how, y, &mut workspace, &mut poisoned_arena());
                vit::backward(&p, &vit, images, dy, &mut workspace, &mut poisoned_arena(), &mut g);
            },
        );
    }
}

#[test]
fn text_tower() {
    for towers in towers() {
        let (shape, captions) = (towers.config.text(), towers.captions());
        check_tower(
            &towers,
            shape.spec(),
            |p, []| oracle_models::text(p, &shape, captions),
            |Pass { p, y, dy, mut g, .. }: Pass<Text<Spec>, 0>| {
                let mut workspace = Workspace::default();
                text::forward(&p, &shape, captions, Keep::All, y, &mut workspace, &mut poisoned_arena());
                text::backward(&p, &shape, captions, dy, &mut workspace, &mut poisoned_arena(), &mut g);
            },
        );
    }
}

/// Checks both towers, the logits' parameters and either loss as a training step runs them, at once and in
/// micro-batches.
#[test]
fn clip_and_its_losses() {
    let siglip = |mut towers: Towers| {
        towers.config = towers.config.siglip();
        towers
    };
    for (towers, micro_batch) in towers().chain(towers().map(siglip)).zip([3, 2, 1].into_iter().cycle()) {
        let config = &towers.config;
        let (image_shape, text_shape, captions) = (config.vision(), config.text(), towers.captions());
        // Pair 2 is a positive of both others, which are none of each other.
        let (concepts, caption_keys) = ([1, 2, 1], [1, 2, 2]);
        let mut positives = Positives::default();
        positives.fill(&concepts, &caption_keys);

        let mut params = random::params(spec(config), 2);
        let logits = params::view_mut(&params.spec, &mut params.flat);
        logits.logit_scale[0] = INIT_LOGIT_SCALE;
        logits.logit_bias.into_iter().for_each(|bias| bias[0] = -3.0);
        let point = to_f64(&params.flat);
        let objective = ClipObjective::new(Model { config: config.clone(), params });
        let mut trainer = Trainer::new(objective, TrainerOptions::new(Hyper::VIT));
        let batch = Pairs {
            images: towers.images.view(),
            captions,
            concepts: &concepts,
            caption_keys: &caption_keys,
            examples: &concepts,
            teacher_images: None,
        };
        let given = trainer.gradients(&batch, micro_batch)[0].value;
        let gradient = to_f64(&flatten(&trainer.grads()));

        let images = towers.images.mapv(f64::from);
        let loss = |point: &[f64]| {
            let p = view(&trainer.objective().model().params.spec, point);
            let images = oracle_models::visual(&p.visual, &image_shape, &Relus::default(), images.view());
            let texts = oracle_models::text(&p.text, &text_shape, captions);
            let (images, texts) = (images.view(), texts.view());
            match p.logit_bias {
                Some(bias) => oracle_models::siglip_loss(images, texts, p.logit_scale[0], bias[0], &positives),
                None => oracle_models::clip_loss(images, texts, p.logit_scale[0], &positives),
            }
        };
        let expected = loss(&point);
        assert!((given - expected).abs() <= TOLERANCE * expected, "loss {given} instead of {expected}");
        check_directions(&format!("{config:?}, {micro_batch} at a time"), TOLERANCE, &point, &gradient, loss);
    }
}
