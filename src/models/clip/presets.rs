//! The architectures that have a name.

use super::config::{
    Config, ConfigError, Layers, TextConfig, VOCAB_SIZE, VisionConfig, default_head_width, default_mlp_ratio,
};

/// The image tower of ViT-B-32, from which the other ViTs differ in the fields that they name.
const VIT: VisionConfig = VisionConfig {
    image_size: 224,
    layers: Layers::Vit(12),
    width: 768,
    patch_size: Some(32),
    head_width: default_head_width(),
    mlp_ratio: default_mlp_ratio(),
    patch_dropout: 0.0,
    gelu_tanh: false,
    map_head: false,
};

/// The image tower of ViT-L-14.
const VIT_L: VisionConfig = VisionConfig { layers: Layers::Vit(24), width: 1024, patch_size: Some(14), ..VIT };

/// The image tower of Emoji-ViT-S.
const SMALL_VIT: VisionConfig =
    VisionConfig { image_size: 64, layers: Layers::Vit(6), width: 256, patch_size: Some(16), ..VIT };

/// The image tower of RN50, from which the other ResNets differ in the fields that they name.
const RESNET: VisionConfig =
    VisionConfig { image_size: 224, layers: Layers::ResNet([3, 4, 6, 3]), width: 64, patch_size: None, ..VIT };

/// The image tower of Emoji-RN-S.
const SMALL_RESNET: VisionConfig =
    VisionConfig { image_size: 64, layers: Layers::ResNet([1, 1, 1, 1]), width: 24, ..RESNET };

/// The text tower of RN50 and ViT-B-32, from which the others differ in the fields that they name.
const TEXT: TextConfig = TextConfig {
    context_length: 77,
    vocab_size: VOCAB_SIZE,
    width: 512,
    heads: 8,
    layers: 12,
    mlp_ratio: default_mlp_ratio(),
    gelu_tanh: false,
    no_causal_mask: false,
};

/// The text tower of Emoji-ViT-S; captions of the small models are short.
const SMALL_TEXT: TextConfig = TextConfig { context_length: 32, width: 256, heads: 4, layers: 3, ..TEXT };

/// The architectures that have a name: first the small ones for the embedded pictures, then the published ones.
const PRESETS: [(&str, Config); 13] = [
    ("Emoji-ViT-S", with_gelu(256, SMALL_VIT, SMALL_TEXT)),
    (
        "Emoji-ViT-M",
        with_gelu(
            256,
            VisionConfig { layers: Layers::Vit(8), patch_size: Some(8), ..SMALL_VIT },
            TextConfig { layers: 4, ..SMALL_TEXT },
        ),
    ),
    ("Emoji-RN-S", with_gelu(256, SMALL_RESNET, TextConfig { layers: 1, ..SMALL_TEXT })),
    ("RN50", openai(1024, RESNET, TEXT)),
    ("RN101", openai(512, VisionConfig { layers: Layers::ResNet([3, 4, 23, 3]), ..RESNET }, TEXT)),
    (
        "RN50x4",
        openai(
            640,
            VisionConfig { image_size: 288, layers: Layers::ResNet([4, 6, 10, 6]), width: 80, ..RESNET },
            TextConfig { width: 640, heads: 10, ..TEXT },
        ),
    ),
    (
        "RN50x16",
        openai(
            768,
            VisionConfig { image_size: 384, layers: Layers::ResNet([6, 8, 18, 8]), width: 96, ..RESNET },
            TextConfig { width: 768, heads: 12, ..TEXT },
        ),
    ),
    (
        "RN50x64",
        openai(
            1024,
            VisionConfig { image_size: 448, layers: Layers::ResNet([3, 15, 36, 10]), width: 128, ..RESNET },
            TextConfig { width: 1024, heads: 16, ..TEXT },
        ),
    ),
    ("ViT-B-32", openai(512, VIT, TEXT)),
    ("ViT-B-16", openai(512, VisionConfig { patch_size: Some(16), ..VIT }, TEXT)),
    ("ViT-L-14", openai(768, VIT_L, TextConfig { width: 768, heads: 12, ..TEXT })),
    (
        "ViT-L-14-336",
        openai(768, VisionConfig { image_size: 336, ..VIT_L }, TextConfig { width: 768, heads: 12, ..TEXT }),
    ),
    (
        "ViT-H-14",
        with_gelu(
            1024,
            VisionConfig { layers: Layers::Vit(32), width: 1280, patch_size: Some(14), head_width: 80, ..VIT },
            TextConfig { width: 1024, heads: 16, layers: 24, ..TEXT },
        ),
    ),
];

/// Returns the architecture of one of OpenAI's checkpoints, all of which have QuickGELU.
const fn openai(embed_dim: usize, vision_cfg: VisionConfig, text_cfg: TextConfig) -> Config {
    Config { quick_gelu: true, ..with_gelu(embed_dim, vision_cfg, text_cfg) }
}

/// Returns an architecture with GELU.
const fn with_gelu(embed_dim: usize, vision_cfg: VisionConfig, text_cfg: TextConfig) -> Config {
    Config { embed_dim, quick_gelu: false, init_logit_scale: None, init_logit_bias: None, vision_cfg, text_cfg }
}

impl Config {
    /// Returns the names that [`Config::preset`] knows.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// Returns a published architecture, or one of the small ones for the embedded pictures.
    ///
    /// # Errors
    /// Returns an error if no preset has this name.
    pub fn preset(name: &str) -> Result<Config, ConfigError> {
        let unknown =
            || ConfigError::UnknownPreset { name: name.into(), known: PRESETS.map(|(known, _)| known).join(", ") };
        PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, config)| config.clone()).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::model;
    use crate::params::count;

    /// The counts are those of OpenAI's and OpenCLIP's own models.
    #[test]
    fn presets_have_the_published_parameter_counts() {
        let published = [
            ("RN50", 102_007_137, 38_316_896),
            ("RN101", 119_688_033, 56_259_936),
            ("RN50x4", 178_300_601, 87_137_080),
            ("RN50x16", 290_979_217, 167_328_912),
            ("RN50x64", 623_258_305, 420_380_352),
            ("ViT-B-32", 151_277_313, 87_849_216),
            ("ViT-B-16", 149_620_737, 86_192_640),
            ("ViT-L-14", 427_616_513, 303_966_208),
            ("ViT-L-14-336", 427_944_193, 304_293_888),
            ("ViT-H-14", 986_109_441, 632_076_800),
        ];
        for (name, total, visual) in published {
            let config = Config::preset(name).unwrap();
            assert_eq!(count(&model::spec(&config)), total, "{name}");
            assert_eq!(count(&config.vision().spec()), visual, "{name}, visual");
        }
    }

    #[test]
    fn every_preset_fits_together_and_survives_json() {
        for name in Config::preset_names() {
            let config = Config::preset(name).unwrap();
            config.check().unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        }
        assert!(Config::preset("ViT-B/33").unwrap_err().to_string().contains("ViT-B-32"));
    }
}
