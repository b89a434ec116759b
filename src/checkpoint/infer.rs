//! The architecture of a file without a configuration, from the names and shapes of its tensors.
//!
//! Everything but the heads and the activation shows. Heads are 64 wide in every published CLIP but the three largest
//! image towers.

use super::architecture::Architecture;
use crate::models::clip::config::{REDUCTION, mlp_ratio};
use crate::models::clip::{Layers, TextConfig, VisionConfig};
use kernels::Activation;

/// The width of a head unless [`WIDER_HEADS`] says otherwise.
const HEAD_WIDTH: usize = 64;

/// Width of an image tower, and of its heads: ViT-H, ViT-g, ViT-bigG.
const WIDER_HEADS: [(usize, usize); 3] = [(1280, 80), (1408, 88), (1664, 104)];

/// What `shape_of` a tensor (by our names) tells; an error says what is missing. Of the activation nothing is told: it is
/// for the caller to set.
pub fn infer(shape_of: &dyn Fn(&str) -> Option<Vec<usize>>) -> Result<Architecture, String> {
    let file = File { shape_of };
    let has = |name| (file.shape_of)(name).is_some();
    let vision = match (has("visual.layer1.0.conv1.weight"), has("visual.conv1.weight")) {
        (true, _) => Some(file.resnet()?),
        (false, true) => Some(file.vit()?),
        (false, false) => None,
    };
    let text = has("token_embedding.weight").then(|| file.text()).transpose()?;
    // A tower without projection gives out its own width.
    let embed_dim = match (&vision, &text) {
        (None, None) => return Err("there are no tensors of a CLIP in it".into()),
        (_, Some(text)) => file.embed_dim("text_projection", text.width)?,
        (Some(VisionConfig { layers: Layers::ResNet(_), .. }), None) => {
            file.shape("visual.attnpool.c_proj.weight").map(|[embed_dim, _]| embed_dim)?
        }
        (Some(vision), None) => file.embed_dim("visual.proj", vision.width)?,
    };
    Ok(Architecture { embed_dim, activation: Activation::Gelu, vision, text })
}

struct File<'a> {
    shape_of: &'a dyn Fn(&str) -> Option<Vec<usize>>,
}

impl File<'_> {
    /// The shape of a tensor that must be there, with N dimensions.
    fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N], String> {
        let shape = (self.shape_of)(name).ok_or_else(|| format!("tensor {name} is missing"))?;
        shape.as_slice().try_into().map_err(|_| format!("tensor {name} has shape {shape:?}"))
    }

    fn embed_dim(&self, projection: &str, width: usize) -> Result<usize, String> {
        if (self.shape_of)(projection).is_none() {
            return Ok(width);
        }
        self.shape(projection).map(|[_, embed_dim]| embed_dim)
    }

    fn vit(&self) -> Result<VisionConfig, String> {
        let [width, _, _, patch_size] = self.shape("visual.conv1.weight")?;
        let grid = self.grid("visual.positional_embedding")?;
        let head_width = WIDER_HEADS.iter().find(|(wide, _)| *wide == width).map_or(HEAD_WIDTH, |(_, head)| *head);
        let (layers, mlp_ratio) = self.blocks("visual.transformer.resblocks", width)?;
        let image_size = grid.checked_mul(patch_size).ok_or("its patches are too many")?;
        let (layers, patch_size) = (Layers::Vit(layers), Some(patch_size));
        Ok(VisionConfig { image_size, layers, width, patch_size, head_width, mlp_ratio })
    }

    fn resnet(&self) -> Result<VisionConfig, String> {
        let [width, ..] = self.shape::<4>("visual.layer1.0.conv1.weight")?;
        let grid = self.grid("visual.attnpool.positional_embedding")?;
        let layers = [1, 2, 3, 4].map(|stage| {
            let is_there = |i: &usize| (self.shape_of)(&format!("visual.layer{stage}.{i}.conv1.weight")).is_some();
            (0..).take_while(is_there).count()
        });
        let image_size = grid.checked_mul(REDUCTION).ok_or("its positions are too many")?;
        let (layers, patch_size) = (Layers::ResNet(layers), None);
        Ok(VisionConfig { image_size, layers, width, patch_size, head_width: HEAD_WIDTH, mlp_ratio: 4.0 })
    }

    /// The edge of a table of positions, behind the row of the class or the mean.
    fn grid(&self, table: &str) -> Result<usize, String> {
        let [positions, _] = self.shape(table)?;
        let grid = positions.saturating_sub(1).isqrt();
        if grid * grid + 1 == positions {
            return Ok(grid);
        }
        Err(format!("{positions} positions are not one and a square"))
    }

    fn text(&self) -> Result<TextConfig, String> {
        let [vocab_size, width] = self.shape("token_embedding.weight")?;
        let [context_length, _] = self.shape("positional_embedding")?;
        if width % HEAD_WIDTH != 0 {
            return Err(format!("heads of {HEAD_WIDTH} do not fit a text tower of width {width}"));
        }
        let (layers, mlp_ratio) = self.blocks("transformer.resblocks", width)?;
        Ok(TextConfig { context_length, vocab_size, width, heads: width / HEAD_WIDTH, layers, mlp_ratio })
    }

    /// How many blocks, and how much wider their MLPs are.
    fn blocks(&self, at: &str, width: usize) -> Result<(usize, f64), String> {
        let [mlp_width, _] = self.shape(&format!("{at}.0.mlp.c_fc.weight"))?;
        let is_there = |i: &usize| (self.shape_of)(&format!("{at}.{i}.attn.in_proj_weight")).is_some();
        Ok(((0..).take_while(is_there).count(), mlp_ratio(width.max(1), mlp_width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::Config;
    use std::collections::HashMap;

    fn table_of(architecture: &Architecture) -> HashMap<String, Vec<usize>> {
        architecture.table().into_iter().map(|(names, shape)| (names[0].clone(), shape)).collect()
    }

    #[test]
    fn every_preset_shows_in_its_shapes() {
        for name in Config::preset_names() {
            let expected = Architecture::from(&Config::preset(name).unwrap());
            let table = table_of(&expected);
            let inferred = infer(&|tensor| table.get(tensor).cloned()).unwrap();
            assert_eq!(inferred, Architecture { activation: Activation::Gelu, ..expected }, "{name}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_named() {
        let table = table_of(&Architecture::from(&Config::preset("ViT-B-32").unwrap()));
        let with = |name: &str, shape: &[usize]| {
            let mut table = table.clone();
            table.insert(name.into(), shape.to_vec());
            infer(&|tensor| table.get(tensor).cloned()).unwrap_err()
        };
        assert!(with("visual.positional_embedding", &[51, 768]).contains("51 positions"));
        assert!(with("visual.positional_embedding", &[0, 768]).contains("0 positions"));
        assert!(with("visual.conv1.weight", &[768, 3]).contains("visual.conv1.weight has shape [768, 3]"));
        assert!(with("visual.conv1.weight", &[768, 3, 32, usize::MAX]).contains("too many"));
        assert!(with("token_embedding.weight", &[49_408, 500]).contains("500"));
        assert!(with("visual.layer1.0.conv1.weight", &[64, 64, 1, 1]).contains("visual.attnpool"));
    }
}
