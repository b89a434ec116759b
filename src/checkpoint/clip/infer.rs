//! Infers the architecture of a file without a configuration from the names and shapes of its tensors.
//!
//! They show everything but the width of the heads and the activation. Heads are 64 wide in every published CLIP,
//! except in the three largest image towers.

use super::architecture::{Architecture, TEXT, VISION, smallest_of};
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
    let (vit, resnet, text) = (file.vit(1), file.resnet(1), file.text(1));
    let vision = match (resnet.layer1[0].conv1.weight.is_there(), vit.embed.conv1_weight.is_there()) {
        (true, _) => Some(file.resnet_config(&resnet)?),
        (false, true) => Some(file.vit_config(&vit)?),
        (false, false) => None,
    };
    let text_config = text.token_embedding.is_there().then(|| file.text_config(&text)).transpose()?;
    let embed_dim = match (&vision, &text_config) {
        (None, None) => return Err(InferenceError::NoClip),
        (_, Some(config)) => embed_dim(&text.text_projection, config.width)?,
        (Some(VisionConfig { layers: Layers::ResNet(_), .. }), None) => {
            resnet.attnpool.c_proj.weight.shape().map(|[embed_dim, _]| embed_dim)?
        }
        (Some(vision), None) => embed_dim(&vit.proj, vision.width)?,
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
    /// Returns the shapes of a ViT with this number of blocks.
    fn vit(&self, layers: usize) -> Vit<Found> {
        match found(self.shape_of, &self.scheme.visual(&smallest_of(Layers::Vit(layers), 1).visual), &VISION) {
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

    /// Returns the shapes of a text tower with this number of blocks.
    fn text(&self, layers: usize) -> Text<Found> {
        found(self.shape_of, &self.scheme.text(&smallest_of(Layers::Vit(1), layers).text), &TEXT)
    }

    fn vit_config(&self, vit: &Vit<Found>) -> Result<VisionConfig, InferenceError> {
        let [width, _, _, patch_size] = vit.embed.conv1_weight.shape()?;
        let grid = vit.embed.positional_embedding.grid()?;
        let head_width = WIDER_HEADS.iter().find(|(wide, _)| *wide == width).map_or(HEAD_WIDTH, |(_, head)| *head);
        let mlp_ratio = mlp_ratio_of(&vit.transformer.resblocks[0], width)?;
        let layers = count(|n| self.vit(n).transformer.resblocks, |block| block.attn.in_proj_weight.is_there());
        let image_size = grid.checked_mul(patch_size).ok_or(InferenceError::TooMany { what: "patches" })?;
        let (layers, patch_size) = (Layers::Vit(layers), Some(patch_size));
        Ok(VisionConfig { image_size, layers, width, patch_size, head_width, mlp_ratio, patch_dropout: 0.0 })
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
        })
    }

    fn text_config(&self, text: &Text<Found>) -> Result<TextConfig, InferenceError> {
        let [vocab_size, width] = text.token_embedding.shape()?;
        let [context_length, _] = text.positional_embedding.shape()?;
        if width % HEAD_WIDTH != 0 {
            return Err(InferenceError::Heads { head_width: HEAD_WIDTH, width });
        }
        let mlp_ratio = mlp_ratio_of(&text.transformer.resblocks[0], width)?;
        let layers = count(|n| self.text(n).transformer.resblocks, |block| block.attn.in_proj_weight.is_there());
        Ok(TextConfig { context_length, vocab_size, width, heads: width / HEAD_WIDTH, layers, mlp_ratio })
    }
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
            [Place::Whole(name)] => table.get(name).cloned(),
            other => panic!("{other:?}"),
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
