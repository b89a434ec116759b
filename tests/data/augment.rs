//! Tests of augmentation: each step does what it says, and all of them together stay within bounds.

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
