//! ITM: the image-grounded encoder's first row says whether a text fits the picture that it looks at.
//!
//! ```text
//! loss = Σ weight · cross-entropy(itm_head(first row)) over the judged pairs
//! ```

use super::looks::Looks;
use super::passes::{Memory, pass};
use crate::layers::dropout::Pass;
use crate::layers::sequences::Pool;
use crate::loss::cross_entropy::{self, Labels, Scratch as LossScratch, Sums};
use crate::models::blip::sights::SightsMut;
use crate::models::blip::text::Workspace;
use crate::models::blip::{Blip, Config};
use crate::models::{Captions, Packed};
use crate::tree::Arena;

/// The buffers of the loss.
#[derive(Default)]
pub(super) struct Matching {
    texts: Packed,
    labels: Labels,
    losses: Vec<f32>,
    leaving: Arena,
}

impl Matching {
    /// Goes forward and backward for the judged pairs. Adds the gradients of the encoder's and the head's parameters to
    /// `g`.
    pub fn backward(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        (captions, looks, weight): (Captions, &Looks, f32),
        seen: SightsMut,
        dropout: Option<Pass>,
        (workspace, scratch): (&mut Workspace, &mut Arena),
        g: &mut Blip<&mut [f32]>,
    ) -> Sums {
        let Matching { texts, labels, losses, leaving } = self;
        texts.fill(config.text.ids.encode, looks.texts.iter().map(|&text| &captions.of(text)[1..]));
        labels.fill(looks.classes.iter().map(|&(class, count)| Some((class, count * weight))));
        losses.resize(labels.len(), 0.0);
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let p_head = p.itm_head.as_ref().expect("an ITM head");
        let g_head = g.itm_head.as_mut().expect("an ITM head");
        let g = g.text_encoder.as_mut().expect("a text encoder").as_mut();
        let (how, memory) = ((Pool::First, dropout), Memory { workspace, leaving, scratch });
        pass(encoder, &shape, texts.captions(), seen, how, memory, g, |y, dy, _, arena| {
            let scratch = &mut arena.carve(&LossScratch::dims(labels.len(), y.ncols(), p_head.bias.len()));
            cross_entropy::backward(p_head, y, labels, 0.0, losses, dy, g_head, scratch)
        })
    }
}
