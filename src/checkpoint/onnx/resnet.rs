//! CLIP's ResNets as graphs. Pictures keep the order that the graph is given them in, channels first.

use super::graph::{Graph, axis, int, ints};
use crate::layers::attention_pool::{AttentionPool, Shape as PoolShape};
use crate::layers::bottleneck::{Bottleneck, Shape as BlockShape};
use crate::layers::stem::{POOL, Stem};
use crate::models::clip::resnet::{ResNet, Shape};

impl Graph {
    /// image_embeds = unit(attnpool(blocks(stem(pixel_values))))
    ///
    /// `pixel_values` (pictures,3,edge,edge), `image_embeds` (pictures,e)
    pub fn resnet(&mut self, p: &ResNet<String>, shape: &Shape, pixels: &str, output: &str) {
        let mut x = self.stem(&p.stem, pixels);
        for (p, (block, _)) in p.blocks().zip(shape.blocks(1)) {
            x = self.bottleneck(p, &block, &x);
        }
        let features = self.attention_pool(&p.attnpool, &shape.pool(), &x);
        self.unit(&features, output);
    }

    fn stem(&mut self, p: &Stem<String>, pixels: &str) -> String {
        let x = self.conv_norm((&p.conv1, &p.bn1), [2, 1], true, pixels);
        let x = self.conv_norm((&p.conv2, &p.bn2), [1, 1], true, &x);
        let x = self.conv_norm((&p.conv3, &p.bn3), [1, 1], true, &x);
        self.avg_pool(POOL, x)
    }

    fn bottleneck(&mut self, p: &Bottleneck<String>, shape: &BlockShape, x: &str) -> String {
        let z = self.conv_norm((&p.conv1, &p.bn1), [1, 0], true, x);
        let z = self.conv_norm((&p.conv2, &p.bn2), [1, 1], true, &z);
        let z = self.avg_pool(shape.stride, z);
        let z = self.conv_norm((&p.conv3, &p.bn3), [1, 0], false, &z);
        let shortcut = p.downsample.as_ref().map(|p| {
            let pooled = self.avg_pool(shape.stride, x.into());
            self.conv_norm((&p.conv, &p.bn), [1, 0], false, &pooled)
        });
        let sum = self.node("Add", &[&z, shortcut.as_deref().unwrap_or(x)], vec![]);
        self.node("Relu", &[&sum], vec![])
    }

    /// The formulas are those of [`crate::layers::attention_pool`], with keys and values as other runtimes have them.
    fn attention_pool(&mut self, p: &AttentionPool<String>, shape: &PoolShape, x: &str) -> String {
        let (channels, heads, tokens) = (shape.channels as i64, shape.heads as i64, shape.tokens() as i64);
        let x = self.reshape(x, &[0, channels, -1]);
        let pixels = self.transpose(&x, [0, 2, 1]);
        let mean = self.node("ReduceMean", &[&pixels], vec![ints("axes", [1]), int("keepdims", 1)]);
        let x = self.node("Concat", &[&mean, &pixels], vec![axis(1)]);
        let x = self.node("Add", &[&x, &p.positional_embedding], vec![]);
        let first = self.pick(&x, 1, 0);
        let x = self.reshape(&x, &[-1, channels]);
        let q = self.linear_layer(&p.q_proj, &first);
        let [k, v] = [&p.k_proj, &p.v_proj].map(|p| self.linear_layer(p, &x));
        let [q, k, v] = [(q, 1), (k, tokens), (v, tokens)]
            .map(|(rows, tokens)| self.reshape(&rows, &[-1, tokens, heads, channels / heads]));
        let [q, v] = [q, v].map(|rows| self.transpose(&rows, [0, 2, 1, 3]));
        let keys = self.transpose(&k, [0, 2, 3, 1]);
        let out = self.attend([&q, &keys, &v], None, shape.channels / shape.heads);
        let out = self.reshape(&out, &[-1, channels]);
        self.linear_layer(&p.c_proj, &out)
    }
}
