//! Embeds a few texts with a CLIP that is asked only once: the text tower is read while the texts go through it.

use super::encoders::{LoadError, tokenizer};
use crate::checkpoint::{Checkpoint, TextParts};
use crate::models::Captions;
use crate::models::clip::model::Inference;
use crate::models::clip::text;
use crate::text::Tokenizer;
use ndarray::Array2;

/// Largest number of texts for which a tower is read in passing: all are in it at the same time.
const MAX_TEXTS: usize = 128;

/// A text tower of which one block is in memory at a time, and of the table of tokens only the rows that the texts have.
/// Whoever embeds one text saves most of the time, which goes into reading weights and into memory for them.
///
/// Weights lie as in the file, so the embeddings are bit for bit those of the [model in training][model]. A
/// [`TextEncoder`](super::TextEncoder), which lays them out, may add up the same products in another order.
///
/// [model]: crate::models::clip::model::Model::encode_texts
pub struct PassingText {
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    shape: text::Shape,
}

impl PassingText {
    /// Whether so many texts are worth it, and the weights are not rounded to eight bits, which they only are as a whole.
    pub fn fits(checkpoint: &Checkpoint, texts: usize) -> bool {
        texts <= MAX_TEXTS && !checkpoint.computes_in_int8()
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
        let parts = TextParts::new(&self.checkpoint)?;
        let (p, mut room) = (parts.without_blocks(&ids)?, parts.room());
        // Row i of the table that was read is that of the i-th token.
        let ids: Vec<u32> = (0..).take(ids.len()).collect();
        let captions = Captions { ids: &ids, offsets: &offsets };
        let rows = Inference::default().encode_texts_by_blocks(&p.view(), &self.shape, captions, |turn| {
            parts.read_block(turn.i, &mut room)?;
            turn.take(&room.view());
            Ok::<(), LoadError>(())
        })?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::safetensors::{Reader, Tensor, write};
    use crate::checkpoint::{ConfigFile, Dtype, Overrides, WEIGHTS, save_model};
    use crate::embed::TextEncoder;
    use crate::models::clip::{Config, model::Model};
    use std::path::Path;

    const TEXTS: [&str; 3] = ["a photo of a cat", "", "many words that are of more than sixteen tokens: 1234567890!"];
    const TABLE: &str = "token_embedding.weight";

    fn saved(folder: &Path) -> Model {
        let config = Config::preset("Emoji-ViT-S").unwrap();
        let model = Model::new(config.clone(), 0);
        save_model(folder, &model, &ConfigFile::new(config)).unwrap();
        model
    }

    fn passing(folder: &Path, texts: &[&str]) -> Result<Array2<f32>, LoadError> {
        let checkpoint = Checkpoint::open(folder, &Overrides::default()).unwrap();
        PassingText::new(checkpoint).unwrap().encode(texts)
    }

    #[test]
    fn embeddings_are_those_of_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let model = saved(folder.path());
        let tokenizer = Tokenizer::clip();
        let whole = TextEncoder::load(folder.path()).unwrap();
        for texts in [&TEXTS[..1], &TEXTS[1..2], &TEXTS] {
            let (mut ids, mut offsets) = (vec![], vec![0]);
            for text in texts {
                tokenizer.encode_into(text, model.config.text().context_length, &mut ids);
                offsets.push(ids.len());
            }
            let captions = Captions { ids: &ids, offsets: &offsets };
            let expected = model.encode_texts(captions, &mut Inference::default());
            let found = passing(folder.path(), texts).unwrap();
            assert_eq!(found, expected, "{texts:?}");
            // The encoder lays out its weights, so sums may have another order.
            assert!((found - whole.encode(texts)).iter().all(|off| off.abs() < 1e-6), "{texts:?}");
        }
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
