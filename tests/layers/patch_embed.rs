use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::patch_embed::{self, CHANNELS, Grid, PatchEmbed, Scratch};
use clipwright::params::Spec;

fn spec(grid: Grid, width: usize) -> PatchEmbed<Spec> {
    PatchEmbed {
        class_embedding: Spec::new(&[width], INIT),
        positional_embedding: Spec::new(&[grid.tokens(), width], INIT),
        conv1_weight: Spec::new(&[width, CHANNELS, grid.patch_size, grid.patch_size], INIT),
    }
}

#[test]
fn every_entry() {
    for (image_size, patch_size, width, pictures) in [(3, 3, 6, 1), (6, 2, 10, 3), (9, 3, 7, 1), (5, 1, 6, 3)] {
        let grid = Grid { image_size, patch_size };
        let name = format!("patch_embed, {grid:?}, width {width}, {pictures} pictures");
        Layer::new(name, spec(grid, width), [("images", pictures, grid.image_len())]).check(
            |p, [images]| oracle::patch_embed(p, grid, images),
            |Pass { p, x: [images], y, dy, dx: [dimages], mut g }| {
                let scratch = || poisoned(&Scratch::dims(grid, pictures, width));
                patch_embed::forward(&p, grid, images, y, &mut scratch());
                patch_embed::backward(grid, images, dy, &mut scratch(), &mut g);
                patch_embed::backward_images(&p, grid, dy, dimages, &mut scratch());
            },
        );
    }
}
