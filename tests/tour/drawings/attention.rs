use super::Anchor::{End, Middle};
use super::Stroke::{Dashed, Thick};
use super::{CELL, Drawing};
use clipwright::tour::attention::shares;

/// q and k meet in S, S becomes P, and P and v meet in out.
pub fn shapes() -> String {
    let label = "q times k transposed gives S, a square of which the upper right is minus infinity. The softmax of its \
                 rows is P. P times v gives out. The row of cat is framed in q, S, P and out.";
    let mut d = Drawing::new((560.0, 290.0), label);
    let (q, k, s, p) = ((76.0, 150.0), (176.0, 54.0), (176.0, 150.0), (340.0, 150.0));
    let (v, out) = ((476.0, 28.0), (476.0, 150.0));
    let words = ["a", "blue", "cat"];
    let queries = vec![vec![0.7, 0.2], vec![-0.3, 1.1], vec![1.5, 0.6]];
    let keys = vec![vec![0.1, 0.3], vec![1.6, -0.2], vec![0.4, 0.9]];
    for (i, row) in shares(&queries, &keys, true).iter().enumerate() {
        for (j, share) in row.iter().enumerate() {
            let at = |(x, y): (f64, f64)| (x + j as f64 * CELL, y + i as f64 * CELL);
            let (place, middle) = (at(p), at((p.0 + CELL / 2.0, p.1 + 23.0)));
            if j > i {
                d.text(at((s.0 + CELL / 2.0, s.1 + 23.0)), Middle, "−∞");
                d.text(middle, Middle, "0");
            } else {
                d.shade(place, (CELL, CELL), (40.0 * share).round() / 100.0);
                d.text(middle, Middle, format!("{share:.2}").trim_start_matches('0'));
            }
        }
    }
    for (i, word) in words.into_iter().enumerate() {
        let along = i as f64 * CELL;
        d.text((q.0 - 8.0, q.1 + along + 23.0), End, word);
        d.text((k.0 + along + CELL / 2.0, k.1 - 8.0), Middle, word);
        d.text((v.0 - 8.0, v.1 + along + 23.0), End, word);
    }
    d.grid(q, 3, 2);
    d.grid(k, 2, 3);
    d.grid(s, 3, 3);
    d.grid(p, 3, 3);
    d.grid(v, 3, 2);
    d.grid(out, 3, 2);
    for ((x, y), cells) in [(q, 2.0), (s, 3.0), (p, 3.0), (out, 2.0)] {
        d.frame((x, y + 2.0 * CELL), (cells * CELL, CELL), Thick);
    }
    d.frame((k.0 + CELL, k.1), (CELL, 2.0 * CELL), Dashed);
    d.arrow((290.0, 204.0), (334.0, 204.0), Thick);
    d.text((k.0 + 54.0, 20.0), Middle, "k (N,c), on its side");
    d.text((v.0 + 36.0, 20.0), Middle, "v (N,c)");
    for ((x, _), text) in [((q.0 + 36.0, 0.0), "q (N,c)"), ((s.0 + 54.0, 0.0), "S (N,N)")] {
        d.text((x, 280.0), Middle, text);
    }
    for ((x, _), text) in [((p.0 + 54.0, 0.0), "P (N,N)"), ((out.0 + 36.0, 0.0), "out (N,c)")] {
        d.text((x, 280.0), Middle, text);
    }
    d.figure(
        "The shapes, drawn for N = 3 and c = 2, with the shares of the example. The query of <i>cat</i> (thick) and the key \
         of <i>blue</i> (dashed) make one score. The softmax along a row makes shares, and these mix the rows of v.",
    )
}
