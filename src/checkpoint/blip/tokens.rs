//! Finds the ids of special tokens in the vocabulary beside the weights.

use crate::checkpoint::CheckpointError;
use crate::checkpoint::json::parse_json;
use crate::models::blip::TokenIds;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The files that a vocabulary is read from. The first that exists is taken; it also says which tokens were added.
pub(super) const VOCABULARIES: [&str; 2] = ["tokenizer.json", "vocab.txt"];

const SPECIAL: [&str; 5] = ["[PAD]", "[CLS]", "[SEP]", "[DEC]", "[ENC]"];

/// The ids of special tokens, as far as a vocabulary says.
#[derive(Default)]
pub(super) struct Special(BTreeMap<String, u32>);

impl Special {
    /// Reads the vocabulary beside a file of weights. Without one no token is known.
    pub(super) fn beside(weights: &Path) -> Result<Special, CheckpointError> {
        let [json, text] = VOCABULARIES.map(|name| weights.with_file_name(name));
        if json.is_file() {
            return parse_json(&json, |file| {
                let id = |id: &serde_json::Value| u32::try_from(id.as_u64()?).ok();
                let known = |name: &str| id(&file["model"]["vocab"][name]);
                let mut ids: BTreeMap<String, u32> =
                    SPECIAL.iter().filter_map(|&name| Some((name.into(), known(name)?))).collect();
                for token in file["added_tokens"].as_array().into_iter().flatten() {
                    let name = token["content"].as_str().filter(|name| SPECIAL.contains(name));
                    ids.extend(name.zip(id(&token["id"])).map(|(name, id)| (name.to_string(), id)));
                }
                Ok(Special(ids))
            });
        }
        if !text.is_file() {
            return Ok(Special::default());
        }
        let lines = fs::read_to_string(&text).map_err(|source| CheckpointError::Io { path: text, source })?;
        let lines = lines.lines().map(str::trim_end).zip(0..);
        Ok(Special(lines.filter(|(line, _)| SPECIAL.contains(line)).map(|(line, id)| (line.into(), id)).collect()))
    }

    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }

    /// Returns the tokens of a model of which nothing else says them. `[DEC]` and `[ENC]` were added behind BERT's
    /// vocabulary, so they are the last two if the vocabulary does not have them. Without a vocabulary a model with as
    /// many tokens as every published BLIP has its tokens.
    pub(super) fn all(&self, vocab_size: usize) -> Option<TokenIds> {
        let behind = |n: usize| u32::try_from(vocab_size.checked_sub(n)?).ok();
        match (self.id("[PAD]"), self.id("[CLS]"), self.id("[SEP]")) {
            (Some(pad), Some(cls), Some(end)) => {
                let decode = self.id("[DEC]").or(behind(2))?;
                let encode = self.id("[ENC]").or(behind(1))?;
                Some(TokenIds { pad, cls, end, decode, encode })
            }
            _ => (behind(1) == Some(TokenIds::BERT.encode)).then_some(TokenIds::BERT),
        }
    }
}
