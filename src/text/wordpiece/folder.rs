//! Reading of the files in which BERT's tokenizers were stored before `tokenizer.json`.

use crate::files;
use crate::text::error::{TokenizerError, TokenizerFileError};
use crate::text::tokenizer_file::TokenizerFile;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece as Model;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// Largest size of one of these files in bytes. The vocabulary of BERT's largest model has two million.
const MAX_BYTES: u64 = 1 << 26;

/// What `tokenizer_config.json` says of a vocabulary. Fields that it lacks have BERT's values.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    unk_token: Name,
    cls_token: Name,
    sep_token: Name,
    pad_token: Name,
    mask_token: Name,
    added_tokens_decoder: BTreeMap<String, Name>,
}

impl Default for Config {
    fn default() -> Self {
        let name = |token: &str| Name::Plain(token.into());
        Self {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            unk_token: name("[UNK]"),
            cls_token: name("[CLS]"),
            sep_token: name("[SEP]"),
            pad_token: name("[PAD]"),
            mask_token: name("[MASK]"),
            added_tokens_decoder: BTreeMap::new(),
        }
    }
}

/// A token, as it is or with settings.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a token, or an object with its `content`")]
enum Name {
    Plain(String),
    Settings { content: String },
}

impl Name {
    fn content(self) -> String {
        match self {
            Name::Plain(content) | Name::Settings { content } => content,
        }
    }
}

/// A vocabulary, one token a line, and what is to be known to use it.
pub(super) struct VocabularyFile<'a> {
    tokens: Vec<&'a str>,
    /// Tokens behind the vocabulary, by id.
    pub added: BTreeMap<u32, String>,
    config: Config,
}

impl<'a> VocabularyFile<'a> {
    /// Returns BERT's uncased vocabulary, or another one that is used the same way.
    pub fn uncased(text: &'a str) -> Self {
        Self { tokens: text.lines().map(str::trim_end).collect(), added: BTreeMap::new(), config: Config::default() }
    }

    /// Builds the tokenizer.
    pub fn pipeline(self) -> Result<Tokenizer, TokenizerFileError> {
        let Self { tokens, added, config } = self;
        let mut ids = Vocab::default();
        for (&token, id) in tokens.iter().zip(0..) {
            // Blank lines are ids that nothing has.
            if let (false, Some(before)) = (token.is_empty(), ids.insert(token.to_owned(), id)) {
                return Err(TokenizerFileError::Twice { lines: [before + 1, id + 1], token: token.into() });
            }
        }
        let id_of =
            |token: &str| ids.get(token).copied().ok_or_else(|| TokenizerFileError::NoLine { token: token.into() });
        let [unk, cls, sep] = [config.unk_token, config.cls_token, config.sep_token].map(Name::content);
        let frame = BertProcessing::new((sep.clone(), id_of(&sep)?), (cls.clone(), id_of(&cls)?));
        id_of(&unk)?;
        let optional = [config.pad_token, config.mask_token].map(Name::content);
        let optional = optional.into_iter().filter(|token| id_of(token).is_ok());
        let special: Vec<String> = [unk.clone(), cls, sep].into_iter().chain(optional).collect();

        let model = Model::builder().vocab(ids).unk_token(unk).build();
        let mut pipeline = Tokenizer::new(model.map_err(TokenizerFileError::Refused)?);
        let normalizer =
            BertNormalizer::new(true, config.tokenize_chinese_chars, config.strip_accents, config.do_lower_case);
        pipeline.with_normalizer(Some(normalizer)).map_err(TokenizerFileError::Refused)?;
        pipeline.with_pre_tokenizer(Some(BertPreTokenizer)).with_post_processor(Some(frame));
        let special = special.into_iter().chain(added.values().cloned()).map(|token| AddedToken::from(token, true));
        pipeline.add_special_tokens(special).map_err(TokenizerFileError::Refused)?;
        match added.iter().find(|(id, token)| pipeline.token_to_id(token) != Some(**id)) {
            Some((&id, token)) => Err(TokenizerFileError::AddedId { token: token.clone(), id, before: tokens.len() }),
            None => Ok(pipeline),
        }
    }
}

/// Opens `vocab.txt`, with what the files beside it say of it.
pub(super) fn open(folder: &Path, path: &Path) -> Result<TokenizerFile, TokenizerError> {
    let text = read(path)?;
    let text = std::str::from_utf8(&text).map_err(|error| invalid(path)(error.into()))?;
    let config_path = folder.join("tokenizer_config.json");
    let mut config: Config = json(&config_path)?.unwrap_or_default();
    let added: HashMap<String, u32> = json(&folder.join("added_tokens.json"))?.unwrap_or_default();
    let mut added: BTreeMap<u32, String> = added.into_iter().map(|(token, id)| (id, token)).collect();
    for (id, token) in std::mem::take(&mut config.added_tokens_decoder) {
        let id = id.parse().map_err(|_| invalid(&config_path)(TokenizerFileError::TokenId { id: id.clone() }))?;
        added.insert(id, token.content());
    }
    let file = VocabularyFile { added, config, ..VocabularyFile::uncased(text) };
    file.pipeline().and_then(TokenizerFile::of).map_err(invalid(path))
}

fn invalid(path: &Path) -> impl FnOnce(TokenizerFileError) -> TokenizerError {
    move |source| TokenizerError::Invalid { path: path.into(), source }
}

/// Reads a JSON file, if it exists.
fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TokenizerError> {
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_slice(&read(path)?).map(Some).map_err(|error| invalid(path)(error.into()))
}

/// Reads a text of at most [`MAX_BYTES`].
fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let io = |source| TokenizerError::Io { path: path.into(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("it has more than {MAX_BYTES} bytes, which no vocabulary has");
        return Err(io(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    files::text(&bytes).map(<[u8]>::to_vec).map_err(io)
}
