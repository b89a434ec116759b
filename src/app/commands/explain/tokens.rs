//! `clipwright explain tokens`: how a text becomes token ids.

use super::page::Page;
use super::tokens_page;
use super::tokens_report::{Leaves, Report};
use crate::app::commands::{CliError, Context};
use crate::embed::{Opened, blip, tokenizer};
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use crate::text::{Tokenizer, WordPiece};
use clap::Args;

/// Show how texts become token ids, by the model's own tokenizer
///
/// A CLIP cuts words into byte pairs: the bytes of a word are joined, the neighbours with the lowest rank first, until
/// no neighbours are in the list of merges (Sennrich et al. 2016). A BLIP cuts each word into the longest pieces of its
/// vocabulary from left to right (Devlin et al. 2019). Without a model it is CLIP's published vocabulary.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright explain tokens \"a photo of a cat\"
  clipwright explain tokens \"two unicorns\" --model Salesforce/blip-itm-base-coco
  clipwright explain tokens \"naïve café\" \"東京\" --output tokens.html

A line of JSON for each text:
  {\"text\", \"kind\", \"cleaned\", \"words\": [{\"text\", \"letters\", \"merges\": [{\"rank\", \"parts\"}], \"tokens\"}],
   \"tokens\": [{\"place\", \"id\", \"token\"}], \"cut_off\": [{\"id\", \"token\"}], \"context_length\", \"leaves\"}
rank counts merges from 0, and leaves is the place of the row that leaves the text tower.")]
pub(crate) struct Tokens {
    /// Texts, each in quotes
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    page: Page,
}

impl Tokens {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let reader = Reader::open(context)?;
        let reports: Vec<Report> = self.texts.iter().map(|text| reader.read(text)).collect();
        self.page.write("From a text to token ids", tokens_page::STYLE, || tokens_page::body(&reports))?;
        reports.iter().try_for_each(|report| context.output.show(report))
    }
}

/// The largest number of tokens of a caption in every model of OpenAI.
const CONTEXT_LENGTH: usize = 77;

/// The tokenizer of a model, and how many tokens the model reads.
enum Reader {
    Clip(Tokenizer, usize),
    Blip(Box<WordPiece>, usize),
}

impl Reader {
    fn open(context: &Context) -> Result<Self, CliError> {
        let Some(path) = context.found_model() else { return Ok(Reader::Clip(Tokenizer::clip(), CONTEXT_LENGTH)) };
        Ok(match context.open_found(&path)? {
            Opened::Clip(checkpoint) => {
                let (tokenizer, shape) = tokenizer(&checkpoint)?;
                Reader::Clip(tokenizer, shape.context_length)
            }
            Opened::Blip(described) => {
                let tokenizer = blip::tokenizer(&described.path, &described.config)?;
                Reader::Blip(Box::new(tokenizer), blip::max_text(&described.config))
            }
        })
    }

    fn read(&self, text: &str) -> Report {
        match self {
            Reader::Clip(tokenizer, context_length) => {
                Report::new(text, tokenizer.trace(text), *context_length, Leaves::Last)
            }
            Reader::Blip(pieces, max_text) => {
                let trace = pieces.trace(&caption(text, MAX_CAPTION_WORDS));
                let first = [("[ENC]", pieces.enc()), ("[DEC]", pieces.dec())];
                Report { other_starts: first.into(), ..Report::new(text, trace, *max_text, Leaves::First) }
            }
        }
    }
}
