//! The [parts](crate::models::parts) of both towers.

use super::flops::{bottleneck, convolution, map_head, pool, pooled_block, product, whole_block};
use super::resnet::{Inputs, ResNet, Saved as ResNetSaved};
use super::text::Text;
use super::vit::{Saved as VitSaved, Vit};
use super::{resnet, text, visual, vit};
use crate::layers::patch_embed::CHANNELS;
use crate::models::Keep;
use crate::models::parts::{Part, floats, floats_of, of_stack};
use crate::models::stack::Stack;
use crate::params::count;

impl visual::Shape {
    /// Lists the parts of the image tower. What is kept is that of so many pictures, all other numbers are those of one.
    pub fn parts(&self, pictures: usize, keep: Keep) -> Vec<Part> {
        match self {
            visual::Shape::Vit(shape) => shape.parts(pictures, keep),
            visual::Shape::ResNet(shape) => shape.parts(pictures, keep),
        }
    }
}

impl vit::Shape {
    fn parts(&self, pictures: usize, keep: Keep) -> Vec<Part> {
        let (size, grid) = (&self.size, self.grid);
        let (patches, width) = (grid.patches(), size.width);
        let tokens = self.tokens_of(patches);
        let Vit { embed, ln_pre, transformer, ln_post, proj, attn_pool } = self.spec();
        let VitSaved { ln_pre: pre, stack: saved, attn_pool: head_saved } = self.saved(pictures, patches, keep);
        let embed = Part {
            name: "patches",
            input: vec![CHANNELS, grid.height, grid.width],
            output: vec![tokens, width],
            parameters: count(&embed),
            shared: 0,
            flops: product(patches, grid.patch_len(), width),
            kept: pre.as_ref().map_or(0, |pre| floats_of(pre.embedded)),
        };
        let ln_pre = ln_pre.zip(pre).map(|(ln_pre, pre)| Part {
            name: "layer norm",
            input: vec![tokens, width],
            output: vec![tokens, width],
            parameters: count(&ln_pre),
            shared: 0,
            flops: 0.0,
            kept: floats(&pre.norm),
        });
        let stack = Stack { resblocks: &transformer.resblocks, ln: &ln_post };
        let last = if self.map_head { whole_block(size, tokens) } else { pooled_block(size, tokens) };
        let leaving = self.pool().rows(tokens, 1);
        let blocks = of_stack(stack, size, (tokens, leaving), &saved, (whole_block(size, tokens), last));
        let projection = proj.map(|proj| projection(width, self.embed_dim, proj.size()));
        let head = attn_pool.zip(head_saved).map(|(head, saved)| Part {
            name: "MAP head",
            input: vec![tokens, width],
            output: vec![1, width],
            parameters: count(&head),
            shared: 0,
            flops: map_head(size, tokens),
            kept: floats(&saved),
        });
        [embed].into_iter().chain(ln_pre).chain(blocks).chain(projection).chain(head).collect()
    }
}

/// Returns the projection of one row into the joint space.
fn projection(width: usize, embed_dim: usize, parameters: usize) -> Part {
    let (input, output) = (vec![1, width], vec![1, embed_dim]);
    Part { name: "projection", input, output, parameters, shared: 0, flops: product(1, width, embed_dim), kept: 0 }
}

impl text::Shape {
    /// Lists the parts of the text tower, for captions of so many tokens. What is kept is that of so many captions, all
    /// other numbers are those of one.
    pub fn parts(&self, captions: usize, tokens: usize, keep: Keep) -> Vec<Part> {
        let (size, width) = (&self.size, self.size.width);
        let spec = self.spec();
        let Text { positional_embedding, text_projection, token_embedding, transformer, ln_final, .. } = spec;
        let bias = spec.text_projection_bias.map_or(0, |bias| bias.size());
        let embed = Part {
            name: "tokens",
            input: vec![tokens],
            output: vec![tokens, width],
            parameters: positional_embedding.size() + token_embedding.size(),
            shared: 0,
            flops: 0.0,
            kept: 0,
        };
        let stack = Stack { resblocks: &transformer.resblocks, ln: &ln_final };
        let flops = (whole_block(size, tokens), pooled_block(size, tokens));
        let saved = self.saved(captions * tokens, captions, keep);
        let blocks = of_stack(stack, size, (tokens, 1), &saved, flops);
        let projection = projection(width, self.embed_dim, text_projection.size() + bias);
        [embed].into_iter().chain(blocks).chain([projection]).collect()
    }
}

impl resnet::Shape {
    /// A ResNet keeps all of its activations, or none.
    fn parts(&self, pictures: usize, keep: Keep) -> Vec<Part> {
        let ResNet { stem, layer1, layer2, layer3, layer4, attnpool } = self.spec();
        let ResNetSaved { stem: stem_saved, blocks: saved, pool: pool_saved } = self.saved(pictures, 0);
        let Inputs { xs } = self.inputs(pictures, 0, keep);
        let sizes = |(_, height, width, channels)| vec![height, width, channels];
        let pixels = self.image_size.div_ceil(2).pow(2);
        let stem = Part {
            name: "stem",
            input: vec![self.image_size, self.image_size, CHANNELS],
            output: sizes(self.stem().out(1)),
            parameters: count(&stem),
            shared: 0,
            flops: self.stem().convs().iter().map(|conv| convolution(conv, pixels)).sum(),
            kept: floats(&stem_saved),
        };
        let params = [layer1, layer2, layer3, layer4].into_iter().zip(["stage 1", "stage 2", "stage 3", "stage 4"]);
        let params = params.flat_map(|(blocks, name)| blocks.into_iter().map(move |block| (name, count(&block))));
        let blocks = self.blocks(1).into_iter().zip(params).zip(saved).zip(&xs);
        let blocks = blocks.map(|((((block, x), (name, parameters)), saved), kept)| Part {
            name,
            input: sizes(x),
            output: sizes(block.out(x)),
            parameters,
            shared: 0,
            flops: bottleneck(&block, x),
            kept: floats(&saved) + floats_of(*kept),
        });
        let attention = Part {
            name: "attention pool",
            input: sizes(self.xs(1).pop().expect("the pool's")),
            output: vec![1, self.embed_dim],
            parameters: count(&attnpool),
            shared: 0,
            flops: pool(&self.pool()),
            kept: floats(&pool_saved) + xs.last().map_or(0, |x| floats_of(*x)),
        };
        [stem].into_iter().chain(blocks).chain([attention]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::{Config, Model, model};
    use crate::models::{Captions, Mode, Workspace};
    use crate::random::normals;
    use crate::tree::Arena;
    use ndarray::Array2;

    /// Every preset's parts are the whole: parameters and arithmetic.
    #[test]
    fn sums_are_those_of_the_whole_model() {
        for name in Config::preset_names() {
            let config = Config::preset(name).unwrap();
            let (image, text) = (config.vision(), config.text());
            let parts = [image.parts(1, Keep::All), text.parts(1, 10, Keep::All)];
            let scalars = 1 + usize::from(config.init_logit_bias.is_some());
            let parameters: usize = parts.iter().flatten().map(|part| part.parameters).sum();
            // The scale and the bias are no part of a tower.
            assert_eq!(parameters + scalars, count(&model::spec(&config)), "{name}");
            let [of_image, of_text] = parts.map(|parts| parts.iter().map(|part| part.flops).sum::<f64>());
            assert_eq!((of_image, of_text), (image.flops(0.0).forward, text.flops(10).forward), "{name}");
        }
    }

    /// What the parts keep is what a step's forward pass keeps, but for the ends of cache lines.
    #[test]
    fn kept_is_what_a_training_step_keeps() {
        let n = 8;
        for (name, keep) in [("Emoji-ViT-S", Keep::All), ("Emoji-ViT-S", Keep::Inputs), ("Emoji-RN-S", Keep::All)] {
            let config = Config::preset(name).unwrap();
            let (model, image, text) = (Model::new(config.clone(), 1), config.vision(), config.text());
            let mut y = Array2::zeros((n, config.embed_dim));
            let (mut workspace, scratch) = (Workspace::default(), &mut Arena::default());
            let (images, mode) = (normals((n, image.image_len()), 1), Mode::Training(keep));
            let p = model.params.view();
            visual::forward(&p.visual, &image, images.view(), mode, y.view_mut(), &mut workspace, scratch);
            check(&workspace, &image.parts(n, keep), name);
            // A batch of captions has room for captions that fill the context.
            let (tokens, mut workspace) = (config.text_cfg.context_length, Workspace::default());
            let (ids, offsets) = (vec![1; n * tokens], (0..=n).map(|i| i * tokens).collect::<Vec<_>>());
            let captions = Captions { ids: &ids, offsets: &offsets };
            text::forward(&p.text, &text, captions, keep, y.view_mut(), &mut workspace, scratch);
            check(&workspace, &text.parts(n, tokens, keep), name);
        }
    }

    #[track_caller]
    fn check(workspace: &Workspace, parts: &[Part], name: &str) {
        let kept: usize = parts.iter().map(|part| part.kept).sum();
        let taken = workspace.inputs.floats() + workspace.saved.floats();
        assert!((kept..=kept + kept / 500).contains(&taken), "{name}: {taken} floats, {kept} of them by the parts");
    }
}
