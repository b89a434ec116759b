//! Tests of augmentation: each step does what it says, and all of them together stay within bounds.

use clipwright::batches::rand_augment::Operation::{self, *};
use clipwright::batches::style::{Pen, Style};
use clipwright::random::rng;
use clipwright::{batches::*, pictures::*};
use proptest::prelude::*;

const SIDE: usize = 16;

fn plain() -> Preprocess {
    Preprocess {
        size: SIDE,
        mean: [0.0; 3],
        std: [1.0 / 255.0; 3],
        resize_mode: ResizeMode::Squash,
        ..Preprocess::default()
    }
}

/// Returns settings with every step off.
fn off() -> Augment {
    Augment { area: 1.0..=1.0, aspect: 1.0..=1.0, ..Augment::default() }
}

/// Makes a picture without symmetry, in all colours.
fn picture(side: usize) -> Picture {
    let samples =
        (0..side * side).flat_map(|i| [i % side * 9, i / side * 8 + 20, i * 13 + 5].map(|v| v as u8)).collect();
    Picture { width: side, height: side, mode: Channels::Rgb, samples, ..Picture::default() }
}

fn run(augment: &Augment, picture: &Picture, may_flip: bool, seed: u64) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3 * SIDE * SIDE];
    augment.apply(&plain(), picture, may_flip, &mut rng(&[seed]), &mut Scratch::default(), &mut out);
    out.iter().map(|v| v.round()).collect()
}

fn unvaried(picture: &Picture) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3 * SIDE * SIDE];
    plain().apply(picture, &mut Scratch::default(), &mut out);
    out.iter().map(|v| v.round()).collect()
}

#[test]
fn nothing_changes_with_every_step_off() {
    for side in [SIDE, 40, 7] {
        assert_eq!(run(&off(), &picture(side), true, 1), unvaried(&picture(side)));
    }
}

#[test]
fn a_mirrored_picture_is_reversed_and_only_where_it_may() {
    let mirror = Augment { mirror: 1.0, ..off() };
    let original = unvaried(&picture(SIDE));
    let reversed: Vec<f32> = original.chunks(SIDE).flat_map(|row| row.iter().rev().copied()).collect();
    assert_eq!(run(&mirror, &picture(SIDE), true, 1), reversed);
    assert_eq!(run(&mirror, &picture(SIDE), false, 1), original);
}

#[test]
fn a_shift_moves_the_picture_by_its_share_of_the_side() {
    let shift = Augment { shift: 0.25, ..off() };
    // A picture that brightens from left to right by 10 a pixel: its middle shows how far it moved.
    let samples = (0..SIDE * SIDE).flat_map(|i| [(i % SIDE * 10) as u8; 3]).collect();
    let ramp = Picture { width: SIDE, height: SIDE, mode: Channels::Rgb, samples, ..Picture::default() };
    let moves: Vec<f32> = (0..200).map(|seed| (run(&shift, &ramp, true, seed)[SIDE / 2] - 80.0) / 10.0).collect();
    let (least, most) = moves.iter().fold((0.0f32, 0.0f32), |(a, b), &v| (a.min(v), b.max(v)));
    assert!((-4.0..-3.5).contains(&least) && most > 3.5 && most <= 4.0, "{least} {most}");
}

#[test]
fn grey_has_no_colour_and_keeps_luminance() {
    let out = run(&Augment { grey: 1.0, ..off() }, &picture(SIDE), true, 1);
    let [red, green, blue] = [0, 1, 2].map(|c| &out[c * SIDE * SIDE..][..SIDE * SIDE]);
    assert!(red == green && green == blue);
    let rgb = &picture(SIDE).samples[30..33];
    let luminance = 0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2]);
    assert!((red[10] - luminance).abs() <= 0.5);
}

#[test]
fn brightness_scales_every_channel_alike() {
    let flat =
        Picture { width: 8, height: 8, mode: Channels::Rgb, samples: [100, 50, 20].repeat(64), ..Picture::default() };
    for seed in 0..50 {
        let out = run(&Augment { brightness: 0.5, ..off() }, &flat, true, seed);
        let factor = out[0] / 100.0;
        assert!((0.49..1.51).contains(&factor));
        assert!((out[SIDE * SIDE] - 50.0 * factor).abs() <= 1.0 && (out[2 * SIDE * SIDE] - 20.0 * factor).abs() <= 1.0);
    }
}

const MODES: [Channels; 6] =
    [Channels::Grey, Channels::GreyAlpha, Channels::Rgb, Channels::Rgba, Channels::Palette, Channels::PaletteAlpha];

/// For Hugging Face's models a picture is laid over white first, as in [`Preprocess::apply`].
#[test]
fn training_for_hugging_face_lays_pictures_over_white() {
    let preprocess = Preprocess { size: SIDE, library: Library::HuggingFace, ..Preprocess::default() };
    for mode in MODES {
        let mut picture = Picture::new(31, 23, mode);
        picture.samples.iter_mut().enumerate().for_each(|(i, sample)| *sample = (i * i % 251) as u8);
        let mut white = Picture::default();
        picture.on_white(&mut white);
        for augment in [Augment::default(), Augment::drawings()] {
            let [out, expected] = [&picture, &white].map(|picture| {
                let mut out = vec![f32::NAN; 3 * SIDE * SIDE];
                augment.apply(&preprocess, picture, true, &mut rng(&[7]), &mut Scratch::default(), &mut out);
                out
            });
            assert!(out == expected && out.iter().all(|v| v.is_finite()), "{mode:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_picture_gives_pixels(width in 1..80usize, height in 1..80usize, mode in 0..6usize, seed in any::<u64>()) {
        let mode = MODES[mode];
        let out = run(&Augment::drawings(), &Picture::new(width, height, mode), true, seed);
        prop_assert!(out.iter().all(|v| (0.0..=255.0).contains(v)));
        prop_assert_eq!(out, run(&Augment::drawings(), &Picture::new(width, height, mode), true, seed));
    }
}

/// Makes the picture of (x, y) ↦ colour.
fn drawn(width: usize, height: usize, colour: impl Fn(usize, usize) -> [usize; 3]) -> Picture {
    let samples = (0..width * height).flat_map(|i| colour(i % width, i / width).map(|v| v as u8)).collect();
    Picture { width, height, mode: Channels::Rgb, samples, ..Picture::default() }
}

/// Rows of what OpenCV's `warpAffine` and the tables of BLIP's code make of two pictures. OpenCV weighs pixels in steps
/// of 1/32, so moved ones may differ by a few levels.
#[test]
fn operations_of_rand_augment_are_the_originals() {
    let small = drawn(9, 7, |x, y| [(40 + x * 17 + y * 3) % 256, (y * 31 + x * x * 2) % 200, (x * y * 5 + 90) % 256]);
    let large = drawn(50, 40, |x, y| [(40 + x * 3 + y) % 256, (y * 5 + x * x) % 200, (x * y + 90) % 256]);
    let rows: [(Operation, usize, [u8; 27]); 7] = [
        (
            ShearX(0.15),
            3,
            [
                85, 109, 107, 58, 94, 98, 75, 98, 113, 92, 106, 128, 109, 119, 143, 126, 135, 158, 143, 155, 173, 160,
                179, 188, 177, 97, 203,
            ],
        ),
        (
            ShearY(0.15),
            3,
            [
                49, 93, 90, 66, 90, 104, 82, 92, 117, 99, 97, 128, 115, 106, 138, 132, 120, 146, 148, 137, 153, 165,
                158, 158, 181, 184, 162,
            ],
        ),
        (
            TranslateX(5.0),
            3,
            [
                134, 143, 165, 151, 165, 180, 168, 191, 195, 185, 21, 210, 128, 128, 128, 128, 128, 128, 128, 128, 128,
                128, 128, 128, 128, 128, 128,
            ],
        ),
        (
            TranslateY(5.0),
            1,
            [
                58, 186, 90, 75, 188, 120, 92, 194, 150, 109, 4, 180, 126, 18, 210, 143, 36, 240, 160, 58, 14, 177, 84,
                44, 194, 114, 74,
            ],
        ),
        (
            Rotate(15.0),
            3,
            [
                50, 58, 93, 68, 69, 103, 85, 84, 116, 102, 102, 132, 119, 124, 150, 136, 150, 170, 154, 173, 193, 171,
                77, 219, 187, 50, 246,
            ],
        ),
        (
            AutoContrast,
            3,
            [
                14, 120, 85, 43, 123, 101, 71, 131, 117, 99, 144, 133, 127, 162, 149, 155, 186, 165, 183, 214, 180,
                211, 248, 196, 240, 27, 212,
            ],
        ),
        (
            Equalize,
            3,
            [
                0, 21, 78, 1, 23, 94, 3, 26, 97, 4, 33, 101, 6, 44, 104, 9, 57, 109, 12, 73, 115, 15, 90, 118, 19, 111,
                121,
            ],
        ),
    ];
    for (operation, y, row) in rows {
        let mut picture = if operation == Equalize { large.clone() } else { small.clone() };
        let start = y * picture.width;
        operation.apply(&mut picture, &mut Picture::default());
        let is_exact = matches!(operation, AutoContrast | Equalize | TranslateX(_) | TranslateY(_));
        let made = &picture.samples.as_chunks::<3>().0[start..];
        for (x, (own, right)) in made.iter().zip(row.as_chunks::<3>().0).enumerate() {
            let off = own.iter().zip(right).map(|(own, right)| own.abs_diff(*right)).max().unwrap();
            assert!(off <= if is_exact { 0 } else { 4 }, "{operation:?} at {x}: {own:?} instead of {right:?}");
        }
    }
}

#[test]
fn rand_augment_varies_and_leaves_alone() {
    let (settings, original) = (Augment { rand_augment: true, ..off() }, unvaried(&picture(SIDE)));
    let varied = (0..200).filter(|&seed| run(&settings, &picture(SIDE), true, seed) != original).count();
    // Neither of two draws changes anything with a probability of (1 − 7/20)²; a few stretch what is stretched already.
    assert!((80..=140).contains(&varied), "{varied} of 200 varied");
    assert_eq!(run(&settings, &picture(SIDE), true, 3), run(&settings, &picture(SIDE), true, 3));
}

/// An orange square on white: its shape is there in every style.
#[test]
fn styles_keep_the_shape() {
    let inside = |x: usize, y: usize| (4..12).contains(&x) && (4..12).contains(&y);
    let square = drawn(SIDE, SIDE, |x, y| if inside(x, y) { [240, 160, 40] } else { [255; 3] });
    let pen = Pen { floor: 20.0, strength: 6.0 };
    let (white, black) = ([255; 3], [0; 3]);
    for (style, middle, border) in [
        (Style::Ink { threshold: 0.5, contrast: 20.0 }, black, black),
        (Style::Lines(pen), white, black),
        (Style::Outlines { pen, levels: 3 }, [255, 128, 0], black),
    ] {
        let mut picture = square.clone();
        style.apply(&mut picture, &mut Picture::default());
        let at = |x: usize, y: usize| picture.samples.as_chunks::<3>().0[y * SIDE + x];
        assert_eq!([at(0, 0), at(8, 8), at(4, 8), at(8, 11)], [white, middle, border, border], "{style:?}");
    }
}

#[test]
fn a_part_of_the_pictures_changes_its_style() {
    let (settings, original) = (Augment { style: 0.4, ..off() }, unvaried(&picture(SIDE)));
    let varied = (0..500).filter(|&seed| run(&settings, &picture(SIDE), true, seed) != original).count();
    assert!((160..=240).contains(&varied), "{varied} of 500 varied");
}
