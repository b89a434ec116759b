//! Pictures against Pillow and torchvision, bit for bit, and against forged files.

use clipwright::pictures::PictureError;
use clipwright::pictures::decode::{decode, open};
use clipwright::pictures::resize::{Region, Resizer};
use clipwright::pictures::{Channels, Interpolation, Library, Picture, Preprocess, ResizeMode, Scratch};
use proptest::prelude::*;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess")
}

fn prepare(preprocess: &Preprocess, picture: &Picture) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3 * preprocess.size * preprocess.size];
    preprocess.apply(picture, &mut Scratch::default(), &mut out);
    out
}

/// Every picture in the golden folder, greyscale and transparency included, equals the reference in both modes.
#[test]
fn equals_pillow_and_torchvision_bit_for_bit() {
    let file = std::fs::read(golden().join("pixels.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(tensors.len(), 8);
    for (name, tensor) in tensors.tensors() {
        let (picture, mode) = name.rsplit_once('.').unwrap();
        let resize_mode = if mode == "squash" { ResizeMode::Squash } else { ResizeMode::Shortest };
        let preprocess = Preprocess { size: tensor.shape()[2], resize_mode, ..Preprocess::default() };
        let expected: Vec<f32> = tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let actual = prepare(&preprocess, &open(&golden().join(picture)).unwrap());
        assert!(actual == expected, "{name} differs");
    }
}

fn resized(picture: &Picture, size: (usize, usize), filter: Interpolation) -> Vec<u8> {
    let mut out = Picture::default();
    let whole = Region { x: 0, y: 0, width: size.0, height: size.1 };
    Resizer::default().resize(picture, Region::whole(picture.size()), size, whole, filter, &mut out);
    out.samples
}

/// Values computed with Pillow 13 on the ramp 4·(8 row + column).
#[test]
fn bicubic_equals_pillow_on_a_ramp() {
    let samples = (0..64).map(|i| 4 * i).collect();
    let ramp = Picture { width: 8, height: 8, mode: Channels::Grey, samples, ..Picture::default() };
    let bicubic = |size| resized(&ramp, size, Interpolation::Bicubic);
    assert_eq!(bicubic((4, 4)), [19, 27, 35, 43, 81, 89, 97, 105, 147, 155, 163, 171, 209, 217, 225, 233]);
    assert_eq!(bicubic((3, 3)), [33, 43, 53, 116, 126, 136, 199, 209, 219]);
    assert_eq!(bicubic((11, 8))[..11], [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 28]);
}

/// A window equals that part of the whole result.
#[test]
fn a_window_shows_what_the_whole_shows() {
    let picture = open(&golden().join("1_37x91_RGB.png")).unwrap();
    let (size, window) = ((50, 40), Region { x: 7, y: 5, width: 30, height: 20 });
    for filter in [Interpolation::Bicubic, Interpolation::Bilinear] {
        let whole = resized(&picture, size, filter);
        let mut part = Picture::default();
        Resizer::default().resize(&picture, Region::whole(picture.size()), size, window, filter, &mut part);
        for (y, row) in part.samples.chunks_exact(90).enumerate() {
            assert_eq!(row, &whole[((y + 5) * 50 + 7) * 3..][..90]);
        }
    }
}

#[test]
fn longest_pads_with_black() {
    let picture = Picture { width: 4, height: 2, mode: Channels::Rgb, samples: vec![255; 24], ..Picture::default() };
    let preprocess = Preprocess {
        size: 4,
        mean: [0.0; 3],
        std: [1.0; 3],
        resize_mode: ResizeMode::Longest,
        ..Preprocess::default()
    };
    let plane = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(prepare(&preprocess, &picture), [plane; 3].concat());
}

/// The numbers are those of `CLIPImageProcessorPil` of transformers 5.23. Torchvision would begin the crop of the first
/// two at pixel 2.
#[test]
fn hugging_faces_crop_begins_at_the_lower_half() {
    let plain =
        Preprocess { mean: [0.0; 3], std: [1.0 / 255.0; 3], library: Library::HuggingFace, ..Preprocess::default() };
    for (width, height, corner) in [(7, 4, [1, 0]), (4, 7, [0, 1]), (5, 4, [0, 0]), (9, 4, [2, 0]), (11, 4, [3, 0])] {
        let samples = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 0])).collect();
        let picture = Picture { width, height, mode: Channels::Rgb, samples, ..Picture::default() };
        let out = prepare(&Preprocess { size: 4, ..plain.clone() }, &picture);
        assert_eq!([out[0].round(), out[16].round()], corner.map(|side: i32| side as f32), "{width} × {height}");
    }
}

/// Makes a picture of 6 × 5 pixels with arbitrary samples.
fn anything(mode: Channels) -> Picture {
    let samples = (0..6 * 5 * mode.channels()).map(|i| (i * 37 + 11) as u8).collect();
    Picture { width: 6, height: 5, mode, samples, ..Picture::default() }
}

/// Whoever keeps many pictures keeps them small.
#[test]
fn a_reduced_picture_is_prepared_to_the_same_values() {
    use Channels::*;
    for mode in [Grey, GreyAlpha, GreyKeyed, Grey16, Rgb, Rgba, RgbKeyed, Palette, PaletteAlpha, Cmyk, YCbCr] {
        for resize_mode in [ResizeMode::Shortest, ResizeMode::Longest, ResizeMode::Squash] {
            for library in [Library::OpenClip, Library::HuggingFace] {
                let preprocess = Preprocess { size: 4, resize_mode, library, ..Preprocess::default() };
                let reduced = preprocess.reduce(&anything(mode), &mut Scratch::default());
                assert!(reduced.width.max(reduced.height) <= 4 && reduced.mode == Rgb, "{mode:?}");
                let both = [&reduced, &anything(mode)].map(|picture| prepare(&preprocess, picture));
                assert_eq!(both[0], both[1], "{mode:?} {resize_mode:?} {library:?}");
            }
        }
    }
}

/// Stores [`anything`] as a PNG whose palette has an opacity for every colour.
fn transparent_palette() -> Vec<u8> {
    let pixels = anything(Channels::Rgba).samples;
    let (mut file, colours) = (vec![], pixels.as_chunks::<4>().0);
    let mut encoder = png::Encoder::new(&mut file, 6, 5);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(colours.iter().flat_map(|colour| &colour[..3]).copied().collect::<Vec<u8>>());
    encoder.set_trns(colours.iter().map(|colour| colour[3]).collect::<Vec<u8>>());
    encoder.write_header().unwrap().write_image_data(&(0..30).collect::<Vec<u8>>()).unwrap();
    file
}

/// The numbers are those of `CLIPImageProcessorPil` of transformers 5.24 and of open_clip 3.3's transform.
#[test]
fn each_library_sees_transparency_in_its_own_way() {
    let red = |library, picture: &Picture| -> Vec<u8> {
        let mean_std = Preprocess { mean: [0.0; 3], std: [1.0 / 255.0; 3], ..Preprocess::default() };
        let out = prepare(&Preprocess { size: 4, library, ..mean_std }, picture);
        out[..16].iter().map(|v| v.round() as u8).collect()
    };
    let over_white = [168, 187, 186, 194, 167, 172, 185, 183, 165, 178, 185, 181, 190, 156, 192, 190];
    let over_white_grey = [199, 182, 226, 180, 199, 189, 194, 222, 177, 202, 182, 202, 218, 181, 205, 176];
    let opaque_grey = [44, 62, 129, 180, 188, 45, 81, 139, 200, 172, 41, 94, 147, 214, 143, 43];
    let nearest = [11, 51, 199, 239, 131, 171, 63, 103, 115, 155, 47, 87, 235, 19, 167, 207];
    let palette = decode(&transparent_palette()).unwrap();
    assert_eq!(red(Library::HuggingFace, &anything(Channels::Rgba)), over_white);
    assert_eq!(red(Library::HuggingFace, &palette), over_white);
    assert_eq!(red(Library::HuggingFace, &anything(Channels::GreyAlpha)), over_white_grey);
    assert_eq!(red(Library::HuggingFace, &anything(Channels::Grey)), opaque_grey);
    assert_eq!(red(Library::OpenClip, &palette), nearest);
}

/// A strip whose resized form would not fit any memory is cropped before it is made.
#[test]
fn a_very_long_picture_is_cheap() {
    let strip =
        Picture { width: 20_000, height: 1, mode: Channels::Rgb, samples: vec![7; 60_000], ..Picture::default() };
    let out = prepare(&Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::default() }, &strip);
    assert!(out.iter().all(|&v| v == 7.0 / 255.0));
}

#[test]
fn reads_and_writes_openclips_config() {
    let json = r#"{"size":[64,64],"mode":"RGB","mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5],"interpolation":"bilinear","resize_mode":"squash","fill_color":0}"#;
    let config: Preprocess = serde_json::from_str(json).unwrap();
    assert_eq!(
        (config.size, config.interpolation, config.resize_mode),
        (64, Interpolation::Bilinear, ResizeMode::Squash)
    );
    assert_eq!(serde_json::from_str::<Preprocess>(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    assert!(serde_json::from_str::<Preprocess>(r#"{"size":[64,32]}"#).unwrap_err().to_string().contains("[64, 32]"));
    assert!(serde_json::from_str::<Preprocess>(r#"{"size":0}"#).is_err());
}

/// 60,000 × 60,000 in the header of a small file must be an error, not an allocation.
#[test]
fn a_forged_header_is_refused_and_named() {
    let mut bytes = std::fs::read(golden().join("0_64x48_RGB.png")).unwrap();
    bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forged.png");
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, PictureError::Format { .. }) && error.to_string().contains("forged.png"), "{error}");
    let missing = open(&folder.path().join("missing.png")).unwrap_err();
    assert!(missing.to_string().contains("missing.png"), "{missing}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_never_panic(seed in any::<u64>(), file in 0..4usize, cut in 0..9000usize) {
        let names = ["0_64x48_RGB.png", "1_37x91_RGB.png", "2_50x50_L.png", "3_40x30_RGBA.png"];
        let mut bytes = std::fs::read(golden().join(names[file])).unwrap();
        let place = seed as usize % bytes.len();
        bytes[place] ^= (seed >> 56) as u8 | 1;
        bytes.truncate(cut);
        let _ = decode(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), magic in 0..6usize) {
        let magics: [&[u8]; 6] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 ", b"GIF89a", b"BM", b"II*\0"];
        let _ = decode(&[magics[magic], &bytes].concat());
    }

    #[test]
    fn any_size_and_mode_never_panics(
        width in 1..70usize, height in 1..70usize, size in 1..50usize, mode in 0..6usize, resize in 0..3usize,
    ) {
        let mode = [Channels::Grey, Channels::GreyAlpha, Channels::Rgb, Channels::Rgba, Channels::Palette, Channels::PaletteAlpha][mode];
        let resize_mode = [ResizeMode::Shortest, ResizeMode::Longest, ResizeMode::Squash][resize];
        let library = if width % 2 == 0 { Library::OpenClip } else { Library::HuggingFace };
        let preprocess = Preprocess { size, resize_mode, library, ..Preprocess::default() };
        prop_assert!(prepare(&preprocess, &Picture::new(width, height, mode)).iter().all(|v| v.is_finite()));
    }
}
