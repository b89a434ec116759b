//! The layer groups of a tower, counted from its input to its output. A locked tower is unlocked group by group from
//! its output on, and a learning rate that decays by layers falls group by group towards the input. They are
//! OpenCLIP's (`layer_groups` of its transformer.py and modified_resnet.py):
//!
//! | group | ViT | ResNet | text |
//! |---|---|---|---|
//! | first | `conv1`, both embeddings, `ln_pre` | the stem | both embeddings |
//! | one for each | block, `ln_post` with the last | stage | block, `ln_final` with the last |
//! | last | `proj` or `attn_pool` | `attnpool` | `text_projection` |

use super::config::{Config, Layers};
use crate::tree::Path;

/// One of the two towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    /// The image encoder.
    Image,
    /// The text encoder.
    Text,
}

impl Tower {
    /// Returns the number of groups.
    pub fn groups(self, config: &Config) -> usize {
        self.layers(config) + 2
    }

    /// Returns the group of what is at a path, or `None` if it is not in this tower.
    pub fn group(self, config: &Config, path: &Path) -> Option<usize> {
        let (name, layers) = (path.to_string(), self.layers(config));
        let name = match (self, name.strip_prefix("visual.")) {
            (Tower::Image, Some(inside)) => inside,
            (Tower::Text, None) if !name.starts_with("logit_") => &name,
            _ => return None,
        };
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let block = || rest.split('.').nth(1).and_then(|index| index.parse::<usize>().ok());
        Some(match first {
            "transformer" => 1 + block().expect("a block of the list"),
            "layer1" | "layer2" | "layer3" | "layer4" => usize::from(first.as_bytes()[5] - b'0'),
            "ln_post" | "ln_final" => layers,
            "proj" | "attnpool" | "attn_pool" | "text_projection" => layers + 1,
            _ => 0,
        })
    }

    /// Returns the number of blocks, or of a ResNet's stages.
    fn layers(self, config: &Config) -> usize {
        match (self, config.vision_cfg.layers) {
            (Tower::Image, Layers::Vit(layers)) => layers,
            (Tower::Image, Layers::ResNet(stages)) => stages.len(),
            (Tower::Text, _) => config.text_cfg.layers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::model::spec;
    use crate::params::for_each;
    use std::collections::BTreeMap;

    /// Returns the first part of each name in every group, with what tells blocks apart.
    fn listed(tower: Tower, model: &str) -> Vec<String> {
        let config = Config::preset(model).unwrap();
        let mut groups = BTreeMap::<usize, Vec<String>>::new();
        for_each(&spec(&config), &Path::ROOT, |path, _, _| {
            let Some(group) = tower.group(&config, path) else { return };
            let name = path.to_string();
            let parts: Vec<_> = name.trim_start_matches("visual.").split('.').collect();
            let own = parts.get(2).filter(|_| parts[0] == "transformer").unwrap_or(&parts[0]).to_string();
            let names = groups.entry(group).or_default();
            if !names.contains(&own) {
                names.push(own);
            }
        });
        assert!(groups.keys().copied().eq(0..tower.groups(&config)), "{model}: every group has parameters");
        groups.into_values().map(|names| names.join(" ")).collect()
    }

    #[test]
    fn groups_are_those_of_openclip() {
        let image = listed(Tower::Image, "Emoji-ViT-S");
        assert_eq!(image[0], "class_embedding positional_embedding conv1 ln_pre");
        let last = image.len() - 2;
        assert_eq!(image[1..last], (0..last - 1).map(|i| i.to_string()).collect::<Vec<_>>());
        assert_eq!(image[last..], [format!("{} ln_post", last - 1), "proj".into()]);
        let text = listed(Tower::Text, "ViT-B-32");
        assert_eq!((text.len(), &*text[0], &*text[1]), (14, "positional_embedding token_embedding", "0"));
        assert_eq!(text[12..], ["11 ln_final", "text_projection"]);
        let resnet = listed(Tower::Image, "Emoji-RN-S");
        assert_eq!(resnet[0], "conv1 bn1 conv2 bn2 conv3 bn3");
        assert_eq!(resnet[1..], ["layer1", "layer2", "layer3", "layer4", "attnpool"]);
        assert_eq!(Tower::Image.group(&Config::preset("RN50").unwrap(), &Path::at("logit_scale")), None);
        assert_eq!(Tower::Text.group(&Config::preset("RN50").unwrap(), &Path::at("logit_scale")), None);
    }
}
