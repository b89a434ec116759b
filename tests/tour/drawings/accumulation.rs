use super::Anchor::{End, Middle, Start};
use super::Stroke::{Dashed, Thick, Thin};
use super::{CELL, Drawing};

/// The table of all pictures and captions, of which two parts see two blocks.
pub fn blocks() -> String {
    let label = "The table S of four pictures and four captions. The first micro-batch sees the block of cat and dog, the \
                 second that of kitten and puppy. The other eight numbers belong to no micro-batch, among them the cells of \
                 both mistakes.";
    let mut d = Drawing::new((560.0, 235.0), label);
    let (left, top, width) = (90.0, 50.0, 1.75 * CELL);
    let names = ["cat", "dog", "kitten", "puppy"];
    let logits = [
        ["4.7", "−1.4", "3.0", "−4.2"],
        ["1.8", "4.8", "4.0", "2.7"],
        ["5.0", "0.4", "4.2", "−3.0"],
        ["0.0", "5.0", "2.7", "4.0"],
    ];
    for part in [0.0, 2.0] {
        d.shade((left + part * width, top + part * CELL), (2.0 * width, 2.0 * CELL), 0.15);
        d.frame((left + part * width, top + part * CELL), (2.0 * width, 2.0 * CELL), Thick);
    }
    d.frame((left, top), (4.0 * width, 4.0 * CELL), Thin);
    for i in 0..4 {
        let (x, y) = (left + i as f64 * width, top + i as f64 * CELL);
        d.text((left - 8.0, y + 24.0), End, names[i]);
        d.text((x + width / 2.0, top - 10.0), Middle, &format!("\"{}\"", names[i]));
        for (j, logit) in logits[i].into_iter().enumerate() {
            d.text((left + (j as f64 + 0.5) * width, y + 24.0), Middle, logit);
        }
    }
    for (row, col) in [(2.0, 0.0), (3.0, 1.0)] {
        d.frame((left + col * width + 4.0, top + row * CELL + 4.0), (width - 8.0, CELL - 8.0), Dashed);
    }
    d.text((left + 4.0 * width + 14.0, top + 42.0), Start, "first micro-batch");
    d.text((left + 4.0 * width + 14.0, top + 114.0), Start, "second micro-batch");
    d.text((left, top + 4.0 * CELL + 26.0), Start, "The dashed cells are the mistakes: no micro-batch sees them.");
    d.figure("S, with one digit. Contrasted by themselves, two micro-batches see only the two squares on the diagonal.")
}

/// The three passes of gradient caching.
pub fn passes() -> String {
    let label = "First both parts are embedded, and only Î and T̂ are kept. Then the whole batch is contrasted once, which \
                 gives dÎ and dT̂. Then each part is embedded again and goes backward.";
    let mut d = Drawing::new((560.0, 216.0), label);
    d.text((75.0, 20.0), Middle, "1. embed");
    d.text((270.0, 20.0), Middle, "2. contrast");
    d.text((467.0, 20.0), Middle, "3. embed again");
    for (i, part) in ["cat, dog", "kitten, puppy"].into_iter().enumerate() {
        let y = 40.0 + 80.0 * i as f64;
        d.labelled((10.0, y), (130.0, 40.0), Thin, part);
        d.labelled((404.0, y), (126.0, 40.0), Thick, part);
        d.arrow((142.0, y + 20.0), (216.0, 94.0 + 12.0 * i as f64), Thin);
        d.arrow((324.0, 94.0 + 12.0 * i as f64), (402.0, y + 20.0), Thin);
        d.arrow((467.0, y + 42.0), (467.0, y + 66.0), Dashed);
    }
    d.frame((220.0, 50.0), (100.0, 100.0), Thick);
    d.text((270.0, 92.0), Middle, "all four");
    d.text((270.0, 114.0), Middle, "pairs");
    d.text((180.0, 60.0), Middle, "Î, T̂");
    d.text((364.0, 60.0), Middle, "dÎ, dT̂");
    d.text((467.0, 202.0), Middle, "dW, added up");
    d.text((75.0, 202.0), Middle, "keeps nothing else");
    d.figure("Thick frames keep what their backward pass needs. No more than one of them is in memory at a time.")
}
