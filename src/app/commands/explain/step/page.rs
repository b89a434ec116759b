//! The page of `clipwright explain step`.

use super::pairs::{Pair, Token};
use super::report::{LOSSES, Named, Report, percent};
use super::tables;
use super::taken::{Contrast, Taken, Tensor};
use crate::app::commands::explain::page::small;
use crate::app::html;
use crate::tour::chain_rule::Matrix;
use htmlize::escape_all_quotes;
use image::{Rgb, RgbImage};

pub(super) const STYLE: &str = "\
.losses td, .losses th { padding: .2rem 1rem .2rem 0; text-align: right; border-bottom: 1px solid var(--rule); }
.losses :first-child { text-align: left; }
.ids span { display: inline-block; margin: .1rem .5rem 0 0; font: .75rem ui-monospace, monospace; }
.ids i { color: var(--faint); font-style: normal; }
.strips { display: grid; grid-template-columns: 2.6rem 1fr; gap: .15rem .4rem; align-items: center; font-size: .8rem; }
.strips img { width: 100%; height: .8rem; image-rendering: pixelated; display: block; }
.strips .text { margin-bottom: .5rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 0 2rem; }
.tensors { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr) repeat(3, max-content); \
gap: .1rem .9rem; font-size: .8rem; font-variant-numeric: tabular-nums; }
.tensors > div { display: contents; }
.tensors span { text-align: right; border-bottom: 1px solid var(--rule); padding: .1rem 0; }
.tensors .name, .tensors .bar { text-align: left; overflow-wrap: anywhere; }
.tensors .name small { color: var(--faint); white-space: nowrap; }
.tensors .bar i { display: block; height: .7rem; margin-top: .2rem; background: light-dark(#0072b2, #56b4e9); }
.tensors .bar.axis { display: flex; justify-content: space-between; }
.head span { color: var(--faint); }
@media (max-width: 40rem) { .tensors { grid-template-columns: minmax(0, 1fr) repeat(3, max-content); } \
.tensors .name { grid-column: 1 / -1; border: none; padding-top: .4rem; } }
";

/// What happens in a step, in its order.
const ORDER: &str = "Pictures and token ids → towers → Î, T̂ → S → P, Q → loss, and back: dS → dÎ, dT̂ → towers → \
a gradient for each tensor → AdamW moves all of them a little. Then the same pairs are compared again.";

/// Returns the body of the page.
pub(super) fn body(report: &Report) -> String {
    let Report { model, lr, pairs, contrast, taken } = report;
    let shown: String = pairs.iter().enumerate().map(|(i, shown)| pair(i + 1, shown)).collect();
    format!(
        "<p>{}; AdamW at {lr:e}</p>\n<p class=\"said\">{ORDER}</p>\n{}\n<h2>The pairs</h2>\n\
         <div class=\"pairs\">\n{shown}</div>\n\
         {}<h2>The contrast</h2>\n<p class=\"said\">A row is a picture, a column a caption; \
         framed is what fits.</p>\n{}\n\
         <h2>The tensors</h2>\n{}",
        escape_all_quotes(model),
        losses(taken),
        embeddings(contrast),
        tables::tables(contrast),
        tensors(taken),
    )
}

fn losses(Taken { before, after, .. }: &Taken) -> String {
    let row = |(name, loss): &Named| format!("<tr><td>{name}<td>{:.5}<td>{:.5}</tr>\n", loss(before), loss(after));
    let rows: String = LOSSES.iter().map(row).collect();
    format!("<table class=\"losses\"><tr><th>loss<th>before<th>after the step</tr>\n{rows}</table>")
}

fn pair(number: usize, Pair { caption, tokens, example }: &Pair) -> String {
    let token = |Token { id, token }: &Token| format!("<span>{id} <i>{}</i></span>", escape_all_quotes(token));
    let ids: String = tokens.iter().map(token).collect();
    format!(
        "<div class=\"pair\"><img alt=\"picture {number}\" src=\"{}\"><div><b>I{number}, T{number}</b> {}\
         <div class=\"ids\">{ids}</div></div></div>\n",
        html::jpeg(&small(&example.picture)),
        escape_all_quotes(caption),
    )
}

fn embeddings(Contrast { images, texts, dimages, dtexts, dlogit_scale, .. }: &Contrast) -> String {
    format!(
        "<h2>The embeddings and their gradients</h2>\n<p class=\"said\">Rows of {} numbers, blue below 0, orange \
         above. dÎ = s dS T̂ and dT̂ = s dSᵀ Î go back through the towers; dlogit_scale = Σ dS∘S is \
         {dlogit_scale:.5}.</p>\n\
         <div class=\"columns\">{}{}</div>\n",
        images[0].len(),
        strips("Î, T̂: length 1", ["Î", "T̂"], images, texts),
        strips("dÎ, dT̂", ["dÎ", "dT̂"], dimages, dtexts),
    )
}

/// Shows rows of pictures and captions in turns, in colours of one scale.
fn strips(title: &str, names: [&str; 2], images: &Matrix, texts: &Matrix) -> String {
    let largest = images.iter().chain(texts).flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let strip = |name: &str, class: &str, i: usize, row: &[f64]| {
        let (number, picture) = (i + 1, html::png(&coloured(row, largest)));
        format!(
            "<span class=\"{class}\">{name} {number}</span>\
             <img class=\"{class}\" alt=\"{name} {number}\" src=\"{picture}\">\n"
        )
    };
    let both = images.iter().zip(texts).enumerate();
    let both: String =
        both.map(|(i, (image, text))| strip(names[0], "image", i, image) + &strip(names[1], "text", i, text)).collect();
    format!("<section><h3>{title}</h3><div class=\"strips\">\n{both}</div></section>\n")
}

/// The colours of the largest number below and above 0. That of 0 is white.
const BELOW: [u8; 3] = [0, 114, 178];
const ABOVE: [u8; 3] = [213, 94, 0];

/// Returns a row of pixels, one a number.
fn coloured(row: &[f64], largest: f64) -> RgbImage {
    let colour = |x: f64| {
        let (share, full) = ((x.abs() / largest).min(1.0), if x < 0.0 { BELOW } else { ABOVE });
        full.map(|channel| (255.0 - share * (255.0 - f64::from(channel))).round() as u8)
    };
    RgbImage::from_fn(row.len() as u32, 1, |i, _| Rgb(colour(row[i as usize])))
}

fn tensors(Taken { grad_norm, tensors, .. }: &Taken) -> String {
    let axis = Axis::of(tensors);
    let rows: String = tensors.iter().map(|tensor| row(tensor, &axis)).collect();
    format!(
        "<p class=\"said\">In the order of the model. Bars are norms of gradients on a logarithmic axis; that of all \
         together is {grad_norm:.4}. The first step of AdamW moves a number by about the learning rate whatever its \
         gradient is, since m̂ / √v̂ is then its sign: moves grow with the size of a tensor, not with its gradient. \
         The share is the move's of what is moved.</p>\n<div class=\"tensors\">\n\
         <div class=\"head\"><span class=\"name\">tensor\
         </span><span class=\"bar axis\"><b>1e{}</b><b>1e{}</b></span>\
         <span>gradient</span><span>move</span><span>share</span>\
         </div>\n{rows}</div>\n",
        axis.low, axis.high,
    )
}

fn row(Tensor { name, shape, grad_norm, move_norm, share, .. }: &Tensor, axis: &Axis) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!(
        "<div><span class=\"name\">{} <small>{}</small></span><span class=\"bar\"><i style=\"width:{:.1}%\"></i></span>\
         <span>{grad_norm:.2e}</span><span>{move_norm:.2e}</span><span>{}</span></div>\n",
        escape_all_quotes(name),
        sizes.join("×"),
        100.0 * axis.place(*grad_norm),
        percent(*share),
    )
}

/// A logarithmic axis between two powers of ten.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    /// Returns the axis that has room for all gradients but those that are 0.
    fn of(tensors: &[Tensor]) -> Self {
        let norms = tensors.iter().map(|tensor| tensor.grad_norm);
        let powers = norms.filter(|norm| *norm > 0.0 && norm.is_finite()).map(f64::log10);
        let (low, high) = powers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            return Axis { low: -1, high: 0 };
        }
        let low = low.floor() as i32;
        Axis { low, high: (high.ceil() as i32).max(low + 1) }
    }

    /// Returns where on the axis a number is, from 0 to 1.
    fn place(&self, x: f64) -> f64 {
        if x <= 0.0 {
            return 0.0;
        }
        ((x.log10() - f64::from(self.low)) / f64::from(self.high - self.low)).clamp(0.0, 1.0)
    }
}
