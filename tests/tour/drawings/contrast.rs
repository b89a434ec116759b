use super::Anchor::{End, Middle, Start};
use super::Stroke::{Dashed, Thick};
use super::{CELL, Drawing};

/// Î and T̂ meet in S, of which P takes rows and Q columns.
pub fn shapes() -> String {
    let label = "Î times T̂ transposed gives S. P is a softmax along each row of S, Q a softmax down each column. The \
                 pairs lie on the diagonal.";
    let mut d = Drawing::new((560.0, 286.0), label);
    let (left, top) = (190.0, 120.0);
    let (images, texts) = ((100.0, top), (left, 30.0));
    d.shade((images.0, top + CELL), (2.0 * CELL, CELL), 0.12);
    d.shade((left + 2.0 * CELL, texts.1), (CELL, 2.0 * CELL), 0.12);
    for i in 0..3 {
        let along = i as f64 * CELL;
        d.shade((left + along, top + along), (CELL, CELL), 0.35);
    }
    d.grid(images, 3, 2);
    d.grid(texts, 2, 3);
    d.grid((left, top), 3, 3);
    d.frame((left, top + CELL), (3.0 * CELL, CELL), Thick);
    d.frame((left + 2.0 * CELL, top), (CELL, 3.0 * CELL), Dashed);
    d.arrow((304.0, 174.0), (338.0, 174.0), Thick);
    d.arrow((280.0, 234.0), (280.0, 264.0), Thick);
    d.text((92.0, 179.0), End, "picture i");
    d.text((280.0, 20.0), Middle, "caption j");
    d.text((136.0, 250.0), Middle, "Î (N,e)");
    d.text((310.0, 72.0), Start, "T̂ (N,e), lying on its side");
    d.text((310.0, 136.0), Start, "S (N,N), pairs on the diagonal");
    d.text((346.0, 171.0), Start, "P: softmax along each row,");
    d.text((346.0, 191.0), Start, "picture i chooses a caption");
    d.text((296.0, 254.0), Start, "Q: softmax down each column,");
    d.text((296.0, 274.0), Start, "caption j chooses a picture");
    d.figure(
        "The shapes, drawn for N = 3 and e = 2. Row i of Î and row j of T̂ make the one number Sᵢⱼ, where the two frames \
         cross. On the diagonal i is j.",
    )
}
