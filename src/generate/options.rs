//! How to search.

/// The settings of a search. Lengths count all tokens, those of the prompt included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The end token is impossible while a text is shorter.
    pub min_length: usize,
    /// No text is longer.
    pub max_length: usize,
    /// Divides the scores of tokens that the text already has, if positive, and multiplies negative ones (Keskar et al.
    /// 2019, section 4.1). 1 changes nothing.
    pub repetition_penalty: f32,
    /// The token that ends a text.
    pub end: u32,
    pub search: Search,
}

/// The kinds of search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Search {
    /// The most probable token is taken at each step.
    Greedy,
    /// The `count` most probable beginnings are followed. Scores are divided by length to the power of
    /// `length_penalty`, so larger powers favour longer texts. With `early_stopping` a request ends with its
    /// `count`-th finished text, and otherwise when no open beam can better the worst of them.
    Beams { count: usize, style: BeamStyle, length_penalty: f32, early_stopping: bool },
    /// Tokens are drawn from the model's distribution, sharpened by a `temperature` below 1, among the `top_k` most
    /// probable ones (0: all), and of these among the smallest set that has the probability `top_p` (Holtzman et al.
    /// 2020, section 3.1).
    Sample { temperature: f32, top_k: usize, top_p: f32, seed: u64 },
}

/// The published forms of beam search, which count lengths differently and end at different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeamStyle {
    /// The form of transformers 4.15, with which BLIP's published results were computed: the length is that of prompt
    /// and text without the end token, and open beams count at the largest length.
    Original,
    /// The form of transformers 5: the length is that of the text behind the prompt, end token included.
    Transformers,
}

/// Why a search cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    #[error("a prompt of {prompt} tokens, and texts of at most {max_length}: there is nothing to write")]
    Prompt { prompt: usize, max_length: usize },
    #[error("{0} beams: a search takes 1 to {MAX_BEAMS}")]
    Beams(usize),
    #[error("a {what} of {value}: it is a number above 0")]
    NotPositive { what: &'static str, value: f32 },
    #[error("a top_p of {0}: it is a probability above 0, and at most 1")]
    TopP(f32),
    #[error("a length penalty of {0}: it is a finite number")]
    LengthPenalty(f32),
}

/// More beams than this are a mistake.
pub const MAX_BEAMS: usize = 1000;

impl Options {
    /// Checks the settings.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        let positive = |what, value: f32| {
            let fits = value > 0.0 && value.is_finite();
            if fits { Ok(()) } else { Err(OptionsError::NotPositive { what, value }) }
        };
        positive("repetition penalty", self.repetition_penalty)?;
        match self.search {
            Search::Greedy => Ok(()),
            Search::Beams { count, .. } if !(1..=MAX_BEAMS).contains(&count) => Err(OptionsError::Beams(count)),
            Search::Beams { length_penalty, .. } if !length_penalty.is_finite() => {
                Err(OptionsError::LengthPenalty(length_penalty))
            }
            Search::Beams { .. } => Ok(()),
            Search::Sample { top_p, .. } if !(top_p > 0.0 && top_p <= 1.0) => Err(OptionsError::TopP(top_p)),
            Search::Sample { temperature, .. } => positive("temperature", temperature),
        }
    }
}
