//! Where a picture's tower finds a text: the gradient of its map against differences, and heat where the thing is.

use crate::support::compare::{TOLERANCE, to_f64};
use crate::support::gradcheck::check_directions;
use crate::support::{oracle, oracle_models, random, tiny, trees::poisoned_arena};
use clipwright::checkpoint::{Checkpoint, ConfigFile, Overrides, save_model};
use clipwright::embed::explainer::Explainer;
use clipwright::layers::sequences::Pool;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::models::clip::visual::{self, Attention, Shape, Visual};
use clipwright::models::clip::{Config, Layers};
use clipwright::models::{Captions, Keep, Mode, Workspace};
use clipwright::optim::adamw::Hyper;
use clipwright::params::{self, Params, Spec, view};
use clipwright::pictures::{Channels, Picture, Scratch};
use clipwright::train::clip::{ClipObjective, Pairs};
use clipwright::train::step::{Trainer, TrainerOptions};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use std::path::Path;

/// A tower with random parameters, and one picture for it.
struct Tower {
    shape: Shape,
    params: Params<Visual<Spec>>,
    image: Array2<f32>,
    dy: Array2<f32>,
    workspace: Workspace,
}

impl Tower {
    fn new(config: Config) -> Self {
        let shape = config.vision();
        Tower {
            shape,
            params: random::params(shape.spec(), 2),
            image: random::matrix((1, shape.image_len()), 3),
            dy: random::matrix((1, shape.embed_dim()), 4),
            workspace: Workspace::locked(shape.groups_before_map()),
        }
    }

    fn forward(&mut self) -> Array2<f32> {
        let mut features = Array2::from_elem(self.dy.raw_dim(), f32::NAN);
        let (mode, workspace) = (Mode::Training(Keep::All), &mut self.workspace);
        let p = self.params.view();
        visual::forward(
            &p,
            &self.shape,
            self.image.view(),
            mode,
            features.view_mut(),
            workspace,
            &mut poisoned_arena(),
        );
        features
    }

    /// Returns the map of places and its gradient.
    fn places_map(&mut self) -> [Array2<f32>; 2] {
        let (mut scratch, mut g) = (poisoned_arena(), vec![0.0; self.params.flat.len()]);
        let (p, g) = (self.params.view(), &mut params::view_mut(&self.params.spec, &mut g));
        let Tower { shape, image, dy, workspace, .. } = self;
        visual::backward(&p, shape, image.view(), dy.view(), workspace, &mut scratch, g);
        visual::places_map(shape, workspace, &mut scratch)
    }
}

/// Returns the features of a ViT from what enters its blocks, or of a ResNet from what enters its pool.
fn from_map(p: &Visual<&[f64]>, shape: &Shape, map: ArrayView2<f64>) -> Array2<f64> {
    match (p, shape) {
        (Visual::Vit(p), Shape::Vit(shape)) => {
            let sequences = oracle_models::sequences([0, map.nrows()].into_iter(), Pool::First);
            let x = oracle_models::stack(&p.transformer, &p.ln_post, &shape.size, &sequences, map.to_owned());
            oracle::projection(p.proj.expect("a projection"), x.view())
        }
        (Visual::ResNet(p), Shape::ResNet(shape)) => oracle::attention_pool(&p.attnpool, &shape.pool(), map),
        _ => panic!("parameters of one kind, shape of the other"),
    }
}

/// Returns the class token that enters the blocks of a ViT, if the tower is one.
fn class_token(p: &Visual<&[f64]>, shape: &Shape, image: ArrayView2<f64>) -> Array2<f64> {
    let (Visual::Vit(p), Shape::Vit(shape)) = (p, shape) else { return Array2::zeros((0, 0)) };
    let x = oracle::patch_embed(&p.embed, shape.grid, image);
    oracle::layer_norm(p.ln_pre.as_ref().expect("a first norm"), shape.size.eps, x.view()).select(Axis(0), &[0])
}

fn configs() -> impl Iterator<Item = Config> {
    let vit = |layers| {
        let mut config = tiny::config(36);
        config.vision_cfg.layers = Layers::Vit(layers);
        config
    };
    let resnet = |image_size| {
        let mut config = tiny::resnet(8);
        config.vision_cfg.image_size = image_size;
        config
    };
    [1, 2, 3].map(vit).into_iter().chain([64, 96].map(resnet))
}

/// The map is the one that the features come from, and its gradient is that of ⟨dy, features⟩.
#[test]
fn the_gradient_of_the_map() {
    for config in configs() {
        let mut tower = Tower::new(config);
        let features = tower.forward();
        let [x, dx] = tower.places_map();
        let point = to_f64(&tower.params.flat);
        let p = view(&tower.params.spec, &point);
        let class = class_token(&p, &tower.shape, tower.image.mapv(f64::from).view());
        let loss = |places: &[f64]| {
            let places = ArrayView2::from_shape(x.dim(), places).unwrap();
            let map = if class.is_empty() { places.to_owned() } else { concatenate![Axis(0), class, places] };
            (from_map(&p, &tower.shape, map.view()) * tower.dy.mapv(f64::from)).sum()
        };
        let given = f64::from((&features * &tower.dy).sum());
        let expected = loss(&to_f64(&x));
        // Fifteen convolutions in f32 come before the map of a ResNet.
        assert!((given - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{given} instead of {expected}");
        check_directions(&format!("{:?}", tower.shape), 2.0 * TOLERANCE, &to_f64(&x), &to_f64(&dx), loss);
    }
}

/// The second of two backward passes behind one forward pass is as good as the first.
#[test]
fn every_text_has_the_same_forward_pass() {
    for config in configs() {
        let mut tower = Tower::new(config);
        tower.forward();
        let first = tower.places_map();
        tower.dy *= 2.0;
        tower.places_map();
        tower.dy /= 2.0;
        assert!(first == tower.places_map(), "{:?}", tower.shape);
    }
}

#[test]
fn attention_adds_to_one_and_changes_from_head_to_head() {
    for config in configs() {
        let mut tower = Tower::new(config);
        tower.forward();
        let attention = visual::attention(&tower.params.view(), &tower.shape, &mut tower.workspace);
        let (rows, heads): (Vec<f32>, Array2<f32>) = match attention {
            Attention::Probe(_) => unreachable!("no SigLIP"),
            Attention::Pool(heads) => (heads.sum_axis(Axis(1)).to_vec(), heads),
            Attention::Blocks(blocks) => {
                let Shape::Vit(shape) = tower.shape else { panic!("a ViT") };
                assert_eq!(blocks.len(), shape.size.layers);
                let sums = blocks.iter().flat_map(|block| block.sum_axis(Axis(2))).collect();
                (sums, blocks[0].index_axis(Axis(1), 0).to_owned())
            }
        };
        assert!(rows.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{rows:?}");
        assert!(heads.row(0) != heads.row(1), "{heads}");
    }
}

const COLOURS: [[u8; 3]; 4] = [[220, 20, 20], [20, 180, 20], [30, 30, 230], [230, 210, 20]];
/// Edge of a picture, and of the square of a colour in it.
const EDGE: usize = 32;
const SQUARE: usize = 12;

/// A grey picture with squares of colours, each with its left and top edge.
fn squares(places: &[(usize, [usize; 2])]) -> Picture {
    let mut picture = Picture::new(EDGE, EDGE, Channels::Rgb);
    picture.samples.fill(128);
    for &(colour, [left, top]) in places {
        for (y, x) in (top..top + SQUARE).flat_map(|y| (left..left + SQUARE).map(move |x| (y, x))) {
            picture.samples[3 * (y * EDGE + x)..][..3].copy_from_slice(&COLOURS[colour]);
        }
    }
    picture
}

/// The caption of a colour: two tokens that frame its own.
fn caption(colour: usize) -> [u32; 3] {
    [298, colour as u32, 299]
}

/// Trains a small ViT to tell the colours of one square anywhere in a picture, and puts it into a folder. Returns the
/// embeddings of the colours' captions.
fn trained(folder: &Path) -> Array2<f32> {
    let mut config = tiny::config(64);
    (config.vision_cfg.image_size, config.vision_cfg.layers) = (EDGE, Layers::Vit(2));
    let file = ConfigFile::new(config.clone());
    let mut trainer = Trainer::new(ClipObjective::new(Model::new(config, 1)), TrainerOptions::new(Hyper::VIT));
    let n = 8 * COLOURS.len();
    let colours: Vec<usize> = (0..n).map(|i| i % COLOURS.len()).collect();
    let keys: Vec<u64> = colours.iter().map(|&colour| colour as u64).collect();
    let ids: Vec<u32> = colours.iter().flat_map(|&colour| caption(colour)).collect();
    let offsets: Vec<usize> = (0..=n).map(|i| 3 * i).collect();
    for step in 0..150 {
        let places = random::matrix((n, 2), step).mapv(|x| (x.abs() * 997.0) as usize % (EDGE - SQUARE + 1));
        let mut images = Array2::zeros((n, 3 * EDGE * EDGE));
        for ((mut row, &colour), place) in images.rows_mut().into_iter().zip(&colours).zip(places.rows()) {
            let picture = squares(&[(colour, [place[0], place[1]])]);
            file.preprocess_cfg.apply(&picture, &mut Scratch::default(), row.as_slice_mut().unwrap());
        }
        let pairs = Pairs {
            images: images.view(),
            captions: Captions { ids: &ids, offsets: &offsets },
            concepts: &keys,
            caption_keys: &keys,
            examples: &keys,
            teacher_images: None,
        };
        trainer.gradients(&pairs, n);
        trainer.update(1e-3);
    }
    let model = trainer.objective().model();
    save_model(folder, model, &file).unwrap();
    let captions = Captions { ids: &ids[..3 * COLOURS.len()], offsets: &offsets[..=COLOURS.len()] };
    model.encode_texts(captions, &mut Inference::default())
}

/// Two squares side by side: most of each colour's heat is in its own half.
#[test]
fn heat_is_where_the_colour_is() {
    let folder = tempfile::tempdir().unwrap();
    let texts = trained(folder.path());
    let explainer = Explainer::new(&Checkpoint::open(folder.path(), &Overrides::default()).unwrap()).unwrap();
    let mut shares = vec![];
    for (left, right) in (0..COLOURS.len()).flat_map(|a| (0..COLOURS.len()).map(move |b| (a, b))) {
        if left == right {
            continue;
        }
        let (top, gap) = ((EDGE - SQUARE) / 2, EDGE / 2 - SQUARE);
        let picture = squares(&[(left, [gap / 2, top]), (right, [EDGE / 2 + gap / 2, top])]);
        let heats = explainer.heat(&picture, texts.select(Axis(0), &[left, right]).view());
        shares.extend(heats.iter().zip([0, 1]).map(|(heat, side)| {
            assert!(heat.map.iter().all(|&heat| heat >= 0.0), "{}", heat.map);
            let (all, half) = (heat.map.sum(), heat.map.ncols() / 2);
            let halves = heat.map.view().split_at(Axis(1), half);
            if all > 0.0 { [halves.0, halves.1][side].sum() / all } else { 0.5 }
        }));
    }
    let mean = shares.iter().sum::<f32>() / shares.len() as f32;
    assert!(mean > 0.7, "{mean}: {shares:?}");
}
