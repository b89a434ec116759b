//! Of a JPEG, the part that a model's square depends on is decoded alone: the square is the same to the last bit.

#[path = "../support/jpeg.rs"]
mod jpeg;

use clipwright::pictures::decode::decode;
use clipwright::pictures::{Channels, Interpolation, Library, Picture, Preprocess, Reading, ResizeMode, Scratch, View};
use jpeg::{Coding, FACTORS, Layout};
use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;

fn prepare(preprocess: &Preprocess, picture: Picture, upright: bool) -> Vec<f32> {
    let picture = if upright { picture.upright() } else { picture };
    let mut out = vec![f32::NAN; 3 * preprocess.size * preprocess.size];
    preprocess.apply(&picture, &mut Scratch::default(), &mut out);
    out
}

/// Asserts that the part of a file gives what the whole gives, and the same error. Returns the share of the pixels that
/// was decoded.
#[track_caller]
fn agree(file: &[u8], preprocess: &Preprocess, upright: bool) -> f64 {
    let view = View { reading: Reading { exif: upright, fast_decode: false }, ..View::of(preprocess) };
    match (decode(file), view.decode(file)) {
        (Ok(whole), Ok(part)) => {
            let share = part.samples.len() as f64 / whole.samples.len() as f64;
            assert_eq!((part.size(), part.orientation, part.mode), (whole.size(), whole.orientation, whole.mode));
            assert_eq!(view.digest(&part), view.digest(&whole));
            assert!(prepare(preprocess, part, upright) == prepare(preprocess, whole, upright), "{view:?}");
            share
        }
        (Err(whole), Err(part)) => {
            assert_eq!(whole.to_string(), part.to_string());
            1.0
        }
        (whole, part) => panic!("{:?} but {:?}", whole.err(), part.err()),
    }
}

fn preparations() -> impl Strategy<Value = Preprocess> {
    let modes = select(&[ResizeMode::Shortest, ResizeMode::Shortest, ResizeMode::Longest, ResizeMode::Squash][..]);
    let filters = select(&[Interpolation::Bicubic, Interpolation::Bilinear][..]);
    let libraries = select(&[Library::OpenClip, Library::HuggingFace][..]);
    let sizes = prop_oneof![1..9usize, 9..70usize];
    (sizes, modes, filters, libraries).prop_map(|(size, resize_mode, interpolation, library)| Preprocess {
        size,
        resize_mode,
        interpolation,
        library,
        ..Preprocess::default()
    })
}

fn layouts() -> impl Strategy<Value = Layout> {
    let side = || prop_oneof![2 => 1..40usize, 2 => 40..150usize, 1 => 150..700usize];
    let codings = select(&[Coding::Whole, Coding::Whole, Coding::Alone, Coding::Progressive][..]);
    (side(), side(), select(&FACTORS[..]), codings, 0..20usize, 0..9u8, any::<u64>()).prop_map(
        |(width, height, factors, coding, restarts, orientation, seed)| Layout {
            width,
            height,
            factors: factors.to_vec(),
            coding,
            // Half of all files have no restart markers.
            restarts: restarts.saturating_sub(10),
            orientation: (orientation > 0).then_some(orientation),
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_part_is_what_the_whole_is_there(layout in layouts(), preprocess in preparations(), upright in any::<bool>()) {
        let file = layout.file();
        prop_assert!(decode(&file).is_ok(), "{:?}", decode(&file).err());
        agree(&file, &preprocess, upright);
    }

    /// What follows the part is not read, and still a damaged file is a picture or none as if it were.
    #[test]
    fn damage_behind_the_part_counts_all_the_same(
        layout in layouts(), preprocess in preparations(), place in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut file = layout.file();
        let at = place.index(file.len());
        file[at] = value;
        file.insert(at, 0xff);
        if cut {
            file.truncate(at);
        }
        agree(&file, &preprocess, true);
    }
}

/// The layouts that libjpeg and Pillow write, damaged files among them.
#[test]
fn parts_of_the_golden_files_are_what_the_whole_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let (mut seen, mut cut) = (0, 0);
    for file in files.filter(|file| file.starts_with(b"\xff\xd8")) {
        for (size, library) in [(5, Library::OpenClip), (24, Library::HuggingFace), (50, Library::OpenClip)] {
            let preprocess = Preprocess { size, library, ..Preprocess::default() };
            cut += usize::from(agree(&file, &preprocess, seen % 2 == 0) < 1.0);
            seen += 1;
        }
    }
    assert!(seen > 300 && cut > 100, "{cut} of {seen}");
}

/// Of a panorama only the middle is decoded, and a margin for the filter.
#[test]
fn what_is_not_looked_at_is_left_out() {
    let layout = Layout {
        width: 4000,
        height: 200,
        factors: FACTORS[2].to_vec(),
        coding: Coding::Whole,
        restarts: 0,
        orientation: None,
        seed: 1,
    };
    let preprocess = Preprocess { size: 50, ..Preprocess::default() };
    let share = agree(&layout.file(), &preprocess, false);
    assert!((0.05..0.06).contains(&share), "{share}");
    assert_eq!(agree(&layout.file(), &Preprocess { resize_mode: ResizeMode::Squash, ..preprocess }, false), 1.0);
}

/// With a fast decode, a pixel is the mean of a square of pixels.
#[test]
fn fast_decoding_takes_the_means_of_squares() {
    for (factors, by) in [FACTORS[6], FACTORS[2], FACTORS[0]].into_iter().flat_map(|f| [2, 4, 8].map(|by| (f, by))) {
        let (width, height) = (203, 134);
        let factors = factors.to_vec();
        let layout =
            Layout { width, height, factors, coding: Coding::Whole, restarts: 0, orientation: None, seed: by as u64 };
        let file = layout.file();
        // The largest edge at which the picture is still shrunk as much, all of which is looked at.
        let size = height / (2 * by);
        let preprocess = Preprocess { size, resize_mode: ResizeMode::Squash, ..Preprocess::default() };
        let view = |preprocess| View { reading: Reading { exif: false, fast_decode: true }, ..View::of(&preprocess) };
        let (whole, small) = (decode(&file).unwrap(), view(preprocess.clone()).decode(&file).unwrap());
        assert_eq!(small.size(), (width.div_ceil(by), height.div_ceil(by)));
        assert_eq!(small.cut, None);
        if whole.mode == Channels::Grey {
            let sample = |x: usize, y: usize| f64::from(whole.samples[y * width + x]);
            for (y, x) in (0..height / by).flat_map(|y| (0..width / by).map(move |x| (y, x))) {
                let square = (0..by * by).map(|n| sample(by * x + n % by, by * y + n / by));
                let all: Vec<f64> = square.collect();
                // Where samples are clipped, their mean is not that of the clipped ones.
                if all.iter().all(|sample| (1.0..255.0).contains(sample)) {
                    let mean = all.iter().sum::<f64>() / all.len() as f64;
                    let own = f64::from(small.samples[y * small.width + x]);
                    assert!((own - mean).abs() < 1.5, "{own} instead of {mean} at {x}, {y}");
                }
            }
        }

        // A part of the small picture is what the whole small picture has there.
        let part = view(Preprocess { resize_mode: ResizeMode::Shortest, ..preprocess.clone() }).decode(&file).unwrap();
        let (cut, channels) = (part.cut.unwrap(), part.mode.channels());
        assert_eq!(cut.whole, small.size());
        for y in 0..part.height {
            let start = ((cut.corner.1 + y) * small.width + cut.corner.0) * channels;
            let row = &small.samples[start..][..part.width * channels];
            assert!(row == &part.samples[y * part.width * channels..][..part.width * channels], "row {y}");
        }
        let larger = Preprocess { size: height / 2 + 1, ..preprocess };
        assert_eq!(view(larger).decode(&file).unwrap(), whole, "too small to be shrunk");
    }
}

/// EXIF data behind the picture still decides how it is turned, and so which part is needed.
#[test]
fn a_turn_that_is_said_late_is_made() {
    let layout = Layout {
        width: 300,
        height: 40,
        factors: FACTORS[2].to_vec(),
        coding: Coding::Alone,
        restarts: 3,
        orientation: Some(6),
        seed: 2,
    };
    let early = layout.file();
    let plain = Layout { orientation: None, ..layout }.file();
    let exif = &early[2..early.len() - plain.len() + 2];
    let late = [&plain[..plain.len() - 2], exif, &plain[plain.len() - 2..]].concat();
    let preprocess = Preprocess { size: 16, ..Preprocess::default() };
    assert!(agree(&late, &preprocess, true) < 0.3);
    let prepared = |file: &[u8]| prepare(&preprocess, decode(file).unwrap(), true);
    assert!(prepared(&late) == prepared(&early));
}
