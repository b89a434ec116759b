use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::patch_embed::{self, CHANNELS, Grid, PatchEmbed, Scratch};
use clipwright::params::Spec;

fn spec(grid: Grid, width: usize, has_bias: bool) -> PatchEmbed<Spec> {
    PatchEmbed {
        class_embedding: Spec::new(&[width], INIT),
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
                let scratch = || poisoned(&Scratch::dims(grid, pictures, width));
                patch_embed::forward(&p, grid, images, y, &mut scratch());
                patch_embed::backward(grid, images, dy, &mut scratch(), &mut g);
                patch_embed::backward_images(&p, grid, dy, dimages, &mut scratch());
            },
        );
    }
}
