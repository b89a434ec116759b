//! A BLIP's decoder as the search for texts asks it.

use crate::generate::{self, GenerateError, Options, Request};
use crate::models::blip::Config;
use crate::models::blip::decode::{Decoder, Decoding};
use crate::models::blip::model::{Inference, Source};
use crate::models::blip::params::Blip;
use crate::weights::Read;
use ndarray::ArrayView2;

/// Writes a text for each source with a model's decoder.
///
/// # Errors
/// Returns an error if the options make no sense.
pub fn write(
    buffers: &mut Inference,
    p: &Blip<impl Read>,
    config: &Config,
    source: &Source,
    requests: &[Request],
    options: &Options,
) -> Result<Vec<generate::Text>, GenerateError> {
    buffers.decode(p, config, source, |decoder| {
        let mut cached = Cached { decoder, decoding: Decoding::default(), capacity: options.max_length };
        generate::generate(&mut cached, requests, options)
    })
}

/// A decoder with its cache, as a search asks it.
struct Cached<'a, 'b, R> {
    decoder: &'a Decoder<'b, R>,
    decoding: Decoding,
    capacity: usize,
}

impl<R: Read> generate::Decoder for Cached<'_, '_, R> {
    fn start(&mut self, prompts: &[&[u32]]) -> ArrayView2<'_, f32> {
        self.decoding.start(self.decoder, prompts, self.capacity)
    }

    fn advance(&mut self, parents: &[usize], tokens: &[u32]) -> ArrayView2<'_, f32> {
        self.decoding.advance(self.decoder, parents, tokens)
    }
}
