use super::shapes::{INIT, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::{Pair, poisoned},
};
use clipwright::layers::Keep;
use clipwright::layers::feed_forward::{self, FeedForward, Saved, Scratch};
use clipwright::layers::{layer_norm::LayerNorm, mlp::Mlp};

#[test]
fn every_entry() {
    for (size, rows) in sizes().zip([1, 2, 7, 13, 3, 5]) {
        let (width, hidden, activation) = (size.width, size.mlp_width, size.activation);
        let spec = Pair("ln_2", LayerNorm::spec(width), "mlp", Mlp::spec(width, hidden, INIT, INIT));
        Layer::new(format!("feed_forward {rows}×{width}, {hidden} hidden"), spec, [("x", rows, width)]).check(
            |Pair(_, ln_2, _, mlp), [x]| oracle::feed_forward(ln_2, mlp, &size, x),
            |Pass { p, x: [x], y, dy, dx: [mut dx], mut g }| {
                let p = || FeedForward { ln_2: &p.1, mlp: &p.3, activation, eps: size.eps, dropout: None };
                let saved = &mut poisoned(&Saved::dims(rows, hidden, Keep::All));
                let scratch = || poisoned(&Scratch::dims(rows, width, hidden));
                feed_forward::forward(p(), x, y, saved, &mut scratch());
                dx.assign(&dy);
                let mut buffer = dy.to_owned();
                feed_forward::backward(p(), x, dx, buffer.view_mut(), saved, &mut scratch(), &mut g.1, &mut g.3);
            },
        );
    }
}
