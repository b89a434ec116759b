//! `clipwright eval --precision`: what rounding costs, by the scores with 32 bits beside those with fewer, and by how
//! far the embeddings have moved.

use super::context::PrecisionName;
use crate::eval::report::Report;
use ndarray::{Array2, Zip};
use serde::Serialize;
use std::fmt;

/// The scores with 32 bits, and the cosines of the embeddings with theirs.
#[derive(Serialize)]
pub(super) struct Compared {
    /// What the other scores were computed with.
    pub precision: PrecisionName,
    /// The scores with 32 bits.
    #[serde(flatten)]
    pub table: Report,
    /// The top-1 score of the linear probe with 32 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_probe: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Cosines>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<Cosines>,
}

/// The cosines of embeddings with those of the same pictures or texts with 32 bits.
#[derive(Serialize)]
pub(super) struct Cosines {
    mean: f64,
    worst: f64,
}

impl Cosines {
    /// Compares rows of unit length, if there are any, and as many on either side.
    ///
    /// both (N,e)
    pub fn of(wide: &Array2<f32>, other: &Array2<f32>) -> Option<Self> {
        let pairs = (wide.dim() == other.dim()).then(|| Zip::from(wide.rows()).and(other.rows()))?;
        let cosine = |x: ndarray::ArrayView1<f32>, y: ndarray::ArrayView1<f32>| {
            x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>()
        };
        let cosines = pairs.map_collect(cosine);
        Some(Cosines { mean: cosines.mean()?, worst: cosines.iter().copied().fold(1.0, f64::min) })
    }
}

/// The scores side by side: those with 32 bits, and those of `report`.
pub(super) struct SideBySide<'a> {
    pub compared: &'a Compared,
    pub report: &'a Report,
    pub linear_probe: Option<f64>,
}

impl fmt::Display for SideBySide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Compared { precision, table, linear_probe, images, texts } = self.compared;
        let line = |f: &mut fmt::Formatter, name: &str, wide: f64, other: f64| {
            writeln!(f, "{name:<26}{:>8.2}{:>8.2}{:>+8.2}", 100.0 * wide, 100.0 * other, 100.0 * (other - wide))
        };
        writeln!(f, "{:<26}{:>8}{:>8}{:>8}", "in percent", "f32", precision.to_string(), "change")?;
        for (wide, other) in table.rows.iter().zip(&self.report.rows) {
            writeln!(f, "{}", other.title())?;
            for ((name, wide), (_, other)) in wide.named_scores().into_iter().zip(other.named_scores()) {
                line(f, &format!("  {name}"), wide, other)?;
            }
        }
        if let (Some(wide), Some(other)) = (linear_probe, self.linear_probe) {
            line(f, "linear probe top-1", *wide, other)?;
        }
        if images.is_some() || texts.is_some() {
            writeln!(f, "\n{:<26}{:>8}{:>8}", "cosine with f32", "mean", "worst")?;
        }
        for (what, cosines) in [("pictures", images), ("texts", texts)] {
            if let Some(Cosines { mean, worst }) = cosines {
                writeln!(f, "  {what:<24}{mean:>8.5}{worst:>8.5}")?;
            }
        }
        Ok(())
    }
}
