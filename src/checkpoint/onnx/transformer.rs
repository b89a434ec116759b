//! The residual blocks of both towers as nodes. Between them the tokens of all sequences are the rows of one matrix, as in
//! our own forward pass; inside of attention they are apart.

use super::graph::Graph;
use crate::layers::attention::Attention;
use crate::layers::block::{Block, Size};
use crate::layers::mlp::Mlp;
use kernels::Activation;

/// How blocks see their rows.
pub struct Rows {
    /// The name of the sizes of queries, keys and values: sequences, tokens, 3, H, c.
    pub sizes: String,
    /// The name of what is added to the scores: −∞ out of sight.
    pub mask: Option<String>,
}

impl Graph {
    /// x ← block(x), block after block
    ///
    /// `x` (N,d)
    pub fn blocks(&mut self, blocks: &[Block<String>], size: &Size, rows: &Rows, x: String) -> String {
        blocks.iter().fold(x, |x, block| self.block(block, size, rows, &x))
    }

    /// y = mid + mlp(ln_2(mid)) with mid = x + attention(ln_1(x))
    fn block(&mut self, p: &Block<String>, size: &Size, rows: &Rows, x: &str) -> String {
        let normed = self.layer_norm(&p.ln_1, size.eps, x);
        let attended = self.attention(&p.attn, size, rows, &normed);
        let mid = self.node("Add", &[x, &attended], vec![]);
        let normed = self.layer_norm(&p.ln_2, size.eps, &mid);
        let changed = self.mlp(&p.mlp, size.activation, &normed);
        self.node("Add", &[&mid, &changed], vec![])
    }

    fn attention(&mut self, p: &Attention<String>, size: &Size, rows: &Rows, x: &str) -> String {
        let packed = self.linear(&p.in_proj_weight, &p.in_proj_bias, x);
        let packed = self.node("Reshape", &[&packed, &rows.sizes], vec![]);
        let by_heads = self.transpose(&packed, [2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|i| self.pick(&by_heads, 0, i));
        let keys = self.transpose(&k, [0, 1, 3, 2]);
        let out = self.attend([&q, &keys, &v], rows.mask.as_deref(), size.width / size.heads);
        let out = self.transpose(&out, [0, 2, 1, 3]);
        let out = self.reshape(&out, &[-1, size.width as i64]);
        self.linear_layer(&p.out_proj, &out)
    }

    fn mlp(&mut self, p: &Mlp<String>, activation: Activation, x: &str) -> String {
        let hidden = self.linear_layer(&p.c_fc, x);
        let hidden = self.activation(activation, &hidden);
        self.linear_layer(&p.c_proj, &hidden)
    }

    /// ```text
    /// y = x·σ(1.702·x)                                                       QuickGELU
    /// y = x·(1 + erf(x/√2))/2                                                GELU
    /// y = x·(1 + tanh(c·(x + 0.044715·x³)))/2 = x·σ(x·(2c + 0.08943·c·x²))   its form with tanh, c = √(2/π)
    /// ```
    fn activation(&mut self, activation: Activation, x: &str) -> String {
        match activation {
            Activation::QuickGelu => {
                let slope = self.number(1.702);
                let steep = self.node("Mul", &[x, &slope], vec![]);
                let gate = self.node("Sigmoid", &[&steep], vec![]);
                self.node("Mul", &[x, &gate], vec![])
            }
            Activation::Gelu => {
                let [root, one, half] = [std::f32::consts::SQRT_2, 1.0, 0.5].map(|value| self.number(value));
                let scaled = self.node("Div", &[x, &root], vec![]);
                let erf = self.node("Erf", &[&scaled], vec![]);
                let gate = self.node("Add", &[&erf, &one], vec![]);
                let gated = self.node("Mul", &[x, &gate], vec![]);
                self.node("Mul", &[&gated, &half], vec![])
            }
            Activation::GeluTanh => {
                let slope = 2.0 * std::f32::consts::FRAC_2_PI.sqrt();
                let [linear, cubic] = [slope, slope * 0.044715].map(|value| self.number(value));
                let square = self.node("Mul", &[x, x], vec![]);
                let steep = self.node("Mul", &[&square, &cubic], vec![]);
                let steep = self.node("Add", &[&steep, &linear], vec![]);
                let steep = self.node("Mul", &[x, &steep], vec![]);
                let gate = self.node("Sigmoid", &[&steep], vec![]);
                self.node("Mul", &[x, &gate], vec![])
            }
        }
    }
}
