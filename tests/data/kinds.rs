//! Files of every kind against what Pillow makes of them: the table `tests/golden/kinds/kinds.json`, which `make.py`
//! beside it has made together with the files.

use clipwright::pictures::decode::open;
use clipwright::pictures::{Channels, Library, Picture, Preprocess, Scratch};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The side that the table's pictures were prepared for.
const SIDE: usize = 16;

/// A line of the table. Pixels are red, green and blue: a hash, or hexadecimal numbers if there is a difference.
#[derive(Deserialize)]
struct Line {
    mode: String,
    #[serde(default)]
    size: (usize, usize),
    #[serde(default)]
    rgb: String,
    #[serde(default)]
    openclip: String,
    #[serde(default)]
    huggingface: String,
    upright: Option<String>,
    /// The largest difference that another decoder than Pillow's may make.
    difference: Option<u8>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kinds")
}

fn table() -> BTreeMap<String, Line> {
    serde_json::from_slice(&std::fs::read(golden().join("kinds.json")).unwrap()).unwrap()
}

fn fnv(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// Returns what differs between pixels and those of the table.
fn difference(line: &Line, pixels: &[u8], expected: &str) -> Option<String> {
    let Some(most) = line.difference else {
        return (fnv(pixels) != expected).then(|| "other pixels".to_owned());
    };
    let byte = |i: usize| u8::from_str_radix(&expected[i..i + 2], 16).unwrap();
    let expected: Vec<u8> = (0..expected.len()).step_by(2).map(byte).collect();
    if pixels.len() != expected.len() {
        return Some(format!("{} samples instead of {}", pixels.len(), expected.len()));
    }
    let largest = pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    (largest > most).then(|| format!("differs by {largest}, not {most}"))
}

fn prepared(picture: &Picture, library: Library, size: usize) -> Vec<u8> {
    let preprocess = Preprocess { size, mean: [0.0; 3], std: [1.0 / 255.0; 3], library, ..Preprocess::default() };
    let mut planes = vec![f32::NAN; 3 * size * size];
    preprocess.apply(picture, &mut Scratch::default(), &mut planes);
    (0..size * size).flat_map(|i| [0, 1, 2].map(|c| planes[c * size * size + i].round() as u8)).collect()
}

fn is_mode(mode: Channels, pillows: &str) -> bool {
    match pillows {
        "1" => mode == Channels::Palette,
        "1 keyed" => mode == Channels::PaletteAlpha,
        "P" => matches!(mode, Channels::Palette | Channels::PaletteAlpha),
        "L" => mode == Channels::Grey,
        "L keyed" => mode == Channels::GreyKeyed,
        "LA" => mode == Channels::GreyAlpha,
        "I;16" | "I;16B" => mode == Channels::Grey16,
        "RGB" => mode == Channels::Rgb,
        "RGB keyed" => mode == Channels::RgbKeyed,
        "RGBA" => mode == Channels::Rgba,
        "CMYK" => mode == Channels::Cmyk,
        "YCbCr" => mode == Channels::YCbCr,
        _ => false,
    }
}

fn faults(name: &str, line: &Line) -> Vec<String> {
    let picture = match open(&golden().join(name)) {
        Ok(picture) if matches!(line.mode.as_str(), "bad" | "unread") => {
            return vec![format!("read as {:?}, but is {}", picture.mode, line.mode)];
        }
        Ok(picture) => picture,
        Err(_) if matches!(line.mode.as_str(), "bad" | "unread") => return vec![],
        Err(error) => return vec![error.to_string()],
    };
    let mut faults = vec![];
    if !is_mode(picture.mode, &line.mode) || (picture.width, picture.height) != line.size {
        let Picture { mode, width, height, .. } = picture;
        faults.push(format!("{mode:?} {width} × {height} instead of {} {:?}", line.mode, line.size));
        return faults;
    }
    let mut check = |what: &str, pixels: Vec<u8>, expected: &str| {
        faults.extend(difference(line, &pixels, expected).map(|fault| format!("{what}: {fault}")));
    };
    check("rgb", picture.clone().into_rgb().samples, &line.rgb);
    check("openclip", prepared(&picture, Library::OpenClip, SIDE), &line.openclip);
    check("huggingface", prepared(&picture, Library::HuggingFace, SIDE), &line.huggingface);
    let upright = picture.upright();
    check("upright", upright.into_rgb().samples, line.upright.as_ref().unwrap_or(&line.rgb));
    faults
}

#[test]
fn every_kind_is_what_pillow_makes_of_it() {
    let table = table();
    assert!(table.len() > 120, "{}", table.len());
    let all = |(name, line): (&String, &Line)| faults(name, line).into_iter().map(|f| format!("{name}: {f}")).collect();
    let faults: Vec<String> = table.iter().flat_map::<Vec<String>, _>(all).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What cannot be read has a reason that people understand.
#[test]
fn bad_files_have_reasons() {
    for (name, reason) in [
        ("torn.jpg", "truncated"),
        ("no_end.jpg", "no end-of-image marker"),
        ("lab.tif", "a TIFF file of an unknown kind"),
        ("group3.tif", "ompression"),
        ("float.tif", "a TIFF file of an unknown kind"),
    ] {
        let error = open(&golden().join(name)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
}

/// `right/NAME.png` is what open_clip's transform, with Pillow 13.0, makes of each file for 64 pixels.
#[test]
fn photos_and_scans_are_prepared_as_by_openclip() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pictures");
    for (name, most) in [
        ("rgb_trns_white.png", 0),
        ("grey_trns_white.png", 0),
        ("black_white.bmp", 0),
        ("black_white_group4.tif", 0),
        ("photo.jfif", 0),
        ("portrait_exif6.jpg", 0),
    ] {
        let picture = open(&folder.join(name)).unwrap();
        let right = open(&folder.join(format!("right/{name}.png"))).unwrap().into_rgb();
        let given = prepared(&picture, Library::OpenClip, 64);
        let largest = given.iter().zip(&right.samples).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(given.len() == right.samples.len() && largest <= most, "{name} differs by {largest}");
    }
    assert!(open(&folder.join("whole.jpg")).is_ok());
    let error = open(&folder.join("half.jpg")).unwrap_err().to_string();
    assert!(error.contains("half.jpg") && error.contains("truncated"), "{error}");
}
