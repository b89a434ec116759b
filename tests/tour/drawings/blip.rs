use super::Anchor::{End, Middle, Start};
use super::Stroke::{Dashed, Thick, Thin};
use super::{CELL, Drawing};

/// Queries from the text, keys and values from the picture.
pub fn look() -> String {
    let label = "The words x make queries q. The tokens u of the picture make keys k and values v. P has a row for each word \
                 and a column for each token. P times v is what the words have seen.";
    let mut d = Drawing::new((560.0, 292.0), label);
    let (left, top) = (230.0, 172.0);
    for (i, name) in ["\"a\"", "\"cat\""].into_iter().enumerate() {
        d.text((52.0, top + (i as f64 + 0.5) * CELL + 5.0), End, name);
    }
    d.grid((60.0, top), 2, 2);
    d.text((60.0 + CELL, top + 2.0 * CELL + 22.0), Middle, "x (N,d)");
    d.arrow((136.0, top + CELL), (222.0, top + CELL), Thick);
    d.text((178.0, top + CELL - 8.0), Middle, "q");
    d.grid((left, 30.0), 3, 3);
    d.text((left - 8.0, 90.0), End, "u (M,D), lying");
    d.text((left - 8.0, 110.0), End, "on its side");
    for (j, name) in ["ear", "grass", "sky"].into_iter().enumerate() {
        d.text(
            (left + (j as f64 + 0.5) * CELL + if j == 1 { 0.0 } else { (j as f64 - 1.0) * 3.0 }, 22.0),
            Middle,
            name,
        );
    }
    d.shade((left, top + CELL), (CELL, CELL), 0.6);
    d.shade((left + 2.0 * CELL, top + CELL), (CELL, CELL), 0.13);
    for (j, share) in [0.3, 0.2, 0.25].into_iter().enumerate() {
        d.shade((left + j as f64 * CELL, top), (CELL, CELL), share);
    }
    d.grid((left, top), 2, 3);
    d.text((left + 1.5 * CELL, top + 2.0 * CELL + 22.0), Middle, "P (N,M)");
    d.text((left + 1.5 * CELL + 10.0, 160.0), Start, "k");
    d.arrow((left + 1.5 * CELL, 142.0), (left + 1.5 * CELL, top - 3.0), Thick);
    d.line(&[(left + 3.0 * CELL + 4.0, 84.0), (460.0, 84.0)], Dashed);
    d.arrow((460.0, 84.0), (460.0, top - 3.0), Dashed);
    d.text((468.0, 120.0), Start, "v");
    d.arrow((left + 3.0 * CELL + 6.0, top + CELL), (418.0, top + CELL), Thick);
    d.text((380.0, top + CELL - 8.0), Middle, "P·v");
    d.grid((424.0, top), 2, 2);
    d.text((424.0 + CELL, top + 2.0 * CELL + 22.0), Middle, "y (N,d)");
    d.figure("Cross-attention of two words and three tokens of a picture. The stronger the shade of a cell of P, the larger the share: \"cat\" looks at \
         the ear.")
}

/// Where a chart begins, its name, and for each choice the share and the target.
type Chart = (f64, &'static str, &'static [(&'static str, f64, f64)]);

/// The shares that a model gives, and those that each loss wants.
pub fn targets() -> String {
    let label = "Three rows of bars. ITC, the cat's picture: shares 0.14, 0.03, 0.83 against targets 0.79, 0.06, 0.15. ITM, \
                 the cat and \"a kitten\": 0.43, 0.57 against 1, 0. LM, behind \"a\": 0.08, 0.03, 0.06, 0.35, 0.48 against \
                 0.02, 0.02, 0.02, 0.92, 0.02.";
    let mut d = Drawing::new((560.0, 240.0), label);
    let charts: [Chart; 3] = [
        (
            10.0,
            "ITC: the cat's picture",
            &[("cat", 0.137902, 0.790281), ("dog", 0.027842, 0.056402), ("kitten", 0.834256, 0.153317)],
        ),
        (200.0, "ITM: cat, \"kitten\"", &[("no", 0.425557, 1.0), ("yes", 0.574443, 0.0)]),
        (
            345.0,
            "LM: behind \"a\"",
            &[
                ("[SEP]", 0.079114, 0.02),
                ("a", 0.029104, 0.02),
                ("the", 0.058609, 0.02),
                ("cat", 0.354563, 0.92),
                ("dog", 0.478610, 0.02),
            ],
        ),
    ];
    for (left, name, bars) in charts {
        let step = if bars.len() == 5 { 42.0 } else { 54.0 };
        d.text((left, 20.0), Start, name);
        d.line(&[(left, 200.0), (left + step * bars.len() as f64, 200.0)], Thin);
        for (i, (choice, share, target)) in bars.iter().enumerate() {
            let x = left + step * i as f64 + 6.0;
            let [share, target] = [share, target].map(|share| (160.0 * share).round());
            d.shade((x, 200.0 - share), (14.0, share), 0.6);
            d.frame((x + 16.0, 200.0 - target), (14.0, target), Thin);
            d.text((x + 15.0, 220.0), Middle, choice);
        }
    }
    d.figure("Full bars: the shares P of the model. Empty bars: the target. Each choice is moved by the difference.")
}
