//! The initial values of a new model.

use crate::params::Init;

/// The least width of the published models. Their matrices and tables are drawn from N(0, 0.02²).
const PUBLISHED_WIDTH: usize = 768;

/// Returns the initial values of matrices and tables in a Transformer of this width: the published N(0, 0.02²), which
/// grows to N(0, 0.02²·768/width) in a narrower one.
///
/// A product with `width` addends of σ has the size σ·√width, so this keeps the size that it has in the base model. With
/// 0.02 the blocks of a model of width 128 would hardly change what passes through them.
pub(super) fn initial(width: usize) -> Init {
    Init::Normal(0.02 * (PUBLISHED_WIDTH as f32 / width as f32).sqrt().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_begins_with_the_size_that_it_has_in_the_base_model() {
        let sigma = |width: usize| match initial(width) {
            Init::Normal(sigma) => sigma,
            _ => panic!("a normal distribution"),
        };
        assert_eq!([768, 1024, 192].map(sigma), [0.02, 0.02, 0.04]);
    }
}
