//! The distributions that the reference draws from. Runs on `tests/golden` and, when `CLIP_GOLDEN_DIR` is set, on that
//! folder too.

use clipwright::generate::Options;
use clipwright::generate::process::process;
use clipwright::generate::sample::probabilities;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// Tolerance of probabilities: exponents of up to 15 round by 1e-6.
const TOLERANCE: f32 = 2e-6;
/// The end token of the reference.
const END: u32 = 5;

#[test]
fn distributions_agree_with_the_reference() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let more = std::env::var_os("CLIP_GOLDEN_DIR").map(PathBuf::from);
    let files = [Some(own), more].into_iter().flatten().flat_map(|folder| {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
    });
    let bytes = files.map(|path| std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    let checked = bytes.filter(|bytes| check(&SafeTensors::deserialize(bytes).unwrap())).count();
    assert!(checked > 0, "no golden file of sampling");
}

/// Checks one file. Returns whether it is one of sampling.
fn check(file: &SafeTensors) -> bool {
    if file.tensor("probabilities.a").is_err() {
        return false;
    }
    let [rows, vocabulary] = file.tensor("logits").unwrap().shape().try_into().unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let tensor = file.tensor(name).unwrap();
        tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let ids = file.tensor("input_ids").unwrap();
    let ids: Vec<u32> = ids.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as u32).collect();
    let length = ids.len() / rows;
    for (name, top_p, min_length) in [("a", 0.9, 0), ("b", 0.5, length + 1), ("c", 1.0, 0)] {
        let (logits, expected) = (floats("logits"), floats(&format!("probabilities.{name}")));
        let options = Options { min_length, repetition_penalty: 1.1, ..Options::new(END, length + 2) };
        for row in 0..rows {
            let mut scores = logits[row * vocabulary..][..vocabulary].to_vec();
            process(&mut scores, &ids[row * length..][..length], &options);
            let mut given = vec![0.0; vocabulary];
            for (token, probability) in probabilities(&scores, 1.0, 50, top_p) {
                given[token as usize] = probability;
            }
            for (token, (p, q)) in given.iter().zip(&expected[row * vocabulary..]).enumerate() {
                let agree = (p - q).abs() <= TOLERANCE && (*p > 0.0) == (*q > 0.0);
                assert!(agree, "{name}, row {row}, token {token}: {p} instead of {q}");
            }
        }
    }
    true
}
