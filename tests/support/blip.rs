//! BLIP's reference models, as folders of tests.

use clipwright::checkpoint::blip::{Loaded, Overrides, load};
use clipwright::models::blip::TokenIds;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The models of Hugging Face.
pub const HUGGING_FACE: [&str; 3] = ["blip_caption", "blip_itm", "blip_vqa"];
/// The models of the original.
pub const ORIGINAL: [&str; 4] = ["blip_decoder", "blip_retrieval", "blip_vqa_original", "blip_pretrain"];

/// Returns the folder of a reference model.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Reads the file that says what a reference model of the original is.
pub fn meta(name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder(name).join("meta.json")).unwrap()).unwrap()
}

/// Returns what the files of a reference model do not say: heads are not 64 wide, and no vocabulary is BERT's.
pub fn overrides(name: &str) -> Overrides {
    if HUGGING_FACE.contains(&name) {
        return Overrides::default();
    }
    let meta = meta(name);
    let number = |field: &str| meta[field].as_u64().unwrap();
    let id = |field: &str| number(field) as u32;
    Overrides {
        image_size: None,
        vision_heads: Some(number("vision_heads") as usize),
        text_heads: Some(number("text_heads") as usize),
        ids: Some(TokenIds { pad: id("pad"), cls: id("cls"), end: id("sep"), decode: id("dec"), encode: id("enc") }),
    }
}

/// Loads a reference model.
pub fn loaded(name: &str) -> Loaded {
    load(&folder(name).join("model.safetensors"), &overrides(name)).unwrap_or_else(|error| panic!("{error}"))
}
