//! Curves over the steps of a run.

use crate::eval::metrics::Metrics;
use image::RgbImage;

/// The loss and its two halves, above the chance line ln N.
pub fn loss(_metrics: &Metrics) -> RgbImage {
    todo!()
}

/// Zero-shot accuracy and retrieval recall of every cut, evaluation by evaluation.
pub fn recall(_metrics: &Metrics) -> RgbImage {
    todo!()
}

/// Learning rate, logit scale and gradient norm.
pub fn schedule(_metrics: &Metrics) -> RgbImage {
    todo!()
}
