//! The loop over steps, for many requests at once.

use super::beams::{self, Beam, BeamSearch, Ended};
use super::decoder::Decoder;
use super::options::{GenerateError, Options, Search};
use super::process::process;
use super::sample;
use crate::best::Best;
use kernels::{cross_entropy, softmax};
use ndarray::ArrayView2;

/// A prompt to go on from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub prompt: &'a [u32],
    /// The number by which it draws: its place among all requests with this seed, in whatever batches they come. Only
    /// sampling reads it.
    pub number: u64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The prompt and what follows, with the end token if there was room for it.
    pub ids: Vec<u32>,
    /// How good it is. Beam searches compare by it (see [`beams`]); otherwise it is the sum of the
    /// log-probabilities that the model itself, without any processing, gives the tokens behind the prompt.
    pub score: f32,
}

/// Searches a text for each request, all in step with each other.
///
/// # Errors
/// Returns an error if the options make no sense, by themselves or for a prompt or the decoder's vocabulary.
///
/// # Panics
/// Panics if the decoder returns another number of rows than it was asked for, or if a prompt has a token beyond its
/// vocabulary.
pub fn generate(
    decoder: &mut dyn Decoder,
    requests: &[Request],
    options: &Options,
) -> Result<Vec<Text>, GenerateError> {
    options.check()?;
    requests.iter().enumerate().try_for_each(|(i, request)| check_prompt(i, request.prompt.len(), options))?;
    if requests.is_empty() {
        return Ok(vec![]);
    }
    let mut runs: Vec<Run> =
        requests.iter().enumerate().map(|(row, request)| Run::new(row, request, options)).collect();
    let prompts: Vec<&[u32]> = requests.iter().map(|request| request.prompt).collect();
    let logits = decoder.start(&prompts);
    let vocabulary = logits.ncols();
    if options.end as usize >= vocabulary {
        return Err(GenerateError::EndToken { end: options.end, vocabulary });
    }
    let mut scores = vec![];
    step(&mut runs, logits, prompts.len(), &mut scores, options);
    loop {
        let open = || runs.iter().flat_map(|run| &run.open);
        let parents: Vec<usize> = open().map(|beam| beam.row).collect();
        let tokens: Vec<u32> = open().map(|beam| beam.ids[beam.ids.len() - 1]).collect();
        if parents.is_empty() {
            return Ok(runs.into_iter().map(Run::text).collect());
        }
        runs.iter_mut().flat_map(|run| &mut run.open).enumerate().for_each(|(row, beam)| beam.row = row);
        step(&mut runs, decoder.advance(&parents, &tokens), parents.len(), &mut scores, options);
    }
}

/// Checks that a prompt has a token and leaves room for one.
fn check_prompt(request: usize, prompt: usize, options: &Options) -> Result<(), GenerateError> {
    match prompt {
        0 => Err(GenerateError::EmptyPrompt { request }),
        _ if prompt < options.max_length => Ok(()),
        _ => Err(GenerateError::NoRoom { request, prompt, max_length: options.max_length }),
    }
}

/// Continues every open text by one token.
///
/// `logits` (rows,V)
fn step(runs: &mut [Run], logits: ArrayView2<f32>, rows: usize, scores: &mut Vec<f32>, options: &Options) {
    assert_eq!(logits.nrows(), rows, "a decoder's rows of logits");
    let (logits, vocabulary) = (logits.as_standard_layout(), logits.ncols());
    let logits = logits.as_slice().expect("the standard layout");
    scores.clear();
    scores.extend_from_slice(logits);
    if matches!(options.search, Search::Beams { .. }) {
        softmax::log(scores, vocabulary);
    }
    for run in runs.iter_mut().filter(|run| !run.open.is_empty()) {
        run.process(scores, vocabulary);
        run.step(logits, scores, vocabulary);
    }
}

/// The search of one request.
struct Run<'a> {
    options: &'a Options,
    request: &'a Request<'a>,
    open: Vec<Beam>,
    /// The best ended texts, the best first.
    ended: Vec<Ended>,
}

impl<'a> Run<'a> {
    fn new(row: usize, request: &'a Request, options: &'a Options) -> Self {
        let beams = if let Search::Beams { beams, .. } = options.search { beams } else { 1 };
        Run { options, request, open: beams::start(beams, row, request.prompt), ended: vec![] }
    }

    /// Processes the scores of its rows. The beams of a prompt share one.
    fn process(&self, scores: &mut [f32], vocabulary: usize) {
        let mut done = None;
        for beam in self.open.iter().filter(|beam| done.replace(beam.row) != Some(beam.row)) {
            process(&mut scores[beam.row * vocabulary..][..vocabulary], &beam.ids, self.options);
        }
    }

    /// Continues its open texts by one token.
    ///
    /// `logits`, `scores` (rows,V): as the decoder gave them, and processed
    fn step(&mut self, logits: &[f32], scores: &[f32], vocabulary: usize) {
        let (options, prompt) = (self.options, self.request.prompt.len());
        if let Search::Beams { beams, style } = options.search {
            let search = BeamSearch { options, beams, style, prompt };
            return search.step(scores, vocabulary, &mut self.open, &mut self.ended);
        }
        let beam = &mut self.open[0];
        let [logits, scores] = [logits, scores].map(|of| &of[beam.row * vocabulary..][..vocabulary]);
        let token = match options.search {
            Search::Sample { temperature, top_k, top_p, seed } => {
                let probabilities = sample::probabilities(scores, temperature, top_k, top_p);
                sample::draw(&probabilities, &[seed, self.request.number, beam.ids.len() as u64])
            }
            _ => likeliest(scores),
        };
        let mut loss = [0.0];
        cross_entropy::forward(logits, &[token], 0.0, &mut loss);
        beam.sum -= loss[0];
        beam.ids.push(token);
        if token == options.end || beam.ids.len() == options.max_length {
            let score = f64::from(beam.sum);
            self.ended.extend(self.open.drain(..).map(|beam| Ended { score, ids: beam.ids }));
        }
    }

    /// Returns the best text.
    fn text(self) -> Text {
        let Ended { score, ids } = self.ended.into_iter().next().expect("a search ends with a text");
        Text { ids, score: score as f32 }
    }
}

/// Returns the token with the highest score.
fn likeliest(scores: &[f32]) -> u32 {
    let mut best = Best::new(1);
    best.offer_sums(scores, 0.0, 0);
    best.sorted()[0].place as u32
}
