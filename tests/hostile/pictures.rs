//! Hostile picture files of all formats.

use super::support::jpeg::{Coding, FACTORS, Layout};
use super::{cases, damaged, edits};
use clipwright::pictures::decode::{self, decode};
use clipwright::pictures::{Channels, Picture, Preprocess, Reading, ResizeMode, Scratch, View};
use image::{DynamicImage, ImageFormat, RgbaImage};
use proptest::prelude::*;
use std::io::Cursor;
use std::sync::LazyLock;

const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];

/// Returns one small picture in every format and kind of pixel that the format has.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let picture = RgbaImage::from_fn(19, 11, |x, y| image::Rgba([(x * 13) as u8, (y * 23) as u8, (x * y) as u8, 200]));
    let rgba = DynamicImage::from(picture);
    // Pillow reads no colours in floating point, which TIFF has too.
    let kinds = [
        DynamicImage::from(rgba.to_rgb8()),
        DynamicImage::from(rgba.to_luma8()),
        DynamicImage::from(rgba.to_luma16()),
        DynamicImage::from(rgba.to_rgba16()),
        rgba,
    ];
    FORMATS.iter().flat_map(|&format| kinds.iter().filter_map(move |kind| encoded(kind, format))).collect()
});

/// Returns small JPEG files of every layout.
static LAYOUTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut files = vec![];
    for factors in FACTORS {
        for coding in [Coding::Whole, Coding::Alone, Coding::Progressive] {
            let (i, factors) = (files.len(), factors.to_vec());
            let (restarts, orientation, seed) = (i % 4, Some(i as u8 % 8 + 1), i as u64);
            files.push(Layout { width: 91, height: 37, factors, coding, restarts, orientation, seed }.file());
        }
    }
    files
});

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Option<Vec<u8>> {
    let mut file = Cursor::new(vec![]);
    picture.write_to(&mut file, format).ok()?;
    Some(file.into_inner())
}

/// Prepares a picture for a model.
fn prepared(preprocess: &Preprocess, picture: Picture, exif: bool) -> Vec<f32> {
    assert_eq!(picture.samples.len(), picture.width * picture.height * picture.mode.channels());
    let picture = if exif { picture.upright() } else { picture };
    let mut out = vec![f32::NAN; 3 * preprocess.size * preprocess.size];
    preprocess.apply(&picture, &mut Scratch::default(), &mut out);
    assert!(out.iter().all(|v| v.is_finite()));
    out
}

/// A picture that can be decoded can also be prepared for a model, by way of any part of it. What the whole gives, the
/// part that is needed gives too, and if either is an error, so is the other.
fn look(bytes: &[u8]) {
    let whole = decode(bytes);
    for (size, resize_mode, exif) in [(4, ResizeMode::Shortest, true), (16, ResizeMode::Longest, false)] {
        let preprocess = Preprocess { size, resize_mode, ..Preprocess::default() };
        for fast_decode in [false, true] {
            let view = View { reading: Reading { exif, fast_decode }, ..View::of(&preprocess) };
            let part = view.decode(bytes);
            assert_eq!(part.is_ok(), whole.is_ok());
            let (Ok(part), Ok(whole)) = (part, &whole) else { continue };
            let part = prepared(&preprocess, part, exif);
            assert!(fast_decode || part == prepared(&preprocess, whole.clone(), exif), "{view:?}");
        }
    }
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[
    damaged_pictures_are_survived,
    damaged_jpegs_are_survived,
    monstrous_sizes_are_survived,
    mixed_formats_are_survived,
];

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn damaged_pictures_are_survived(which in any::<prop::sample::Index>(), edits in edits()) {
        look(&damaged(&FILES[which.index(FILES.len())], &edits));
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn damaged_jpegs_are_survived(which in any::<prop::sample::Index>(), edits in edits()) {
        look(&damaged(&LAYOUTS[which.index(LAYOUTS.len())], &edits));
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// The first bytes are changed, which hold the size in every format but JPEG.
    #[test]
    fn monstrous_sizes_are_survived(which in any::<prop::sample::Index>(), at in 0..40usize, bytes in prop::sample::select(&[[0xff; 4], [0; 4], [0x7f, 0xff, 0xff, 0xff], [0, 0, 0xea, 0x60], [0x60, 0xea, 0, 0]][..])) {
        let mut file = FILES[which.index(FILES.len())].clone();
        file[at..at + 4].copy_from_slice(&bytes);
        look(&file);
    }

    /// The first bytes are of one format and the rest of another.
    #[test]
    fn mixed_formats_are_survived(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), cut in 0..60usize) {
        let (a, b) = (&FILES[a.index(FILES.len())], &FILES[b.index(FILES.len())]);
        look(&[&a[..cut.min(a.len())], &b[cut.min(b.len())..]].concat());
    }
}

#[test]
fn every_format_is_tried_whole() {
    assert!(FILES.len() > 15, "{}", FILES.len());
    FILES.iter().chain(LAYOUTS.iter()).for_each(|file| look(file));
    assert!(LAYOUTS.iter().all(|file| decode(file).is_ok_and(|picture| (picture.width, picture.height) == (91, 37))));
    assert!(FILES.iter().all(|file| decode(file).is_ok_and(|picture| (picture.width, picture.height) == (19, 11))));
}

#[test]
fn the_bytes_decide_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    for file in FILES.iter() {
        std::fs::write(&path, file).unwrap();
        assert_eq!(decode::open(&path).unwrap().width, 19);
    }
    for text in ["", "not a picture", "<svg/>"] {
        std::fs::write(&path, text).unwrap();
        assert!(decode::open(&path).unwrap_err().to_string().contains("picture.jpg"));
    }
}

/// A GIF of 0 × 0 pixels is valid, but has nothing to resize and is refused.
#[test]
fn a_picture_without_pixels_is_no_picture() {
    let mut gif = b"GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0;");
    for size in [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]] {
        gif[6..10].copy_from_slice(&size);
        assert!(decode(&gif).is_err(), "{size:?}");
    }
    gif[6..10].copy_from_slice(&[1, 0, 1, 0]);
    assert!(decode(&gif).is_ok());
}

/// Nine hundred million grey pixels pass every limit on bytes but would take 2.7 GB as red, green and blue.
#[test]
fn a_picture_of_one_colour_cannot_fill_the_memory() {
    let file = |width: u32, height: u32| {
        let mut file = vec![];
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header().unwrap().write_image_data(&vec![0; (width.div_ceil(8) * height) as usize]).unwrap();
        file
    };
    let bomb = file(30_000, 10_000);
    assert!(bomb.len() < 1 << 16, "{}", bomb.len());
    assert!(decode(&bomb).is_err());
    assert_eq!(decode(&file(3000, 100)).unwrap().width, 3000);
}

/// A device, which a table can name through a link, and a huge sparse file are refused.
#[cfg(unix)]
#[test]
fn a_file_without_end_is_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endless.png");
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(decode::open(&path).unwrap_err().to_string().contains("not a file"));
    std::fs::File::create(folder.path().join("hole.png")).unwrap().set_len(1 << 40).unwrap();
    assert!(decode::open(&folder.path().join("hole.png")).unwrap_err().to_string().contains("larger than"));
}

/// EXIF data changes no pixel, whatever it says; how to turn the picture is noted beside them.
#[test]
fn exif_changes_nothing() {
    let plain =
        encoded(&DynamicImage::from(image::RgbImage::from_pixel(8, 16, image::Rgb([9, 99, 200]))), ImageFormat::Jpeg)
            .unwrap();
    let picture = decode(&plain).unwrap();
    for exif in [
        &b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"[..],
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0",
    ] {
        let length = (exif.len() as u16 + 2).to_be_bytes();
        let file = [&plain[..2], &[0xff, 0xe1], &length, exif, &plain[2..]].concat();
        let tagged = decode(&file).unwrap();
        assert_eq!(Picture { orientation: picture.orientation, ..tagged }, picture);
    }
    assert_eq!((picture.width, picture.height, picture.mode), (8, 16, Channels::Rgb));
    assert_ne!(picture, Picture::default());
}
