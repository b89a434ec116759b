//! Embeds a few texts or pictures with a CLIP that is asked only once: a tower is read while they go through it.
//!
//! The matrices of a safetensors file are read by the products that need them, a few rows at a time. Of other files one
//! block is in memory at a time. Whoever embeds one text or one picture saves most of the time, which goes into reading
//! weights and into memory for them.

use super::encoders::{LoadError, tokenizer};
use super::session::Session;
use super::source::{Loaded, Pictures};
use super::stream::{BATCH, Batch, Tower};
use crate::checkpoint::{Checkpoint, Parts};
use crate::datasets::BadReport;
use crate::models::Captions;
use crate::models::clip::model::Inference;
use crate::models::clip::visual;
use crate::models::clip::{text, vit};
use crate::pictures::{Picture, Preprocess};
use crate::text::Tokenizer;
use crate::weights::Rounding;
use ndarray::{Array2, ArrayView2, Axis};

/// Largest number of texts for which a tower is read in passing: all are in it at the same time.
const MAX_TEXTS: usize = 128;

/// Whether a tower can be read in passing: unless its weights are to be rounded to eight bits, which they only are as a
/// whole.
fn can_pass(checkpoint: &Checkpoint) -> bool {
    checkpoint.rounding != Rounding::Int8
}

/// A text tower of which at most one block is in memory at a time, and of the table of tokens only the rows that the
/// texts have.
///
/// The embeddings are bit for bit those of a [`TextEncoder`](super::TextEncoder).
pub struct PassingText {
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    shape: text::Shape,
}

impl PassingText {
    /// Whether so many texts are worth it, and the tower can be read in passing.
    pub fn fits(checkpoint: &Checkpoint, texts: usize) -> bool {
        texts <= MAX_TEXTS && can_pass(checkpoint)
    }

    /// Opens the text tower of a checkpoint, and reads none of its weights.
    ///
    /// # Errors
    /// Returns an error if there is no text tower, or if its tokenizer cannot be read or does not fit.
    pub fn new(checkpoint: Checkpoint) -> Result<Self, LoadError> {
        let (tokenizer, shape) = tokenizer(&checkpoint)?;
        Ok(PassingText { checkpoint, tokenizer, shape })
    }

    /// Returns the checkpoint that the tower is in.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Returns the tokenizer of the tower.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the length of the longest text in tokens, start and end included.
    pub fn context_length(&self) -> usize {
        self.shape.context_length
    }

    /// Reads the tower and returns unit-length embeddings of N texts. A text that is longer than the context is cut.
    ///
    /// result (N,e)
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn encode<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>, LoadError> {
        let (mut ids, mut offsets) = (vec![], vec![0]);
        for text in texts {
            self.tokenizer.encode_into(text.as_ref(), self.shape.context_length, &mut ids);
            offsets.push(ids.len());
        }
        let parts = Parts::of_text(&self.checkpoint)?;
        let p = parts.without_blocks(&ids)?;
        let mut room = parts.room(ids.len());
        // Row i of the table that was read is that of the i-th token.
        let ids: Vec<u32> = (0..).take(ids.len()).collect();
        let captions = Captions { ids: &ids, offsets: &offsets };
        let mut buffers = Inference::default();
        Ok(buffers.encode_texts_by_blocks(&p.view(), &self.shape, captions, |turn| parts.pass(turn, &mut room))?)
    }
}

/// A ViT of which at most one block is in memory at a time.
///
/// The embeddings are bit for bit those of an [`ImageEncoder`](super::ImageEncoder).
pub struct PassingImages {
    checkpoint: Checkpoint,
    shape: vit::Shape,
}

impl PassingImages {
    /// Opens the image tower of a checkpoint and reads none of its weights, if so many pictures are worth it and the
    /// tower can be read in passing. A ResNet cannot.
    pub fn fitting(checkpoint: &Checkpoint, pictures: usize) -> Option<Self> {
        match checkpoint.architecture.vision()? {
            visual::Shape::Vit(shape) if pictures <= BATCH && can_pass(checkpoint) => {
                Some(PassingImages { checkpoint: checkpoint.clone(), shape })
            }
            _ => None,
        }
    }

    /// Returns the settings by which pictures are prepared for the tower.
    pub fn preprocess(&self) -> &Preprocess {
        &self.checkpoint.preprocess
    }

    /// Reads the tower for each batch of a source's pictures, of which there should be one, and passes the embeddings
    /// on as [`ImageEncoder::stream`](super::ImageEncoder::stream) does.
    ///
    /// # Errors
    /// Returns the error of `each`, or one if a tensor cannot be read.
    pub fn stream<S: Pictures, E: From<LoadError>>(
        &self,
        source: &S,
        mut each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let encode = |buffers: &mut Inference, images: ArrayView2<f32>| self.encode_prepared(buffers, images);
        let tower = Tower { preprocess: self.preprocess(), batch: BATCH, encode };
        tower.stream(&mut Session::default(), source, |batch| {
            let Batch { rows, read, bad, report } = batch;
            each(Batch { rows: rows?, read, bad, report })
        })
    }

    /// Reads the tower and returns unit-length embeddings of N pictures.
    ///
    /// result (N,e)
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn encode(&self, pictures: &[Picture]) -> Result<Array2<f32>, LoadError> {
        let mut all = Array2::zeros((0, self.shape.embed_dim));
        self.stream(&Loaded(pictures), |batch| {
            all.append(Axis(0), batch.rows.view()).expect("rows of one width");
            Ok::<(), LoadError>(())
        })?;
        Ok(all)
    }

    /// Reads the tower while prepared pictures go through it.
    ///
    /// `images` (B,3·edge²); returns (B,e)
    fn encode_prepared(&self, buffers: &mut Inference, images: ArrayView2<f32>) -> Result<Array2<f32>, LoadError> {
        if images.is_empty() {
            return Ok(Array2::zeros((0, self.shape.embed_dim)));
        }
        let parts = Parts::of_vit(&self.checkpoint).expect("a tower whose shape is known");
        let rows = images.nrows() * self.shape.grid.tokens();
        let (p, mut room) = (parts.without_blocks()?, parts.room(rows));
        Ok(buffers.encode_images_by_blocks(&p.view(), &self.shape, images, |turn| parts.pass(turn, &mut room))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::safetensors::{Reader, Tensor, write};
    use crate::checkpoint::{ConfigFile, Contents, Dtype, Format, Overrides, Precision, WEIGHTS};
    use crate::checkpoint::{save, save_model, save_rounded};
    use crate::embed::{ImageEncoder, TextEncoder};
    use crate::models::clip::visual::Visual;
    use crate::models::clip::{Config, model::Model};
    use crate::params::view_mut;
    use crate::pictures::Channels;
    use crate::weights::Half;
    use std::fs;
    use std::path::Path;

    const TEXTS: [&str; 3] = ["a photo of a cat", "", "many words that are of more than sixteen tokens: 1234567890!"];
    const TABLE: &str = "token_embedding.weight";

    fn saved(folder: &Path) -> Model {
        let config = Config::preset("Emoji-ViT-S").unwrap();
        let model = Model::new(config.clone(), 0);
        save_model(folder, &model, &ConfigFile::new(config)).unwrap();
        model
    }

    fn opened(folder: &Path, rounding: Rounding) -> Checkpoint {
        Checkpoint::open(folder, &Overrides { rounding, ..Overrides::default() }).unwrap()
    }

    fn passing(folder: &Path, texts: &[&str]) -> Result<Array2<f32>, LoadError> {
        PassingText::new(opened(folder, Rounding::Stored)).unwrap().encode(texts)
    }

    fn painted(i: usize) -> Picture {
        let mut picture = Picture::new(50 + i, 40, Channels::Rgb);
        picture.samples.iter_mut().enumerate().for_each(|(at, sample)| *sample = ((at * at * (i + 3)) >> 4) as u8);
        picture
    }

    /// Makes the attention of the second block of both towers sharp, so that what comes before it keeps 32 bits.
    fn sharpen(model: &mut Model) {
        let mut p = view_mut(&model.params.spec, &mut model.params.flat);
        let Visual::Vit(vit) = &mut p.visual else { panic!("a ViT") };
        for transformer in [&mut vit.transformer, &mut p.text.transformer] {
            transformer.resblocks[1].ln_1.weight.iter_mut().for_each(|gain| *gain *= 100.0);
        }
    }

    /// A model is stored in 32, 16 and eight bits, in eight but for some matrices, and with a tensor for each of queries,
    /// keys and values, and rounded otherwise when it is read. There are few rows and many.
    #[test]
    fn embeddings_are_those_of_the_encoders() {
        let folders: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
        let model = saved(folders[0].path());
        let config = ConfigFile::new(model.config.clone());
        let contents = Contents { model: &model, config: &config };
        save(folders[1].path(), contents, Format::OpenClip, Precision::F16).unwrap();
        save(folders[4].path(), contents, Format::HuggingFace, Precision::F32).unwrap();
        let mut sharp = Model::new(model.config.clone(), 0);
        sharpen(&mut sharp);
        save_rounded(folders[2].path(), model, &config).unwrap();
        save_rounded(folders[3].path(), sharp, &config).unwrap();
        let [some, all] = [3, 2].map(|i| fs::metadata(folders[i].path().join(WEIGHTS)).unwrap().len());
        assert!(some > all + 100_000, "no matrix kept its 32 bits");
        let pictures: Vec<Picture> = (0..9).map(painted).collect();
        for (folder, rounding) in [
            (0, Rounding::Stored),
            (0, Rounding::Half(Half::F16)),
            (1, Rounding::Stored),
            (1, Rounding::Half(Half::Bf16)),
            (2, Rounding::Stored),
            (2, Rounding::None),
            (3, Rounding::Stored),
            (3, Rounding::None),
            (4, Rounding::Stored),
            (4, Rounding::Half(Half::Bf16)),
        ] {
            let checkpoint = opened(folders[folder].path(), rounding);
            let (texts, images) = (TextEncoder::new(&checkpoint).unwrap(), ImageEncoder::new(&checkpoint).unwrap());
            for n in 1..=TEXTS.len() {
                let found = PassingText::new(checkpoint.clone()).unwrap().encode(&TEXTS[..n]).unwrap();
                assert!(found == texts.encode(&TEXTS[..n]), "{n} texts of {folder} in {rounding:?}");
            }
            for n in [1, 2, 9] {
                let found = PassingImages::fitting(&checkpoint, n).unwrap().encode(&pictures[..n]).unwrap();
                assert!(found == images.encode(&pictures[..n]), "{n} pictures of {folder} in {rounding:?}");
            }
        }
    }

    /// Products cannot fail, so what is wrong with a matrix is found out behind them.
    #[test]
    fn a_matrix_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path());
        let path = folder.path().join(WEIGHTS);
        let whole = fs::read(&path).unwrap();
        let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let file: serde_json::Value = serde_json::from_slice(&whole[8..8 + header]).unwrap();
        for (tower, name) in [("text", "transformer"), ("image", "visual.transformer")] {
            let tensor = format!("{name}.resblocks.1.mlp.c_fc.weight");
            let [start, end] = [0, 1].map(|i| 8 + header + file[&tensor]["data_offsets"][i].as_u64().unwrap() as usize);
            let embed = |checkpoint: &Checkpoint| match tower {
                "text" => PassingText::new(checkpoint.clone()).unwrap().encode(&TEXTS[..1]),
                _ => PassingImages::fitting(checkpoint, 1).unwrap().encode(&[painted(0)]),
            };
            let mut bad = whole.clone();
            bad[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
            fs::write(&path, &bad).unwrap();
            let error = embed(&opened(folder.path(), Rounding::Stored)).unwrap_err().to_string();
            assert!(error.contains(&tensor) && error.contains(&format!("{}", (end - start) / 4 - 1)), "{error}");
            bad[end - 4..end].copy_from_slice(&1e6_f32.to_le_bytes());
            fs::write(&path, &bad).unwrap();
            let error = embed(&opened(folder.path(), Rounding::Half(Half::F16))).unwrap_err().to_string();
            assert!(error.contains("mlp.c_fc.weight") && error.contains("1000000"), "{error}");
            fs::write(&path, &whole).unwrap();
            let checkpoint = opened(folder.path(), Rounding::Stored);
            fs::File::options().write(true).open(&path).unwrap().set_len(start as u64).unwrap();
            let error = embed(&checkpoint).unwrap_err().to_string();
            assert!(error.contains(WEIGHTS), "{error}");
            fs::write(&path, &whole).unwrap();
        }
    }

    /// Weights of a width that does not fill panels are multiplied as they lie, where few rows add in another order.
    #[test]
    fn towers_of_odd_widths_are_read_block_by_block() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::preset("Emoji-ViT-S").unwrap();
        (config.text_cfg.width, config.text_cfg.heads) = (72, 2);
        let model = Model::new(config.clone(), 0);
        save_model(folder.path(), &model, &ConfigFile::new(config)).unwrap();
        let texts = TextEncoder::load(folder.path()).unwrap();
        for n in 1..=TEXTS.len() {
            assert_eq!(passing(folder.path(), &TEXTS[..n]).unwrap(), texts.encode(&TEXTS[..n]), "{n}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_passing_is_not() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path());
        let fits = |rounding, n| {
            let checkpoint = opened(folder.path(), rounding);
            (PassingText::fits(&checkpoint, n), PassingImages::fitting(&checkpoint, n).is_some())
        };
        assert_eq!(fits(Rounding::Stored, 1), (true, true));
        assert_eq!(fits(Rounding::Stored, BATCH + 1), (true, false));
        assert_eq!(fits(Rounding::Stored, MAX_TEXTS + 1), (false, false));
        assert_eq!(fits(Rounding::Int8, 1), (false, false));
    }

    /// Rows that are NaN would be refused if they were read.
    #[test]
    fn no_other_rows_of_the_table_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let model = saved(folder.path());
        let expected = passing(folder.path(), &TEXTS).unwrap();
        let (mut used, width) = (vec![], model.config.text().size.width);
        for text in TEXTS {
            Tokenizer::clip().encode_into(text, model.config.text().context_length, &mut used);
        }
        let path = folder.path().join(WEIGHTS);
        let file = Reader::open(&path).unwrap();
        let mut values = vec![];
        for name in file.names() {
            let shape = file.shape(&name).unwrap().to_vec();
            let mut out = vec![0.0; shape.iter().product()];
            file.read(&name, &shape, &mut out).unwrap();
            if name == TABLE {
                let others = out.chunks_mut(width).zip(0..).filter(|(_, id)| !used.contains(id));
                others.for_each(|(row, _)| row.fill(f32::NAN));
            }
            values.push((name, shape, out));
        }
        let tensors: Vec<_> =
            values.iter().map(|(name, shape, values)| Tensor::new(name, shape, values, Dtype::F32)).collect();
        write(&path, &tensors, []).unwrap();
        assert_eq!(passing(folder.path(), &TEXTS).unwrap(), expected);
        let error = passing(folder.path(), &["zebra"]).unwrap_err().to_string();
        assert!(error.contains(TABLE), "{error}");
        assert!(TextEncoder::load(folder.path()).is_err());
    }
}
