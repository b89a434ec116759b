//! The Transformers of both towers as graphs.

use super::graph::{Graph, axis, floats, int, ints};
use super::proto::{Attribute, Kind, Type};
use super::transformer::Rows;
use crate::models::clip::text::{self, Text};
use crate::models::clip::vit::{self, Vit};

impl Graph {
    /// image_embeds = unit(ln_post(x₀) proj), where x₀ is the class token behind the last block
    ///
    /// `pixel_values` (pictures,3,edge,edge), `image_embeds` (pictures,e)
    ///
    /// # Panics
    /// If the tower is one of SigLIP's.
    pub fn vit(&mut self, p: &Vit<String>, shape: &vit::Shape, pixels: &str, output: &str) {
        let (Some(class_embedding), Some(ln_pre), Some(proj)) = (&p.embed.class_embedding, &p.ln_pre, &p.proj) else {
            panic!("a tower with a MAP head");
        };
        let (size, patch) = (&shape.size, shape.grid.patch_size as i64);
        let (width, heads, tokens) = (size.width as i64, size.heads as i64, shape.grid.tokens() as i64);
        let patches = self.node("Conv", &[pixels, &p.embed.conv1_weight], vec![ints("strides", [patch; 2])]);
        let patches = self.reshape(&patches, &[0, width, -1]);
        let patches = self.transpose(&patches, [0, 2, 1]);
        let pictures = self.node("Shape", &[pixels], vec![int("start", 0), int("end", 1)]);
        let one = self.list(&[1, width]);
        let sizes = self.node("Concat", &[&pictures, &one], vec![axis(0)]);
        let class = self.node("Expand", &[class_embedding, &sizes], vec![]);
        let x = self.node("Concat", &[&class, &patches], vec![axis(1)]);
        let x = self.node("Add", &[&x, &p.embed.positional_embedding], vec![]);
        let x = self.reshape(&x, &[-1, width]);
        let x = self.layer_norm(ln_pre, size.eps, &x);
        let rows = Rows { sizes: self.list(&[-1, tokens, 3, heads, width / heads]), mask: None };
        let x = self.blocks(&p.transformer.resblocks, size, &rows, x);
        let x = self.reshape(&x, &[-1, tokens, width]);
        let class = self.pick(&x, 1, 0);
        let normed = self.layer_norm(&p.ln_post, size.eps, &class);
        let features = self.node("MatMul", &[&normed, proj], vec![]);
        self.unit(&features, output);
    }

    /// text_embeds = unit(ln_final(xₑ) text_projection), where xₑ is the first end-of-text token of a caption
    ///
    /// `input_ids` (captions,tokens), `text_embeds` (captions,e)
    ///
    /// Captions may be padded behind that token with anything, because no token sees those behind it.
    pub fn text(&mut self, p: &Text<String>, shape: &text::Shape, end_of_text: u32, ids: &str, output: &str) {
        let size = &shape.size;
        let (width, heads) = (size.width as i64, size.heads as i64);
        let both = self.node("Shape", &[ids], vec![]);
        let tokens = self.node("Shape", &[ids], vec![int("start", 1)]);
        let zero = self.list(&[0]);
        let positions = self.node("Slice", &[&p.positional_embedding, &zero, &tokens], vec![]);
        let x = self.node("Gather", &[&p.token_embedding, ids], vec![axis(0)]);
        let x = self.node("Add", &[&x, &positions], vec![]);
        let x = self.reshape(&x, &[-1, width]);

        let heads = self.list(&[3, heads, width / heads]);
        let sizes = self.node("Concat", &[&both, &heads], vec![axis(0)]);
        let rows = Rows { sizes, mask: Some(self.causal_mask(&tokens)) };
        let x = self.blocks(&p.transformer.resblocks, size, &rows, x);

        let width = self.list(&[width]);
        let sizes = self.node("Concat", &[&both, &width], vec![axis(0)]);
        let x = self.node("Reshape", &[&x, &sizes], vec![]);
        let end = self.first(ids, end_of_text);
        let last = self.node("GatherND", &[&x, &end], vec![int("batch_dims", 1)]);
        let normed = self.layer_norm(&p.ln_final, size.eps, &last);
        let features = self.node("MatMul", &[&normed, &p.text_projection], vec![]);
        self.unit(&features, output);
    }

    /// Returns the name of a square of zeros with −∞ above the diagonal.
    fn causal_mask(&mut self, tokens: &str) -> String {
        let hidden = floats("", &[1], &[f32::NEG_INFINITY]);
        let hidden =
            Attribute { name: "value".into(), t: Some(hidden), kind: Kind::Tensor.into(), ..Attribute::default() };
        let square = self.node("Concat", &[tokens, tokens], vec![axis(0)]);
        let square = self.node("ConstantOfShape", &[&square], vec![hidden]);
        let next = self.whole(1);
        self.node("Trilu", &[&square, &next], vec![int("upper", 1)])
    }

    /// Returns the name of the place of the first `id` in each row.
    fn first(&mut self, ids: &str, id: u32) -> String {
        let id = self.whole(id.into());
        let found = self.node("Equal", &[ids, &id], vec![]);
        let found = self.node("Cast", &[&found], vec![int("to", Type::Int32 as usize)]);
        self.node("ArgMax", &[&found], vec![axis(1), int("keepdims", 1)])
    }
}
