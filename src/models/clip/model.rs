//! CLIP: an image tower, a text tower and the learnt temperature (Radford et al. 2021, figure 3).

use crate::layers::normalize;
use crate::models::Captions;
use crate::models::clip::Config;
use crate::models::clip::text::{self, Text};
use crate::models::clip::visual::{self, Visual};
use crate::models::clip::vit::{self, Vit};
use crate::models::stack::Turn;
use crate::models::{Keep, Mode, Workspace};
use crate::params::{Init, Params, Spec};
use crate::tree::{Arena, tree};
use crate::weights::{Balance, Read};
use kernels::in_pool;
use ndarray::{Array2, ArrayView2};

tree! {
    /// The parameters of both towers, under the names of OpenAI's checkpoints, and the temperature. The logits are
    /// exp(`logit_scale`) times the cosines, plus `logit_bias` if the sigmoid loss is the objective.
    ClipParams { visual: Visual, text as "": Text, logit_scale, logit_bias: [_?] }
}

/// The scale starts at ln(1/0.07), so logits are 14.3 times the cosine (section 2.5).
pub const INIT_LOGIT_SCALE: f32 = 2.659_26;

/// The scale stays at most ln 100, so logits are at most 100 times the cosine (section 2.5).
pub const MAX_LOGIT_SCALE: f32 = 4.605_170_2;

/// Returns the parameter table of a configuration.
pub fn spec(config: &Config) -> ClipParams<Spec> {
    ClipParams {
        visual: config.vision().spec(),
        text: config.text().spec(),
        logit_scale: Spec::new(&[], Init::Const(config.init_logit_scale.unwrap_or(INIT_LOGIT_SCALE))),
        logit_bias: config.init_logit_bias.map(|bias| Spec::new(&[], Init::Const(bias))),
    }
}

impl Balance<ClipParams<Spec>> for ClipParams<&mut [f32]> {
    fn balance(&mut self, spec: &mut ClipParams<Spec>) {
        self.visual.balance(&mut spec.visual);
        self.text.balance(&mut spec.text);
    }
}

/// A configuration of CLIP and the parameters that belong to it.
pub struct Model {
    /// The sizes of both towers.
    pub config: Config,
    /// The parameters of both towers, and those of the logits.
    pub params: Params<ClipParams<Spec>>,
}

/// The buffers of inference, which are reused from call to call.
#[derive(Default)]
pub struct Inference {
    workspace: Workspace,
    scratch: Arena,
}

impl Model {
    /// Draws a fresh model; one seed always gives the same bits.
    pub fn new(config: Config, seed: u64) -> Self {
        let params = Params::init(spec(&config), seed);
        Model { config, params }
    }

    /// Embeds pictures as vectors of unit length.
    ///
    /// `images` (B,3·edge²), normalised; returns (B,e)
    pub fn encode_images(&self, images: ArrayView2<f32>, buffers: &mut Inference) -> Array2<f32> {
        buffers.encode_images(&self.params.view().visual, &self.config.vision(), images)
    }

    /// Embeds captions as vectors of unit length.
    ///
    /// returns (B,e)
    pub fn encode_texts(&self, captions: Captions, buffers: &mut Inference) -> Array2<f32> {
        buffers.encode_texts(&self.params.view().text, &self.config.text(), captions)
    }
}

impl Inference {
    /// Embeds pictures as vectors of unit length, with an image tower alone.
    ///
    /// `images` (B,3·edge²), normalised; returns (B,e)
    pub fn encode_images(
        &mut self,
        p: &Visual<impl Read>,
        shape: &visual::Shape,
        images: ArrayView2<f32>,
    ) -> Array2<f32> {
        let mut features = Array2::zeros((images.nrows(), shape.embed_dim()));
        if images.is_empty() {
            return features;
        }
        let Inference { workspace, scratch } = self;
        in_pool(|| {
            visual::forward(p, shape, images, Mode::Inference, features.view_mut(), workspace, scratch);
            normalize::unit(features.view())
        })
    }

    /// Embeds pictures as vectors of unit length, with a ViT whose blocks [come one by one](vit::forward_by_blocks).
    ///
    /// `images` (B,3·edge²), normalised; returns (B,e)
    ///
    /// # Errors
    /// Returns the error of `block`.
    pub fn encode_images_by_blocks<E: Send>(
        &mut self,
        p: &Vit<impl Read>,
        shape: &vit::Shape,
        images: ArrayView2<f32>,
        block: impl FnMut(Turn) -> Result<(), E> + Send,
    ) -> Result<Array2<f32>, E> {
        let mut features = Array2::zeros((images.nrows(), shape.embed_dim));
        if images.is_empty() {
            return Ok(features);
        }
        let Inference { workspace, scratch } = self;
        in_pool(|| {
            let (how, features) = ((Keep::Nothing, None), features.view_mut());
            vit::forward_by_blocks(p, shape, images, how, features, workspace, scratch, block)
        })?;
        Ok(normalize::unit(features.view()))
    }

    /// Embeds captions as vectors of unit length, with a text tower whose blocks [come one by
    /// one](text::forward_by_blocks).
    ///
    /// returns (B,e)
    ///
    /// # Errors
    /// Returns the error of `block`.
    pub fn encode_texts_by_blocks<E: Send>(
        &mut self,
        p: &Text<impl Read>,
        shape: &text::Shape,
        captions: Captions,
        block: impl FnMut(Turn) -> Result<(), E> + Send,
    ) -> Result<Array2<f32>, E> {
        let mut features = Array2::zeros((captions.len(), shape.embed_dim));
        let Inference { workspace, scratch } = self;
        in_pool(|| {
            let (keep, features) = (Keep::Nothing, features.view_mut());
            text::forward_by_blocks(p, shape, captions, keep, features, workspace, scratch, block)
        })?;
        Ok(normalize::unit(features.view()))
    }

    /// Embeds captions as vectors of unit length, with a text tower alone.
    ///
    /// returns (B,e)
    pub fn encode_texts(&mut self, p: &Text<impl Read>, shape: &text::Shape, captions: Captions) -> Array2<f32> {
        let mut features = Array2::zeros((captions.len(), shape.embed_dim));
        let Inference { workspace, scratch } = self;
        in_pool(|| {
            text::forward(p, shape, captions, Keep::Nothing, features.view_mut(), workspace, scratch);
            normalize::unit(features.view())
        })
    }
}
