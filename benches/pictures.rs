//! From the bytes of a photo to a model's pixels: decoded whole, only as far as the centre crop needs it, and at a part
//! of its size.
//!
//! ```sh
//! cargo bench -- pictures
//! CLIP_BENCH_PHOTOS=a.jpg:b.jpg cargo bench -- pictures
//! ```

#[path = "../tests/support/jpeg.rs"]
#[expect(dead_code, reason = "one layout is enough")]
mod jpeg;

use crate::Bench;
use crate::rates::Rates;
use clipwright::pictures::decode::decode;
use clipwright::pictures::{Preprocess, Reading, Scratch, View};
use criterion::Criterion;
use jpeg::{Coding, FACTORS, Layout};

/// What is timed.
pub const BENCHES: &[Bench] = &[prepare];

/// The variable that names photos, separated as in PATH.
const PHOTOS: &str = "CLIP_BENCH_PHOTOS";

/// Returns the photos that are named, or one of 12 megapixels with arbitrary coefficients.
fn photos() -> Vec<(String, Vec<u8>)> {
    let (width, height, factors, coding) = (4000, 3000, FACTORS[2].to_vec(), Coding::Whole);
    let layout = Layout { width, height, factors, coding, restarts: 0, orientation: None, seed: 1 };
    match std::env::var_os(PHOTOS) {
        None => vec![("arbitrary".into(), layout.file())],
        Some(paths) => {
            let file = |path: std::path::PathBuf| {
                let bytes =
                    std::fs::read(&path).unwrap_or_else(|error| panic!("{PHOTOS}: {}: {error}", path.display()));
                (path.file_name().unwrap_or_default().display().to_string(), bytes)
            };
            std::env::split_paths(&paths).map(file).collect()
        }
    }
}

fn prepare(c: &mut Criterion<Rates>) {
    let preprocess = Preprocess::default();
    let view = |fast_decode| View { reading: Reading { exif: false, fast_decode }, ..View::of(&preprocess) };
    let (mut scratch, mut pixels) = (Scratch::default(), vec![0.0; 3 * preprocess.size.pow(2)]);
    for (name, bytes) in photos() {
        let mut of = |view: &View| {
            preprocess.apply(&view.decode(&bytes).expect("a picture"), &mut scratch, &mut pixels);
            pixels.clone()
        };
        assert!(of(&View::default()) == of(&view(false)), "the crop has the values of the whole");
        let (width, height) = decode(&bytes).expect("a picture").size();
        let mut group = c.benchmark_group(format!("pictures: {name}, {width} × {height} to {}", preprocess.size));
        group.sample_size(10);
        for (what, view) in [("whole", View::default()), ("crop", view(false)), ("fast", view(true))] {
            group.bench_function(what, |b| b.iter(|| of(&view)));
        }
        group.finish();
    }
}
