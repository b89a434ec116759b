//! Describes, in a text, what models must have in common for their embeddings to be comparable, apart from their
//! weights. Every index holds a digest that this text goes into, so only a new version of the text may change it.
//!
//! The text is written field by field, not derived, so that renaming a field changes no index, and so that a new field
//! does not compile until it is decided what it means for existing indexes.

use crate::checkpoint::Architecture;
use crate::models::blip;
use crate::models::clip::{Layers, TextConfig, VisionConfig};
use crate::pictures::{Interpolation, Library, Preprocess, ResizeMode};
use kernels::Activation;

/// Returns the text in version 1: `v1;e;activation;image tower;text tower;pictures`.
///
/// An image tower is `vit;layers;width;patch size;head width;MLP ratio;image size` or
/// `resnet;layers,layers,layers,layers;width;head width;image size`. A text tower is
/// `text;layers;width;heads;MLP ratio;context length;vocabulary`. `;gelu_tanh`, `;map` and `;no_causal_mask` follow in
/// those that have it. A tower that is not there is `-`. Pictures are `size;mean;std;interpolation;resize mode;library`.
pub fn words(architecture: &Architecture, pictures: &Preprocess) -> String {
    // A bias moves all scores alike, and no embedding.
    let Architecture { embed_dim, activation, logit_bias: _, vision, text } = architecture;
    let activation = activation_name(*activation);
    let (vision, text) =
        (vision.as_ref().map_or_else(absent, image_tower), text.as_ref().map_or_else(absent, text_tower));
    format!("v1;{embed_dim};{activation};{vision};{text};{}", preparation(pictures))
}

/// Returns the text of a BLIP in version 1: `blip v1;e;image encoder;text encoder;pictures`. Pictures that cannot be
/// prepared are `-`.
///
/// The image encoder is `height;width of pictures;patch size;width;MLP width;heads;layers;activation;ε`, the text encoder
/// `vocabulary;positions;width;MLP width;heads;layers;activation;ε;[CLS];[SEP]`.
pub fn blip_words(config: &blip::Config, pictures: Option<&Preprocess>) -> String {
    let blip::Config { vision, text, embed_dim, parts: _ } = config;
    let &blip::VisionConfig {
        image_size: [height, columns],
        patch_size,
        width,
        mlp_width,
        heads,
        layers,
        activation,
        eps,
    } = vision;
    let activation = activation_name(activation);
    let vision = format!("{height};{columns};{patch_size};{width};{mlp_width};{heads};{layers};{activation};{eps}");
    let &blip::TextConfig {
        vocab_size,
        positions,
        width,
        mlp_width,
        heads,
        layers,
        activation,
        eps,
        ids,
        label_smoothing: _,
    } = text;
    let blip::TokenIds { cls, end, .. } = ids;
    let activation = activation_name(activation);
    let text = format!("{vocab_size};{positions};{width};{mlp_width};{heads};{layers};{activation};{eps};{cls};{end}");
    format!("blip v1;{embed_dim};{vision};{text};{}", pictures.map_or_else(absent, preparation))
}

fn absent() -> String {
    "-".into()
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_tanh",
    }
}

fn image_tower(tower: &VisionConfig) -> String {
    // Patch dropout changes no embedding: only training drops patches.
    let &VisionConfig {
        image_size,
        layers,
        width,
        patch_size,
        head_width,
        mlp_ratio,
        patch_dropout: _,
        gelu_tanh,
        map_head,
    } = tower;
    match (layers, patch_size) {
        (Layers::Vit(layers), patch_size) => {
            let patch_size = patch_size.unwrap_or(0);
            let ends = ends(&[(gelu_tanh, "gelu_tanh"), (map_head, "map")]);
            format!("vit;{layers};{width};{patch_size};{head_width};{mlp_ratio};{image_size}{ends}")
        }
        (Layers::ResNet(layers), _) => format!("resnet;{};{width};{head_width};{image_size}", list(&layers)),
    }
}

fn text_tower(tower: &TextConfig) -> String {
    let &TextConfig { context_length, vocab_size, width, heads, layers, mlp_ratio, gelu_tanh, no_causal_mask } = tower;
    let ends = ends(&[(gelu_tanh, "gelu_tanh"), (no_causal_mask, "no_causal_mask")]);
    format!("text;{layers};{width};{heads};{mlp_ratio};{context_length};{vocab_size}{ends}")
}

/// Returns the words for what a tower has and CLIP's have not.
fn ends(words: &[(bool, &str)]) -> String {
    words.iter().filter(|(is_there, _)| *is_there).map(|(_, word)| format!(";{word}")).collect()
}

fn preparation(pictures: &Preprocess) -> String {
    let Preprocess { size, mean, std, interpolation, resize_mode, library } = pictures;
    let interpolation = match interpolation {
        Interpolation::Bicubic => "bicubic",
        Interpolation::Bilinear => "bilinear",
    };
    let resize_mode = match resize_mode {
        ResizeMode::Shortest => "shortest",
        ResizeMode::Longest => "longest",
        ResizeMode::Squash => "squash",
    };
    let library = match library {
        Library::OpenClip => "open_clip",
        Library::HuggingFace => "hugging_face",
    };
    format!("{size};{};{};{interpolation};{resize_mode};{library}", list(mean), list(std))
}

fn list(numbers: &[impl ToString]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::Config;

    fn architecture(preset: &str) -> Architecture {
        Architecture::from(&Config::preset(preset).unwrap())
    }

    #[test]
    fn the_words_of_a_blip_are_these() {
        let config = blip::Config::base(blip::Parts::Matcher);
        let sizes = "blip v1;256;384;384;16;768;3072;12;12;gelu;0.000001;30524;512;768;3072;12;12;gelu;\
                     0.000000000001;101;102;";
        assert_eq!(blip_words(&config, None), format!("{sizes}-"));
        let pictures = Preprocess { size: 384, mean: [0.5; 3], std: [1.0; 3], ..Preprocess::default() };
        let prepared = "384;0.5,0.5,0.5;1,1,1;bicubic;shortest;open_clip";
        assert_eq!(blip_words(&config, Some(&pictures)), format!("{sizes}{prepared}"));
    }

    #[test]
    fn the_words_are_these() {
        let openai = Preprocess::default();
        assert_eq!(
            words(&architecture("ViT-B-32"), &openai),
            "v1;512;quick_gelu;vit;12;768;32;64;4;224;text;12;512;8;4;77;49408;\
             224;0.48145467,0.4578275,0.40821072;0.26862955,0.2613026,0.2757771;bicubic;shortest;open_clip"
        );
        let pictures = Preprocess {
            size: 64,
            mean: [0.5, 0.0, 0.25],
            std: [1.0; 3],
            interpolation: Interpolation::Bilinear,
            resize_mode: ResizeMode::Squash,
            library: Library::HuggingFace,
        };
        let image = Architecture { text: None, ..architecture("RN50") };
        assert_eq!(
            words(&image, &pictures),
            "v1;1024;quick_gelu;resnet;3,4,6,3;64;64;224;-;64;0.5,0,0.25;1,1,1;bilinear;squash;hugging_face"
        );
        let text = Architecture { vision: None, activation: Activation::Gelu, ..architecture("Emoji-ViT-S") };
        let padded = Preprocess { resize_mode: ResizeMode::Longest, ..pictures };
        assert_eq!(
            words(&text, &padded),
            "v1;256;gelu;-;text;3;256;4;4;32;49408;64;0.5,0,0.25;1,1,1;bilinear;longest;hugging_face"
        );
    }
}
