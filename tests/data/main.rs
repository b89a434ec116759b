//! From files to batches: pictures as Pillow sees them, tokens, every kind of data set, augmentation, the loader.

mod augment;
mod emoji;
mod loader;
mod preprocess;
mod shards;
mod table;
mod tokenizer;
