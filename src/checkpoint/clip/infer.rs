//! Infers the architecture of a file without a configuration from the names and shapes of its tensors.
//!
//! They show everything but the width of the heads and the activation. Heads are 64 wide in every published CLIP,
//! except in the three largest image towers, and in the two largest of SigLIP.

use super::architecture::{Architecture, TEXT, VISION, smallest_of, smallest_siglip};
use super::names::Scheme;
use crate::checkpoint::InferenceError;
use crate::checkpoint::found::{Found, count, found};
use crate::checkpoint::places::Place;
use crate::layers::block::Block;
use crate::layers::bottleneck::Bottleneck;
use crate::models::clip::config::{REDUCTION, mlp_ratio};
use crate::models::clip::resnet::ResNet;
use crate::models::clip::text::Text;
use crate::models::clip::visual::Visual;
use crate::models::clip::vit::Vit;
use crate::models::clip::{Layers, TextConfig, VisionConfig};
use kernels::Activation;

/// The width of a head unless [`WIDER_HEADS`] says otherwise.
const HEAD_WIDTH: usize = 64;

/// The width of an image tower and of its heads, for ViT-H, ViT-g and ViT-bigG.
const WIDER_HEADS: [(usize, usize); 3] = [(1280, 80), (1408, 88), (1664, 104)];

/// The number of heads of SigLIP's towers that are wider than this.
const SIGLIP_HEADS: (usize, usize) = (1024, 16);

/// Infers the architecture from the shapes that `shape_of` finds at the scheme's places. The shapes do not show the
/// activation, which the caller must set.
///
/// # Errors
/// Returns an error that says what is missing or does not fit together.
pub(crate) fn infer(
    scheme: &Scheme,
    shape_of: &dyn Fn(&[Place]) -> Option<Vec<usize>>,
) -> Result<Architecture, InferenceError> {
    let file = File { scheme, shape_of };
    let is_siglip = file.vit(1, true).attn_pool.is_some_and(|head| head.probe.is_there());
    let (vit, resnet) = (file.vit(1, is_siglip), file.resnet(1));
    let has_bias = |text: &Text<Found>| text.text_projection_bias.as_ref().is_some_and(Found::is_there);
    let text = Some(file.text(1, true)).filter(has_bias).unwrap_or_else(|| file.text(1, false));
    let vision = match (resnet.layer1[0].conv1.weight.is_there(), vit.embed.conv1_weight.is_there()) {
        (true, _) => Some(file.resnet_config(&resnet)?),
        (false, true) => Some(file.vit_config(&vit, is_siglip)?),
        (false, false) => None,
    };
    let text_config = text.token_embedding.is_there().then(|| file.text_config(&text)).transpose()?;
    let embed_dim = match (&vision, &text_config) {
        (None, None) => return Err(InferenceError::NoClip),
        (_, Some(config)) => embed_dim(&text.text_projection, config.width)?,
        (Some(VisionConfig { layers: Layers::ResNet(_), .. }), None) => {
            resnet.attnpool.c_proj.weight.shape().map(|[embed_dim, _]| embed_dim)?
        }
        (Some(vision), None) => vit.proj.map_or(Ok(vision.width), |proj| embed_dim(&proj, vision.width))?,
    };
    let logit_bias = shape_of(&scheme.logit_bias()).is_some();
    Ok(Architecture { embed_dim, activation: Activation::Gelu, logit_bias, vision, text: text_config })
}

/// A file whose tensors follow a scheme, and the function that finds their shapes.
struct File<'a> {
    scheme: &'a Scheme,
    shape_of: &'a dyn Fn(&[Place]) -> Option<Vec<usize>>,
}

impl File<'_> {
    /// Returns the shapes of a ViT with this number of blocks, of a CLIP or of a SigLIP.
    fn vit(&self, layers: usize, is_siglip: bool) -> Vit<Found> {
        let smallest = if is_siglip { smallest_siglip(layers, 1) } else { smallest_of(Layers::Vit(layers), 1) };
        match found(self.shape_of, &self.scheme.visual(&smallest.visual), &VISION) {
            Visual::Vit(vit) => vit,
            Visual::ResNet(_) => unreachable!("a ViT was asked for"),
        }
    }

    /// Returns the shapes of a ResNet with this number of bottlenecks in each stage.
    fn resnet(&self, layers: usize) -> ResNet<Found> {
        match found(self.shape_of, &self.scheme.visual(&smallest_of(Layers::ResNet([layers; 4]), 1).visual), &VISION) {
            Visual::ResNet(resnet) => resnet,
            Visual::Vit(_) => unreachable!("a ResNet was asked for"),
        }
    }

    /// Returns the shapes of a text tower with this number of blocks, of a CLIP or of a SigLIP.
    fn text(&self, layers: usize, is_siglip: bool) -> Text<Found> {
        let smallest = if is_siglip { smallest_siglip(1, layers) } else { smallest_of(Layers::Vit(1), layers) };
        found(self.shape_of, &self.scheme.text(&smallest.text), &TEXT)
    }

    fn vit_config(&self, vit: &Vit<Found>, map_head: bool) -> Result<VisionConfig, InferenceError> {
        let [width, _, _, patch_size] = vit.embed.conv1_weight.shape()?;
        let grid = vit.embed.positional_embedding.grid_behind(usize::from(!map_head))?;
        let wider = WIDER_HEADS.iter().find(|(wide, _)| *wide == width);
        let head_width = match wider {
            _ if map_head => siglip_head_width(width),
            wider => wider.map_or(HEAD_WIDTH, |(_, head)| *head),
        };
        let mlp_ratio = mlp_ratio_of(&vit.transformer.resblocks[0], width)?;
        let blocks = |n| self.vit(n, map_head).transformer.resblocks;
        let layers = count(blocks, |block| block.attn.in_proj_weight.is_there());
        let image_size = grid.checked_mul(patch_size).ok_or(InferenceError::TooMany { what: "patches" })?;
        Ok(VisionConfig {
            image_size,
            layers: Layers::Vit(layers),
            width,
            patch_size: Some(patch_size),
            head_width,
            mlp_ratio,
            patch_dropout: 0.0,
            gelu_tanh: map_head,
            map_head,
        })
    }

    fn resnet_config(&self, resnet: &ResNet<Found>) -> Result<VisionConfig, InferenceError> {
        let [width, ..] = resnet.layer1[0].conv1.weight.shape::<4>()?;
        let grid = resnet.attnpool.positional_embedding.grid()?;
        type Stage = fn(ResNet<Found>) -> Vec<Bottleneck<Found>>;
        let stages: [Stage; 4] = [|net| net.layer1, |net| net.layer2, |net| net.layer3, |net| net.layer4];
        let layers = stages.map(|stage| count(|n| stage(self.resnet(n)), |block| block.conv1.weight.is_there()));
        let image_size = grid.checked_mul(REDUCTION).ok_or(InferenceError::TooMany { what: "positions" })?;
        let (layers, patch_size) = (Layers::ResNet(layers), None);
        Ok(VisionConfig {
            image_size,
            layers,
            width,
            patch_size,
            head_width: HEAD_WIDTH,
            mlp_ratio: 4.0,
            patch_dropout: 0.0,
            gelu_tanh: false,
            map_head: false,
        })
    }

    fn text_config(&self, text: &Text<Found>) -> Result<TextConfig, InferenceError> {
        let [vocab_size, width] = text.token_embedding.shape()?;
        let [context_length, _] = text.positional_embedding.shape()?;
        let no_causal_mask = text.text_projection_bias.is_some();
        let head_width = if no_causal_mask { siglip_head_width(width) } else { HEAD_WIDTH };
        if width % head_width != 0 {
            return Err(InferenceError::Heads { head_width, width });
        }
        let mlp_ratio = mlp_ratio_of(&text.transformer.resblocks[0], width)?;
        let blocks = |n| self.text(n, no_causal_mask).transformer.resblocks;
        let layers = count(blocks, |block| block.attn.in_proj_weight.is_there());
        let (heads, gelu_tanh) = (width / head_width, no_causal_mask);
        Ok(TextConfig { context_length, vocab_size, width, heads, layers, mlp_ratio, gelu_tanh, no_causal_mask })
    }
}

/// Returns the width of the heads of a SigLIP's tower: the wider ones have 16 of them.
fn siglip_head_width(width: usize) -> usize {
    let (widest, heads) = SIGLIP_HEADS;
    if width > widest && width.is_multiple_of(heads) { width / heads } else { HEAD_WIDTH }
}

/// Returns e for a projection (d,e). If the projection is missing, the joint space is as wide as the tower.
fn embed_dim(projection: &Found, width: usize) -> Result<usize, InferenceError> {
    if projection.is_there() { projection.shape().map(|[_, embed_dim]| embed_dim) } else { Ok(width) }
}

/// Returns how many times wider than the tower a block's MLP is.
fn mlp_ratio_of(block: &Block<Found>, width: usize) -> Result<f64, InferenceError> {
    block.mlp.c_fc.weight.shape().map(|[mlp_width, _]| mlp_ratio(width.max(1), mlp_width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::{Config, model};
    use crate::tree::{Path as TreePath, Tree};
    use std::collections::HashMap;

    fn table_of(architecture: &Architecture) -> HashMap<String, Vec<usize>> {
        let spec = model::spec(&architecture.config().unwrap());
        let mut table = HashMap::new();
        spec.map(&TreePath::ROOT, &mut |path, spec| table.insert(path.to_string(), spec.shape.clone()));
        table
    }

    fn infer_from(table: &HashMap<String, Vec<usize>>) -> Result<Architecture, InferenceError> {
        infer(&Scheme::openai(), &|places| match places {
            [Place::Whole(name) | Place::Behind(name, _)] => table.get(name).cloned(),
            // Other places are those of a SigLIP's trunk, which is in none of these tables.
            _ => None,
        })
    }

    #[test]
    fn every_preset_shows_in_its_shapes() {
        for name in Config::preset_names() {
            let expected = Architecture::from(&Config::preset(name).unwrap());
            let table = table_of(&expected);
            let inferred = infer_from(&table).unwrap();
            assert_eq!(inferred, Architecture { activation: Activation::Gelu, ..expected }, "{name}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_named() {
        let table = table_of(&Architecture::from(&Config::preset("ViT-B-32").unwrap()));
        let with = |name: &str, shape: &[usize]| {
            let mut table = table.clone();
            table.insert(name.into(), shape.to_vec());
            infer_from(&table).unwrap_err().to_string()
        };
        assert!(with("visual.positional_embedding", &[51, 768]).contains("51 positions"));
        assert!(with("visual.positional_embedding", &[0, 768]).contains("0 positions"));
        assert!(with("visual.conv1.weight", &[768, 3]).contains("visual.conv1.weight has shape [768, 3]"));
        assert!(with("visual.conv1.weight", &[768, 3, 32, usize::MAX]).contains("too many"));
        assert!(with("token_embedding.weight", &[49_408, 500]).contains("500"));
        assert!(with("visual.layer1.0.conv1.weight", &[64, 64, 1, 1]).contains("visual.attnpool"));
    }
}
