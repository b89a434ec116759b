//! The options of a search for captions.

use super::CliError;
use crate::app::number::{above_zero, positive, up_to};
use crate::embed::Blip;
use crate::embed::blip::published::{BEAMS, MAX_CAPTION, MIN_CAPTION};
use crate::generate::options::MAX_BEAMS;
use crate::generate::{BeamStyle, Options, Search};
use clap::{Args, ValueEnum};

/// The original's penalty of repetitions in captions that are drawn.
const PENALTY_OF_DRAWS: f32 = 1.1;

/// How captions are searched for.
#[derive(Debug, Args)]
#[command(mut_group("Draws", |group| group.requires("sample")))]
pub(crate) struct Writing {
    /// Number of texts that a beam search follows at the same time
    #[arg(long, value_name = "N", default_value_t = BEAMS, value_parser = up_to(MAX_BEAMS as u32),
          conflicts_with_all = ["greedy", "sample"])]
    beams: usize,
    /// Take the likeliest token at every step
    #[arg(long, conflicts_with = "sample")]
    greedy: bool,
    /// Draw every token at random
    #[arg(long)]
    sample: bool,
    #[command(flatten)]
    draws: Draws,
    /// How a beam search compares texts of different lengths
    #[arg(long, value_enum, value_name = "STYLE", default_value_t, conflicts_with_all = ["greedy", "sample"])]
    beam_search: Style,
    #[command(flatten)]
    form: Form,
    /// Beams are compared by their score divided by length to this power: larger values favour longer captions
    #[arg(long, value_name = "POWER", default_value_t = 1.0, allow_negative_numbers = true,
          conflicts_with_all = ["greedy", "sample"])]
    length_penalty: f32,
}

/// How tokens are drawn.
#[derive(Debug, Args)]
pub(crate) struct Draws {
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 0.9)]
    top_p: f32,
    /// Draw from this many of the likeliest tokens
    #[arg(long, value_name = "K", default_value_t = 50, value_parser = positive())]
    top_k: usize,
    /// Divide logits by this before a draw: below 1 the likely become likelier
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = above_zero::<f32>)]
    temperature: f32,
    /// Seed of the draws; a picture's draws depend on it and on the picture's place in the list alone
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
}

/// How long captions are, and how much they repeat.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// Number of tokens before which no caption ends, the prompt's and the one that begins every caption included
    #[arg(long, value_name = "TOKENS", default_value_t = MIN_CAPTION)]
    min_length: usize,
    /// Number of tokens after which every caption ends, counted likewise
    #[arg(long, value_name = "TOKENS", default_value_t = MAX_CAPTION, value_parser = positive())]
    max_length: usize,
    /// Makes tokens less likely that the caption already has: above 1 the more so [default: 1, or 1.1 for draws]
    #[arg(long, value_name = "FACTOR", value_parser = above_zero::<f32>)]
    repetition_penalty: Option<f32>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Style {
    /// By the length of prompt and caption, as BLIP's published results (transformers 4.15)
    #[default]
    Original,
    /// By the length of what follows the prompt (transformers 5)
    Transformers,
}

impl Writing {
    /// Returns the search that is asked for.
    ///
    /// # Errors
    /// Returns an error if the options make no sense.
    pub(crate) fn options(&self, end: u32) -> Result<Options, CliError> {
        let search = if self.greedy {
            Search::Greedy
        } else if self.sample {
            return self.draws.options(&self.form, end);
        } else {
            let style = match self.beam_search {
                Style::Original => BeamStyle::Original,
                Style::Transformers => BeamStyle::Transformers,
            };
            Search::Beams { beams: self.beams, style }
        };
        checked(Options { search, length_penalty: self.length_penalty, ..self.form.options(end, 1.0) })
    }
}

impl Draws {
    /// Returns a search that draws captions of a form.
    ///
    /// # Errors
    /// Returns an error if the options make no sense.
    pub(crate) fn options(&self, form: &Form, end: u32) -> Result<Options, CliError> {
        let &Draws { temperature, top_k, top_p, seed } = self;
        let search = Search::Sample { temperature, top_k, top_p, seed };
        checked(Options { search, ..form.options(end, PENALTY_OF_DRAWS) })
    }
}

impl Form {
    fn options(&self, end: u32, usual_penalty: f32) -> Options {
        let repetition_penalty = self.repetition_penalty.unwrap_or(usual_penalty);
        Options { min_length: self.min_length, repetition_penalty, ..Options::new(end, self.max_length) }
    }
}

fn checked(options: Options) -> Result<Options, CliError> {
    options.check().map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(options)
}

/// Checks that captions have room behind the prompt, and that the model has positions for them.
///
/// # Errors
/// Returns an error that names the flag.
pub(crate) fn check_room(blip: &Blip, prompt: &str, options: &Options) -> Result<(), CliError> {
    let (max_length, positions) = (options.max_length, blip.config().text.positions);
    if max_length > positions {
        let message = format!("--max-length {max_length}: the model's texts have at most {positions} tokens");
        return Err(CliError::Usage(message));
    }
    match blip.tokenizer().prompt(prompt, usize::MAX).len() {
        tokens if tokens < max_length => Ok(()),
        tokens => Err(CliError::Usage(format!(
            "--prompt has {tokens} tokens with the one that begins it, and leaves no room within --max-length {max_length}"
        ))),
    }
}
