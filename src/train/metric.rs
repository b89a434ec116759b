//! A number that a training step reports.

use std::borrow::Cow;

/// A named number of a step. Names are those of the log: words in lower case, joined by `_`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Begins with `loss` if it is one: `loss` itself is what is minimised, others are its parts.
    pub name: Cow<'static, str>,
    pub value: f64,
    /// What a model that cannot tell anything apart would have.
    pub chance: Option<f64>,
}

impl Metric {
    pub fn new(name: &'static str, value: impl Into<f64>) -> Self {
        Metric { name: name.into(), value: value.into(), chance: None }
    }

    /// The same number, to be compared with chance.
    #[must_use]
    pub fn against_chance(self, chance: impl Into<f64>) -> Self {
        Metric { chance: Some(chance.into()), ..self }
    }

    pub fn is_loss(&self) -> bool {
        self.name == "loss" || self.name.starts_with("loss_")
    }

    /// The name for people: `loss_image_to_text` is `image→text`.
    pub fn label(&self) -> String {
        self.name.strip_prefix("loss_").unwrap_or(&self.name).replace("_to_", "→").replace('_', " ")
    }
}
