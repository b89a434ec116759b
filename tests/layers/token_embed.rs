use super::shapes::{INIT, OFFSETS, packed};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::Leaves,
};
use clipwright::layers::token_embed;
use clipwright::params::Spec;

/// Tokens repeat within and across sequences; some never occur, and their gradient does not change.
#[test]
fn every_entry() {
    const VOCABULARY: usize = 9;
    const CONTEXT: usize = 14;
    for (offsets, width) in OFFSETS.into_iter().zip([6, 10, 21, 35]) {
        let sequences = &packed(offsets, true);
        let ids: Vec<u32> = (0..sequences.rows() as u32).map(|i| i * i % 7).collect();
        let tables = [Spec::new(&[VOCABULARY, width], INIT), Spec::new(&[CONTEXT, width], INIT)];
        let spec = Leaves { names: ["token_embedding.weight", "positional_embedding"], leaves: tables };
        Layer::new(format!("token_embed, width {width}, {offsets:?}"), spec, []).check(
            |p, []| oracle::token_embed(p.leaves[0], p.leaves[1], width, &ids, sequences),
            |Pass { p, y, dy, g, .. }| {
                let ([table, positional], [dtable, dpositional]) = (p.leaves, g.leaves);
                token_embed::forward(&table, &positional, &ids, sequences.positions(), y);
                token_embed::backward(&ids, sequences.positions(), dy, dtable, dpositional);
            },
        );
    }
}
