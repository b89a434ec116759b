use super::shapes::INIT;
use crate::support::compare::{assert_close, assert_leaves_close};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle, random,
    trees::poisoned,
};
use clipwright::layers::patch_embed::{self, CHANNELS, Grid, PatchEmbed, Scratch};
use clipwright::params::{Params, Spec, view_mut};
use ndarray::{Array2, ArrayView2, Axis};

fn spec(grid: Grid, width: usize, has_bias: bool) -> PatchEmbed<Spec> {
    PatchEmbed {
        class_embedding: Some(Spec::new(&[width], INIT)),
        positional_embedding: Spec::new(&[grid.tokens(), width], INIT),
        conv1_weight: Spec::new(&[width, CHANNELS, grid.patch_size, grid.patch_size], INIT),
        conv1_bias: has_bias.then(|| Spec::new(&[width], INIT)),
    }
}

#[test]
fn every_entry() {
    let square = Grid::square;
    let wide = Grid { height: 2, width: 6, patch_size: 2 };
    let tall = Grid { height: 9, width: 6, patch_size: 3 };
    let cases = [(square(3, 3), 6, 1), (square(6, 2), 10, 3), (square(9, 3), 7, 1), (square(5, 1), 6, 3)];
    let cases = cases.into_iter().chain([(wide, 7, 2), (tall, 6, 3)]);
    for ((grid, width, pictures), has_bias) in cases.zip([false, true].into_iter().cycle()) {
        let name = format!("patch_embed, {grid:?}, width {width}, {pictures} pictures, bias {has_bias}");
        Layer::new(name, spec(grid, width, has_bias), [("images", pictures, grid.image_len())]).check(
            |p, [images]| oracle::patch_embed(p, grid, images),
            |Pass { p, x: [images], y, dy, dx: [dimages], mut g }| {
                let scratch = || poisoned(&Scratch::dims(grid, pictures * grid.patches(), width));
                patch_embed::forward(&p, grid, None, images, y, &mut scratch());
                patch_embed::backward(grid, None, images, dy, &mut scratch(), &mut g);
                patch_embed::backward_images(&p, grid, dy, dimages, &mut scratch());
            },
        );
    }
}

/// Returns the table of SigLIP's patches, without a class token.
fn bare(grid: Grid, width: usize) -> PatchEmbed<Spec> {
    let positional_embedding = Spec::new(&[grid.patches(), width], INIT);
    PatchEmbed { class_embedding: None, positional_embedding, ..spec(grid, width, true) }
}

/// There may be pixels that fill no patch.
#[test]
fn every_entry_without_a_class_token() {
    for (grid, width, pictures) in
        [(Grid::square(6, 3), 7, 1), (Grid::square(5, 2), 6, 3), (Grid { height: 7, width: 6, patch_size: 3 }, 5, 2)]
    {
        let name = format!("patch_embed without a class token, {grid:?}, width {width}, {pictures} pictures");
        Layer::new(name, bare(grid, width), [("images", pictures, grid.image_len())]).check(
            |p, [images]| oracle::patch_embed(p, grid, images),
            |Pass { p, x: [images], y, dy, dx: [dimages], mut g }| {
                let scratch = || poisoned(&Scratch::dims(grid, pictures * grid.patches(), width));
                patch_embed::forward(&p, grid, None, images, y, &mut scratch());
                patch_embed::backward(grid, None, images, dy, &mut scratch(), &mut g);
                patch_embed::backward_images(&p, grid, dy, dimages, &mut scratch());
            },
        );
    }
}

#[test]
fn every_entry_of_dropped_patches_without_a_class_token() {
    let (grid, width) = (Grid::square(7, 3), 6);
    for kept in kept(grid) {
        let images = random::matrix((3, grid.image_len()), 7);
        let of_each = kept.len() / 3;
        let rows: Vec<usize> = kept.iter().enumerate().map(|(i, &k)| i / of_each * 4 + k as usize).collect();
        Layer::new(format!("patch_embed without a class token, kept {kept:?}"), bare(grid, width), []).check(
            |p, []| oracle::patch_embed(p, grid, images.mapv(f64::from).view()).select(Axis(0), &rows),
            |Pass { p, y, dy, mut g, .. }: Pass<PatchEmbed<Spec>, 0>| {
                let scratch = || poisoned(&Scratch::dims(grid, kept.len(), width));
                patch_embed::forward(&p, grid, Some(&kept), images.view(), y, &mut scratch());
                patch_embed::backward(grid, Some(&kept), images.view(), dy, &mut scratch(), &mut g);
            },
        );
    }
}

/// What pictures keep of the patches of a grid: a few, one, all but one, and all.
fn kept(grid: Grid) -> [Vec<u32>; 4] {
    let (n, of_each) = (grid.patches() as u32, |k: u32| move |i: u32| (0..k).map(move |j| (2 * i + j) % 4));
    assert_eq!(n, 4);
    [2, 1, 3, 4].map(|k| (0..3).flat_map(of_each(k)).collect())
}

/// Returns which rows of the embedded pictures stay: each picture's class token, and the patches that it keeps.
fn rows(grid: Grid, kept: &[u32]) -> Vec<usize> {
    let pictures = kept.chunks(kept.len() / 3).enumerate();
    let rows = |(i, kept): (usize, &[u32])| {
        let first = i * grid.tokens();
        [first].into_iter().chain(kept.iter().map(move |&k| first + 1 + k as usize)).collect::<Vec<_>>()
    };
    pictures.flat_map(rows).collect()
}

#[test]
fn every_entry_where_patches_are_dropped() {
    let cases = [(Grid::square(6, 3), 7, false), (Grid { height: 2, width: 8, patch_size: 2 }, 6, true)];
    for (grid, width, has_bias) in cases {
        for kept in kept(grid) {
            let name = format!("patch_embed, {grid:?}, width {width}, kept {kept:?}");
            let images = random::matrix((3, grid.image_len()), 7);
            Layer::new(name, spec(grid, width, has_bias), []).check(
                |p, []| {
                    let all = oracle::patch_embed(p, grid, images.mapv(f64::from).view());
                    all.select(Axis(0), &rows(grid, &kept))
                },
                |Pass { p, y, dy, mut g, .. }: Pass<PatchEmbed<Spec>, 0>| {
                    let scratch = || poisoned(&Scratch::dims(grid, kept.len(), width));
                    patch_embed::forward(&p, grid, Some(&kept), images.view(), y, &mut scratch());
                    patch_embed::backward(grid, Some(&kept), images.view(), dy, &mut scratch(), &mut g);
                },
            );
        }
    }
}

/// A backward pass with other patches than the forward pass is found, as is one that takes patches for places.
#[test]
fn gradients_of_other_patches_are_wrong() {
    let (grid, width, kept) = (Grid::square(6, 3), 7, [0, 2, 1, 2, 0, 1]);
    let images = random::matrix((3, grid.image_len()), 7);
    for wrong in [[0, 2, 1, 2, 0, 3], [1, 3, 2, 3, 1, 2]] {
        let mismatches = Layer::new("patch_embed", spec(grid, width, false), []).mismatches(
            |p, []| oracle::patch_embed(p, grid, images.mapv(f64::from).view()).select(Axis(0), &rows(grid, &kept)),
            |Pass { p, y, dy, mut g, .. }: Pass<PatchEmbed<Spec>, 0>| {
                let scratch = || poisoned(&Scratch::dims(grid, kept.len(), width));
                patch_embed::forward(&p, grid, Some(&kept), images.view(), y, &mut scratch());
                patch_embed::backward(grid, Some(&wrong), images.view(), dy, &mut scratch(), &mut g);
            },
        );
        let wrong: Vec<_> = mismatches.iter().map(|mismatch| mismatch.tensor.as_str()).collect();
        assert_eq!(wrong, ["dpositional_embedding", "dconv1.weight"]);
    }
}

/// Returns the embedded rows and the gradients that `dx` gives.
fn pass(
    p: &Params<PatchEmbed<Spec>>,
    grid: Grid,
    kept: Option<&[u32]>,
    images: ArrayView2<f32>,
    dx: ArrayView2<f32>,
) -> (Array2<f32>, Vec<f32>) {
    let scratch = || poisoned(&Scratch::dims(grid, dx.nrows() - images.nrows(), dx.ncols()));
    let (mut x, mut g) = (Array2::from_elem(dx.dim(), f32::NAN), vec![0.0; p.flat.len()]);
    patch_embed::forward(&p.view(), grid, kept, images, x.view_mut(), &mut scratch());
    patch_embed::backward(grid, kept, images, dx, &mut scratch(), &mut view_mut(&p.spec, &mut g));
    (x, g)
}

/// The plain way is to embed all patches and to take the rows that are kept.
#[test]
fn dropped_patches_need_not_be_embedded() {
    let (grid, width) = (Grid::square(20, 10), 33);
    let p = random::params(spec(grid, width, true), 1);
    let images = random::matrix((3, grid.image_len()), 2);
    for kept in kept(grid) {
        let rows = rows(grid, &kept);
        let dx = random::matrix((rows.len(), width), 3);
        let mut dx_all = Array2::zeros((3 * grid.tokens(), width));
        rows.iter().zip(dx.rows()).for_each(|(&row, dx)| dx_all.row_mut(row).assign(&dx));
        let (x, g) = pass(&p, grid, Some(&kept), images.view(), dx.view());
        let (x_all, g_all) = pass(&p, grid, None, images.view(), dx_all.view());
        assert_close("x", x.view(), x_all.select(Axis(0), &rows).view());
        assert_leaves_close(&p.spec, &g, &g_all);
    }
}

#[test]
fn keeping_all_patches_changes_no_bit() {
    let (grid, width) = (Grid::square(20, 10), 33);
    let p = random::params(spec(grid, width, false), 1);
    let (images, all) = (random::matrix((3, grid.image_len()), 2), [0, 1, 2, 3].repeat(3));
    let dx = random::matrix((3 * grid.tokens(), width), 3);
    let [listed, whole] = [Some(&all[..]), None].map(|kept| pass(&p, grid, kept, images.view(), dx.view()));
    assert_eq!(listed, whole);
}
