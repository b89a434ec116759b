//! A number that a training step reports.

use std::borrow::Cow;

/// A named number of a step. The log has the same names: words in lower case, joined by `_`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name, which is `loss` for what is minimised, and begins with `loss_` for the parts of that.
    pub name: Cow<'static, str>,
    /// The number itself.
    pub value: f64,
    /// The value that a model would have that cannot tell anything apart, if there is one.
    pub chance: Option<f64>,
}

impl Metric {
    /// Makes a number that is not compared with chance.
    pub fn new(name: &'static str, value: impl Into<f64>) -> Self {
        Metric { name: name.into(), value: value.into(), chance: None }
    }

    /// Adds the value that a model would have that cannot tell anything apart.
    #[must_use]
    pub fn against_chance(self, chance: impl Into<f64>) -> Self {
        Metric { chance: Some(chance.into()), ..self }
    }

    /// Whether the number is the loss that is minimised, or a part of it.
    pub(crate) fn is_loss(&self) -> bool {
        self.name == "loss" || self.name.starts_with("loss_")
    }

    /// Returns the name as people read it; `loss_image_to_text` becomes `image→text`.
    pub fn label(&self) -> String {
        self.name.strip_prefix("loss_").unwrap_or(&self.name).replace("_to_", "→").replace('_', " ")
    }
}
