//! Tests of the way from files to batches: pictures as Pillow sees them, tokens, datasets, augmentation, the loader.

mod annotations;
mod augment;
mod clean;
#[cfg(feature = "emoji")]
mod emoji;
mod joined;
mod jpeg;
mod kinds;
#[cfg(feature = "emoji")]
mod loader;
mod parts;
mod preprocess;
#[cfg(feature = "emoji")]
mod scenes;
mod shards;
mod siglip_tokens;
mod streams;
mod table;
mod tokenizer;
mod wordpiece;
